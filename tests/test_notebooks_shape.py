"""Notebooks hold prose, calls and figures: thin cells, no definitions, no installs, and outputs only where they are compared."""

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from book.press.publish import pages

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "notebooks").rglob("*.ipynb"))
NOTEBOOKS = [file.relative_to(ROOT).as_posix() for file in FILES if ".ipynb_checkpoints" not in file.parts]
LONGEST = 15  # a cell is shorter than this, in lines
WIDEST = 100  # columns of a line of code: what fits on the page
COMPARED = "nbval-check-output"  # the tag whose cell keeps its output: nbval compares it


def faults(notebook: dict) -> Iterator[str]:
    """One line for each thing a notebook of this book should not be; cells are counted from 1."""
    code = [(i, cell) for i, cell in enumerate(notebook["cells"], start=1) if cell["cell_type"] == "code"]
    if notebook["cells"][0]["cell_type"] != "markdown" or not "".join(notebook["cells"][0]["source"]).startswith("# "):
        yield "cell 1: a notebook begins with its title"
    if not code or "parameters" not in code[0][1]["metadata"].get("tags", []):
        yield "the first code cell has no tag `parameters`"
    elif 'os.environ.get("YOLO_PROFILE"' not in "".join(code[0][1]["source"]):
        yield "the first code cell does not take the profile from YOLO_PROFILE, which is how nbval says it"
    for i, cell in code:
        text = "".join(cell["source"])
        if len(text.splitlines()) >= LONGEST:
            yield f"cell {i}: {len(text.splitlines())} lines; a cell has under {LONGEST}"
        for line in text.splitlines():
            if len(line) > WIDEST:
                yield f"cell {i}: a line of {len(line)} columns; a page has room for {WIDEST}"
        if any(line.lstrip().startswith(("!", "%pip", "%conda", "%%bash", "%%sh")) for line in text.splitlines()):
            yield f"cell {i}: a shell command or an install"
        plain = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith(("%", "!")))
        if any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) for node in ast.walk(ast.parse(plain))):
            yield f"cell {i}: a definition; it belongs in yolo_core/"
        if ".detector()" in text and not any(fixed in text for fixed in ("manual_seed(", 'device("meta")')):
            yield f"cell {i}: a net of random weights that no seed fixes, so that every build shows other figures"
        if not text.strip():
            yield f"cell {i}: empty"
        compared = COMPARED in cell["metadata"].get("tags", [])
        if "NBVAL" in text:
            yield f"cell {i}: a mark for nbval in the code that a reader sees; the tag {COMPARED} says the same"
        if compared and (not cell["outputs"] or cell["execution_count"] is None):
            yield f"cell {i}: {COMPARED} without stored output and execution count, so nothing would be compared"
        if cell["outputs"] and not compared:
            yield f"cell {i}: stored output that nobody compares; clear it"
    if notebook["metadata"].get("kernelspec", {}).get("name") != "python3":
        yield "the kernel is not python3"


def test_the_book_has_notebooks():
    assert NOTEBOOKS


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_notebook_is_thin(name):
    assert list(faults(json.loads((ROOT / name).read_text(encoding="utf-8")))) == []


def test_every_notebook_is_in_the_book():
    assert sorted(page for page in pages(ROOT) if page.endswith(".ipynb")) == NOTEBOOKS


def notebook(*cells: str, outputs: list | None = None, count: int | None = None, tags: tuple[str, ...] = ()) -> dict:
    parameters = 'import os\n\nprofile = os.environ.get("YOLO_PROFILE", "pocket")'
    made = [{"cell_type": "markdown", "metadata": {}, "source": "# Title"}]
    made += [{"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": parameters, "outputs": [], "execution_count": None}]
    made += [
        {"cell_type": "code", "metadata": {"tags": [*tags]}, "source": s, "outputs": outputs or [], "execution_count": count} for s in cells
    ]
    return {"cells": made, "metadata": {"kernelspec": {"name": "python3"}}}


def test_a_thin_notebook_has_no_fault():
    stored = [{"output_type": "stream", "name": "stdout", "text": "1"}]
    assert list(faults(notebook("%config InlineBackend.figure_format = 'retina'\nprint(1)"))) == []
    assert list(faults(notebook("print(1)", outputs=stored, count=1, tags=(COMPARED,)))) == []


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("def f():\n    pass", "a definition"),
        ("class A:\n    pass", "a definition"),
        ("if True:\n    async def f(): ...", "a definition"),
        ("!pip install torch", "an install"),
        ("%pip install torch", "an install"),
        ("\n".join(["x = 1"] * LONGEST), "15 lines"),
        ("# NBVAL_CHECK_OUTPUT\nprint(1)", "a mark for nbval"),
        (f"x = '{'x' * WIDEST}'", "columns"),
        ("net = config.detector()", "no seed fixes"),
        ("  ", "empty"),
    ],
)
def test_a_planted_fault_is_found(cell, said):
    assert any(said in line for line in faults(notebook(cell)))


def test_a_cell_that_is_to_be_compared_and_holds_nothing_is_found():
    assert any("nothing would be compared" in line for line in faults(notebook("print(1)", tags=(COMPARED,))))


def test_a_missing_title_parameters_or_kernel_is_found():
    bare = notebook("print(1)")
    bare["cells"] = bare["cells"][2:]
    bare["metadata"] = {}
    assert len(list(faults(bare))) == 3


def test_stale_output_is_found():
    stored = [{"output_type": "stream", "name": "stdout", "text": "1"}]
    assert any("nobody compares" in line for line in faults(notebook("print(1)", outputs=stored, count=1)))


def modules(notebook: dict) -> set[str]:
    """The project's modules that a notebook's cells import from."""
    nodes = [node for cell in notebook["cells"] if cell["cell_type"] == "code" for node in ast.walk(ast.parse("".join(cell["source"])))]
    found = {
        f"{n.module}.{a.name}" if (ROOT / n.module.replace(".", "/")).is_dir() else n.module
        for n in nodes
        if isinstance(n, ast.ImportFrom)
        for a in n.names
    }
    return {name for name in found if (ROOT / name.split(".")[0]).is_dir()}


def test_the_page_of_an_experiment_imports_three_modules_and_no_page_more_than_eight():
    found = {name: modules(json.loads((ROOT / name).read_text(encoding="utf-8"))) for name in NOTEBOOKS}
    told = [name for name in NOTEBOOKS if Path(name).stem in ("baseline", "focal", "transfer", "finetune")]
    assert len(told) == 4 and {name: sorted(found[name]) for name in told if len(found[name]) > 3} == {}
    assert {name: sorted(of) for name, of in found.items() if len(of) > 8} == {}
