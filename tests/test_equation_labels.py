"""Every labelled equation of the book is held by a test, and stands beside the code that computes it; every such test names an equation
that exists."""

import ast
import json
import re
from collections import Counter
from pathlib import Path

import pytest
from sphinx.config import Config
from sphinx.directives.code import LiteralInclude, LiteralIncludeReader

ROOT = Path(__file__).resolve().parents[1]
DIRECTIVE = re.compile(r"^(?P<fence>[`:]{3,})\{math\}.*\n(?:[^\S\n]*:\w+:.*\n)*?[^\S\n]*:label:[^\S\n]*(?P<label>\S+)", re.MULTILINE)
INCLUDE = re.compile(r"^```\{literalinclude\} (?P<file>\S+)\n(?P<options>(?::.*\n)*)```$", re.MULTILINE)
WIDEST = 100  # columns of code that a page shows without a bar to scroll by
SCREEN = 40  # lines of a page's source that may stand between an equation and its code; in pixels: tests/test_code_beside.py
DERIVED = ("-gradient", "-slope")  # what autograd computes, so that no line of code does
DOLLARS = re.compile(r"\$\$[^\S\n]*\((?P<label>[^()\s]+)\)")


def markdown(root: Path) -> dict[str, str]:
    """The text of each page: Markdown files of book/ whole, Markdown cells of notebooks/."""
    pages = {f.relative_to(root).as_posix(): f.read_text(encoding="utf-8") for f in sorted((root / "book").rglob("*.md"))}
    for file in sorted((root / "notebooks").rglob("*.ipynb")):
        if ".ipynb_checkpoints" not in file.parts:
            cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
            texts = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
            pages[file.relative_to(root).as_posix()] = "\n\n".join(texts)
    return pages


def labels(root: Path) -> list[tuple[str, str]]:
    """(label, page) of each labelled equation, in the order of the files."""
    texts = markdown(root).items()
    return [(match["label"], page) for page, text in texts for form in (DIRECTIVE, DOLLARS) for match in form.finditer(text)]


