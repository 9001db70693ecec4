"""Archives: fetched from a host that the tests start themselves, gone on with, checked, read; and folders that are whole or not there."""

import errno
import hashlib
import resource
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from helpers_archives import pack, serving

from groundwork.archives import Archive, Contents, fetch
from groundwork.errors import InputError
from groundwork.files import files_under, in_place_of
from groundwork.locks import alone
from groundwork.paths import ROOT

WHOLE = np.random.default_rng(0).bytes(3_000_000)  # more than files.CHUNK


def published(address: str) -> Archive:
    return Archive(f"{address}/voc.tar", len(WHOLE), hashlib.md5(WHOLE).hexdigest())


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder with voc.tar, for a host to serve."""
    (tmp_path / "host").mkdir()
    (tmp_path / "host" / "voc.tar").write_bytes(WHOLE)
    return tmp_path / "host"


# Fetching


def test_an_archive_is_fetched_once_and_found_again(tmp_path, folder):
    with serving(folder) as host:
        known = published(host.address)
        assert known.missing(tmp_path / "out") == len(WHOLE)
        place = fetch(known, tmp_path / "out", progress=False)
        assert place == fetch(known, tmp_path / "out", progress=False) == tmp_path / "out" / "voc.tar"
    assert host.asked == [("voc.tar", None)] and known.missing(tmp_path / "out") == 0
    assert place.read_bytes() == WHOLE and list(place.parent.iterdir()) == [place]


def test_of_two_that_fetch_an_archive_the_second_waits_and_finds_it(tmp_path):
    known, place = published("http://127.0.0.1:9"), tmp_path / "voc.tar"
    with ThreadPoolExecutor(1) as pool:
        with alone(place):
            second = pool.submit(fetch, known, tmp_path, False)
            time.sleep(0.5)
            assert not second.done(), "it waits"
            place.write_bytes(WHOLE)
        assert second.result(60) == place
    assert list(tmp_path.iterdir()) == [place]


def test_files_under_a_folder_are_seen_over_links_and_drafts_of_others_are_not(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/a.jpg").touch()
    (tmp_path / "tree/.draft-x").mkdir(parents=True)
    (tmp_path / "tree/.draft-x/record.json").touch()
    (tmp_path / "tree/VOC2012").symlink_to(tmp_path / "elsewhere")
    assert files_under(tmp_path / "tree") == [tmp_path / "tree/VOC2012/a.jpg"] and files_under(tmp_path / "none") == []


@pytest.mark.parametrize("ranges", [True, False], ids=["a host with ranges", "a host without"])
def test_a_half_fetched_archive_is_gone_on_with(tmp_path, folder, ranges):
    (tmp_path / "voc.tar.part").write_bytes(WHOLE[:2_500_000])
    with serving(folder, ranges=ranges) as host:
        assert published(host.address).missing(tmp_path) == 500_000
        place = fetch(published(host.address), tmp_path, progress=False)
    assert host.asked == [("voc.tar", "bytes=2500000-")]
    assert place.read_bytes() == WHOLE and not (tmp_path / "voc.tar.part").exists()


def test_an_archive_of_which_only_the_renaming_lacks_asks_no_host(tmp_path):
    (tmp_path / "voc.tar.part").write_bytes(WHOLE)
    assert fetch(published("http://127.0.0.1:9"), tmp_path, progress=False).read_bytes() == WHOLE


def test_a_connection_that_breaks_off_is_told_and_the_next_try_goes_on_from_there(tmp_path, folder):
    with (
        serving(folder, most=1_200_000) as host,
        pytest.raises(InputError, match="stopped after 1,200,000 of 3,000,000 bytes.*is kept; run"),
    ):
        fetch(published(host.address), tmp_path, progress=False)
    assert (tmp_path / "voc.tar.part").read_bytes() == WHOLE[:1_200_000]
    with serving(folder) as host:
        assert fetch(published(host.address), tmp_path, progress=False).read_bytes() == WHOLE
    assert host.asked == [("voc.tar", "bytes=1200000-")]


def test_a_host_that_is_down_is_told_with_the_manual_way(tmp_path):
    known = published("http://127.0.0.1:9")
    with pytest.raises(InputError, match="voc.tar: could not be fetched .*refused") as caught:
        fetch(known, tmp_path / "made/for it", progress=False)
    manual = f"fetch {known.url} by other means (md5 {known.md5}), put it at {tmp_path / 'made/for it/voc.tar'} and run"
    assert manual in str(caught.value) and list(tmp_path.iterdir()) == [], "nothing came, and no folder stays"


def test_an_address_that_has_moved_away_is_told(tmp_path, folder):
    (folder / "voc.tar").unlink()
    with serving(folder) as host, pytest.raises(InputError, match="could not be fetched .*404.*, what has come is kept"):
        fetch(published(host.address), tmp_path, progress=False)


def test_a_disk_that_fills_is_told_and_what_came_is_kept(tmp_path, folder):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with serving(folder) as host:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, limits[1]))  # no file of this process may grow any larger
        try:
            with pytest.raises(InputError, match="could not be fetched .File too large., what has come is kept; run this again"):
                fetch(published(host.address), tmp_path, progress=False)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        kept = (tmp_path / "voc.tar.part").read_bytes()
        assert len(kept) > 1_000_000 and WHOLE.startswith(kept)
        assert fetch(published(host.address), tmp_path, progress=False).read_bytes() == WHOLE


def test_a_fetched_file_of_another_md5_is_told_and_kept(tmp_path, folder):
    (folder / "voc.tar").write_bytes(b"x" * len(WHOLE))
    with serving(folder) as host, pytest.raises(InputError, match="voc.tar.part: expected md5 [0-9a-f]{32}, got .*; delete it and run"):
        fetch(published(host.address), tmp_path, progress=False)
    assert (tmp_path / "voc.tar.part").stat().st_size == len(WHOLE)


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="archives: cannot be made .*; name a folder that can be written to"):
        fetch(published("http://127.0.0.1:9"), tmp_path / "file" / "archives", progress=False)
    assert (tmp_path / "file").read_text() == "mine"


# Reading


@pytest.mark.parametrize("name", ["a.tar", "a.zip"])
def test_files_are_read_by_name_and_one_that_lacks_is_told(tmp_path, name):
    pack(tmp_path / name, {"first": b"1" * 3000, "folder/second": b"2"})
    with Contents(tmp_path / name) as found:
        assert found.read("first") == b"1" * 3000 and found.read("folder/second") == b"2"
        with pytest.raises(InputError, match=f"{name}: expected third in it, found no such file; fetch the archive again"):
            found.read("third")


@pytest.mark.parametrize(("name", "left"), [("a.tar", 700), ("a.zip", 2000), ("b.tar", 0), ("b.zip", 0)])
def test_a_torn_archive_is_told_in_one_line(tmp_path, name, left):
    pack(tmp_path / name, {"first": b"1" * 3000, "second": b"2" * 3000})
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:left])
    with pytest.raises(InputError, match=f"^.*{name}: .*; fetch (it|the archive) again.$"), Contents(tmp_path / name) as found:
        found.read("first")


def test_damage_inside_a_zip_is_told_with_the_files_name(tmp_path):
    pack(tmp_path / "a.zip", {"first": b"1" * 3000})
    content = bytearray((tmp_path / "a.zip").read_bytes())
    content[100] ^= 255
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(InputError, match="a.zip: first in it cannot be read .*CRC"), Contents(tmp_path / "a.zip") as found:
        found.read("first")


# Folders


def test_a_folder_built_aside_takes_its_place_or_leaves_nothing(tmp_path):
    with in_place_of(tmp_path / "parent" / "out") as aside:
        (aside / "file").write_text("whole")
        assert not (tmp_path / "parent" / "out").exists()
    assert (tmp_path / "parent" / "out" / "file").read_text() == "whole" and len(list((tmp_path / "parent").iterdir())) == 1
    with pytest.raises(OSError, match="No space"), in_place_of(tmp_path / "parent" / "other") as aside:
        (aside / "file").write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert [path.name for path in (tmp_path / "parent").iterdir()] == ["out"]


def test_a_folder_that_cannot_take_its_place_is_told(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="cannot be made .*; name a folder that can be written to"), in_place_of(tmp_path / "file" / "out"):
        pass


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=["told to end", "its terminal is closed"])
def test_what_is_told_to_end_leaves_nothing_half_made_and_a_handler_is_the_callers_again(tmp_path, number):
    """Nor the folders made around it. What a helper goes on to write finds no folder."""
    code = (
        "import os, signal, sys; from pathlib import Path; from groundwork.files import in_place_of\n"
        f"signal.signal({number:d}, signal.SIG_DFL)\n"  # nohup leaves it ignored
        "with in_place_of(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'half').write_text('half')\n"
        f"    os.kill(os.getpid(), {number:d})"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a/b/out")], cwd=ROOT)
    assert done.returncode == -number and list(tmp_path.iterdir()) == []
    earlier, before = signal.signal(number, signal.SIG_DFL), signal.SIG_DFL
    with in_place_of(tmp_path / "out"):
        assert signal.getsignal(number) != before
        with in_place_of(tmp_path / "other"):
            pass
    assert signal.signal(number, earlier) == before


def test_one_that_is_told_to_end_twice_still_sweeps_to_the_end(tmp_path):
    """A launcher and its terminal both say so: the second signal came while thousands of files were being removed."""
    code = (
        "import os, shutil, signal, sys; from pathlib import Path; from groundwork.files import in_place_of\n"
        "remove = shutil.rmtree\n"
        "def slow(*place, **how):\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    remove(*place, **how)\n"
        "shutil.rmtree = slow\n"
        "with in_place_of(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'half').write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGTERM)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a/b/out")], cwd=ROOT)
    assert done.returncode == -signal.SIGTERM and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("replaces", [None, lambda file: file.name == "first"], ids=["nothing", "the first alone"])
@pytest.mark.parametrize("lay", [Path.mkdir, Path.touch, lambda place: place.symlink_to("nowhere")], ids=["a folder", "a file", "a link"])
def test_all_files_take_their_places_or_none(tmp_path, lay, replaces):
    (tmp_path / "first").write_text("earlier")
    options = [replaces] if replaces else []
    with pytest.raises(InputError, match="already there, and is not written over"), in_place_of(tmp_path, *options) as aside:
        for name in ("first", "second", "third"):
            (aside / name).write_text("new")
        lay(tmp_path / "second")
    assert (tmp_path / "first").read_text() == "earlier" and {path.name for path in tmp_path.iterdir()} == {"first", "second"}


def test_a_folder_is_not_replaced_though_a_file_would_be(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "a").write_text("earlier")
    with pytest.raises(InputError, match="b: already there"), in_place_of(tmp_path, lambda _: True) as aside:
        (aside / "a").write_text("new")
        (aside / "b").write_text("new")
    assert (tmp_path / "a").read_text() == "earlier"
