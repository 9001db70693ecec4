"""What a claim is, and the effects that several claims share.

Inside: `Claim`, `FLOOR`, and functions of the metrics of a claim's arms.

A claim's effect is a number computed from the records of its arms, one for each seed; its threshold is written here before the runs
that judge it (`verdicts.py`). A claim without arms is about a machine that is not here: its effect is computed by the planner.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from groundwork.errors import InputError, unreadable
from groundwork.paths import ROOT
from yolo_core.experiments import STORY

Arm = tuple[str, str]  # experiment, arm
Metrics = Mapping[str, Any]


@dataclass(frozen=True)
class Claim:
    """One sentence on trial. `effect` maps the metrics of the arms, of one seed and in the order of `arms`, to a number."""

    id: str
    whose: Literal["write-up", "rival", "engineering"]
    sentence: str
    prediction: str  # the effect and its threshold in words, fixed before the runs
    arms: tuple[Arm, ...]  # none: the effect is the planner's, and takes nothing
    effect: Callable[..., float]
    threshold: float
    above: bool  # the claim says the effect is above the threshold; else below
    page: str  # where it is argued
    scope: str = "Lite0"  # what ran, beside the data
    upper: float | None = None  # the claim says: above the threshold and below this
    overturn: str = ""  # what would change our mind
    known: str = ""  # the data set on which earlier runs had shown the effect when the sentence was added: fresh seeds alone judge it there
    fresh: int = 3  # how many of them

    @property
    def bounds(self) -> tuple[float, ...]:
        """The threshold, or both ends of a claimed range."""
        return (self.threshold,) if self.upper is None else (self.threshold, self.upper)


# Below this mAP an arm stands at the floor: its ratio to another says nothing.
FLOOR = 0.02


def ratio(value: float, to: float, floor: float = FLOOR) -> float:
    """NaN where the denominator is at the floor, and so INCONCLUSIVE."""
    return value / to if to >= floor else math.nan


def share(gain: float, of: float, least: float = FLOOR) -> float:
    """What part of a loss a remedy gives back; NaN where there is next to nothing to give back."""
    return gain / of if of >= least else math.nan


def detections(metrics: Metrics, cut: str) -> float:
    """Detections an image of at least a score."""
    found = metrics["cuts"][cut]
    return (found["true"] + found["false"]) / metrics["images"]


def recall(metrics: Metrics) -> float:
    return metrics["cuts"]["0.05"]["recall"]


def lift(mse: Metrics, focal: Metrics) -> float:
    """How many times higher the background confidence rests under focal."""
    return ratio(focal["confidence"]["background"], mse["confidence"]["background"], 1e-4)


def unevenness(*runs: Metrics) -> float:
    """Largest over smallest lift of four pairs (mse, focal), one a setting of the optimiser."""
    lifts = [lift(mse, focal) for mse, focal in zip(runs[::2], runs[1::2], strict=True)]
    return max(lifts) / min(lifts)


def box_gain(dense: Metrics, conv: Metrics, short: Metrics, unfrozen: Metrics) -> float:
    """IoU on all object cells: what unfreezing adds, less what another head on the same frozen features adds."""
    iou = [run["object_iou"]["best"] for run in (dense, conv, short, unfrozen)]
    return (iou[3] - iou[2]) - (iou[1] - iou[0])


def head_margin() -> float:
    """GiB, predicted for ResNet18 at 448 px under Adam, one picture at a time, the planner's reserve included: by how much the full head
    oversteps a card of 6 GiB, or by how much the compressed one stays below, whichever is less. From records/planned.json, which
    scripts/planned.py writes and a test holds to today's planner: who only reads a register need not wait for it."""
    file = ROOT / "records" / "planned.json"
    try:
        gib = json.loads(file.read_text(encoding="utf-8"))["heads_gib"]
        return min(gib["full"] - 6, 6 - gib["compressed"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        again = "bring back the one that was committed, or write it anew: python scripts/planned.py"
        raise unreadable(file, error) or InputError(f"{file}: not the planner's figures ({error!r}); {again}") from error


def least_step(scratch: Metrics, focal: Metrics, frozen: Metrics, tuned: Metrics) -> float:
    """The least of the differences that order the four experiments as published: 0.0356 > 0.0236 > 0.0049 > 0.0000 for Exp 3, 4, 1, 2."""
    in_order = [run["map_as_released"] for run in (frozen, tuned, scratch, focal)]
    return min(above - below for above, below in pairwise(in_order))


def gain(without: Metrics, with_it: Metrics) -> float:
    """How many times the mAP."""
    return ratio(with_it["map"], without["map"])


WRITE_UP, RIVAL, ENGINEERING = "write-up", "rival", "engineering"
BASELINE, FOCAL, TRANSFER, FINETUNE, MEMORY = (f"notebooks/{name}" for name in ("baseline", "focal", "transfer", "finetune", "memory"))
SCRATCH = "the scratch net at half width"
HEAD, ASSIGNMENT, BOXES, SCORE, MOSAIC, REMEDIES = (
    f"notebooks/{name}" for name in ("head", "assignment", "boxes", "score", "mosaic", "remedies")
)
BASE, SHORT = ("remedies", "base"), "frozen Lite0, a short training"
EXP_1, EXP_3, EXP_3_CONV = STORY["exp1"], STORY["exp3"], ("focal", "mse-conv")
