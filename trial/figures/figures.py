"""The static figures of the book and its one style; those of the data card, the planner and the remedies stand beside.

Inside: `show`, `legend_below`, `detections`, `gallery`, `grid_target`, `loss_curves`, `score_curves`, `cut_bars`,
`claims_table`; the colours.

Okabe and Ito's colours, which the colour-blind can tell apart; type that stays legible when a figure is printed one column wide.
Figures draw what they are given and never compute a result.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from IPython.display import HTML, display
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image
from torch import Tensor

from trial import numbers
from trial.figures.narrow import MARK, narrow
from trial.figures.paper import without_paper
from trial.register.register_page import answer, by_claim, html_badge, short
from voc_tree.annotation import CLASSES

INK, MUTED, PAPER = "#1f2430", "#6b7183", "#ffffff"
BLUE, ORANGE, GREEN, RED, PURPLE, SKY = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9"
CYCLE = (BLUE, RED, GREEN, ORANGE, PURPLE, SKY)
WIDTH = 7.2  # inches: the text column
LONGEST = 8  # times as high as wide, or as wide as high

mpl.rcParams.update(
    {
        "figure.dpi": 110,
        "savefig.dpi": 160,
        "figure.facecolor": PAPER,
        "savefig.facecolor": PAPER,
        "savefig.bbox": "tight",
        "figure.constrained_layout.use": True,
        "font.size": 10,
        "axes.titlesize": 10.5,
        "axes.titlelocation": "left",
        "axes.labelcolor": INK,
        "axes.edgecolor": MUTED,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#e6e8ee",
        "grid.linewidth": 0.7,
        "axes.prop_cycle": mpl.cycler(color=CYCLE),
        "text.color": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "legend.frameon": False,
        "lines.linewidth": 1.8,
        "svg.hashsalt": "yolo",
    }
)


def show(figure: Figure, description: str) -> None:
    """Display a figure with what it shows in words, for readers who cannot see it, and close it; for a page of the book a second time, as a
    narrow screen shows it (book.css chooses)."""
    without_paper(figure, INK)
    display(figure, metadata={"image/png": {"alt": description}})
    if numbers.for_a_book() and narrow(figure):
        display(HTML(MARK), figure)
    plt.close(figure)


def legend_below(axes: plt.Axes, columns: int = 4) -> None:
    """The legend of one panel, below the whole figure, where it can cover no data."""
    axes.figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=columns, fontsize=8.5)


def _picture(picture: Image.Image | Tensor) -> np.ndarray:
    """A PIL picture or uint8 [3, h, w] to [h, w, 3]."""
    return picture.permute(1, 2, 0).numpy(force=True) if isinstance(picture, Tensor) else np.asarray(picture)


def _bare(axes: plt.Axes, pixels: np.ndarray) -> None:
    axes.imshow(pixels)
    axes.set(xticks=[], yticks=[], xlim=(-0.5, pixels.shape[1] - 0.5), ylim=(pixels.shape[0] - 0.5, -0.5))
    axes.grid(False)
    axes.spines[:].set_visible(False)


def _box(axes: plt.Axes, box: Sequence[float], text: str, colour: str, style: str = "-") -> None:
    """One xyxy box in pixels, its label inside its top left corner so that it never leaves the picture."""
    x0, y0, x1, y1 = box
    axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, ec=colour, lw=1.6, ls=style))
    if text:
        axes.text(x0, y0, text, fontsize=6.5, color="white", va="top", clip_on=True, bbox={"fc": colour, "ec": "none", "pad": 1.2})


def draw_objects(axes: plt.Axes, picture: Image.Image | Tensor, objects: Mapping[str, Tensor], colour: str = GREEN) -> None:
    """A picture with boxes (xyxy in its pixels); scores are shown where there are any, difficult objects dashed."""
    _bare(axes, _picture(picture))
    for i, (box, label) in enumerate(zip(objects["boxes"].tolist(), objects["labels"].tolist(), strict=True)):
        text = CLASSES[label] + (f" {objects['scores'][i]:.2f}" if "scores" in objects else "")
        hard = "difficult" in objects and bool(objects["difficult"][i])
        _box(axes, box, text, colour, "--" if hard else "-")


def in_pixels(items: Sequence[Mapping[str, Tensor]], side: int) -> list[dict[str, Tensor]]:
    """Targets or detections with boxes in [0, 1], scaled to a square picture's pixels."""
    return [{**item, "boxes": item["boxes"] * side} for item in items]


def detections(picture: Image.Image, found: Mapping[str, Tensor]) -> Figure:
    """One picture with its detections, boxes in pixels; one longer than `LONGEST` is squeezed to that. Not registered with pyplot: nobody
    need close it."""
    shape = picture.height / picture.width
    drawn = min(max(shape, 1 / LONGEST), LONGEST)
    figure = Figure(figsize=(WIDTH, WIDTH * drawn))
    axes = figure.subplots()
    draw_objects(axes, picture, found, RED)
    axes.set_aspect(drawn / shape)
    return figure


