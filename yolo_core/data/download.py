"""Pascal VOC 2012, fetched by torchvision.

Inside: `download`.
"""

import socket
import tempfile
from pathlib import Path

from torchvision.datasets.utils import check_integrity, download_and_extract_archive
from torchvision.datasets.voc import DATASET_YEAR_DICT

from yolo_core.data.tree import BASE, Split
from yolo_core.errors import InputError

SILENCE = 30.0  # seconds without a byte after which the host counts as down; torchvision itself would wait for ever


def download(out: Path | str) -> str:
    """Put VOC 2012 trainval (2 GB, and 2 GB while unpacking) under `out`; returns a sentence that says what is there.

    Leaves a tree that exists alone. An archive already lying in `out`, fetched by hand, is used. It is unpacked aside
    and moved when whole. Raises `InputError` with the address, the checksum and the manual way where the host is down.
    """
    out = Path(out).expanduser()
    source = DATASET_YEAR_DICT["2012"]
    archive, tree = out / source["filename"], out / BASE
    if tree.exists():
        counts = ", ".join(f"{len(Split(out, split))} in {split}" for split in ("train", "val"))  # speaks up if broken
        return f"{tree} is there already ({counts} pictures; VOC 2012 has 5717 and 5823): nothing was downloaded."
    manual = f"fetch {source['url']} by other means (md5 {source['md5']}), put it at {archive} and run this again"
    lying = archive.exists()
    if lying and not check_integrity(str(archive), source["md5"]):
        raise InputError(f"{archive}: expected md5 {source['md5']}, got another; delete it, or {manual}.")
    waiting = socket.getdefaulttimeout()
    try:
        out.mkdir(parents=True, exist_ok=True)
        socket.setdefaulttimeout(SILENCE)
        with tempfile.TemporaryDirectory(prefix="unpacking-", dir=out) as scratch:
            download_and_extract_archive(source["url"], str(out), scratch, source["filename"], source["md5"])
            tree.parent.mkdir(exist_ok=True)
            (Path(scratch) / BASE).rename(tree)
    except (OSError, RuntimeError, EOFError) as error:  # URLError, timeouts and tar errors; torchvision's bad md5
        raise InputError(f"{out}: VOC 2012 could not be fetched and unpacked ({error}); {manual}.") from error
    finally:
        socket.setdefaulttimeout(waiting)
        if not lying and not check_integrity(str(archive), source["md5"]):
            archive.unlink(missing_ok=True)  # half an archive; a whole one stays for the next time
    return f"{tree} holds VOC 2012 now; {archive} is no longer needed."
