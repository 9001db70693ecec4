"""The register: every causal sentence, its prediction, and the verdict that runs give it.

Inside: `CLAIMS`, `Claim`, `Finding`, `judge`, `register`, `markdown`.

A claim's effect is a number computed from the records of its arms, one for each seed; its threshold is written here before the runs
that judge it. The verdict follows from the 95 % t-interval of the effect over seeds: HOLDS if all of it lies on the claimed side of the
threshold, FAILS if all of it lies on the other, INCONCLUSIVE otherwise, and always with fewer than three seeds.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

MIN_SEEDS = 3
# Two-sided 95 % quantiles of Student's t for 1, 2, ... degrees of freedom.
T_95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)

Arm = tuple[str, str]  # experiment, arm
Metrics = Mapping[str, Any]
Verdict = Literal["HOLDS", "FAILS", "INCONCLUSIVE"]


@dataclass(frozen=True)
class Claim:
    """One sentence on trial. `effect` maps the metrics of the arms, of one seed and in the order of `arms`, to a number."""

    id: str
    whose: Literal["write-up", "rival", "engineering"]
    sentence: str
    prediction: str  # the effect and its threshold in words, fixed before the runs
    arms: tuple[Arm, ...]
    effect: Callable[..., float]
    threshold: float
    above: bool  # the claim says the effect is above the threshold; else below
    page: str  # where it is argued
    scope: str = "EmojiVOC"


@dataclass(frozen=True)
class Finding:
    """A claim with what the runs say of it. `interval` is the 95 % t-interval of the mean effect; None with one seed or none."""

    claim: Claim
    seeds: tuple[int, ...]
    effects: tuple[float, ...]
    effect: float
    interval: tuple[float, float] | None
    verdict: Verdict

    def to_dict(self) -> dict[str, Any]:
        c = self.claim
        return {
            "id": c.id,
            "claim": c.sentence,
            "whose": c.whose,
            "scope": c.scope,
            "arms": [f"{experiment}/{arm}" for experiment, arm in c.arms],
            "prediction": c.prediction,
            "threshold": c.threshold,
            "seeds": list(self.seeds),
            "effect": None if math.isnan(self.effect) else self.effect,
            "interval": self.interval,
            "verdict": self.verdict,
            "page": c.page,
        }


def _detections(metrics: Metrics, cut: str) -> float:
    """Detections an image of at least a score."""
    found = metrics["cuts"][cut]
    return (found["true"] + found["false"]) / metrics["images"]


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "C1",
        "write-up",
        "From scratch, the detector answers background: most objects are missed",
        "recall at score 0.05 on val is below 0.5",
        (("baseline", "compressed"),),
        lambda run: run["cuts"]["0.05"]["recall"],
        0.5,
        above=False,
        page="notebooks/baseline",
    ),
    Claim(
        "C1c",
        "rival",
        "...mostly because mAP was scored above 0.4",
        "the cut at 0.4 hides more than half of the mAP that the same weights have at 0.001",
        (("baseline", "compressed"),),
        lambda run: 1 - run["cuts"]["0.4"]["map"] / max(run["cuts"]["0.001"]["map"], 1e-9),
        0.5,
        above=True,
        page="notebooks/baseline",
    ),
    Claim(
        "C1e",
        "rival",
        "It underfits rather than overfits to background",
        "recall at score 0.05 on the training pictures is below 0.5 too",
        (("baseline", "compressed"),),
        lambda run: run["train_split"]["cuts"]["0.05"]["recall"],
        0.5,
        above=False,
        page="notebooks/baseline",
    ),
    Claim(
        "C2a",
        "write-up",
        "The focal factor starves the background gradient",
        "early in training, at the same weights, the background's gradient as focal is below 0.1 of that as squared error",
        (("focal", "mse"),),
        lambda mse: mse["probes"]["focal_to_mse_gradient_early"],
        0.1,
        above=False,
        page="notebooks/focal",
    ),
    Claim(
        "C2b",
        "write-up",
        "The grid floods with false positives",
        "more than twice as many false positives an image at score 0.1 as under the squared error",
        (("focal", "mse"), ("focal", "focal")),
        lambda mse, focal: focal["cuts"]["0.1"]["false_per_image"] / max(mse["cuts"]["0.1"]["false_per_image"], 1e-3),
        2.0,
        above=True,
        page="notebooks/focal",
    ),
    Claim(
        "C2c",
        "write-up",
        "mAP collapses",
        "the mAP under focal is below half of that under the squared error",
        (("focal", "mse"), ("focal", "focal")),
        lambda mse, focal: focal["map"] / max(mse["map"], 1e-9),
        0.5,
        above=False,
        page="notebooks/focal",
    ),
    Claim(
        "C2d",
        "rival",
        "The factor as printed is a double well",
        "the share of background confidences that end above one half is at least 0.5 higher from a start at 0.6 than from 0.3",
        (("focal", "focal-literal-from-0.3"), ("focal", "focal-literal-from-0.6")),
        lambda low, high: high["confidence"]["background_above_half"] - low["confidence"]["background_above_half"],
        0.5,
        above=True,
        page="notebooks/focal",
    ),
    Claim(
        "C2e",
        "rival",
        "The released reduction over-suppresses instead",
        "less than half as many detections an image at score 0.05 as under the squared error",
        (("focal", "mse"), ("focal", "focal-coupled")),
        lambda mse, coupled: _detections(coupled, "0.05") / max(_detections(mse, "0.05"), 1e-3),
        0.5,
        above=False,
        page="notebooks/focal",
    ),
)


def interval_95(values: Iterable[float]) -> tuple[float, float] | None:
    """The t-interval of a mean; None for fewer than two values."""
    sample = np.array(list(values), dtype=float)
    if len(sample) < 2:
        return None
    quantile = T_95[min(len(sample) - 2, len(T_95) - 1)]
    half = quantile * sample.std(ddof=1) / math.sqrt(len(sample))
    return float(sample.mean() - half), float(sample.mean() + half)


def judge(claim: Claim, records: Iterable[Mapping[str, Any]]) -> Finding:
    """What the records say of a claim. Only seeds that have a record in every arm of the claim count."""
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
        low, high = interval
        if low > claim.threshold:
            verdict = "HOLDS" if claim.above else "FAILS"
        elif high < claim.threshold:
            verdict = "FAILS" if claim.above else "HOLDS"
    effect = float(np.mean(effects)) if effects else math.nan
    return Finding(claim, tuple(seeds), tuple(effects), effect, interval, verdict)


def register(records: Iterable[Mapping[str, Any]]) -> list[Finding]:
    """Every claim, judged by the same records."""
    records = list(records)
    return [judge(claim, records) for claim in CLAIMS]


def markdown(findings: Iterable[Finding]) -> str:
    """Findings as a Markdown table for a page: sentence, prediction, effect with its interval, seeds, verdict, where it is argued."""
    lines = ["| id | sentence | predicted | effect | seeds | verdict | argued in |", "|:--|:--|:--|:--|--:|:--|:--|"]
    for f in findings:
        effect = "not run" if math.isnan(f.effect) else f"{f.effect:.3f}"
        if f.interval is not None:
            effect += f" ({f.interval[0]:.3f} to {f.interval[1]:.3f})"
        c = f.claim
        lines.append(f"| {c.id} | {c.sentence} | {c.prediction} | {effect} | {len(f.seeds)} | {f.verdict} | [](/{c.page}) |")
    return "\n".join(lines)
