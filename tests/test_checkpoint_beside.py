"""Checkpoints of another training to the same place are told of and left alone, and take nothing from those that are written now."""

import dataclasses
import errno
import json
import math
import warnings

import pytest
import torch
from helpers_voc import write_tree
from test_checkpoint import SMALL, Killed, run, stop_at, train
from test_checkpoint_moved import contents, killed_at

from groundwork import checkpoint
from groundwork.checkpoint import Checkpoints, beside
from groundwork.errors import InputError
from yolo_core.__main__ import main
from yolo_core.data.voc import VocData
from yolo_core.training.writing import write_run


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    root = write_tree(tmp_path_factory.mktemp("tree"), train=10, val=4)
    return VocData(root, "train", 224), VocData(root, "val", 224)


OTHERS = {
    "another seed": {"seed": 1},
    "another option": {"lr": 1e-4},
    "another length": {"epochs": 3},
}


@pytest.mark.parametrize("change", OTHERS.values(), ids=list(OTHERS))
def test_checkpoints_of_another_training_are_told_of_left_alone_and_hinder_none(splits, tmp_path, monkeypatch, change):
    """The other was killed later than this one ever gets."""
    out, other = tmp_path / "run", dataclasses.replace(SMALL, **change)
    killed_at(5, monkeypatch, splits, out, other)
    lying = contents(tmp_path)
    with pytest.warns(UserWarning, match=r"another training.*left as they are"):
        killed_at(3, monkeypatch, splits, out)
    assert lying.items() <= contents(tmp_path).items()
    with pytest.warns(UserWarning, match=r"another training"):
        assert run(splits, out).record["times"]["resumed"] == 1
    assert contents(beside(out)) == lying, "a finished run takes its own checkpoints with it, and no other's"
    out.rename(tmp_path / "done")
    assert run(splits, out, other).record["times"]["resumed"] == 1
    assert not beside(out).exists()


def test_checkpoints_of_two_trainings_of_one_step_lie_side_by_side(tmp_path):
    one, other = Checkpoints(tmp_path / "c", "one"), Checkpoints(tmp_path / "c", "other")
    assert one.save(7, {"w": torch.ones(1)}, {"whose": 1}) and other.save(7, {"w": torch.ones(1)}, {"whose": 2})
    with pytest.warns(UserWarning, match="another training"):
        assert (one.latest()[1], other.latest()[1]) == ({"whose": 1}, {"whose": 2})


def test_torn_checkpoints_of_higher_steps_do_not_cost_those_written_after_going_back(tmp_path):
    checkpoints = Checkpoints(tmp_path / "c", "key")
    for step in (5, 6):
        checkpoints.save(step, {"w": torch.ones(1)}, {"step": step})
        (checkpoints.folder / str(step) / "state.pt").write_bytes(b"")
    for step in (1, 2):
        assert checkpoints.save(step, {"w": torch.ones(1)}, {"step": step})
        with pytest.warns(UserWarning, match="is torn"):
            assert checkpoints.latest()[1] == {"step": step}


def test_no_resume_starts_anew_and_leaves_the_checkpoints_of_another_training(tmp_path, monkeypatch):
    tree, out = write_tree(tmp_path / "tree", train=20, val=2), tmp_path / "run"
    command = ["train", "baseline", "--arm", "conv", "--profile", "smoke", "--data", str(tree), "--out", str(out)]
    command += ["--checkpoint-seconds", "0"]
    for seed in ("7", "0"):
        with monkeypatch.context() as patch, warnings.catch_warnings(action="ignore"):
            stop_at(patch, 1)
            with pytest.raises(Killed):
                main([*command, "--seed", seed])
        if seed == "7":
            lying = contents(beside(out))
    assert len(contents(beside(out))) > len(lying)
    with pytest.warns(UserWarning, match="another training"):
        assert main([*command, "--no-resume"]) == 0
    assert json.loads((out / "record.json").read_text())["times"]["resumed"] == 0
    assert contents(beside(out)) == lying


