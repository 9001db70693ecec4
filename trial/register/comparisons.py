"""Figures that lay runs beside runs: a fresh one over its reference band, arms over seeds, what scores are worth.

Inside: `band_curve`, `arm_dots`, `averaged`, `reliability`, `reliability_curves`, `floor_scatter`, `rank_agreement`, `by_arm`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from trial.figures.figures import BLUE, CYCLE, INK, MUTED, ORANGE, RED, WIDTH, legend_below
from trial.instruments.confidence import BINS, rank_correlation
from yolo_core.training.records import Run

Arm = tuple[str, str]
NOT_RUN = "not run yet"
MARKS = (("o", BLUE), ("s", ORANGE))  # of the first data set and the second


def by_arm(runs: Iterable[Run]) -> dict[Arm, list[Run]]:
    """Runs that ended with figures, by (experiment, arm), in order of seed."""
    found: dict[Arm, list[Run]] = {}
    for run in sorted((r for r in runs if r.metrics), key=lambda r: r.config.seed):
        found.setdefault((run.config.experiment, run.config.arm), []).append(run)
    return found


def band_curve(
    fresh: Mapping[str, Run],
    reference: Mapping[str, Sequence[Run]],
    column: str = "map",
    label: str = "mAP@.5, val",
    own: str = "this build",
) -> Figure:
    """A figure of the epochs table by epoch: the fresh run of each arm, called `own`, over what its reference runs span (lowest to
    highest)."""
    figure, axes = plt.subplots(figsize=(0.8 * WIDTH, 3.0))
    for (arm, run), colour, marker in zip(fresh.items(), CYCLE, "osD^vP", strict=False):
        tables = [r.table("epochs").set_index("epoch")[column] for r in reference.get(arm, ())]
        if tables:
            span = pd.concat(tables, axis=1).dropna()
            axes.fill_between(span.index + 1, span.min(axis=1), span.max(axis=1), color=colour, alpha=0.2, lw=0)
            axes.plot(span.index + 1, span.mean(axis=1), color=colour, lw=1, ls="--", label=f"{arm}: {len(tables)} reference runs")
        table = run.table("epochs")
        axes.plot(table["epoch"] + 1, table[column], color=colour, marker=marker, ms=5, label=f"{arm}: {own}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="epoch", ylabel=label, ylim=(0, None))
    legend_below(axes, columns=2)
    return figure


def averaged(values: Sequence[float], digits: int = 3) -> str:
    """The mean of a figure over seeds, NaN passed over, and how many they are, ready to print: "0.264 (n = 3)"."""
    return f"{pd.Series(values).mean():.{digits}f} (n = {len(values)})" if len(values) else NOT_RUN


def arm_dots(
    arms: Mapping[str, Arm],
    sets: Mapping[str, Iterable[Run]],
    values: Mapping[str, Callable[[dict[str, Any]], float]],
    fresh: Iterable[Run] = (),
    own: str | None = None,
) -> Figure:
    """A panel a figure, a row an arm: each seed's value a mark, their mean a bar, this build's own run a diamond.

    arms: what to call each row, and the (experiment, arm) it shows; one that has not been run has an empty row. sets: the runs of each data
    set, by its name; where several have run some of the arms, a row has a line for each. own: the set that the fresh runs belong to, the
    first if not given.
    """
    stored = {name: by_arm(runs) for name, runs in sets.items()}
    ran = [name for name, runs in stored.items() if any(arm in runs for arm in arms.values())] or list(stored)[:1]
    ours, lines = by_arm(fresh), dict(zip(ran, np.linspace(-0.2, 0.2, len(ran)) if len(ran) > 1 else (0.0,), strict=True))
    half = 0.32 / len(ran)  # a bar's half height
    figure, panels = plt.subplots(1, len(values), figsize=(WIDTH, 0.9 + (0.26 + 0.1 * len(ran)) * len(arms)), sharey=True, squeeze=False)
    for axes, (title, value) in zip(panels.flat, values.items(), strict=True):
        for row, arm in enumerate(arms.values()):
            for name, line in lines.items():
                seeds, (marker, colour) = [value(run.metrics) for run in stored[name].get(arm, ())], MARKS[list(sets).index(name)]
                if seeds:
                    axes.plot([np.mean(seeds)] * 2, [row + line - half, row + line + half], color=INK, lw=2, solid_capstyle="butt")
                    axes.plot(seeds, [row + line] * len(seeds), marker, color=colour, ms=5.5, alpha=0.75, mec="white", mew=0.5)
            if arm not in ours and not any(arm in stored[name] for name in ran):
                axes.text(0.01, row, "not run", color=MUTED, fontsize=8.5, va="center", transform=axes.get_yaxis_transform())
            for run in ours.get(arm, ()):
                axes.plot(value(run.metrics), row + lines.get(own or ran[0], 0.0), "D", mfc="none", mec=RED, mew=1.4, ms=7.5)
        axes.set(title=title, ylim=(len(arms) - 0.5, -0.5))
        below = min(line.get_xdata(orig=True)[0] for line in axes.lines) < 0 if axes.lines else False
        axes.set_xlim(left=axes.get_xlim()[0] if below else -0.02 * axes.get_xlim()[1])  # a count's axis begins at 0, its marks whole
        axes.grid(axis="y", visible=False)
    panels[0, 0].set(yticks=range(len(arms)), yticklabels=list(arms))
    if len(ran) > 1:
        keys = [Line2D([], [], marker=m, color=c, ls="", label=name) for name, (m, c) in zip(sets, MARKS, strict=False)]
        figure.legend(handles=keys, loc="outside lower center", ncols=len(keys), fontsize=8.5)
    return figure


def reliability(runs: Sequence[Run]) -> dict[str, np.ndarray]:
    """The numbers of a reliability diagram (confidence.py) by bin, of runs pooled: "detections", "true" and "score_sum"."""
    keys = ("detections", "true", "score_sum")
    return {key: sum((np.array(run.metrics["reliability"][key]) for run in runs), np.zeros(BINS)) for key in keys}


def reliability_curves(arms: Mapping[str, Sequence[Run]]) -> Figure:
    """Reliability diagrams: of the detections that score so much, how many are true; runs of an arm pooled. Below, how many there are."""
    figure, (top, bottom) = plt.subplots(2, 1, figsize=(0.75 * WIDTH, 4.4), sharex=True, height_ratios=(2.4, 1))
    top.plot([0, 1], [0, 1], color=MUTED, ls="--", lw=1)
    top.text(0.62, 0.58, "honest", color=MUTED, va="top", fontsize=8.5)
    width = 0.8 / max(1, len(arms)) / BINS
    for k, ((arm, runs), colour, marker) in enumerate(zip(arms.items(), CYCLE, "osD^vP", strict=False)):
        pooled = reliability(runs)
        some = pooled["detections"] > 0
        score, share = (pooled[key][some] / pooled["detections"][some] for key in ("score_sum", "true"))
        top.plot(score.clip(max=1), share, color=colour, marker=marker, ms=5, label=arm)
        middle = (np.arange(BINS) + 0.1) / BINS + (k + 0.5) * width
        bottom.bar(middle, pooled["detections"] / sum(run.metrics["images"] for run in runs), width, color=colour)
    top.set(ylabel="share that is true", ylim=(0, 1))
    legend_below(top)
    bottom.set(xlabel="score", ylabel="per image", yscale="log", xlim=(0, 1))
    return figure


def floor_scatter(arms: Mapping[str, Sequence[Run]]) -> Figure:
    """Background confidence on training pictures against the base-rate floor: means over the cells of a run, a dot a run."""
    figure, axes = plt.subplots(figsize=(0.55 * WIDTH, 0.5 * WIDTH))
    top = 0.0
    for (arm, runs), colour, marker in zip(arms.items(), CYCLE, "osD^vP", strict=False):
        floors = [run.metrics["train_split"]["floor"] for run in runs]
        x, y = [f["floor"] for f in floors], [f["confidence"] for f in floors]
        top = max([top, *x, *y])
        axes.plot(x, y, marker, color=colour, ms=7, mec="white", label=arm)
    axes.plot([0, 1.15 * top], [0, 1.15 * top], color=MUTED, ls="--", lw=1)
    axes.set(xlabel="base-rate floor", ylabel="recorded confidence", xlim=(0, 1.15 * top or 1), ylim=(0, 1.15 * top or 1))
    legend_below(axes)
    return figure


def rank_agreement(one: Sequence[Run], other: Sequence[Run]) -> tuple[list[float], list[float]]:
    """Spearman's correlation of the scores of the same places: between the two arms, seed by seed; and between the seeds of the first arm,
    which is what two trainings that differ in nothing but chance agree to."""
    scores = [{run.config.seed: run.table("scores")["score"] for run in runs} for runs in (one, other)]
    across = [rank_correlation(scores[0][seed], scores[1][seed]) for seed in sorted(set(scores[0]) & set(scores[1]))]
    seeds = sorted(scores[0])
    within = [rank_correlation(scores[0][a], scores[0][b]) for i, a in enumerate(seeds) for b in seeds[i + 1 :]]
    return across, within
