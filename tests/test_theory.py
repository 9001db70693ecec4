"""Closed forms against autograd, finite differences and integrated flows, in double precision."""

import math

import numpy as np
import pytest
import torch

from trial.instruments.theory import (
    READINGS,
    base_rate_floor,
    coupled_ratio,
    floor_under_drive,
    flow,
    focal_to_mse,
    literal_barrier,
    time_to_fall,
)
from yolo_core.detector.loss import YoloLoss

CONFIDENCES = np.array([-0.4, -0.03, 0.0, 1e-3, 0.1, 0.3, 0.5, 0.7, 0.95, 1.2])
GAMMAS = [1.0, 1.5, 2.0, 3.0]
DECAYING = ["mse", "focal", "focal-detached"]


def integrated(reading: str, c0: float, t: float, gamma: float, lam: float, steps: int = 800) -> float:
    """Runge-Kutta of fourth order on dc/dt = -gradient(c): knows nothing of the closed form."""
    slope, c, h = READINGS[reading].gradient, c0, t / steps
    for _ in range(steps):
        k1 = -slope(c, gamma, lam)
        k2 = -slope(c + h * k1 / 2, gamma, lam)
        k3 = -slope(c + h * k2 / 2, gamma, lam)
        k4 = -slope(c + h * k3, gamma, lam)
        c += h * (k1 + 2 * k2 + 2 * k3 + k4) / 6
    return c


