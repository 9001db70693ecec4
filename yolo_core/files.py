"""Files on the user's disk: whole or not there, and never written over what lies there.

Inside: `told` (what a disk refuses, in a sentence), `draft` (a folder that takes its place when it is whole), `free` (a name that is).
"""

import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from safetensors import SafetensorError

from yolo_core.errors import InputError


@contextmanager
def told(out: Path) -> Iterator[None]:
    """InputError for what the system says against writing `out`: a full disk, one that can only be read, a right that is missing."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        said = getattr(error, "strerror", None) or error
        raise InputError(f"{out}: cannot be written ({said}); free some space, or name a place that can be written to") from error


@contextmanager
def draft(out: Path) -> Iterator[Path]:
    """A new folder, whose content lies in the folder `out` at the end: all of it or, where something goes wrong, nothing. InputError
    where it cannot be written. A file in `out` of a name that is also in the draft is replaced."""
    made = [place for place in (out, *out.parents) if not place.exists()]
    with told(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out if out.is_dir() else out.parent))
        try:
            yield folder
            if out.is_dir():
                for entry in list(folder.iterdir()):
                    os.replace(entry, out / entry.name)
            else:
                folder.chmod(0o755)  # mkdtemp's are for their owner alone
                os.replace(folder, out)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            for place in made:
                with suppress(OSError):  # it holds something
                    place.rmdir()


def free(out: Path) -> Path:
    """`out`, or out-2, out-3 ..., the first where nothing lies; warns if it is another."""
    number, place = 1, out
    while place.exists() and not (place.is_dir() and not any(place.iterdir())):
        number += 1
        place = out.with_name(f"{out.name}-{number}")
    if place != out:
        warnings.warn(f"{out}: something lies there by now; the run is written to {place}", stacklevel=3)
    return place
