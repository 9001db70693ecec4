"""A training that bursts where no loss shows it, in its last update, says so; and other words of `train` that come in time."""

import os
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers_voc import write_tree
from test_train import TINY

from groundwork.checkpoint import beside
from groundwork.fabric import Fabric
from trial.instruments.confidence import BINS, reliability
from trial.watch import Instruments, train
from yolo_core.__main__ import main
from yolo_core.data.voc import VocData
from yolo_core.detector.metrics import match
from yolo_core.training.step import NonFiniteLoss, Training
from yolo_core.training.train import make_fabric
from yolo_core.training.writing import run_key


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return write_tree(tmp_path_factory.mktemp("tree"), train=4, val=2)


def test_an_update_that_bursts_after_the_last_loss_is_no_finished_run(tree, tmp_path, monkeypatch, capsys):
    """It was one with weights that are no numbers, or a traceback of the scoring."""
    monkeypatch.setattr("yolo_core.training.step.rate_factor", lambda *_: 1e30)
    words = ["train", "baseline", "--arm", "conv", "--profile", "smoke", "--data", str(tree), "--out", str(tmp_path / "run")]
    assert main([*words, "--max-steps", "1", "--checkpoint-seconds", "0"]) == 1
    assert "error: step 1: what the detector puts out is not finite; lower the learning rate" in capsys.readouterr().err
    assert not (tmp_path / "run").exists() and not beside(tmp_path / "run").exists()


def test_scores_whose_product_is_infinite_are_a_burst_too(tree, tmp_path, monkeypatch):
    monkeypatch.setattr("yolo_core.training.step.predict", lambda *_, **__: torch.full((2, 7, 7, 30), 1e30))
    with pytest.raises(NonFiniteLoss, match="step 1: what the detector puts out is not finite"):
        train(TINY, VocData(tree, "train", 224), VocData(tree, "val", 224), tmp_path / "run", code="c", progress=False, max_steps=1)


@pytest.mark.parametrize("score", [1e18, 1e30, 3e38])
def test_scores_beyond_any_whole_number_are_counted_in_the_last_bin(score):
    boxes, labels = torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.tensor([0])
    found = {"boxes": boxes, "scores": torch.tensor([score]), "labels": labels}
    counted = reliability(match([found], [{"boxes": boxes, "labels": labels}]))
    assert counted["detections"] == [0] * (BINS - 1) + [1] and np.isfinite(counted["calibration_error"])


def test_a_finite_run_whose_scores_on_another_split_are_not_is_told_in_a_sentence(tree, tmp_path, monkeypatch, capsys):
    words = ["train", "baseline", "--arm", "conv", "--profile", "smoke", "--data", str(tree), "--out", str(tmp_path / "run")]
    assert main([*words, "--max-steps", "1"]) == 0
    for value in (1e30, float("nan")):
        monkeypatch.setattr("trial.inference.detect.predict", lambda *_, value=value, **__: torch.full((4, 7, 7, 30), value))
        assert main(["eval", str(tmp_path / "run"), "--data", str(tree), "--split", "train", "--json"]) == 2
        said = capsys.readouterr()
        assert "error: what the run puts out on train is not finite: its training has burst; lower the learning rate" in said.err


def test_workers_whose_batches_have_no_room_to_be_shared_in_are_told_before_anything_waits_for_them(tree, tmp_path, monkeypatch, capsys):
    """Containers give 64 MiB."""
    monkeypatch.setattr("command_line.runs.SHARED", tmp_path)
    monkeypatch.setattr("command_line.runs.shutil.disk_usage", lambda _: SimpleNamespace(free=64 * 2**20))
    words = ["train", "baseline", "--arm", "conv", "--data", str(tree), "--out", str(tmp_path / "run"), "--max-steps", "1"]
    assert main([*words, "--profile", "rtx2060", "--workers", "4"]) == 2
    error = capsys.readouterr().err
    assert "--workers: 4 take up to 83 MiB of shared memory" in error and "--shm-size=2g" in error and not (tmp_path / "run").exists()
    assert main([*words, "--profile", "smoke", "--workers", "1"]) == 0


def test_a_tree_too_small_for_an_arm_is_told_before_the_run_that_it_goes_on_from_is_trained(tree, tmp_path, capsys):
    words = [
        "train",
        "finetune",
        "--arm",
        "continued-conv",
        "--data",
        str(tree),
        "--out",
        str(tmp_path / "run"),
        "--cache",
        str(tmp_path / "c"),
    ]
    assert main([*words, "--profile", "pocket"]) == 2
    error = capsys.readouterr().err
    assert "takes 1200 pictures under --profile pocket, and train.txt names 4" in error
    assert error.endswith("(and a run of focal/mse-conv under it)\n") and not (tmp_path / "c").exists()


def test_a_tree_whose_path_is_no_utf_8_is_a_fault_as_a_training_has_it(tmp_path, capsys):
    root = write_tree(tmp_path / os.fsdecode(b"t\xff"), train=2, val=1)
    assert main(["data", "check", str(root)]) == 1
    assert "expected a path in UTF-8" in capsys.readouterr().out
    assert main(["train", "baseline", "--arm", "conv", "--profile", "smoke", "--data", str(root), "--out", str(tmp_path / "run")]) == 2
    assert "another place as the cache (--cache of train and eval; a book's lies in _build)" in capsys.readouterr().err


def test_a_file_of_weights_counts_by_its_content_however_it_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.pth").write_bytes(b"one")
    here, there = (replace(TINY, weights=name) for name in ("./w.pth", str(tmp_path / "w.pth")))
    first = run_key(here, {}, "c")
    assert first == run_key(there, {}, "c") != run_key(replace(TINY, weights=None), {}, "c")
    (tmp_path / "w.pth").write_bytes(b"two")
    assert run_key(here, {}, "c") != first


def test_of_several_processes_it_is_said_that_none_of_them_probes(monkeypatch):
    fabric = make_fabric(TINY.precision)
    monkeypatch.setattr(Fabric, "world_size", property(lambda _: 2))
    with pytest.warns(UserWarning, match="nothing is probed"):
        Training(replace(TINY, probe_steps=1), fabric, None, Instruments())
