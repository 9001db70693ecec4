"""What confidences say beside their order."""

import math

import numpy as np
import pytest
import torch

from trial.instruments.confidence import base_rate, floor_error, object_iou, rank_correlation, reliability
from trial.instruments.theory import base_rate_floor
from yolo_core.detector.grid import Grid
from yolo_core.detector.metrics import DIFFICULT, FALSE, TRUE, Matches
from yolo_core.training.config import RunConfig

GRID = Grid()


def matches(scores, outcome):
    n = len(scores)
    return Matches(
        np.array(scores), np.zeros(n, int), np.array(outcome), np.zeros(n), np.zeros(3, int), 2, np.zeros(n, int), np.zeros(3, int)
    )


def test_reliability_counts_by_hand_and_leaves_difficult_objects_out():
    found = reliability(matches([1.2, 0.95, 0.55, 0.5, 0.31, 0.3], [TRUE, FALSE, TRUE, DIFFICULT, FALSE, TRUE]))
    assert found["detections"] == [0, 0, 0, 2, 0, 1, 0, 0, 0, 2]
    assert found["true"] == [0, 0, 0, 1, 0, 1, 0, 0, 0, 1]
    assert found["score_sum"][3] == pytest.approx(0.61)
    by_hand = (abs(1 - 0.61) + abs(1 - 0.55) + abs(1 - 2.15)) / 5
    assert found["calibration_error"] == pytest.approx(by_hand)


def test_an_honest_detector_has_no_calibration_error_and_no_detections_are_no_error():
    assert reliability(matches([0.5, 0.5], [TRUE, FALSE]))["calibration_error"] == pytest.approx(0)
    assert reliability(matches([], []))["calibration_error"] == 0


def target_of(*boxes):
    return GRID.encode([{"boxes": torch.tensor(boxes).reshape(-1, 4), "labels": torch.zeros(len(boxes), dtype=torch.long)}])


def test_the_iou_of_objects_is_one_for_perfect_boxes_found_or_not():
    target = target_of([0.1, 0.1, 0.4, 0.5], [0.6, 0.6, 0.9, 0.8])
    outputs = GRID.perfect_outputs(target)
    outputs[..., 4] = -1.0  # the good box is the less confident one
    found = object_iou(outputs, target, RunConfig())
    assert found["best"] == pytest.approx(1, abs=1e-5)
    assert found["confident"] < 0.01


def test_base_rates_are_counted_cell_by_cell_and_give_the_floor_of_the_theory():
    """One object in one of two pictures: its cell has a share of 1 in 4 predictors."""
    target = torch.cat([target_of([0.1, 0.1, 0.4, 0.5]), target_of()])
    outputs = GRID.perfect_outputs(target)
    outputs[..., 9] = 0.3  # the spare predictor's confidence, everywhere
    cells = base_rate(outputs, target, RunConfig())
    row, column = (target[0, ..., 0] > 0).nonzero()[0].tolist()
    taught = cells.query("share > 0")
    assert taught[["row", "column"]].values.tolist() == [[row, column]]
    assert taught["share"].item() == pytest.approx(1 / 4)
    assert taught["target"].item() == pytest.approx(1, abs=1e-5)
    assert taught["confidence"].item() == pytest.approx((0.3 + 0 + 0.3) / 3), "the responsible one is left out"
    assert taught["floor"].item() == pytest.approx(base_rate_floor("mse", 0.25, 1.0), abs=1e-5)


def test_a_net_that_rests_on_the_floor_has_no_error_and_a_reading_without_one_has_none_to_tell():
    torch.manual_seed(0)
    target = torch.cat([target_of([0.1, 0.1, 0.4, 0.5]), target_of([0.6, 0.6, 0.9, 0.8])])
    outputs = torch.rand(2, 7, 7, 30)
    cells = base_rate(outputs, target, RunConfig())
    on_the_floor = floor_error(cells.assign(confidence=cells["floor"]))
    assert on_the_floor["cell_error"] == pytest.approx(0) and on_the_floor["mean_error"] == pytest.approx(0)
    twice = floor_error(cells.assign(confidence=2 * cells["floor"]))
    assert twice["cell_error"] == pytest.approx(1)
    assert math.isnan(floor_error(base_rate(outputs, target, RunConfig(background="focal-literal")))["cell_error"])


def test_rank_correlation_reads_order_alone():
    x = np.array([0.1, 0.5, 0.2, 0.9])
    assert rank_correlation(x, x ** (1 / 3)) == pytest.approx(1)
    assert rank_correlation(x, -x) == pytest.approx(-1)
    assert rank_correlation([1, 2, 3, 4], [1, 3, 2, 4]) == pytest.approx(0.8)
