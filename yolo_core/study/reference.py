"""The committed records: every arm of the study over several seeds, so that a reader's one run has something to stand beside.

Inside: `PLAN`, `FOLDER`, `run_all`, `stored`.

`make reference` goes on where it was: what is stored under today's key is passed over. Each record is stored as its run ends,
whatever it says.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

from tqdm.auto import tqdm

from yolo_core.study import experiments
from yolo_core.study.paths import BUILD, ROOT
from yolo_core.study.records import Run, read_run

FOLDER = ROOT / "records"
SEEDS = (0, 1, 2)
TABLES = ("record.json", "curves.parquet", "epochs.parquet", "cells.parquet")

# In this order, so that a stop anywhere leaves a story: first what the verdicts on the focal loss need, then transfer, then the baseline.
PLAN: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("focal", ("mse", "focal", "focal-coupled")),
    ("focal", ("focal-literal-from-0.3", "focal-literal-from-0.6", "focal-literal", "focal-detached", "qfl")),
    ("transfer", ("frozen-random", "frozen-conv", "frozen-random-conv")),
    ("focal", ("mse-conv", "focal-conv")),
    ("baseline", ("compressed", "conv", "released")),
    ("focal", ("mse-sgd", "focal-sgd", "mse-unclipped", "focal-unclipped", "mse-sgd-unclipped", "focal-sgd-unclipped")),
    ("baseline", ("full", "low-coord", "image-centres", "low-coord-image-centres")),
    ("focal", ("focal-literal-from-0.9",)),
    ("transfer", ("scratch", "scratch-conv")),
)


def jobs(seeds: tuple[int, ...] = SEEDS) -> Iterator[tuple[str, str, int]]:
    """(experiment, arm, seed), all arms of a group before its next seed."""
    for name, arms in PLAN:
        for seed in seeds:
            yield from ((name, arm, seed) for arm in arms)


def run_all(profile: str, most: int | None = None) -> int:
    """Train and store what is missing, at most so many runs; returns how many were trained. tqdm tells the time that is left."""
    missing = [job for job in jobs() if not _is_stored(profile, *job)][:most]
    for name, arm, seed in tqdm(missing, desc="reference runs", unit="run"):
        out = BUILD / "reference" / f"{profile}-{name}-{arm}-{seed}"
        run = experiments.run(name, arm, profile, seed, progress=False, out=out)
        _store(run, place(profile, name, arm, seed))
        shutil.rmtree(out, ignore_errors=True)
    return len(missing)


def place(profile: str, name: str, arm: str, seed: int) -> Path:
    """Where a reference record lies."""
    return FOLDER / profile / f"{name}-{arm}-{seed}"


def _is_stored(profile: str, name: str, arm: str, seed: int) -> bool:
    folder = place(profile, name, arm, seed)
    return (folder / "record.json").exists() and read_run(folder).record["key"] == experiments.key_of(name, arm, profile, seed)


def _store(run: Run, folder: Path) -> None:
    """Copy what is small beside its place, and move it there."""
    draft = folder.with_name(f".{folder.name}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    for table in TABLES:
        if (run.folder / table).exists():
            shutil.copy2(run.folder / table, draft / table)
    shutil.rmtree(folder, ignore_errors=True)
    draft.rename(folder)


def stored(profile: str) -> list[Run]:
    """The committed runs of a profile, by name; weights are not among them."""
    return [read_run(path.parent) for path in sorted((FOLDER / profile).glob("*/record.json"))]
