"""A disk that goes away and comes back (its host is down, its plug was pulled, its ticket ran out), and one whose rights are not to be
changed: nothing sound is called torn, nothing is made anew, and every command has a sentence for it."""

import errno
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from helpers_archives import pack
from helpers_voc import annotation, image, split_file, write_tree
from safetensors.torch import save_file
from test_nothing_overwritten import CONFIG

from emojivoc import coco
from groundwork import archives, checkpoint
from groundwork.answer import answer
from groundwork.archives import Archive, Contents, fetch
from groundwork.checkpoint import Checkpoints
from groundwork.drafts import drafted
from groundwork.errors import AWAY, InputError
from groundwork.files import in_place_of, visible
from groundwork.locks import alone
from groundwork.paths import BUILD
from voc_tree import download, tree
from voc_tree.cache import open_cache
from voc_tree.tree import Split
from yolo_core.__main__ import main
from yolo_core.data.voc import VocData
from yolo_core.training.records import read_run
from yolo_core.training.train import train
from yolo_core.training.writing import write_run

GONE = sorted(AWAY)
RECORD = {"key": "k", "code": "c", "config": CONFIG.to_dict(), "data": {"fingerprints": {}}, "metrics": {}}
WHOLE = r"cannot be read \(.*{}.*mend that"


def once_away(monkeypatch, number, name):
    """Reading files of that name fails as it does on a disk that has gone; nothing else does."""
    read = Path.read_text

    def refuse(path, *words, **options):
        if path.name == name:
            raise OSError(number, os.strerror(number), str(path))
        return read(path, *words, **options)

    monkeypatch.setattr(Path, "read_text", refuse)


@pytest.mark.parametrize("number", GONE, ids=[errno.errorcode[number] for number in GONE])
def test_nothing_on_a_disk_that_is_away_is_called_torn_or_removed(number, tmp_path, monkeypatch, recwarn):
    checkpoints = Checkpoints(tmp_path / "checkpoints", "key")
    assert checkpoints.save(1, {"w": torch.zeros(1)}, {})
    run = write_run(tmp_path / "run", RECORD, {}, {}).folder
    split = Split(write_tree(tmp_path / "tree", train=2, val=1), "train")
    open_cache(split, 32, tmp_path / "cache")
    before = sorted(tmp_path.rglob("*"))
    said = os.strerror(number)
    for name, read in (
        ("digests.json", checkpoints.latest),
        ("record.json", lambda: read_run(run)),
        ("meta.json", lambda: open_cache(split, 32, tmp_path / "cache")),
    ):
        with monkeypatch.context() as away, pytest.raises(InputError, match=WHOLE.format(said)):
            once_away(away, number, name)
            read()
        read()  # it is back
    assert sorted(tmp_path.rglob("*")) == before and not recwarn.list