@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("reading", READINGS)
def test_each_gradient_is_what_autograd_finds_in_the_detectors_own_loss(reading, gamma):
    """One picture with nothing in it: the background term over 98 predictors is all there is."""
    outputs = torch.zeros(1, 7, 7, 30, dtype=torch.float64)
    values = torch.from_numpy(np.resize(CONFIDENCES, 98)).view(1, 7, 7, 2)
    outputs[..., 4], outputs[..., 9] = values[..., 0], values[..., 1]
    outputs.requires_grad_()
    loss = YoloLoss(reading, gamma=gamma)
    loss(outputs, torch.zeros(1, 7, 7, 25, dtype=torch.float64))["background"].backward()
    found = torch.stack([outputs.grad[..., 4], outputs.grad[..., 9]], -1).flatten().numpy()
    np.testing.assert_allclose(found, READINGS[reading].gradient(np.resize(CONFIDENCES, 98), gamma, 0.5), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("reading", ["mse", "focal", "focal-literal"])
def test_each_gradient_is_the_finite_difference_of_its_loss(reading, gamma):
    r, h = READINGS[reading], 1e-6
    c = CONFIDENCES[np.abs(CONFIDENCES) > 1e-4]
    central = (r.loss(c + h, gamma, 0.5) - r.loss(c - h, gamma, 0.5)) / (2 * h)
    np.testing.assert_allclose(central, r.gradient(c, gamma, 0.5), rtol=1e-6, atol=1e-9)


@pytest.mark.equation("eq-curvature")
@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("reading", READINGS)
def test_the_curvature_at_zero_is_two_lambda_or_nothing(reading, gamma):
    r, h = READINGS[reading], 1e-7
    slope = (r.gradient(h, gamma, 0.5) - r.gradient(-h, gamma, 0.5)) / (2 * h)
    assert slope == pytest.approx(r.curvature(gamma, 0.5), abs=1e-5)


@pytest.mark.equation("eq-ratio")
@pytest.mark.parametrize("gamma", GAMMAS)
def test_the_focal_gradient_is_the_ratio_times_the_squared_errors(gamma):
    c = CONFIDENCES[CONFIDENCES != 0]
    measured = READINGS["focal"].gradient(c, gamma, 0.5) / READINGS["mse"].gradient(c, gamma, 0.5)
    np.testing.assert_allclose(measured, focal_to_mse(c, gamma), rtol=1e-12)
    assert focal_to_mse(0.1, 2.0) == pytest.approx(0.02)
    assert focal_to_mse(1 / math.sqrt(2), 2.0) == pytest.approx(1.0)


@pytest.mark.equation("eq-flow-mse")
@pytest.mark.equation("eq-flow-focal")
@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("reading", DECAYING)
def test_each_flow_is_the_integrated_equation(reading, gamma):
    for t in (0.3, 2.0, 20.0):
        assert flow(reading, 0.8, t, gamma, 0.5) == pytest.approx(integrated(reading, 0.8, t, gamma, 0.5), rel=1e-9)


@pytest.mark.equation("eq-time")
@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("reading", DECAYING)
def test_the_time_to_fall_is_when_the_flow_gets_there(reading, gamma):
    t = time_to_fall(reading, 0.5, 0.05, gamma, 0.5)
    assert flow(reading, 0.5, t, gamma, 0.5) == pytest.approx(0.05)


def test_from_a_half_to_a_twentieth_takes_43_times_longer_and_86_detached():
    mse = time_to_fall("mse", 0.5, 0.05, lam=1.0)
    assert (mse, time_to_fall("focal", 0.5, 0.05, lam=1.0)) == (pytest.approx(1.1513, rel=1e-4), pytest.approx(49.5))
    assert time_to_fall("focal", 0.5, 0.05) / time_to_fall("mse", 0.5, 0.05) == pytest.approx(43, abs=0.5)
    assert time_to_fall("focal-detached", 0.5, 0.05) / time_to_fall("mse", 0.5, 0.05) == pytest.approx(86, abs=0.5)
    assert time_to_fall("focal", 0.1, 0.01) / time_to_fall("mse", 0.1, 0.01) == pytest.approx(1075, abs=1)


@pytest.mark.equation("eq-floor-drive")
@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("reading", DECAYING)
def test_under_a_constant_drive_the_gradient_balances_it_at_the_floor(reading, gamma):
    for drive in (0.001, 0.05, 0.5):
        c = floor_under_drive(reading, drive, gamma, 0.5)
        assert READINGS[reading].gradient(c, gamma, 0.5) == pytest.approx(drive)
    mse = floor_under_drive("mse", 0.05, gamma, 0.5)
    assert floor_under_drive("focal", 0.05, gamma, 0.5) == pytest.approx((2 * mse / (gamma + 2)) ** (1 / (gamma + 1)))


@pytest.mark.equation("eq-floor-rate")
@pytest.mark.parametrize("reading", DECAYING)
def test_the_base_rate_floor_is_the_minimum_of_the_expected_loss(reading):
    """By a fine search over c of the loss itself; the detached factor has no loss, so there the expected slope must vanish."""
    share, target = 0.025, 0.5
    floor = base_rate_floor(reading, share, target)
    r = READINGS[reading]
    if reading == "focal-detached":
        assert (1 - share) * r.gradient(floor, 2.0, 0.5) == pytest.approx(2 * share * (target - floor))
    else:
        c = np.linspace(0, 1, 1_000_001)
        assert floor == pytest.approx(c[np.argmin((1 - share) * r.loss(c, 2.0, 0.5) + share * (c - target) ** 2)], abs=2e-6)


def test_the_base_rate_floors_are_those_of_the_science_sheet_and_keep_order():
    assert base_rate_floor("mse", 0.025, 0.5) == pytest.approx(0.0245, abs=5e-4)
    assert base_rate_floor("focal", 0.025, 0.5) == pytest.approx(0.198, abs=1e-3)
    assert base_rate_floor("mse", 0.025, 0.5) == pytest.approx(0.025 * 0.5 / (0.025 + 0.5 * 0.975))
    for reading in DECAYING:
        floors = [base_rate_floor(reading, p, 0.5) for p in (0.01, 0.02, 0.05, 0.1)]
        assert floors == sorted(floors), "at a fixed target the floor rises with the share: the order of cells is kept"


def test_cells_of_unequal_targets_can_rest_in_another_order_under_focal():
    mse, focal = ([base_rate_floor(reading, p, t) for p, t in ((0.1, 0.9), (0.4, 0.4))] for reading in ("mse", "focal"))
    assert mse == pytest.approx([0.164, 0.229], abs=5e-4) and focal == pytest.approx([0.385, 0.341], abs=5e-4)


@pytest.mark.equation("eq-barrier")
def test_the_literal_reading_loses_its_low_well_above_the_barrier():
    c = np.linspace(0, 0.5, 1_000_001)
    assert (READINGS["focal-literal"].gradient(c, 2.0, 0.5) / (2 * 0.5)).max() == pytest.approx(literal_barrier(), rel=1e-9)


def test_the_literal_reading_pushes_everything_above_a_half_to_one():
    for c0, end in ((0.49, 0.0), (0.51, 1.0), (0.9, 1.0), (1.3, 1.0)):
        assert integrated("focal-literal", c0, 200.0, 2.0, 0.5) == pytest.approx(end, abs=1e-3)


@pytest.mark.equation("eq-coupled-ratio")
def test_the_released_reduction_multiplies_the_background_gradient_by_two_w_plus_o():
    generator = torch.Generator().manual_seed(0)
    outputs = torch.rand(2, 7, 7, 30, generator=generator, dtype=torch.float64)
    target = torch.zeros(2, 7, 7, 25, dtype=torch.float64)
    target[0, 2, 3, :5] = torch.tensor([1, 0.5, 0.5, 0.2, 0.3])
    target[1, 5, 1, :5] = torch.tensor([1, 0.2, 0.7, 0.4, 0.1])
    cells, slopes = target[..., 0] > 0, {}
    for background in ("mse", "focal-coupled"):
        x = outputs.clone().requires_grad_()
        YoloLoss(background, spare_noobj=False)(x, target)["background"].backward()
        slopes[background] = torch.stack([x.grad[..., 4], x.grad[..., 9]], -1)
    c = torch.stack([outputs[..., 4], outputs[..., 9]], -1)
    w, o = c[~cells].square().sum(0), (c[cells] - 1).square().sum(0)
    ratio = (slopes["focal-coupled"] / slopes["mse"])[~cells]
    np.testing.assert_allclose(ratio.numpy(), np.broadcast_to(coupled_ratio(w.numpy(), o.numpy()), ratio.shape), rtol=1e-10)
