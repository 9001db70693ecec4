"""What the project promises its contributors exists: hooks that run, a workflow whose cache knows what a run depends on, one version."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import yolo_core
from trial.register import claims
from yolo_core import experiments

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


def test_the_new_arm_and_the_new_claim_of_the_guide_fit_where_it_puts_them():
    snippets = re.findall(r"^```python\n(.*?)^```$", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE | re.DOTALL)
    arm, claim = (next(text for text in snippets if text.startswith(start)) for start in ('"no-dropout"', "Claim("))
    (changed,) = eval("{" + arm + "}", vars(experiments)).values()
    assert set(changed) == {"dropout"} and experiments.resolve("baseline", "compressed", "pocket").dropout != changed["dropout"]
    (made,) = eval(claim, vars(claims))
    assert made.arms[1] == ("baseline", "no-dropout") and made.id not in {known.id for known in claims.CLAIMS}
    assert made.effect({"map": 0.1}, {"map": 0.3}) > made.threshold > made.effect({"map": 0.1}, {"map": 0.1})
