"""pyproject.toml, constraints.txt and environment.yml say one thing, and the environment that runs the tests is that one."""

import ast
import re
import shlex
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions, version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import yolo_core
from groundwork.code_hash import PACKAGES

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WHEEL = [package for package in PACKAGES if package != "book.press"]  # the book's own machinery works in a checkout alone
# torch brings these for the machine at hand, in the versions it wants.
OF_TORCH = re.compile(r"^(nvidia|cuda)-|^triton$")


def declared() -> list[Requirement]:
    extras = PROJECT["optional-dependencies"]
    return [Requirement(line) for lines in (PROJECT["dependencies"], *extras.values()) for line in lines]


def pins(file: str = "constraints.txt") -> dict[str, str]:
    lines = [line.split("#")[0].strip() for line in (ROOT / file).read_text().splitlines()]
    found = [re.fullmatch(r"([A-Za-z0-9._-]+)==(\S+)", line) for line in lines if line]
    assert found and all(found), f"{file} holds lines `name==version` and nothing else"
    return {canonicalize_name(match[1]): match[2] for match in found}


def closure(names: list[tuple[str, str]]) -> set[str]:
    """Every installed distribution that the requirements bring along on this machine; entries are (name, extra)."""
    seen: set[tuple[str, str]] = set()
    queue = list(names)
    while queue:
        name, extra = queue.pop()
        if (name, extra) in seen or OF_TORCH.search(name):
            continue
        try:
            lines = distribution(name).requires or []
        except PackageNotFoundError:
            continue  # an extra, or what only another platform needs
        seen.add((name, extra))
        for requirement in map(Requirement, lines):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                wanted = canonicalize_name(requirement.name)
                queue += [(wanted, ""), *((wanted, e) for e in requirement.extras)]
    return {name for name, _ in seen}


@pytest.mark.parametrize("requirement", declared(), ids=lambda r: r.name)
def test_each_declared_dependency_has_a_range_and_a_pin_inside_it(requirement):
    assert requirement.specifier, f"{requirement.name} is declared without a range"
    pin = pins().get(canonicalize_name(requirement.name))
    assert pin is not None, f"{requirement.name} has no pin in constraints.txt"
    assert requirement.specifier.contains(Version(pin)), f"{requirement.name}: the pin {pin} lies outside {requirement.specifier}"


@pytest.mark.parametrize("requirement", declared(), ids=lambda r: r.name)
def test_a_range_starts_at_a_release_that_was_tried(requirement):
    """Not below the older of the two that were, the pin and, where it is listed, what constraints-oldest.txt has."""
    name = canonicalize_name(requirement.name)
    oldest = Version(pins("constraints-oldest.txt").get(name, pins()[name]))
    assert requirement.specifier.contains(oldest), f"{name}: {oldest} was tried and lies outside {requirement.specifier}"
    for bound in (Version(s.version) for s in requirement.specifier if s.operator == ">="):
        assert oldest.release[: len(bound.release)] == bound.release, f"{name}: from {bound} on, and nothing older than {oldest} was tried"


def test_the_oldest_versions_are_of_what_is_declared_and_torch_2_11_is_among_them():
    oldest = pins("constraints-oldest.txt")
    assert set(oldest) < {canonicalize_name(r.name) for r in declared()}
    assert oldest["torch"].startswith("2.11.") and oldest["torchvision"].startswith("0.26.")


def test_everything_the_dependencies_bring_along_is_pinned():
    names = [(canonicalize_name(r.name), extra) for r in declared() for extra in ("", *r.extras)]
    brought = {name for name in closure(names) if not OF_TORCH.search(name)}
    assert len(brought) > len(declared())
    assert sorted(brought - set(pins())) == []


def test_constraints_hold_nothing_tied_to_one_platform():
    assert [name for name in pins() if OF_TORCH.search(name)] == []


