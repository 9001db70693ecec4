"""The grid: what is encoded where, what decodes back, and what is lost."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from references import encode, random_targets

from yolo_core.detector.grid import Grid, ceiling
from yolo_core.detector.metrics import voc_ap
from yolo_core.training.scoring import at_least

GRIDS = [Grid(centre=centre, size=size) for centre in ("cell", "image") for size in ("root", "plain")]
each_grid = pytest.mark.parametrize("grid", GRIDS, ids=lambda g: f"{g.centre}-{g.size}")


def target(*objects: tuple) -> dict:
    """One image's target of (centre x, centre y, width, height, label) or (..., difficult)."""
    boxes = [[x - w / 2, y - h / 2, x + w / 2, y + h / 2] for x, y, w, h, *_ in objects]
    return {
        "boxes": torch.tensor(boxes).view(-1, 4),
        "labels": torch.tensor([o[4] for o in objects], dtype=torch.int64),
        "difficult": torch.tensor([len(o) > 5 and o[5] for o in objects], dtype=torch.bool),
    }


def one_cell(grid: Grid, row: int, column: int, predictors: list[tuple], classes: dict[int, float]) -> torch.Tensor:
    """Outputs [1, S, S, k] that are 0 but for one cell: (x, y, width, height, confidence) a predictor, and class scores."""
    outputs = torch.zeros(1, grid.S, grid.S, grid.depth)
    for j, numbers in enumerate(predictors):
        outputs[0, row, column, 5 * j : 5 * j + 5] = torch.tensor(numbers)
    for label, score in classes.items():
        outputs[0, row, column, 5 * grid.B + label] = score
    return outputs


def crowded(grid: Grid, confidence: float = 0.5, score: float = 0.5) -> torch.Tensor:
    """Outputs whose 2 S * S boxes are small and apart, every candidate scoring the same."""
    outputs = torch.full((1, grid.S, grid.S, grid.depth), score)
    outputs[..., :5] = torch.tensor([0.25, 0.25, 0.1, 0.1, confidence])
    outputs[..., 5:10] = torch.tensor([0.75, 0.75, 0.1, 0.1, confidence])
    return outputs


def test_encode_by_hand():
    # Centre (0.4, 0.7) in a grid of 5: column floor(2.0) = 2, row floor(3.5) = 3, offsets 0 and 0.5.
    out = Grid(S=5, C=3).encode([target((0.4, 0.7, 0.2, 0.3, 1))])
    assert out.shape == (1, 5, 5, 8)
    assert torch.allclose(out[0, 3, 2], torch.tensor([1, 0, 0.5, 0.2, 0.3, 0, 1, 0]), atol=1e-6)
    assert out.sum() == out[0, 3, 2].sum()


@pytest.mark.equation("eq-cell")
@given(seed=st.integers(0, 2**31), s=st.integers(1, 13), centre=st.sampled_from(["cell", "image"]))
@settings(max_examples=50)
def test_encode_places_every_object_as_the_plain_reference_does(seed, s, centre):
    """column = floor(S x), row = floor(S y); offsets S x - column and S y - row; the first listed object of a cell stays."""
    targets = random_targets(seed, images=3, most=10)
    out = Grid(S=s, centre=centre).encode(targets)
    held = encode(targets, s, centre)
    assert {tuple(cell) for cell in out[..., 0].nonzero().tolist()} == set(held)
    for (image, row, column), (x, y, width, height, label) in held.items():
        cell = out[image, row, column]
        assert cell[:5].tolist() == pytest.approx([1, x, y, width, height], abs=1e-6)
        assert cell[5:].nonzero().tolist() == [[label]]


def test_a_centre_on_a_cell_edge_belongs_to_the_cell_after_it():
    out = Grid(S=4).encode([target((0.5, 0.25, 0.1, 0.1, 0))])
    assert out[0, 1, 2, :3].tolist() == [1, 0, 0]


def test_a_centre_on_the_right_or_lower_edge_of_the_picture_belongs_to_the_last_cell():
    out = Grid().encode([target((1.0, 0.5, 0.2, 0.2, 0)), target((0.5, 1.0, 0.2, 0.2, 0)), target((1.0, 1.0, 0.2, 0.2, 0))])
    assert out[0, 3, 6, :3].tolist() == [1, 1, 0.5]
    assert out[1, 6, 3, :3].tolist() == [1, 0.5, 1]
    assert out[2, 6, 6, :3].tolist() == [1, 1, 1]