def test_no_resume_starts_anew_where_the_folder_of_the_checkpoints_is_a_link(splits, tmp_path, monkeypatch):
    """To a disk with more room: the link stays, what it leads to is emptied."""
    out = tmp_path / "run"
    killed_at(2, monkeypatch, splits, out)
    (place,) = beside(out).iterdir()
    place.rename(tmp_path / "elsewhere")
    place.symlink_to(tmp_path / "elsewhere")
    assert run(splits, out, resume=False).record["times"]["resumed"] == 0
    assert place.is_symlink() and list((tmp_path / "elsewhere").iterdir()) == []


def test_a_training_that_starts_from_the_same_run_at_another_length_does_not_go_on(splits, tmp_path, monkeypatch):
    """Both runs have one key, which knows nothing of steps."""
    onward, weights = dataclasses.replace(SMALL, start="focal/mse"), SMALL.detector().state_dict()
    record = {"key": "k", "code": "c", "config": SMALL.to_dict(), "data": {"fingerprints": {}}, "metrics": {}}
    short, long = (write_run(tmp_path / str(steps), record | {"steps": steps}, {}, weights) for steps in (1, 4))
    with monkeypatch.context() as patch:
        stop_at(patch, 2)
        with pytest.raises(Killed):
            run(splits, tmp_path / "run", onward, start=short)
    with pytest.warns(UserWarning, match="another training"):
        assert run(splits, tmp_path / "run", onward, start=long).record["times"]["resumed"] == 0


def test_a_training_without_checkpoints_of_its_own_goes_on_from_one_that_lies_there(splits, tmp_path, monkeypatch):
    out = tmp_path / "run"
    killed_at(2, monkeypatch, splits, out, SMALL)
    went_on = train(SMALL, *splits, out, code="test", progress=False, checkpoint_seconds=math.inf)
    assert went_on.record["times"]["resumed"] == 1


def test_a_finders_note_is_no_training(tmp_path):
    checkpoints = Checkpoints(tmp_path / "c", "key")
    checkpoints.save(1, {"w": torch.ones(1)}, {"step": 1})
    (tmp_path / "c/.DS_Store").touch()
    with warnings.catch_warnings(action="error"):
        assert checkpoints.latest()[1] == {"step": 1}


@pytest.mark.parametrize(
    "error", [RuntimeError("unable to mmap 600 bytes: Cannot allocate memory (12)"), OSError(errno.EMFILE, "Too many open files")]
)
def test_a_checkpoint_that_this_process_has_no_room_to_read_is_not_called_torn(tmp_path, monkeypatch, error):
    def refused(*_):
        raise error

    checkpoints = Checkpoints(tmp_path / "c", "key")
    checkpoints.save(1, {"w": torch.ones(1)}, {"step": 1})
    monkeypatch.setattr(checkpoint, "load_file", refused)
    with pytest.raises(InputError, match="the checkpoint cannot be read"):
        checkpoints.latest()


def test_checkpoints_that_may_not_be_listed_are_not_taken_for_none(tmp_path, monkeypatch):
    """Root may list everything: the system's refusal is put in its place."""
    checkpoints = Checkpoints(tmp_path / "c", "key")
    checkpoints.save(1, {"w": torch.ones(1)}, {"step": 1})

    def refused(_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(checkpoint.os, "listdir", refused)
    with pytest.raises(PermissionError):
        checkpoints.latest()


@pytest.mark.parametrize("last", ["draft", "model.safetensors", "state.pt"])
def test_a_training_whose_twin_has_ended_and_taken_the_checkpoints_along_goes_on(tmp_path, monkeypatch, last):
    """Two of one command at once, to one place: the folder is gone while the slower one writes. safetensors has an error of its own."""
    one, twin, save_file, save = Checkpoints(tmp_path / "c", "key"), Checkpoints(tmp_path / "c", "key"), checkpoint.save_file, torch.save

    def weights(*given):
        if last == "draft":
            twin.remove()
        save_file(*given)
        if last == "model.safetensors":
            twin.remove()

    def state(*given):
        save(*given)
        if last == "state.pt":
            twin.remove()

    monkeypatch.setattr(checkpoint, "save_file", weights)
    monkeypatch.setattr(checkpoint.torch, "save", state)
    with pytest.warns(UserWarning, match="the checkpoint of step 3 could not be written"):
        assert not one.save(3, {"w": torch.ones(1)}, {})
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    assert one.save(4, {"w": torch.ones(1)}, {}) and one.latest()[1] == {}
