"""Figures of the chapter on remedies.

Inside: `assigned` (who answers for which object), `box_costs` (what a shifted box pays), `conflict` (boxes against classes on shared
layers), `error_bars` (mistakes by kind), `steps` (from Exp 1 to the last detector).
"""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor
from torchvision.ops import complete_box_iou_loss

from yolo_core.detector.assign import Assignment
from yolo_core.detector.boxes import paired_iou
from yolo_core.detector.errors import KINDS
from yolo_core.detector.point_loss import squared_box
from yolo_core.detector.points import Points, Truth
from yolo_core.study.figures import BLUE, CYCLE, GREEN, INK, MUTED, ORANGE, PURPLE, RED, SKY, WIDTH, draw_objects

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
    """What a box of the right size pays for being shifted sideways, and the slope that pulls it back, under three losses."""
    shifts = torch.linspace(0, reach, 301, dtype=torch.float64, requires_grad=True)
    truth = torch.tensor([0.0, 0.0, width, width], dtype=torch.float64).expand(len(shifts), 4)
    boxes = truth + torch.stack([shifts, 0 * shifts, shifts, 0 * shifts], -1)
    stride = torch.full((len(shifts), 1), width, dtype=torch.float64)  # squared errors are counted in these
    costs = {
        "squared error": squared_box(boxes, truth, stride),
        "1 - IoU": 1 - paired_iou(boxes, truth),
        "1 - CIoU": complete_box_iou_loss(boxes, truth),
    }
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
    left.legend(fontsize=8.5)
    return figure


def conflict(tables: Mapping[str, Sequence[pd.DataFrame]]) -> Figure:
    """The cosine between what boxes and what classes ask of the neck, by step: a line a run, a colour an arm."""
    figure, axes = plt.subplots(figsize=(0.8 * WIDTH, 2.8))
    for (name, runs), colour in zip(tables.items(), CYCLE, strict=False):
        for i, table in enumerate(runs):
            axes.plot(table["step"], table["cosine"], color=colour, lw=1.2, marker="o", ms=3, label=name if i == 0 else None)
    axes.axhline(0, color=INK, lw=0.8, ls=":")
    axes.set(xlabel="step", ylabel="cosine of the two gradients", ylim=(-1, 1))
    axes.legend(fontsize=8.5)
    return figure


def error_bars(found: Mapping[str, Mapping[str, int]], images: int) -> Figure:
    """A bar a detector: its detections by kind and the objects that none of them found, an image."""
    figure, axes = plt.subplots(figsize=(WIDTH, 1.0 + 0.4 * len(found)))
    left = np.zeros(len(found))
    for kind in KINDS:
        counts = np.array([kinds[kind] / images for kinds in found.values()])
        axes.barh(list(found), counts, 0.65, left=left, color=COLOURS[kind], label=kind)
        left += counts
    axes.invert_yaxis()
    axes.set(xlabel="an image")
    axes.grid(axis="y", visible=False)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=len(KINDS), fontsize=8.5, handlelength=1)
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
