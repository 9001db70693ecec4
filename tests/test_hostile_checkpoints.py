"""The corpus of torn, false and hostile weights and checkpoints: refused in one sentence, or gone back from; no code is ever run."""

import json
from hashlib import sha256

import pytest
import torch
from helpers_voc import write_tree
from hostile.case import MARKER, pickled
from hostile.checkpoints import SAVED, STATE_DICTS, WEIGHTS, saved
from hostile.configs import BASE
from hostile.records import SOUND
from test_hostile_configs import assert_told
from test_hostile_data import assert_nothing_made, by_name

from groundwork.checkpoint import Checkpoints
from groundwork.errors import InputError
from trial.inference import detect
from trial.watch import train
from yolo_core.data.voc import VocData
from yolo_core.detector.backbones import build_backbone
from yolo_core.training.config import RunConfig
from yolo_core.training.step import Training
from yolo_core.training.train import make_fabric
from yolo_core.training.writing import write_run


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A run that was never trained, whole for all that."""
    torch.manual_seed(0)
    return write_run(tmp_path_factory.mktemp("runs") / "run", SOUND, {}, RunConfig(**BASE).detector().state_dict()).folder


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_pickle_of_the_corpus_does_run_where_it_is_let(here):
    """Else no test below could tell that it was not."""
    import pickle

    pickle.loads(pickled())
    assert MARKER.exists()


@by_name(WEIGHTS)
def test_the_weights_of_a_run_are_read_whole_or_refused(case, here, sound):
    run = here / "run"
    run.mkdir()
    (run / "record.json").write_bytes((sound / "record.json").read_bytes())
    path = run / "weights.safetensors"
    path.write_bytes(case.given((sound / "weights.safetensors").read_bytes()))
    if case.refused:
        with pytest.raises(InputError, match=case.refused) as caught:
            detect.load(run)
        assert_told(caught.value, str(path))
    else:
        expected = detect.load(sound)[0].state_dict()
        assert all(torch.equal(tensor, expected[name]) for name, tensor in detect.load(run)[0].state_dict().items())
    assert_nothing_made(here, "run")


@by_name(STATE_DICTS)
def test_a_file_of_weights_is_refused_and_runs_no_code(case, here):
    path = here / "net.pth"
    path.write_bytes(case.given(saved({"w": torch.ones(1000)})))
    with pytest.raises(InputError, match=case.refused) as caught:
        build_backbone("efficientnet_lite0", 224, str(path))
    assert_told(caught.value, str(path))
    assert_nothing_made(here, "net.pth")


@by_name(SAVED)
def test_a_bad_checkpoint_is_warned_of_and_gone_back_from(case, here):
    checkpoints = Checkpoints(here / "c", "key")
    for step in (1, 2):
        assert checkpoints.save(step, {"w": torch.full((2,), float(step))}, {"step": step, "x": list(range(100))})
    name, change, fits = case.given
    file, digests = checkpoints.folder / "2" / name, checkpoints.folder / "2/digests.json"
    file.write_bytes(change(file.read_bytes()))
    if fits:
        digests.write_text(json.dumps(json.loads(digests.read_text()) | {name: sha256(file.read_bytes()).hexdigest()}))
    with pytest.warns(UserWarning, match=r"c/\w+/2: the checkpoint is torn \(.*going back to the one before it") as warned:
        weights, state = checkpoints.latest()
    assert len(warned) == 1
    assert weights["w"].tolist() == [1, 1] and state["step"] == 1
    assert_nothing_made(here, "c")


def test_a_checkpoint_that_a_card_has_no_room_for_is_kept_and_told_so(here, monkeypatch):
    root, config = write_tree(here / "tree", train=2, val=1), RunConfig(**BASE, epochs=1)
    splits = VocData(root, "train", 224), VocData(root, "val", 224)

    def load(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(Checkpoints, "latest", lambda self: ({}, {}))
    monkeypatch.setattr(Training, "load", load)
    with pytest.raises(InputError, match="out of memory.*mend that: the file may be whole") as caught:
        train(config, *splits, here / "run", code="c", progress=False)
    assert "remove" not in str(caught.value)


@pytest.mark.parametrize("change", [lambda w, s: ({}, s), lambda w, s: (w, {}), lambda w, s: (w, s | {"progress": {"speed": 1}})])
def test_a_whole_checkpoint_of_something_else_is_refused_before_a_step_is_taken(here, monkeypatch, change):
    root, config = write_tree(here / "tree", train=2, val=1), RunConfig(**BASE, epochs=1)
    splits = VocData(root, "train", 224), VocData(root, "val", 224)
    training = Training(config, make_fabric(config.precision), None)
    training.schedule(1)
    found = change(training.detector.state_dict(), training.state())
    monkeypatch.setattr(Checkpoints, "latest", lambda self: found)
    with pytest.raises(InputError, match="not of this training; remove it") as caught:
        train(config, *splits, here / "run", code="test", progress=False)
    assert_told(caught.value, str(here / ".run.checkpoints"))
    assert_nothing_made(here, "tree")


@pytest.mark.parametrize("name", ["1\u00b2", "9" * 200, "10 of 20", "3.tmp"])
def test_a_folder_that_only_looks_like_a_checkpoint_is_passed_over(here, name):
    checkpoints = Checkpoints(here / "c", "key")
    checkpoints.save(1, {"w": torch.ones(2)}, {"step": 1})
    (checkpoints.folder / name).mkdir()
    if name.isdecimal():
        with pytest.warns(UserWarning, match="is torn"):
            assert checkpoints.latest()[1] == {"step": 1}
    else:
        assert checkpoints.latest()[1] == {"step": 1}
