"""What the project promises its contributors exists: hooks that run, a workflow whose cache knows what a run depends on, one version."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import yolo_core
from groundwork.code_hash import PACKAGES

ROOT = Path(__file__).resolve().parents[1]
HOOKS = [hook for repo in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"] for hook in repo["hooks"]]
WORKFLOW, PUBLISHED = (yaml.safe_load((ROOT / f".github/workflows/{name}.yml").read_text()) for name in ("weekly", "pages"))


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook["id"])
def test_a_hook_starts_and_what_it_names_is_there(hook):
    program, *arguments = shlex.split(hook["entry"])
    assert program == ".venv/bin/python" and arguments[0] == "-m"
    assert subprocess.run([sys.executable, "-m", arguments[1], "--version"], capture_output=True).returncode == 0
    for file in (a for a in arguments if a.endswith(".py")):
        assert (ROOT / file).is_file(), file
    assert hook["language"] == "system", "a hook that fetches its own tool does not work offline"


def test_the_workflow_runs_the_checks_of_the_project_and_builds_its_book():
    steps = {name: [step.get("run") for step in job["steps"]] for name, job in WORKFLOW["jobs"].items()}
    assert ".ci/run" in steps["test"] and (ROOT / ".ci/run").is_file()
    assert "make book" in steps["book"]
    assert set(WORKFLOW[True]) >= {"pull_request", "schedule"}  # yaml reads `on` as true


def test_the_cache_key_names_the_code_the_notebooks_and_the_versions_and_nothing_that_is_not_there():
    (cache,) = [step for step in WORKFLOW["jobs"]["book"]["steps"] if "cache" in step.get("uses", "")]
    named = re.findall(r"'([^']+)'", cache["with"]["key"])
    assert {
        *(f"{package}/**" for package in ("groundwork", "voc_tree", "emojivoc", "yolo_core", "anchor_free", "trial")),
        "notebooks/**",
        "constraints.txt",
    } == set(named)
    assert all((ROOT / name.removesuffix("/**")).exists() for name in named)


def test_the_book_is_read_and_printed_on_every_change_of_main_and_published_only_where_pages_is_switched_on():
    build, deploy = PUBLISHED["jobs"]["build"], PUBLISHED["jobs"]["deploy"]
    assert PUBLISHED[True]["push"] == {"branches": ["main"]}
    said = [step.get("run") for step in build["steps"]]
    assert "make read" in said and any("yolo_core pdf --profile read" in line for line in said if line)
    assert build["steps"][-1]["with"]["path"] == "_build/read/html"
    assert deploy["if"] == "github.event.repository.has_pages" and PUBLISHED["permissions"] == {"contents": "read"}


def test_the_readme_links_the_published_book_once_the_repository_has_an_address():
    address = yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]["url"]
    readme = (ROOT / "README.md").read_text()
    assert "make read" in readme.split("## Exercises")[0]
    if address:
        owner, name = address.rstrip("/").split("/")[-2:]
        assert f"https://{owner.lower()}.github.io/{name}" in readme


def test_the_changelog_the_citation_and_the_package_speak_of_one_version():
    first = re.search(r"^## \[.*?\] - (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1]
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"]
    assert first == str(cited) == yolo_core.__version__


ADDED = """
import json, sys
from trial.register import committed, reference, verdicts
from trial.register.claims import CLAIMS
from yolo_core import experiments
from book.press import publish

(claim,) = [claim for claim in CLAIMS if claim.id == "C1z"]
dropout = experiments.resolve(*claim.arms[1], "pocket").dropout
judged = verdicts.register([{"config": experiments.resolve(*arm, "pocket").to_dict(), "metrics": {"map": value}}
                            for arm, value in zip(claim.arms, (0.1, 0.3))])
seeds = [finding.seeds for finding in judged if finding.claim.id == "C1z"]
print(json.dumps([dropout, seeds, publish.pages()[-1]]))
"""


def test_an_arm_a_claim_and_a_page_of_the_guide_are_a_line_an_entry_and_a_notebook_with_a_line(tmp_path):
    """Added where the guide puts them in a scratch copy, nowhere else: the arm resolves, the claim is judged, the page is in the book."""
    for name in (*(package.replace(".", "/") for package in PACKAGES), "notebooks"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "_toc.yml", tmp_path)
    (tmp_path / "records").mkdir()
    shutil.copy(ROOT / "records/planned.json", tmp_path / "records")
    shutil.copytree(ROOT / "book", tmp_path / "book", ignore=shutil.ignore_patterns("__pycache__", "press"), dirs_exist_ok=True)
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    snippets = re.findall(r"^```python\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL)
    arm, claim = (next(text for text in snippets if text.startswith(start)) for start in ('"no-dropout"', "Claim("))
    (line,) = re.findall(r"`- file: (notebooks/no_dropout)`", guide)
    for file, before, added in (
        (tmp_path / "yolo_core/experiments.py", '"compressed": arm("Exp 1: from scratch"),\n', arm),
        (tmp_path / "trial/register/claims/baseline_focal.py", ": tuple[Claim, ...] = (\n", claim),
        (tmp_path / "_toc.yml", "- file: book/bibliography\n", f"      - file: {line}\n"),
    ):
        assert str(file.relative_to(tmp_path)) in guide
        text = file.read_text(encoding="utf-8")
        assert text.count(before) == 1
        file.write_text(text.replace(before, before + added), encoding="utf-8")
    shutil.copy(ROOT / "notebooks/head.ipynb", tmp_path / f"{line}.ipynb")
    outside = {"PATH": os.environ["PATH"], "YOLO_ROOT": str(tmp_path), "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", ADDED], cwd=tmp_path, env=outside, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [0.0, [[0]], f"{line}.ipynb"]