def test_this_environment_has_the_pinned_versions():
    wrong = {}
    for requirement in declared():
        try:
            have = version(requirement.name)
        except PackageNotFoundError:
            continue
        if Version(have) != Version(pins()[canonicalize_name(requirement.name)]):
            wrong[requirement.name] = have
    assert wrong == {}, "installed in other versions than constraints.txt has; make a new environment"


def test_conda_gets_the_same_pins_and_a_python_in_range():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    conda = [line for line in environment["dependencies"] if isinstance(line, str)]
    pip = next(line["pip"] for line in environment["dependencies"] if isinstance(line, dict))
    python = next(line.split("=")[-1] for line in conda if line.startswith("python="))
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(Version(python))
    assert "-c constraints.txt" in pip and "-e .[book,test]" in pip
    stated = [Requirement(line) for line in pip if not line.startswith("-")]
    stated += [Requirement(re.sub(r"=+", "==", line, count=1)) for line in conda if "=" in line and not line.startswith("python=")]
    for requirement in stated:
        assert str(requirement.specifier) == f"=={pins()[canonicalize_name(requirement.name)]}"


def test_the_version_is_said_once_and_cited_right():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == yolo_core.__version__
    assert "version" in PROJECT["dynamic"]
    assert {"cff-version", "message", "title", "authors"} <= set(citation)


def test_licences_are_those_the_project_states():
    assert PROJECT["license"] == "MIT" and (ROOT / "LICENSE").read_text().startswith("MIT License")
    assert "CC BY 4.0" in (ROOT / "LICENSE-prose").read_text()


def test_data_files_of_the_package_are_found_beside_its_modules():
    """A wheel of the package folder carries them: nothing excludes *.json or *.gz, and none lies outside the package."""
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert build == {"packages": WHEEL}


def imported(module: Path) -> set[str]:
    """The packages that a module of ours needs to be imported: what stands at its top."""
    names: set[str] = set()
    for node in ast.parse(module.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module.partition(".")[0])
    return names - sys.stdlib_module_names


def test_what_the_wheel_imports_is_in_the_wheel_or_among_its_dependencies():
    """Not in an extra, and not in the book's machinery: a plain install has neither."""
    declared_names = {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]}
    brought = packages_distributions()
    lacking = {}
    for folder in WHEEL:
        for module in sorted((ROOT / folder).rglob("*.py")):
            foreign = {name for name in imported(module) if name not in WHEEL}
            missing = {name for name in foreign if not {canonicalize_name(d) for d in brought.get(name, [])} & declared_names}
            if missing:
                lacking[str(module.relative_to(ROOT))] = missing
    assert lacking == {}


def make(*arguments: str, **variables: str) -> subprocess.CompletedProcess:
    command = ["make", "--no-print-directory", *arguments, *(f"{name}={value}" for name, value in variables.items())]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_make_alone_lists_the_targets():
    listed = make()
    assert listed.returncode == 0
    assert {"book", "test", "lint", "clean", "help"} <= set(re.findall(r"^  make (\w+)", listed.stdout, re.MULTILINE))
    assert listed.stdout == make("help").stdout


def test_make_refuses_a_python_that_is_too_old_in_a_sentence(tmp_path):
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.2" && exit 0\nexit 1\n')
    old.chmod(0o755)
    refused = make("python", PYTHON=str(old))
    assert refused.returncode != 0
    assert "Python 3.11 or newer is needed" in refused.stderr and "3.9.2" in refused.stderr
    assert "was found on the PATH" in make("python", PYTHON="").stderr


def test_make_without_an_environment_says_how_to_fill_the_current_one(tmp_path):
    empty = tmp_path / "python3"
    empty.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -S -I "$@"\n')
    empty.chmod(0o755)
    refused = make("book", VENV="", PYTHON=str(empty))
    assert refused.returncode != 0
    assert "this environment lacks the project's packages" in refused.stderr and "-c constraints.txt" in refused.stderr
