"""Published archives: fetched, checked and read.

Inside: `Archive` (what is published where), `fetch` (resumed where it was cut off), `Contents` (an archive's files by name).
"""

import hashlib
import os
import tarfile
import zipfile
import zlib
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from urllib.request import Request, urlopen

from tqdm import tqdm

from groundwork.errors import InputError, unreadable
from groundwork.files import filling
from groundwork.locks import alone

SILENCE = 30.0  # seconds without a byte after which the host counts as down; urllib itself would wait for ever
CHUNK = 2**20  # bytes between two writes
TORN = (OSError, EOFError, ValueError, tarfile.TarError, zipfile.BadZipFile, zlib.error)  # what reading a torn archive raises


@dataclass(frozen=True)
class Archive:
    """A published archive: its address, its size in bytes (for what is told before it is fetched) and its md5."""

    url: str
    size: int
    md5: str

    @property
    def name(self) -> str:
        return self.url.rsplit("/", 1)[-1]

    def missing(self, folder: Path) -> int:
        """Bytes still to fetch before the archive lies in `folder`."""
        if (folder / self.name).is_file():
            return 0
        return max(self.size - _length(_part(folder / self.name)), 0)


def fetch(archive: Archive, folder: Path, progress: bool = True) -> Path:
    """The archive as a file in `folder`: the one that lies there, or fetched to NAME.part first, from where an earlier try ended.

    Raises `InputError` where the host is down, the disk is full, or the md5 is another. Nothing is deleted: neither a file that
    lay there nor what has come so far.
    """
    place = folder / archive.name
    manual = f"fetch {archive.url} by other means (md5 {archive.md5}), put it at {place} and run this again"
    part = _part(place)
    if os.path.lexists(place):
        if not place.is_file():  # a folder, a pipe that never ends, a link to a disk that is not there
            raise InputError(
                f"{place}: expected an archive, found something that is no file; move it away and run this again, or {manual}."
            )
        _check(place, archive, manual)
        return place
    try:
        with filling(folder), alone(place):  # of two that fetch it the second goes on from what has come, or finds it there
            try:
                if not place.is_file():
                    _receive(archive, part, progress)
                    _check(part, archive, manual)
                    os.replace(part, place)
            finally:
                with suppress(OSError):  # whoever waits lays it anew
                    Path(f"{place}.lock").unlink()
    except (OSError, HTTPException) as error:  # URLError and timeouts are OSErrors, a connection cut off may be either
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"{place}: could not be fetched ({reason}), what has come is kept; run this again to go on from there, or {manual}."
        ) from error
    return place


def _part(place: Path) -> Path:
    return place.with_name(place.name + ".part")


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _check(path: Path, archive: Archive, manual: str) -> None:
    try:
        with open(path, "rb") as file:
            found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except OSError as error:
        raise unreadable(path, error) or error from error
    if found != archive.md5:
        raise InputError(f"{path}: expected md5 {archive.md5}, got {found}; delete it and run this again, or {manual}.")


def _receive(archive: Archive, part: Path, progress: bool) -> None:
    """Append to `part` what it lacks. OSError or HTTPException where not all of it comes."""
    there = _length(part)
    if there >= archive.size:
        return
    headers = {"User-Agent": "yolo-core"} | ({"Range": f"bytes={there}-"} if there else {})
    with urlopen(Request(archive.url, headers=headers), timeout=SILENCE) as answer:
        begins = there if answer.status == HTTPStatus.PARTIAL_CONTENT else 0
        if answer.length is not None and begins + answer.length != archive.size:  # the page of a network that asks for a name first, say
            raise OSError(f"the host has {begins + answer.length:,} bytes under that address, and not {archive.size:,}")
        known = there - begins  # a host that knows no ranges begins at the first byte
        while known and (chunk := answer.read(min(known, CHUNK))):
            known -= len(chunk)
        bar = tqdm(desc=archive.name, total=archive.size, initial=there, unit="B", unit_scale=True, disable=not progress)
        with open(part, "ab") as file, bar:
            while chunk := answer.read(CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
    if _length(part) < archive.size:
        raise OSError(f"the host stopped after {_length(part):,} of {archive.size:,} bytes")


class Contents:
    """The files inside a tar or a zip, read by their names. Raises `InputError` where the archive is torn or lacks a name."""

    def __init__(self, path: Path):
        self.path = path
        try:
            if path.suffix == ".zip":
                self._file = zipfile.ZipFile(path)
                self._members = {member.filename: member for member in self._file.infolist()}
            else:
                self._file = tarfile.open(path, "r:")  # not compressed, or the error would list every method in lines
                self._members = {member.name: member for member in self._file if member.isfile()}
        except TORN as error:
            raise unreadable(path, error) or InputError(
                f"{path}: expected a whole archive, got one that cannot be read ({error}); fetch it again."
            ) from error

    def __enter__(self) -> "Contents":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, name: str) -> bytes:
        """All bytes of the file `name`."""
        if name not in self._members:
            raise InputError(f"{self.path}: expected {name} in it, found no such file; fetch the archive again.")
        member = self._members[name]
        try:
            return self._file.read(member) if isinstance(member, zipfile.ZipInfo) else self._file.extractfile(member).read()
        except (*TORN, MemoryError) as error:
            said = f"{self.path}: {name} in it cannot be read ({error}); fetch the archive again."
            raise unreadable(self.path, error) or InputError(said) from error
