"""Folders that this project works in hold what others put there too: it removes what it has made and nothing else."""

import os
import time

import pytest
from helpers_voc import write_tree

from groundwork.errors import InputError
from voc_tree.cache import SCRATCH
from yolo_core import experiments
from yolo_core.data.voc import VocData
from yolo_core.training.config import RunConfig
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
def test_scenes_are_drawn_into_no_folder_that_holds_something_outside_the_build(tmp_path, monkeypatch, there):
    """The last would be scenes that other code has drawn, and whatever was put beside them."""
    mine = aged(tmp_path / "mine", there)
    monkeypatch.setenv("YOLO_DATA_SMOKE", str(mine))
    with pytest.raises(InputError, match="mine: not the scenes that today's code draws"):
        experiments.prepare_data("smoke")
    assert (mine / there).exists()


def test_a_run_of_the_same_key_and_another_length_is_no_run_to_replace(tmp_path):
    short = write_run(tmp_path / "run", RECORD | {"steps": 1}, {}, {})
    assert write_run(tmp_path / "run", RECORD | {"steps": 1}, {}, {}).folder == short.folder
    with pytest.warns(UserWarning, match="the run is written to .*run-2"):
        assert write_run(tmp_path / "run", RECORD | {"steps": 4}, {}, {}).folder == tmp_path / "run-2"
