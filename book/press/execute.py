"""Running the book's notebooks, each only when something it depends on has changed.

Inside: `execute` (all notebooks of a profile), `noted` (what it has written down), and the stamp that decides.

A notebook is run again when its cells, the code it imports (code_hash.py), the shipped figures and records, the pins
or the data have changed. Without a GPU two run side by side, each on half of the cores.
"""

import hashlib
import json
import os
import platform
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from math import inf
from pathlib import Path

from book.press.notebook import numbers_of, output, run_notebook, stopped
from book.press.side_by_side import side_by_side
from groundwork.clock import clock
from groundwork.code_hash import NO_NOTEBOOK, PACKAGES, cells, code_hash, modules
from groundwork.environment import versions
from groundwork.errors import InputError, unreadable
from groundwork.files import files_under
from groundwork.paths import ROOT, data_folder
from groundwork.strict_json import write_json
from yolo_core.profiles import profile_of

SHOWN = ("torch", "torchvision", "lightning-fabric", "numpy", "pandas", "matplotlib", "plotly", "papermill", "jupyter-book")


def execute(
    notebooks: list[str], profile: str, out: Path, prepare: Callable[[str], object], root: Path = ROOT, reading: bool = False
) -> dict[str, dict]:
    """Bring `out/notebooks/*.ipynb` up to date and return the execution record, by notebook, as in `out/execution.json`.

    `notebooks` are paths relative to `root`. If any has to run, `prepare(profile)` first sees to the data. Kernels start in `root`,
    with YOLO_PROFILE and YOLO_NUMBERS set, and YOLO_READ where committed runs are read instead of trained, and get the parameter `profile`;
    those that took longest last time come first. Raises the
    ExecutionError of the first cell that fails, after the notebooks that were running beside it have ended; what ran well is kept, so
    the next call goes on from there.
    """
    record = noted(out)
    data = data_key(profile, root)
    keys = {name: source_key(root / name, profile, root) for name in notebooks}
    stale = [name for name in notebooks if not _done(record.get(name, {}), keys[name], data, out, name)]
    if stale:
        prepare(profile)
        data = data_key(profile, root)
        # Asked again: the data may have been there all along, or have come back as they were.
        stale = [name for name in stale if not _done(record.get(name, {}), keys[name], data, out, name)]
    if stale:
        longest_first = sorted(stale, key=lambda name: -record.get(name, {}).get("seconds", inf))
        for name, seconds in _run(longest_first, profile, out, root, reading):
            record[name] = {"key": keys[name], "data": data, "seconds": round(seconds, 1), **_circumstances()}
            write_json(out / "execution.json", {name: record[name] for name in notebooks if name in record})
    return {name: record[name] for name in notebooks}


def noted(out: Path) -> dict[str, dict]:
    """What `out/execution.json` says of each notebook; nothing where it is torn: they run again."""
    try:
        found = json.loads((out / "execution.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) and all(isinstance(entry, dict) for entry in found.values()) else {}


def _run(names: list[str], profile: str, out: Path, root: Path, reading: bool) -> Iterator[tuple[str, float]]:
    """Run notebooks and tell of each; yields (notebook, seconds) of those that end well. Raises the first failure once all have ended."""
    most, threads = shares()
    failure = None

    def calls() -> Iterator[tuple[str, Callable[[], float]]]:
        for name in names:
            print(f"{name}: begun", flush=True)
            yield name, partial(run_notebook, name, profile, out, root, threads, reading)

    for count, (name, outcome) in enumerate(side_by_side(calls(), most), start=1):
        if isinstance(outcome, Exception):
            print(f"{name}: failed; no other is begun", flush=True)
            if isinstance(outcome, ChildProcessError):
                outcome = stopped(name, f": {outcome}; was there too little memory?", profile, reading)
            failure = failure or outcome
        else:
            print(f"{name}: done in {clock(outcome)} ({count}/{len(names)})", flush=True)
            yield name, outcome
    if failure is not None:
        raise failure


def shares() -> tuple[int, int]:
    """(notebooks at a time, threads of each): two on half of the cores each, which are half as fast again on two cores as one on both; one
    where there is a GPU, or a single core.

    What is to run makes no difference, since a result's last bits may depend on the number of threads.
    """
    import torch  # slow, and not needed when nothing has changed

    threads = torch.get_num_threads()  # the cores, or OMP_NUM_THREADS
    most = 1 if torch.accelerator.is_available() or threads == 1 else 2
    return most, threads // most


def _done(entry: dict, key: str, data: str, out: Path, name: str) -> bool:
    return (entry.get("key"), entry.get("data")) == (key, data) and output(out, name).exists() and numbers_of(out, name).exists()


def source_key(notebook: Path, profile: str, root: Path = ROOT) -> str:
    """sha256 over what the outputs follow from, data apart: cells, profile, imported code, shipped JSON, records, pins. InputError
    for a file that is no notebook."""
    try:
        read = cells(notebook)
    except NO_NOTEBOOK as error:  # an empty file, say, or one with marks of a merge
        raise unreadable(notebook, error) or InputError(
            f"{notebook}: expected a notebook, got something else ({error}); mend it, or take it out of _toc.yml"
        ) from error
    data = [f for package in PACKAGES for f in files_under(root / package.replace(".", "/")) if f.suffix == ".json"]
    shipped = [*data, *files_under(root / "records"), root / "constraints.txt"]
    parts = [read, profile, code_hash(modules(notebook, root=root), root=root), tree_hash(shipped, root)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def data_key(profile: str, root: Path = ROOT) -> str:
    """Names and sizes of the profile's data files, wherever they lie: cheap even for VOC 2012. Runs are keyed by their content (voc.py).

    Only the VOC tree itself: caches beside it come and go.
    """
    folder = data_folder(profile_of(profile).on or profile, root)
    lines = []
    for file in files_under(folder / "VOCdevkit"):
        with suppress(FileNotFoundError):  # another build draws them anew
            lines.append(f"{file.relative_to(folder).as_posix()} {file.stat().st_size}\n")
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def tree_hash(files: Iterable[Path], root: Path) -> str:
    """sha256 over the files' names, relative to `root`, and content; files that are not there are passed over."""
    digest = hashlib.sha256()
    for file in sorted(set(files), key=str):
        if file.is_file():
            digest.update(f"{file.relative_to(root).as_posix()}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def _circumstances() -> dict[str, object]:
    """When and on what a notebook ran: for the status page."""
    return {
        "executed": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "packages": versions(SHOWN),
    }