def test_of_two_objects_in_one_cell_the_first_listed_stays():
    small, large = (0.49, 0.5, 0.1, 0.1, 3), (0.51, 0.5, 0.6, 0.6, 7)
    for first, second in ((small, large), (large, small)):
        out = Grid().encode([target(first, second)])
        assert out[..., 0].sum() == 1
        assert out[0, 3, 3, 5:].argmax() == first[4]
        assert out[0, 3, 3, 5:].sum() == 1


def test_what_is_lost_is_what_the_plain_reference_leaves_out():
    for seed in range(10):
        (objects,) = random_targets(seed, images=1, most=20)
        objects["difficult"][:] = False
        lost = Grid(S=4).lost(objects["boxes"])
        assert (~lost).sum() == len(encode([objects], 4, "cell"))
    small, large, elsewhere = [0.45, 0.45, 0.55, 0.55], [0.2, 0.2, 0.8, 0.8], [0, 0, 0.1, 0.1]
    assert Grid().lost(torch.tensor([small, elsewhere, large])).tolist() == [False, False, True]
    assert Grid().lost(torch.zeros(0, 4)).tolist() == []


def test_the_same_cell_in_two_images_holds_two_objects():
    out = Grid().encode([target((0.5, 0.5, 0.1, 0.1, 3)), target((0.5, 0.5, 0.2, 0.2, 7))])
    assert out[:, 3, 3, 5:].argmax(-1).tolist() == [3, 7]


def test_difficult_objects_are_left_out_unless_asked_for():
    easy, hard = (0.2, 0.2, 0.1, 0.1, 3), (0.8, 0.8, 0.1, 0.1, 7, True)
    assert Grid().encode([target(hard, easy)])[..., 0].sum() == 1
    assert Grid().encode([target(hard, easy)], keep_difficult=True)[..., 0].sum() == 2


def test_a_difficult_object_left_out_takes_no_cell_from_another():
    out = Grid().encode([target((0.5, 0.5, 0.9, 0.9, 7, True), (0.5, 0.5, 0.1, 0.1, 3))])
    assert out[0, 3, 3, 5:].argmax() == 3


def test_difficult_may_be_left_out_of_a_target():
    objects = target((0.5, 0.5, 0.2, 0.2, 3))
    assert torch.equal(Grid().encode([{k: objects[k] for k in ("boxes", "labels")}]), Grid().encode([objects]))


def test_encode_without_any_object_is_all_zeros():
    assert Grid().encode([target(), target()]).shape == (2, 7, 7, 25)
    assert Grid().encode([target(), target()]).count_nonzero() == 0


def test_image_relative_centres_are_stored_as_they_are():
    out = Grid(centre="image").encode([target((0.4, 0.7, 0.2, 0.3, 1))])
    assert torch.allclose(out[0, 4, 2, :5], torch.tensor([1, 0.4, 0.7, 0.2, 0.3]), atol=1e-6)


def test_corners_are_column_and_row():
    assert Grid().corners(torch.zeros(1))[2, 5].tolist() == [5, 2]


def test_split_gives_views_of_the_numbers_by_meaning():
    outputs = torch.arange(30.0).expand(1, 7, 7, 30).clone()
    parts = Grid().split(outputs)
    assert parts.centre[0, 0, 0].tolist() == [[0, 1], [5, 6]]
    assert parts.size[0, 0, 0].tolist() == [[2, 3], [7, 8]]
    assert parts.confidence[0, 0, 0].tolist() == [4, 9]
    assert parts.classes[0, 0, 0].tolist() == list(range(10, 30))
    assert {part.untyped_storage().data_ptr() for part in parts} == {outputs.untyped_storage().data_ptr()}


@each_grid
def test_decode_by_hand(grid):
    # Row 1, column 4 of 7; centre a quarter into the cell across and half down; size 0.36 x 0.25; score 0.8 * 0.5.
    x, y = (0.25, 0.5) if grid.centre == "cell" else (4.25 / 7, 1.5 / 7)
    w, h = (0.6, 0.5) if grid.size == "root" else (0.36, 0.25)
    (found,) = grid.decode(one_cell(grid, 1, 4, [(x, y, w, h, 0.8)], {6: 0.5}))
    expected = [4.25 / 7 - 0.18, 1.5 / 7 - 0.125, 4.25 / 7 + 0.18, 1.5 / 7 + 0.125]
    assert found["boxes"].tolist() == [pytest.approx(expected, abs=1e-6)]
    assert found["scores"].tolist() == pytest.approx([0.4])
    assert found["labels"].tolist() == [6]


