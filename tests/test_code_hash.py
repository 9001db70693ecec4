"""groundwork/code_hash.py: which files count, and which changes show."""

from pathlib import Path
from unittest.mock import Mock

import nbformat
import pytest

from groundwork.code_hash import code_hash, modules, source
from groundwork.errors import InputError

LOSS = '''"""The loss."""

# a comment
LAMBDA = 0.5


def loss(c):
    """Squared error."""
    return LAMBDA * c * c  # why
'''


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package: train imports loss (relatively) and grid (inside a function); figures imports train; alone stands alone."""
    files = {
        "__init__.py": '__version__ = "1.0"\n',
        "detector/__init__.py": "",
        "detector/loss.py": LOSS,
        "detector/grid.py": "S = 7\n",
        "study/__init__.py": "",
        "study/train.py": "from ..detector.loss import loss\n\ndef run():\n    from toy.detector import grid\n    return loss(grid.S)\n",
        "study/figures.py": "import numpy\nfrom . import train\nFIGURE = train.run\n",
        "study/alone.py": "import json\n",
    }
    for name, text in files.items():
        (tmp_path / "toy" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "toy" / name).write_text(text)
    return tmp_path


def names(package: Path, *entries) -> set[str]:
    return {f.relative_to(package / "toy").as_posix() for f in modules(*entries, root=package, packages=("toy",))}


def digest(package: Path, entry="toy.study.train") -> str:
    return code_hash(modules(entry, root=package, packages=("toy",)), root=package)


INITS = {"__init__.py", "detector/__init__.py", "study/__init__.py"}


def test_only_transitively_imported_modules_count(package):
    assert names(package, "toy.study.train") == INITS | {"detector/loss.py", "detector/grid.py", "study/train.py"}
    assert names(package, "toy.study.alone") == {"__init__.py", "study/__init__.py", "study/alone.py"}


def test_imports_are_followed_through_relative_and_local_statements(package):
    assert names(package, "toy.study.figures") >= {"study/figures.py", "study/train.py", "detector/loss.py", "detector/grid.py"}


def test_importing_a_name_from_a_module_does_not_invent_a_module(package):
    (package / "toy/study/alone.py").write_text("from toy.detector.grid import S\n")
    assert names(package, "toy.study.alone") == INITS | {"study/alone.py", "detector/grid.py"}


def test_a_cycle_of_imports_ends(package):
    (package / "toy/detector/grid.py").write_text("from toy.study import train\n")
    assert "study/train.py" in names(package, "toy.detector.grid")


def test_several_entries_give_the_union(package):
    both = names(package, "toy.study.alone", "toy.detector.grid")
    assert both == INITS | {"study/alone.py", "detector/grid.py"}


def test_a_file_inside_the_package_counts_itself_and_one_outside_does_not(package):
    script = package / "script.py"
    script.write_text("import toy.detector.grid\n")
    assert names(package, script) == {"__init__.py", "detector/__init__.py", "detector/grid.py"}
    assert "study/train.py" in names(package, package / "toy/study/train.py")


def test_a_notebook_is_an_entry_and_its_magics_are_passed_over(package):
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [
        nbformat.v4.new_markdown_cell("import toy.study.alone"),
        nbformat.v4.new_code_cell("%matplotlib inline\n!ls\nfrom toy.detector import grid"),
    ]
    nbformat.write(notebook, package / "page.ipynb")
    assert names(package, package / "page.ipynb") == {"__init__.py", "detector/__init__.py", "detector/grid.py"}


def test_of_a_notebook_what_begins_with_a_percent_sign_is_a_magic_only_where_a_statement_begins(tmp_path):
    cells = ["%matplotlib inline\nrest = (\n    7\n    % 4\n)", "%%bash\nrm -rf everything", "x = (1\n     != 2)"]
    nbformat.write(nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, cells))), tmp_path / "page.ipynb")
    space = {"get_ipython": lambda: Mock()}
    exec(source(tmp_path / "page.ipynb"), space)
    assert space["rest"] == 3 and space["x"] is True


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# a comment", "# another comment"),
        ("  # why", ""),
        ('"""Squared error."""', '"""Squared error of the confidence, weighted."""'),
        ('    """Squared error."""\n', ""),
        ('"""The loss."""\n', ""),
        ("\n\n\ndef", "\n\n\n\n\ndef"),
        ("LAMBDA * c * c", "(LAMBDA * c) * c"),
    ],
)
def test_comments_docstrings_and_layout_never_change_the_hash(package, old, new):
    before = digest(package)
    file = package / "toy/detector/loss.py"
    assert old in LOSS
    file.write_text(LOSS.replace(old, new))
    assert digest(package) == before


@pytest.mark.parametrize(
    ("old", "new"),
    [("0.5", "0.6"), ("c * c", "c + c"), ("LAMBDA * c * c", "-LAMBDA * c * c"), ("def loss(c)", "def loss(c=0)"), ("0.5", "'0.5'")],
)
def test_a_changed_line_changes_the_hash(package, old, new):
    before = digest(package)
    (package / "toy/detector/loss.py").write_text(LOSS.replace(old, new))
    assert digest(package) != before


def test_a_change_in_a_module_that_is_not_imported_leaves_the_hash(package):
    before = digest(package)
    (package / "toy/study/figures.py").write_text("FIGURE = None\n")
    assert digest(package) == before


def test_a_release_number_leaves_the_hash_and_any_other_name_does_not(package):
    before = digest(package)
    (package / "toy/__init__.py").write_text('__version__ = "2.0"\n')
    assert digest(package) == before
    (package / "toy/__init__.py").write_text('VERSION = "2.0"\n')
    assert digest(package) != before


def test_moving_the_whole_tree_leaves_the_hash_and_renaming_a_module_does_not(package, tmp_path_factory):
    before = digest(package, "toy.study.alone")
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (package / "toy").rename(elsewhere / "toy")
    assert digest(elsewhere, "toy.study.alone") == before
    (elsewhere / "toy/study/alone.py").rename(elsewhere / "toy/study/other.py")
    assert digest(elsewhere, "toy.study.other") != before


def test_the_hash_is_the_same_on_every_python_version(package):
    """A literal digest: a Python whose trees differ, or a change of the recipe, would void every stored key."""
    (package / "toy/study/alone.py").write_text('class A:\n    x: int = 1\n\n    def f(self, *a, **k):\n        return f"{self.x!r:>3}"\n')
    assert digest(package, "toy.study.alone") == "2a2049613c729c7d631f330962144582b2a2d259a8d60f2aa161cb7b686569d6"


def test_a_missing_module_and_broken_code_are_told_in_a_sentence(package):
    with pytest.raises(InputError, match=r"toy\.nothing: expected the name of a module"):
        modules("toy.nothing", root=package, packages=("toy",))
    (package / "toy/detector/loss.py").write_text("def (\n")
    with pytest.raises(InputError, match=r"loss\.py, line 1: expected Python"):
        digest(package)


def test_the_real_package_has_files_to_hash():
    files = modules("groundwork.code_hash")
    assert {f.name for f in files} == {"code_hash.py", "errors.py", "__init__.py"}
    assert len(code_hash(files)) == 64
