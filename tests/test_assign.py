"""Assignment: YOLOv1's rule and the task-aligned one, against plain loops and hand-worked cases."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from references import iou, random_targets

from anchor_free.assign import TINY, by_cell, lost, task_aligned
from anchor_free.points import Points, Truth
from yolo_core.detector.grid import Grid

ONE = Points(image_size=64, finest=16, coarsest=16, C=3)
LEVELS = Points(image_size=128, finest=8, coarsest=32, C=3)


def situation(seed: int, points: Points, images: int = 2) -> tuple[torch.Tensor, torch.Tensor, Truth]:
    """Random predicted boxes and scores, and random objects."""
    generator = torch.Generator().manual_seed(seed)
    count = len(points.centres(torch.zeros(())))
    outputs = torch.randn(images, count, points.depth, generator=generator, dtype=torch.float64)
    truth = points.truth(points.encode(random_targets(seed, images, points.C)).double())
    return points.boxes(outputs[..., :4]), outputs[..., 4:].sigmoid(), truth


def truth_of(*boxes: tuple, labels: tuple = ()) -> Truth:
    """One image's objects."""
    labels = labels or (0,) * len(boxes)
    return Truth(torch.tensor([boxes], dtype=torch.float64), torch.tensor([labels]), torch.ones(1, len(boxes), dtype=torch.bool))


def plain_task_aligned(points: Points, predicted, scores, truth: Truth, most: int, alpha: float, beta: float) -> tuple:
    """The rule, point by point and object by object: (object, quality, weight) as nested lists."""
    centres = points.centres(predicted).tolist()
    objects, qualities, weights = [], [], []
    for image in range(len(predicted)):
        real = [j for j in range(truth.labels.shape[1]) if truth.real[image, j]]
        t, u, candidates = {}, {}, {}
        for j in real:
            box = truth.boxes[image, j].tolist()
            for a in range(len(centres)):
                u[j, a] = float(iou(predicted[image, a].tolist(), box))
                t[j, a] = float(scores[image, a, truth.labels[image, j]]) ** alpha * u[j, a] ** beta
            inside = [a for a, (x, y) in enumerate(centres) if box[0] < x < box[2] and box[1] < y < box[3]]
            if not inside:
                inside = [_own_cell(points, box)]
            candidates[j] = sorted(inside, key=lambda a: -t[j, a])[:most]
        mine = {j: [] for j in real}
        owner = [-1] * len(centres)
        for a in range(len(centres)):
            rivals = [j for j in real if a in candidates[j]]
            if rivals:
                owner[a] = max(rivals, key=lambda j: u[j, a])
                mine[owner[a]].append(a)
        quality, weight = [0.0] * len(centres), [0.0] * len(centres)
        for j, points_of in mine.items():
            best_t, best_u = max((t[j, a] for a in points_of), default=0), max((u[j, a] for a in points_of), default=0)
            whole = sum(t[j, a] + TINY for a in points_of)
            for a in points_of:
                quality[a] = t[j, a] / max(best_t, TINY) * best_u
                weight[a] = (t[j, a] + TINY) / whole
        objects.append(owner)
        qualities.append(quality)
        weights.append(weight)
    return objects, qualities, weights


def _own_cell(points: Points, box: list) -> int:
    size = ((box[2] - box[0]) * (box[3] - box[1])) ** 0.5
    first = 0
    for side in points.sides:
        if size * side <= 8 or side == points.sides[-1]:
            column, row = (min(int((box[k] + box[k + 2]) / 2 * side), side - 1) for k in (0, 1))
            return first + row * side + column
        first += side**2
    raise AssertionError


@given(st.integers(0, 10_000))
@settings(max_examples=20)
@pytest.mark.equation("eq-alignment", "eq-target")
def test_the_task_aligned_rule_equals_its_plain_loop(seed):
    for points, most in ((ONE, 3), (LEVELS, 10)):
        predicted, scores, truth = situation(seed, points)
        found = task_aligned(points, predicted, scores, truth, most, 1.0, 6.0)
        objects, quality, weight = plain_task_aligned(points, predicted, scores, truth, most, 1.0, 6.0)
        assert found.object.tolist() == objects
        torch.testing.assert_close(found.quality, torch.tensor(quality, dtype=torch.float64))
        torch.testing.assert_close(found.weight, torch.tensor(weight, dtype=torch.float64))


@given(st.integers(0, 10_000))
@settings(max_examples=25)
def test_on_one_level_the_cell_rule_is_that_of_the_grid(seed):
    """The same objects are kept, and in the same cells, as `Grid.encode` does it."""
    grid, targets = Grid(S=4, C=3), random_targets(seed, 2, 3)
    predicted, _, truth = situation(seed, ONE)
    found = by_cell(ONE, predicted, truth)
    encoded = grid.encode(targets)
    assert torch.equal(found.positive, encoded[..., 0].flatten(1) > 0)
    for image, target in enumerate(targets):
        easy = ~target["difficult"]
        assert torch.equal(lost(found, truth)[image][truth.real[image]], grid.lost(target["boxes"][easy]))


