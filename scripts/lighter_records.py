"""Rewrite a profile's committed records as new ones are stored: the tables that trial/register/kept.py names, as small as they get.

    python scripts/lighter_records.py pocket

record.json is not touched. A table that is kept reads back the same to the bit; one that is not is removed. Nothing is changed where a
record holds a file that kept.py says nothing of, or cannot be read. What is light already stays as it is.
"""

import sys
from pathlib import Path

import pandas as pd

from groundwork.answer import answer
from groundwork.drafts import drafted
from groundwork.errors import InputError, writing
from groundwork.tables import write_table
from trial.register import committed
from trial.register.kept import KEPT, keeps
from yolo_core.training.records import Run


def parted(run: Run, profile: str) -> tuple[list[Path], list[Path]]:
    """The tables of a record that are kept, and those that are not. InputError for a file that is neither, and for a torn table."""
    kept, dropped = [], []
    for path in sorted(run.folder.iterdir()):
        if path.suffix == ".parquet" and path.stem in KEPT:
            run.table(path.stem)
            (kept if keeps(path.stem, profile, run.config) else dropped).append(path)
        elif path.name != "record.json":
            raise InputError(f"{path}: kept.py does not say whether this is kept; name it there or move it away; nothing was changed")
    return kept, dropped


def rewrite(path: Path) -> None:
    """A table in its smallest form, moved into place once it reads back the same."""
    table = pd.read_parquet(path)
    with writing(path), drafted(path) as draft:
        write_table(table, draft)
        pd.testing.assert_frame_equal(pd.read_parquet(draft), table, check_exact=True)


def lighten(profile: str) -> tuple[int, int]:
    """Rewrite every record of a profile; returns the bytes that its folder took before and takes now."""
    before, tables = size(profile), [parted(run, profile) for run in committed.stored(profile)]
    for kept, dropped in tables:
        for path in kept:
            rewrite(path)
        for path in dropped:
            with writing(path):
                path.unlink()
    return before, size(profile)


def size(profile: str) -> int:
    return sum(path.stat().st_size for path in committed.records_folder(profile).rglob("*") if path.is_file())


def main(profile: str) -> int:
    before, after = lighten(profile)
    print(f"{committed.records_folder(profile)}: {before / 1e6:.1f} MB before, {after / 1e6:.1f} MB now")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(answer(lambda: main(sys.argv[1])))
