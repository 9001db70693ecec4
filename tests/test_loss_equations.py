"""The equations of the chapter on the loss: each derived form = autograd = finite differences, in float64.

The scene holds 3 images of a 3 x 3 grid. `held` lists its objects with the predictor that answers for each, found by plain loops, so that
the closed forms below can be written as the book writes them; every term is divided by the number of images (eq-total).
"""

import math
from typing import NamedTuple

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from references import central_difference, corners, encode, iou, random_outputs, random_targets

from yolo_core.detector.grid import Grid
from yolo_core.detector.loss import ROOT_FLOOR, YoloLoss, responsible

GRID, IMAGES = Grid(S=3, C=4), 3
TARGETS = random_targets(12, IMAGES, GRID.C)
TARGET = GRID.encode(TARGETS).double()
OUTPUTS = random_outputs(12, IMAGES, (GRID.S, GRID.B, GRID.C))
LAMBDA_COORD, LAMBDA_NOOBJ = 5.0, 0.5


class Held(NamedTuple):
    """One object: its cell (image, row, column), the number of its predictor, their IoU, its numbers."""

    cell: tuple[int, int, int]
    j: int
    iou: float
    truth: tuple[float, float, float, float]
    label: int


def find_held() -> list[Held]:
    found = []
    for (image, row, column), (x, y, w, h, label) in encode(TARGETS, GRID.S, "cell").items():
        truth = corners((x + column) / GRID.S, (y + row) / GRID.S, w, h)
        overlaps, distances = [], []
        for j in range(GRID.B):
            px, py, rw, rh, _ = OUTPUTS[image, row, column, 5 * j : 5 * j + 5].tolist()
            box = (px + column) / GRID.S, (py + row) / GRID.S, rw**2, rh**2
            overlaps.append(iou(corners(*box), truth))
            distances.append(math.dist(box, ((x + column) / GRID.S, (y + row) / GRID.S, w, h)))
        j = overlaps.index(max(overlaps)) if max(overlaps) > 0 else distances.index(min(distances))
        found.append(Held((image, row, column), j, overlaps[j], (x, y, w, h), label))
    return found


HELD = find_held()
RESPONSIBLE = {(*h.cell, h.j) for h in HELD}
BACKGROUND = [p for p in torch.cartesian_prod(*map(torch.arange, (IMAGES, GRID.S, GRID.S, GRID.B))).tolist() if tuple(p) not in RESPONSIBLE]


def autograd(term: str, **options) -> torch.Tensor:
    """Gradient of one term of the package's loss on the scene; "total" is the sum of the four."""
    outputs = OUTPUTS.clone().requires_grad_()
    terms = YoloLoss(grid=GRID, **options)(outputs, TARGET)
    value = sum(terms.values()) if term == "total" else terms[term]
    return torch.autograd.grad(value, outputs)[0]


def finite(term: str, part: slice = slice(None), **options) -> torch.Tensor:
    """The same by finite differences, of the outputs' numbers in `part`; 0 elsewhere."""
    loss = YoloLoss(grid=GRID, **options)

    def value(numbers: torch.Tensor) -> torch.Tensor:
        outputs = OUTPUTS.clone()
        outputs[..., part] = numbers
        return loss(outputs, TARGET)[term]

    gradient = torch.zeros_like(OUTPUTS)
    gradient[..., part] = central_difference(value, OUTPUTS[..., part])
    return gradient


def value(term: str) -> float:
    return YoloLoss(grid=GRID)(OUTPUTS, TARGET)[term].item()


def gradient_of_centres() -> torch.Tensor:
    expected = torch.zeros_like(OUTPUTS)
    for h in HELD:
        for axis in (0, 1):
            at = (*h.cell, 5 * h.j + axis)
            expected[at] = 2 * LAMBDA_COORD * (OUTPUTS[at] - h.truth[axis]) / IMAGES
    return expected


def gradient_of_sizes() -> torch.Tensor:
    expected = torch.zeros_like(OUTPUTS)
    for h in HELD:
        for axis in (2, 3):
            at = (*h.cell, 5 * h.j + axis)
            expected[at] = 2 * LAMBDA_COORD * (OUTPUTS[at] - math.sqrt(h.truth[axis])) / IMAGES
    return expected


def gradient_of_objects() -> torch.Tensor:
    expected = torch.zeros_like(OUTPUTS)
    for h in HELD:
        at = (*h.cell, 5 * h.j + 4)
        expected[at] = 2 * (OUTPUTS[at] - h.iou) / IMAGES
    return expected


def gradient_of_background() -> torch.Tensor:
    expected = torch.zeros_like(OUTPUTS)
    for *cell, j in BACKGROUND:
        at = (*cell, 5 * j + 4)
        expected[at] = 2 * LAMBDA_NOOBJ * OUTPUTS[at] / IMAGES
    return expected


