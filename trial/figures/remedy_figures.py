"""Figures of the pages on remedies.

Inside: of mechanisms, `assigned` (who answers for which object), `crowded` (objects in one cell), `box_costs` (what a shifted box pays),
`led_boxes` (where slopes lead it), `taught_bins` (a distance as a distribution), `score_slopes` (what pulls at a score), `conflict` (boxes
against classes on shared layers), `live_conflict` (the same as a run goes on); of results, `error_bars` (mistakes by kind), `class_dots`
(classes), `side_by_side` (detections), `steps` (from Exp 1 to the last detector).
"""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from torch import Tensor
from torchvision.ops import complete_box_iou_loss

from anchor_free.assign import Assignment
from anchor_free.point_loss import distribution_focal, squared_box
from anchor_free.points import Points, Truth
from trial.figures.figures import BLUE, CYCLE, GREEN, INK, MUTED, ORANGE, PURPLE, RED, SKY, WIDTH, draw_objects, legend_below
from trial.instruments.error_types import KINDS
from yolo_core.detector.boxes import paired_iou
from yolo_core.detector.grid import Grid
from yolo_core.detector.loss import quality_focal

# What is found, what is found wrongly, what is not found.
COLOURS = dict(zip(KINDS, (GREEN, SKY, ORANGE, BLUE, PURPLE, MUTED, RED), strict=True))


def assigned(picture: Tensor, rules: Mapping[str, tuple[Points, Assignment]], truth: Truth) -> Figure:
    """One picture a rule: its objects, and each point that answers for one in that object's colour, the larger the more it weighs."""
    figure, panels = plt.subplots(1, len(rules), figsize=(WIDTH, WIDTH / len(rules) + 0.3), squeeze=False)
    side = picture.shape[-1]
    for axes, (title, (points, found)) in zip(panels.flat, rules.items(), strict=True):
        centres = points.centres(torch.zeros(())) * side
        draw_objects(axes, picture, {"boxes": truth.boxes[0][truth.real[0]] * side, "labels": truth.labels[0][truth.real[0]]})
        axes.scatter(*centres.T, s=9, color="white", edgecolor=INK, lw=0.4, zorder=2)
        for j in range(int(truth.real.sum())):
            mine = found.object[0] == j
            size, colour = 30 + 170 * found.weight[0][mine], CYCLE[j % len(CYCLE)]
            axes.scatter(*centres[mine].T, s=size, color=colour, edgecolor="white", lw=0.8, zorder=3)
        axes.set(title=title, xlim=(0, side), ylim=(side, 0))
    return figure


def box_costs(width: float = 0.25, reach: float = 0.75) -> Figure:
    """What a box of the right size pays for being shifted sideways, and the slope that pulls it back, under three losses
    (eq-overlap-slope, eq-distance-slope)."""
    shifts = torch.linspace(0, reach, 301, dtype=torch.float64, requires_grad=True)
    truth = torch.tensor([0.0, 0.0, width, width], dtype=torch.float64).expand(len(shifts), 4)
    boxes = truth + torch.stack([shifts, 0 * shifts, shifts, 0 * shifts], -1)
    stride = torch.full((len(shifts), 1), width, dtype=torch.float64)  # squared errors are counted in these
    costs = {name: _cost(name, boxes, truth, stride) for name in (LEAST_SQUARES, OVERLAP, COMPLETE)}
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 2.8))
    x = (shifts / width).detach()
    for (name, cost), colour in zip(costs.items(), CYCLE, strict=False):
        (slope,) = torch.autograd.grad(cost.sum(), shifts, retain_graph=True)
        left.plot(x, cost.detach(), color=colour, label=name)
        right.plot(x[1:], slope[1:] * width, color=colour)
    for axes, label in ((left, "loss"), (right, "slope")):
        axes.set(xlabel="shift, in widths of the box", ylabel=label)
    left.set_ylim(0, 2.2)
    right.set_ylim(-0.1, 2.2)
    legend_below(left)
    return figure


LEAST_SQUARES, OVERLAP, COMPLETE = "squared error", "1 - IoU", "1 - CIoU"


