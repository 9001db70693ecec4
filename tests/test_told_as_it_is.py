"""What is said is what happened: nothing is judged from what could not be read, no helper's end is passed over, no word is dropped, and a
place where something fails half way is as it was before."""

import io
import math
import os
import signal
import subprocess
import sys
import threading
import time
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from helpers_voc import annotation, image, picture, split_file, write_tree
from test_as_asked import TRAIN, refused
from test_nothing_overwritten import contents, untrained  # noqa: F401

from book.press import exercises
from groundwork import files
from groundwork.errors import InputError
from groundwork.files import in_place_of, in_utf8
from trial.register import committed, reference, replication
from voc_tree import tree
from voc_tree.picture import decode
from yolo_core import experiments
from yolo_core.__main__ import main
from yolo_core.detector import backbones
from yolo_core.training.config import RunConfig
from yolo_core.training.records import Run, read_run
from yolo_core.training.writing import write_run

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def voc(tmp_path_factory):
    return write_tree(tmp_path_factory.mktemp("tree"), train=4, val=2)


@pytest.fixture
def closed_to_us(monkeypatch):
    """Makes a file one that may not be read, which a superuser has none of."""
    shut, whole = set(), io.open

    def opened(file, *options, **more):
        if isinstance(file, str | Path) and Path(file) in shut:
            raise PermissionError(13, "Permission denied", str(file))
        return whole(file, *options, **more)

    monkeypatch.setattr("io.open", opened)
    monkeypatch.setattr("builtins.open", opened)
    return shut.add


# Files that may not be read


def test_records_that_cannot_be_listed_are_no_empty_register(tmp_path, monkeypatch, capsys):
    listed = Path.iterdir

    def shut(self):
        if self.name == "pocket":
            raise PermissionError(13, "Permission denied", str(self))
        return listed(self)

    monkeypatch.setattr(Path, "iterdir", shut)
    monkeypatch.setattr(committed, "FOLDER", tmp_path)
    (tmp_path / "pocket").mkdir()
    assert f"{tmp_path / 'pocket'}: cannot be read or written (Permission denied)" in refused(capsys, "claims", "--json")


ASK = "cannot be read (Permission denied); ask its owner for the right"


def test_a_record_and_a_table_that_may_not_be_read_are_not_called_broken(untrained, tmp_path, monkeypatch, closed_to_us, capsys):  # noqa: F811
    def shut(path):
        raise PermissionError(13, "Permission denied", str(path))

    run = write_run(tmp_path / "run", read_run(untrained).record, {"curves": pd.DataFrame({"step": [1]})}, {})
    monkeypatch.setattr(pd, "read_parquet", shut)
    closed_to_us(run.folder / "record.json")
    with pytest.raises(InputError) as caught:
        run.table("curves")
    assert f"{run.folder / 'curves.parquet'}: {ASK}" in str(caught.value)
    assert f"{run.folder / 'record.json'}: {ASK}" in refused(capsys, "eval", run.folder, "--data", tmp_path)


def test_a_tree_s_files_that_may_not_be_read_are_told_as_that(tmp_path, closed_to_us):
    root = write_tree(tmp_path / "tree", train=2, val=2)
    name = split_file(root, "train").read_text().split()[0]
    shut = [image(root, name), annotation(root, name), split_file(root, "val")]
    for place in shut:
        closed_to_us(place)
    faults = tree.check(root)
    assert {f"{place}: {ASK}" for place in shut} <= {fault.rstrip(".") for fault in faults}


def test_an_answer_that_may_not_be_read_has_no_grade(tmp_path, closed_to_us):
    exercises.write(tmp_path / "mine")
    closed_to_us(tmp_path / "mine/ciou.ipynb")
    with pytest.raises(InputError, match="ask its owner for the right"):
        exercises.grade("ciou", tmp_path / "mine/ciou.ipynb")


def test_exercises_are_looked_for_in_a_folder(tmp_path):
    (tmp_path / "README.md").touch()
    with pytest.raises(InputError, match="expected the folder of the exercises' notebooks, and it is none; name another --out"):
        exercises.grade_all(tmp_path / "README.md")


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="pipes as files")
def test_a_picture_through_a_pipe_is_not_called_empty_and_a_folder_is_one(tmp_path):
    ours, its = os.pipe()
    with os.fdopen(ours), os.fdopen(its, "wb") as pipe:
        pipe.write(picture(tmp_path / "a.jpg").read_bytes())
        with pytest.raises(InputError, match="found a pipe or a device; save what comes from it as a file"):
            decode(f"/dev/fd/{ours}")
    with pytest.raises(InputError, match="cannot be decoded, it is a folder; name the files in it"):
        decode(tmp_path)


# Helpers


