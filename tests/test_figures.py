"""No legend lies over data: it stands outside of every panel, however the curves run."""

from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

from emojivoc import statistics
from trial.figures import cost_figures, data_figures, figures, memory_figures, narrow, remedy_figures
from trial.figures.paper import EITHER, without_paper
from trial.planner.memory import GIB, Peak
from trial.register import comparisons
from yolo_core.training.records import Run

STEPS = np.arange(20)
TERMS = ("box", "object", "background", "class")
CURVES = pd.DataFrame({"step": STEPS} | {term: 1.0 + STEPS for term in TERMS})
EPOCHS = pd.DataFrame({"epoch": STEPS, "map": STEPS / 20, "confidence_object": STEPS / 20, "confidence_background": STEPS / 40})
CUTS = {cut: {"map": 0.3, "recall": 0.4, "false_per_image": 2.0} for cut in ("0.001", "0.05", "0.4")}
LOOKS = pd.DataFrame([{"layer": "outputs", "term": term, "step": step, "norm": 1.0 + step} for term in TERMS for step in STEPS])
ROWS, COLUMNS = np.indices((7, 7)).reshape(2, -1)
CELLS = pd.DataFrame({"step": 0, "row": ROWS, "column": COLUMNS, "background": True, "confidence": 0.1, "gradient": 0.1 + ROWS})


class Fresh(Run):
    """A run, as far as the figures read it."""

    def __init__(self) -> None:
        kept = {key: np.linspace(0.1, 1, comparisons.BINS) for key in ("detections", "true", "score_sum")}
        floor = {"floor": {"floor": 0.1, "confidence": 0.2}}
        super().__init__(Path(), {"metrics": {"images": 2, "train_split": floor, "reliability": kept}})

    def table(self, name: str) -> pd.DataFrame:
        return EPOCHS


CONFLICT = pd.DataFrame({"step": [0, 50], "box": [1.0, 0.1], "score": [0.5, 0.2], "cosine": [0.1, -0.2]})
PARTS = ("weights", "gradients", "optimiser", "activations", "temporary", "inputs")
PEAK = Peak(dict.fromkeys(PARTS, GIB))
ARMS = {"squared error": [Fresh()], "focal": [Fresh()]}
SHARES = statistics.voc2012("train")
HEADS = ("full", "compressed", "convolutional")
DRAWN = {
    "loss_curves": lambda: figures.loss_curves(CURVES),
    "score_curves": lambda: figures.score_curves(EPOCHS, 0.9),
    "cut_bars": lambda: figures.cut_bars(CUTS),
    "cut_lines": lambda: figures.cut_lines({"squared error": CUTS, "focal": CUTS}),
    "gradient_scatter": lambda: figures.gradient_scatter({"mse": CELLS, "focal": CELLS}, {"mse": (1, 1.0), "focal": (3, 2.0)}),
    "live_gradients": lambda: figures.live_gradients(LOOKS, CELLS, "focal"),
    "overlay": lambda: data_figures.overlay(SHARES, SHARES),
    "class_bars": lambda: data_figures.class_bars(SHARES, SHARES),
    "band_curve": lambda: comparisons.band_curve({arm: Fresh() for arm in ARMS}, ARMS),
    "reliability_curves": lambda: comparisons.reliability_curves(ARMS),
    "floor_scatter": lambda: comparisons.floor_scatter(ARMS),
    "deviations": lambda: memory_figures.deviations({micro: {str(k): 2.0 for k in STEPS} for micro in (1, 2, 4, 8, 16)}),
    "peaks": lambda: memory_figures.peaks({"full": {1: PEAK}, "compressed": {1: PEAK}}, 6.0),
    "break_evens": lambda: cost_figures.break_evens({"A100": {head: (1.0, 9.0) for head in HEADS}}, 16),
    "scaling": lambda: cost_figures.scaling({head: {"strong": {1: (0.5, 1.0), 8: (0.2, 0.4)}} for head in HEADS}, 8),
    "box_costs": remedy_figures.box_costs,
    "led_boxes": remedy_figures.led_boxes,
    "live_conflict": lambda: remedy_figures.live_conflict(CONFLICT, "two branches"),
    "score_slopes": remedy_figures.score_slopes,
}


