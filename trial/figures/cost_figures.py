"""Figures of the page on scale.

Inside: `break_evens` (pictures a process at which communication equals computation), `scaling` (efficiency against processes).
"""

from collections.abc import Mapping

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from trial.figures.figures import CYCLE, INK, MUTED, WIDTH, legend_below

Range = tuple[float, float]


def break_evens(machines: Mapping[str, Mapping[str, Range]], batch: int) -> Figure:
    """A bar from the least to the most for each machine and head, on a logarithmic scale; a line at the effective batch."""
    figure, axes = plt.subplots(figsize=(WIDTH, 3.3))
    heads = list(next(iter(machines.values())))
    for row, ranges in enumerate(machines.values()):
        for k, (head, (low, high)) in enumerate(ranges.items()):
            y = row + 0.26 * (k - (len(heads) - 1) / 2)
            axes.barh(y, high - low, 0.2, left=low, color=CYCLE[k], label=head if row == 0 else None)
    axes.axvline(batch, color=INK, lw=1, ls="--")
    axes.text(batch, -0.62, f" {batch}, the effective batch", va="bottom", fontsize=8.5)
    axes.set(xscale="log", xlabel="pictures a process", yticks=range(len(machines)), yticklabels=list(machines))
    ends = [end for ranges in machines.values() for pair in ranges.values() for end in pair]
    axes.set_xlim(0.7 * min(ends), 1.5 * max(ends))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_ylim(len(machines) - 0.45, -0.65)
    axes.grid(axis="y", visible=False)
    legend_below(axes, columns=3)
    return figure


def scaling(heads: Mapping[str, Mapping[str, Mapping[int, Range]]], devices: int) -> Figure:
    """Efficiency against processes, a panel a head, a band a way to scale; a line where one node ends."""
    figure, axes = plt.subplots(1, len(heads), figsize=(WIDTH, 3.1), sharex=True, sharey=True, squeeze=False)
    for panel, (title, ways) in zip(axes.flat, heads.items(), strict=True):
        for (way, by_processes), colour in zip(ways.items(), CYCLE, strict=False):
            low, high = zip(*by_processes.values(), strict=True)
            panel.fill_between(list(by_processes), low, high, color=colour, alpha=0.3, lw=0, label=way)
            for edge in (low, high):
                panel.plot(list(by_processes), edge, color=colour, lw=1.2)
        panel.axvline(devices, color=MUTED, lw=1, ls=":")
        panel.text(devices, 1.03, "one node ", color=MUTED, fontsize=8.5, ha="right")
        panel.set(xscale="log", title=title, xlabel="processes", ylim=(0, 1.12), yticks=(0, 0.25, 0.5, 0.75, 1))
        panel.set_xticks([1, 8, 64, 512], ["1", "8", "64", "512"])
        panel.minorticks_off()
    axes[0, 0].set_ylabel("scaling efficiency")
    legend_below(axes[0, 0], columns=2)
    return figure
