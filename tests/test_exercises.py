"""The exercises: model solutions pass, planted mistakes are caught, and the notebooks give nothing away."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import pytest
import torch

from book.press import exercises
from book.press.exercises import FOLDER, SOLUTION, Wrong, expect, grade, names, write
from yolo_core.__main__ import main

# One slip a reader might make in each, and what the check says of it.
SLIPS = {
    "accumulation": ("len(part) / len(inputs)", "1 / len(list(inputs.split(micro_batch)))", "7 pictures in micro-batches of 3"),
    "ciou": ("/ (1 - iou + v)", "/ (1 - iou)", "the boxes"),
    "focal": ("(gamma + 2) * c.abs()", "2 * c.abs()", "autograd's gradient at c ="),
    "grid": ("min(int(x), S - 1)", "int(x)", "a grid of 7 x 7: expected"),
    "head": ("(hidden + 1) * outputs", "hidden * outputs", "1024 channels, 4096 units: expected 211547582, got 211546112"),
    "precision": ("prepend=0.0", "prepend=recall[0]", "area: hit, miss, hit with 2 objects: expected 0.833333, got 0.333333"),
    "root": ("(1 - (truth / predicted).sqrt())", "(1 - (predicted / truth).sqrt())", "the slope at the widths"),
    "suppression": ("<= threshold", "< threshold", "threshold of 0.6, which is no less than any overlap: expected [0, 1, 2, 3]"),
}


def solution(name: str) -> str:
    """The model solution's lines of one exercise."""
    return "\n".join(match.group() for match in SOLUTION.finditer((FOLDER / f"{name}.py").read_text()))


def fill(folder, name: str, old: str = "", new: str = "") -> None:
    """Fill in the notebook of an exercise with the model solution, `old` in it replaced."""
    notebook = nbformat.read(folder / f"{name}.ipynb", 4)
    answers = iter(match.group() for match in SOLUTION.finditer((FOLDER / f"{name}.py").read_text()))
    for cell in notebook.cells:
        cell.source = re.sub(r'^ *raise NotImplementedError\("your turn"\)$', lambda _: next(answers), cell.source, flags=re.MULTILINE)
        cell.source = cell.source.replace(old, new)
    nbformat.write(notebook, folder / f"{name}.ipynb")


def test_each_exercise_has_a_slip():
    assert names() == sorted(SLIPS)


@pytest.mark.parametrize("name", names())
def test_the_model_solution_passes(name):
    assert grade(name) == exercises.Grade(name, "right")


@pytest.mark.parametrize("name", names())
def test_a_notebook_with_the_model_solution_passes(name, tmp_path):
    write(tmp_path)
    fill(tmp_path, name)
    assert grade(name, tmp_path / f"{name}.ipynb") == exercises.Grade(name, "right")


@pytest.mark.parametrize("name", names())
def test_a_slip_is_caught_and_told_what_was_expected(name, tmp_path):
    old, new, said = SLIPS[name]
    assert old in solution(name)
    write(tmp_path)
    fill(tmp_path, name, old, new)
    found = grade(name, tmp_path / f"{name}.ipynb")
    assert found.verdict == "wrong" and said in found.said and "expected" in found.said and "\n" not in found.said


@pytest.mark.parametrize("name", names())
def test_a_notebook_as_written_is_not_yet_done_and_gives_no_line_of_the_solution_away(name, tmp_path):
    write(tmp_path)
    text = (tmp_path / f"{name}.ipynb").read_text()
    nbformat.validate(nbformat.reads(text, 4))
    cells = "\n".join(cell.source for cell in nbformat.reads(text, 4).cells)
    lines = [line.strip() for line in solution(name).splitlines() if line.strip() not in ("# solution", "# end")]
    assert lines and [line for line in lines if line in cells] == []
    assert "def check" not in cells and "# %%" not in cells and "solution" not in cells
    assert "NotImplementedError" in cells and cells.startswith("# ")
    assert grade(name, tmp_path / f"{name}.ipynb").verdict == "not yet done"