def gradient_of_classes() -> torch.Tensor:
    expected = torch.zeros_like(OUTPUTS)
    for h in HELD:
        for k in range(GRID.C):
            at = (*h.cell, 5 * GRID.B + k)
            expected[at] = 2 * (OUTPUTS[at] - float(k == h.label)) / IMAGES
    return expected


def test_the_scene_has_objects_with_and_without_overlap():
    assert len(HELD) > 4
    assert {h.iou > 0 for h in HELD} == {True, False}
    assert {h.j for h in HELD} == {0, 1}


@pytest.mark.equation("eq-responsible")
def test_the_responsible_predictor_is_the_best_by_iou_or_the_nearest_by_rmse():
    assigned = responsible(GRID, OUTPUTS, TARGET)
    by_cell = {h.cell: h for h in HELD}
    for cell, j, overlap in zip(assigned.cells.nonzero().tolist(), assigned.predictor.tolist(), assigned.iou.tolist(), strict=True):
        assert j == by_cell[tuple(cell)].j
        assert overlap == pytest.approx(by_cell[tuple(cell)].iou, abs=1e-12)
    assert len(assigned.predictor) == len(HELD)


@pytest.mark.equation("eq-centre")
@pytest.mark.equation("eq-size")
def test_the_box_term_is_the_squared_error_of_centres_and_of_roots_of_sizes():
    centre = size = 0.0
    for h in HELD:
        x, y, rw, rh, _ = OUTPUTS[h.cell][5 * h.j : 5 * h.j + 5].tolist()
        centre += LAMBDA_COORD * ((x - h.truth[0]) ** 2 + (y - h.truth[1]) ** 2)
        size += LAMBDA_COORD * ((rw - math.sqrt(h.truth[2])) ** 2 + (rh - math.sqrt(h.truth[3])) ** 2)
    assert value("box") == pytest.approx((centre + size) / IMAGES)


@pytest.mark.equation("eq-centre-gradient")
def test_gradient_of_a_centre():
    for got in (autograd("box"), finite("box")):
        for start in (0, 5):
            assert torch.allclose(got[..., start : start + 2], gradient_of_centres()[..., start : start + 2], atol=1e-7)


@pytest.mark.equation("eq-size-gradient")
def test_gradient_of_a_size():
    for got in (autograd("box"), finite("box")):
        for start in (2, 7):
            assert torch.allclose(got[..., start : start + 2], gradient_of_sizes()[..., start : start + 2], atol=1e-7)


def test_the_box_term_has_no_other_gradient():
    assert torch.allclose(autograd("box"), gradient_of_centres() + gradient_of_sizes(), atol=1e-12)


@pytest.mark.equation("eq-object")
def test_the_object_term_is_the_squared_error_of_confidence_against_iou():
    expected = sum((OUTPUTS[(*h.cell, 5 * h.j + 4)].item() - h.iou) ** 2 for h in HELD)
    assert value("object") == pytest.approx(expected / IMAGES)


@pytest.mark.equation("eq-object-gradient")
def test_gradient_of_a_responsible_confidence():
    """IoU is a constant: autograd finds nothing but the confidences, which leave the IoU alone under finite differences too."""
    assert torch.allclose(autograd("object"), gradient_of_objects(), atol=1e-12)
    for j in range(GRID.B):
        part = slice(5 * j + 4, 5 * j + 5)
        assert torch.allclose(finite("object", part)[..., part], gradient_of_objects()[..., part], atol=1e-7)


@pytest.mark.equation("eq-background")
def test_the_background_term_is_the_squared_confidence_of_all_other_predictors():
    expected = LAMBDA_NOOBJ * sum(OUTPUTS[(*cell, 5 * j + 4)].item() ** 2 for *cell, j in BACKGROUND)
    assert value("background") == pytest.approx(expected / IMAGES)


@pytest.mark.equation("eq-background-gradient")
def test_gradient_of_a_background_confidence():
    assert torch.allclose(autograd("background"), gradient_of_background(), atol=1e-12)
    assert torch.allclose(finite("background"), gradient_of_background(), atol=1e-7)


@pytest.mark.equation("eq-class")
def test_the_class_term_is_the_squared_error_against_the_one_hot_label():
    expected = sum((OUTPUTS[(*h.cell, 5 * GRID.B + k)].item() - (k == h.label)) ** 2 for h in HELD for k in range(GRID.C))
    assert value("class") == pytest.approx(expected / IMAGES)


