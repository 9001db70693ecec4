"""The download of VOC 2012 and what becomes of it; the network itself is never touched."""

import http.client
import io
import signal
import tarfile
import urllib.error
from pathlib import Path

import pytest
import torchvision.datasets.voc
from helpers_voc import BASE, write_tree
from torchvision.datasets import VOCDetection

from groundwork import archives as files_module
from groundwork.errors import InputError
from voc_tree import download as download_module
from voc_tree.download import download
from voc_tree.tree import check
from yolo_core.__main__ import main


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """A stand-in for the archive of VOC 2012, with torchvision's table pointing at it."""
    write_tree(tmp_path / "made", train=2, val=1)
    path = tmp_path / "made.tar"
    with tarfile.open(path, "w") as tar:
        tar.add(tmp_path / "made" / "VOCdevkit", "VOCdevkit")
    md5 = torchvision.datasets.utils.calculate_md5(str(path))
    entry = {"url": "https://voc.example/voc.tar", "filename": "voc.tar", "md5": md5, "base_dir": "VOCdevkit/VOC2012"}
    monkeypatch.setitem(download_module.DATASET_YEAR_DICT, "2012", entry)
    monkeypatch.setitem(download_module.SIZES, "2012", path.stat().st_size)
    return path


class Answer(io.BytesIO):
    """What a host sends: the bytes it holds, then an error if there is one."""

    status, error, length = 200, None, None  # a host need not say how much it sends

    def read(self, size=-1):
        content = super().read(size)
        if not content and self.error:
            raise self.error
        return content


def serve(monkeypatch, content: bytes, error: Exception | None = None):
    def answer(request, timeout):
        assert request.full_url == "https://voc.example/voc.tar" and 0 < timeout < 60
        sent = Answer(content)
        sent.error = error
        return sent

    monkeypatch.setattr(files_module, "urlopen", answer)


def test_a_download_ends_in_a_tree_that_both_readers_open(tmp_path, archive, monkeypatch):
    serve(monkeypatch, archive.read_bytes())
    assert "holds VOC 2012" in download(tmp_path / "out")
    assert check(tmp_path / "out") == [] and len(VOCDetection(tmp_path / "out", image_set="train")) == 2
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["VOCdevkit", "voc.tar"]
    assert "is there already (2 in train, 1 in val" in download(tmp_path / "out")


def test_an_archive_fetched_by_hand_is_used(tmp_path, archive, monkeypatch):
    serve(monkeypatch, b"", AssertionError("the network was asked"))
    (tmp_path / "out").mkdir()
    archive.rename(tmp_path / "out" / "voc.tar")
    download(tmp_path / "out")
    assert check(tmp_path / "out") == []


@pytest.mark.parametrize(
    "error",
    [urllib.error.URLError("no such host"), TimeoutError("timed out"), http.client.IncompleteRead(b""), None],
    ids=["unknown host", "silence", "cut off", "too short a file"],
)
def test_a_failed_download_tells_the_manual_way_and_keeps_what_came(tmp_path, archive, monkeypatch, error):
    whole = archive.read_bytes()
    serve(monkeypatch, whole[:1000], error)
    with pytest.raises(InputError, match=r"https://voc.example/voc.tar by other means \(md5 [0-9a-f]{32}\), put it at .*voc.tar"):
        download(tmp_path / "out")
    (part,) = (tmp_path / "out").iterdir()
    assert part.name == "voc.tar.part" and part.read_bytes() == whole[:1000]


def test_an_archive_without_a_tree_is_told_and_kept(tmp_path, archive, monkeypatch):
    (tmp_path / "out").mkdir()
    with tarfile.open(tmp_path / "out" / "voc.tar", "w") as tar:
        tar.add(archive, "VOCdevkit/nothing")
    md5 = torchvision.datasets.utils.calculate_md5(str(tmp_path / "out" / "voc.tar"))
    monkeypatch.setitem(download_module.DATASET_YEAR_DICT["2012"], "md5", md5)
    with pytest.raises(InputError, match="voc.tar: could not be unpacked .*; make room"):
        download(tmp_path / "out")
    assert not (tmp_path / "out" / BASE).exists() and (tmp_path / "out" / "voc.tar").exists()


def test_an_unpacking_that_is_told_to_end_or_fails_leaves_the_archive_alone(tmp_path, archive, monkeypatch):
    """What a signal does then, tests/test_files.py holds."""
    serve(monkeypatch, archive.read_bytes())
    heard = []

    def fail(_, folder):
        (Path(folder) / "half").touch()
        heard.append(signal.getsignal(signal.SIGTERM))
        raise OSError("No space left on device")

    monkeypatch.setattr(download_module, "extract_archive", fail)
    earlier = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        with pytest.raises(InputError, match="voc.tar: could not be unpacked .No space left on device.; make room"):
            download(tmp_path / "out")
    finally:
        signal.signal(signal.SIGTERM, earlier)
    assert callable(heard[0]) and [path.name for path in (tmp_path / "out").iterdir()] == ["voc.tar"]


def test_a_wrong_archive_fetched_by_hand_is_refused_and_not_overwritten(tmp_path, archive, monkeypatch):
    serve(monkeypatch, archive.read_bytes())
    (tmp_path / "voc.tar").write_bytes(b"something else")
    with pytest.raises(InputError, match="expected md5"):
        download(tmp_path)
    assert (tmp_path / "voc.tar").read_bytes() == b"something else"


def test_the_table_of_torchvision_has_the_address_and_checksum_that_are_told():
    entry = torchvision.datasets.voc.DATASET_YEAR_DICT["2012"]
    assert entry["url"].endswith("/VOCtrainval_11-May-2012.tar") and entry["md5"] == "6cd6e144f989b92b3379bac3b3de84fd"


def test_a_home_of_no_user_is_a_folder_that_is_not_there(tmp_path, monkeypatch, capsys):
    """The shell leaves ~NAME as it stands where there is no such user."""
    monkeypatch.chdir(tmp_path)
    assert main(["data", "check", "~nosuchuser/x"]) == 1 and "~nosuchuser/x: expected a VOC tree" in capsys.readouterr().out
    assert main(["data", "emoji", "--out", "~nosuchuser/x", "--train", "1", "--val", "1", "--size", "64"]) == 0
    assert (tmp_path / "~nosuchuser/x/VOCdevkit").is_dir()