def test_an_empty_notebook_and_a_missing_one_are_not_yet_done(tmp_path):
    nbformat.write(nbformat.v4.new_notebook(), tmp_path / "grid.ipynb")
    assert grade("grid", tmp_path / "grid.ipynb").verdict == "not yet done"
    assert grade("focal", tmp_path / "focal.ipynb").verdict == "not yet done"


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("def dense_parameters(S, B, C, channels, hidden): return", "expected 211547582, got None"),
        ("def dense_parameters(S, B, C, channels, hidden): return 1 / 0", "it stops with ZeroDivisionError: division by zero"),
        ("def dense_parameters(", "it stops with SyntaxError: '(' was never closed (head.ipynb, line 1)"),
        ("%matplotlib inline\nprint('hello')\nraise SystemExit", "it stops with SystemExit"),
        ("import pytest\npytest.fail('not the second case')", "it stops with Failed: not the second case"),
        ("class Stop(BaseException): ...\nraise Stop('a\\nb')", "it stops with Stop: a b"),
        ("raise KeyboardInterrupt", "it stops with KeyboardInterrupt"),
        ("import os; os._exit(0)", "it ends the process that runs it"),
        ("input()", "it stops with"),
        ("class Bad(Exception):\n    def __str__(self): return self.args[3]\nraise Bad()", "it stops with Bad: ..."),
        ("def dense_parameters(*_): raise NotImplementedError('addmm on bools')", "it stops with NotImplementedError: addmm on bools"),
    ],
)
def test_code_that_breaks_is_wrong_in_a_sentence(tmp_path, capfd, cell, said):
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)]), tmp_path / "head.ipynb")
    found = grade("head", tmp_path / "head.ipynb")
    assert found.verdict == "wrong" and said in found.said
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "leaves",
    ["torch.set_default_dtype(torch.float64)", "torch.Tensor.sqrt = None\ntorch.set_grad_enabled(False)\nimport os; os._exit(0)"],
)
def test_what_one_notebook_does_to_torch_or_to_its_process_changes_no_other_grade(tmp_path, leaves):
    write(tmp_path)
    for name in names():
        fill(tmp_path, name)
    first = nbformat.read(tmp_path / f"{names()[0]}.ipynb", 4)
    first.cells.append(nbformat.v4.new_code_cell(f"import torch\n{leaves}"))
    nbformat.write(first, tmp_path / f"{names()[0]}.ipynb")
    assert [found.verdict for found in exercises.grade_all(tmp_path)[1:]] == ["right"] * (len(names()) - 1)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[1]", b'{"cells": [{"cell_type": "code"}]}', b"\xff", b"[" * 100_000, None], ids=lambda x: repr(x)[:50]
)
def test_a_notebook_that_cannot_be_read_is_wrong_and_costs_no_other_its_grade(tmp_path, content):
    write(tmp_path)
    fill(tmp_path, "head")
    (tmp_path / "grid.ipynb").unlink()
    (tmp_path / "grid.ipynb").mkdir() if content is None else (tmp_path / "grid.ipynb").write_bytes(content)
    found = {grade.name: grade for grade in exercises.grade_all(tmp_path)}
    assert found["grid"].verdict == "wrong" and "expected a notebook (JSON with cells), and it cannot be read" in found["grid"].said
    assert found["head"].verdict == "right"


def commands_in(process: int) -> list[str]:
    """What the processes that a process has started are called by."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [Path(f"/proc/{child}/cmdline").read_text() for child in children]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are listed by Linux")
def test_ctrl_c_while_grading_is_one_sentence(tmp_path):
    """Pressed while the process that starts others still imports torch, as a reader would who has thought better of it."""
    write(tmp_path)
    fill(tmp_path, "ciou")
    command = [sys.executable, "-m", "yolo_core", "exercises", "--out", str(tmp_path), "--check"]
    own: dict = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    own |= {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.default_int_handler)}  # in the background it is ignored
    with subprocess.Popen(command, cwd=FOLDER.parent, **own) as grading:
        while not any("forkserver" in told for told in commands_in(grading.pid)):
            time.sleep(0.02)
        os.killpg(grading.pid, signal.SIGINT)
        out, error = grading.communicate(timeout=120)
        assert out == "" and error.startswith("error: interrupted") and error.count("\n") == 1 and grading.returncode == 130


def test_a_notebook_that_runs_in_jupyter_runs_here(tmp_path):
    write(tmp_path)
    fill(tmp_path, "head")
    notebook = nbformat.read(tmp_path / "head.ipynb", 4)
    for cell in notebook.cells:
        cell.source = "%%time\n" * ("def dense_parameters" in cell.source) + cell.source
    more = ["%timeit -n 1 -r 1 dense_parameters(7, 2, 20, 512, 64)", "%%bash\necho loud; cat", "dense_parameters?", "7", "assert _ == 7"]
    more += ["listed = !echo two words\nassert len(listed) == 1", "%%capture out\n%matplotlib inline\nprint(3)", "assert '3' in out.stdout"]
    more += ["rest = (\n    7\n    % 4\n)\nassert rest == 3", "%prun -q dense_parameters(7, 2, 20, 512, 64)", "display(rest)"]
    more += ["%autosave 60\n%connect_info", "from mine import three\nassert three == 3", "open('beside.txt', 'w').close()"]
    more += ["import asyncio\nawait asyncio.sleep(0)", "from IPython import get_ipython\nassert get_ipython().user_ns is globals()"]
    notebook.cells += [nbformat.v4.new_code_cell(text) for text in more]
    nbformat.write(notebook, tmp_path / "head.ipynb")
    (tmp_path / "mine.py").write_text("three = 3")
    assert grade("head", tmp_path / "head.ipynb") == exercises.Grade("head", "right")
    assert (tmp_path / "beside.txt").exists()


def with_cell(folder, name: str, cell: str) -> Path:
    """The notebook of an exercise, filled in, and a last cell of the reader's own."""
    write(folder)
    fill(folder, name)
    notebook = nbformat.read(folder / f"{name}.ipynb", 4)
    notebook.cells.append(nbformat.v4.new_code_cell(cell))
    nbformat.write(notebook, folder / f"{name}.ipynb")
    return folder / f"{name}.ipynb"


