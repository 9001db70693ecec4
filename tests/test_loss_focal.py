"""The readings of "focal" on a background confidence: each closed form = autograd = finite differences, in float64."""

import pytest
import torch
from references import central_difference, random_outputs, random_targets

from yolo_core.detector.grid import Grid
from yolo_core.detector.loss import YoloLoss

GRID, IMAGES, LAMBDA = Grid(S=3, C=4), 3, 0.5
TARGET = GRID.encode(random_targets(12, IMAGES, GRID.C)).double()
OUTPUTS = random_outputs(12, IMAGES, (GRID.S, GRID.B, GRID.C))
CELLS = TARGET[..., 0] > 0
each_gamma = pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 3.5])


def background(kind: str, confidence: torch.Tensor, gamma: float = 2.0, target: torch.Tensor = TARGET) -> torch.Tensor:
    """The background term as a function of the confidences [n, s, s, b] alone, the other outputs as in the scene.

    Undivided (the effective batch is 1), and paid by the predictors of empty cells only: who pays in object cells is tested elsewhere.
    """
    outputs = OUTPUTS.clone()
    outputs[..., 4 : 5 * GRID.B : 5] = confidence
    return YoloLoss(kind, gamma=gamma, grid=GRID, spare_noobj=False)(outputs, target, 1)["background"]


CONFIDENCE = GRID.split(OUTPUTS).confidence.clone()


def autograd(kind: str, gamma: float = 2.0) -> torch.Tensor:
    confidence = CONFIDENCE.clone().requires_grad_()
    return torch.autograd.grad(background(kind, confidence, gamma), confidence)[0]


def finite(kind: str, gamma: float = 2.0) -> torch.Tensor:
    return central_difference(lambda c: background(kind, c, gamma), CONFIDENCE)


def empty_cells(per_predictor: torch.Tensor) -> torch.Tensor:
    """What only the predictors of cells without an object have."""
    return torch.where(CELLS[..., None], 0, per_predictor)


def test_the_scene_has_confidences_on_both_sides_of_zero_and_of_one_half_and_above_one():
    c = CONFIDENCE[~CELLS]
    assert c.min() < 0 < 0.5 < 1 < c.max()


@pytest.mark.equation("eq-focal")
@each_gamma
def test_focal_is_the_factor_times_the_square(gamma):
    c = CONFIDENCE[~CELLS]
    assert background("focal", CONFIDENCE, gamma).item() == pytest.approx((LAMBDA * c.abs() ** gamma * c**2).sum().item())


@pytest.mark.equation("eq-focal-gradient")
@each_gamma
def test_gradient_of_focal(gamma):
    closed = empty_cells(LAMBDA * (gamma + 2) * CONFIDENCE.abs() ** gamma * CONFIDENCE)
    assert torch.allclose(autograd("focal", gamma), closed, atol=1e-12)
    assert torch.allclose(finite("focal", gamma), closed, atol=1e-6)


@pytest.mark.equation("eq-focal-gradient")
@pytest.mark.parametrize("c", [0.1, 0.5**0.5, 0.9])
def test_the_ratio_of_focal_to_mse_is_two_c_squared_at_gamma_two(c):
    confidence = torch.full_like(CONFIDENCE, c).requires_grad_()
    ratio = [torch.autograd.grad(background(kind, confidence), confidence)[0][~CELLS] for kind in ("focal", "mse")]
    assert torch.allclose(ratio[0] / ratio[1], torch.full_like(ratio[0], 2 * c**2))


@pytest.mark.equation("eq-detached-gradient")
@each_gamma
def test_gradient_of_focal_with_the_factor_held_constant(gamma):
    """The value is that of focal; the gradient lacks gamma: finite differences must hold the factor as well."""
    closed = empty_cells(2 * LAMBDA * CONFIDENCE.abs() ** gamma * CONFIDENCE)
    assert torch.allclose(autograd("focal-detached", gamma), closed, atol=1e-12)
    factor = CONFIDENCE.abs() ** gamma
    held = central_difference(lambda c: (empty_cells(LAMBDA * factor * c**2)).sum(), CONFIDENCE)
    assert torch.allclose(held, closed, atol=1e-6)
    assert background("focal-detached", CONFIDENCE, gamma).item() == pytest.approx(background("focal", CONFIDENCE, gamma).item())


@pytest.mark.equation("eq-literal")
@each_gamma
def test_the_factor_as_printed_vanishes_at_one(gamma):
    c = CONFIDENCE[~CELLS]
    expected = (LAMBDA * (1 - c).abs() ** gamma * c**2).sum().item()
    assert background("focal-literal", CONFIDENCE, gamma).item() == pytest.approx(expected)


@pytest.mark.equation("eq-literal-gradient")
def test_gradient_of_the_factor_as_printed():
    """2 lambda c (1 - c) (1 - 2 c) at gamma = 2: zero at 0, 1/2 and 1; between 1/2 and 1 descent goes up, above 1 it comes down."""
    c = CONFIDENCE
    closed = empty_cells(2 * LAMBDA * c * (1 - c) * (1 - 2 * c))
    assert torch.allclose(autograd("focal-literal"), closed, atol=1e-12)
    assert torch.allclose(finite("focal-literal"), closed, atol=1e-6)
    gradient = autograd("focal-literal")[~CELLS]
    empty = c[~CELLS]
    assert (gradient[(empty > 0.5) & (empty < 1)] < 0).all()
    assert (gradient[((empty > 0) & (empty < 0.5)) | (empty > 1)] > 0).all()


def sums() -> tuple[torch.Tensor, torch.Tensor]:
    """W_j over empty cells and O_j over object cells, of the whole batch, for each predictor j."""
    return CONFIDENCE[~CELLS].square().sum(0), (CONFIDENCE[CELLS] - 1).square().sum(0)


@pytest.mark.equation("eq-coupled")
def test_the_released_reduction_multiplies_batch_sums():
    w, o = sums()
    expected = LAMBDA * (w * (w + o)).sum().item()
    assert background("focal-coupled", CONFIDENCE).item() == pytest.approx(expected)


@pytest.mark.equation("eq-coupled-gradient")
def test_gradient_of_the_released_reduction():
    """Background 2 lambda c_ij (2 W_j + O_j); object cells 2 lambda W_j (c_kj - 1), both predictors."""
    w, o = sums()
    closed = torch.where(CELLS[..., None], 2 * LAMBDA * w * (CONFIDENCE - 1), 2 * LAMBDA * CONFIDENCE * (2 * w + o))
    assert torch.allclose(autograd("focal-coupled"), closed, rtol=1e-12)
    assert torch.allclose(finite("focal-coupled"), closed, rtol=1e-6, atol=1e-5)
    assert (closed[CELLS] != 0).all()


@pytest.mark.parametrize("kind", ["mse", "focal", "focal-detached", "focal-literal"])
def test_the_gradient_at_a_confidence_of_exactly_zero_is_zero(kind):
    confidence = torch.zeros_like(CONFIDENCE).requires_grad_()
    assert torch.autograd.grad(background(kind, confidence), confidence)[0].count_nonzero() == 0
