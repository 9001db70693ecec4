"""What lies beside a run or in its folder, a reader's file or a system's own, costs no second training; and finished work finds its way
out of the scripts for a card whatever the disk beside them does."""

import errno
import json
import os
import shutil
import sys
import tarfile
from pathlib import Path

import pytest
import torch
from helpers_voc import write_tree
from safetensors.numpy import save_file as save_arrays
from test_full_disk import room
from test_nothing_overwritten import CONFIG

from book.press import publish
from groundwork.code_hash import code_hash, modules
from groundwork.errors import InputError
from groundwork.fabric import Fabric
from groundwork.paths import ROOT
from trial import watch
from trial.inference.export import export
from trial.register import reference
from voc_tree import download, photographs
from voc_tree.tree import BASE
from yolo_core import experiments
from yolo_core.data.voc import VocData
from yolo_core.detector import backbones
from yolo_core.training.observer import Observer
from yolo_core.training.records import read_run
from yolo_core.training.train import train
from yolo_core.training.writing import write_run

sys.path.insert(0, str(ROOT / "scripts"))
import on_a_card  # noqa: E402
import pack_for_a_card  # noqa: E402
from card import study  # noqa: E402

RECORD = {"code": "c", "config": CONFIG.to_dict(), "data": {"fingerprints": {}}, "metrics": {}}


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """Asks for a run under an observer's code; how many trainings there have been."""
    trained = []

    def train(config, *_, observer, **__):
        folder = _[2]
        trained.append(folder)
        return write_run(folder, RECORD | {"key": "the key", "observer": observer.code()}, {}, {})

    monkeypatch.setattr(experiments, "runs_folder", lambda: tmp_path)
    monkeypatch.setattr(experiments, "profile_data", lambda *_: (None, None))
    monkeypatch.setattr(experiments, "_key", lambda *_: "the key")
    monkeypatch.setattr("yolo_core.training.train.train", train)

    def ask(code):
        watching = type("Watching", (Observer,), {"code": classmethod(lambda cls: code), "loaded": lambda *_: None})
        return experiments.run("baseline", "conv", "smoke", progress=False, observer=watching).folder, len(trained)

    return ask


@pytest.mark.parametrize("name", [".DS_Store", "._record.json", "notes.parquet"])
def test_what_a_system_keeps_in_a_runs_folder_does_not_keep_a_newer_run_out_of_it(name, asked):
    folder, _ = asked("earlier code")
    (folder / name).write_text("theirs")
    assert asked("later code") == (folder, 2) and asked("later code") == (folder, 2)
    assert (folder / name).read_text() == "theirs"


def test_a_folder_that_holds_only_what_a_system_keeps_is_taken(asked):
    folder, _ = asked("code")
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / ".DS_Store").touch()
    assert asked("code") == (folder, 2) and (folder / ".DS_Store").exists()


def test_a_run_that_gave_way_to_a_readers_file_is_found_again(asked):
    folder, _ = asked("earlier code")
    (folder / "model.onnx").touch()
    with pytest.warns(UserWarning, match="something lies there by now"):
        second, trainings = asked("later code")
    assert second != folder and trainings == 2
    assert asked("later code") == (second, 2), "it is not trained once more at every call"
    assert (folder / "model.onnx").exists()


def test_a_training_that_burst_is_kept_elsewhere_where_the_disk_is_full_and_says_who_watched(tmp_path, monkeypatch):
    def bursts(*_, **__):
        raise ArithmeticError("step 3: the box term of the loss is not finite")

    monkeypatch.setattr(reference, "BUILD", tmp_path / "build")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(watch, "run", bursts)
    monkeypatch.setattr(experiments, "key_of", lambda *_: "k")
    monkeypatch.setattr(reference, "_fingerprints", lambda _: {})
    real = Path.mkdir

    def full(path, *words, **options):
        if "reference" in str(path) and str(tmp_path / "build") in str(path):
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return real(path, *words, **options)

    with monkeypatch.context() as disk, pytest.raises(InputError, match="No space left on device.*the finished run lies in") as caught:
        disk.setattr(Path, "mkdir", full)
        reference._run("smoke", "focal", "focal", 0, tmp_path / "records")
    lies = Path(str(caught.value).split("lies in ")[1].split(";")[0])
    assert "step 3" in read_run(lies).record["failed"] and read_run(lies).record["observer"] == watch.Instruments.code()


# The scripts for a card


