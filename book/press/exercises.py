"""Exercises in code: notebooks without their solutions, and one check for both the model solution and the reader's.

Inside: `names`, `write`, `grade` -> `Grade`, `grade_all`, `expect` (what a check says), `Wrong`.

`exercises/<name>.py` is one exercise in cells that begin with `# %%`: text, code, and last `# %% [check]`, which defines `check()`. Lines
from `# solution` to `# end` are the model solution; the notebook holds a NotImplementedError in their place, and no check.
"""

import ast
import os
import re
import reprlib
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_all_start_methods, get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from groundwork.answer import spelled
from groundwork.code_hash import code_cells
from groundwork.errors import InputError, may_be_whole, writing
from groundwork.files import in_place_of, visible
from groundwork.paths import ROOT
from groundwork.processes import end_with_caller

FOLDER = ROOT / "exercises"
CELL = re.compile(r"^# %%(?: \[(?P<kind>\w+)\])?\n", re.MULTILINE)
SOLUTION = re.compile(r"^(?P<indent> *)# solution\n.*?^(?P=indent)# end$", re.MULTILINE | re.DOTALL)
SHORT = 8  # so many numbers are shown, of more the worst one
TURN = "your turn"
BLANK = rf'\g<indent>raise NotImplementedError("{TURN}")'
UNDONE = "not yet done"
# What every notebook or most checks import, for seconds: once for all of them.
IMPORTED = ("IPython.core.interactiveshell", "ipykernel.zmqshell", "torchvision.ops")
ENDED = "it ends the process that runs it"
GRACE = 2.0  # seconds to tidy up: a pool of processes leaves semaphores
LONGEST = 600.0  # seconds: a loop that never ends costs the others no grade
ROUNDING = {"rtol": 1.3e-6, "atol": 1e-5}  # what torch allows float32, whatever a reader's numbers are kept in


class Wrong(AssertionError):
    """A solution that computes something else: of what, what was expected, what came."""


@dataclass(frozen=True)
class Grade:
    """What became of one exercise; `said` tells of a wrong one what was expected."""

    name: str
    verdict: Literal["right", "wrong", "not yet done"]
    said: str = ""


def names(folder: Path = FOLDER) -> list[str]:
    """The exercises of a folder, by name. InputError where there is none."""
    found = [file.stem for file in visible(folder, "*.py")]
    if not found:
        raise InputError(f"{folder}: expected exercises, NAME.py, and there are none; run from a checkout of the project.")
    return found


def write(out: Path, folder: Path = FOLDER) -> dict[str, bool]:
    """Write each exercise as `out/<name>.ipynb`, without its solution; by name, whether it was written. One that is there is the
    reader's work, and is kept; so is a link that leads nowhere today."""
    written = {name: not os.path.lexists(out / f"{name}.ipynb") for name in names(folder)}
    if any(written.values()):  # a disk that can only be read is no fault where nothing is to be written
        try:
            with writing(out), in_place_of(out) as draft:
                for name in (name for name, new in written.items() if new):
                    _write(draft / f"{name}.ipynb", folder / f"{name}.py")
        except InputError:
            if not all(os.path.lexists(out / f"{name}.ipynb") for name in written):  # by now: another process has written them
                raise
            return dict.fromkeys(written, False)
    return written


def _write(file: Path, exercise: Path) -> None:
    import nbformat

    made = nbformat.v4.new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}})
    for i, (kind, text) in enumerate(_cells(exercise)):
        if kind == "markdown":
            lines = (line.removeprefix("#").removeprefix(" ") for line in text.splitlines())
            made.cells.append(nbformat.v4.new_markdown_cell("\n".join(lines), id=f"{file.stem}-{i}"))
        elif kind is None:
            made.cells.append(nbformat.v4.new_code_cell(SOLUTION.sub(BLANK, text), id=f"{file.stem}-{i}"))
    nbformat.write(made, file)


