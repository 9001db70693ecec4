"""A training that is killed and started again ends as if nothing had happened."""

import dataclasses
import json
import math
import os
import random
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
import torch
from helpers_voc import write_tree
from test_train import TINY

from groundwork import checkpoint
from groundwork.checkpoint import Checkpoints, beside
from groundwork.errors import InputError
from trial.watch import train
from yolo_core.data.voc import VocData
from yolo_core.training.records import read_run
from yolo_core.training.step import Training

SMALL = dataclasses.replace(TINY, micro_batch=2, probe_steps=2, score_epochs=1)
# Lite0 drops whole blocks at random in training: the state of the random numbers matters. In one piece, since it costs eight times as much
# and adding its pieces up, which a run checks at its end, would cost most of all.
CONFIG = dataclasses.replace(SMALL, backbone="efficientnet_lite0", micro_batch=4)


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    root = write_tree(tmp_path_factory.mktemp("tree"), train=10, val=4)
    return VocData(root, "train", 224), VocData(root, "val", 224)


def run(splits, out, config=SMALL, **options):
    return train(config, *splits, out, code="test", progress=False, checkpoint_seconds=0, **options)


@pytest.fixture(scope="module")
def whole(splits, tmp_path_factory):
    return run(splits, tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture
def dropping(splits, tmp_path):
    """A whole run of the net that drops blocks."""
    return run(splits, tmp_path / "whole", CONFIG)


def assert_equal(found, expected):
    """Curves, scores, probes and weights, bit for bit."""
    tables = sorted(file.stem for file in expected.folder.glob("*.parquet"))
    assert tables == sorted(file.stem for file in found.folder.glob("*.parquet")) and {"curves", "epochs", "terms", "scores"} <= set(tables)
    for table in tables:
        pd.testing.assert_frame_equal(found.table(table), expected.table(table), check_exact=True)
    weights = expected.weights()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in found.weights().items())
    for part in ("metrics", "key"):  # as text, where a NaN equals itself
        assert json.dumps(found.record[part], sort_keys=True) == json.dumps(expected.record[part], sort_keys=True)


class Killed(Exception):
    pass


def stop_at(monkeypatch, step):
    """Training breaks off before this step, as a kill would."""
    whole_step = Training.step

    def broken(self, *arguments):
        if self.progress.step == step:
            raise Killed
        return whole_step(self, *arguments)

    monkeypatch.setattr(Training, "step", broken)


@pytest.mark.parametrize("step", [1, 2, 3, 5])
def test_a_training_broken_off_at_any_step_goes_on_to_the_same_bits(splits, tmp_path, monkeypatch, whole, step):
    """Ten pictures in batches of four: three steps an epoch, so 3 is the first of the second epoch."""
    with monkeypatch.context() as patch:
        stop_at(patch, step)
        with pytest.raises(Killed):
            run(splits, tmp_path / "run")
    assert not (tmp_path / "run").exists() and beside(tmp_path / "run").exists()
    found = run(splits, tmp_path / "run")
    assert found.record["times"]["resumed"] == 1
    assert_equal(found, whole)
    assert not beside(tmp_path / "run").exists(), "a finished run leaves no checkpoint"


def test_one_that_drops_blocks_at_random_drops_the_same_however_often_it_was_broken_off(splits, tmp_path, monkeypatch, dropping):
    """In each of its two epochs."""
    for step in (2, 5):
        with monkeypatch.context() as patch:
            stop_at(patch, step)
            with pytest.raises(Killed):
                run(splits, tmp_path / "run", CONFIG)
    found = run(splits, tmp_path / "run", CONFIG)
    assert found.record["times"]["resumed"] == 2
    assert_equal(found, dropping)


def test_it_goes_on_with_loading_processes_as_well(splits, tmp_path, monkeypatch, whole):
    with monkeypatch.context() as patch:
        stop_at(patch, 4)
        with pytest.raises(Killed):
            run(splits, tmp_path / "run", workers=2)
    assert_equal(run(splits, tmp_path / "run", workers=2), whole)


def test_a_torn_checkpoint_is_told_and_the_one_before_it_taken(splits, tmp_path, monkeypatch, whole):
    with monkeypatch.context() as patch:
        stop_at(patch, 5)
        with pytest.raises(Killed):
            run(splits, tmp_path / "run")
    file = max(beside(tmp_path / "run").rglob("state.pt"), key=lambda p: int(p.parent.name))
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.warns(UserWarning, match="is torn .*going back"):
        found = run(splits, tmp_path / "run")
    assert_equal(found, whole)


