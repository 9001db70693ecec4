"""The package installed without the project around it: what can work does, and the rest says that it needs a checkout."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from helpers_voc import write_tree

import command_line
from groundwork.code_hash import PACKAGES
from yolo_core.__main__ import main

ROOT = Path(command_line.__file__).parents[1]
RUN = """
import contextlib, io, json, sys
from pathlib import Path
import yolo_core
from yolo_core.__main__ import main

assert Path(yolo_core.__file__).parent.parent == Path(sys.argv[1])
found = {}
for words in json.loads(sys.argv[2]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(words)
    found[" ".join(words)] = status, out.getvalue(), err.getvalue()
print(json.dumps(found))
"""
WHEEL = [package for package in PACKAGES if package != "book.press"]  # the book's machinery works in a checkout alone
NEED = ["claims", "claims --own --json", "forest", "forest --out .", "reference --profile smoke", "reference --check"]
NEED += ["established --profile smoke", "book", "read", "pdf", "links", "exercises --out mine", "exercises --check"]
TRAIN = "train baseline --arm conv --profile smoke --data tree --out run --max-steps 1"
WORK = ["data emoji --out scenes --train 2 --val 1 --size 64", "data check scenes", TRAIN, "eval run --data tree --json"]
WORK += ["predict run tree/VOCdevkit/VOC2012/JPEGImages/val_000.jpg --out seen", "export run --out model.onnx", "plan --effective-batch 2"]


def environment(path):
    """The variables of a process that finds the packages under a path."""
    ours = {name: value for name, value in os.environ.items() if name != "YOLO_ROOT"}
    return ours | {"PYTHONPATH": str(path), "PYTHONDONTWRITEBYTECODE": "1"}


def run(commands, path, here, before=""):
    """What each of the commands does in a folder, by the packages under a path: status, standard output, standard error."""
    command = [sys.executable, "-W", "ignore", "-c", before + RUN, str(path), json.dumps([words.split() for words in commands])]
    done = subprocess.run(command, cwd=here, env=environment(path), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with the packages alone."""
    folder = tmp_path_factory.mktemp("site-packages")
    for package in WHEEL:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture(scope="module")
def installed(site, tmp_path_factory):
    """What each command does where the package lies alone."""
    here = tmp_path_factory.mktemp("here")
    write_tree(here / "tree", train=4, val=2)
    before = sorted(site.rglob("*"))
    found = run(NEED + WORK, site, here)
    assert (here / "model.onnx").stat().st_size > 2**20
    assert sorted(site.rglob("*")) == before, "nothing is written among the packages"
    return found


@pytest.mark.parametrize("command", NEED)
def test_what_needs_a_checkout_says_so(installed, command):
    status, out, error = installed[command]
    assert (status, out) == (2, "") and error.count("\n") == 1
    assert "works in a checkout of the project" in error


@pytest.mark.parametrize("command", WORK)
def test_what_needs_none_works(installed, command):
    status, out, error = installed[command]
    assert status == 0 and out, error


def test_every_command_is_tried():
    names = {get_args(choice)[1].name for choice in get_args(command_line.Command)}
    assert {command.split()[0] for command in NEED + WORK} == names - {"bench"}  # minutes on an idle machine


def test_what_is_said_of_a_clone_helps_where_it_is_followed(site, tmp_path):
    """The installed script does not look where it is called, and said there again that it needs a clone."""
    (tmp_path / "yolo-core").write_text("import sys\nfrom yolo_core.__main__ import main\nsys.exit(main())\n")
    here = {"cwd": ROOT, "env": environment(site), "capture_output": True, "text": True}
    script = subprocess.run([sys.executable, str(tmp_path / "yolo-core"), "claims", "--json"], **here)
    assert script.returncode == 2
    advised = re.search(r"clone the project and say there: python (.*) \.\.\.$", script.stderr)[1].split()
    done = subprocess.run([sys.executable, *advised, "claims", "--json"], **here)
    assert (done.returncode, done.stderr) == (0, "") and json.loads(done.stdout)


BOOK = ["book --profile smoke", "read", "pdf", "exercises --out mine"]
LACKING = {"the extra": (["yaml", "papermill", "nbformat", "playwright", "pypdf"], BOOK), "book": (["book"], [*BOOK, "links"])}


@pytest.mark.parametrize(("packages", "commands"), LACKING.values(), ids=LACKING)
def test_a_command_whose_packages_are_not_installed_says_which_and_what_brings_them(packages, commands, tmp_path):
    """Without the extra [book]; and by a wheel, which lacks the package `book`, with YOLO_ROOT at a clone."""
    hidden = f"import sys\nsys.modules.update(dict.fromkeys({packages}))\n"
    for status, out, error in run(commands, ROOT, tmp_path, hidden).values():
        assert (status, out) == (2, "") and error.count("\n") == 1
        assert re.search(rf"the package ({'|'.join(packages)}) is not installed; pip install .*'\.\[book,test\]'", error)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["book.nowhere", "torch.nowhere", None])
def test_a_module_that_lacks_in_a_package_that_lies_there_is_a_fault_and_not_hidden(name, monkeypatch, tmp_path):
    def broken(self):
        raise ModuleNotFoundError("No module", name=name)

    monkeypatch.setattr("command_line.data.DataCheck.__call__", broken)
    with pytest.raises(ModuleNotFoundError):
        main(["data", "check", str(tmp_path)])