@pytest.mark.parametrize("name", names())
def test_a_check_takes_the_functions_asked_for_from_a_notebook_and_no_other_name(name, tmp_path):
    """Neither an import that the reader has no use for, nor what a scratch cell has called by a word of Python's or of the check's."""
    words = "bools boxes check expect found generator grid max list int float len range sum torch np rng wanted Grid"
    asked = re.findall(r"^def (\w+)", "".join(t for k, t in exercises._cells(FOLDER / f"{name}.py") if k is None), re.MULTILINE)
    own = f"import types\nfor _name in {asked}:\n    _of = globals()[_name]\n"
    own += "    globals()[_name] = types.FunctionType(_of.__code__, dict(globals()), _name, _of.__defaults__)\n"
    shadows = "".join(f"{word} = 7\n" for word in words.split())
    assert grade(name, with_cell(tmp_path, name, f"{own}{shadows}")) == exercises.Grade(name, "right")


def test_a_thread_that_never_ends_costs_no_grade(tmp_path):
    left = with_cell(tmp_path, "head", "import threading, time\nthreading.Thread(target=time.sleep, args=(10**6,)).start()")
    assert grade("head", left) == exercises.Grade("head", "right")


@pytest.mark.parametrize("word", ["exit()", "quit"])
def test_a_notebook_ends_where_it_says_so(tmp_path, word):
    assert grade("head", with_cell(tmp_path, "head", word)) == exercises.Grade("head", "right")


def test_no_process_that_a_notebook_has_started_outlives_its_grade(tmp_path):
    started = f"import subprocess\nopen({str(tmp_path / 'pid')!r}, 'w').write(str(subprocess.Popen(['sleep', '600']).pid))"
    assert grade("head", with_cell(tmp_path, "head", started)).verdict == "right"
    stat, until = Path("/proc") / (tmp_path / "pid").read_text() / "stat", time.monotonic() + 60
    while stat.exists() and stat.read_text().split()[2] != "Z":
        assert time.monotonic() < until, "it is told to end, which takes a moment"
        time.sleep(0.05)


def test_two_that_write_the_exercises_at_once_both_end_well(tmp_path, monkeypatch):
    write_one = exercises._write

    def late(*words):
        monkeypatch.setattr(exercises, "_write", write_one)
        write(tmp_path / "mine")
        write_one(*words)

    monkeypatch.setattr(exercises, "_write", late)
    assert write(tmp_path / "mine") == dict.fromkeys(names(), False)


def test_a_loop_that_never_ends_is_wrong_after_a_while(tmp_path, monkeypatch):
    monkeypatch.setattr(exercises, "LONGEST", 3.0)
    assert grade("head", with_cell(tmp_path, "head", "while True: pass")).said == "it has not ended after 0.05 minutes"


