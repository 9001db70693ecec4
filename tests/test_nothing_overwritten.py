"""Nothing of the user's is written over: each command that writes is pointed at places where something lies."""

import json
import os
import unicodedata
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers_voc import picture, write_tree
from PIL import Image

from bench import bench, bench_record
from trial.register import established
from trial.watch import Instruments, train
from yolo_core.__main__ import main
from yolo_core.training.config import RunConfig
from yolo_core.training.writing import write_run

CONFIG = RunConfig(backbone="scratch", width=0.05, head="conv", epochs=1, effective_batch=4, micro_batch=4)
RECORD = bench_record.Record({}, [], [], "not built here")


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    """A run's folder whose weights are those it began with."""
    record = {"key": "k", "code": "c", "config": CONFIG.to_dict(), "data": {"fingerprints": {}}, "metrics": {}}
    return write_run(tmp_path_factory.mktemp("runs") / "run", record, {}, CONFIG.detector().state_dict()).folder


@pytest.fixture(autouse=True)
def drawn(monkeypatch):
    """Drawings that take no time."""
    stand_in = SimpleNamespace(savefig=lambda file: Image.new("RGB", (300, 200)).save(file))
    monkeypatch.setattr("trial.figures.figures.detections", lambda *_: stand_in)


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def predict(run, out, *pictures, options=()):
    return main(["predict", str(run), *map(str, pictures), "--out", str(out), "--score-threshold", "0", *options])


@pytest.mark.parametrize(
    "given",
    [
        ["img.png", "img-2.png", "x/img.png"],
        ["img.png", "x/img.png", "img-2.png"],
        ["x/img.png", "img.png", "y/img.png", "img-2.png", "img-3.png"],
        ["img.jpg", "img.png"],
        ["Img.png", "img.png"],
        ["\u00e9.png", "e\u0301.png"],
        ["img.png", "img.png"],
    ],
    ids=str,
)
def test_each_picture_gets_a_drawing_of_its_own_and_the_boxes_say_which(untrained, tmp_path, given):
    """Also where the disk takes Img and img for one name, or an accented letter for a letter and its accent."""
    for number, name in enumerate(dict.fromkeys(given)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        picture(tmp_path / name, size=(40 + number, 30), seed=number)
    assert predict(untrained, tmp_path / "seen", *(tmp_path / name for name in given)) == 0
    found = json.loads((tmp_path / "seen/boxes.json").read_text())
    assert [entry["image"] for entry in found] == [str(tmp_path / name) for name in given]
    drawn = [entry["drawing"] for entry in found]
    assert len({unicodedata.normalize("NFC", name).casefold() for name in drawn}) == len(given)
    assert {file.name for file in (tmp_path / "seen").iterdir()} == {"boxes.json", *drawn}
    assert all(name.startswith(Path(source).stem) for name, source in zip(drawn, given, strict=True))


@pytest.mark.parametrize("lying", ["img.png", "boxes.json"])
def test_predict_refuses_a_folder_where_a_file_of_that_name_lies_and_takes_force(untrained, tmp_path, capsys, lying):
    source, out = picture(tmp_path / "img.jpg"), tmp_path / "mine"
    out.mkdir()
    (out / lying).write_text("mine")
    (out / "notes.txt").write_text("mine")
    before = contents(tmp_path)
    assert predict(untrained, out, source) == 2
    error = capsys.readouterr().err
    assert f"{out / lying}: already there" in error and "--force" in error and error.count("\n") == 1
    assert contents(tmp_path) == before
    assert predict(untrained, out, source, options=["--force"]) == 0
    assert (out / "notes.txt").read_text() == "mine" and Image.open(out / "img.png").size[0] > 30


def test_predict_beside_its_own_pictures_keeps_them_even_with_force(untrained, tmp_path, capsys):
    source = picture(tmp_path / "img.png")
    before = contents(tmp_path)
    assert predict(untrained, tmp_path, source) == 2
    assert predict(untrained, tmp_path, source, options=["--force"]) == 2
    assert "one of the pictures" in capsys.readouterr().err
    assert contents(tmp_path) == before
    assert predict(untrained, tmp_path, picture(tmp_path / "other.jpg")) == 0
    assert before.items() <= contents(tmp_path).items()


def test_a_training_keeps_what_came_to_its_place_while_it_ran_and_says_where_it_lies_instead(tmp_path, monkeypatch):
    from yolo_core.data.voc import VocData

    tree = write_tree(tmp_path / "tree", train=4, val=2)
    finish = Instruments.finish

    def late(*arguments):
        (tmp_path / "run").mkdir()
        (tmp_path / "run/notes.txt").write_text("mine")
        return finish(*arguments)

    monkeypatch.setattr(Instruments, "finish", late)
    splits = VocData(tree, "train", 224), VocData(tree, "val", 224)
    with pytest.warns(UserWarning, match="run: something lies there by now; the run is written to .*run-2"):
        run = train(CONFIG, *splits, tmp_path / "run", code="c", progress=False)
    assert run.folder == tmp_path / "run-2" and (run.folder / "record.json").exists()
    assert contents(tmp_path / "run") == {Path("notes.txt"): b"mine"}


@pytest.mark.parametrize("command", ["bench", "established"])
def test_a_record_of_times_or_scores_replaces_one_of_its_kind_and_nothing_else(command, tmp_path, capsys, monkeypatch):
    scored = {"detector": "torchvision FCOS", "metrics": {"map": 0.5}, "train_split": {"map": 0.5}}
    monkeypatch.setattr(bench, "run", lambda: RECORD)
    monkeypatch.setattr(bench, "table", lambda _: "table")
    monkeypatch.setattr(established, "train_fcos", lambda *_: scored)
    out = tmp_path / "mine.json"
    for text in ("notes", '{"schema": 1}', "[]", 100_000 * "["):
        out.write_text(text)
        assert main([command, "--out", str(out)]) == 2
        assert "mine.json: already there" in capsys.readouterr().err and out.read_text() == text
    out.unlink()
    assert main([command, "--out", str(out)]) == 0 and main([command, "--out", str(out)]) == 0


@pytest.mark.parametrize("command", ["bench", "established"])
@pytest.mark.parametrize("place", ["/dev/full", "pipe"])
def test_a_device_and_a_pipe_are_no_place_for_a_record_and_are_not_read(command, place, tmp_path, capsys, monkeypatch):
    """The one has no end, and from the other nothing may ever come."""
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: pytest.fail("read"))
    os.mkfifo(tmp_path / "pipe")
    assert main([command, "--out", str(tmp_path / place)]) == 2
    error = capsys.readouterr().err
    assert f"{tmp_path / place}: expected a file in a folder that is there" in error and error.count("\n") == 1


