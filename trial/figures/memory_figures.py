"""Figures of the chapter on memory.

Inside: `peaks` (memory by part against the micro-batch), `deviations` (BatchNorm's, by depth).
"""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from trial.figures.figures import CYCLE, INK, RED, WIDTH, legend_below
from trial.planner.memory import GIB, RESERVE_GIB, Peak


def peaks(heads: Mapping[str, Mapping[int, Peak]], budget_gib: float) -> Figure:
    """Stacked bars of the predicted peak, a panel a head, a bar a micro-batch, under the line of the card."""
    figure, panels = plt.subplots(1, len(heads), figsize=(WIDTH, 3.3), sharey=True, squeeze=False)
    for axes, (title, by_micro) in zip(panels.flat, heads.items(), strict=True):
        bottom = np.zeros(len(by_micro))
        for part, colour in zip(next(iter(by_micro.values())).parts, CYCLE, strict=False):
            sizes = np.array([peak.parts[part] / GIB for peak in by_micro.values()])
            axes.bar(range(len(by_micro)), sizes, 0.7, bottom=bottom, color=colour, label=part)
            bottom += sizes
        axes.axhline(budget_gib, color=RED, lw=1.4)
        axes.axhline(budget_gib - RESERVE_GIB, color=RED, lw=1.2, ls="--")
        axes.text(-0.4, budget_gib, f" {budget_gib:g} GiB", color=RED, va="bottom", fontsize=8.5)
        axes.set(title=title, xticks=range(len(by_micro)), xticklabels=list(by_micro), xlabel="micro-batch")
        axes.grid(axis="x", visible=False)
    panels[0, 0].set(ylabel="GiB at the peak", ylim=(0, 1.18 * budget_gib))
    legend_below(panels[0, 0], columns=3)
    return figure


def deviations(by_micro: Mapping[int, Mapping[str, float]]) -> Figure:
    """The deviation of each convolution's gradient, from the first layer to the last, a line a micro-batch."""
    figure, axes = plt.subplots(figsize=(0.85 * WIDTH, 3.0))
    for (micro, by_weight), colour in zip(by_micro.items(), CYCLE, strict=False):
        values = list(by_weight.values())
        axes.plot(range(1, len(values) + 1), values, color=colour, marker="o", ms=3, lw=1.2, label=f"micro-batch {micro}")
    axes.axhline(1, color=INK, lw=0.8, ls=":")
    axes.set(xlabel="convolution, from the picture to the outputs", ylabel="deviation of the gradient", ylim=(0, None))
    legend_below(axes, columns=3)
    return figure
