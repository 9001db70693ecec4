"""The register: what runs say of every claim.

Inside: `Finding`, `judge`, `register`, `MIN_SEEDS`; `told`, `badge`, `markdown`, `cards` and `summary` for the pages; `interval_95`,
`chance_of_a_verdict`.

A verdict follows from the 95 % t-interval of the effect over seeds: HOLDS if all of it lies on the claimed side of the threshold, FAILS
if all of it lies on the other, INCONCLUSIVE otherwise, and always with fewer than three seeds. A claim without arms stays a prediction,
hence INCONCLUSIVE.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from yolo_core.study.claims import CLAIMS, Arm, Claim, Metrics

MIN_SEEDS = 3
# Two-sided 95 % quantiles of Student's t for 1, 2, ... degrees of freedom.
T_95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)

Verdict = Literal["HOLDS", "FAILS", "INCONCLUSIVE"]


@dataclass(frozen=True)
class Finding:
    """A claim with what the runs say of it. `interval` is the 95 % t-interval of the mean effect; None with one seed or none."""

    claim: Claim
    seeds: tuple[int, ...]
    effects: tuple[float, ...]
    effect: float
    interval: tuple[float, float] | None
    verdict: Verdict

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
            return "predicted only: `python -m yolo_core plan --verify` has to run on the card"
        if any(map(math.isnan, self.effects)):
            return "an arm stands at the floor: there is nothing to divide by"
        if len(self.seeds) < MIN_SEEDS:
            return f"{len(self.seeds)} of at least {MIN_SEEDS} seeds"
        return "the interval holds the threshold"

    def to_dict(self) -> dict[str, Any]:
        c = self.claim
        return {
            "id": c.id,
            "claim": c.sentence,
            "whose": c.whose,
            "scope": c.scope,
            "arms": [f"{experiment}/{arm}" for experiment, arm in c.arms],
            "prediction": c.prediction,
            "threshold": c.threshold if c.upper is None else [c.threshold, c.upper],
            "seeds": list(self.seeds),
            "effect": None if math.isnan(self.effect) else self.effect,
            "interval": None if self.interval is None or any(map(math.isnan, self.interval)) else self.interval,
            "resolution": None if self.resolution is None or math.isnan(self.resolution) else self.resolution,
            "verdict": self.verdict,
            "why": self.why,
            "overturned_by": c.overturn,
            "page": c.page,
        }


def t_95(values: int) -> float:
    """The two-sided 95 % quantile for so many values, two or more; beyond the table its last, which is a little wide."""
    return T_95[min(values - 2, len(T_95) - 1)]


def interval_95(values: Iterable[float]) -> tuple[float, float] | None:
    """The t-interval of a mean; None for fewer than two values."""
    sample = np.array(list(values), dtype=float)
    if len(sample) < 2:
        return None
    half = t_95(len(sample)) * sample.std(ddof=1) / math.sqrt(len(sample))
    return float(sample.mean() - half), float(sample.mean() + half)


def chance_of_a_verdict(first: int, more: int = 0, studies: int = 100_000) -> float:
    """How often an effect that lies exactly at its threshold is given a verdict all the same, if what `first` seeds leave undecided is
    asked once more with `more` added to them: simulated with normal seeds. 0.05 where nothing is added."""
    seeds = np.random.default_rng(0).standard_normal((studies, first + more))
    decided = np.zeros(studies, dtype=bool)
    for n in (first, first + more):
        drawn = seeds[:, :n]
        decided |= np.abs(drawn.mean(1)) > t_95(n) * drawn.std(1, ddof=1) / math.sqrt(n)
    return float(decided.mean())


def judge(claim: Claim, records: Iterable[Mapping[str, Any]]) -> Finding:
    """What the records say of a claim. Only seeds that have a record in every arm of the claim count; without arms, none decides."""
    if not claim.arms:
        return Finding(claim, (), (), claim.effect(), None, "INCONCLUSIVE")
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
        except KeyError:  # a record without the figure that the claim asks for (too short a run for a probe) is no evidence
            continue
    seeds, effects = list(effects_of), list(effects_of.values())
    interval = interval_95(effects)
    verdict: Verdict = "INCONCLUSIVE"
    if interval is not None and len(seeds) >= MIN_SEEDS and all(map(math.isfinite, interval)):
        verdict = _verdict(claim, *interval)
    effect = float(np.mean(effects)) if effects else math.nan  # NaN as soon as one seed is at the floor
    return Finding(claim, tuple(seeds), tuple(effects), effect, interval, verdict)


def _verdict(claim: Claim, low: float, high: float) -> Verdict:
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


def register(records: Iterable[Mapping[str, Any]]) -> list[Finding]:
    """Every claim, judged by the same records."""
    records = list(records)
    return [judge(claim, records) for claim in CLAIMS]


def told(finding: Finding) -> str:
    """The effect with its interval in words: "0.54 (0.41 to 0.67)", or why there is none."""
    if not finding.claim.arms:
        return f"{finding.effect:.2g}, predicted"
    if not finding.seeds:
        return "not run"
    if math.isnan(finding.effect):
        return "at the floor"
    figure = f"{finding.effect:.3g}"
    return figure if finding.interval is None else f"{figure} ({finding.interval[0]:.3g} to {finding.interval[1]:.3g})"


def badge(finding: Finding) -> str:
    """The verdict as the page's style sheet draws it."""
    return f"[{finding.verdict}]{{.verdict-{finding.verdict.lower()}}}"


def markdown(findings: Iterable[Finding]) -> str:
    """Findings as a Markdown table for a page: sentence, whose it is, prediction, effect with its interval, seeds, verdict."""
    lines = ["| id | sentence | whose | predicted | effect | seeds | verdict |", "|:--|:--|:--|:--|:--|--:|:--|"]
    for f in findings:
        c = f.claim
        lines.append(f"| [{c.id}](/{c.page}) | {c.sentence} | {c.whose} | {c.prediction} | {told(f)} | {len(f.seeds)} | {badge(f)} |")
    return "\n".join(lines)


def cards(findings: Iterable[Finding]) -> str:
    """Findings one by one, all in one form: the sentence, the prediction, the figure, the verdict with its scope, what would change it."""
    found = []
    for f in findings:
        c = f.claim
        effect = f"{told(f)}, {len(f.seeds)} seeds" if c.arms else told(f)
        if f.resolution is not None and math.isfinite(f.resolution):
            effect += f"; these seeds could have told a difference of {f.resolution:.2g} from the threshold"
        verdict = badge(f) + (f" {f.why}." if f.why else "")
        found.append(
            f"```{{admonition}} {c.id} · {f.verdict}\n:class: trial trial-{f.verdict.lower()}\n"
            f"**{c.sentence}.** ({c.whose})\n\n"
            f"- *Predicted before the runs:* {c.prediction}.\n"
            f"- *Found:* {effect}.\n"
            f"- *Verdict:* {verdict} Scope: {c.scope}; Pascal VOC 2012: not run.\n"
            f"- *What would change our mind:* {c.overturn}\n"
            f"- *Argued in* [](/{c.page}).\n```"
        )
    return "\n\n".join(found)


def summary(findings: Iterable[Finding]) -> dict[str, dict[str, str]]:
    """Each claim's sentence, verdict, effect and number of seeds, ready to print, by id: for the prose of a page."""
    return {
        f.claim.id: {"sentence": f.claim.sentence, "verdict": badge(f), "effect": told(f), "seeds": str(len(f.seeds))} for f in findings
    }