@each_grid
@given(seed=st.integers(0, 2**31))
@settings(max_examples=20)
def test_every_object_that_has_a_cell_decodes_from_perfect_outputs(grid, seed):
    targets = random_targets(seed, images=3, most=10)
    # Suppression at IoU 1 suppresses nothing: two objects of one class may overlap.
    detections = grid.decode(grid.perfect_outputs(grid.encode(targets)), nms_iou=1.0)
    held = encode(targets, grid.S, "image")
    for image, found in enumerate(detections):
        expected = sorted(
            (label, x - w / 2, y - h / 2, x + w / 2, y + h / 2) for (i, *_), (x, y, w, h, label) in held.items() if i == image
        )
        got = sorted((label, *box) for label, box in zip(found["labels"].tolist(), found["boxes"].tolist(), strict=True))
        assert [g[0] for g in got] == [e[0] for e in expected]
        # Two boxes of one label may sort apart by a rounding: compare each with its nearest.
        for label, *box in expected:
            assert min(math.dist(box, other) for kind, *other in got if kind == label) < 1e-5
        assert found["scores"].tolist() == [1.0] * len(expected)


@pytest.mark.equation("eq-score")
@pytest.mark.parametrize(
    ("confidence", "score", "expected"), [(0.8, 0.5, 0.4), (-0.8, -0.5, 0), (-0.8, 0.5, 0), (0.8, -0.5, 0), (0, 0.5, 0), (1.5, 0.8, 1.2)]
)
def test_a_score_is_the_product_of_confidence_and_class_both_held_at_zero(confidence, score, expected):
    outputs = one_cell(Grid(), 3, 3, [(0.5, 0.5, 0.5, 0.5, confidence)], {4: score})
    assert Grid().scores(outputs)[0, 3, 3, 0, 4].item() == pytest.approx(expected)
    (found,) = Grid().decode(outputs, score_threshold=0.0)
    assert found["scores"].tolist() == pytest.approx([expected] if expected else [])


def test_a_sigmoid_confidence_is_a_logit():
    outputs = one_cell(Grid(), 3, 3, [(0.5, 0.5, 0.5, 0.5, math.log(3))], {4: 0.8})
    assert Grid().scores(outputs, "sigmoid")[0, 3, 3, 0, 4].item() == pytest.approx(0.75 * 0.8)
    (found,) = Grid().decode(outputs, score_threshold=0.5, confidence="sigmoid")
    assert found["scores"].tolist() == pytest.approx([0.6])


def test_all_98_times_20_candidates_are_kept():
    (found,) = Grid().decode(crowded(Grid()))
    assert found["labels"].bincount().tolist() == [98] * 20


def test_one_a_cell_keeps_one_even_where_scores_tie():
    (found,) = Grid().decode(crowded(Grid()), candidates="one-a-cell")
    assert len(found["scores"]) == 49


def test_one_a_cell_keeps_the_best_of_the_cell():
    predictors = [(0.2, 0.2, 0.1, 0.1, 0.5), (0.8, 0.8, 0.1, 0.1, 0.9)]
    (found,) = Grid().decode(one_cell(Grid(), 3, 3, predictors, {2: 0.5, 9: 0.6}), candidates="one-a-cell")
    assert found["labels"].tolist() == [9]
    assert found["scores"].tolist() == pytest.approx([0.54])


def test_suppression_is_by_class_two_classes_keep_the_same_box():
    (found,) = Grid().decode(one_cell(Grid(), 3, 3, [(0.5, 0.5, 0.5, 0.5, 1.0)], {2: 0.5, 9: 0.6}))
    assert found["labels"].tolist() == [9, 2]
    assert torch.equal(found["boxes"][0], found["boxes"][1])