@pytest.fixture
def package(tmp_path):
    """Packages and photographs as they are carried to a card: two pictures a split."""
    folder = tmp_path / "package"
    (tmp_path / "site").mkdir()
    (tmp_path / "site/brought.py").write_bytes(os.urandom(20_000))
    folder.mkdir()
    with tarfile.open(folder / pack_for_a_card.SITE, "w:xz") as archive:
        archive.add(tmp_path / "site", ".")
    import numpy as np

    tensors, about = {}, {}
    for split in ("train", "val"):
        parts = [pack_for_a_card._encoded(np.zeros((3, 32, 32), np.uint8), 50)[0]] * 2
        tensors |= {f"{split}.bytes": np.frombuffer(b"".join(parts), np.uint8), f"{split}.ends": np.cumsum([0, *map(len, parts)])}
        tensors |= {f"{split}.boxes": np.tile(np.float32([0, 0, 1, 1]), (2, 1)), f"{split}.labels": np.zeros(2, np.int64)}
        tensors |= {f"{split}.difficult": np.zeros(2, bool), f"{split}.counts": np.ones(2, np.int64)}
        about[split] = {"ids": [f"{split}_{number}" for number in range(2)], "fingerprint": split, "size": 32}
    save_arrays(tensors, folder / pack_for_a_card.PICTURES, {"splits": json.dumps(about), "reencoded": "squeezed"})
    return folder


