"""Add to committed records the tables that trial/register/kept.py names and they lack, by training their runs once more.

    python scripts/kept_tables.py remedies/base focal/mse-conv

For the profile pocket and seed 0, of which `make read` shows its pages. A run is trained as `make book` trains it, or loaded if it has
been. Nothing is written unless each of its figures is that of the record, to the last bit: on other scenes, or another processor, they may
differ. record.json is not touched. A reference run takes one thread (OMP_NUM_THREADS=1).
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from groundwork.answer import answer
from groundwork.drafts import drafted
from groundwork.errors import InputError, writing
from groundwork.tables import write_table
from trial import watch
from trial.looks import LOOKS
from trial.page import DETECTION
from trial.register import committed
from trial.register.kept import KEPT, keeps
from yolo_core import experiments
from yolo_core.training.records import read_run


def differing(record: Mapping[str, Any], run: Mapping[str, Any], inside: str = "") -> Iterator[str]:
    """The names of a record's figures that a run has otherwise, or not at all."""
    for name, value in record.items():
        if isinstance(value, Mapping):
            yield from differing(value, run.get(name, {}), f"{inside}{name} ")
        elif repr(value) != repr(run.get(name)):
            yield f"{inside}{name}"


def add(profile: str, name: str, arm: str, seed: int = 0, records: Path | None = None) -> list[str]:
    """Add what the record of a run lacks; returns the names of the tables. InputError where the figures differ."""
    stored = read_run(committed.place(profile, name, arm, seed, records))
    wanted = [table for table in KEPT if keeps(table, profile, stored.config) and not (stored.folder / f"{table}.parquet").exists()]
    if not wanted:
        return []
    run = watch.run(name, arm, profile, seed)
    if others := list(differing(stored.metrics, run.metrics)):
        raise InputError(
            f"{stored.folder}: {', '.join(others[:3])} and {len(others)} in all: figures differ from a new run's; nothing was added"
        )
    data, added = experiments.profile_data(profile, progress=False), []
    for table in wanted:
        if (run.folder / f"{table}.parquet").exists():
            found = run.table(table)
        elif table in LOOKS:
            found = LOOKS[table](run, *data)
        elif table == "detections":  # none: an empty table says so
            found = pd.DataFrame(columns=DETECTION, dtype=float)
        else:  # of the other family of detectors
            continue
        file = stored.folder / f"{table}.parquet"
        with writing(file), drafted(file) as draft:
            write_table(found, draft)
        added.append(table)
    return added


def main(arms: list[str]) -> int:
    for arm in arms:
        added = add("pocket", *arm.split("/"))
        print(f"{arm}: {', '.join(added) or 'nothing'} added", flush=True)
    return 0


if __name__ == "__main__":
    if not sys.argv[1:] or any(arm.count("/") != 1 for arm in sys.argv[1:]):
        sys.exit(__doc__)
    sys.exit(answer(lambda: main(sys.argv[1:])))