@pytest.mark.parametrize(("nms_iou", "kept"), [(0.5, [0.9]), (0.7, [0.9, 0.8])])
def test_suppression_drops_the_lower_score_of_a_class_above_the_given_overlap(nms_iou, kept):
    # Widths 0.36 and 0.25 about one centre and of one height: IoU 0.25 / 0.36 = 0.69.
    predictors = [(0.5, 0.5, 0.6, 0.5, 0.8), (0.5, 0.5, 0.5, 0.5, 0.9)]
    (found,) = Grid().decode(one_cell(Grid(), 3, 3, predictors, {2: 1.0}), nms_iou=nms_iou)
    assert found["scores"].tolist() == pytest.approx(kept)


def test_suppression_does_not_cross_images():
    outputs = one_cell(Grid(), 3, 3, [(0.5, 0.5, 0.5, 0.5, 1.0)], {2: 0.5}).expand(3, -1, -1, -1)
    assert [len(found["scores"]) for found in Grid().decode(outputs)] == [1, 1, 1]


def test_the_threshold_keeps_what_scores_above_it():
    outputs = one_cell(Grid(), 3, 3, [(0.5, 0.5, 0.5, 0.5, 1.0)], {2: 0.25, 9: 0.5})
    assert [Grid().decode(outputs, cut)[0]["labels"].tolist() for cut in (0.001, 0.25, 0.3, 0.5)] == [[9, 2], [9], [9], []]


def test_decode_clips_boxes_to_the_picture():
    (found,) = Grid().decode(one_cell(Grid(), 0, 0, [(0.5, 0.5, 1.0, 1.0, 1.0)], {2: 0.5}))
    assert found["boxes"][0].tolist() == pytest.approx([0, 0, 0.5 + 0.5 / 7, 0.5 + 0.5 / 7])


def test_detections_come_best_first_and_an_image_without_any_gives_empty_tensors():
    outputs = torch.cat([torch.rand(1, 7, 7, 30, generator=torch.Generator().manual_seed(0)), torch.zeros(1, 7, 7, 30)])
    found, none = Grid().decode(outputs)
    assert (found["scores"].diff() <= 0).all()
    assert [none[key].shape for key in ("boxes", "scores", "labels")] == [(0, 4), (0,), (0,)]


@pytest.mark.parametrize("cut", [0.05, 0.2, 0.4])
def test_decoding_at_a_score_cut_equals_filtering_what_was_decoded_below_it(cut):
    outputs = torch.randn(4, 7, 7, 30, generator=torch.Generator().manual_seed(1))
    for direct, filtered in zip(Grid().decode(outputs, cut), at_least(Grid().decode(outputs), cut), strict=True):
        assert all(torch.equal(direct[key], filtered[key]) for key in direct)


def test_the_ceiling_by_hand_with_one_lost_object():
    # Class 0: three objects, the second of them shares the first's cell and is lost: two found, all right, AP 2/3. Class 1: AP 1.
    first = target((0.49, 0.5, 0.1, 0.1, 0), (0.51, 0.5, 0.6, 0.6, 0))
    second = target((0.2, 0.2, 0.1, 0.1, 0), (0.8, 0.8, 0.1, 0.1, 1))
    assert ceiling([first, second]) == pytest.approx((2 / 3 + 1) / 2)
    assert ceiling([second]) == 1


def test_a_spare_predictor_may_pass_the_ceiling():
    # Two objects of one class in one cell: the target holds the first, and the cell's two predictors could tell both.
    targets = [target((0.5, 0.5, 0.1, 0.1, 2), (0.5, 0.5, 0.6, 0.6, 2))]
    outputs = one_cell(Grid(), 3, 3, [(0.5, 0.5, 0.1**0.5, 0.1**0.5, 1.0), (0.5, 0.5, 0.6**0.5, 0.6**0.5, 0.9)], {2: 1.0})
    assert ceiling(targets) == 0.5
    assert voc_ap(Grid().decode(outputs), targets).map == 1


def test_a_difficult_object_does_not_lower_the_ceiling():
    assert ceiling([target((0.49, 0.5, 0.1, 0.1, 0), (0.51, 0.5, 0.6, 0.6, 0, True))]) == 1


def test_the_ceiling_is_higher_on_a_finer_grid():
    targets = random_targets(0, images=40, classes=3, most=12)
    assert ceiling(targets, Grid(S=7)) < ceiling(targets, Grid(S=14)) <= 1