def test_photographs_that_were_unpacked_half_are_not_there(package, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk, pytest.raises(OSError, match="No space left"):
        disk.setattr("voc_tree.cache.write_cache", full)
        pack_for_a_card.unpack_pictures(package, tmp_path / "tree")
    assert not (tmp_path / "tree").exists()
    pack_for_a_card.unpack_pictures(package, tmp_path / "tree")
    data = experiments.load_data(tmp_path / "tree", 32)
    assert [split.fingerprint for split in data] == ["train", "val"] and data[0].reencoded == "squeezed"


def test_photographs_are_unpacked_into_the_builds_own_folder_alone(package, tmp_path, monkeypatch):
    """Where a variable names another, that is the reader's."""
    monkeypatch.setenv("YOLO_DATA_PHOTOGRAPHS", str(tmp_path / "mine"))
    report = type("Report", (), {"file": tmp_path / "study.json", "rehearse": False, "package": package})
    report.file.write_text('{"parts": {}}')
    with pytest.raises(InputError, match="no Photographs there|there; run"):
        study.records_part("photographs", report)
    assert not (tmp_path / "mine").exists()


def script(tmp_path, package, **changes):
    words = {"out": tmp_path / "out", "work": tmp_path / "work", "package": package, "parts": "memory", "seconds": 60} | changes
    return on_a_card.main([word for name, value in words.items() for word in (f"--{name}", str(value))])


def test_packages_that_find_no_room_are_not_called_torn_and_torn_ones_are(package, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(on_a_card, "run_part", lambda *_: {"status": "done", "seconds": 0, "says": []})
    with room(9000):
        assert script(tmp_path, package) == 2
    error = capsys.readouterr().err
    assert "cannot be read or written (File too large); make room, or name another --work" in error and "carry it" not in error
    (package / pack_for_a_card.SITE).write_bytes((package / pack_for_a_card.SITE).read_bytes()[:9000])
    assert script(tmp_path, package) == 2
    assert "carry it once more" in capsys.readouterr().err


def test_of_two_that_unpack_the_packages_at_once_both_go_on(package, tmp_path, monkeypatch):
    monkeypatch.setattr(on_a_card, "run_part", lambda *_: {"status": "done", "seconds": 0, "says": []})
    unpack = pack_for_a_card.unpack_site

    def another_is_faster(given, folder):
        monkeypatch.setattr(pack_for_a_card, "unpack_site", unpack)
        assert script(tmp_path, package, out=tmp_path / "other") == 0
        unpack(given, folder)

    monkeypatch.setattr(pack_for_a_card, "unpack_site", another_is_faster)
    assert script(tmp_path, package) == 0


def test_records_come_back_from_a_card_where_a_parts_log_finds_no_room(package, tmp_path, monkeypatch, capsys):
    run = tmp_path / "work/records/pocket/one"
    run.mkdir(parents=True)
    (run / "record.json").write_text("{}")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "work/memory.log")

    monkeypatch.setattr(on_a_card, "run_part", full)
    assert script(tmp_path, package) == 2
    assert (tmp_path / "out/pocket.tar.gz").exists()
    assert "work/memory.log: cannot be written (No space left on device)" in capsys.readouterr().err


@pytest.mark.skipif(os.pathsep != ":", reason="paths of another form")
def test_a_checkout_under_whose_path_python_finds_no_modules_is_told(package, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(on_a_card, "run_part", lambda *_: pytest.fail("it ran"))
    for odd in ("work", "checkout"):
        with monkeypatch.context() as here, pytest.raises(SystemExit):
            if odd == "checkout":
                here.setattr(on_a_card, "ROOT", tmp_path / "10:30")
            script(tmp_path, package, **({"work": tmp_path / "10:30"} if odd == "work" else {}))
        assert "10:30: Python finds no modules under a path with : in it" in capsys.readouterr().err


def test_hostile_input_is_counted_in_a_checkout_wherever_it_lies(tmp_path):
    (tmp_path / "{10:30}").symlink_to(ROOT)
    assert publish.hostile(tmp_path / "{10:30}") == publish.hostile()


def test_a_package_is_made_on_the_disk_that_it_is_for(tmp_path, monkeypatch):
    """The folder may be where a stick is mounted: nothing is moved there from another disk."""
    monkeypatch.setattr(pack_for_a_card, "tracked", lambda: 0)
    monkeypatch.setattr(pack_for_a_card, "site", lambda file, _: made.append(file) or file.touch())
    monkeypatch.setattr(pack_for_a_card, "pictures", lambda file, *_: file.touch() or "none")
    made, out = [], tmp_path / "stick"
    out.mkdir()
    for _ in range(2):
        pack_for_a_card.pack(out, [], 50, "3.12", 64)
    assert all(file.is_relative_to(out) for file in made)
    assert {file.name for file in out.iterdir()} == {pack_for_a_card.SITE, pack_for_a_card.PICTURES} and len(list(tmp_path.iterdir())) == 1


# Elsewhere


@pytest.mark.parametrize("content", [b"half", b"PK\x03\x04 and no more", b"<html>Who are you?</html>"])
def test_a_download_of_resnet18_that_lies_there_torn_is_a_sentence(content, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    file = tmp_path / "checkpoints/resnet18-f37072fd.pth"
    file.parent.mkdir()
    file.write_bytes(content)
    with pytest.raises(InputError, match="put it at .*resnet18-f37072fd.pth, in the place of what may lie there"):
        backbones.resnet18("imagenet")
    assert file.read_bytes() == content


@pytest.mark.parametrize("name", ["model.json", "model.textproto", "model.bin"])
def test_an_exported_detector_is_onnx_whatever_its_name_ends_in(name, tmp_path, quick_onnx, monkeypatch):
    import onnx

    config = experiments.resolve("baseline", "conv", "smoke")
    monkeypatch.setattr("trial.inference.export.compare", lambda *_: {"boxes": 0.0})
    export(config.detector(), config, tmp_path / name)
    assert onnx.load(tmp_path / name, format="protobuf").graph.input[0].name == "images"


def test_half_a_letter_in_a_cell_is_told(tmp_path):
    cells = [{"cell_type": "code", "source": 'face = "\ud83d"', "metadata": {}, "outputs": [], "execution_count": None}]
    page = tmp_path / "page.ipynb"
    page.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    with pytest.raises(InputError, match="page.ipynb: expected Python, and it holds half a letter"):
        code_hash(modules(page))


def test_hidden_json_beside_the_shipped_makes_no_page_stale(tmp_path, monkeypatch):
    from book.press.execute import source_key

    root = tmp_path / "root"
    for name in ("groundwork", "trial", "voc_tree"):
        (root / name).mkdir(parents=True)
        (root / name / "__init__.py").touch()
    (root / "trial/shipped.json").write_text("{}")
    (root / "constraints.txt").touch()
    page = root / "page.ipynb"
    page.write_text(json.dumps({"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    before = source_key(page, "smoke", root)
    (root / "trial/.ipynb_checkpoints").mkdir()
    (root / "trial/.ipynb_checkpoints/shipped-checkpoint.json").touch()
    (root / "trial/._shipped.json").touch()
    assert source_key(page, "smoke", root) == before
    (root / "trial/shipped.json").write_text("[]")
    assert source_key(page, "smoke", root) != before


def test_an_empty_folder_in_a_trees_place_is_filled(tmp_path, monkeypatch):
    def asked(*_):
        raise InputError("the archive is asked for")

    (tmp_path / BASE).mkdir(parents=True)
    monkeypatch.setattr(download, "fetch", asked)
    monkeypatch.setattr(photographs, "_gather", asked)
    for make in (download.download, photographs.make):
        with pytest.raises(InputError, match="the archive is asked for"):
            make(tmp_path)


def test_processes_that_find_different_checkpoints_do_not_train_together(tmp_path, monkeypatch):
    """As on two machines without a disk that both see: they would wait for one another for ever."""
    root = write_tree(tmp_path / "tree", train=2, val=1)
    monkeypatch.setattr(Fabric, "broadcast", lambda _, step: step + 7)  # the first one's
    with pytest.raises(InputError, match="not all processes find the same checkpoint there; name an --out on a disk that all share"):
        train(CONFIG, VocData(root, "train", 224), VocData(root, "val", 224), tmp_path / "run", code="c", progress=False)
