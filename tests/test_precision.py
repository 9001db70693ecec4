"""Half precision on a GPU multiplies the loss by a factor: what is trained and what is recorded must not show it."""

import contextlib
import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from helpers_voc import write_tree
from test_point_detector import EVERY
from test_train import TINY

from trial.watch import train
from yolo_core.data.voc import VocData
from yolo_core.training import train as train_module
from yolo_core.training.precision import Mixed, arithmetic, scale
from yolo_core.training.step import NonFiniteLoss, Training

CONFIG = dataclasses.replace(TINY, epochs=1, micro_batch=2, probe_steps=1, clip_norm=1.0)
POINTS = dataclasses.replace(CONFIG, **EVERY)


class Scaled(Mixed):
    """The factor alone, in the arithmetic of float32: multiplying by a power of two, and dividing, loses nothing."""

    def forward_context(self):
        return contextlib.nullcontext()


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    root = write_tree(tmp_path_factory.mktemp("tree"), train=10, val=4)
    return VocData(root, "train", 224), VocData(root, "val", 224)


@pytest.fixture
def run(splits, tmp_path, monkeypatch):
    """Trains with a factor, which doubles each `interval` steps; None for no factor."""

    def trained(factor, config=CONFIG, kind=Scaled, interval=2000, **options):
        if factor is not None:
            scaler = {"init_scale": factor, "growth_interval": interval}
            monkeypatch.setattr(train_module, "arithmetic", lambda _: kind("16-mixed", "cpu", torch.amp.GradScaler("cpu", **scaler)))
        options = {"checkpoint_seconds": float("inf")} | options
        return train(config, *splits, tmp_path / str(factor), code="test", progress=False, **options)

    return trained


def weights(run):
    return torch.cat([tensor.flatten().double() for tensor in run.weights().values()])


@pytest.mark.parametrize("config", [CONFIG, POINTS], ids=["yolo", "points"])
def test_a_factor_changes_no_weight_no_curve_and_no_look_of_a_probe(run, config):
    plain, scaled = run(None, config), run(2.0**14, config)
    assert scaled.record["host"]["precision"] == "16-mixed" and scaled.record["host"]["skipped"] == []
    assert torch.equal(weights(scaled), weights(plain))
    looks = ["conflict"] if config.anchor_free else ["terms", "cells", "noise"]
    for table in ["curves", *looks]:
        assert len(plain.table(table)) > 0
        pd.testing.assert_frame_equal(scaled.table(table), plain.table(table), check_exact=True)


@pytest.fixture(scope="module")
def halved(splits, tmp_path_factory):
    """A training in float16 itself, from a factor that is too large; a picture a step, since few processors calculate in float16."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_module, "arithmetic", lambda _: Mixed("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=2.0**13)))
        config = dataclasses.replace(CONFIG, effective_batch=1, micro_batch=1)
        return train(config, *splits, tmp_path_factory.mktemp("halved") / "run", code="test", progress=False, max_steps=8)


def test_under_half_precision_itself_the_recorded_background_gradient_is_still_two_lambda_c(halved):
    cells = halved.table("cells").query("background")
    assert len(cells) > 50
    torch.testing.assert_close(
        torch.tensor(cells["gradient"].to_numpy()), 2 * 0.5 * torch.tensor(cells["confidence"].to_numpy()), rtol=1e-5, atol=1e-9
    )


def test_a_step_whose_gradients_overflow_is_left_out_and_counted_and_no_look_at_infinity_is_written_down(halved):
    skipped, steps = halved.record["host"]["skipped"], set(range(halved.record["steps"]))
    assert skipped and skipped[0] == 0 and set(skipped) < steps
    assert set(halved.table("terms")["step"]) < steps
    assert np.isfinite(halved.table("terms")["norm"]).all() and np.isfinite(halved.table("cells")["gradient"]).all()
    assert torch.isfinite(weights(halved)).all()


def test_gradients_that_overflow_however_small_the_loss_is_made_end_in_a_sentence(run):
    with pytest.raises(NonFiniteLoss, match=r"^step 0: gradients overflow half precision .* float32"):
        run(1.0, dataclasses.replace(CONFIG, lambda_coord=1e30, effective_batch=1, micro_batch=1, probe_steps=0), kind=Mixed)


def test_a_training_that_goes_on_from_a_checkpoint_keeps_its_factor(run, monkeypatch):
    """The factor doubles with each step; a fresh one would start anew."""
    found = []

    def seen(self, *given, whole=Training.step):
        found.append(scale(self.precision))
        if len(found) == 3:
            raise RuntimeError("killed")
        return whole(self, *given)

    monkeypatch.setattr(Training, "step", seen)
    with pytest.raises(RuntimeError, match="killed"):
        run(8.0, interval=1, checkpoint_seconds=0)
    run(8.0, interval=1, checkpoint_seconds=0)
    assert found == [8.0, 16.0, 32.0, 32.0]


@pytest.mark.parametrize(
    ("device", "vectors", "wanted", "expected"),
    [
        (None, "AVX512", "16-mixed", ("bf16-mixed", 1.0)),
        (None, "AVX2", "16-mixed", ("32-true", 1.0)),
        (None, "AVX512", "32-true", ("32-true", 1.0)),
        ("cuda", "AVX2", "16-mixed", ("16-mixed", 2.0**16)),
        ("cuda", "AVX2", "bf16-mixed", ("bf16-mixed", 1.0)),
        ("cuda", "AVX2", "32-true", ("32-true", 1.0)),
    ],
)
def test_half_precision_is_what_the_device_calculates_in(monkeypatch, device, vectors, wanted, expected):
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: device and torch.device(device))
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: vectors)
    monkeypatch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
    found = arithmetic(wanted)
    assert (found.precision, scale(found)) == expected


def test_float32_is_not_tf32(monkeypatch):
    """Which cuDNN would calculate convolutions in, on cards that have it."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    arithmetic("32-true")
    assert not torch.backends.cudnn.allow_tf32
