"""The bench: its rows, that the peers do the same work, and that AP is the faster."""

import math
import sys

import pytest
from torch import nn

from yolo_core.detector.metrics import voc_ap
from yolo_core.errors import InputError
from yolo_core.study import bench, compilation


def test_the_peers_agree_with_each_other_and_nearly_with_us():
    """COCO samples 101 recalls and may give a detection to its second-best object: the third digit may differ, not the second."""
    predictions, targets = bench.crowd(300)
    ours = voc_ap(predictions, targets).map
    fast, slow = (bench.peer(name, predictions, targets).evaluate() for name in bench.PEERS)
    assert 0.2 < ours < 0.8
    assert fast == pytest.approx(slow, abs=1e-9)
    assert fast == pytest.approx(ours, abs=0.01)


def test_the_crowd_is_of_the_size_of_voc_2012_and_the_same_each_time():
    predictions, targets = bench.crowd(1000)
    assert sum(len(t["labels"]) for t in targets) / 1000 == pytest.approx(2.7, abs=0.15)
    assert {len(p["labels"]) for p in predictions} == {30}
    again, _ = bench.crowd(1000)
    assert all(a["boxes"].equal(b["boxes"]) for a, b in zip(predictions, again, strict=True))
    assert all((p["boxes"][:, 2:] > p["boxes"][:, :2]).all() for p in predictions)


def test_rows_are_finite_and_fit_the_table():
    rows = bench.average_precision(images=50, repeats=2)
    assert ["faster-coco-eval" in rows[0]["name"], "pycocotools" in rows[1]["name"]] == [True, True]
    for row in rows:
        assert set(row) == {"name", "ours", "theirs", "ratio", "interval", "unit"}
        low, high = row["interval"]
        assert 0 < low <= row["ratio"] <= high < math.inf
        assert 0 < row["ours"] < math.inf and 0 < row["theirs"] < math.inf
    shown = bench.table(rows)
    assert len(shown.splitlines()) == 3
    assert all(row["name"] in shown for row in rows)


def test_making_scenes_is_compared_with_the_rate_asked_for(monkeypatch):
    rates = iter([90.0, 30.0, 120.0])
    monkeypatch.setattr(bench, "scenes_per_second", lambda: next(rates))
    row = bench.scenes()
    assert (row["ours"], row["theirs"], row["ratio"], row["interval"]) == (90, 60, 1.5, [0.5, 2])
    assert "1.50  0.50 to 2.00" in bench.table([row])


def test_a_peer_that_is_not_installed_is_asked_for_in_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    with pytest.raises(InputError, match=r"faster-coco-eval is not installed; .*yolo-core\[test\]"):
        bench.average_precision(images=2)


def test_ap_of_a_whole_split_is_faster_than_faster_coco_eval():
    """5,823 images x 30 detections; measured ratios lie far above 2, so that a busy machine does not decide."""
    (row,) = bench.average_precision(repeats=1, beside=["faster-coco-eval"])
    assert row["ratio"] > 1


def test_looking_at_gradients_slows_the_pocket_training_by_a_tenth_at_most():
    row = bench.probes(repeats=2, steps=2)
    assert row["ratio"] >= 1 / 1.1
    assert row["ours"] > row["theirs"], "a look costs something, or nothing was looked at"


def test_a_frozen_backbone_read_from_the_cache_costs_a_twentieth_of_running_it_at_most():
    assert bench.cached_features(repeats=2)["ratio"] >= 20


def test_training_waits_for_data_less_than_a_twentieth_of_its_time(unchecked, monkeypatch):
    monkeypatch.setattr(compilation, "BACKEND", "aot_eager")  # generating code takes minutes, and this is not about speed
    speed, mixed, share, arithmetic = bench.training_steps(images=16, repeats=1)
    assert share["ours"] < 0.05
    assert min(speed["ours"], speed["theirs"], mixed["ours"]) > 0
    assert 0 < arithmetic["ratio"] < 1.2, "no step does more arithmetic than the machine's fastest convolution"


def test_the_arithmetic_of_a_step_by_hand():
    """3 to 8 channels of 16 x 16 pixels by 3 x 3, a multiplication and an addition each; as many again for the weight's gradient."""
    assert bench.step_flops(nn.Conv2d(3, 8, 3, padding=1, bias=False), 16) == 2 * (2 * 3 * 8 * 9 * 16 * 16)
