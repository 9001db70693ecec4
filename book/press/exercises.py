"""Exercises in code: notebooks without their solutions, and one check for both the model solution and the reader's.

Inside: `names`, `write`, `grade` -> `Grade`, `grade_all`, `expect` (what a check says), `Wrong`.

`exercises/<name>.py` is one exercise in cells that begin with `# %%`: text, code, and last `# %% [check]`, which defines `check()`. Lines
from `# solution` to `# end` are the model solution; the notebook holds a NotImplementedError in their place, and no check.
"""

import contextlib
import io
import os
import re
import reprlib
import shlex
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_all_start_methods, get_context
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from groundwork.code_hash import source
from groundwork.errors import InputError, writing
from groundwork.files import in_place_of
from groundwork.paths import ROOT
from groundwork.processes import end_with_caller

FOLDER = ROOT / "exercises"
CELL = re.compile(r"^# %%(?: \[(?P<kind>\w+)\])?\n", re.MULTILINE)
SOLUTION = re.compile(r"^(?P<indent> *)# solution\n.*?^(?P=indent)# end$", re.MULTILINE | re.DOTALL)
SHORT = 8  # so many numbers are shown, of more the worst one
BLANK = r'\g<indent>raise NotImplementedError("your turn")'
RUN_BY_MAGIC = ("capture", "prun", "time")  # these run the code that they are given; it may define what a check asks for


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
    found = sorted(file.stem for file in folder.glob("*.py"))
    if not found:
        raise InputError(f"{folder}: expected exercises, NAME.py, and there are none; run from a checkout of the project.")
    return found


def write(out: Path, folder: Path = FOLDER) -> dict[str, bool]:
    """Write each exercise as `out/<name>.ipynb`, without its solution; by name, whether it was written. One that is there is the
    reader's work, and is kept; so is a link that leads nowhere today."""
    written = {name: not os.path.lexists(out / f"{name}.ipynb") for name in names(folder)}
    if any(written.values()):  # a disk that can only be read is no fault where nothing is to be written
        with writing(out), in_place_of(out) as draft:
            for name in (name for name, new in written.items() if new):
                _write(draft / f"{name}.ipynb", folder / f"{name}.py")
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
    """Run the exercise's check on the notebook `answer`, or on the model solution if none is given. What the answer prints is dropped.

    "not yet done": no such notebook, a function that is missing, or one that still raises NotImplementedError.
    """
    cells = _cells(folder / f"{name}.py")
    model = "\n".join(text for kind, text in cells if kind is None)
    check = "\n".join(text for kind, text in cells if kind == "check")
    undone = Grade(name, "not yet done")
    if answer is not None and not answer.exists():
        return undone
    space: dict[str, object] = {"__name__": name}
    space["get_ipython"] = lambda: _Magics(space)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(model if answer is None else source(answer), str(answer or name), "exec"), space)
            if not set(re.findall(r"^def (\w+)", model, re.MULTILINE)) <= set(space):
                return undone
            exec(compile(check, f"the check of {name}", "exec"), space)
            space["check"]()
    except NotImplementedError:
        return undone
    except (Wrong, InputError) as error:
        return Grade(name, "wrong", str(error))
    except (Exception, SystemExit) as error:  # whatever a reader's code may raise
        return Grade(name, "wrong", f"it stops with {type(error).__name__}: {error}")
    return Grade(name, "right")


class _Magics:
    """What magics find without a notebook around them: code that they would run is run, all else is left undone."""

    def __init__(self, space: dict[str, object]) -> None:
        self._space = space

    def run_line_magic(self, name: str, line: str, *_: object) -> None:
        if name in RUN_BY_MAGIC:
            exec(line, self._space)

    def run_cell_magic(self, name: str, _: str, cell: str) -> None:
        self.run_line_magic(name, cell)

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


def grade_all(answers: Path, folder: Path = FOLDER) -> list[Grade]:
    """A grade for each exercise, from the notebooks in `answers`, each of which runs in a process of its own: what one does to torch, or to
    its process, is no other's. InputError for a folder without any."""
    if not any(answers.glob("*.ipynb")):
        how = f"python -m yolo_core exercises --out {shlex.quote(str(answers))}"
        raise InputError(f"{answers}: expected the notebooks of the exercises, and there are none; write them with: {how}")
    return [_grade_apart(name, answers / f"{name}.ipynb", folder) for name in names(folder)]


def _grade_apart(name: str, answer: Path, folder: Path) -> Grade:
    context = get_context("forkserver" if "forkserver" in get_all_start_methods() else "spawn")
    context.set_forkserver_preload([__name__])  # torch is imported once, and not for each
    with ProcessPoolExecutor(1, context, end_with_caller) as process:
        try:
            return process.submit(grade, name, answer, folder).result()
        except BrokenProcessPool:
            return Grade(name, "wrong", "it ends the process that runs it")


def expect(got: object, wanted: object, what: str) -> None:
    """Wrong, with a sentence, unless the numbers `got` are those `wanted`: whole ones exactly, others within rounding."""
    try:
        found, goal = _tensor(got), _tensor(wanted)
    except (TypeError, ValueError, RuntimeError):
        raise Wrong(f"{what}: expected {_shown(wanted)}, got {reprlib.repr(got)}") from None
    if found.shape != goal.shape and max(found.numel(), goal.numel()) > SHORT:
        raise Wrong(f"{what}: expected the shape {list(goal.shape)}, got {list(found.shape)}")
    try:
        torch.testing.assert_close(found, goal, check_dtype=False)
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