def gallery(
    pictures: Sequence[Image.Image | Tensor],
    objects: Sequence[Mapping[str, Tensor]] | None = None,
    found: Sequence[Mapping[str, Tensor]] | None = None,
    columns: int = 4,
) -> Figure:
    """Pictures in rows; ground truth green, detections red; boxes in pixels."""
    rows = -(-len(pictures) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(WIDTH, WIDTH / columns * rows), squeeze=False)
    for axis in axes.flat[len(pictures) :]:
        axis.set_visible(False)
    for i, (axis, picture) in enumerate(zip(axes.flat, pictures, strict=False)):
        draw_objects(axis, picture, objects[i] if objects else {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0)}, GREEN)
        for box, label, score in zip(*(found[i][k].tolist() for k in ("boxes", "labels", "scores")), strict=True) if found else ():
            _box(axis, box, f"{CLASSES[label]} {score:.2f}", RED)
    return figure


def grid_target(picture: Tensor, target: Tensor, boxes: Tensor, lost: Tensor) -> Figure:
    """A picture with its grid: each object's cell shaded, its centre marked; objects that found their cell taken drawn red.

    picture: uint8 [3, s, s]; target: [S, S, 5 + C]; boxes: xyxy in [0, 1] [o, 4]; lost: bool [o].
    """
    side, cells = picture.shape[-1], target.shape[0]
    figure, axes = plt.subplots(figsize=(0.62 * WIDTH, 0.62 * WIDTH))
    _bare(axes, _picture(picture))
    step = side / cells
    for row, column in (target[..., 0] > 0).nonzero().tolist():
        axes.add_patch(Rectangle((column * step, row * step), step, step, fc=SKY, alpha=0.45, ec="none"))
    for k in range(cells + 1):
        axes.axhline(k * step - 0.5, color="white", lw=0.8)
        axes.axvline(k * step - 0.5, color="white", lw=0.8)
    for box, gone in zip((boxes * side).tolist(), lost.tolist(), strict=True):
        colour = RED if gone else GREEN
        _box(axes, box, "lost" if gone else "", colour, "--" if gone else "-")
        axes.plot((box[0] + box[2]) / 2, (box[1] + box[3]) / 2, "o", color=colour, mec="white", ms=7)
    return figure


def loss_curves(curves: pd.DataFrame, window: int = 25) -> Figure:
    """The four terms of the loss against the step, each a running mean over `window` steps, on a log scale."""
    figure, axes = plt.subplots(figsize=(WIDTH, 3.1))
    for name in ("box", "object", "background", "class"):
        axes.plot(curves["step"], curves[name].rolling(window, min_periods=1).mean(), label=name)
    axes.set(yscale="log", xlabel="step", ylabel="loss per image")
    legend_below(axes)
    return figure


def score_curves(epochs: pd.DataFrame, ceiling: float) -> Figure:
    """mAP by epoch under the grid's ceiling, and the mean confidence of object and background cells."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 2.9))
    left.plot(epochs["epoch"] + 1, epochs["map"], marker="o", ms=4)
    left.axhline(ceiling, color=MUTED, ls="--", lw=1.2)
    left.text(epochs["epoch"].min() + 1, ceiling, "ceiling of the grid", color=MUTED, va="bottom", fontsize=8.5)
    left.set(xlabel="epoch", ylabel="mAP@.5, val", ylim=(0, 1.08))
    right.plot(epochs["epoch"] + 1, epochs["confidence_object"], marker="o", ms=4, label="object cells")
    right.plot(epochs["epoch"] + 1, epochs["confidence_background"], marker="s", ms=4, label="background cells")
    right.set(xlabel="epoch", ylabel="mean confidence", ylim=(0, None))
    legend_below(right)
    return figure


def cut_bars(cuts: Mapping[str, Mapping[str, Any]]) -> Figure:
    """mAP and recall of one set of weights, against the score below which detections are thrown away."""
    figure, axes = plt.subplots(figsize=(WIDTH, 2.8))
    x = np.arange(len(cuts))
    for shift, key, colour, name in ((-0.2, "map", BLUE, "mAP@.5"), (0.2, "recall", ORANGE, "recall")):
        bars = axes.bar(x + shift, [c[key] for c in cuts.values()], 0.38, color=colour, label=name)
        axes.bar_label(bars, fmt="%.3f", fontsize=8, padding=2)
    axes.set(xticks=x, xticklabels=list(cuts), xlabel="detections kept: score at least", ylabel="share")
    axes.margins(y=0.15)
    legend_below(axes)
    return figure


def _felt(cells: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Confidence and gradient, in absolute value, of recorded background predictors in empty cells; exact zeros left out."""
    empty = cells[cells["background"] & (cells["confidence"].abs() > 1e-4)]
    return empty["confidence"].abs().to_numpy(), empty["gradient"].abs().to_numpy()