def helper(profile, *_, speaks=False):
    """In the place of reference's `_work`: the main process is done at once, or fails; the other is killed, or works on."""
    if not speaks:
        os.kill(os.getpid(), signal.SIGKILL) if profile == "killed" else time.sleep(600)
    if profile != "killed":
        time.sleep(0.2)
        raise InputError("no room")
    return 1


@pytest.fixture
def helpers(monkeypatch):
    """Processes of `reference` that do `helper`."""
    monkeypatch.setattr(reference, "_work", helper)
    monkeypatch.setattr(reference.experiments, "prepare_data", lambda profile: None)
    monkeypatch.setattr(reference.committed, "records_folder", lambda profile, records: records)
    started, context = [], get_context("fork")  # what is patched here holds there

    def process(target, args):
        started.append(context.Process(target=lambda: helper(*args)))
        return started[-1]

    monkeypatch.setattr(reference, "get_context", lambda _: SimpleNamespace(Process=process))
    return started


def test_a_helper_that_was_killed_is_no_success(helpers, tmp_path):
    with pytest.raises(InputError, match="ended with status -9 .*; the same command goes on with what is missing, after 1 runs"):
        reference.run_all("killed", workers=2, records=tmp_path)


def test_helpers_end_with_a_command_that_is_stopped_while_it_waits_for_them(helpers, tmp_path, monkeypatch):
    """By kill -INT of the one process, or an editor's button: a terminal's Ctrl-C reaches all of them."""

    monkeypatch.setattr(reference, "_work", lambda *_, **__: threading.Timer(1, os.kill, (os.getpid(), signal.SIGINT)).start() or 1)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background hears none
    try:
        with pytest.raises(KeyboardInterrupt):
            reference.run_all("waiting", workers=2, records=tmp_path)
    finally:
        signal.signal(signal.SIGINT, before)
    helpers[0].join(30)
    assert helpers[0].exitcode == -signal.SIGTERM


def test_helpers_end_with_a_command_that_fails(helpers, tmp_path):
    with pytest.raises(InputError, match="no room"):
        reference.run_all("failing", workers=2, records=tmp_path)
    helpers[0].join(30)
    assert helpers[0].exitcode == -signal.SIGTERM


# Words


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([*TRAIN, "--weights", "None"], "--weights: None is no value; leave the option out"),
        (["forest", "--out=None"], "--out: None is no value"),
        (["reference", "--arms", "focal/mse", "--arms", "focal/focal"], "--arms: given twice"),
    ],
)
def test_no_word_is_dropped(capsys, words, said):
    assert said in refused(capsys, *words)


@pytest.mark.parametrize(
    ("left", "said"),
    [
        ({"RANK": "abc", "LOCAL_RANK": "", "SLURM_PROCID": "x"}, "1 abc"),
        (
            {"WORLD_SIZE": "2", "RANK": "abc", "LOCAL_RANK": "0"},
            "RANK must be a whole number of at least 0, as torchrun sets it; got 'abc'",
        ),
    ],
    ids=str,
)
def test_ranks_that_are_no_numbers_are_passed_over_where_there_is_one_process_and_told_where_there_are_more(left, said):
    """Fabric reads them as it is imported: a test in this process would not see that."""
    code = "import os; from groundwork import fabric; from lightning_fabric.plugins import Precision\n"
    code += "print(fabric.started(Precision()).world_size, os.environ['RANK'])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=os.environ | left, capture_output=True, text=True)
    assert said in done.stdout + done.stderr