def test_scenes_and_exercises_and_exports_are_kept_too(untrained, tmp_path, capsys):
    """Held in full where each is tested: here, that none of these commands has lost it."""
    (tmp_path / "grid.ipynb").write_text("mine")
    for command in (["data", "emoji"], ["train", "baseline", "--data", str(tmp_path)], ["export", str(untrained)]):
        assert main([*command, "--out", str(tmp_path)]) == 2, command
    assert main(["exercises", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "grid.ipynb").read_text() == "mine"


def test_an_export_takes_no_file_of_the_users_for_its_draft(quick_onnx, untrained, tmp_path, monkeypatch):
    from trial.inference import export

    monkeypatch.setattr(export, "compare", lambda *_: {"boxes": 0.0})
    (tmp_path / ".model.onnx.draft").write_text("mine")
    assert main(["export", str(untrained), "--out", str(tmp_path / "model.onnx")]) == 0
    assert (tmp_path / ".model.onnx.draft").read_text() == "mine"


def test_predict_into_a_file_is_refused_before_a_picture_is_read(untrained, tmp_path, capsys):
    (tmp_path / "mine").write_text("mine")
    assert predict(untrained, tmp_path / "mine", tmp_path / "no such picture.png") == 2
    assert "mine: expected a folder, and it is a file" in capsys.readouterr().err


def test_an_export_keeps_a_file_that_came_while_it_was_made(quick_onnx, untrained, tmp_path, capsys, monkeypatch):
    from trial.inference import export

    def late(*_):
        (tmp_path / "model.onnx").write_text("mine")
        return {"boxes": 0.0}

    monkeypatch.setattr(export, "compare", late)
    assert main(["export", str(untrained), "--out", str(tmp_path / "model.onnx")]) == 2
    assert "already there" in capsys.readouterr().err
    assert contents(tmp_path) == {Path("model.onnx"): b"mine"}


def test_predict_keeps_what_came_to_its_place_while_it_worked_unless_forced(untrained, tmp_path, capsys, monkeypatch):
    from trial.inference import detect

    plain, out = detect.predict, tmp_path / "out"

    def late(*arguments):
        (out / "boxes.json").write_text("mine")
        return plain(*arguments)

    monkeypatch.setattr(detect, "predict", late)
    source = picture(tmp_path / "img.jpg")
    out.mkdir()
    assert predict(untrained, out, source) == 2
    assert f"{out / 'boxes.json'}: already there" in capsys.readouterr().err
    assert contents(out) == {Path("boxes.json"): b"mine"} and [file.name for file in out.iterdir()] == ["boxes.json"]
    assert predict(untrained, out, source, options=["--force"]) == 0 and len(contents(out)) == 2


@pytest.mark.parametrize("linked", [False, True], ids=["a folder", "a link to one"])
def test_predict_by_force_replaces_no_folder_and_nothing_beside_it(untrained, tmp_path, capsys, linked):
    source, out = picture(tmp_path / "img.jpg"), tmp_path / "out"
    (folder := tmp_path / "folder" if linked else out / "boxes.json").mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    if linked:
        out.mkdir()
        (out / "boxes.json").symlink_to(folder)
    (out / "img.png").write_text("earlier")
    before = contents(tmp_path)
    assert predict(untrained, out, source, options=["--force"]) == 2
    assert f"{out / 'boxes.json'}: a folder is there" in (said := capsys.readouterr().err) and "space" not in said
    assert contents(tmp_path) == before
