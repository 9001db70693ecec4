"""`make` where paths have spaces, quotes and dollars, those of the Python and the environment too; and what a clone on Windows gets."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from yolo_core.profiles import PROFILES

ROOT = Path(__file__).resolve().parents[1]
# A Python that notes how it is called, and makes an environment as `-m venv` would: of itself.
STAND_IN = r"""#!/bin/sh
{ printf '%s|' "$YOLO_NUMBERS"; printf '<%s>' "$@"; echo; } >> "$LOG"
case "$*" in
  --version) echo Python 3.12.0 ;;
  "-m pip --version") case "$0" in */bin/python) exit 0 ;; *) exit 1 ;; esac ;;
  "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
esac
"""
NAME = "it's a `check` $HOME out"
CALLS = {  # target: the words of its last call
    "read": "<-m><yolo_core><read>",
    "book": "<-m><yolo_core><book><--profile><pocket>",
    "lab": "<-m><jupyterlab><notebooks>",
    "pdf": "<-m><yolo_core><pdf><--profile><pocket>",
    "links": "<-m><yolo_core><links>",
    "exercises": "<-m><yolo_core><exercises><--out=my 'own>",
    "check-exercises": "<-m><yolo_core><exercises><--out=my 'own><--check>",
    "reference": "<-m><yolo_core><reference><--profile><pocket><--workers><2>",
    "lint": "<-m><ruff><check><--quiet><.>",
    "unit": "<-m><pytest>.*<tests>",
    "notebooks": "<-m><pytest>.*<notebooks>",
    "pages": "<-m><book.press.browser>",
    "test": "<-m><book.press.browser>",
    "venv": r"<-m><pip><install>.*<-c><constraints\.txt><-e><\.\[book,test\]>",
}


@pytest.fixture
def made(tmp_path):
    """Makes a target in a checkout whose path has spaces; the calls of Python that it took."""
    checkout, python, log = tmp_path / NAME, tmp_path / "my 'own` py" / "python", tmp_path / "log"
    checkout.mkdir()
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, checkout / name)
    python.parent.mkdir()
    python.write_text(STAND_IN)
    python.chmod(0o755)

    def make(target, *options):
        command = ["make", "--no-print-directory", target, f"PYTHON={python}", "MINE=my 'own", *options]
        here = {"PATH": "/usr/bin:/bin", "LOG": str(log), "HOME": str(tmp_path)}
        done = subprocess.run(command, cwd=checkout, env=here, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
        return log.read_text().splitlines()

    return make


@pytest.mark.parametrize("environment", [".venv", "", "my 'env"])
@pytest.mark.parametrize("target", CALLS)
def test_a_target_makes_its_calls_whatever_spaces_are_in_paths(made, tmp_path, target, environment):
    if target == "venv" and not environment:
        pytest.skip("the current environment is not made")
    last = made(target, f"VENV={environment}")[-1]
    assert re.fullmatch(CALLS[target], last.split("|")[1]), last
    if target == "notebooks":
        assert last.split("|")[0] == str(tmp_path / NAME / "_build/smoke/nbval")


def test_help_comes_in_a_path_with_spaces_by_which_the_makefile_is_named(made, tmp_path):
    makefile = tmp_path / NAME / "Makefile"
    done = subprocess.run(["make", "-f", str(makefile), "help"], cwd=makefile.parent, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == "" and "the whole pocket book from the committed records" in done.stdout, done.stdout


def test_help_says_first_what_to_do_first():
    done = subprocess.run(["make", "-C", str(ROOT), "--no-print-directory", "help"], capture_output=True, text=True, check=True)
    assert "make read" in done.stdout.splitlines()[0]


@pytest.mark.parametrize("environment", [".venv", "my 'env", "./-env"])
def test_an_environment_is_made_once_where_it_was_asked_for(made, tmp_path, environment):
    first = made("venv", f"VENV={environment}")
    assert f"|<-m><venv><{environment}>" in first and (tmp_path / NAME / environment / ".ready").exists()
    assert made("venv", f"VENV={environment}") == first
    assert {path.name for path in (tmp_path / NAME).iterdir()} == {"Makefile", "pyproject.toml", "constraints.txt", Path(environment).name}


def test_a_home_that_the_shell_has_left_is_found_by_make(made, tmp_path):
    """dash and zsh leave the ~ in `make VENV=~/envs/yolo`, and a folder of that name was made in the checkout."""
    last = made("exercises", "VENV=~/my  envs/~/new", "MINE=~/mine", "PYTHON=~/my 'own` py/python")[-1]
    assert last.endswith(f"<--out={tmp_path}/mine>") and (tmp_path / "my  envs/~/new/.ready").exists()
    assert {path.name for path in (tmp_path / NAME).iterdir()} == {"Makefile", "pyproject.toml", "constraints.txt"}


def test_a_folder_whose_name_begins_as_an_option_does_is_a_folder(made):
    assert made("exercises", "MINE=-x")[-1].endswith("<--out=-x>")


@pytest.mark.parametrize(("given", "rehearsed"), [((), False), (("REHEARSE=1",), True), (("REHEARSE=0",), False)])
def test_a_card_is_asked_unless_a_rehearsal_is(made, given, rehearsed):
    assert made("card", *given)[-1].endswith("<--rehearse>") == rehearsed


def test_a_dollar_in_what_is_given_stays_one(made, tmp_path):
    (tmp_path / "my 'own` py").rename(tmp_path / "my $own $$py")
    last = made("exercises", "VENV=my$env", "MINE=my$dir", f"PYTHON={tmp_path}/my $own $$py/python")[-1]
    assert last.endswith("<--out=my$dir>") and (tmp_path / NAME / "my$env/.ready").exists()


def test_what_is_given_is_said_as_it_stands_and_never_run(made, tmp_path):
    given = "a$b 'c' \"d\" `touch one` $(touch two); touch three"
    expanded = "a 'c' \"d\" `touch one` ; touch three"  # PROFILE is a word of ours, no path, and make's own $ is left to it
    for variable, shown in {"MINE": given, "PROFILE": expanded}.items():
        said = subprocess.run(["make", "help", f"{variable}={given}"], cwd=ROOT, capture_output=True, text=True).stdout
        assert f"(now: {shown})" in said
    assert made("book", "PROFILE=smoke; touch three")[-1].endswith("<--profile><smoke; touch three>")
    assert not any((folder / name).exists() for folder in (ROOT, tmp_path / NAME) for name in ("one", "two", "three"))


@pytest.mark.parametrize("letter", ":;|\\*?[\t")
def test_an_environment_whose_name_make_cannot_read_is_refused_in_a_sentence(letter):
    """Some were syntax of make's, in words of its own; a backslash before a space led elsewhere."""
    command = ["make", "-n", "-C", str(ROOT), "venv", f"VENV=/nowhere/a{letter}b"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and f"VENV=/nowhere/a{letter}b: make reads no path with : ; | \\ * ? [ or a tab in it" in done.stderr


@pytest.mark.parametrize("name", ["-v", "~root/e", "~"])
def test_an_environment_whose_name_is_an_option_or_another_users_home_is_refused_in_a_sentence(name):
    """make itself reads ~root as a home folder, in some places and not in others."""
    done = subprocess.run(["make", "-n", "-C", str(ROOT), "venv", f"VENV={name}"], capture_output=True, text=True)
    assert done.returncode == 2 and f"VENV={name}: make reads no path" in done.stderr and "begins with -" in done.stderr


def test_an_empty_variable_for_python_means_the_one_on_the_path():
    """As a script leaves it where it has set no variable."""
    done = subprocess.run(["make", "-C", str(ROOT), "python"], env=os.environ | {"PYTHON": ""}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_clean_removes_books_and_nothing_that_cost_hours_or_is_the_users(made, tmp_path):
    build = tmp_path / NAME / "_build"
    kept = {"runs/r/record.json", "data/pocket/a", "reference/.pocket-focal-mse-0.checkpoints/k/40/state.pt", "my-run/record.json"}
    kept |= {"on-a-card/records/photographs/r/record.json"}
    books = {f"{name}/html/index.html" for name in (*PROFILES, "read")}
    kept |= {"rtx2060/record.json", "rtx2060/weights.safetensors", "long/VOCdevkit/VOC2012/a.jpg"}  # the user's own run and tree
    books -= {"rtx2060/html/index.html", "long/html/index.html"}
    for name in kept | books:
        (build / name).parent.mkdir(parents=True, exist_ok=True)
        (build / name).touch()
    subprocess.run(["make", "-s", "clean", "VENV=", "PYTHON=true"], cwd=tmp_path / NAME, check=True)
    assert {path.relative_to(build).as_posix() for path in build.rglob("*") if path.is_file()} == kept


def test_a_clone_on_windows_has_the_bytes_of_the_repository(tmp_path):
    """Scripts with CRLF do not run, and records with other bytes are other records."""
    files = [".gitattributes", ".ci/run", "Makefile", "README.md", "yolo_core/__main__.py", "book/_static/scenes.png"]
    files += [str(next((ROOT / "records").rglob(f"*.{kind}")).relative_to(ROOT)) for kind in ("json", "parquet")]
    for name in files:
        (tmp_path / "one" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / "one" / name)
    git = ["git", "-c", "user.name=n", "-c", "user.email=e", "-C", str(tmp_path / "one")]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "one"]):
        subprocess.run([*git, *words], check=True)
    windows = ["-c", "core.autocrlf=true", "-c", "core.eol=crlf"]
    subprocess.run(["git", *windows, "clone", "-q", *windows, str(tmp_path / "one"), str(tmp_path / "two")], check=True)
    for name in files:
        assert (tmp_path / "two" / name).read_bytes() == (ROOT / name).read_bytes(), name


def test_every_file_with_a_browser_test_is_among_those_that_make_pages_runs():
    marked = {
        file.name for file in (ROOT / "tests").glob("test_*.py") if "mark.browser" in file.read_text(encoding="utf-8").replace("#", "")
    }
    (named,) = re.findall(r"^BROWSER := \$\(addprefix tests/test_,(.*)\)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert marked - {"test_makefile.py"} == {f"test_{name}" for name in named.split()}
