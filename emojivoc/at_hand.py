"""EmojiVOC where a profile looks for it.

Inside: `at_hand`.
"""

import shutil
from contextlib import nullcontext
from functools import partial
from pathlib import Path

from emojivoc.emoji import DRAWN, generate
from groundwork.code_hash import code_hash, modules
from groundwork.locks import alone


def at_hand(folder: Path, train: int, val: int, size: int, own: bool, progress: bool = True) -> None:
    """Draw `train` + `val` scenes of `size` x `size` pixels into `folder`, unless they lie there.

    own: a folder of the project's build, where they are drawn anew when the code that draws them has changed. In any other folder nothing
    is removed, and nothing is written where they lie already: it may be one that can only be read. InputError as of `generate`.
    """
    draw, stamp = partial(generate, folder, train, val, size=size, seed=0), folder / "made_by.txt"
    if not own:
        lie_there = (folder / DRAWN).exists()
        with nullcontext() if lie_there else alone(folder):
            draw(progress=progress and not lie_there)
        return
    made = f"{code_hash(modules('emojivoc.emoji'))} {train} {val} {size}"

    def stale() -> bool:
        return not stamp.exists() or stamp.read_text(encoding="utf-8") != made

    if stale():
        with alone(folder):
            if stale():  # whoever was waited for has not drawn them
                _remove_drawn(folder, stamp)
                draw(progress=progress)
                stamp.write_text(made, encoding="utf-8")


def _remove_drawn(folder: Path, stamp: Path) -> None:
    """What an earlier call has drawn, and nothing else; the stamp goes last, so that one that was killed is gone on with."""
    if stamp.exists():
        for name in ("VOCdevkit", ".cache"):
            shutil.rmtree(folder / name, ignore_errors=True)
        for name in ("README.txt", DRAWN, stamp.name):
            (folder / name).unlink(missing_ok=True)
