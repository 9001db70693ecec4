"""The register: what runs say of every claim.

Inside: `Finding`, `judge`, `register`, `verdict_of`, `least_seeds`, `MIN_SEEDS`, `interval_95`, `chance_of_a_verdict`. In words for
the pages: register_page.py.

A verdict follows from the 95 % t-interval of the effect over seeds: HOLDS if all of it lies on the claimed side of the threshold, FAILS
if all of it lies on the other, INCONCLUSIVE otherwise, and always with fewer than three seeds. Where `MORE_SEEDS` were added the interval
is one of 97.2 %; where all `FRESH_SEEDS` are there, they decide alone. A claim without arms stays a prediction, hence INCONCLUSIVE.

Two figures stand beside a verdict and do not change it: whether it is `firm`, that is survives Holm's correction (1979) for all claims
judged together; and `over_images`, the effect's interval over bootstrap draws of the val images, where the effect compares mAPs.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from scipy.special import stdtr, stdtrit

from groundwork.errors import InputError
from trial.register import card
from trial.register.claims import CLAIMS, Arm, Claim, Metrics

MIN_SEEDS = 3
SEEDS = (0, 1, 2)
MORE_SEEDS = (3, 4)  # where the first leave a claim undecided: a second look
FRESH_SEEDS = tuple(range(10, 20))  # of cheap arms; a claim that has all of them is judged by them alone
# Errors allowed of a verdict. With a second look at the same seeds more than 5 % of studies would err; two looks at 2.8 % each err in 5 %
# together, so that what the second one decides is asked at that level.
FIRST_LOOK, SECOND_LOOK = 0.05, 0.028

Verdict = Literal["HOLDS", "FAILS", "INCONCLUSIVE"]


@dataclass(frozen=True)
class Finding:
    """A claim with what the runs say of it. `interval` is the t-interval of the mean effect at `level`; None with one seed or none."""

    claim: Claim
    seeds: tuple[int, ...]
    effects: tuple[float, ...]
    effect: float
    interval: tuple[float, float] | None
    verdict: Verdict
    data: str = "EmojiVOC"  # what the runs saw
    level: float = 1 - FIRST_LOOK
    over_images: tuple[float, float] | None = None  # 95 % interval of the mean effect over draws of the val images
    firm: bool = False  # the verdict survives the whole family of claims
    card: str = ""  # that measured the effect, where no run did

    @property
    def scope(self) -> str:
        """What the verdict is about: the data, unless no run has seen any, and what ran."""
        return f"{self.data}, {self.claim.scope}" if self.claim.arms else self.claim.scope

    @property
    def resolution(self) -> float | None:
        """The smallest difference from the threshold that these seeds could have told: half the interval."""
        return None if self.interval is None else (self.interval[1] - self.interval[0]) / 2

    @property
    def undecided(self) -> bool:
        """Whether there are seeds enough and figures in every one, and yet no verdict: what more seeds could change."""
        return self.verdict == "INCONCLUSIVE" and len(self.seeds) >= MIN_SEEDS and all(map(math.isfinite, self.effects))

    @property
    def why(self) -> str:
        """Why nothing can be said, where nothing can; else empty."""
        if self.verdict != "INCONCLUSIVE":
            return ""
        if not self.claim.arms:
            return "predicted only: `make card`, or `python -m yolo_core plan --verify`, has to run on a card"
        if any(map(math.isnan, self.effects)):
            return "an arm stands at the floor: there is nothing to divide by"
        if len(self.seeds) < (least := least_seeds(self.claim, self.data)):
            fresh = " fresh" if self.claim.known == self.data else ""
            return f"{len(self.seeds)} of at least {least}{fresh} seeds"
        return "the interval holds the threshold"

    def to_dict(self) -> dict[str, Any]:
        c = self.claim
        return {
            "id": c.id,
            "claim": c.sentence,
            "whose": c.whose,
            "scope": self.scope,
            "arms": [f"{experiment}/{arm}" for experiment, arm in c.arms],
            "prediction": c.prediction,
            "threshold": c.threshold if c.upper is None else list(c.bounds),
            "seeds": list(self.seeds),
            "effect": None if math.isnan(self.effect) else self.effect,
            "interval": None if self.interval is None or any(map(math.isnan, self.interval)) else self.interval,
            "level": self.level,
            "over_images": self.over_images,
            "firm": self.firm,
            "resolution": None if self.resolution is None or math.isnan(self.resolution) else self.resolution,
            "verdict": self.verdict,
            "why": self.why,
            "overturned_by": c.overturn,
            "page": c.page,
        }


def t_quantile(values: int, error: float = FIRST_LOOK) -> float:
    """Student's two-sided quantile for a sample of so many values, two or more."""
    return float(stdtrit(values - 1, 1 - error / 2))


