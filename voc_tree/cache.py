"""The uint8 cache: a split decoded and resized once, kept on disk, memory-mapped ever after.

Inside: `Cache`, `open_cache`, which builds it when it is missing, torn or stale, and `write_cache`, for pictures that came another way.

One folder for each (data, size): `images.npy` (uint8 [N, 3, size, size]), `targets.safetensors` and `meta.json`. It is
named by a cheap signature of the tree (ids, file sizes, modification times), so changed data get a new one; what was read
is told by the `fingerprint` in meta.json, over the contents. Nothing in it is pickled. It can be deleted at any time.
"""

import hashlib
import json
import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm

from groundwork.errors import InputError, may_be_whole
from groundwork.files import ANOTHER, in_utf8, scratch, shared
from voc_tree.annotation import Annotation, read_annotation
from voc_tree.picture import read_image
from voc_tree.tree import Split, size_fault

SCRATCH = ".building-cache-"  # how the folder of a cache in the making is called
OPTION = "as the cache (--cache of train and eval; a book's lies in _build)"
INSTEAD = f"{ANOTHER} {OPTION}"
TORN = (OSError, EOFError, ValueError, KeyError, TypeError, SafetensorError)  # what reading a torn cache raises
VERSION = 1  # of the layout below and of the meaning of what is in it: raise it and old caches are left alone
CHUNK = 64  # pictures decoded between two writes: bounds the memory, keeps every thread busy


@dataclass(frozen=True)
class Cache:
    """An opened cache: `images` maps the file (copy on write), `targets` are as `VocData.targets`."""

    images: UInt8[Tensor, "n 3 s s"]
    targets: list[dict[str, Tensor]]
    fingerprint: str
    reencoded: str = ""  # how the pictures differ from the files that the fingerprint is of; empty where they do not


def open_cache(split: Split, size: int, folder: Path) -> Cache:
    """Open the cache of `split` at `size` inside `folder`, building it first where there is none.

    A cache that cannot be read back whole is built again, with a warning. Raises `InputError` on the first bad picture
    or annotation, and where `folder` cannot be written; neither leaves anything behind.
    """
    place = in_utf8(folder, f"another place {OPTION}") / _signature(split, size)
    if place.exists():
        try:
            return _load(place, len(split), size)
        except TORN as error:
            if may_be_whole(error):
                raise InputError(f"{place}: the cache cannot be read ({error}); mend that, or remove it to have it built again.") from error
            warnings.warn(f"{place}: the cache is torn ({error}); building it again", stacklevel=3)
            shutil.rmtree(place, ignore_errors=True)
    try:
        _build(split, size, place)
        return _load(place, len(split), size)
    except InputError:  # of a picture, say
        raise
    except TORN as error:  # torn still: one that this process may not remove
        said = getattr(error, "strerror", None) or error
        raise InputError(f"{folder}: the cache cannot be written ({said}); free some space, or name {INSTEAD}.") from error


def write_cache(
    split: Split,
    size: int,
    folder: Path,
    pictures: Iterable[UInt8[np.ndarray, "3 s s"]],
    table: dict[str, Tensor],
    fingerprint: str,
    reencoded: str,
) -> None:
    """Write the cache of `split` at `size` from pictures that were brought along and not decoded from its files, which may then be empty:
    `table` as `_pack` makes it, `fingerprint` that of the files, `reencoded` in how far the pictures are not theirs, in words."""
    rest = {"fingerprint": fingerprint, "reencoded": reencoded}
    _write(folder / _signature(split, size), split.ids, size, pictures, lambda: (table, rest))


def _signature(split: Split, size: int) -> str:
    """A name for (data, size) that costs one stat a file."""
    files = [(name, os.stat(image), os.stat(xml)) for name, image, xml in _files(split)]
    parts = [(name, a.st_size, a.st_mtime_ns, b.st_size, b.st_mtime_ns) for name, a, b in files]
    return hashlib.sha256(json.dumps([VERSION, size, parts]).encode()).hexdigest()[:24]


def _files(split: Split) -> list[tuple[str, str, str]]:
    return list(zip(split.ids, split.images, split.annotations, strict=True))