def test_a_notebook_that_ends_its_process_leaves_nothing_among_the_temporary_files(tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    assert grade("head", with_cell(tmp_path, "head", "import os; os._exit(0)")).verdict == "wrong"
    assert list((tmp_path / "temporary").iterdir()) == []


def test_no_room_for_temporary_files_is_told_with_the_way_out(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(
        exercises.InputError, match=r"temporary files cannot be written \(.*\); free some space, or name a folder of a short path by TMPDIR"
    ):
        grade("head", with_cell(tmp_path, "head", "1"))


def test_a_row_that_is_a_fraction_is_wrong(tmp_path):
    write(tmp_path)
    fill(tmp_path, "grid", "return row, column, target", "return y, x, target")
    assert "row and column of the box" in grade("grid", tmp_path / "grid.ipynb").said


def test_the_command_writes_once_keeps_the_readers_work_and_grades_it(tmp_path, capsys):
    out = tmp_path / "mine"
    assert main(["exercises", "--out", str(out)]) == 0
    first = {file.name: file.read_bytes() for file in out.iterdir()}
    assert set(first) == {f"{name}.ipynb" for name in names()} and f"{len(first)} notebooks written" in capsys.readouterr().out
    again = tmp_path / "again"
    write(again)
    assert {file.name: file.read_bytes() for file in again.iterdir()} == first, "equal sources are equal bytes"

    assert main(["exercises", "--out", str(out), "--check"]) == 0
    assert capsys.readouterr().out.count("not yet done\n") == len(first) + 1
    fill(out, "grid")
    assert main(["exercises", "--out", str(out), "--check"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"^grid +right$", said, re.MULTILINE) and f"1 right, 0 wrong, {len(first) - 1} not yet done" in said

    filled = (out / "grid.ipynb").read_bytes()
    (out / "head.ipynb").unlink()
    assert main(["exercises", "--out", str(out)]) == 0
    assert "1 notebooks written" in capsys.readouterr().out and (out / "grid.ipynb").read_bytes() == filled

    fill(out, "head", *SLIPS["head"][:2])
    assert main(["exercises", "--out", str(out), "--check"]) == 1
    assert re.search(r"^head +wrong: S = 7, .*expected 211547582, got 211546112$", capsys.readouterr().out, re.MULTILINE)


def test_grading_a_folder_without_notebooks_is_refused(tmp_path, capsys):
    assert main(["exercises", "--out", str(tmp_path), "--check"]) == 2
    assert f"exercises --out {tmp_path}" in capsys.readouterr().err, "the folder that was asked for, not another's"


def test_whole_numbers_are_held_exactly_and_others_within_rounding():
    expect(3, 3, "a count")
    expect([0.1 + 0.2], [0.3], "a sum")
    with pytest.raises(Wrong, match="a count: expected 100000000, got 100000001"):
        expect(100000001, 100000000, "a count")
    with pytest.raises(Wrong, match=r"a list: expected \[1, 2\], got \[1\]"):
        expect([1], [1, 2], "a list")
    with pytest.raises(Wrong, match=r"many: expected the shape \[9\], got \[1\]"):
        expect([1], list(range(9)), "many")
    with pytest.raises(Wrong, match=r"many, at \[9\]: expected 9, got 0"):
        expect([*range(9), 0], list(range(10)), "many")
    with pytest.raises(Wrong, match="expected 1, got 1.00"):
        expect(torch.tensor(1.006, dtype=torch.bfloat16), 1.0, "coarse numbers")
    with pytest.raises(Wrong, match="expected 0.5, got nan"):
        expect(float("nan"), 0.5, "a number")


def test_exercises_that_are_not_there_are_refused(tmp_path):
    with pytest.raises(exercises.InputError, match="expected exercises"):
        names(tmp_path)


def test_a_leaked_solution_would_be_seen(tmp_path):
    """The search for lines of the solution bites: without its end mark the solution stays in the notebook."""
    shutil.copy(FOLDER / "head.py", tmp_path / "head.py")
    (tmp_path / "head.py").write_text((tmp_path / "head.py").read_text().replace("# end", "# finish"))
    write(tmp_path / "out", tmp_path)
    cells = json.loads((tmp_path / "out/head.ipynb").read_text())["cells"]
    assert "(hidden + 1) * outputs" in "".join("".join(cell["source"]) for cell in cells)


def test_a_link_of_the_readers_that_leads_nowhere_today_is_kept(tmp_path):
    """To a disk that is not mounted, for instance."""
    (tmp_path / "grid.ipynb").symlink_to(tmp_path / "unmounted/grid.ipynb")
    assert not write(tmp_path)["grid"]
    assert (tmp_path / "grid.ipynb").is_symlink() and grade("grid", tmp_path / "grid.ipynb").verdict == "not yet done"


def test_advice_names_a_folder_with_a_space_as_a_shell_takes_it(tmp_path):
    with pytest.raises(exercises.InputError, match=f"exercises --out '{tmp_path}/my work'$"):
        exercises.grade_all(tmp_path / "my work")
