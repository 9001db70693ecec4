"""A checkpoint that is gone on from on another machine: with no card, fewer cards, other rights, too little memory."""

import json
import warnings
from hashlib import sha256

import pytest
import torch
from helpers_voc import write_tree
from test_checkpoint import SMALL, Killed, assert_equal, run, stop_at

from groundwork import checkpoint
from groundwork.checkpoint import beside
from groundwork.errors import InputError
from yolo_core.data.voc import VocData
from yolo_core.training.step import Training
from yolo_core.training.train import make_fabric


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    root = write_tree(tmp_path_factory.mktemp("tree"), train=10, val=4)
    return VocData(root, "train", 224), VocData(root, "val", 224)


@pytest.fixture(scope="module")
def whole(splits, tmp_path_factory):
    return run(splits, tmp_path_factory.mktemp("whole") / "run")


def killed_at(step, monkeypatch, splits, out, config=SMALL):
    with monkeypatch.context() as patch:
        stop_at(patch, step)
        with pytest.raises(Killed):
            run(splits, out, config)


def contents(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def as_if_saved_on_a_gpu(place, monkeypatch):
    """The checkpoint in a folder with its tensors on the first GPU, as torch writes them there."""
    state, digests = place / "state.pt", place / "digests.json"
    content = torch.load(state, weights_only=True)
    with monkeypatch.context() as patch:
        patch.setattr(torch.serialization, "location_tag", lambda _: "cuda:0")
        torch.save(content, state)
    digests.write_text(json.dumps(json.loads(digests.read_text()) | {"state.pt": sha256(state.read_bytes()).hexdigest()}))


def test_a_checkpoint_saved_on_a_gpu_is_gone_on_from_without_one(splits, tmp_path, monkeypatch, whole):
    killed_at(5, monkeypatch, splits, tmp_path / "run")
    places = [file.parent for file in beside(tmp_path / "run").rglob("state.pt")]
    for place in places:
        as_if_saved_on_a_gpu(place, monkeypatch)
    with pytest.raises(RuntimeError, match="CUDA"):
        torch.load(places[0] / "state.pt", weights_only=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        found = run(splits, tmp_path / "run")
    assert found.record["times"]["resumed"] == 1
    assert_equal(found, whole)


def test_a_checkpoint_without_a_scaler_is_gone_on_from_where_there_is_one(monkeypatch):
    """Half precision has a scaler on a GPU and none on a CPU."""
    training, scaler = Training(SMALL, make_fabric("32-true"), None), torch.amp.GradScaler("cpu")
    training.schedule(3)
    state = training.state()
    assert state["precision"] == {}
    monkeypatch.setattr(training.precision, "load_state_dict", scaler.load_state_dict)
    training.load(training.detector.state_dict(), state)


def test_a_checkpoint_of_two_gpus_is_gone_on_from_with_one(monkeypatch):
    training, taken = Training(SMALL, make_fabric("32-true"), None), []
    training.schedule(3)
    state = training.state()
    state["rng"]["cuda"] = [torch.zeros(16, dtype=torch.uint8)] * 2
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda.random, "set_rng_state", lambda state, device: taken.append(device))
    training.load(training.detector.state_dict(), state)
    assert taken == [0]


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), MemoryError("too little memory")])
def test_a_checkpoint_that_cannot_be_read_now_is_told_and_nothing_is_trained_or_deleted(splits, tmp_path, monkeypatch, error):
    killed_at(4, monkeypatch, splits, tmp_path / "run")
    before = contents(tmp_path)

    def refused(_):
        raise error

    monkeypatch.setattr(checkpoint, "_digest", refused)
    with pytest.raises(InputError, match=f"cannot be read .*{error.args[-1]}"):
        run(splits, tmp_path / "run")
    assert contents(tmp_path) == before
