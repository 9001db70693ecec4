"""One notebook, run by papermill.

Inside: `run_notebook`, `ExecutionError`, `command` (that builds a book), `output` and `numbers_of` (where what it makes lies).

Its outputs replace the earlier ones only when every cell has succeeded.
"""

import json
import os
import shutil
import time
from pathlib import Path

from groundwork.locks import AT_WORK

# A kernel talks of its transport and of being stopped; what goes wrong in a cell is told by the cell.
QUIET = ["--IPKernelApp.log_level=50", "--IPKernelApp.exec_lines=__import__('logging').getLogger('tornado').setLevel('CRITICAL')"]

# glibc hands large blocks back to the system when they are freed and asks for them anew a moment later: on a CPU a training spends up to a
# third of its time so. These keep them; other systems pass the names over. Results do not change.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**32), "MALLOC_TRIM_THRESHOLD_": str(2**32), "MALLOC_TOP_PAD_": str(2**26)}


class ExecutionError(RuntimeError):
    """A notebook stopped: which, at which cell, with what error, and the command that runs it again."""


def stopped(name: str, what: str, profile: str, reading: bool = False) -> ExecutionError:
    """The one sentence that a build says of a notebook that stopped."""
    return ExecutionError(f"{name}{what}. Run it again with: {command(profile, reading)}")


def command(profile: str, reading: bool = False) -> str:
    """What builds the book of a profile, or the one that is read."""
    return "make read" if reading else f"make book PROFILE={profile}"


def output(out: Path, name: str) -> Path:
    """Where the executed notebook lies."""
    return out / name


def numbers_of(out: Path, name: str) -> Path:
    """The folder of the numbers that a notebook published; it is there, perhaps empty, once the notebook has run."""
    return out / "numbers" / Path(name).with_suffix("").as_posix().replace("/", "-")


def run_notebook(name: str, profile: str, out: Path, root: Path, threads: int, reading: bool = False) -> float:
    """Run one notebook; on success move its outputs and its numbers into place, and return the seconds it took.

    `threads`: how many its computations use. `reading`: it shows committed runs, and trains none. For a process of its own: sets
    environment variables, which the kernel takes over. Raises ExecutionError at the first cell that fails, and lays the notebook as it
    stood then under `out/failed`.
    """
    target, numbers = output(out, name), numbers_of(out, name)
    draft, fresh = target.with_name(f".{target.name}"), numbers.with_name(f".{numbers.name}")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    os.environ |= {
        "YOLO_PROFILE": profile,
        "YOLO_NUMBERS": str(fresh),
        "YOLO_BOOK": "1",  # trial/figures draws for narrow screens as well
        "YOLO_READ": str(int(reading)),  # trial/page.py asks for it
        "OMP_NUM_THREADS": str(threads),  # torch, MKL and OpenBLAS ask for it
        "JUPYTER_PREFER_ENV_PATH": "1",  # this environment's kernel, not one of the same name in the home folder
        "JUPYTER_PLATFORM_DIRS": "1",
        "IPYTHONDIR": str(out / "ipython"),  # not the home folder's: its start-up scripts are the reader's, and it may be read only
        "PYTHONHASHSEED": "0",
        **KEEP_MEMORY,
    }
    import papermill  # looks at the environment as it is imported

    # kernel_name: this environment's Python, whatever kernel the notebook was last saved with
    options = {"progress_bar": False, "kernel_name": "python3", "extra_arguments": QUIET, "stderr_file": _Waiting(name)}
    started = time.monotonic()
    try:
        paths = (str(path).replace("{", "{{").replace("}", "}}") for path in (root / name, draft))  # papermill fills braces in
        papermill.execute_notebook(*paths, parameters={"profile": profile}, cwd=root, **options)
    except Exception as error:  # nbclient and papermill raise many kinds: a cell's error, a dead kernel, a notebook that is none
        failed = out / "failed" / Path(name).name
        failed.parent.mkdir(parents=True, exist_ok=True)
        if draft.exists():
            draft.replace(failed)
        raise stopped(name, _what(error), profile, reading) from error
    seconds = time.monotonic() - started
    _clean(draft)
    shutil.rmtree(numbers, ignore_errors=True)
    fresh.replace(numbers)
    draft.replace(target)
    return seconds


class _Waiting:
    """Where a kernel's standard error goes: that it waits for another process is told while the build runs, the rest stays on its page."""

    def __init__(self, name: str) -> None:
        self.name = name

    def write(self, text: str) -> None:
        for line in text.splitlines():
            if AT_WORK in line:
                print(f"{self.name}: {line}", flush=True)

    def flush(self) -> None:
        """As papermill asks of a file."""


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
