"""Running the book's notebooks, each only when something it depends on has changed.

Inside: `execute` (all notebooks of a profile, in order), `ExecutionError`, and the stamp that decides.

A notebook is run again when its cells, the code it imports (code_hash.py), the shipped figures and records, the pins
or the data have changed. Its outputs replace the earlier ones only when every cell has succeeded.
"""

import hashlib
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from yolo_core.study.code_hash import code_hash, modules
from yolo_core.study.numbers import write_json
from yolo_core.study.paths import ROOT

PACKAGES = ("torch", "torchvision", "lightning-fabric", "numpy", "pandas", "matplotlib", "plotly", "papermill", "jupyter-book")

# A kernel talks of its transport and of being stopped; what goes wrong in a cell is told by the cell.
QUIET = ["--IPKernelApp.log_level=50"]

# glibc hands large blocks back to the system when they are freed and asks for them anew a moment later: on a CPU a training spends up to a
# third of its time so. These keep them; other systems pass the names over. Results do not change.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**32), "MALLOC_TRIM_THRESHOLD_": str(2**32), "MALLOC_TOP_PAD_": str(2**26)}


class ExecutionError(RuntimeError):
    """A notebook stopped: which, at which cell, with what error, and the command that runs it again."""


def execute(notebooks: list[str], profile: str, out: Path, prepare: Callable[[str], object], root: Path = ROOT) -> dict[str, dict]:
    """Bring `out/notebooks/*.ipynb` up to date and return the execution record, by notebook, as in `out/execution.json`.

    `notebooks` are paths relative to `root`. If any has to run, `prepare(profile)` first sees to the data. Kernels start in `root`,
    with YOLO_PROFILE and YOLO_NUMBERS set, and get the parameter `profile`; one at a time, since training uses every core. Raises
    ExecutionError at the first cell that fails; what ran before it is kept, so the next call goes on from there.
    """
    journal = out / "execution.json"
    record = json.loads(journal.read_text(encoding="utf-8")) if journal.exists() else {}
    data = data_key(profile, root)
    keys = {name: source_key(root / name, profile, root) for name in notebooks}
    stale = [name for name in notebooks if not _done(record.get(name, {}), keys[name], data, out, name)]
    if stale:
        prepare(profile)
        data = data_key(profile, root)
    for name in notebooks:
        # Asked again: the data may have been there all along, or have come back as they were.
        if name in stale and not _done(record.get(name, {}), keys[name], data, out, name):
            seconds = _run(name, profile, out, root, f"{name} ({notebooks.index(name) + 1}/{len(notebooks)})")
            record[name] = {"key": keys[name], "data": data, "seconds": round(seconds, 1), **_circumstances()}
            write_json(journal, {name: record[name] for name in notebooks if name in record})
    return {name: record[name] for name in notebooks}


def _done(entry: dict, key: str, data: str, out: Path, name: str) -> bool:
    return (entry.get("key"), entry.get("data")) == (key, data) and output(out, name).exists() and numbers_of(out, name).exists()


def output(out: Path, name: str) -> Path:
    """Where the executed notebook lies."""
    return out / name


def numbers_of(out: Path, name: str) -> Path:
    """The folder of the numbers that a notebook published; it is there, perhaps empty, once the notebook has run."""
    return out / "numbers" / Path(name).with_suffix("").as_posix().replace("/", "-")


