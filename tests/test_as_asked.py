"""What a command line asks for is done, or refused in a sentence before anything is: no word is dropped, and no result is lost."""

import errno
import json
import os
import shutil
from pathlib import Path

import pytest
from helpers_voc import picture, write_tree
from test_nothing_overwritten import RECORD, contents, drawn, predict, untrained  # noqa: F401
from test_start import reached  # noqa: F401

from bench import bench
from emojivoc import emoji
from groundwork.errors import InputError
from trial.register import committed, established, reference
from voc_tree import cache as cache_module
from yolo_core import experiments
from yolo_core.__main__ import main
from yolo_core.data.voc import VocData
from yolo_core.training.records import read_run
from yolo_core.training.writing import write_run

TRAIN = ["train", "focal", "--arm", "mse-conv", "--profile", "smoke", "--max-steps", "1"]


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return write_tree(tmp_path_factory.mktemp("tree"), train=4, val=2)


def refused(capsys, *words) -> str:
    """The one sentence by which a command line is refused."""
    assert main([str(word) for word in words]) == 2, words
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    return error


def test_an_arm_of_no_letters_is_no_arm(tree, tmp_path, capsys, reached):  # noqa: F811
    """As a shell leaves it where a variable is not set."""
    words = ["--profile", "smoke", "--data", tree, "--out", tmp_path / "run"]
    assert "--arm: expected something after it, and there is nothing" in refused(capsys, "train", "focal", "--arm", "", *words)
    assert reached == []
    with pytest.raises(InputError, match="no arm ''"):
        experiments.resolve(*experiments.named("focal", ""), "smoke")


@pytest.mark.parametrize("words", [["--out", ""], ["--out="]], ids=str)
def test_a_folder_of_no_letters_is_not_the_current_one(tmp_path, capsys, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    assert "--out: expected something after it, and there is nothing" in refused(capsys, "exercises", *words)
    assert list(tmp_path.iterdir()) == []


def test_arms_without_a_word_are_not_all_of_them(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(reference, "run_all", lambda *_: pytest.fail("it began"))
    error = refused(capsys, "reference", "--profile", "smoke", "--records", tmp_path, "--arms")
    assert "--arms: expected an arm or more, each as EXPERIMENT/ARM; leave the option out for all of them" in error


@pytest.mark.parametrize("option", ["--out", "--cache"])
def test_a_place_whose_name_is_no_utf_8_is_refused_before_anything_is_trained(tree, tmp_path, capsys, option):
    """A finished training was lost there, in a traceback."""
    place = tmp_path / os.fsdecode(b"t\xff")
    places = {"--out": tmp_path / "run", "--cache": tmp_path / "cache"} | {option: place}
    error = refused(capsys, *TRAIN, "--data", tree, *(word for pair in places.items() for word in pair))
    assert "expected a path in UTF-8, which weights and tables need; rename it, or name another place" in error
    assert not place.exists() and not (tmp_path / "run").exists()


def test_a_run_and_an_export_whose_name_is_no_utf_8_are_told_what_is_wrong(untrained, tmp_path, capsys):  # noqa: F811
    moved = shutil.copytree(untrained, tmp_path / os.fsdecode(b"r\xff"))
    assert "expected a path in UTF-8" in refused(capsys, "predict", moved, picture(tmp_path / "a.png"), "--out", tmp_path / "seen")
    assert "expected a path in UTF-8" in refused(capsys, "export", untrained, "--out", tmp_path / os.fsdecode(b"m\xff.onnx"))


def test_a_way_back_from_a_folder_that_is_not_there_leads_nowhere(untrained, tree, tmp_path, capsys):  # noqa: F811
    """Shortened, it led past the look for what lies there, and a picture was drawn over."""
    for folder in ("pics", "full"):
        (tmp_path / folder).mkdir()
    source = picture(tmp_path / "pics/cat.png")
    (tmp_path / "full/mine.txt").touch()
    before = contents(tmp_path)
    for nothing in (tmp_path / "nothere", tmp_path / "full/mine.txt"):
        back = nothing / ".." / (".." if nothing.exists() else "")
        commands = [["predict", untrained, source, "--out", back / "pics", "--force"], ["data", "emoji", "--out", back / "full"]]
        commands += [[*TRAIN, "--data", tree, "--out", back / "run"], ["predict", untrained, back / "pics/cat.png", "--out", "x"]]
        for command in commands:
            assert f"there is no folder {nothing} to go back from; write the path without it" in refused(capsys, *command)
        with pytest.raises(InputError, match=f"there is no folder {nothing} to go back from"):
            emoji.generate(back / "full", 1, 1, progress=False)
    assert contents(tmp_path) == before
    assert predict(untrained, tmp_path / "pics/../seen", source) == 0 and (tmp_path / "seen/cat.png").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["plan", "--effective-batch", "1000000000000000"],
            "--effective-batch must be at least 1 and at most 999,999; got 1000000000000000",
        ),
        (["data", "emoji", "--out", "{new}", "--train", "10000000000"], "train and val: expected at most 1,000,000 scenes each"),
        ([*TRAIN, "--data", "{tree}", "--out", "{new}", "--micro-batch", "9" * 5000], "--micro-batch must be a whole number"),
    ],
    ids=["plan", "emoji", "train"],
)
def test_numbers_beyond_all_measure_are_refused(tree, tmp_path, capsys, words, said):
    assert said in refused(capsys, *(word.format(tree=tree, new=tmp_path / "new") for word in words))


