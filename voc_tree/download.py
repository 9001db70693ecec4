"""Pascal VOC's official archives.

Inside: `voc_archive` (where one is published) and `download` (VOC 2012, whole).
"""

import os
import shutil
from pathlib import Path

from torchvision.datasets.utils import extract_archive
from torchvision.datasets.voc import DATASET_YEAR_DICT

from groundwork.archives import TORN, Archive, fetch
from groundwork.errors import InputError, unreadable
from groundwork.files import in_place_of
from voc_tree.tree import BASE, Split

SIZES = {"2007": 460_032_000, "2007-test": 451_020_800, "2012": 1_999_639_040}  # bytes


def voc_archive(year: str) -> Archive:
    """The archive of VOC "2007" (trainval), "2007-test" or "2012" (trainval), at the address and with the md5 that torchvision knows."""
    source = DATASET_YEAR_DICT[year]
    return Archive(source["url"], SIZES[year], source["md5"])


def download(out: Path | str) -> str:
    """Put VOC 2012 trainval (2 GB, and 2 GB while unpacking) under `out`; returns a sentence that says what is there.

    Leaves a tree that exists alone. An archive already lying in `out`, fetched by hand, is used; one that was half fetched is gone on
    with. It is unpacked aside and moved when whole. Raises `InputError` with the address, the checksum and the manual way where the
    host is down.
    """
    out = Path(os.path.expanduser(out))
    tree = out / BASE
    if tree.exists() and (not tree.is_dir() or any(tree.iterdir())):  # an empty folder is filled
        counts = ", ".join(f"{len(Split(out, split))} in {split}" for split in ("train", "val"))  # speaks up if broken
        return f"{tree} is there already ({counts} pictures; VOC 2012 has 5717 and 5823): nothing was downloaded."
    archive = fetch(voc_archive("2012"), out)
    with in_place_of(tree) as folder:
        try:
            extract_archive(str(archive), str(folder))
            for part in (folder / BASE).iterdir():
                part.rename(folder / part.name)
            shutil.rmtree(folder / BASE.parts[0])
        except TORN as error:
            said = f"{archive}: could not be unpacked ({error}); make room for 2 GB, and run this again."
            raise unreadable(archive, error) or InputError(said) from error
    return f"{tree} holds VOC 2012 now; {archive} is no longer needed."