def grade(name: str, answer: Path | None = None, folder: Path = FOLDER) -> Grade:
    """Run the exercise's check on the notebook `answer`, or on the model solution if none is given.

    A notebook runs cell by cell, as Jupyter runs it, in its own folder and in a process of its own: what it does to torch, or to its
    process, is no other's, and what it prints is dropped. "not yet done": no such notebook, a function that is missing, or one that still
    says it is your turn. InputError where there is no room for temporary files.
    """
    cells = _cells(folder / f"{name}.py")
    model = "\n".join(text for kind, text in cells if kind is None)
    check = "\n".join(text for kind, text in cells if kind == "check")
    if answer is None:
        return _graded(name, model, check)
    if not answer.exists():
        return Grade(name, UNDONE)
    try:
        answered = code_cells(answer)
    except InputError as error:
        if error.__cause__ is not None and may_be_whole(error.__cause__):  # what was not read has no grade
            raise
        return Grade(name, "wrong", str(error))
    try:
        with tempfile.TemporaryDirectory() as scratch:  # for IPython's own files, in the place of the reader's
            return _apart(name, model, check, answered, answer.absolute(), scratch)
    except OSError as error:
        said = error.strerror or error  # a socket's path has a hundred letters at most
        raise InputError(
            f"temporary files cannot be written ({said}); free some space, or name a folder of a short path by TMPDIR"
        ) from error


def _apart(name: str, *asked: Any) -> Grade:
    """`_graded` in a process of its own, which is not waited for once it has said its grade: a thread of the reader's may never end."""
    context = _context()
    ours, its = context.Pipe(duplex=False)
    process = context.Process(target=_say, args=(its, name, *asked))
    with _interrupted_later():
        process.start()
    its.close()
    try:
        if not wait([ours, process.sentinel], LONGEST):
            return Grade(name, "wrong", f"it has not ended after {LONGEST / 60:g} minutes")
        grade = ours.recv() if ours.poll() else Grade(name, "wrong", ENDED)
        process.join(GRACE)
        return grade
    except EOFError:
        return Grade(name, "wrong", ENDED)
    finally:
        process.kill()
        with suppress(AttributeError, OSError):  # Windows has no groups, and there may be nobody left
            os.killpg(process.pid, signal.SIGKILL)
        process.join()


def _context() -> BaseContext:
    """How a process is started: from one that has imported torch, where the system knows how to."""
    if "forkserver" not in get_all_start_methods():
        return get_context("spawn")
    from multiprocessing import resource_tracker  # which not every system can import

    resource_tracker.ensure_running()  # now: as it starts it lets Ctrl-C through, whatever holds it back
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__, *IMPORTED])
    return context


@contextmanager
def _interrupted_later() -> Iterator[None]:
    """Ctrl-C waits until a process has started: half started, it would tell of it in a traceback of its own."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _say(its: Connection, name: str, model: str, check: str, cells: Sequence[str], file: Path, scratch: str) -> None:
    """The process of one notebook."""
    end_with_caller()
    if hasattr(os, "setsid"):  # a group of its own, which ends with it
        os.setsid()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nowhere, stream)
    os.environ["MPLBACKEND"] = "agg"  # a figure is no window
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    os.chdir(file.parent)
    sys.path.insert(0, "")  # as in Jupyter: what lies beside the notebook can be imported
    its.send(_graded(name, model, check, file.name, lambda: _run(cells, scratch)))


def _graded(name: str, model: str, check: str, file: str = "", run: Callable[[], dict[str, object]] = dict) -> Grade:
    """The grade of what `run` defines, the notebook `file`, or without one of the model solution. The check sees its functions alone:
    its other names are the model's."""
    space: dict[str, object] = {"__name__": name}
    try:
        exec(model, space)
        if file:
            answered = run()
            asked = re.findall(r"^def (\w+)", model, re.MULTILINE)
            if not set(asked) <= set(answered):
                return Grade(name, UNDONE)
            space |= {function: answered[function] for function in asked}
        exec(compile(check, f"the check of {name}", "exec"), space)
        space["check"]()
    except (Wrong, InputError) as error:
        return Grade(name, "wrong", str(error))
    except SyntaxError as error:
        return Grade(name, "wrong", f"it stops with {type(error).__name__}: {error.msg} ({file or name}, line {error.lineno})")
    except BaseException as error:  # whatever a reader's code may raise; pytest.fail is no Exception
        if isinstance(error, NotImplementedError) and error.args in ((), (TURN,)):
            return Grade(name, UNDONE)
        return Grade(name, "wrong", f"it stops with {type(error).__name__}: {_words(error)}")
    return Grade(name, "right")


