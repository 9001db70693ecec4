"""What a record says of its machine is optional: nothing that cannot be found out there costs a finished training its result."""

import subprocess

import pytest

from book.press import execute
from groundwork import environment


def commit(folder, message):
    """A repository of one commit."""
    folder.mkdir(exist_ok=True)
    for command in (["init", "-q"], ["-c", "user.name=n", "-c", "user.email=e", "commit", "-q", "--allow-empty", "-m", message]):
        subprocess.run(["git", "-C", str(folder), *command], check=True)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout of one commit, in the place of this one."""
    commit(tmp_path, "first")
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    return tmp_path


def program(folder, lines):
    """A `git` of our own, first on the PATH."""
    (folder / "git").write_text(f"#!/bin/sh\n{lines}\n")
    (folder / "git").chmod(0o755)
    return str(folder)


def test_a_sound_checkout_is_named_and_one_that_differs_from_its_commit_is_marked(checkout):
    named = environment.environment("cpu")["commit"]
    assert len(named) == 12
    (checkout / "file").write_text("one")
    subprocess.run(["git", "-C", str(checkout), "add", "file"], check=True)
    assert environment.environment("cpu")["commit"] == f"{named}+"


def no_git(checkout, monkeypatch):
    monkeypatch.setenv("PATH", "")


def a_git_that_cannot_be_run(checkout, monkeypatch):
    monkeypatch.setenv("PATH", program(checkout, "exit 0"))
    (checkout / "git").write_bytes(b"\x7fELF")


def a_git_that_hangs(checkout, monkeypatch):
    monkeypatch.setenv("PATH", f"{program(checkout, 'exec sleep 60')}:/bin:/usr/bin")
    monkeypatch.setattr(environment, "PATIENCE", 0.2)


def a_folder_of_another_owner(checkout, monkeypatch):
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")


def a_torn_repository(checkout, monkeypatch):
    (checkout / ".git/HEAD").write_text("")


def a_folder_that_may_not_be_entered(checkout, monkeypatch):
    def refused(self, **_):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr("pathlib.Path.exists", refused)


KINDS = (no_git, a_git_that_cannot_be_run, a_git_that_hangs, a_folder_of_another_owner, a_torn_repository, a_folder_that_may_not_be_entered)


@pytest.mark.parametrize("broken", KINDS, ids=lambda kind: kind.__name__)
def test_what_git_cannot_say_is_left_out(broken, checkout, monkeypatch):
    broken(checkout, monkeypatch)
    found = environment.environment("cpu")
    assert found["commit"] is None and found["packages"]["torch"]


def test_a_git_that_names_the_commit_and_then_fails_leaves_it_marked(checkout, monkeypatch):
    monkeypatch.setenv("PATH", program(checkout, 'case "$*" in *rev-parse*) echo 0123456789ab;; *) exit 128;; esac'))
    assert environment.environment("cpu")["commit"] == "0123456789ab+"


def test_a_package_without_metadata_costs_neither_a_record_nor_a_notebook_that_has_run(monkeypatch):
    monkeypatch.setattr(environment, "PACKAGES", ("torch", "brought-by-conda-under-another-name"))
    monkeypatch.setattr(execute, "SHOWN", environment.PACKAGES)
    for packages in (environment.environment("cpu")["packages"], execute._circumstances()["packages"]):
        assert packages["torch"] and packages["brought-by-conda-under-another-name"] == "not installed"


def test_a_hooks_variables_name_no_other_repositorys_commit(checkout, monkeypatch):
    named = environment.environment("cpu")["commit"]
    commit(checkout / "other", "another")
    monkeypatch.setenv("GIT_DIR", str(checkout / "other/.git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(checkout / "other"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(checkout / "other/.git/none"))
    assert environment.environment("cpu")["commit"] == named


@pytest.mark.parametrize("torn", ["an empty .git", "a .git without HEAD", "through a link"])
def test_the_commit_of_a_repository_around_the_checkout_is_not_taken(checkout, tmp_path_factory, monkeypatch, torn):
    inner = checkout / "inner"
    if torn == "a .git without HEAD":
        commit(inner, "second")
        (inner / ".git/HEAD").unlink()
    else:
        (inner / ".git").mkdir(parents=True)
    if torn == "through a link":
        (link := tmp_path_factory.mktemp("links") / "link").symlink_to(inner)
        inner = link
    monkeypatch.setattr(environment, "ROOT", inner)
    assert environment.environment("cpu")["commit"] is None


def test_a_worktree_and_a_link_to_one_are_named(checkout, tmp_path_factory, monkeypatch):
    named, beside = environment.environment("cpu")["commit"], tmp_path_factory.mktemp("beside")
    subprocess.run(["git", "-C", str(checkout), "worktree", "add", "-q", str(beside / "tree")], check=True)
    (beside / "link").symlink_to(beside / "tree")
    for place in (beside / "tree", beside / "link"):
        monkeypatch.setattr(environment, "ROOT", place)
        assert environment.environment("cpu")["commit"] == named
