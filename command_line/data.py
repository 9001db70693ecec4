"""Data: made, fetched, checked.

Inside: a dataclass a command. Heavy imports (torch, sphinx) wait inside the commands, so that `--help` answers at once.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class DataEmoji:
    """Make EmojiVOC: VOC's twenty classes drawn with emoji, as a VOCdevkit tree."""

    out: Path
    """Folder to make."""
    train: int = 2400
    """Scenes to train on."""
    val: int = 600
    """Scenes to score on."""
    size: int = 224
    """Side of a scene, px."""
    seed: int = 0

    def __call__(self) -> int:
        from emojivoc.__main__ import make

        make(self.out, self.train, self.val, self.size, self.seed)
        return 0


@dataclass(frozen=True)
class DataVoc:
    """Download Pascal VOC 2012 (2 GB)."""

    out: Path
    """Folder to put VOCdevkit into."""

    def __call__(self) -> int:
        from voc_tree.download import download

        print(download(self.out))
        return 0


@dataclass(frozen=True)
class DataPhotographs:
    """Make the photographs, 240 px, from the archives of VOC 2007, VOC 2012 and COCO 2017 val, downloading those that lack (4 GB)."""

    out: Path
    """Folder to put VOCdevkit into."""
    archives: Path | None = None
    """Folder where archives lie and downloads go; archives in the --out folder if not given."""

    def __call__(self) -> int:
        from voc_tree import photographs

        print(photographs.make(self.out, self.archives))
        return 0


@dataclass(frozen=True)
class DataCheck:
    """Check a VOC tree: one line a fault, exit status 1 if there is any."""

    dir: tyro.conf.Positional[Path]

    def __call__(self) -> int:
        from voc_tree.tree import check

        faults = check(self.dir)
        print("\n".join(faults) if faults else f"{self.dir}: no fault found")
        return 1 if faults else 0


Data = (
    Annotated[DataEmoji, tyro.conf.subcommand("emoji")]
    | Annotated[DataVoc, tyro.conf.subcommand("voc")]
    | Annotated[DataPhotographs, tyro.conf.subcommand("photographs")]
    | Annotated[DataCheck, tyro.conf.subcommand("check")]
)


@dataclass(frozen=True)
class DataCommand:
    """Make, fetch or check data."""

    action: tyro.conf.OmitSubcommandPrefixes[Data]

    def __call__(self) -> int:
        return self.action()
