"""EmojiVOC where a profile looks for it.

Inside: `at_hand`.
"""

import re
import shutil
from contextlib import nullcontext
from functools import partial
from pathlib import Path

from emojivoc.emoji import DRAWN, generate
from groundwork.code_hash import code_hash, modules
from groundwork.errors import InputError
from groundwork.locks import alone

OURS = re.compile(
    r"README\.txt|emojivoc\.json|made_by\.txt|\.cache/.*"
    r"|VOCdevkit/VOC2012/(JPEGImages/(train|val)_\d{6}\.jpg|Annotations/(train|val)_\d{6}\.xml|ImageSets/Main/(train|val|trainval)\.txt)",
    re.DOTALL,
)


def at_hand(folder: Path, train: int, val: int, size: int, own: bool, progress: bool = True) -> None:
    """Draw `train` + `val` scenes of `size` x `size` pixels into `folder`, unless they lie there.

    own: a folder of the project's build, where they are drawn anew when the code that draws them has changed. In any other folder nothing
    is removed, and nothing is written where they lie already: it may be one that can only be read. InputError as of `generate`, and where
    something in the build's folder has been put there, or changed, since they were drawn.
    """
    draw, stamp = partial(generate, folder, train, val, size=size, seed=0), folder / "made_by.txt"
    if not own:
        lie_there = (folder / DRAWN).exists()
        with nullcontext() if lie_there else alone(folder):
            draw(progress=progress and not lie_there)
        return
    made = f"{code_hash(modules('emojivoc.emoji'))} {train} {val} {size}".encode()

    def stale() -> bool:
        return not stamp.exists() or stamp.read_bytes() != made

    if stale():
        with alone(folder):
            if stale():  # whoever was waited for has not drawn them
                if stamp.exists():
                    _remove_drawn(folder, stamp)
                draw(progress=progress)
                stamp.write_bytes(made)


def _remove_drawn(folder: Path, stamp: Path) -> None:
    """Remove scenes that other code has drawn, the stamp last, so that a removal that was killed is gone on with. InputError, and nothing
    is removed, where something else is among them."""
    laid = stamp.stat().st_mtime_ns
    for file in folder.rglob("*"):
        name = file.relative_to(folder).as_posix()
        if file.is_file() and (not OURS.fullmatch(name) or (file.lstat().st_mtime_ns > laid and not name.startswith(".cache/"))):
            said = f"{file} is not as it was drawn, or was put there; move {folder} away, and they are drawn anew"
            raise InputError(f"{folder}: the scenes in it are of an earlier version, and {said}")
    for name in ("VOCdevkit", ".cache"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in ("README.txt", DRAWN, stamp.name):
        (folder / name).unlink(missing_ok=True)