def marks(folder: Path) -> dict[str, str]:
    """label -> file of every `pytest.mark.equation("label", ...)`, wherever it stands: decorator, pytestmark or pytest.param."""
    found = {}
    for file in sorted(folder.rglob("test_*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("mark.equation"):
                for argument in node.args:
                    assert isinstance(argument, ast.Constant), f"{file.name}, line {node.lineno}: a mark names its equation in plain text"
                    found[argument.value] = file.name
    return found


def test_there_are_labelled_equations_to_hold():
    assert labels(ROOT), "no labelled equation was found: the book has some, so the search must be wrong"


def test_each_labelled_equation_has_a_test():
    tested = marks(ROOT / "tests")
    untested = [f"{label} ({page})" for label, page in labels(ROOT) if label not in tested]
    assert not untested, f'mark a test with @pytest.mark.equation("..."): {", ".join(untested)}'


def test_each_mark_names_an_equation_of_the_book():
    known = {label for label, _ in labels(ROOT)}
    stray = [f"{label} ({file})" for label, file in marks(ROOT / "tests").items() if label not in known]
    assert not stray, f"no page labels these equations: {', '.join(stray)}"


def shown(page: Path, text: str) -> list[tuple[int, str]]:
    """(line of the page, code) of each inclusion from the sources, as Sphinx would show it. Fails where the source has no such part."""
    found = []
    for include in INCLUDE.finditer(text):
        pairs = (line[1:].partition(":") for line in include["options"].splitlines())
        options = {name: LiteralInclude.option_spec[name](value.strip() or None) for name, _, value in pairs}
        code, _ = LiteralIncludeReader(str(page.parent / include["file"]), options, Config()).read()
        found.append((text.count("\n", 0, include.start()), code))
    return found


def test_each_equation_that_code_computes_stands_beside_that_code():
    """The code is included from the source and names the equation's label, and no more than a screen of the page lies between the two."""
    far = []
    for page, text in markdown(ROOT).items():
        code = shown(ROOT / page, text)
        for form in (DIRECTIVE, DOLLARS):
            for match in form.finditer(text):
                label, line = match["label"], text.count("\n", 0, match.start())
                beside = [at for at, lines in code if label in re.findall(r"\beq-[a-z0-9-]+", lines) and abs(at - line) <= SCREEN]
                if not beside and not label.endswith(DERIVED):
                    far.append(f"{label} ({page})")
    assert not far, f"include the lines that compute these, and name them there: {', '.join(far)}"


def test_code_that_a_page_includes_fits_its_column():
    wide = [
        f"{page}: {row}"
        for page, text in markdown(ROOT).items()
        for _, code in shown(ROOT / page, text)
        for row in code.splitlines()
        if len(row) > WIDEST
    ]
    assert wide == []


@pytest.mark.parametrize("options", [":pyobject: nobody", ":start-at: no such line", ":end-before: no such line"])
def test_code_that_is_gone_from_its_source_is_not_passed_over(tmp_path, options):
    """What the strict build refuses, these tests refuse in a second."""
    (tmp_path / "code.py").write_text("def somebody(): ...\n")
    with pytest.raises(ValueError, match="no such line|nobody"):
        shown(tmp_path / "page.md", f"```{{literalinclude}} code.py\n{options}\n```\n")


def test_labels_are_of_one_form_and_stand_once():
    found = [label for label, _ in labels(ROOT)]
    assert [label for label in found if not re.fullmatch(r"eq-[a-z0-9]+(-[a-z0-9]+)*", label)] == []
    assert [label for label, count in Counter(found).items() if count > 1] == []


@pytest.mark.parametrize(
    "text",
    [
        "$$\nc^2\n$$ (eq-planted)",
        "$$ c^2 $$ (eq-planted)",
        "```{math}\n:label: eq-planted\nc^2\n```",
        "```{math}\n:nowrap:\n:label: eq-planted\nc^2\n```",
        ":::{math}\n:label: eq-planted\nc^2\n:::",
        "````{note}\n```{math}\n:label: eq-planted\nc^2\n```\n````",
    ],
)
def test_every_way_to_label_an_equation_is_found_in_pages_and_notebooks(tmp_path, text):
    for name in ("book", "notebooks"):
        (tmp_path / name).mkdir()
    (tmp_path / "book/page.md").write_text(f"# Page\n\n{text}\n")
    cells = [{"cell_type": "markdown", "source": text.splitlines(keepends=True)}, {"cell_type": "code", "source": ["$$ x $$ (eq-code)"]}]
    (tmp_path / "notebooks/page.ipynb").write_text(json.dumps({"cells": cells}))
    assert labels(tmp_path) == [("eq-planted", "book/page.md"), ("eq-planted", "notebooks/page.ipynb")]


def test_text_without_a_label_has_none(tmp_path):
    (tmp_path / "book").mkdir()
    texts = ["$$\nc^2\n$$", "(an aside) {eq}`eq-other`", "```{math}\nc^2\n```", "```{figure} a.png\n:label: eq-no\n```"]
    (tmp_path / "book/page.md").write_text("\n\n".join(texts))
    assert labels(tmp_path) == []


def test_marks_are_found_on_functions_parameters_and_modules(tmp_path):
    (tmp_path / "test_a.py").write_text(
        "import pytest\npytestmark = [pytest.mark.equation('eq-a')]\n"
        "@pytest.mark.equation('eq-b', 'eq-c')\ndef test_x(): ...\n"
        "@pytest.mark.parametrize('x', [pytest.param(1, marks=pytest.mark.equation('eq-d'))])\ndef test_y(x): ...\n"
    )
    assert set(marks(tmp_path)) == {"eq-a", "eq-b", "eq-c", "eq-d"}
