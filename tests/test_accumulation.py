"""Claim H1: the gradient of accumulated micro-batches is that of the full batch, BatchNorm aside."""

import pytest
import torch

from trial.instruments.accumulation import deviations, gap, gradient
from yolo_core.detector.grid import Grid
from yolo_core.detector.loss import YoloLoss
from yolo_core.training.config import RunConfig

# Unequal numbers of objects, an empty picture among them.
COUNTS = (0, 1, 5, 2, 1, 3, 1)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    targets = []
    for n in COUNTS:
        low = torch.rand(n, 2, generator=generator) * 0.6
        size = 0.1 + 0.3 * torch.rand(n, 2, generator=generator)
        labels = torch.randint(0, 20, (n,), generator=generator)
        targets.append({"boxes": torch.cat([low, low + size], -1), "labels": labels, "difficult": torch.zeros(n, dtype=torch.bool)})
    return torch.rand(len(COUNTS), 3, 224, 224, generator=generator), Grid().encode(targets)


@pytest.fixture
def detector():
    torch.manual_seed(0)
    return RunConfig(backbone="scratch", width=0.05, head="conv").detector()


@pytest.mark.parametrize("micro_batch", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("background", ["mse", "focal", "qfl"])
def test_accumulated_gradients_are_those_of_the_full_batch_to_1e_6_with_a_partial_last_group(detector, batch, micro_batch, background):
    assert gap(detector, YoloLoss(background), *batch, micro_batch) < 1e-6


def test_the_released_focal_reduction_does_not_accumulate(detector, batch):
    """It multiplies sums over the batch, so its parts do not add up: the gap must be seen."""
    assert gap(detector, YoloLoss("focal-coupled"), *batch, 2) > 1e-3


def test_batchnorm_in_train_mode_breaks_the_equality(detector, batch):
    """Why the claim says "BatchNorm aside"."""
    double = detector.double().train()
    inputs, target = batch[0].double(), batch[1].double()
    whole = gradient(double, YoloLoss(), inputs, target, len(inputs))
    parts = gradient(double, YoloLoss(), inputs, target, 2)
    assert (whole - parts).abs().max() / whole.abs().max() > 1e-3


def test_measuring_the_gap_leaves_the_detector_as_it_was(detector, batch):
    weights = [p.clone() for p in detector.parameters()]
    gap(detector, YoloLoss(), *batch, 2)
    assert all(torch.equal(a, b) for a, b in zip(weights, detector.parameters(), strict=True))
    assert all(p.grad is None and p.dtype == torch.float32 for p in detector.parameters())


def test_batchnorms_deviation_is_none_at_the_whole_batch_and_large_in_twos(detector, batch):
    whole, twos = deviations(detector, YoloLoss(), *batch, (len(COUNTS), 2)).values()
    assert set(whole) == {name for name, _ in detector.named_parameters()}
    assert max(whole.values()) < 1e-5
    weights = [value for name, value in twos.items() if name.endswith("weight")]
    assert min(weights) > 0.01 and all(p.grad is None for p in detector.parameters())
