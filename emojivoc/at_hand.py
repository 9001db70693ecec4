"""EmojiVOC where a profile looks for it.

Inside: `at_hand`.
"""

import hashlib
import os
import tempfile
from contextlib import nullcontext
from functools import partial
from pathlib import Path

from emojivoc.emoji import DRAWN, generate, lacks
from groundwork.code_hash import code_hash, modules
from groundwork.drafts import drafted
from groundwork.errors import InputError, writing
from groundwork.locks import alone

CACHE = ".cache"  # what is decoded from the scenes: VocData's, and made anew where it is missing


def at_hand(folder: Path, train: int, val: int, size: int, own: bool, progress: bool = True) -> None:
    """Draw `train` + `val` scenes of `size` x `size` pixels into `folder`, unless they lie there.

    own: a folder of the project's build, where they are drawn anew when the code that draws them has changed. In any other folder nothing
    is removed, and nothing is written where they lie already: it may be one that can only be read. InputError as of `generate`, and where
    something in the build's folder has been put there, changed or taken away since they were drawn.
    """
    folder = Path(os.path.realpath(folder))  # where a link leads
    draw, stamp = partial(generate, folder, train, val, size=size, seed=0), folder / "made_by.txt"
    if not own:
        lie_there = (folder / DRAWN).exists()
        with nullcontext() if lie_there else alone(folder):
            draw(progress=progress and not lie_there)
        return
    made = f"{code_hash(modules('emojivoc.emoji'))} {train} {val} {size}".encode()

    def stale() -> bool:
        return not stamp.exists() or stamp.read_bytes().partition(b"\n")[0] != made or bool(lacks(folder, train + val))

    if stale():
        with alone(folder), writing(folder):
            if stale():  # whoever was waited for has not drawn them
                if stamp.exists():
                    _remove_drawn(folder, stamp)
                lie_there = (folder / DRAWN).exists()  # drawn by another command: what of them is as drawn nobody knows
                draw(progress=progress)
                with drafted(stamp) as draft:
                    draft.write_bytes(b"\n".join([made, *([] if lie_there else _listed(folder, stamp))]))


def _remove_drawn(folder: Path, stamp: Path) -> None:
    """Remove scenes that other code has drawn. InputError, and nothing is removed, where they are not as they were drawn: to the byte."""
    changed = {*stamp.read_bytes().split(b"\n")[1:]} ^ {*_listed(folder, stamp)}
    if changed:
        first = os.fsdecode(min(line.split(b" ", 1) for line in changed)[1])  # a file, before the folder around it
        said = f"{folder / first} is not as it was drawn, or was put there; move {folder} away, and they are drawn anew"
        raise InputError(f"{folder}: the scenes in it are of an earlier version or not whole, and {said}")
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent, ignore_cleanup_errors=True) as gone:
        folder.rename(Path(gone) / folder.name)  # at once, so that a kill leaves nothing half removed under the name


def _listed(folder: Path, stamp: Path) -> list[bytes]:
    """A line for everything in a folder but its cache and its stamp: what it is, and its name."""
    names = sorted((path, path.relative_to(folder)) for path in folder.rglob("*") if path != stamp)
    return [b"%s %s" % (_is(path).encode(), os.fsencode(name)) for path, name in names if name.parts[0] != CACHE]


def _is(path: Path) -> str:
    """The sha256 of a file, or what else it is."""
    if path.is_symlink() or not path.is_file():
        return "link" if path.is_symlink() else "folder"
    return hashlib.sha256(path.read_bytes()).hexdigest()
