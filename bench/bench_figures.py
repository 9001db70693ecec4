"""Figures of the page on speed.

Inside: `ratios` and `ratios_in_words`, `growth` and `growth_in_words` (for those who cannot see them).
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from bench.contest import Growth, Row
from trial.figures.figures import CYCLE, INK, WIDTH


def ratios(rows: Sequence[Row]) -> Figure:
    """A dot a comparison, with the interval over its repeats, on a logarithmic scale; a line where neither is faster."""
    figure, axes = plt.subplots(figsize=(WIDTH, 0.6 + 0.29 * len(rows)))
    colours = dict(zip(dict.fromkeys(row.part for row in rows), (*CYCLE, INK), strict=False))
    for y, row in enumerate(rows):
        axes.plot(row.interval, [y, y], color=colours[row.part], lw=2.2)
        axes.plot(row.ratio, y, "o", color=colours[row.part], ms=5)
    axes.axvline(1, color=INK, lw=1, ls="--")
    axes.set(xscale="log", xlabel="how many times better ours is", yticks=range(len(rows)))
    axes.set_yticklabels([row.name for row in rows], fontsize=7.5)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.grid(axis="y", visible=False)
    return figure


def ratios_in_words(rows: Sequence[Row]) -> str:
    """The same as a sentence."""
    told = (f"{row.name}: {row.ratio:.2f}, from {row.interval[0]:.2f} to {row.interval[1]:.2f}" for row in rows)
    return f"Dots with intervals on a logarithmic scale, how many times better ours is. {'; '.join(told)}."


def growth(found: Sequence[Growth]) -> Figure:
    """Time against size, a panel an axis, a line a work: dots for the medians over the repeats, the fitted power drawn through."""
    axes_of = list(dict.fromkeys(each.axis for each in found))
    figure, panels = plt.subplots(1, len(axes_of), figsize=(WIDTH, 2.9), squeeze=False, sharey=True)
    works = dict.fromkeys(each.work for each in found)
    colours = dict(zip(works, CYCLE, strict=False))
    for panel, axis in zip(panels.flat, axes_of, strict=True):
        for each in (each for each in found if each.axis == axis):
            sizes, middle = np.array(each.sizes), np.median(each.times, axis=0)
            line = np.exp(np.log(middle).mean() + each.exponent * (np.log(sizes) - np.log(sizes).mean()))
            panel.plot(sizes, middle, "o", color=colours[each.work], ms=4)
            panel.plot(sizes, line, color=colours[each.work], lw=1.2, label=f"{each.work}: power {each.exponent:.2f}")
        panel.set(xscale="log", yscale="log", xlabel=axis)
        panel.legend(fontsize=8)
    panels[0, 0].set_ylabel("seconds")
    return figure


def growth_in_words(found: Sequence[Growth]) -> str:
    """The same as a sentence."""
    told = (f"{each.work} against {each.axis}: power {each.exponent:.2f}" for each in found)
    return f"Time against size on logarithmic scales, with a fitted line each. {'; '.join(told)}."