def _words(error: BaseException) -> str:
    try:
        return " ".join(str(error).split())
    except Exception:  # a reader's own, which cannot say what it is
        return "..."


def _run(cells: Sequence[str], scratch: str) -> dict[str, object]:
    """What cells define, run by IPython, which knows magics, display, await and get_ipython. scratch: a folder for its own files."""
    from ipykernel.zmqshell import KernelMagics
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    class Shell(InteractiveShell):
        def enable_gui(self, gui: object = None) -> None:
            """There are no windows."""

        def ask_exit(self) -> None:
            """`exit` and `quit`: the notebook ends there."""
            self.exit_now = True

    shell = Shell.instance(config=Config(HistoryManager={"enabled": False}, InteractiveShell={"ipython_dir": scratch}))
    shell.register_magics(KernelMagics)
    for cell in cells:
        done = shell.run_cell(cell)
        if isinstance(done.error_before_exec, SyntaxError):
            ast.parse(shell.transform_cell(cell))  # Python says better what is wrong
        done.raise_error()
        if shell.exit_now:
            break
    return shell.user_ns


def grade_all(answers: Path, folder: Path = FOLDER) -> list[Grade]:
    """A grade for each exercise, from the notebooks in `answers`. InputError for a folder without any."""
    if os.path.lexists(answers) and not answers.is_dir():
        raise InputError(f"{answers}: expected the folder of the exercises' notebooks, and it is none; name another --out")
    if not answers.is_dir() or not any(file.suffix == ".ipynb" for file in answers.iterdir()):
        how = f"python -m yolo_core exercises --out {spelled(answers)}"
        raise InputError(f"{answers}: expected the notebooks of the exercises, and there are none; write them with: {how}")
    return [grade(name, answers / f"{name}.ipynb", folder) for name in names(folder)]


def expect(got: object, wanted: object, what: str) -> None:
    """Wrong, with a sentence, unless the numbers `got` are those `wanted`: whole ones exactly, others within rounding."""
    try:
        found, goal = _tensor(got), _tensor(wanted)
    except (TypeError, ValueError, RuntimeError):
        raise Wrong(f"{what}: expected {_shown(wanted)}, got {reprlib.repr(got)}") from None
    if found.shape != goal.shape and max(found.numel(), goal.numel()) > SHORT:
        raise Wrong(f"{what}: expected the shape {list(goal.shape)}, got {list(found.shape)}")
    try:
        rounding = ROUNDING if found.is_floating_point() or goal.is_floating_point() else {"rtol": 0.0, "atol": 0.0}
        torch.testing.assert_close(found, goal, check_dtype=False, **rounding)
    except AssertionError:
        if goal.numel() > SHORT:  # where it is worst
            at = int((found - goal).abs().nan_to_num(torch.inf).argmax())
            place = [int(i) for i in np.unravel_index(at, goal.shape)]
            what, found, goal = f"{what}, at {place}", found.flatten()[at], goal.flatten()[at]
        raise Wrong(f"{what}: expected {_shown(goal)}, got {_shown(found)}") from None


def _tensor(x: object) -> torch.Tensor:
    return x.detach() if isinstance(x, torch.Tensor) else torch.as_tensor(np.asarray(x))


def _shown(x: object) -> str:
    return re.sub(r"-?\d+\.\d+(e-?\d+)?", lambda number: f"{float(number[0]):.6g}", str(_tensor(x).tolist()))


def _cells(file: Path) -> list[tuple[str | None, str]]:
    """(kind, text) of each cell: "markdown", "check", None for code."""
    return list(_split(file.read_text(encoding="utf-8")))


def _split(text: str) -> Iterator[tuple[str | None, str]]:
    marks = list(CELL.finditer(text))
    for mark, end in zip(marks, [*(m.start() for m in marks[1:]), len(text)], strict=True):
        yield mark["kind"], text[mark.end() : end].strip()