def _cost(name: str, boxes: Tensor, truth: Tensor, stride: Tensor) -> Tensor:
    """Each box's loss by name."""
    if name == LEAST_SQUARES:
        return squared_box(boxes, truth, stride)
    return 1 - paired_iou(boxes, truth) if name == OVERLAP else complete_box_iou_loss(boxes, truth, reduction="none")


def led_boxes(steps: int = 220, length: float = 0.01) -> Figure:
    """Boxes of a wrong place and shape, led by nothing but the slope of a loss, each step as long as every other: their overlap with the
    object, and where they went. What leads their shape is eq-aspect-slope."""
    truth = torch.tensor([[0.55, 0.35, 0.85, 0.65]], dtype=torch.float64)
    start = torch.tensor([[0.05, 0.2, 0.25, 0.3]], dtype=torch.float64)  # does not meet the object
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 2.9), width_ratios=(1.25, 1))
    for name, colour in zip((LEAST_SQUARES, OVERLAP, COMPLETE), CYCLE, strict=False):
        box, overlaps, centres = start.clone(), [], []
        for _ in range(steps):
            overlaps.append(paired_iou(box, truth).item())
            centres.append(((box[0, :2] + box[0, 2:]) / 2).tolist())
            leaf = box.clone().requires_grad_()
            (slope,) = torch.autograd.grad(_cost(name, leaf, truth, torch.full((1, 1), 1 / 7, dtype=torch.float64)).sum(), leaf)
            box = box - length * slope / slope.norm().clamp(min=1e-12)
        left.plot(overlaps, color=colour, label=name)
        right.plot(*np.transpose(centres), color=colour, marker="o", ms=2, lw=1)
    for box, text in ((start, "start"), (truth, "object")):
        x, y, x1, y1 = box[0].tolist()
        right.add_patch(plt.Rectangle((x, y), x1 - x, y1 - y, fill=False, ec=GREEN if text == "object" else MUTED, lw=1.6))
        right.text(x, y - 0.02, text, fontsize=8.5, color=INK)
    left.set(xlabel="step", ylabel="IoU with the object", ylim=(-0.03, 1.03))
    legend_below(left)
    right.set(xlim=(0, 1), ylim=(0.85, 0), aspect="equal", xticks=[], yticks=[], title="paths of the centres")
    return figure


def taught_bins(distance: float = 2.3, bins: int = 6, looks: Sequence[int] = (0, 10, 300), rate: float = 1.0) -> Figure:
    """The distribution over a side's distances while the distribution focal loss alone teaches it, from all bins alike."""
    logits, goal = torch.zeros(1, 4, bins + 1, dtype=torch.float64), torch.full((1, 4), distance, dtype=torch.float64)
    figure, panels = plt.subplots(1, len(looks), figsize=(WIDTH, 2.3), sharey=True)
    for step in range(max(looks) + 1):
        if step in looks:
            p, axes = logits[0, 0].softmax(-1), panels[list(looks).index(step)]
            mean = float(p @ torch.arange(bins + 1.0, dtype=p.dtype))
            axes.bar(range(bins + 1), p, color=SKY)
            axes.axvline(distance, color=GREEN, lw=2)
            axes.axvline(mean, color=RED, lw=1.4, ls="--")
            axes.set(title=f"step {step}: mean {mean:.2f}", xlabel="distance in strides", xticks=range(bins + 1))
        leaf = logits.clone().requires_grad_()
        (slope,) = torch.autograd.grad(distribution_focal(leaf, goal).sum(), leaf)
        logits = logits - 4 * rate * slope  # the loss is a mean over the four sides
    panels[0].set_ylabel("probability")
    return figure