@pytest.mark.equation("eq-class-gradient")
def test_gradient_of_a_class_score():
    assert torch.allclose(autograd("class"), gradient_of_classes(), atol=1e-12)
    assert torch.allclose(finite("class"), gradient_of_classes(), atol=1e-7)


@pytest.mark.equation("eq-total")
def test_the_total_is_the_sum_of_four_terms_over_the_number_of_images():
    loss = YoloLoss(grid=GRID)
    total = sum(loss(OUTPUTS, TARGET).values()).item()
    alone = [sum(loss(OUTPUTS[i : i + 1], TARGET[i : i + 1]).values()).item() for i in range(IMAGES)]
    assert total == pytest.approx(sum(alone) / IMAGES)
    closed = gradient_of_centres() + gradient_of_sizes() + gradient_of_objects() + gradient_of_background() + gradient_of_classes()
    assert torch.allclose(autograd("total"), closed, atol=1e-12)


def root_term(w: float, truth: float) -> tuple[float, float]:
    """(s(w) - sqrt truth)^2 and its slope in w, through the package: one object, an exact centre and height, the width w put out."""
    grid = Grid(S=1, B=1, C=1, size="plain")
    outputs = torch.tensor([0.5, 0.5, w, 0.25, 0.0, 0.0], dtype=torch.float64).view(1, 1, 1, 6).requires_grad_()
    target = torch.tensor([1, 0.5, 0.5, truth, 0.25, 1], dtype=torch.float64).view(1, 1, 1, 6)
    term = YoloLoss(lambda_coord=1.0, grid=grid)(outputs, target)["box"]
    return term.item(), torch.autograd.grad(term, outputs)[0].view(-1)[2].item()


@pytest.mark.equation("eq-root-slope")
@given(w=st.floats(1e-5, 2), truth=st.floats(1e-4, 1))
def test_slope_of_the_root_where_sizes_themselves_are_put_out(w, truth):
    """d/dw (sqrt w - sqrt wh)^2 = 1 - sqrt(wh / w) for every w above ROOT_FLOOR."""
    term, slope = root_term(w, truth)
    assert term == pytest.approx((math.sqrt(w) - math.sqrt(truth)) ** 2, abs=1e-12)
    assert slope == pytest.approx(1 - math.sqrt(truth / w), rel=1e-9, abs=1e-9)
    step = 1e-4 * w
    assert slope == pytest.approx((root_term(w + step, truth)[0] - root_term(w - step, truth)[0]) / (2 * step), rel=1e-4, abs=1e-6)


@pytest.mark.equation("eq-root-slope")
def test_slope_of_the_root_grows_without_bound_until_the_floor():
    steepest = [root_term(w, 1.0)[1] for w in (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1.0001e-6)]
    assert steepest == sorted(steepest, reverse=True)
    assert steepest[-1] == pytest.approx(-999, rel=1e-3)


@pytest.mark.equation("eq-root-slope")
@given(w=st.one_of(st.floats(-1, 1), st.floats(-2e-6, 2e-6)), truth=st.floats(1e-6, 1))
@example(w=0.0, truth=1.0)
@example(w=ROOT_FLOOR, truth=1.0)
@example(w=-ROOT_FLOOR, truth=1.0)
def test_slope_of_the_root_is_bounded_everywhere(w, truth):
    """With eps = ROOT_FLOOR = 1e-6, and s(w) = sign(w) sqrt|w| where |w| > eps, w / sqrt eps where |w| <= eps:

    |d/dw (s(w) - sqrt wh)^2| = 2 |s(w) - sqrt wh| s'(w), with s'(w) = 1 / (2 sqrt|w|) above the floor and 1 / sqrt eps on it. So it is
    at most 1 + sqrt(wh / |w|) < 1 + sqrt(wh / eps) above the floor (1,001 for wh = 1) and at most 2 (1 + sqrt(wh / eps)) on it (2,002),
    times lambda_coord. At w = 0 exactly it is -2 sqrt(wh / eps).
    """
    term, slope = root_term(w, truth)
    if abs(w) > ROOT_FLOOR:
        assert abs(slope) <= (1 + math.sqrt(truth / abs(w))) * (1 + 1e-12)
    else:
        assert slope == pytest.approx(2 * (w / math.sqrt(ROOT_FLOOR) - math.sqrt(truth)) / math.sqrt(ROOT_FLOOR), rel=1e-9)
        assert abs(slope) <= 2 * (1 + math.sqrt(truth / ROOT_FLOOR)) * (1 + 1e-12)


def test_the_root_is_continuous_at_the_floor():
    for sign in (1, -1):
        below, above = (root_term(sign * ROOT_FLOOR * (1 + side * 1e-9), 0.25)[0] for side in (-1, 1))
        assert below == pytest.approx(above, abs=1e-9)