def test_of_two_objects_in_a_cell_the_first_listed_stays_and_the_other_is_lost():
    truth = truth_of((0.0, 0.0, 0.2, 0.2), (0.05, 0.05, 0.25, 0.25))
    found = by_cell(ONE, torch.zeros(1, 16, 4, dtype=torch.float64), truth)
    assert found.object[0, 0] == 0
    assert lost(found, truth).tolist() == [[False, True]]


def test_objects_go_to_the_finest_level_on_which_they_are_at_most_eight_cells_wide():
    small, middle, large = (0.5, 0.5, 0.75, 0.75), (0.0, 0.0, 0.8, 0.8), (0.0, 0.0, 1.0, 1.0)
    points = Points(image_size=256, finest=8, coarsest=32, C=1)  # 32, 16 and 8 cells a side
    truth = truth_of(small, (0.1, 0.1, 0.5, 0.5), middle, large)
    found = by_cell(points, torch.zeros(1, 32**2 + 16**2 + 8**2, 4, dtype=torch.float64), truth)
    level = torch.bucketize(found.object[0].ge(0).nonzero()[:, 0], torch.tensor([32**2, 32**2 + 16**2]), right=True)
    owner = found.object[0][found.object[0] >= 0]
    assert dict(zip(owner.tolist(), level.tolist(), strict=True)) == {0: 0, 1: 1, 2: 2, 3: 2}


def test_the_cell_rules_quality_is_the_overlap_of_the_box_that_is_there():
    truth = truth_of((0.0, 0.0, 0.5, 0.5))
    predicted = torch.tensor([0.0, 0.0, 0.5, 0.25], dtype=torch.float64).expand(1, 16, 4)
    found = by_cell(ONE, predicted, truth)
    assert found.quality[found.positive].tolist() == [0.5]
    assert found.quality[~found.positive].eq(0).all()


@given(st.integers(0, 10_000))
@settings(max_examples=25)
def test_every_object_that_has_points_weighs_one_under_either_rule(seed):
    predicted, scores, truth = situation(seed, LEVELS)
    for found in (by_cell(LEVELS, predicted, truth), task_aligned(LEVELS, predicted, scores, truth)):
        for image in range(2):
            for j in range(truth.labels.shape[1]):
                weight = found.weight[image][found.object[image] == j]
                if len(weight):
                    assert weight.sum().item() == pytest.approx(1)


@given(st.integers(0, 10_000))
@settings(max_examples=25)
def test_the_best_aligned_point_of_an_object_is_asked_for_its_largest_overlap(seed):
    predicted, scores, truth = situation(seed, LEVELS, images=1)
    found = task_aligned(LEVELS, predicted, scores, truth)
    for j in range(int(truth.real.sum())):
        mine = (found.object[0] == j).nonzero()[:, 0]
        overlaps = [float(iou(predicted[0, a].tolist(), truth.boxes[0, j].tolist())) for a in mine]
        if max(overlaps, default=0) > 1e-4:  # to the sixth power, less is below `TINY`
            assert found.quality[0, mine].max().item() == pytest.approx(max(overlaps))


def test_an_object_that_holds_no_point_gets_the_one_in_its_cell():
    truth = truth_of((0.26, 0.01, 0.3, 0.05))
    found = task_aligned(ONE, torch.zeros(1, 16, 4, dtype=torch.float64), torch.ones(1, 16, 3, dtype=torch.float64), truth)
    assert found.object[0].tolist() == [-1, 0] + [-1] * 14


def test_a_point_that_two_objects_want_goes_to_the_one_it_overlaps_most():
    truth = truth_of((0.0, 0.0, 0.25, 0.25), (0.0, 0.0, 0.24, 0.5))
    predicted = torch.zeros(1, 16, 4, dtype=torch.float64)
    predicted[0, 0] = torch.tensor([0.0, 0.0, 0.24, 0.4])
    found = task_aligned(ONE, predicted, torch.ones(1, 16, 3, dtype=torch.float64), truth, most=1)
    assert found.object[0, 0] == 1


@pytest.mark.parametrize("rule", [lambda p, b, s, t: by_cell(p, b, t), task_aligned], ids=["by_cell", "task_aligned"])
def test_padding_answers_for_nothing(rule):
    predicted, scores, truth = situation(1, LEVELS)
    none = Truth(truth.boxes, truth.labels, torch.zeros_like(truth.real))
    found = rule(LEVELS, predicted, scores, none)
    assert not found.positive.any()
    assert found.quality.eq(0).all()
    assert found.weight.eq(0).all()


def test_more_points_than_asked_for_never_answer_for_an_object():
    predicted, scores, truth = situation(2, LEVELS)
    found = task_aligned(LEVELS, predicted, scores, truth, most=4)
    assert max((found.object[i] == j).sum() for i in range(2) for j in range(truth.labels.shape[1])) <= 4