def interval_95(values: Iterable[float], error: float = FIRST_LOOK) -> tuple[float, float] | None:
    """The t-interval of a mean, of 95 % unless another `error` is asked for; None for fewer than two values."""
    sample = np.array(list(values), dtype=float)
    if len(sample) < 2:
        return None
    half = t_quantile(len(sample), error) * sample.std(ddof=1) / math.sqrt(len(sample))
    return float(sample.mean() - half), float(sample.mean() + half)


def chance_of_a_verdict(first: int, more: int = 0, studies: int = 100_000) -> float:
    """How often an effect that lies exactly at its threshold is given a verdict all the same, if what `first` seeds leave undecided is
    asked once more with `more` added to them, at `SECOND_LOOK`: simulated with normal seeds. 0.05 where nothing is added."""
    seeds = np.random.default_rng(0).standard_normal((studies, first + more))
    decided = np.zeros(studies, dtype=bool)
    for n, error in ((first, FIRST_LOOK), (first + more, SECOND_LOOK if more else FIRST_LOOK)):
        drawn = seeds[:, :n]
        decided |= np.abs(drawn.mean(1)) > t_quantile(n, error) * drawn.std(1, ddof=1) / math.sqrt(n)
    return float(decided.mean())


def judge(claim: Claim, records: Iterable[Mapping[str, Any]], data: str = "EmojiVOC") -> Finding:
    """What the records say of a claim. Only seeds that have a record in every arm of the claim count; without arms, none decides, but
    what a card has measured does."""
    if not claim.arms:
        if (measured := card.margin()) is None:
            return Finding(claim, (), (), claim.effect(), None, "INCONCLUSIVE", data)
        return Finding(claim, (), (), measured[0], None, "HOLDS" if measured[0] > claim.threshold else "FAILS", data, card=measured[1])
    by_arm: dict[Arm, dict[int, Metrics]] = {arm: {} for arm in claim.arms}
    for record in records:
        config = record["config"]
        arm = (config["experiment"], config["arm"])
        if arm in by_arm:
            by_arm[arm][config["seed"]] = record["metrics"]
    effects_of = {}
    for seed in sorted(set.intersection(*(set(found) for found in by_arm.values()))):
        try:
            effects_of[seed] = float(claim.effect(*(by_arm[arm][seed] for arm in claim.arms)))
        except ZeroDivisionError:  # an arm at the floor
            effects_of[seed] = math.nan
        except KeyError:  # a record without the figure that the claim asks for (too short a run for a probe) is no evidence
            continue
        except (TypeError, ValueError, OverflowError, IndexError) as error:
            raise _unsound(claim, seed, error) from error
    seeds, error = _look(effects_of, claim.fresh if claim.known == data else 0)
    effects = [effects_of[seed] for seed in seeds]
    interval = interval_95(effects, error)
    verdict: Verdict = "INCONCLUSIVE"
    if interval is not None and len(seeds) >= least_seeds(claim, data) and all(map(math.isfinite, interval)):
        verdict = verdict_of(claim, *interval)
    effect = float(np.mean(effects)) if effects else math.nan  # NaN as soon as one seed is at the floor
    try:
        resampled = _over_images(claim, [[by_arm[arm][seed] for arm in claim.arms] for seed in seeds])
    except (TypeError, ValueError, OverflowError) as error:
        raise _unsound(claim, seeds, error) from error
    return Finding(claim, tuple(seeds), tuple(effects), effect, interval, verdict, data, 1 - error, resampled)


def _unsound(claim: Claim, seeds: object, error: Exception) -> InputError:
    """Figures that no run has written: doctored, or a torn disk's."""
    arms = ", ".join("/".join(arm) for arm in claim.arms)
    return InputError(
        f"{claim.id}: a record of its arms ({arms}; seeds: {seeds}) has a figure of another kind than runs write ({error}); "
        "take the records back, by git checkout, or train that run again"
    )