def gradient_scatter(recorded: Mapping[str, pd.DataFrame], laws: Mapping[str, tuple[float, float]]) -> Figure:
    """Recorded background gradients against confidence, log-log, with each arm's law gradient = factor * c^power drawn through."""
    figure, axes = plt.subplots(figsize=(0.75 * WIDTH, 3.6))
    for (arm, cells), colour in zip(recorded.items(), CYCLE, strict=False):
        c, gradient = _felt(cells)
        axes.plot(c, gradient, ".", color=colour, ms=2.5, alpha=0.35, rasterized=True)
        power, factor = laws[arm]
        line = np.geomspace(max(c.min(), 1e-4), c.max(), 50)
        axes.plot(line, factor * line**power, color=colour, lw=1.2, label=f"{arm}: {factor:g} c" + ("" if power == 1 else f"$^{power:g}$"))
    axes.set(xscale="log", yscale="log", xlabel="confidence |c|", ylabel="|gradient|, a picture")
    legend_below(axes)
    return figure


def background_grid(cells: pd.DataFrame) -> np.ndarray:
    """The strongest absolute background gradient of each cell's predictors, [row, column]; NaN where the cell holds an object.

    cells: one look of `GradientProbe.tables()["cells"]`.
    """
    strength = cells["gradient"].abs().where(cells["background"])
    return strength.groupby([cells["row"], cells["column"]]).max().unstack().to_numpy()


def live_gradients(terms: pd.DataFrame, cells: pd.DataFrame, title: str) -> Figure:
    """Left: the gradient norm of each loss term at the outputs, by step. Right: the last look's background gradients on the grid."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 2.7), width_ratios=(1.7, 1))
    at_outputs = terms[terms["layer"] == "outputs"].pivot(index="step", columns="term", values="norm")
    for term in ("box", "object", "background", "class"):
        left.plot(at_outputs.index, at_outputs[term].clip(lower=1e-8), marker="o", ms=2.5, lw=1.2, label=term)
    left.set(yscale="log", xlabel="step", ylabel="gradient norm", title=title)
    legend_below(left)
    last = cells[cells["step"] == cells["step"].max()]
    image = right.imshow(np.log10(np.maximum(background_grid(last), 1e-8)), cmap="cividis", vmin=-6, vmax=0)
    right.set(xticks=[], yticks=[], title=f"background, step {cells['step'].max()}")
    right.grid(False)
    figure.colorbar(image, ax=right, label="log$_{10}$ |gradient|")
    return figure


def fitted_slope(cells: pd.DataFrame) -> str:
    """The slope of log gradient over log confidence by least squares, with its 95 % interval, ready to print."""
    c, gradient = _felt(cells)
    x, y = np.log(c), np.log(np.maximum(gradient, 1e-30))
    (slope, _), covariance = np.polyfit(x, y, 1, cov=True)
    return f"{slope:.4f} ± {1.96 * np.sqrt(covariance[0, 0]):.4f}"


def worst_departure(recorded: Mapping[str, pd.DataFrame], laws: Mapping[str, tuple[float, float]]) -> str:
    """The largest relative difference of a recorded gradient from its law, over all arms, ready to print."""
    worst = 0.0
    for arm, cells in recorded.items():
        c, gradient = _felt(cells)
        power, factor = laws[arm]
        worst = max(worst, float(np.abs(gradient / (factor * c**power) - 1).max()))
    return f"{worst:.0e}"


def cut_lines(arms: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Figure:
    """mAP and false positives an image against the score cut, an arm a line."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 2.9))
    for (arm, cuts), marker in zip(arms.items(), "osD^v", strict=False):
        x = [float(cut) for cut in cuts]
        left.plot(x, [c["map"] for c in cuts.values()], marker=marker, ms=4, label=arm)
        right.plot(x, [c["false_per_image"] for c in cuts.values()], marker=marker, ms=4, label=arm)
    left.set(xscale="log", xlabel="score at least", ylabel="mAP@.5", ylim=(0, None))
    most = max(c["false_per_image"] for cuts in arms.values() for c in cuts.values())
    right.set(xscale="log", yscale="symlog", xlabel="score at least", ylabel="false positives per image", ylim=(0, 2 * most or 1))
    legend_below(left)
    return figure


def claims_table(findings: Iterable[Any]) -> HTML:
    """Findings as an HTML table, a row a sentence: the answer of each data set, then the prediction, which a phone need not show."""
    rows = [
        {"id": same[0].claim.id, "claim": same[0].claim.sentence}
        | {short(f.data): answer(f, html_badge) + (f" ({f.why})" if f.seeds and f.why else "") for f in same}
        | {"prediction": same[0].claim.prediction}
        for same in by_claim(findings)
    ]
    with pd.option_context("display.max_colwidth", None):  # a sentence cut short is not a claim
        return HTML(pd.DataFrame(rows).to_html(index=False, border=0, justify="left", escape=False))
