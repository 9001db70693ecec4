"""The package installed without the project around it: what can work does, and the rest says that it needs a checkout."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from helpers_voc import write_tree

import command_line
from groundwork.code_hash import PACKAGES

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


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """What each command does where the package lies alone: status, standard output, standard error."""
    site, here = tmp_path_factory.mktemp("site-packages"), tmp_path_factory.mktemp("here")
    for package in WHEEL:
        shutil.copytree(ROOT / package, site / package, ignore=shutil.ignore_patterns("__pycache__"))
    write_tree(here / "tree", train=4, val=2)
    before = sorted(site.rglob("*"))
    environment = {name: value for name, value in os.environ.items() if name != "YOLO_ROOT"}
    environment |= {"PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}
    words = json.dumps([command.split() for command in NEED + WORK])
    command = [sys.executable, "-W", "ignore", "-c", RUN, str(site), words]
    done = subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (here / "model.onnx").stat().st_size > 2**20
    assert sorted(site.rglob("*")) == before, "nothing is written among the packages"
    return json.loads(done.stdout.splitlines()[-1])


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