def least_seeds(claim: Claim, data: str) -> int:
    """How many seeds a verdict takes."""
    return claim.fresh if claim.known == data else MIN_SEEDS


def _look(seeds: Iterable[int], fresh: int = 0) -> tuple[list[int], float]:
    """Which seeds decide, and at which error: all fresh ones alone, or the first, or the first and the further ones. fresh: no other than
    so many fresh ones."""
    if fresh:
        return [seed for seed in seeds if seed in FRESH_SEEDS[:fresh]], FIRST_LOOK
    if set(FRESH_SEEDS) <= set(seeds):
        return list(FRESH_SEEDS), FIRST_LOOK
    others = [seed for seed in seeds if seed not in FRESH_SEEDS]  # a part of the fresh seeds is no look: nobody stops where it pleases
    return others, SECOND_LOOK if set(others) & set(MORE_SEEDS) else FIRST_LOOK


def _over_images(claim: Claim, runs: Sequence[Sequence[Metrics]]) -> tuple[float, float] | None:
    """The middle 95 % of the effect, averaged over seeds, over bootstrap draws of the val images, the same for all runs; None for an
    effect of anything but mAPs, and for records without draws. `runs`: the metrics of the arms, seed by seed."""
    try:
        drawn = [[_by_draw(metrics["resampled"]) for metrics in arms] for arms in runs]
        effects = [[claim.effect(*draw) for draw in zip(*arms, strict=True)] for arms in drawn]
    except (KeyError, ZeroDivisionError):
        return None
    mean = np.mean(effects, axis=0) if effects else np.full(1, math.nan)
    return tuple(np.quantile(mean, (0.025, 0.975)).tolist()) if np.isfinite(mean).all() else None


def _by_draw(resampled: Mapping[str, Sequence[float]]) -> list[dict[str, float]]:
    """{name: a value a draw} as a dict a draw."""
    return [dict(zip(resampled, values, strict=True)) for values in zip(*resampled.values(), strict=True)]


def _error_of(finding: Finding) -> float:
    """How often seeds that vary as these do would lie as far from the threshold, were the effect there: the two-sided p of the t-test, of
    the nearer bound where there are two; scaled up for a second look, whose level is stricter. 1 where there is no verdict to test."""
    if len(finding.seeds) < MIN_SEEDS or not all(map(math.isfinite, finding.effects)):
        return 1.0
    n = len(finding.effects)
    deviation = np.std(finding.effects, ddof=1) / math.sqrt(n)
    distance = min(abs(finding.effect - bound) for bound in finding.claim.bounds)
    p = 2 * float(stdtr(n - 1, -distance / deviation)) if deviation > 0 else float(distance == 0)
    return min(1.0, p * FIRST_LOOK / (1 - finding.level))


def _holm(errors: Sequence[float], level: float = FIRST_LOOK) -> list[bool]:
    """Which of several tests are significant together (Holm, 1979): the smallest error is held against level / m, the next against
    level / (m - 1), and so on up to the first that is larger."""
    firm = [False] * len(errors)
    for rank, i in enumerate(sorted(range(len(errors)), key=errors.__getitem__)):
        if errors[i] > level / (len(errors) - rank):
            break
        firm[i] = True
    return firm


def verdict_of(claim: Claim, low: float, high: float) -> Verdict:
    """What an interval says of a threshold: all of it on one side, or on the other, or neither."""
    if claim.upper is not None:
        if low > claim.threshold and high < claim.upper:
            return "HOLDS"
        return "FAILS" if high < claim.threshold or low > claim.upper else "INCONCLUSIVE"
    if low > claim.threshold:
        return "HOLDS" if claim.above else "FAILS"
    if high < claim.threshold:
        return "FAILS" if claim.above else "HOLDS"
    return "INCONCLUSIVE"


def register(records: Iterable[Mapping[str, Any]], data: str = "EmojiVOC") -> list[Finding]:
    """Every claim, judged by the same records, of runs on `data`."""
    records = list(records)
    findings = [judge(claim, records, data) for claim in CLAIMS]
    tested = [f for f in findings if len(f.seeds) >= least_seeds(f.claim, data)]
    firm = {f.claim.id for f, holds in zip(tested, _holm([_error_of(f) for f in tested]), strict=True) if holds}
    return [replace(f, firm=f.claim.id in firm and f.verdict != "INCONCLUSIVE") for f in findings]
