"""BatchNorm's running statistics: how far they went, and what they are when computed anew."""

import math

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from trial.instruments.batchnorm import drift, recomputed, snapshot
from yolo_core.detector.model import batchnorms
from yolo_core.training.calibration import recompute
from yolo_core.training.config import RunConfig
from yolo_core.training.scoring import to_float


@pytest.fixture
def detector():
    torch.manual_seed(0)
    return RunConfig(backbone="scratch", width=0.05, head="conv").detector()


@pytest.fixture
def images():
    return torch.randint(0, 256, (32, 3, 224, 224), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def test_recomputed_statistics_are_the_average_over_batches_and_go_back_afterwards(detector, images):
    first = batchnorms(detector.backbone)[0]
    before = snapshot(detector)
    seen = []
    handle = first.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].mean((0, 2, 3))))
    with recomputed(detector, images, batch_size=16):
        handle.remove()
        torch.testing.assert_close(first.running_mean, torch.stack(seen).mean(0))
        assert not first.training, "scored in eval mode"
        inside = snapshot(detector)
    assert any(not torch.equal(a, b) for (a, _), (b, _) in zip(before, inside, strict=True))
    for (mean, variance), (again, again_variance) in zip(before, snapshot(detector), strict=True):
        assert torch.equal(mean, again) and torch.equal(variance, again_variance)
    assert first.momentum == 0.1 and detector.training


def test_recomputing_changes_no_weight_and_leaves_the_training_mode(detector, images):
    weights = {name: p.clone() for name, p in detector.named_parameters()}
    detector.eval()
    with recomputed(detector, images):
        pass
    assert not detector.training
    assert all(torch.equal(p, weights[name]) for name, p in detector.named_parameters())


def test_statistics_come_back_even_when_the_scoring_fails(detector, images):
    before = snapshot(detector)
    with pytest.raises(RuntimeError, match="scoring"), recomputed(detector, images):
        raise RuntimeError("scoring")
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(before, snapshot(detector), strict=True))


def test_a_random_lite0_is_blind_under_its_first_statistics_and_sees_under_those_of_pictures(images):
    torch.manual_seed(0)
    backbone = RunConfig(head="conv").detector().backbone.eval()
    with torch.no_grad():
        blind = backbone(to_float(images, "cpu")).std()
        recompute(backbone, images)
        seen = backbone(to_float(images, "cpu")).std()
    assert not backbone.training and seen > 1000 * blind and seen > 1e-3


def test_drift_is_in_units_of_the_deviation_before_by_hand():
    before = [(torch.tensor([0.0, 1.0]), torch.tensor([4.0, 1.0]))]
    after = [(torch.tensor([2.0, 1.0]), torch.tensor([4.0, math.e]))]
    found = drift(before, after)
    assert found["mean"] == pytest.approx((1 + 0) / 2, rel=1e-4)
    assert found["log_variance"] == pytest.approx((0 + 1) / 2, rel=1e-4)
    assert math.isnan(drift([], [])["mean"])


def test_a_step_in_train_mode_moves_the_statistics_and_frozen_ones_stand(detector, images):
    before = snapshot(detector.backbone)
    detector.train()(to_float(images[:4], "cpu"))
    assert drift(before, snapshot(detector.backbone))["mean"] > 0
    still = RunConfig(backbone="scratch", width=0.05, head="conv", batchnorm="frozen").detector()
    before = snapshot(still.backbone)
    still.train()(to_float(images[:4], "cpu"))
    assert drift(before, snapshot(still.backbone)) == {"mean": 0.0, "log_variance": 0.0}


def test_a_snapshot_lies_on_the_cpu_wherever_the_net_does():
    """A training takes one before its net is moved to a GPU, and one there."""
    with FakeTensorMode():
        norm = torch.nn.BatchNorm2d(3, device="cuda")
        assert norm.running_mean.device.type == "cuda"
        assert {tensor.device.type for pair in snapshot(norm) for tensor in pair} == {"cpu"}