def test_of_one_process_that_torchrun_has_started_the_result_is_told(voc, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.delenv("RANK", raising=False)
    assert main([*TRAIN, "--data", str(voc), "--out", str(tmp_path / "run")]) == 0
    assert "mAP@.5" in capsys.readouterr().out


# Half done


def test_a_table_of_the_readers_own_in_the_folder_of_a_run_is_kept(tmp_path):
    config, table = RunConfig(experiment="baseline", arm="conv").to_dict(), pd.DataFrame({"step": [1]})
    record = {"key": "k", "code": "c", "steps": 1, "config": config, "data": {"fingerprints": {"train": "a", "val": "a"}}, "metrics": {}}
    whole = {"curves": table, "looked": table}
    assert write_run(tmp_path / "run", record, whole, {}).folder == tmp_path / "run"
    assert write_run(tmp_path / "run", record, {"curves": table}, {}).folder == tmp_path / "run", "what an earlier observer saw is replaced"
    for name, age in (("analysis", 10**18), ("earlier", 0)):
        (tmp_path / f"run/{name}.parquet").write_text("mine")
        os.utime(tmp_path / f"run/{name}.parquet", ns=(age, age))
    assert write_run(tmp_path / "run", record, whole, {}).folder == tmp_path / "run"
    assert [(tmp_path / f"run/{name}.parquet").read_text() for name in ("analysis", "earlier")] == ["mine", "mine"]
    (tmp_path / "run/notes.txt").write_text("mine")
    with pytest.warns(UserWarning, match="something lies there by now"):
        assert write_run(tmp_path / "run", record, whole, {}).folder == tmp_path / "run-2"


def test_a_file_that_cannot_be_copied_beside_can_be_replaced(tmp_path, monkeypatch):
    """Another user's, in a folder of one's own: no second name for it, no right to read it, but the right to replace it."""

    def shut(*_, **__):
        raise PermissionError(1, "Operation not permitted")

    (tmp_path / "a").write_text("old")
    monkeypatch.setattr(files.os, "link", shut)
    monkeypatch.setattr(files.shutil, "copy2", shut)
    with in_place_of(tmp_path, lambda _: True) as draft:
        (draft / "a").write_text("new")
    assert (tmp_path / "a").read_text() == "new" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("links", [True, False], ids=["a disk with second names", "a disk without"])
def test_where_one_file_cannot_take_its_place_all_are_as_they_were(tmp_path, monkeypatch, links):
    """As in a sticky folder, where a file of another user's stays."""
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text(f"old {name}")
    before, replace = contents(tmp_path), os.replace

    def refuse(source, place):
        if Path(place).name == stuck and "before" not in str(source):
            raise PermissionError(1, "Operation not permitted", str(place))
        replace(source, place)

    def no_link(*_, **__):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(files.os, "replace", refuse)
    if not links:
        monkeypatch.setattr(files.os, "link", no_link)
    for stuck in ("a", "b", "c", "d"):
        with pytest.raises(PermissionError), in_place_of(tmp_path, lambda _: True) as draft:
            for name in ("a", "b", "c", "d"):
                (draft / name).write_text("new")
        assert contents(tmp_path) == before, stuck
    stuck = ""
    with in_place_of(tmp_path, lambda _: True) as draft:
        (draft / "a").write_text("new")
    assert (tmp_path / "a").read_text() == "new" and len(contents(tmp_path)) == 3


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="terminals that are closed")
def test_a_half_made_cache_goes_with_a_terminal_that_is_closed(tmp_path):
    code = (
        "import os, signal, sys; from pathlib import Path; from voc_tree import cache\n"
        "def pictures():\n"
        "    os.kill(os.getpid(), signal.SIGHUP)\n"
        "    yield\n"
        "cache._write(Path(sys.argv[1]) / 'made/x', ['a'], 8, pictures(), lambda: ({}, {}))\n"
    )
    heed = {"preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL)}
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, **heed)
    assert done.returncode == -signal.SIGHUP and not list(tmp_path.iterdir())


def test_a_path_that_the_locale_cannot_read_is_told_as_that(tmp_path):
    code = "import sys; from pathlib import Path; from groundwork.files import in_utf8; in_utf8(Path(sys.argv[1]))"
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run([sys.executable, "-c", code, "/tmp/ü"], cwd=ROOT, env=os.environ | plain, capture_output=True, text=True)
    assert "the locale reads no such path; set PYTHONUTF8=1" in done.stderr
    with pytest.raises(InputError, match="expected a path in UTF-8"):
        in_utf8(Path(os.fsdecode(b"/tmp/\xff")))


# Other pictures, other weights


def test_a_run_on_other_pictures_is_compared_with_none(tmp_path):
    config = experiments.resolve("focal", "mse", "pocket")
    seen = {"train": "a", "val": "a"}
    runs = [
        Run(tmp_path / str(i), {"config": config.to_dict(), "metrics": {"map": 0.1 * i}, "data": {"fingerprints": seen}}) for i in range(3)
    ]
    fresh = Run(tmp_path / "fresh", {**runs[0].record, "metrics": {"map": 0.9}})
    assert replication.band_of(fresh, runs, lambda m: m["map"], "mAP")[0].comparable
    elsewhere = Run(tmp_path / "fresh", {**fresh.record, "data": {"fingerprints": {"train": "b", "val": "a"}}})
    band, same = replication.band_of(elsewhere, runs, lambda m: m["map"], "mAP")
    assert same == [] and band.sentence.endswith("the reference runs have other pictures, so the two do not compare.")


def test_weights_of_no_number_a_pipe_and_a_file_of_another_users_are_told(tmp_path, monkeypatch):
    net = torch.nn.Linear(2, 2)
    torch.save(net.state_dict() | {"bias": torch.tensor([0.0, math.nan])}, tmp_path / "burst.pt")
    with pytest.raises(InputError, match="burst.pt: bias holds what is no number"):
        backbones._load(net, tmp_path / "burst.pt")
    os.mkfifo(tmp_path / "pipe.pt")
    with pytest.raises(InputError, match="pipe.pt: expected a file of weights, found a pipe"):
        backbones._load(net, tmp_path / "pipe.pt")

    def shut(path, **_):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(torch, "load", shut)
    with pytest.raises(InputError, match="cannot be read .*; ask its owner for the right"):
        backbones._load(net, tmp_path / "theirs.pt")