@pytest.mark.parametrize("number", GONE, ids=[errno.errorcode[number] for number in GONE])
def test_a_command_whose_disk_is_away_ends_in_a_sentence(number, monkeypatch, capsys):
    def refuse(*_, **__):
        raise OSError(number, os.strerror(number), "/mnt/away")

    monkeypatch.setattr(tree, "check", refuse)
    assert main(["data", "check", "/mnt/away"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: /mnt/away: ") and os.strerror(number) in error and error.count("\n") == 1


def test_a_checkpoint_whose_disk_is_away_is_a_warning_and_the_training_goes_on(tmp_path, monkeypatch):
    root = write_tree(tmp_path / "tree", train=6, val=3)
    splits = VocData(root, "train", 224), VocData(root, "val", 224)
    save, listed = checkpoint.save_file, os.listdir

    def away(*_, **__):
        monkeypatch.setattr(os, "listdir", gone)
        raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")

    def gone(folder="."):
        if ".run.checkpoints" in str(folder):
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return listed(folder)

    monkeypatch.setattr(checkpoint, "save_file", away)
    with pytest.warns(UserWarning, match="could not be written .*not connected"):
        run = train(CONFIG, *splits, tmp_path / "run", code="c", progress=False, checkpoint_seconds=0)
    assert run.metrics["images"] == 3
    monkeypatch.setattr(checkpoint, "save_file", save)  # it has been written when the disk goes
    monkeypatch.setattr(os, "listdir", gone)
    assert Checkpoints(tmp_path / ".run.checkpoints", "key").save(1, {"w": torch.zeros(1)}, {})


def test_a_disk_on_which_rights_are_not_to_be_changed_takes_runs_caches_and_folders(tmp_path, monkeypatch):
    """A share or a stick that root has mounted for everybody: who is not its owner may write, and change no rights."""

    def refuse(*_, **__):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    split = Split(write_tree(tmp_path / "tree", train=2, val=1), "train")
    monkeypatch.setattr(os, "chmod", refuse)
    monkeypatch.setattr(Path, "chmod", refuse)
    for _ in range(2):
        (write_run(tmp_path / "run", RECORD, {}, {"w": torch.zeros(1)}).folder / "notes.parquet").touch()
    open_cache(split, 32, tmp_path / "cache")
    with in_place_of(tmp_path / "out") as folder:
        (folder / "a").touch()
    assert (tmp_path / "run/notes.parquet").exists() and (tmp_path / "out/a").exists() and not (tmp_path / "run-2").exists()


def test_in_a_checkout_that_can_only_be_read_it_is_said_what_helps(tmp_path, monkeypatch):
    """No option names the folder in which everything is built."""

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    for folder, mend in (
        (BUILD / "data/none", "work in a copy of the checkout that can be written to"),
        (tmp_path / "a/b", "name a folder"),
    ):
        with pytest.raises(InputError, match=f"cannot be made .Permission denied.; {mend}"), alone(folder / "thing"):
            pass


def test_a_caches_table_that_may_not_be_read_is_not_called_torn(tmp_path, monkeypatch):
    """safetensors says of it that it is not there."""
    import builtins

    split = Split(write_tree(tmp_path / "tree", train=2, val=1), "train")
    open_cache(split, 32, tmp_path / "cache")
    real = builtins.open

    def refuse(file, *words, **options):
        if str(file).endswith("targets.safetensors"):
            raise PermissionError(errno.EACCES, "Permission denied", str(file))
        return real(file, *words, **options)

    monkeypatch.setattr(builtins, "open", refuse)
    with pytest.raises(InputError, match="the cache cannot be read .*Permission denied"):
        open_cache(split, 32, tmp_path / "cache")


def test_a_torn_cache_that_may_not_be_removed_is_told_as_that(tmp_path, monkeypatch):
    """Another user's, in a folder that all share."""
    split = Split(write_tree(tmp_path / "tree", train=2, val=1), "train")
    open_cache(split, 32, tmp_path / "cache")
    next((tmp_path / "cache").rglob("meta.json")).write_text("")
    monkeypatch.setattr("voc_tree.cache.shutil.rmtree", lambda *_, **__: None)
    with (
        pytest.warns(UserWarning, match="torn"),
        pytest.raises(InputError, match="the cache cannot be written .*--cache of train and eval"),
    ):
        open_cache(split, 32, tmp_path / "cache")


# Archives


@pytest.mark.parametrize(
    "error", [PermissionError(errno.EACCES, "Permission denied"), OSError(errno.ESTALE, "Stale file handle"), MemoryError()], ids=repr
)
def test_a_sound_archive_that_cannot_be_read_is_not_to_be_fetched_again(error, tmp_path, monkeypatch):
    pack(tmp_path / "one.tar", {"a": b"a"})
    contents = Contents(tmp_path / "one.tar")

    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(contents._file, "extractfile", refuse)
    with pytest.raises(InputError, match=r"one.tar: cannot be read \("):
        contents.read("a")
    if isinstance(error, OSError):
        monkeypatch.setattr(archives.hashlib, "file_digest", refuse)
        with pytest.raises(InputError, match=r"one.tar: cannot be read \((?!.*fetch)"):
            fetch(Archive("http://127.0.0.1:9/one.tar", 1, ""), tmp_path, progress=False)
        monkeypatch.setattr(download, "fetch", lambda *_: tmp_path / "one.tar")
        monkeypatch.setattr(download, "extract_archive", refuse)
        with pytest.raises(InputError, match=r"one.tar: cannot be read \((?!.*delete)"):
            download.download(tmp_path / "new")


def test_of_two_that_fetch_into_a_new_folder_the_second_goes_on_where_the_first_fails(tmp_path, monkeypatch):
    tried, begun = [], []

    def receive(archive, part, progress):
        tried.append(part)
        if len(tried) == 1:
            begun.append(second.submit(fetch, archive, tmp_path / "new", False))
            time.sleep(0.5)
            assert not begun[0].done(), "it waits"
            raise OSError("the host cuts it off")
        part.write_bytes(b"whole")

    monkeypatch.setattr(archives, "_receive", receive)
    known = Archive("http://127.0.0.1:9/one.tar", 5, archives.hashlib.md5(b"whole").hexdigest())
    with ThreadPoolExecutor(1) as second:
        with pytest.raises(InputError, match="cuts it off"):
            fetch(known, tmp_path / "new", progress=False)
        assert begun[0].result(60).read_bytes() == b"whole"
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["one.tar"]


def test_a_page_in_an_archives_place_is_not_the_begin_of_the_archive(tmp_path):
    """A network that first asks for a name answers every address with a page of its own."""
    from helpers_archives import serving

    (tmp_path / "host").mkdir()
    (tmp_path / "host/one.tar").write_bytes(b"<html>Who are you?</html>")
    with serving(tmp_path / "host") as host, pytest.raises(InputError, match="has 25 bytes under that address, and not 5,000"):
        fetch(Archive(f"{host.address}/one.tar", 5000, ""), tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


# Trees


def test_a_tree_whose_folders_may_not_be_listed_is_a_fault(tmp_path, monkeypatch, capsys):
    root = write_tree(tmp_path / "tree", train=2, val=2)
    real = {name: getattr(os, name) for name in ("listdir", "scandir")}

    def closed(kind):
        def refuse(call, folder="."):
            if Path(folder).name == kind:
                raise PermissionError(errno.EACCES, "Permission denied", str(folder))
            return real[call](folder)

        for call in real:
            monkeypatch.setattr(os, call, lambda folder=".", call=call: refuse(call, folder))

    closed("JPEGImages")
    (fault,) = tree.check(root)
    assert fault.startswith(str(image(root, "").parent)) and "cannot be read (Permission denied); ask its owner for the right" in fault
    with pytest.raises(InputError, match="JPEGImages: cannot be read"):
        Split(root, "train")
    closed("Main")
    assert main(["data", "check", str(root)]) == 2
    assert "Main: cannot be read or written (Permission denied)" in capsys.readouterr().err
    with pytest.raises(PermissionError):
        visible(split_file(root, "train").parent, "*.txt")


@pytest.mark.parametrize("place", [image, annotation])
def test_a_name_that_only_a_disk_without_case_finds_is_a_fault_as_a_training_has_it(place, tmp_path, monkeypatch):
    root = write_tree(tmp_path / "tree", train=2, val=2)
    file = place(root, split_file(root, "train").read_text().split()[0])
    names = tree._names
    monkeypatch.setattr(tree, "_names", lambda folder: {name.replace(file.name, file.name.upper()) for name in names(folder)})
    (fault,) = tree.check(root)
    assert fault.startswith(f"{file}: ") and fault.endswith("rename it.")
    with pytest.raises(InputError, match="1 of its 2 (images|annotations) are missing"):
        Split(root, "train")
    monkeypatch.setattr(tree, "_names", names)
    file.unlink()
    file.mkdir()
    assert len(tree.check(root)) == 1, "what is no file is told of once"


def test_annotations_of_coco_that_may_not_be_read_are_not_called_other_content(tmp_path, monkeypatch):
    root = write_tree(tmp_path / "tree", train=2, val=2)
    files = coco.write(root)
    once_away(monkeypatch, errno.EACCES, files[0].name)
    with pytest.raises(InputError, match="cannot be read .Permission denied.; ask its owner for the right"):
        coco.write(root)


# Names and memory


def test_what_is_written_to_a_link_lies_where_it_leads_and_the_link_stays(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "far/a").write_text("earlier")
    (tmp_path / "a").symlink_to("far/a")
    (tmp_path / "b").symlink_to("far/b")  # not there yet
    for name in "ab":
        with drafted(tmp_path / name) as draft:
            draft.write_text("later")
        assert (tmp_path / name).is_symlink() and (tmp_path / "far" / name).read_text() == "later"
    assert len(list((tmp_path / "far").iterdir())) == 2


def test_two_processes_of_one_number_have_drafts_of_their_own(tmp_path, monkeypatch):
    """As in two containers on one disk, where each is process 1."""
    monkeypatch.setattr(os, "getpid", lambda: 1)
    with drafted(tmp_path / "a") as first, drafted(tmp_path / "a") as second:
        assert first != second
        first.touch(), second.touch()
    written = []

    def save(tensors, path):
        written.append(path)
        if len(written) == 1:
            write_run(tmp_path / "run", RECORD, {}, {})
        save_file(tensors, path)

    monkeypatch.setattr("yolo_core.training.writing.save_file", save)
    assert write_run(tmp_path / "run", RECORD, {}, {}).folder == tmp_path / "run"
    assert written[0].parent != written[1].parent and [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["run"]


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("can't allocate memory: you\ntried"), torch.OutOfMemoryError("CUDA out of memory")]
)
def test_too_little_memory_anywhere_is_a_sentence(error, capsys):
    def lacks():
        raise error

    assert answer(lacks) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: too little memory (") and said.count("\n") == 1


def test_an_error_that_is_none_of_memory_is_not_hidden():
    def broken():
        raise RuntimeError("a fault of the program")

    with pytest.raises(RuntimeError):
        answer(broken)


def test_two_locks_of_a_folder_that_goes_meanwhile(tmp_path):
    """The one who waits lays it anew."""
    with ThreadPoolExecutor(1) as pool:

        def second():
            with alone(tmp_path / "new/thing"):
                return (tmp_path / "new").is_dir()

        with alone(tmp_path / "new/thing"):
            waiting = pool.submit(second)
            time.sleep(0.5)
            shutil.rmtree(tmp_path / "new")
        assert waiting.result(60)