def _build(split: Split, size: int, place: Path) -> None:
    """Decode the split into its cache."""
    files = _files(split)
    digest = hashlib.sha256(f"{size}\n".encode())
    annotations: list[Annotation] = []

    def pictures() -> Iterator[np.ndarray]:
        with (
            ThreadPoolExecutor(os.cpu_count()) as pool,  # Pillow decodes and resizes outside the interpreter's lock
            tqdm(desc=f"reading {split.file.stem}", total=len(files), delay=2, leave=False) as bar,
        ):
            for start in range(0, len(files), CHUNK):
                for annotation, image, read in pool.map(lambda file: _read(*file, size), files[start : start + CHUNK]):
                    annotations.append(annotation)
                    digest.update(read)
                    yield image.numpy()
                    bar.update()

    _write(place, split.ids, size, pictures(), lambda: (_pack(annotations), {"fingerprint": digest.hexdigest()}))


def _write(
    place: Path,
    ids: list[str],
    size: int,
    pictures: Iterable[np.ndarray],
    rest: Callable[[], tuple[dict[str, Tensor], dict[str, Any]]],
) -> None:
    """Write the cache beside its place and move it there whole: a reader sees all of it or none. `rest` gives the table of targets and
    what meta.json says besides, once the last picture is written."""
    with scratch(place.parent, SCRATCH, INSTEAD) as folder:
        _sweep(place.parent)
        whole = folder / "cache"
        whole.mkdir()
        with open(whole / "images.npy", "wb") as out:  # plain writes: a full disk is an error here, a crash in a map
            header = {"descr": "|u1", "fortran_order": False, "shape": (len(ids), 3, size, size)}
            np.lib.format.write_array_header_1_0(out, header)
            for picture in pictures:
                out.write(picture)
        table, said = rest()
        save_file(table, whole / "targets.safetensors")
        shared(whole / "targets.safetensors")
        meta = {"version": VERSION, "size": size, "ids": ids, **said}
        (whole / "meta.json").write_text(json.dumps(meta), encoding="utf-8")
        try:
            whole.rename(place)
        except OSError:
            if not place.exists():  # where it exists, another process was faster and has built the same
                raise


def _sweep(folder: Path) -> None:
    """Remove what builds killed more than a day ago left behind, and nothing else: the folder may be anybody's."""
    for old in folder.glob(f"{SCRATCH}*"):
        with suppress(FileNotFoundError):  # another process's, which has just finished
            if {inside.name for inside in old.glob("*")} <= {"cache"} and old.stat().st_mtime < time.time() - 86_400:
                shutil.rmtree(old, ignore_errors=True)


def _read(name: str, image: str, xml: str, size: int) -> tuple[Annotation, Tensor, bytes]:
    """One picture with its annotation, and the digest of all that was read."""
    annotation = read_annotation(xml)
    pixels, original = read_image(image, size)
    if fault := size_fault(xml, annotation, original):
        raise InputError(fault)
    digest = hashlib.sha256(f"{name}\n".encode())
    for path in (xml, image):
        with open(path, "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return annotation, pixels, digest.digest()


def _pack(annotations: list[Annotation]) -> dict[str, Tensor]:
    """All objects in one table, with boxes xyxy in [0, 1] of the picture's width and height, and how many each has."""
    scaled = [a.boxes / torch.tensor([a.width, a.height, a.width, a.height]) for a in annotations]
    return {
        "boxes": torch.cat(scaled).clamp(0, 1),  # M 4
        "labels": torch.cat([a.labels for a in annotations]),  # M
        "difficult": torch.cat([a.difficult for a in annotations]),  # M
        "counts": torch.tensor([len(a.labels) for a in annotations]),  # N
    }


def _load(place: Path, length: int, size: int) -> Cache:
    """Open a cache folder; any exception that `open_cache` names means that it is torn."""
    meta = json.loads((place / "meta.json").read_text(encoding="utf-8"))
    images = np.load(place / "images.npy", mmap_mode="c", allow_pickle=False)  # torch wants a writable array
    with open(place / "targets.safetensors", "rb"):  # of one that may not be read, safetensors says that it is not there
        table = load_file(place / "targets.safetensors")
    counts = table.pop("counts").tolist()
    if images.shape != (length, 3, size, size) or images.dtype != np.uint8 or len(counts) != length:
        raise ValueError(f"expected {length} pictures of {size} px, got {images.shape} and {len(counts)} targets")
    columns = {key: table[key].split(counts) for key in ("boxes", "labels", "difficult")}
    targets = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return Cache(torch.from_numpy(images), targets, str(meta["fingerprint"]), str(meta.get("reencoded", "")))
