"""Folders that this project works in hold what others put there too: it removes what it has made and nothing else."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers_voc import write_tree

from emojivoc import emoji
from emojivoc.at_hand import at_hand
from groundwork import paths
from groundwork.errors import InputError
from groundwork.paths import BUILD, ROOT
from trial.register import reference
from voc_tree.cache import SCRATCH
from yolo_core import experiments
from yolo_core.data.voc import VocData
from yolo_core.detector.backbones import build_backbone
from yolo_core.profiles import PROFILES
from yolo_core.training import writing
from yolo_core.training.config import RunConfig
from yolo_core.training.features import FeatureData
from yolo_core.training.records import read_run
from yolo_core.training.writing import write_run

CONFIG = RunConfig(backbone="scratch", width=0.05, head="conv")
RECORD = {"key": "k", "code": "c", "config": CONFIG.to_dict(), "data": {"fingerprints": {}}, "metrics": {}}


def aged(folder, *files):
    """A folder of three days ago with some empty files."""
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    os.utime(folder, (time.time() - 3 * 86_400,) * 2)
    return folder


def test_a_new_cache_sweeps_away_what_a_killed_one_left_and_no_other_folder(tmp_path):
    cache = tmp_path / "cache"
    mine = [aged(cache / name, "thesis.txt") for name in ("building-plans", f"{SCRATCH}plans")]
    left = aged(cache / f"{SCRATCH}killed", "cache/images.npy")
    VocData(write_tree(tmp_path / "tree", train=2, val=1), "train", 224, cache)
    assert all((folder / "thesis.txt").exists() for folder in mine) and not left.exists()


@pytest.mark.parametrize("there", ["annotated-by-hand.xml", "VOCdevkit/notes.txt", "made_by.txt"])
@pytest.mark.parametrize("way", ["{}/mine", "{build}/../{back}{}/mine"])
def test_scenes_are_drawn_into_no_folder_that_holds_something_outside_the_build(tmp_path, monkeypatch, there, way):
    """The last would be scenes that other code has drawn, and whatever was put beside them."""
    mine = aged(tmp_path / "mine", there)
    monkeypatch.setenv("YOLO_DATA_SMOKE", way.format(tmp_path, build=BUILD, back="../" * len(BUILD.parts)))
    with pytest.raises(InputError, match="mine: expected a new or empty folder, found other files"):
        experiments.prepare_data("smoke")
    assert (mine / there).exists()


def test_a_tree_inside_the_build_that_is_not_the_profiles_own_is_kept(tmp_path, monkeypatch):
    """Photographs lie in _build/data/photographs, their archives beside them."""
    monkeypatch.setattr(paths, "BUILD", tmp_path / "_build")
    monkeypatch.setattr(experiments, "BUILD", tmp_path / "_build")
    mine = aged(tmp_path / "_build/data/photographs", "archives/val2017.zip")
    monkeypatch.setenv("YOLO_DATA_SMOKE", str(mine))
    with pytest.raises(InputError, match="photographs: expected a new or empty folder, found other files"):
        experiments.prepare_data("smoke")
    assert (mine / "archives/val2017.zip").exists()


def test_scenes_of_other_code_are_drawn_anew_in_the_profiles_own_folder(tmp_path, monkeypatch):
    scenes = tmp_path / "scenes"
    at_hand(scenes, 2, 1, 64, own=True, progress=False)
    drawn = {path: path.stat().st_mtime_ns for path in scenes.rglob("*") if path.is_file()}
    at_hand(scenes, 2, 1, 64, own=True, progress=False)
    assert {path: path.stat().st_mtime_ns for path in scenes.rglob("*") if path.is_file()} == drawn
    (scenes / ".cache").mkdir()
    (scenes / ".cache/decoded.npy").touch()
    monkeypatch.setattr("emojivoc.at_hand.code_hash", lambda _: "other code")
    at_hand(scenes, 2, 1, 64, own=True, progress=False)
    anew = {path: path.stat().st_mtime_ns for path in scenes.rglob("*") if path.is_file()}
    assert anew.keys() == drawn.keys() and all(anew[path] > drawn[path] for path in drawn)
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".lock"] == ["scenes"]


def test_a_kill_while_scenes_are_drawn_anew_stands_in_no_later_ones_way(tmp_path, monkeypatch):
    """By the hardest means: nothing is swept."""
    scenes = tmp_path / "scenes"
    at_hand(scenes, 2, 1, 64, own=True, progress=False)
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
    code += "import os; from pathlib import Path; import emojivoc.at_hand as a, emojivoc.emoji as e\n"
    code += "a.code_hash = lambda _: 'other code'; e._write = lambda *_, **__: os.kill(os.getpid(), 9)\n"
    code += f"a.at_hand(Path({str(scenes)!r}), 2, 1, 64, own=True, progress=False)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    at_hand(scenes, 2, 1, 64, own=True, progress=False)
    assert not emoji.lacks(scenes, 3)


def test_scenes_of_which_some_are_gone_are_not_taken_for_whole_ones(tmp_path):
    for own in (True, False):
        scenes = tmp_path / f"own {own}"
        at_hand(scenes, 2, 1, 64, own=own, progress=False)
        shutil.rmtree(scenes / "VOCdevkit/VOC2012/JPEGImages")
        with pytest.raises(InputError, match=f"{scenes}: .*move (the folder|{scenes}) away"):
            at_hand(scenes, 2, 1, 64, own=own, progress=False)
        with pytest.raises(InputError, match=r"without all of VOCdevkit/VOC2012/JPEGImages/\*.jpg; move the folder away"):
            emoji.generate(scenes, 2, 1, size=64, progress=False)
        scenes.rename(tmp_path / f"away {own}")
        at_hand(scenes, 2, 1, 64, own=own, progress=False)
        assert not emoji.lacks(scenes, 3)


def test_two_that_draw_the_same_scenes_at_once_both_end_well(tmp_path, monkeypatch):
    """The other one ends while this one draws."""
    write = emoji._write

    def late(*args, **options):
        monkeypatch.setattr(emoji, "_write", write)
        emoji.generate(tmp_path / "scenes", 2, 1, size=64, progress=False)
        return write(*args, **options)

    for there in (False, True):
        if there:
            shutil.rmtree(tmp_path / "scenes")
            (tmp_path / "scenes").mkdir()
        monkeypatch.setattr(emoji, "_write", late)
        emoji.generate(tmp_path / "scenes", 2, 1, size=64, progress=False)
        assert not emoji.lacks(tmp_path / "scenes", 3) and [file.name for file in tmp_path.iterdir()] == ["scenes"]


@pytest.mark.parametrize(
    "mine",
    [
        "notes.txt",
        "README.txt",
        "VOCdevkit/VOC2007/mine.xml",
        "VOCdevkit/VOC2012/ImageSets/Main/hard.txt",
        "VOCdevkit/VOC2012/JPEGImages/train_000009.jpg",
        "{voc}/Annotations/val_000000.xml",
        "made_by.txt",
    ],
)
def test_scenes_of_other_code_are_not_removed_with_what_somebody_has_put_or_changed_among_them(tmp_path, monkeypatch, mine):
    scenes, file = tmp_path / "scenes", tmp_path / "scenes" / mine.format(voc="VOCdevkit/VOC2012")
    at_hand(scenes, 2, 1, 64, own=True, progress=False)
    file.parent.mkdir(exist_ok=True)
    file.write_text("mine")
    os.utime(file, (0, 0))  # as mv and cp -p leave it
    before = {path: path.read_bytes() for path in scenes.rglob("*") if path.is_file()}
    monkeypatch.setattr("emojivoc.at_hand.code_hash", lambda _: "other code")
    named = ".*" if mine == "made_by.txt" else file
    with pytest.raises(InputError, match=f"{named} is not as it was drawn, or was put there; move {scenes} away, and they are drawn anew"):
        at_hand(scenes, 2, 1, 64, own=True, progress=False)
    assert {path: path.read_bytes() for path in scenes.rglob("*") if path.is_file()} == before


def test_scenes_that_another_command_drew_are_not_removed_since_what_of_them_is_as_drawn_nobody_knows(tmp_path, monkeypatch):
    """As after a kill between the last scene and the stamp, too."""
    scenes = tmp_path / "scenes"
    emoji.generate(scenes, 2, 1, size=64, progress=False)
    (scenes / "notes.txt").touch()
    at_hand(scenes, 2, 1, 64, own=True, progress=False)
    monkeypatch.setattr("emojivoc.at_hand.code_hash", lambda _: "other code")
    with pytest.raises(InputError, match=f"move {scenes} away, and they are drawn anew"):
        at_hand(scenes, 2, 1, 64, own=True, progress=False)
    assert (scenes / "notes.txt").exists() and not emoji.lacks(scenes, 3)


def test_a_draft_of_a_killed_drawing_is_known_by_whatever_way_its_folder_is_named(tmp_path, monkeypatch):
    (tmp_path / "real/.real-8v3vz6sx").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.chdir(tmp_path / "real")
    emoji.generate(Path("."), 2, 1, size=64, progress=False)
    emoji.generate(tmp_path / "link", 2, 1, size=64, progress=False)
    assert not emoji.lacks(tmp_path / "real", 3)


@pytest.mark.parametrize("link", ["VOCdevkit/VOC2012/SegmentationClass", "VOCdevkit"])
def test_scenes_of_other_code_are_not_removed_with_a_link_among_them(tmp_path, monkeypatch, link):
    """To where there is more room, for instance."""
    scenes = tmp_path / "scenes"
    at_hand(scenes, 2, 1, 64, own=True, progress=False)
    if link == "VOCdevkit":
        (scenes / link).rename(tmp_path / "larger")
    (scenes / link).symlink_to(tmp_path / "larger")
    monkeypatch.setattr("emojivoc.at_hand.code_hash", lambda _: "other code")
    with pytest.raises(InputError, match=f"{scenes / link}.* is not as it was drawn, or was put there; move {scenes} away"):
        at_hand(scenes, 2, 1, 64, own=True, progress=False)
    assert (scenes / link).is_symlink() and (scenes / "README.txt").exists()


def test_scenes_that_lie_there_are_taken_without_a_word_to_the_disk(tmp_path, monkeypatch):
    """It may be one that can only be read."""
    for own in (True, False):
        at_hand(tmp_path / f"own {own}", 2, 1, 64, own=own, progress=False)
    monkeypatch.setattr("emojivoc.at_hand.alone", None)
    monkeypatch.setattr(Path, "write_bytes", None)
    for own in (True, False):
        at_hand(tmp_path / f"own {own}", 2, 1, 64, own=own)


def test_a_profiles_own_scenes_are_taken_where_they_were_drawn_by_hand(tmp_path, monkeypatch):
    chosen = PROFILES["smoke"]
    emoji.generate(tmp_path / "mine", chosen.train_images, chosen.val_images, progress=False)
    monkeypatch.setenv("YOLO_DATA_SMOKE", str(tmp_path / "mine"))
    drawn = (tmp_path / "mine/emojivoc.json").stat().st_mtime_ns
    assert experiments.prepare_data("smoke") == tmp_path / "mine"
    assert (tmp_path / "mine/emojivoc.json").stat().st_mtime_ns == drawn


def test_a_folder_beside_the_checkout_is_a_profiles_data_only_if_it_is_a_tree(tmp_path, monkeypatch):
    monkeypatch.delenv("YOLO_DATA_SMOKE", raising=False)
    monkeypatch.setattr(paths, "ROOT", tmp_path / "checkout")
    monkeypatch.setattr(paths, "BUILD", tmp_path / "checkout/_build")
    (tmp_path / "shared/smoke").mkdir(parents=True)
    assert paths.data_folder("smoke") == tmp_path / "checkout/_build/data/smoke"
    (tmp_path / "shared/smoke/VOCdevkit").mkdir()
    assert paths.data_folder("smoke") == tmp_path / "shared/smoke"


def test_a_relative_folder_of_data_is_the_checkouts_wherever_a_command_stands(tmp_path, monkeypatch):
    monkeypatch.setenv("YOLO_DATA_SMOKE", "mine/scenes")
    monkeypatch.setattr(paths, "ROOT", tmp_path / "checkout")
    for place in (tmp_path, tmp_path / "checkout/notebooks"):
        place.mkdir(parents=True, exist_ok=True)
        monkeypatch.chdir(place)
        assert paths.data_folder("smoke") == tmp_path / "checkout/mine/scenes"


def test_a_training_that_ends_while_another_one_writes_keeps_its_place(tmp_path, monkeypatch):
    def record(key):
        return {"key": key, "code": "c", "config": {}, "data": {"fingerprints": {}}, "metrics": {}}

    save = writing.save_file

    def another_ends(tensors, path):
        monkeypatch.setattr(writing, "save_file", save)
        with monkeypatch.context() as other:
            other.setattr(os, "getpid", lambda: 1)
            write_run(tmp_path / "run", record("first"), {}, {})
        save(tensors, path)

    monkeypatch.setattr(writing, "save_file", another_ends)
    with pytest.warns(UserWarning, match="something lies there by now"):
        second = write_run(tmp_path / "run", record("second"), {}, {})
    assert {read_run(tmp_path / "run").record["key"], read_run(second.folder).record["key"]} == {"first", "second"}


def test_a_run_with_something_of_the_users_in_its_folder_is_no_run_to_replace(tmp_path):
    """As it is where a twin of the same command ends hours after it."""
    for _ in range(2):
        assert write_run(tmp_path / "run", RECORD, {}, {}).folder == tmp_path / "run"
    (tmp_path / "run/model.onnx").touch()
    with pytest.warns(UserWarning, match="something lies there by now"):
        assert write_run(tmp_path / "run", RECORD, {}, {}).folder == tmp_path / "run-2"
    assert (tmp_path / "run/model.onnx").exists()


def test_a_run_of_the_same_key_and_another_length_is_no_run_to_replace(tmp_path):
    short = write_run(tmp_path / "run", RECORD | {"steps": 1}, {}, {})
    assert write_run(tmp_path / "run", RECORD | {"steps": 1}, {}, {}).folder == short.folder
    with pytest.warns(UserWarning, match="the run is written to .*run-2"):
        assert write_run(tmp_path / "run", RECORD | {"steps": 4}, {}, {}).folder == tmp_path / "run-2"
    with pytest.warns(UserWarning, match="the run is written to .*run-3"):  # its start was longer
        started = RECORD | {"steps": 1, "data": {"fingerprints": {}, "start_steps": 4}}
        assert write_run(tmp_path / "run", started, {}, {}).folder == tmp_path / "run-3"


@pytest.mark.parametrize("there", ["notes.txt", "another arm", "notes.txt beside a record"])
def test_a_record_takes_the_place_of_an_earlier_one_of_its_arm_and_of_nothing_else(tmp_path, monkeypatch, there):
    """Told before anything is trained."""
    monkeypatch.setattr(reference.watch, "run", lambda *_, **__: pytest.fail("trained"))
    mine = tmp_path / "smoke/focal-mse-0"
    if there != "notes.txt":
        arm = ("focal", "focal" if there == "another arm" else "mse")
        write_run(mine, RECORD | {"steps": 1, "config": experiments.resolve(*arm, "smoke").to_dict()}, {}, {})
        (mine / "weights.safetensors").unlink()
    if "notes" in there:
        aged(mine, "notes.txt")
    before = sorted(mine.iterdir())
    with pytest.raises(InputError, match="focal-mse-0: expected the record of focal/mse with seed 0, or nothing"):
        reference._run("smoke", "focal", "mse", 0, tmp_path)
    assert sorted(mine.iterdir()) == before


def test_kept_features_that_are_torn_are_made_anew_and_drafts_of_killed_processes_go(tmp_path):
    data = VocData(write_tree(tmp_path / "tree", train=2, val=1), "train", 224)
    backbone = build_backbone("scratch", 224, width=0.25)
    maps = FeatureData(data, backbone, progress=False).images.clone()
    (file,) = data._folder.glob("features-*.npy")
    for content in (file.read_bytes()[:1000], b"", b"notes"):
        file.write_bytes(content)
        left = file.with_name(f".{file.name}.4711")
        left.touch()
        with pytest.warns(UserWarning, match="torn .*; it is made anew"):
            assert FeatureData(data, backbone, progress=False).images.equal(maps)
        assert not left.exists()