def score_slopes(lambda_noobj: float = 0.5, quality: float = 0.8) -> Figure:
    """How hard each loss pulls at the number that a net puts out, by the score that number stands for: a place without an object, and
    one whose box overlaps its object by `quality`. All by autograd."""
    score = torch.logspace(-3, -0.01, 300, dtype=torch.float64)
    linear, odds = score.clone().requires_grad_(), torch.logit(score).requires_grad_()
    none, goal = torch.zeros_like(score), torch.full_like(score, quality)
    background = {
        "square of a number (Exp 1)": (linear, lambda_noobj * linear.square()),
        "quartic (Exp 2)": (linear, lambda_noobj * linear.abs().square() * linear.square()),
        "cross-entropy of a logit": (odds, quality_focal(odds, none, 0.0)),
        "quality focal of a logit": (odds, quality_focal(odds, none)),
    }
    taught = {
        "square of a number (Exp 1)": (linear, (linear - goal).square()),
        "cross-entropy of a logit": (odds, quality_focal(odds, goal, 0.0)),
        "quality focal of a logit": (odds, quality_focal(odds, goal)),
    }
    colours = dict(zip(background, CYCLE, strict=False))
    figure, panels = plt.subplots(1, 2, figsize=(WIDTH, 3.0))
    for axes, title, losses in zip(panels, ("no object", f"an object, overlap {quality:g}"), (background, taught), strict=True):
        for name, (leaf, loss) in losses.items():
            (slope,) = torch.autograd.grad(loss.sum(), leaf)
            dashes = "--" if name.startswith("cross") else "-"  # it lies on the square's where there is no object
            axes.plot(score, slope.abs(), color=colours[name], ls=dashes, label=name)
        axes.set(title=title, xlabel="score", xscale="log", yscale="log", ylim=(1e-8, 3))
    panels[0].set_ylabel("slope")
    legend_below(panels[0], columns=2)
    return figure


def crowded(targets: Sequence[Mapping[str, Tensor]], sides: Sequence[int] = (7, 14, 28)) -> Figure:
    """The share of a split's objects whose cell is taken by another one, by the grid's side."""
    shares = [float(torch.cat([Grid(S=side).lost(t["boxes"]) for t in targets]).float().mean()) for side in sides]
    figure, axes = plt.subplots(figsize=(0.7 * WIDTH, 1.9))
    bars = axes.barh([f"{side} x {side}" for side in sides], shares, 0.6, color=BLUE)
    axes.bar_label(bars, [f"{share:.1%}" for share in shares], padding=4, fontsize=9)
    axes.set(xlabel="objects whose cell is taken", xlim=(0, 1.25 * max(shares)))
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    return figure


def conflict(tables: Mapping[str, Sequence[pd.DataFrame]]) -> Figure:
    """The cosine between what boxes and what classes ask of the neck, by step: a line a run, a colour an arm."""
    figure, axes = plt.subplots(figsize=(0.8 * WIDTH, 2.8))
    for (name, runs), colour in zip(tables.items(), CYCLE, strict=False):
        for i, table in enumerate(runs):
            axes.plot(table["step"], table["cosine"], color=colour, lw=1.2, marker="o", ms=3, label=name if i == 0 else None)
    axes.axhline(0, color=INK, lw=0.8, ls=":")
    axes.set(xlabel="step", ylabel="cosine of the two gradients", ylim=(-1, 1))
    legend_below(axes)
    return figure


