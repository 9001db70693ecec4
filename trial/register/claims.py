"""Every causal sentence that stands trial, and what was predicted of it.

Inside: `CLAIMS`, `Claim`, `FLOOR`.

A claim's effect is a number computed from the records of its arms, one for each seed; its threshold is written here before the runs
that judge it (`verdicts.py`). A claim without arms is about a machine that is not here: its effect is computed by the planner.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from typing import Any, Literal

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


def _ratio(value: float, to: float, floor: float = FLOOR) -> float:
    """NaN where the denominator is at the floor, and so INCONCLUSIVE."""
    return value / to if to >= floor else math.nan


def _share(gain: float, of: float, least: float = FLOOR) -> float:
    """What part of a loss a remedy gives back; NaN where there is next to nothing to give back."""
    return gain / of if of >= least else math.nan


def _detections(metrics: Metrics, cut: str) -> float:
    """Detections an image of at least a score."""
    found = metrics["cuts"][cut]
    return (found["true"] + found["false"]) / metrics["images"]


def _recall(metrics: Metrics) -> float:
    return metrics["cuts"]["0.05"]["recall"]


def _lift(mse: Metrics, focal: Metrics) -> float:
    """How many times higher the background confidence rests under focal."""
    return _ratio(focal["confidence"]["background"], mse["confidence"]["background"], 1e-4)


def _spread(*runs: Metrics) -> float:
    """Largest over smallest lift of four pairs (mse, focal), one a setting of the optimiser."""
    lifts = [_lift(mse, focal) for mse, focal in zip(runs[::2], runs[1::2], strict=True)]
    return max(lifts) / min(lifts)


def _box_gain(dense: Metrics, conv: Metrics, short: Metrics, unfrozen: Metrics) -> float:
    """IoU on all object cells: what unfreezing adds, less what another head on the same frozen features adds."""
    iou = [run["object_iou"]["best"] for run in (dense, conv, short, unfrozen)]
    return (iou[3] - iou[2]) - (iou[1] - iou[0])


@cache
def _head_margin() -> float:
    """GiB, predicted for ResNet18 at 448 px under Adam, one picture at a time, the planner's reserve included: by how much the full head
    oversteps a card of 6 GiB, or by how much the compressed one stays below, whichever is less."""
    from trial.planner.memory import GIB, RESERVE_GIB, predict  # here: who only reads a register need not wait for it
    from yolo_core.training.config import RunConfig

    config = RunConfig(backbone="resnet18", image_size=448, optimiser="adam")
    full, compressed = (predict(replace(config, head=head), 1).total / GIB + RESERVE_GIB for head in ("full", "compressed"))
    return min(full - 6, 6 - compressed)


def _least_step(scratch: Metrics, focal: Metrics, frozen: Metrics, tuned: Metrics) -> float:
    """The least of the differences that order the four experiments as published: 0.0356 > 0.0236 > 0.0049 > 0.0000 for Exp 3, 4, 1, 2."""
    in_order = [run["map_as_released"] for run in (frozen, tuned, scratch, focal)]
    return min(above - below for above, below in pairwise(in_order))


def _gain(without: Metrics, with_it: Metrics) -> float:
    """How many times the mAP."""
    return _ratio(with_it["map"], without["map"])


WRITE_UP, RIVAL, ENGINEERING = "write-up", "rival", "engineering"
BASELINE, FOCAL, TRANSFER, FINETUNE, MEMORY = (f"notebooks/{name}" for name in ("baseline", "focal", "transfer", "finetune", "memory"))
SCRATCH = "the scratch net at half width"
HEAD, ASSIGNMENT, BOXES, SCORE, MOSAIC, REMEDIES = (
    f"notebooks/{name}" for name in ("head", "assignment", "boxes", "score", "mosaic", "remedies")
)
BASE, SHORT = ("remedies", "base"), "frozen Lite0, a short training"
EXP_1, EXP_3, EXP_3_CONV = ("baseline", "compressed"), ("focal", "mse"), ("focal", "mse-conv")

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "C1",
        WRITE_UP,
        "From scratch, the detector answers background: most objects are missed",
        "recall at score 0.05 on val is below 0.5",
        (EXP_1,),
        _recall,
        0.5,
        above=False,
        page=BASELINE,
        scope=SCRATCH,
        overturn="A longer training from scratch, at the full width, that finds most objects at the same cut.",
    ),
    Claim(
        "C1a",
        WRITE_UP,
        "...because the head was compressed",
        "with the full head in its place, recall at score 0.05 is more than 0.1 higher",
        (EXP_1, ("baseline", "full")),
        lambda compressed, full: _recall(full) - _recall(compressed),
        0.1,
        above=True,
        page=BASELINE,
        scope=SCRATCH,
        overturn="A full head that pulls ahead when both are trained until they stop improving.",
    ),
    Claim(
        "C1b",
        WRITE_UP,
        "...because nothing was pre-trained",
        "with a frozen ImageNet backbone, recall at score 0.05 is more than 0.1 higher than with the same net random, trained or frozen",
        (EXP_3, ("transfer", "scratch"), ("transfer", "frozen-random")),
        lambda frozen, scratch, random: _recall(frozen) - max(_recall(scratch), _recall(random)),
        0.1,
        above=True,
        page=TRANSFER,
        overturn="A net trained from scratch, for as long as it takes, that reaches the recall of the frozen one.",
    ),
    Claim(
        "C1c",
        RIVAL,
        "...mostly because mAP was scored above 0.4",
        "the cut at 0.4 hides more than half of the mAP that the same weights have at 0.001",
        (EXP_1,),
        lambda run: 1 - _ratio(run["cuts"]["0.4"]["map"], run["cuts"]["0.001"]["map"]),
        0.5,
        above=True,
        page=BASELINE,
        scope=SCRATCH,
        overturn="Weights whose mAP at 0.001 is as low as above 0.4.",
    ),
    Claim(
        "C1d",
        RIVAL,
        "...because lambda_coord is 0.5 and centres are relative to the image",
        "with the paper's 5 and cell-relative centres, recall at score 0.05 is more than 0.1 higher",
        (EXP_1, ("baseline", "low-coord-image-centres")),
        lambda paper, released: _recall(paper) - _recall(released),
        0.1,
        above=True,
        page=BASELINE,
        scope=SCRATCH,
        overturn="A difference between the two that shows only once the detector is past the floor.",
    ),
    Claim(
        "C1e",
        RIVAL,
        "It underfits rather than overfits to background",
        "recall at score 0.05 on the training pictures is below 0.5 too",
        (EXP_1,),
        lambda run: _recall(run["train_split"]),
        0.5,
        above=False,
        page=BASELINE,
        scope=SCRATCH,
        overturn="A training set learned by heart while the validation set is missed.",
    ),
    Claim(
        "C2a",
        WRITE_UP,
        "The focal factor starves the background gradient as a whole",
        "early in training, at the same weights, the background's gradient as focal is below 0.1 of that as squared error",
        (EXP_3,),
        lambda mse: mse["probes"]["focal_to_mse_gradient_early"],
        0.1,
        above=False,
        page=FOCAL,
        overturn="A net that starts with small confidences, so that no cell lies above 1/sqrt(2).",
    ),
    Claim(
        "C2b",
        WRITE_UP,
        "The grid floods with false positives",
        "more than twice as many false positives an image at score 0.1 as under the squared error",
        (EXP_3, ("focal", "focal")),
        lambda mse, focal: focal["cuts"]["0.1"]["false_per_image"] / max(mse["cuts"]["0.1"]["false_per_image"], 1e-3),
        2.0,
        above=True,
        page=FOCAL,
        overturn="A cut chosen for each arm by its own precision, at which the two counts meet.",
    ),
    Claim(
        "C2c",
        WRITE_UP,
        "mAP collapses",
        "the mAP under focal is below half of that under the squared error",
        (EXP_3, ("focal", "focal")),
        lambda mse, focal: _ratio(focal["map"], mse["map"]),
        0.5,
        above=False,
        page=FOCAL,
        overturn="An arm whose confidences rise and whose cells change places, so that AP falls with the rank correlation of the scores.",
    ),
    Claim(
        "C2d",
        RIVAL,
        "Under the factor as printed, the start decides in which of two wells a confidence ends",
        "the share of background confidences that end above one half is at least 0.5 higher from a start at 0.6 than from 0.3",
        (("focal", "focal-literal-from-0.3"), ("focal", "focal-literal-from-0.6")),
        lambda low, high: high["confidence"]["background_above_half"] - low["confidence"]["background_above_half"],
        0.5,
        above=True,
        page=FOCAL,
        scope="Lite0, convolutional head",
        overturn="Confidences that stay in the well they start in, under an optimiser with smaller steps.",
    ),
    Claim(
        "C2e",
        RIVAL,
        "The released reduction over-suppresses instead",
        "less than half as many detections an image at score 0.05 as under the squared error",
        (EXP_3, ("focal", "focal-coupled")),
        lambda mse, coupled: _detections(coupled, "0.05") / max(_detections(mse, "0.05"), 1e-3),
        0.5,
        above=False,
        page=FOCAL,
        overturn="Batches so small that 2 W + O falls below 1.",
    ),
    Claim(
        "C2f",
        RIVAL,
        "Adam and clipping decide the outcome",
        "the lift of the background confidence (focal over squared error) differs more than twofold between SGD and AdamW, clipped or not",
        (
            *(EXP_3_CONV, ("focal", "focal-conv"), ("focal", "mse-unclipped"), ("focal", "focal-unclipped")),
            *(("focal", "mse-sgd"), ("focal", "focal-sgd"), ("focal", "mse-sgd-slow-unclipped")),
            ("focal", "focal-sgd-slow-unclipped"),
        ),
        _spread,
        2.0,
        above=True,
        page=FOCAL,
        scope="Lite0, convolutional head",
        overturn="Another rate for SGD: it ran at one clipped, and at a hundredth of it unclipped, where the first one bursts.",
    ),
    Claim(
        "C2g",
        RIVAL,
        "The floor is the base-rate optimum",
        "cell by cell, background confidences on training pictures lie within a quarter of it (median), with squared error and with focal",
        (EXP_3, ("focal", "focal")),
        lambda mse, focal: max(run["train_split"]["floor"]["cell_error"] for run in (mse, focal)),
        0.25,
        above=False,
        page=FOCAL,
        overturn="A longer training at a constant rate whose confidences go on towards the floor: unfinished decay.",
    ),
    Claim(
        "C2h",
        WRITE_UP,
        "As it was run, from scratch and under the released reduction, mAP collapses",
        "the mAP under the released reduction is below half of that under the squared error, all else the paper's",
        (EXP_1, ("baseline", "focal-coupled")),
        lambda mse, coupled: _ratio(coupled["map"], mse["map"]),
        0.5,
        above=False,
        page=FOCAL,
        scope=SCRATCH,
        overturn="A longer training, at whose end the suppressed confidences have risen.",
    ),
    Claim(
        "C2i",
        WRITE_UP,
        "From scratch, mAP collapses under the formula as derived",
        "the mAP under the focal term is below half of that under the squared error, all else the paper's",
        (EXP_1, ("baseline", "focal")),
        lambda mse, focal: _ratio(focal["map"], mse["map"]),
        0.5,
        above=False,
        page=FOCAL,
        scope=SCRATCH,
        overturn="A longer training from scratch, in which the two part.",
    ),
    Claim(
        "C2j",
        WRITE_UP,
        "The focal factor starves most background predictors",
        "early in training, more than half of the background predictors feel less than a tenth of the squared error's gradient",
        (EXP_3,),
        lambda mse: mse["probes"]["starved_early"],
        0.5,
        above=True,
        page=FOCAL,
        overturn="A net that starts with confidences above 0.22, where the factor leaves a tenth.",
        known="EmojiVOC",
    ),
    Claim(
        "C2k",
        WRITE_UP,
        "Precision collapses",
        "precision at score 0.1 is below half of that under the squared error",
        (EXP_3, ("focal", "focal")),
        lambda mse, focal: _ratio(focal["cuts"]["0.1"]["precision"], mse["cuts"]["0.1"]["precision"]),
        0.5,
        above=False,
        page=FOCAL,
        overturn="A cut chosen for each arm by its own recall, at which the two precisions meet.",
        known="EmojiVOC",
    ),
    Claim(
        "C3a",
        WRITE_UP,
        "A frozen ImageNet backbone gives about 7 times the mAP of training from scratch",
        "the ratio lies between 3.5 and 14, and the denominator is at least 0.02",
        (EXP_3, EXP_1),
        lambda frozen, scratch: _ratio(frozen["map"], scratch["map"]),
        3.5,
        above=True,
        upper=14.0,
        page=TRANSFER,
        overturn="A training from scratch long enough to leave the floor.",
    ),
    Claim(
        "C3b",
        RIVAL,
        "A frozen random backbone would do as well",
        "its mAP is more than 0.8 of the frozen ImageNet backbone's",
        (EXP_3, ("transfer", "frozen-random")),
        lambda imagenet, random: _ratio(random["map"], imagenet["map"]),
        0.8,
        above=True,
        page=TRANSFER,
        overturn="Random features with normalised statistics that a head can read as well.",
    ),
    Claim(
        "C3c",
        WRITE_UP,
        "Freezing prevents box regression from adapting",
        "IoU on all ground-truth cells gains more by unfreezing the backbone than by a convolutional head on the same frozen features",
        (EXP_3, EXP_3_CONV, ("finetune", "frozen-conv"), ("finetune", "two-rates-still")),
        _box_gain,
        0.0,
        above=True,
        page=TRANSFER,
        overturn="A longer fine-tuning that adds more than the change of head did.",
    ),
    Claim(
        "C3d",
        WRITE_UP,
        "A set like VOC lacks the volume to learn features from",
        "from scratch, at equal steps, four times the scenes give at least 1.5 times the mAP",
        (("baseline", "conv"), ("baseline", "conv-quarter")),
        lambda whole, quarter: _ratio(whole["map"], quarter["map"]),
        1.5,
        above=True,
        page=TRANSFER,
        scope="the scratch net at half width, convolutional head, a quarter and the whole of the training pictures",
        overturn="Volumes beyond these, trained for as long as they ask for.",
    ),
    Claim(
        "C3e",
        WRITE_UP,
        "A set like VOC lacks the volume to learn features from: the same without a division",
        "from scratch, at equal steps, the mAP of all pictures exceeds 1.5 times that of a quarter of them",
        (("baseline", "conv"), ("baseline", "conv-quarter")),
        lambda whole, quarter: whole["map"] - 1.5 * quarter["map"],
        0.0,
        above=True,
        page=TRANSFER,
        scope="the scratch net at half width, convolutional head, a quarter and the whole of the training pictures",
        overturn="Volumes beyond these, trained for as long as they ask for.",
        known="EmojiVOC",
    ),
    Claim(
        "C4a",
        WRITE_UP,
        "Full fine-tuning at 1e-5 lowers mAP",
        "with either head, from a fresh head and from Exp 3's trained one, mAP is below 0.9 of Exp 3's: the best of the four",
        (
            *(EXP_3, ("finetune", "fresh"), ("finetune", "continued")),
            *(EXP_3_CONV, ("finetune", "one-rate-conv"), ("finetune", "continued-conv")),
        ),
        lambda dense, fresh, on, conv, fresh_conv, on_conv: max(
            _ratio(max(fresh["map"], on["map"]), dense["map"]), _ratio(max(fresh_conv["map"], on_conv["map"]), conv["map"])
        ),
        0.9,
        above=False,
        page=FINETUNE,
        overturn="More steps: at 1e-5 a fresh head has hardly moved.",
    ),
    Claim(
        "C4b",
        WRITE_UP,
        "...because micro-batches disturb BatchNorm",
        "going from micro-batches of 2 to 16 gives back more than half of what holding BatchNorm's statistics gives back",
        (("finetune", "two-rates-micro-2"), ("finetune", "two-rates-micro-2-still"), ("finetune", "two-rates")),
        lambda small, still, whole: _share(whole["map"] - small["map"], still["map"] - small["map"]),
        0.5,
        above=True,
        page=FINETUNE,
        scope="Lite0, convolutional head",
        overturn="A backbone with a larger BatchNorm momentum (Lite0's is 0.01), or larger batches still.",
    ),
    Claim(
        "C4c",
        RIVAL,
        "...because the new head was trained at 1e-5 too",
        "a fresh head at its own rate gives back more than half of what one rate loses to a frozen backbone, on the same scenes and steps",
        (("finetune", "one-rate-conv"), ("finetune", "two-rates"), ("finetune", "frozen-conv")),
        lambda one, two, frozen: _share(two["map"] - one["map"], frozen["map"] - one["map"]),
        0.5,
        above=True,
        page=FINETUNE,
        scope="Lite0, convolutional head",
        overturn="A training at one rate long enough for the head to converge.",
    ),
    Claim(
        "C4d",
        RIVAL,
        "The weights are sound, only the running statistics are off",
        "recomputing BatchNorm's statistics over training pictures gives back more than half of what holding them gives back",
        (("finetune", "two-rates-micro-2"), ("finetune", "two-rates-micro-2-still")),
        lambda moved, still: _share(moved["batchnorm"]["map_recomputed"] - moved["map"], still["map"] - moved["map"]),
        0.5,
        above=True,
        page=FINETUNE,
        scope="Lite0, convolutional head",
        overturn="A recomputation over more pictures that gives back more.",
    ),
    Claim(
        "C4e",
        RIVAL,
        "...because the new head was trained at 1e-5 too, the backbone's rate held",
        "with the backbone at 1e-5, a fresh head at its own rate gives back more than half of what one rate loses to a frozen backbone",
        (("finetune", "one-rate-conv"), ("finetune", "head-rate"), ("finetune", "frozen-conv")),
        lambda one, head, frozen: _share(head["map"] - one["map"], frozen["map"] - one["map"]),
        0.5,
        above=True,
        page=FINETUNE,
        scope="Lite0, convolutional head",
        overturn="A training at one rate long enough for the head to converge.",
    ),
    Claim(
        "P1",
        ENGINEERING,
        "The four published figures come back in their order, run and scored as released",
        "in mAP as the public code scores it, Exp 3 is above Exp 4, Exp 4 above Exp 1, Exp 1 above Exp 2 (effect: the least difference)",
        (("baseline", "released"), ("baseline", "released-focal"), ("transfer", "released"), ("finetune", "released")),
        _least_step,
        0.0,
        above=True,
        page="book/write_up",
        scope="the public code's options, at this profile's length",
        overturn="The public code's hundred epochs on VOC 2012 itself.",
    ),
    Claim(
        "H1",
        ENGINEERING,
        "Accumulation equals the full batch, BatchNorm aside",
        "in float64 the largest difference of a gradient is below one millionth of the largest gradient",
        (("accumulation", "accumulated-8x2"),),
        lambda run: run["accumulation_gap"],
        1e-6,
        above=False,
        page=FINETUNE,
        overturn="A term of the loss that is not a sum over images, such as the released focal reduction.",
    ),
    Claim(
        "H2",
        ENGINEERING,
        "Cutting the head is what makes 6 GB enough",
        "one picture at a time, the full head oversteps 6 GiB and the compressed head does not (effect: the smaller margin, GiB)",
        (),
        _head_margin,
        0.0,
        above=True,
        page=MEMORY,
        scope="ResNet18 at 448 px under Adam",
        overturn="A card of 6 GB on which the full head trains.",
    ),
    Claim(
        "H3",
        WRITE_UP,
        "Accumulation does better than small steps at the same rate",
        "at the same rate and pictures, steps of 2 reach less than 0.9 of the mAP of steps of 8 x 2",
        (("accumulation", "batch-2"), ("accumulation", "accumulated-8x2")),
        lambda small, accumulated: _ratio(small["map"], accumulated["map"]),
        0.9,
        above=False,
        page=FINETUNE,
        scope="frozen Lite0, convolutional head",
        overturn="A rate for steps of 2 that is tuned to them.",
    ),
    Claim(
        "H3a",
        WRITE_UP,
        "Accumulation keeps the optimiser stable",
        "at the same rate and pictures, the gradient's norm varies at least a quarter less from step to step (deviation of its logarithm)",
        (("accumulation", "batch-2"), ("accumulation", "accumulated-8x2")),
        lambda small, accumulated: small["gradient_norm"]["log_spread"] / accumulated["gradient_norm"]["log_spread"],
        1.25,
        above=True,
        page=FINETUNE,
        scope="frozen Lite0, convolutional head",
        overturn="A rate at which steps of 2 diverge and accumulated ones do not.",
    ),
    Claim(
        "R1",
        WRITE_UP,
        "A decoupled head helps",
        "at one stride, mAP is more than a tenth higher than with the branch that boxes and classes share",
        (BASE, ("remedies", "decoupled")),
        _gain,
        1.1,
        above=True,
        page=HEAD,
        scope=SHORT,
        overturn="A longer training, at whose end the shared branch has fallen behind.",
    ),
    Claim(
        "R1a",
        WRITE_UP,
        "...because box gradients corrupt class features",
        "on the layers that both use, the two gradients oppose one another: their mean cosine is below 0",
        (BASE,),
        lambda base: base["probes"]["box_class_cosine"],
        0.0,
        above=False,
        page=HEAD,
        scope=SHORT,
        overturn="A net that trains its shared layers from scratch, or one so small that boxes and classes compete for its channels.",
    ),
    Claim(
        "R2",
        WRITE_UP,
        "Mosaic helps",
        "with every other idea in place, mAP is more than a tenth higher",
        (("remedies", "all"), ("remedies", "all-mosaic")),
        _gain,
        1.1,
        above=True,
        page=MOSAIC,
        scope=SHORT,
        overturn="A training of as many epochs as mosaic is made for: it is a regulariser.",
    ),
    Claim(
        "R2a",
        WRITE_UP,
        "...because it simulates larger batches",
        "at micro-batch 2, BatchNorm's mean, its variance and the gradient are all as steady as in a batch at least twice as large",
        (("remedies", "mosaic"),),
        lambda run: min(run["mosaic"]["2"].values()),
        2.0,
        above=True,
        page=MOSAIC,
        scope=SHORT,
        overturn="Mosaics of four pictures shrunk to quadrants, of which each counts as much as the others.",
    ),
    Claim(
        "R3",
        WRITE_UP,
        "Task-aligned assignment helps on the same 7 x 7 points",
        "alone, on the same 7 x 7 points, mAP is more than a tenth higher than by YOLOv1's rule",
        (BASE, ("remedies", "aligned")),
        _gain,
        1.1,
        above=True,
        page=ASSIGNMENT,
        scope=SHORT,
        overturn="An alignment with other exponents: TOOD's and YOLOv8's differ.",
    ),
    Claim(
        "R3a",
        WRITE_UP,
        "...because the 7 x 7 grid made it overfit the background",
        "alone, finer grids raise the recall at score 0.05 by more than the assignment on the same 7 x 7 points does",
        (BASE, ("remedies", "strides"), ("remedies", "aligned")),
        lambda base, strides, aligned: _recall(strides) - _recall(aligned),
        0.0,
        above=True,
        page=ASSIGNMENT,
        scope=SHORT,
        overturn="A cut chosen for each by its own precision, at which the order turns.",
    ),
    Claim(
        "R3b",
        WRITE_UP,
        "Leaving the rigid 7 x 7 grid helps",
        "three strides in the place of one, by YOLOv1's rule of assignment, raise the mAP by more than a tenth",
        (BASE, ("remedies", "strides")),
        _gain,
        1.1,
        above=True,
        page=ASSIGNMENT,
        scope=SHORT,
        overturn="A longer training, in which the finer levels learn what they are for.",
        known="EmojiVOC",
    ),
    Claim(
        "R4",
        WRITE_UP,
        "CIoU beats squared error in mAP",
        "alone, mAP is more than a tenth higher than with YOLOv1's box term",
        (BASE, ("remedies", "ciou")),
        _gain,
        1.1,
        above=True,
        page=BOXES,
        scope=SHORT,
        overturn="Another weight of the box term: each loss ran at one.",
    ),
    Claim(
        "R4a",
        WRITE_UP,
        "CIoU gives better boxes",
        "alone, class-agnostic mAP is more than a tenth higher than with YOLOv1's box term",
        (BASE, ("remedies", "ciou")),
        lambda base, ciou: _ratio(ciou["map_class_agnostic"], base["map_class_agnostic"]),
        1.1,
        above=True,
        page=BOXES,
        scope=SHORT,
        overturn="Another weight of the box term: each loss ran at one.",
        known="EmojiVOC",
        fresh=10,
    ),
    Claim(
        "R5",
        WRITE_UP,
        "Together they cure it",
        "all of them stand at least 0.30 mAP above the dense head of Exp 3, on the same frozen backbone and as many pictures",
        (EXP_3, ("remedies", "all")),
        lambda dense, cured: cured["map"] - dense["map"],
        0.3,
        above=True,
        page=REMEDIES,
        scope=SHORT,
        overturn="Features that know the designs which the validation scenes hold out.",
    ),
    Claim(
        "R6",
        RIVAL,
        "Quality focal loss on logits beats squared errors of linear scores, in a detector at points",
        "quality focal loss alone raises the mAP by more than a tenth over squared errors",
        (BASE, ("remedies", "quality")),
        _gain,
        1.1,
        above=True,
        page=SCORE,
        scope=SHORT,
        overturn="A rate tuned to each of the two losses.",
    ),
    Claim(
        "R6a",
        RIVAL,
        "...because of its focal factor",
        "the mAP is more than a tenth higher than with the same loss at gamma = 0, a cross-entropy",
        (("remedies", "quality-gamma-0"), ("remedies", "quality")),
        _gain,
        1.1,
        above=True,
        page=SCORE,
        scope=SHORT,
        overturn="A weight tuned to each of the two: the cross-entropy's sum is the larger.",
    ),
)