@pytest.mark.parametrize(
    "absurd", [{"bins": 10**10}, {"bins": 10**19}, {"width": 1e7}, {"width": 1e18}, {"image_size": 3_200_000}], ids=str
)
def test_a_record_of_a_net_beyond_all_memory_is_refused(untrained, tmp_path, capsys, absurd):  # noqa: F811
    run = shutil.copytree(untrained, tmp_path / "run")
    record = json.loads((run / "record.json").read_text())
    record["config"] |= {"head": "coupled", "assign": "aligned"} | absurd
    (run / "record.json").write_text(json.dumps(record))
    error = refused(capsys, "predict", run, picture(tmp_path / "a.png"), "--out", tmp_path / "seen")
    assert str(run) in error and not (tmp_path / "seen").exists()


@pytest.mark.parametrize("command", ["bench", "established"])
@pytest.mark.parametrize("late", ["notes", "no room"])
def test_a_record_that_took_long_is_kept_and_what_has_come_to_its_place_too(command, late, tmp_path, capsys, monkeypatch):
    """Saved there, or the disk filled, while it ran."""
    out = tmp_path / "mine.json"

    def work(*_):
        if late == "notes":
            out.write_text("mine")
        else:
            shutil.rmtree(tmp_path)
        return RECORD if command == "bench" else {"detector": "FCOS", "metrics": {"map": 0.5}, "train_split": {"map": 0.5}}

    monkeypatch.setattr(bench, "run", work)
    monkeypatch.setattr(bench, "table", lambda _: "table")
    monkeypatch.setattr(established, "train_fcos", work)
    error = refused(capsys, command, "--out", out)
    kept = Path(error.split("what was found lies in ")[1].strip())
    assert kept.name == "mine.json" and set(json.loads(kept.read_text())) >= {"detector"} if command == "established" else kept.exists()
    assert late != "notes" or (f"{out}: already there" in error and out.read_text() == "mine")
    shutil.rmtree(kept.parent)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a folder where nobody may make a file, the superuser neither")