@pytest.mark.parametrize("name", DRAWN)
def test_the_legend_covers_no_panel(name):
    figure: Figure = DRAWN[name]()
    try:
        figure.canvas.draw()
        (legend,) = figure.legends
        box = legend.get_window_extent()
        assert [axes for axes in figure.axes if axes.get_legend() or axes.get_window_extent().overlaps(box)] == []
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1, "the legend is wider than the figure"
    finally:
        plt.close(figure)


@pytest.mark.parametrize("name", DRAWN)
def test_on_a_narrow_screen_panels_stand_below_one_another_and_the_legend_covers_none(name):
    figure: Figure = DRAWN[name]()
    try:
        panels = [axes for axes in figure.axes if axes.get_subplotspec()]
        assert narrow.narrow(figure) and figure.get_figwidth() == narrow.NARROW
        figure.canvas.draw()
        for labels in ([label.get_window_extent() for label in axes.get_yticklabels()] for axes in panels if narrow._has_rows(axes)):
            ordered = sorted(labels, key=lambda box: box.y0)
            assert all(low.y1 <= high.y0 for low, high in zip(ordered, ordered[1:], strict=False)), "labels of rows overlap"
        boxes = [axes.get_window_extent() for axes in panels]
        assert all(above.y0 >= below.y1 for above, below in zip(boxes, boxes[1:], strict=False))
        (legend,) = figure.legends
        box = legend.get_window_extent()
        assert not any(panel.overlaps(box) for panel in boxes)
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1, "the legend is wider than the figure"
    finally:
        plt.close(figure)


def test_pictures_alone_stand_two_in_a_row_on_a_narrow_screen_and_a_table_of_them_stays_as_it_is():
    pictures = [torch.zeros(3, 8, 8, dtype=torch.uint8)] * 8
    nothing = [{"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}] * 8
    few = figures.gallery(pictures, nothing)
    assert narrow.narrow(few) and few.axes[0].get_gridspec().ncols == 2
    table = remedy_figures.side_by_side(pictures[:2], nothing[:2], {"Exp 1": nothing[:2], "base": nothing[:2]})
    before = table.get_size_inches().tolist()
    assert not narrow.narrow(table) and table.get_size_inches().tolist() == before
    plt.close("all")


def test_a_figure_is_shown_twice_in_a_book_and_once_to_who_works_in_a_notebook(monkeypatch):
    shown = []
    monkeypatch.setattr(figures, "display", lambda *things, **_: shown.extend(type(thing).__name__ for thing in things))
    monkeypatch.delenv("YOLO_BOOK", raising=False)
    figures.show(figures.loss_curves(CURVES), "words")
    assert shown == ["Figure"]
    monkeypatch.setenv("YOLO_BOOK", "1")
    figures.show(figures.loss_curves(CURVES), "words")
    assert shown == ["Figure", "Figure", "HTML", "Figure"]


def test_pictures_stand_without_paper_and_their_titles_are_legible_on_white_and_on_black():
    plot, pictures = plt.figure(), plt.figure()
    plot.subplots().set_title("plot")
    axes = pictures.subplots()
    axes.imshow(np.zeros((2, 2, 3)))
    axes.set_title("pictures", color=figures.INK)
    for figure in (plot, pictures):
        without_paper(figure, figures.INK)
    assert plot.get_facecolor()[3] == 1 and pictures.get_facecolor()[3] == 0
    assert axes.title.get_color() == EITHER and not mpl.colors.same_color(plot.axes[0].title.get_color(), EITHER)
    plt.close("all")


def test_counts_and_shares_have_no_axis_below_zero():
    """A symlog axis of few false positives went down to -10."""
    cuts = {str(cut): {"map": 0.1, "false_per_image": count} for cut, count in ((0.001, 800.0), (0.1, 0.3), (0.4, 0.0))}
    assert [axes.get_ylim()[0] for axes in figures.cut_lines({"mse": cuts}).axes] == [0, 0]
