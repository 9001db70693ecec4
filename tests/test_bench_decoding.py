"""Decoding: ours and the tutorials' loop find the same, on outputs that leave something to suppress."""

import pytest
import torch

from anchor_free.points import CANDIDATES, Points
from bench import bench_decoding
from bench.bench_decoding import grid_outputs, loop, point_outputs
from yolo_core.detector.grid import Grid

GRID, POINTS = Grid(), Points(image_size=448, finest=8)


def found(kind, outputs):
    return bench_decoding._ours(kind, outputs), bench_decoding._theirs(kind, outputs)


@pytest.mark.parametrize(("kind", "outputs"), [(GRID, grid_outputs(GRID, 64)), (POINTS, point_outputs(POINTS, 64))], ids=["grid", "points"])
def test_the_loop_finds_what_decode_finds_to_the_last_bit(kind, outputs):
    ours, theirs = found(kind, outputs)
    torch.testing.assert_close(bench_decoding._sets(ours), bench_decoding._sets(theirs), rtol=0, atol=0)
    assert all(one["scores"].equal(other["scores"]) for one, other in zip(ours, theirs, strict=True)), "best first"
    assert all(len(one["labels"].unique()) > 3 for one in ours), "several classes, or one suppression would do"
    unsuppressed = loop(*_numbers(kind, outputs), nms_iou=1.0)
    assert sum(len(d["scores"]) for d in ours) < sum(len(d["scores"]) for d in unsuppressed), "there is something to suppress"


def _numbers(kind, outputs):
    if isinstance(kind, Points):
        return kind.boxes(kind.split(outputs).box).clamp(0, 1), kind.scores(outputs, "sigmoid")
    parts = kind.split(outputs)
    return kind.boxes(parts.centre, parts.size).clamp(0, 1).flatten(1, 3), kind.scores(outputs).flatten(1, 3)


def test_no_picture_of_points_has_more_candidates_than_decode_looks_at():
    """Where it had, the loop, which knows no such number, would find others."""
    above = (POINTS.scores(point_outputs(POINTS, 64), "sigmoid") > 0.001).flatten(1).sum(1)
    assert 100 < above.min() and above.max() < CANDIDATES


def test_the_loop_suppresses_within_a_class_and_not_across():
    boxes = torch.tensor([[[0, 0, 1, 1], [0, 0, 1, 0.9], [0, 0, 0.2, 0.2]]])
    scores = torch.tensor([[[0.9, 0.2], [0.8, 0.3], [0.1, 0.0]]])
    (one,) = loop(boxes, scores)
    assert list(zip(one["labels"].tolist(), [round(s, 1) for s in one["scores"].tolist()], strict=True)) == [(0, 0.9), (1, 0.3), (0, 0.1)]


def test_detections_are_the_same_in_any_order_and_not_with_one_changed():
    ours = GRID.decode(grid_outputs(GRID, 1))
    turned = [{key: column.flip(0) for key, column in one.items()} for one in ours]
    torch.testing.assert_close(bench_decoding._sets(ours), bench_decoding._sets(turned), rtol=0, atol=0)
    turned[0]["labels"][0] += 1
    with pytest.raises(AssertionError):
        torch.testing.assert_close(bench_decoding._sets(ours), bench_decoding._sets(turned), rtol=0, atol=0)


def test_rows_and_growth_of_decoding():
    rows = bench_decoding.decoding(images=2, repeats=2)
    assert ["7 x 7 grid" in rows[0].name, "4116 points" in rows[1].name] == [True, True]
    assert all(len(row.ours) == len(row.theirs) == 2 and min(row.ratios) > 0 for row in rows)
    grown = bench_decoding.growth(scale=1, repeats=1)
    assert [growth.axis for growth in grown] == ["images", "objects a picture", "classes"]


def test_contestants_that_find_other_boxes_are_not_timed(monkeypatch):
    monkeypatch.setattr(bench_decoding, "nms", lambda boxes, scores, iou: torch.arange(len(scores)))
    with pytest.raises(AssertionError):
        bench_decoding.decoding(images=2, repeats=1)


def test_more_objects_leave_more_detections():
    few, many = (sum(len(d["scores"]) for d in GRID.decode(grid_outputs(GRID, 8, n), score_threshold=0.3)) for n in (1, 10))
    assert many > 3 * few > 0