def live_conflict(looks: pd.DataFrame, title: str) -> Figure:
    """Left: the norms of what boxes and what scores ask of the layers they share, by step. Right: the cosine between the two."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 2.7), width_ratios=(1.4, 1))
    for side, marker in (("box", "o"), ("score", "s")):
        left.plot(looks["step"], looks[side].clip(lower=1e-8), marker=marker, ms=3, lw=1.2, label=side)
    left.set(yscale="log", xlabel="step", ylabel="gradient norm on the neck", title=title)
    legend_below(left)
    right.plot(looks["step"], looks["cosine"], color=GREEN, marker="o", ms=3, lw=1.2)
    right.axhline(0, color=INK, lw=0.8, ls=":")
    right.set(ylim=(-1, 1), xlabel="step", ylabel="cosine", title="together or against")
    return figure


def error_bars(found: Mapping[str, Mapping[str, int]], images: int) -> Figure:
    """A bar per detector. Left, the objects: found, and missed. Right, the false detections by kind. Both per image."""
    figure, panels = plt.subplots(1, 2, figsize=(WIDTH, 1.2 + 0.4 * len(found)), sharey=True)
    mistakes = [kind for kind in KINDS if kind not in OF_OBJECTS]
    for axes, kinds, label in zip(panels, (OF_OBJECTS, mistakes), ("objects per image", "false detections per image"), strict=True):
        left = np.zeros(len(found))
        for kind in kinds:
            counts = np.array([counted[kind] / images for counted in found.values()])
            axes.barh(list(found), counts, 0.65, left=left, color=COLOURS[kind], label=kind)
            left += counts
        axes.set(xlabel=label)
        axes.grid(axis="y", visible=False)
    panels[0].invert_yaxis()
    handles = [handle for axes in panels for handle in axes.get_legend_handles_labels()[0]]
    figure.legend(handles, [*OF_OBJECTS, *mistakes], loc="outside lower center", ncols=len(KINDS), fontsize=8.5, handlelength=1)
    return figure


OF_OBJECTS = ("true", "missed")  # of errors.KINDS


def class_dots(values: Mapping[str, Sequence[Mapping[str, float]]]) -> Figure:
    """AP of every class, a row per class: a shape per detector, at the mean over its runs, on a line from the least to the greatest.
    Rows by the last detector's mean."""
    means = {name: pd.DataFrame(runs).mean() for name, runs in values.items() if runs}
    order = list(means)[-1] if means else None
    classes = list(means[order].sort_values(ascending=False).index) if means else []
    figure, axes = plt.subplots(figsize=(WIDTH, 1.0 + 0.24 * max(1, len(classes))))
    if means:
        table = pd.DataFrame(means).reindex(classes)
        axes.hlines(range(len(classes)), table.min(axis=1), table.max(axis=1), color="#d5d8e0", lw=2, zorder=1)
    for (name, mean), colour, marker in zip(means.items(), CYCLE, "osD^vP", strict=False):
        last = {} if name == order else {"mfc": "white", "mew": 1.3}
        axes.plot(
            mean.reindex(classes), range(len(classes)), marker, color=colour, ms=5.5, label=f"{name} (n = {len(values[name])})", **last
        )
    axes.set(yticks=range(len(classes)), yticklabels=classes, xlabel="AP@.5, val", xlim=(0, None))
    axes.invert_yaxis()
    if means:
        figure.legend(loc="outside lower center", ncols=2, fontsize=8.5)
    return figure


def side_by_side(
    pictures: Sequence[Tensor], targets: Sequence[Mapping[str, Tensor]], found: Mapping[str, Sequence[Mapping]], most: int = 4
) -> Figure:
    """The same pictures under every detector: a column a detector, its `most` best detections a picture red; the first column holds the
    annotation, green. Boxes in pixels."""
    best = {name: [{key: value[:most] for key, value in some.items()} for some in detections] for name, detections in found.items()}
    columns = {"annotated": (targets, GREEN)} | {name: (detections, RED) for name, detections in best.items()}
    size = WIDTH / len(columns)
    figure, axes = plt.subplots(len(pictures), len(columns), figsize=(WIDTH, size * len(pictures) + 0.3), squeeze=False)
    for column, (title, (objects, colour)) in zip(axes.T, columns.items(), strict=True):
        for axis, picture, mine in zip(column, pictures, objects, strict=True):
            draw_objects(axis, picture, mine, colour)
        column[0].set_title(title, fontsize=8.5)
    return figure


def steps(values: Mapping[str, Sequence[float]]) -> Figure:
    """A row a detector, from the first to the last: the mean over seeds as a bar from the one before it, each seed a dot."""
    figure, axes = plt.subplots(figsize=(WIDTH, 0.9 + 0.36 * len(values)))
    before = 0.0
    for row, seeds in enumerate(values.values()):
        if not len(seeds):
            axes.text(0.01, row, "not run", color=MUTED, fontsize=8.5, va="center", transform=axes.get_yaxis_transform())
            continue
        mean = float(np.mean(seeds))
        axes.barh(row, mean - before, 0.6, left=before, color=GREEN if mean >= before else RED, alpha=0.55)
        axes.plot(seeds, [row] * len(seeds), "o", color=INK, ms=4)
        before = mean
    axes.set(yticks=range(len(values)), yticklabels=list(values), ylim=(len(values) - 0.5, -0.5), xlabel="mAP@.5, val", xlim=(0, None))
    axes.grid(axis="y", visible=False)
    return figure