def test_a_full_disk_is_told_and_stops_neither_the_training_nor_the_earlier_checkpoint(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path / "c", "key")
    assert checkpoints.save(1, {"w": torch.ones(2)}, {"step": 1})

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.torch, "save", full)
    with pytest.warns(UserWarning, match="No space left on device.*the one of step 1 is good"):
        assert not checkpoints.save(2, {"w": torch.zeros(2)}, {"step": 2})
    monkeypatch.undo()
    weights, state = checkpoints.latest()
    assert state == {"step": 1} and weights["w"].tolist() == [1, 1]
    assert [p.name for p in checkpoints.folder.iterdir()] == ["1"], "no draft is left behind"


def test_the_checkpoint_of_another_configuration_is_not_gone_on_from(splits, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_at(patch, 2)
        with pytest.raises(Killed):
            run(splits, tmp_path / "run")
    other = run(splits, tmp_path / "run", dataclasses.replace(SMALL, seed=1))
    assert other.record["times"]["resumed"] == 0


def test_two_checkpoints_are_kept_and_no_more(tmp_path):
    checkpoints = Checkpoints(tmp_path / "c", "key")
    for step in (1, 2, 3, 10):
        checkpoints.save(step, {"w": torch.full((1,), float(step))}, {"step": step})
    assert sorted(int(p.name) for p in checkpoints.folder.iterdir()) == [3, 10]
    assert checkpoints.latest()[1] == {"step": 10}
    checkpoints.remove()
    assert checkpoints.latest() is None


def test_a_device_out_of_memory_halves_the_micro_batch_and_loses_no_step(splits, tmp_path, monkeypatch):
    def small(self, inputs, features=False):
        if len(inputs) > 1 and self.training:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.head(self.backbone(inputs))

    config = dataclasses.replace(SMALL, micro_batch=4)
    with monkeypatch.context() as patch:
        patch.setattr("yolo_core.detector.model.Detector.forward", small)
        patch.setattr("yolo_core.detector.model.Detector.train", lambda self, mode=True: _half_train(self, mode))
        found = run(splits, tmp_path / "run", config)
    assert found.record["host"]["halvings"] == [{"step": 0, "micro_batch": 2}, {"step": 0, "micro_batch": 1}]
    assert found.record["steps"] == 6 and all(math.isfinite(v) for v in found.table("curves")["box"])


def _half_train(detector, mode):
    """Train mode in name, BatchNorm in eval mode: one picture a pass has no statistics in a dense layer's place."""
    torch.nn.Module.train(detector, False)
    detector.training = mode
    return detector


def test_a_device_too_small_for_one_picture_is_told_in_a_sentence(splits, tmp_path, monkeypatch):
    def never(self, inputs, features=False):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("yolo_core.detector.model.Detector.forward", never)
    with pytest.raises(InputError, match="ran out of memory at micro-batch 1; ask `python -m yolo_core plan`"):
        run(splits, tmp_path / "run")


def soak(folder, kills, pictures=80, moment=None):
    """Start a training, kill -9 it at moments that `moment` gives in seconds, or as soon as it has a new checkpoint; start it again;
    returns how often it was killed. `pictures`: so many more a kill, that it is found at work. Also run by hand, at random moments:
    python tests/test_checkpoint.py 20"""
    root = write_tree(folder / "tree", train=24 + pictures * kills, val=4)
    command = [sys.executable, "-m", "yolo_core", "train", "baseline", "--arm", "conv", "--profile", "smoke", "--data", str(root)]
    command += ["--checkpoint-seconds", "0", "--out"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": os.environ | {"OMP_NUM_THREADS": "1"}}
    subprocess.run([*command, str(folder / "whole")], check=True, **quiet)  # alone; the others with a process that reads for them
    expected, killed, last = read_run(folder / "whole"), 0, 0
    while not (folder / "run" / "record.json").exists():
        process = subprocess.Popen([*command, str(folder / "run"), "--workers", "1"], start_new_session=True, **quiet)
        end = math.inf if killed == kills else time.monotonic() + moment() if moment else 0
        while process.poll() is None and (time.monotonic() < end or (not moment and newest(folder / "run") <= last)):
            time.sleep(0.02)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            killed += 1
        process.wait()
        last = newest(folder / "run")
    assert_equal_runs(read_run(folder / "run"), expected)
    return killed


def newest(out):
    """The step of the last checkpoint of the run that goes to `out`; 0 if there is none."""
    return max((int(place.name) for place in beside(out).glob("*/[0-9]*")), default=0)


def assert_equal_runs(found, expected):
    pd.testing.assert_frame_equal(found.table("curves"), expected.table("curves"), check_exact=True)
    weights = expected.weights()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in found.weights().items())


def test_a_run_killed_for_real_ends_with_the_same_bits(tmp_path):
    """The short form of the soak: killed with a checkpoint behind it, and again with a later one."""
    assert soak(tmp_path, kills=2, pictures=16) == 2


if __name__ == "__main__":
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as scratch:
        chance = random.Random(0)
        print(f"{soak(Path(scratch), int(sys.argv[1]), moment=lambda: chance.uniform(2, 12))} kills, none lost, weights bit-equal")
