"""Figures of the data card: one data set laid over another, and the designs of EmojiVOC.

Inside: `overlay`, `class_bars`, `designs_sheet`.
"""

from collections.abc import Callable, Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from PIL import Image

from emojivoc.statistics import ASPECT_EDGES, CENTRE_EDGES, SIZE_EDGES, Statistics
from trial.figures.figures import BLUE, MUTED, WIDTH, legend_below
from voc_tree.annotation import CLASSES


def overlay(ours: Statistics, other: Statistics, names: tuple[str, str] = ("EmojiVOC", "VOC 2012 train")) -> Figure:
    """Two data sets over each other: objects an image, size, aspect ratio, centres, objects a cell; in shares of their own totals."""
    panels = (
        ("per_image", np.arange(len(ours.per_image) + 1) - 0.5, "objects per image"),
        ("sizes", SIZE_EDGES, "size, √share of picture"),
        ("aspects", ASPECT_EDGES, "ln(width / height)"),
        ("per_cell", np.arange(len(ours.per_cell) + 1) - 0.5, "objects per cell"),
        ("centre_x", CENTRE_EDGES, "centre, x"),
        ("centre_y", CENTRE_EDGES, "centre, y"),
    )
    figure, axes = plt.subplots(2, 3, figsize=(WIDTH, 4.2))
    for axis, (name, edges, label) in zip(axes.flat, panels, strict=True):
        for data, colour, filled in ((other, MUTED, True), (ours, BLUE, False)):
            counts = np.asarray(getattr(data, name), float)
            axis.stairs(counts / counts.sum(), edges, color=colour, fill=filled, alpha=0.5 if filled else 1, lw=1.5)
        axis.set(xlabel=label, yticks=[])
        axis.grid(False)
    axes[0, 0].set_ylabel("share")
    axes[1, 0].set(yscale="log", ylabel="share, log")
    figure.legend(
        handles=[Patch(color=MUTED, alpha=0.5, label=names[1]), Patch(fc="none", ec=BLUE, label=names[0])],
        loc="outside upper right",
        ncols=2,
    )
    return figure


def class_bars(ours: Statistics, other: Statistics, names: tuple[str, str] = ("EmojiVOC", "VOC 2012 train")) -> Figure:
    """Each class's share of the objects, two data sets side by side, on a logarithmic scale."""
    figure, axes = plt.subplots(figsize=(WIDTH, 2.9))
    x = np.arange(len(CLASSES))
    for shift, data, colour, name in ((-0.2, other, MUTED, names[1]), (0.2, ours, BLUE, names[0])):
        axes.bar(x + shift, np.asarray(data.classes) / max(data.objects, 1), 0.4, color=colour, label=name)
    axes.set(yscale="log", ylabel="share of objects", xticks=x)
    axes.set_xticklabels(CLASSES, rotation=50, ha="right", fontsize=8.5)
    axes.grid(axis="x", visible=False)
    legend_below(axes)
    return figure


def designs_sheet(glyphs: Mapping[str, Any], picture: Callable[[str], Image.Image], most: int = 12) -> Figure:
    """One variant of each design: those of training in the left half, those of validation alone in the right; `most` of each."""
    side, columns = 1.0, 2 * most + 1
    figure, axes = plt.subplots(figsize=(WIDTH, 0.42 * WIDTH * len(glyphs) / 10))
    for row, designs in enumerate(glyphs.values()):
        for start, half in ((0, designs.train), (most + 1, designs.val)):
            for k, variants in enumerate(half[:most]):
                x = start + k
                axes.imshow(picture(variants[0]).convert("RGBA"), extent=(x, x + side, row + side, row), interpolation="bilinear")
    axes.axvline(most + 0.5, color=MUTED, lw=1)
    axes.set(xlim=(0, columns), ylim=(len(glyphs), -0.2), yticks=np.arange(len(glyphs)) + 0.5, yticklabels=list(glyphs))
    axes.set(xticks=[most / 2, most + 1 + most / 2], xticklabels=["train", "val only"], aspect="equal")
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    return figure
