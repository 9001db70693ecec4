"""A disk that is full or can only be read: every command ends in one sentence and status 2, and half-made files do not stay."""

import contextlib
import errno
import json
import resource
import shutil
from pathlib import Path

import pytest
from helpers_voc import image, write_tree
from test_nothing_overwritten import CONFIG, RECORD, contents

from bench import bench
from book.press import publish
from groundwork import checkpoint
from groundwork.answer import answer
from groundwork.checkpoint import beside
from groundwork.errors import InputError
from groundwork.strict_json import write_json
from trial.figures import forest
from trial.register import committed, established, reference
from trial.watch import train
from yolo_core import experiments
from yolo_core.__main__ import main
from yolo_core.data.voc import VocData
from yolo_core.detector.backbones import build_backbone
from yolo_core.training import features, writing
from yolo_core.training.records import read_run
from yolo_core.training.writing import write_run


@contextlib.contextmanager
def room(size):
    """No file of this process and its children may grow beyond so many bytes: they fail as on a full disk, half-written."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = write_tree(tmp_path_factory.mktemp("tree"), train=6, val=3)
    for split in ("train", "val"):
        VocData(root, split, 224)
    return root


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    record = {"key": "k", "code": "c", "config": CONFIG.to_dict(), "data": {"fingerprints": {}}, "metrics": {}}
    return write_run(tmp_path_factory.mktemp("runs") / "run", record, {}, CONFIG.detector().state_dict()).folder


def refused(capsys, words, size=300):
    """Run a command that has no room: status 2, one sentence. The sentence."""
    capsys.readouterr()
    with room(size):
        assert main([str(word) for word in words]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ") and "File too large" in error
    return error


def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("command", ["data emoji", "data emoji, by processes", "predict", "export", "exercises"])
def test_a_command_without_room_says_so_and_leaves_nothing(command, quick_onnx, tree, untrained, tmp_path, capsys):
    scenes = ["data", "emoji", "--out", tmp_path / "a/b", "--val", "1", "--train"]
    words = {
        "data emoji": [*scenes, "2"],
        "data emoji, by processes": [*scenes, "500"],
        "predict": ["predict", untrained, image(tree, "val_001"), "--out", tmp_path / "a/seen", "--score-threshold", "0"],
        "export": ["export", untrained, "--out", tmp_path / "model.onnx"],
        "exercises": ["exercises", "--out", tmp_path / "mine"],
    }[command]
    assert "cannot be written" in refused(capsys, words)
    assert list(tmp_path.rglob("*")) == [], "neither files nor the folders made for them"


def test_a_record_that_finds_no_room_names_its_own_place_and_leaves_nothing(untrained, tmp_path, monkeypatch):
    def copyfile(source, place):
        raise OSError(errno.ENOSPC, "No space left on device", str(source))  # as shutil has it

    monkeypatch.setattr(reference.shutil, "copyfile", copyfile)
    with pytest.raises(InputError, match=f"^{tmp_path}/records/focal-mse-0: cannot be written .No space left"):
        reference._store(read_run(untrained), tmp_path / "records/focal-mse-0", "smoke")
    assert list(tmp_path.iterdir()) == []


def test_a_cache_that_cannot_be_made_is_told_with_the_option_that_names_another(tmp_path, monkeypatch):
    root = write_tree(tmp_path / "tree", train=1, val=1)

    def mkdir(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", mkdir)
    with pytest.raises(InputError, match=r"\.cache: cannot be made .*--cache"):
        VocData(root, "train", 8)


def test_predict_without_room_leaves_an_earlier_folder_as_it_was(tree, untrained, tmp_path, capsys):
    words = ["predict", untrained, image(tree, "val_001"), "--out", tmp_path]
    assert main([str(word) for word in words]) == 0
    before = contents(tmp_path)
    refused(capsys, [*words, "--force"])
    assert contents(tmp_path) == before


def test_an_exercise_half_written_is_not_taken_for_the_readers_work(tmp_path, capsys):
    refused(capsys, ["exercises", "--out", tmp_path / "mine"])
    assert main(["exercises", "--out", str(tmp_path / "mine")]) == 0
    assert "0 kept" in capsys.readouterr().out
    assert all(json.loads(file.read_text())["cells"] for file in (tmp_path / "mine").iterdir())


def test_a_finished_training_without_room_lies_elsewhere_and_its_sentence_says_where(tree, tmp_path, monkeypatch, capsys):
    save = writing.save_file

    def save_file(tensors, path):
        full() if Path(path).is_relative_to(tmp_path / "here") else save(tensors, path)

    monkeypatch.setattr(writing, "save_file", save_file)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    splits = VocData(tree, "train", 224), VocData(tree, "val", 224)
    with pytest.raises(InputError, match="run: cannot be written .No space left on device.; the finished run lies in ") as told:
        train(CONFIG, *splits, tmp_path / "here/run", code="c", progress=False)
    place = Path(str(told.value).split("lies in ")[1].split(";")[0])
    assert read_run(place).metrics["images"] == 3 and read_run(place).weights()
    assert list((tmp_path / "here").iterdir()) == []


def test_a_finished_training_without_room_anywhere_goes_on_from_its_checkpoint(tree, tmp_path, monkeypatch):
    splits, out = (VocData(tree, "train", 224), VocData(tree, "val", 224)), tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(writing, "save_file", full)
        with pytest.raises(InputError, match="cannot be written .*give the same command again"):
            train(CONFIG, *splits, out, code="c", progress=False, checkpoint_seconds=0)
    assert not out.exists() and list(beside(out).rglob("state.pt"))
    assert train(CONFIG, *splits, out, code="c", progress=False).record["times"]["resumed"] == 1


def test_a_training_from_the_command_line_ends_in_a_sentence(tree, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    words = ["train", "baseline", "--arm", "conv", "--profile", "smoke", "--data", tree, "--out", tmp_path / "a/b/run", "--max-steps", "1"]
    assert "give the same command again" in refused(capsys, words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("what", ["pictures", "features"])
def test_a_cache_without_room_is_told_and_none_is_left(what, tmp_path):
    tree = write_tree(tmp_path / "tree", train=6, val=1)
    if what == "features":
        data, backbone = VocData(tree, "train", 224), build_backbone("scratch", 224, width=0.25)
        before = contents(tmp_path)
        with room(10_000), pytest.raises(InputError, match=r"features-\w+.npy: cannot be written .File too large"):
            features.FeatureData(data, backbone, progress=False)
        left = {path for path in set(contents(tmp_path)) - set(before) if path.suffix != ".lock"}
    else:
        with room(100_000), pytest.raises(InputError, match="the cache cannot be written .File too large"):
            VocData(tree, "train", 224)
        left = set(tree.glob(".cache"))  # the folder was made for it
    assert not left


@pytest.mark.parametrize("command", ["eval", "train"])
def test_a_command_whose_cache_has_no_room_leaves_no_folder_that_it_made(command, tree, untrained, tmp_path, capsys):
    words = {"eval": ["eval", untrained], "train": ["train", "baseline", "--profile", "smoke", "--out", tmp_path / "x/y/run"]}[command]
    refused(capsys, [*words, "--data", tree, "--cache", tmp_path / "a/b"])
    assert list(tmp_path.rglob("*")) == []


def test_targets_of_a_cache_without_room_are_told_as_its_pictures_are(tmp_path, monkeypatch):
    """safetensors wraps what the system says."""
    from voc_tree import cache

    save = cache.save_file

    def save_file(*arguments):
        with room(10):
            save(*arguments)

    monkeypatch.setattr(cache, "save_file", save_file)
    with pytest.raises(InputError, match="the cache cannot be written .*File too large"):
        VocData(write_tree(tmp_path, train=2, val=1), "train", 8)


def test_a_tree_that_is_copied_where_there_is_no_room_is_a_sentence(tmp_path, capsys):
    """Its error has no number, and holds one for each file."""
    (tmp_path / "tree").mkdir()
    for name in ("a", "b"):
        (tmp_path / "tree" / name).write_text("long")
    with room(2):
        assert answer(lambda: shutil.copytree(tmp_path / "tree", tmp_path / "copy", copy_function=shutil.copyfile) and 0) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {tmp_path / 'copy'}/") and "File too large" in error and error.count("\n") == 1
    with pytest.raises(shutil.SameFileError):  # a fault of the program
        answer(lambda: shutil.copy(tmp_path / "tree/a", tmp_path / "tree/a") and 0)


@pytest.mark.parametrize("command", ["bench", "established"])
def test_what_was_measured_is_printed_though_it_cannot_be_kept(command, tmp_path, capsys, monkeypatch):
    scored = {"detector": "FCOS", "metrics": {"map": 0.5}, "train_split": {"map": 0.5}}
    monkeypatch.setattr(bench, "run", lambda: RECORD)
    monkeypatch.setattr(bench, "table", lambda _: "all times")
    monkeypatch.setattr(established, "train_fcos", lambda *_: scored)
    with room(5):
        assert main([command, "--out", str(tmp_path / "record.json")]) == 2
    said = capsys.readouterr()
    assert ("all times" if command == "bench" else "0.5") in said.out
    assert "record.json" in said.err and "File too large" in said.err and list(tmp_path.iterdir()) == []


def test_numbers_without_room_leave_the_earlier_ones_and_no_draft(tmp_path):
    write_json(tmp_path / "a.json", {"a": 1})
    before = contents(tmp_path)
    with room(5), pytest.raises(OSError):
        write_json(tmp_path / "a.json", {"a": 2})
    assert contents(tmp_path) == before


def test_a_disk_that_refuses_the_sweeping_up_too_is_one_sentence(quick_onnx, untrained, tmp_path, capsys, monkeypatch):
    def read_only(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("onnx.save", read_only)
    monkeypatch.setattr("pathlib.Path.unlink", read_only)
    assert main(["export", str(untrained), "--out", str(tmp_path / "model.onnx")]) == 2
    assert "model.onnx: cannot be written (Read-only file system)" in capsys.readouterr().err


STEPS = {
    "book": (publish, "_stage", ["book", "--profile", "smoke"]),
    "reference --check": (reference, "check", ["reference", "--check"]),
    "forest": (forest, "write", ["forest"]),
    "claims": (committed, "findings", ["claims"]),
}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EPERM, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("command", STEPS)
def test_what_a_disk_refuses_anywhere_else_is_one_sentence_too(command, number, capsys, monkeypatch):
    module, name, words = STEPS[command]

    def refuse(*_, **__):
        raise OSError(number, "what the system says", "some/file")

    monkeypatch.setattr(publish, "execute", lambda *_: {})
    monkeypatch.setattr(publish, "_conclude", lambda *_: None)
    monkeypatch.setattr(committed, "findings", lambda *_: [])
    monkeypatch.setattr(module, name, refuse)
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: some/file: ") and "what the system says" in error and error.count("\n") == 1


def test_what_is_no_refusal_of_the_disk_is_not_hidden(monkeypatch):
    def broken(*_):
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "a fault of the program")

    monkeypatch.setattr(committed, "findings", broken)
    with pytest.raises(FileNotFoundError):
        main(["claims"])


def test_a_canary_without_room_is_a_sentence(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    from trial.register.canary import canary

    monkeypatch.setattr(reference, "check", lambda *_: {"a": str(canary("baseline", "conv", "smoke"))})
    experiments.profile_data("smoke", progress=False)
    refused(capsys, ["reference", "--check"])
    assert list(tmp_path.iterdir()) == []


def test_a_run_whose_record_could_not_be_stored_is_taken_and_not_trained_again(tmp_path, monkeypatch):
    """The disk of the records was full, or the study was killed between the two."""
    config = experiments.resolve("baseline", "conv", "smoke")
    monkeypatch.setattr(experiments, "runs_folder", lambda: tmp_path / "runs")
    monkeypatch.setattr(experiments, "_key", lambda *_: "the key")
    monkeypatch.setattr("yolo_core.training.train.train", lambda *_, **__: pytest.fail("trained again"))
    record = {"key": "the key", "code": "c", "config": config.to_dict(), "data": {"fingerprints": {}}, "metrics": {}}
    write_run(tmp_path / "out", record, {}, {})
    assert experiments.run("baseline", "conv", "smoke", progress=False, out=tmp_path / "out").folder == tmp_path / "out"


def test_a_checkpoint_without_room_is_a_warning_and_the_training_goes_on(tree, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "save_file", full)
    splits = VocData(tree, "train", 224), VocData(tree, "val", 224)
    with pytest.warns(UserWarning, match="could not be written .*No space left on device"):
        assert train(CONFIG, *splits, tmp_path / "run", code="c", progress=False, checkpoint_seconds=0).metrics["images"] == 3