@pytest.mark.parametrize("command", ["bench", "established"])
def test_a_record_that_cannot_be_written_is_told_before_the_work(command, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(bench, "run", lambda: pytest.fail("timed"))
    monkeypatch.setattr(established, "train_fcos", lambda *_: pytest.fail("trained"))
    for out in ("/proc/x.json", tmp_path / f"{'x' * 250}.json"):
        assert f"{out}: cannot be written" in refused(capsys, command, "--out", out)


@pytest.mark.parametrize("error", [OSError(errno.ENOMEM, "Cannot allocate memory"), OSError(errno.EMFILE, "Too many open files")], ids=str)
def test_a_cache_that_this_process_cannot_read_is_not_called_torn_and_stays(tree, tmp_path, monkeypatch, error):
    VocData(tree, "train", 8, cache=tmp_path / "cache")
    (place,) = (tmp_path / "cache").iterdir()

    def fail(*_):
        raise error

    monkeypatch.setattr(cache_module, "_load", fail)
    with pytest.raises(InputError, match=f"{place}: the cache cannot be read .*mend that, or remove it to have it built again"):
        VocData(tree, "train", 8, cache=tmp_path / "cache")
    assert (place / "images.npy").exists()


def test_a_name_too_long_for_an_id_is_told_as_what_it_is(tmp_path):
    from voc_tree.tree import read_ids

    (tmp_path / "val.txt").write_text("p" * 210)
    with pytest.raises(InputError, match="line 1 has .*, which is a path or no name of at most 200 characters"):
        read_ids(tmp_path / "val.txt")


def test_a_picture_of_a_kind_that_is_not_read_is_told_those_that_are(tmp_path):
    from voc_tree.picture import decode

    picture(tmp_path / "a.png")
    from PIL import Image

    Image.open(tmp_path / "a.png").save(tmp_path / "a.tiff")
    with pytest.raises(InputError, match=r"got something else; convert it to PNG \(what is read is JPEG, PNG, .*\), or replace it"):
        decode(tmp_path / "a.tiff")


@pytest.mark.parametrize("columns", ["1", "4", "0", "x"])
def test_help_is_told_in_a_terminal_of_any_width(capsys, monkeypatch, columns):
    """In less than six columns it never ended."""
    monkeypatch.setenv("COLUMNS", columns)
    with pytest.raises(SystemExit, match="0"):
        main(["plan", "--help"])
    assert "--vram-gib" in capsys.readouterr().out


# Records


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A study of one arm whose run takes no time; where its record, and the run before it is stored, lie."""
    config = experiments.resolve("baseline", "conv", "smoke").to_dict()
    record = {"key": "k", "code": "c", "config": config, "data": {"fingerprints": {"train": "a", "val": "a"}}, "metrics": {}}
    monkeypatch.setattr(reference, "BUILD", tmp_path / "build")
    monkeypatch.setattr(reference, "_fingerprints", lambda *_: {"train": "a", "val": "a"})
    monkeypatch.setattr(reference, "_keep_canary", lambda *_: None)
    monkeypatch.setattr(reference.watch, "run", lambda *_, out, **__: write_run(out or tmp_path / "runs/r", record, {}, {}))
    return committed.place("smoke", "baseline", "conv", 0, tmp_path / "records"), reference._out("smoke", "baseline", "conv", 0)


def test_a_reference_run_removes_no_folder_but_its_own(study, tmp_path):
    place, out = study
    for mine in (place.with_name(f".{place.name}"), out):
        mine.mkdir(parents=True)
        (mine / "notes.txt").touch()
    with pytest.warns(UserWarning, match="something lies there by now"):
        reference._run("smoke", "baseline", "conv", 0, tmp_path / "records")
    assert read_run(place).record["key"] == "k" and [path.name for path in out.parent.iterdir()] == [out.name]
    assert (out / "notes.txt").exists() and (place.with_name(f".{place.name}") / "notes.txt").exists()
    assert [path.name for path in place.parent.iterdir() if "notes.txt" not in os.listdir(path)] == [place.name]


@pytest.mark.parametrize("content", ["torn {", "{}", "a newer key"])
def test_advice_to_train_a_run_again_says_how_where_training_it_is_what_was_asked(study, tmp_path, content):
    place, _ = study
    reference._run("smoke", "baseline", "conv", 0, tmp_path / "records")
    record = json.loads((place / "record.json").read_text())
    record["config"]["newer_key"] = 1
    (place / "record.json").write_text(json.dumps(record) if content == "a newer key" else content)
    with pytest.raises(InputError, match=f"{place}/record.json.*; train the run again, with this folder moved away") as told:
        reference.is_stored("smoke", "baseline", "conv", 0, None, tmp_path / "records")
    assert "\n" not in str(told.value)
    place.rename(tmp_path / "away")
    reference._run("smoke", "baseline", "conv", 0, tmp_path / "records")
    assert reference.is_stored("smoke", "baseline", "conv", 0, None, tmp_path / "records")


def test_verdicts_of_ones_own_runs_are_of_the_newest_pictures_and_the_others_are_named(tmp_path, monkeypatch, capsys):
    """Scenes are drawn anew where the code that draws them has changed, and a run's code does not tell."""
    monkeypatch.setattr(committed, "runs_folder", lambda: tmp_path)
    monkeypatch.setattr("command_line.judging.runs_folder", lambda: tmp_path)
    for age, (pictures, score) in enumerate({"new": 0.3, "old": 0.1, "older": 0.2}.items()):
        for seed in range(3):
            for arm, value in (("base", 0.1), ("aligned", score)):
                record = {"key": pictures, "code": experiments.training_code(), "steps": 1, "data": {"fingerprints": {"train": pictures}}}
                record |= {"metrics": {"map": value + seed / 100, "cuts": {}, "images": 1, "objects": 1}}
                config = experiments.resolve("remedies", arm, "smoke", seed).to_dict()
                run = write_run(tmp_path / f"smoke-remedies-{arm}-{seed}-{pictures}", record | {"config": config}, {}, {})
                os.utime(run.folder / "record.json", (10**9 - age, 10**9 - age))
    longer = {**experiments.resolve("remedies", "aligned", "smoke").to_dict(), "epochs": 40}
    other = record | {"key": "longer", "config": longer, "metrics": record["metrics"] | {"map": 0.9}}
    write_run(tmp_path / "smoke-remedies-aligned-0-longer", other, {}, {})
    copied = tmp_path / "smoke-remedies-base-0-new"
    shutil.copytree(copied, copied.with_name(f"{copied.name}-copy"))
    assert main(["claims", "--profile", "smoke", "--own", "--json"]) == 0
    said = capsys.readouterr()
    (r3,) = (finding for finding in json.loads(said.out) if finding["id"] == "R3")
    assert r3["seeds"] == [0, 1, 2] and r3["effect"] > 2
    assert said.err.count(": passed over, of other pictures than the newest run\n") == said.err.count("\n") - 2 == 12
    assert "-longer: passed over, of another configuration\n" in said.err
    assert f"{copied.name}-copy: passed over, a copy, it seems: of the name {copied.name} it would count\n" in said.err
