"""A file that this process cannot read may be sound: nobody is told to train its run again, or to save it anew."""

import errno
import json
import os
import resource
import shutil
import tarfile

import pytest
import torch
from test_nothing_overwritten import CONFIG

from bench import bench_record
from command_line.judging import _a_file
from emojivoc import emoji
from groundwork.answer import answer
from groundwork.archives import Contents
from groundwork.code_hash import code_cells
from groundwork.errors import InputError, may_be_whole
from trial.register import card
from trial.register.claims import claim
from voc_tree.picture import decode
from voc_tree.tree import read_ids
from yolo_core.detector.backbones import _load
from yolo_core.training.records import read_run
from yolo_core.training.writing import write_run


@pytest.fixture
def files(tmp_path, monkeypatch):
    """What reads a sound file of each kind."""
    import pandas as pd

    record = {"key": "k", "code": "c", "config": CONFIG.to_dict(), "data": {"fingerprints": {}}, "metrics": {}}
    table = pd.DataFrame({"epoch": [0], "step": [1], "map": [0.1]})
    run = write_run(tmp_path / "run", record, {"epochs": table}, {"w": torch.zeros(1)})
    net = torch.nn.Linear(1, 1)
    torch.save(net.state_dict(), tmp_path / "net.pt")
    (tmp_path / "page.ipynb").write_text(json.dumps({"cells": []}))
    (tmp_path / "val.txt").write_text("a\n")
    (tmp_path / "a.ppm").write_bytes(b"P6 1 1 255 abc")
    (tmp_path / "records").mkdir()
    (tmp_path / "records/planned.json").write_text(json.dumps({"heads_gib": {"full": 7, "compressed": 5}}))
    monkeypatch.setattr(claim, "ROOT", tmp_path)
    (tmp_path / "memory.json").write_text('{"parts": {}}')
    shutil.copy(bench_record.FILE, tmp_path / "bench.json")
    tarfile.open(tmp_path / "one.tar", "w").close()
    reads = {
        "a record": lambda: read_run(run.folder),
        "a table": lambda: run.table("epochs"),
        "weights": run.weights,
        "a file of weights": lambda: _load(net, tmp_path / "net.pt"),
        "a notebook": lambda: code_cells(tmp_path / "page.ipynb"),
        "a split": lambda: read_ids(tmp_path / "val.txt"),
        "a picture": lambda: decode(tmp_path / "a.ppm"),
        "figures of the planner": claim.head_margin,
        "a card's record": lambda: card.part("memory", tmp_path),
        "a record of the bench": lambda: bench_record.read(tmp_path / "bench.json"),
        "an archive": lambda: Contents(tmp_path / "one.tar"),
        "an earlier record": lambda: _a_file(tmp_path / "bench.json", {"rows"}),
    }
    for read in reads.values():
        read()  # sound, and what is imported late is there
    return reads


def test_a_process_without_a_free_file_says_so_of_every_kind_of_file(files):
    """As its limit has it: what is open stays open, and no more may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken, said = [], {}
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        while True:
            try:
                taken.append(os.open(os.devnull, os.O_RDONLY))
            except OSError:
                break
        for kind, read in files.items():
            try:
                read()
            except InputError as error:
                said[kind] = str(error)
    finally:
        for number in taken:
            os.close(number)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert said.keys() == files.keys()
    assert all("Too many open files" in sentence and "the file may be whole" in sentence for sentence in said.values()), said


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        OSError(errno.ESTALE, "Stale file handle"),
        OSError(errno.ETIMEDOUT, "Connection timed out"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 800000000 bytes"),
        MemoryError(),
    ],
    ids=lambda error: type(error).__name__ + str(getattr(error, "errno", "")),
)
def test_weights_that_memory_or_the_disks_host_is_lacking_for_are_not_called_torn(error, files, monkeypatch):
    def refuse(*_, **__):
        raise error

    assert may_be_whole(error)
    monkeypatch.setattr("safetensors.torch.load_file", refuse)
    monkeypatch.setattr(torch, "load", refuse)
    for kind in ("weights", "a file of weights"):
        with pytest.raises(InputError, match=r"cannot be read \(\w.*mend that: the file may be whole"):
            files[kind]()


def test_a_command_that_lacks_memory_or_a_free_file_is_one_sentence(capsys):
    for number in (errno.ENOMEM, errno.ENFILE, errno.ETIMEDOUT):

        def refuse(number=number):
            raise OSError(number, os.strerror(number), "kept.npy")

        assert answer(refuse) == 2
        assert capsys.readouterr().err.startswith(f"error: kept.npy: cannot be read or written ({os.strerror(number)})")


def test_scenes_that_may_not_be_read_are_not_called_other_files(tmp_path, monkeypatch):
    (tmp_path / emoji.DRAWN).write_text(json.dumps({"train": 0, "val": 0}))

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(type(tmp_path), "read_text", refuse)
    with pytest.raises(InputError, match=f"{emoji.DRAWN}: cannot be read .Permission denied.; ask its owner for the right"):
        emoji._is_there(tmp_path, {"train": 0, "val": 0})