def source_key(notebook: Path, profile: str, root: Path = ROOT) -> str:
    """sha256 over what the outputs follow from, data apart: cells, profile, imported code, shipped JSON, records, pins."""
    cells = [[cell["cell_type"], "".join(cell["source"])] for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]]
    shipped = [*(root / "yolo_core").rglob("*.json"), *(f for f in (root / "records").rglob("*") if f.is_file()), root / "constraints.txt"]
    parts = [cells, profile, code_hash(modules(notebook, root=root), root=root), tree_hash(shipped, root)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def data_key(profile: str, root: Path = ROOT) -> str:
    """Names and sizes of the profile's data files: cheap even for VOC 2012. Runs are keyed by their content (voc.py).

    Only the VOC tree itself: caches beside it come and go.
    """
    files = sorted((f for f in (root / "_build" / "data" / profile / "VOCdevkit").rglob("*") if f.is_file()), key=str)
    lines = (f"{f.relative_to(root).as_posix()} {f.stat().st_size}\n" for f in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def tree_hash(files: Iterable[Path], root: Path) -> str:
    """sha256 over the files' names, relative to `root`, and content; files that are not there are passed over."""
    digest = hashlib.sha256()
    for file in sorted(set(files), key=str):
        if file.is_file():
            digest.update(f"{file.relative_to(root).as_posix()}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def _run(name: str, profile: str, out: Path, root: Path, title: str) -> float:
    """Run one notebook; on success move its outputs and its numbers into place, and return the seconds it took."""
    import papermill  # slow, and not needed when nothing has changed

    target, numbers = output(out, name), numbers_of(out, name)
    draft, fresh = target.with_name(f".{target.name}"), numbers.with_name(f".{numbers.name}")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    bar = {"desc": title, "file": sys.stdout, "mininterval": 0.1 if sys.stdout.isatty() else 60, "dynamic_ncols": True}
    settings = {
        "YOLO_PROFILE": profile,
        "YOLO_NUMBERS": str(fresh),
        "JUPYTER_PREFER_ENV_PATH": "1",  # this environment's kernel, not one of the same name in the home folder
        "JUPYTER_PLATFORM_DIRS": "1",
        "PYTHONHASHSEED": "0",
        **KEEP_MEMORY,
    }
    started = time.monotonic()
    try:
        with environment(settings):
            # kernel_name: this environment's Python, whatever kernel the notebook was last saved with
            options = {"progress_bar": bar, "kernel_name": "python3", "extra_arguments": QUIET}
            papermill.execute_notebook(root / name, draft, parameters={"profile": profile}, cwd=root, **options)
    except Exception as error:  # nbclient and papermill raise many kinds: a cell's error, a dead kernel, a notebook that is none
        failed = out / "failed" / Path(name).name
        failed.parent.mkdir(parents=True, exist_ok=True)
        if draft.exists():
            draft.replace(failed)
        raise ExecutionError(f"{name}{_what(error)}. Run it again with: make book PROFILE={profile}") from error
    seconds = time.monotonic() - started
    _clean(draft)
    shutil.rmtree(numbers, ignore_errors=True)
    fresh.replace(numbers)
    draft.replace(target)
    return seconds


def _what(error: Exception) -> str:
    """ ", cell 3 (`first line`): ValueError: message", from papermill's or any other exception."""
    if not hasattr(error, "cell_index"):
        return f": {type(error).__name__}: {str(error).strip().splitlines()[-1] if str(error).strip() else 'no message'}"
    first = next((line for line in error.source.splitlines() if line.strip()), "").strip()
    return f", the code cell [{error.exec_count}] that begins `{first}`: {error.ename}: {error.evalue.strip()}"


def _clean(notebook: Path) -> None:
    """Make an executed notebook fit for a page.

    Dropped is what differs from run to run or fetches from the network: papermill's clock and paths, widget states. Hidden are the
    cell of parameters and the one papermill injects after it. A picture shown with `display(fig, metadata={"image/png": {"alt": ...}})`
    keeps its description: MyST-NB looks for it in the cell's metadata.
    """
    content = json.loads(notebook.read_text(encoding="utf-8"))
    for metadata in [content["metadata"], *(cell["metadata"] for cell in content["cells"])]:
        for unwanted in ("papermill", "widgets", "execution"):
            metadata.pop(unwanted, None)
    for cell in content["cells"]:
        if {"injected-parameters", "parameters"} & set(cell["metadata"].get("tags", [])):
            cell["metadata"]["tags"] = [*cell["metadata"]["tags"], "remove-cell"]
        described = []
        # A widget (a progress bar) is dropped whole: its text says where it stood at the start.
        widget = "application/vnd.jupyter.widget-view+json"
        if "outputs" in cell:
            cell["outputs"] = [shown for shown in cell["outputs"] if widget not in shown.get("data", {})]
        for shown in cell.get("outputs", []):
            described += [m["alt"] for m in shown.get("metadata", {}).values() if isinstance(m, dict) and "alt" in m]
        if described:
            cell["metadata"].setdefault("mystnb", {}).setdefault("image", {}).setdefault("alt", " ".join(described))
    notebook.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _circumstances() -> dict[str, object]:
    """When and on what a notebook ran: for the status page."""
    return {
        "executed": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "packages": {name: version(name) for name in PACKAGES},
    }


@contextmanager
def environment(settings: dict[str, str]) -> Iterator[None]:
    """Environment variables for the time of a block."""
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)
