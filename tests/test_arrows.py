"""The house: packages stand on one another in one order, no module's import comes back to it, and yolo_core stays small."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from groundwork.code_hash import PACKAGES
from groundwork.paths import ROOT

FILES = {
    file: next(p for p in PACKAGES if (ROOT / p.replace(".", "/")) in file.parents)
    for p in PACKAGES
    for file in (ROOT / p.replace(".", "/")).rglob("*.py")
}
HEAVY = {"emojivoc", "matplotlib", "plotly", "papermill", "sphinx", "tyro", "resvg_py"}
INSIDE = {"yolo_core.detector": (), "yolo_core.data": (), "yolo_core.training": ("yolo_core.detector", "yolo_core.data")}
LINES, FILE_LINES = 3000, 350


def imports(file: Path, top_only: bool) -> set[str]:
    """Dotted names that a file imports; `top_only`: when it is imported itself, which passes over functions and type checking."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    nodes = tree.body if top_only else list(ast.walk(tree))
    found = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def module(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def package(name: str) -> str | None:
    return next((p for p in PACKAGES if f"{name}.".startswith(f"{p}.")), None)


@pytest.mark.parametrize("file", sorted(FILES), ids=module)
def test_a_package_imports_those_it_stands_on_and_none_above_it(file):
    above = PACKAGES[PACKAGES.index(FILES[file]) + 1 :]
    assert {name for name in imports(file, top_only=False) if package(name) in above} == set()


@pytest.mark.parametrize("part", INSIDE)
def test_inside_yolo_core_training_stands_on_data_and_detector_which_know_nothing_of_it_or_of_one_another(part):
    for file in (ROOT / part.replace(".", "/")).glob("*.py"):
        own = {name for name in imports(file, top_only=False) if package(name) == "yolo_core"}
        assert {name for name in own if not name.startswith((part, *INSIDE[part]))} == set(), module(file)


def test_no_import_comes_back_to_where_it_started():
    names = {module(file): file for file in FILES}
    graph = {name: (imports(file, top_only=True) & names.keys()) - {name} for name, file in names.items()}
    for name, found in graph.items():  # a package that gathers its modules is not what they import
        found -= {outer for outer in found if name.startswith(f"{outer}.")}
    assert len(list(TopologicalSorter(graph).static_order())) == len(names)


@pytest.mark.parametrize("name", ["groundwork", "voc_tree", "yolo_core"])
def test_yolo_core_and_what_it_stands_on_import_nothing_that_draws_executes_or_parses_commands(name):
    for file in (file for file, of in FILES.items() if of == name):
        assert {heavy.split(".")[0] for heavy in imports(file, top_only=True)} & HEAVY == set(), module(file)


def test_the_register_and_a_configuration_are_read_without_torch():
    code = "import sys, trial.register.register_page, trial.register.committed, yolo_core.experiments; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_fabric_comes_without_torchmetrics_and_scipy_and_takes_them_from_nobody():
    code = "import importlib.util, sys, groundwork.fabric; print('scipy' in sys.modules, importlib.util.find_spec('torchmetrics') is None)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False False"


def test_yolo_core_is_read_in_an_afternoon():
    assert sum(len(f.read_text(encoding="utf-8").splitlines()) for f, p in FILES.items() if p == "yolo_core") <= LINES


def test_no_file_of_the_project_is_longer_than_seven_screens():
    others = [file for folder in ("tests", "scripts", "exercises") for file in (ROOT / folder).rglob("*.py")]
    long = {module(file): n for file in [*FILES, *others] if (n := len(file.read_text(encoding="utf-8").splitlines())) > FILE_LINES}
    assert long == {}
