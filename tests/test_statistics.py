"""The aggregates of boxes, the distances between them, and the layout model that EmojiVOC's boxes are drawn from."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from emojivoc import layout, statistics
from emojivoc.statistics import distance, summarise, voc2012
from voc_tree.annotation import CLASSES

# How far the layout model's boxes may lie from VOC 2012's train split. For scale: its own val split lies at 0.010 (classes),
# 0.022 (sizes), 0.017 (centre_y), 0.009 (cells_lost) and 0.051 (sizes_of).
BOUNDS = {
    "classes": 0.03,
    "per_image": 0.03,
    "together": 0.08,
    "sizes": 0.02,
    "aspects": 0.03,
    "centre_x": 0.02,
    "centre_y": 0.04,
    "sizes_of": 0.05,
    "aspects_of": 0.05,
    "background": 0.003,
    "cells_lost": 0.012,
}


def target(*objects: tuple[int, float, float, float, float]) -> dict:
    values = np.array(objects, float).reshape(-1, 5)
    return {"labels": values[:, 0].astype(int), "boxes": values[:, 1:]}


def layouts(number: int, seed: int = 0) -> list[dict]:
    keys = (np.random.SeedSequence(seed, spawn_key=(i,)) for i in range(number))
    return [layout.sample(layout.voc2012(), np.random.Generator(np.random.Philox(key))) for key in keys]


@pytest.fixture(scope="module")
def sampled() -> list[dict]:
    return layouts(6000)


def test_summary_of_a_hand_worked_pair_of_images():
    # The first two boxes have their centres at (0.25, 0.25) and (0.27, 0.27): one cell of 7 x 7; the third is elsewhere.
    found = summarise([target((0, 0.0, 0.0, 0.5, 0.5), (14, 0.22, 0.17, 0.32, 0.37), (14, 0.6, 0.6, 1.0, 0.8)), target()])
    assert (found.images, found.objects) == (2, 3)
    assert found.classes[0] == 1 and found.classes[14] == 2 and sum(found.classes) == 3
    assert found.together[0][14] == found.together[14][0] == 1 and found.together[14][14] == 1
    assert found.per_image[0] == 1 and found.per_image[3] == 1
    assert found.per_cell == [96, 1, 1, 0, 0, 0]
    assert found.cells_lost == pytest.approx(1 / 3)
    assert found.background == pytest.approx(96 / 98)
    assert sum(found.sizes) == sum(found.aspects) == sum(found.centre_x) == sum(found.centre_y) == 3
    assert found.sizes[25] == 1  # the first box: sqrt(0.25) = 0.5


def test_summary_takes_tensors_as_the_reader_gives_them():
    arrays = target((3, 0.1, 0.1, 0.4, 0.5))
    tensors = {"labels": torch.tensor([3]), "boxes": torch.tensor([[0.1, 0.1, 0.4, 0.5]]), "difficult": torch.tensor([False])}
    assert summarise([tensors]) == summarise([arrays])


def test_summary_of_no_images_is_empty():
    found = summarise([])
    assert (found.images, found.objects, found.background, found.cells_lost) == (0, 0, 0.0, 0.0)


def test_distance_to_itself_is_zero():
    assert set(distance(voc2012(), voc2012()).values()) == {0.0}


def test_distance_of_disjoint_sets_is_one():
    small = summarise([target((0, 0.0, 0.0, 0.02, 0.01))])
    large = summarise([target((1, 0.1, 0.0, 0.9, 1.0), (1, 0.1, 0.0, 0.9, 1.0))])
    found = distance(small, large)
    for name in ("classes", "per_image", "together", "sizes", "aspects", "centre_x", "centre_y"):
        assert found[name] == pytest.approx(1.0), name


def test_distance_of_shifted_counts_is_the_share_that_moved():
    one = summarise([target((0, 0.0, 0.0, 0.5, 0.5)), target((0, 0.0, 0.0, 0.5, 0.5))])
    two = summarise([target((0, 0.0, 0.0, 0.5, 0.5)), target((1, 0.0, 0.0, 0.5, 0.5))])
    assert distance(one, two)["classes"] == pytest.approx(0.5)


def test_statistics_survive_json():
    assert statistics.Statistics.from_dict(json.loads(voc2012().to_json())) == voc2012()


def test_shipped_statistics_are_the_plain_facts_of_voc2012_train():
    found = voc2012("train")
    assert (found.images, found.objects) == (5717, 15774)
    assert found.objects_an_image == pytest.approx(2.76, abs=0.005)
    assert found.cells_lost == pytest.approx(0.108, abs=0.0005)
    assert found.background == pytest.approx(0.9497, abs=0.00005)
    counts = dict(zip(CLASSES, found.classes, strict=True))
    assert (counts["person"], counts["chair"], counts["car"]) == (5019, 1457, 1191)
    cumulated = np.cumsum(found.sizes) / found.objects
    sizes = np.interp((0.05, 0.25, 0.5, 0.75, 0.95), np.concatenate([[0.0], cumulated]), statistics.SIZE_EDGES)
    assert sizes == pytest.approx((0.050, 0.134, 0.297, 0.547, 0.884), abs=0.004)


def test_shipped_file_is_small_and_holds_no_list_of_annotations():
    assert statistics.FILE.stat().st_size < 60_000
    assert set(json.loads(statistics.FILE.read_text())) == {"source", "statistics", "layout"}


def test_layouts_follow_voc2012_within_fixed_bounds(sampled):
    found = distance(voc2012(), summarise(sampled))
    assert {name: round(value, 4) for name, value in found.items() if value > BOUNDS[name]} == {}
    assert set(found) == set(BOUNDS)


def test_layouts_lie_inside_the_image(sampled):
    boxes = np.concatenate([one["boxes"] for one in sampled])
    assert (boxes >= -1e-9).all() and (boxes <= 1 + 1e-9).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()


def test_layouts_are_fixed_by_their_generator():
    one, two, other = layouts(5), layouts(5), layouts(5, seed=1)
    assert all((a["boxes"] == b["boxes"]).all() and (a["labels"] == b["labels"]).all() for a, b in zip(one, two, strict=True))
    assert any(a["boxes"].shape != b["boxes"].shape or (a["boxes"] != b["boxes"]).any() for a, b in zip(one, other, strict=True))


def test_fitting_the_models_own_layouts_gives_the_model_back(sampled):
    again, model = layout.fit(sampled), layout.voc2012()
    gap = np.abs(np.array(again.size)[CLASSES.index("person")] - np.array(model.size)[CLASSES.index("person")])
    assert gap[:, 2:-2].max() < 0.06
    # Ranges with plenty of pairs of one class: 5-8 and 9 or more objects.
    assert np.abs(np.array(again.close)[3:, 1] - np.array(model.close)[3:, 1]).max() < 0.08
    assert np.abs(np.array(again.correlation)[0, 3:, 1] - np.array(model.correlation)[0, 3:, 1]).max() < 0.08


def test_shipped_file_is_what_the_script_makes_of_the_annotations(tmp_path, monkeypatch):
    folder = Path(__file__).parents[1] / "../shared/voc2012"
    if not folder.exists():
        pytest.skip("../shared/voc2012, VOC 2012's annotations, is not here")
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "scripts"))
    import voc2012_statistics

    shipped = json.loads(statistics.FILE.read_text())
    monkeypatch.setattr(statistics, "FILE", tmp_path / "made.json")
    voc2012_statistics.main(str(folder / "train.json.gz"), str(folder / "val.json.gz"))
    made = json.loads((tmp_path / "made.json").read_text())
    assert made["statistics"] == shipped["statistics"]
    for name in ("per_image", "first", "following"):
        assert made["layout"][name] == shipped["layout"][name]
    for name in ("size", "aspect", "x", "y", "correlation", "close"):
        assert np.allclose(made["layout"][name], shipped["layout"][name], atol=0.002), name
