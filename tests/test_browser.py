"""A browser is looked for, fetched where there is none, and where it lacks all the same, one line says what was skipped."""

import sys
from types import SimpleNamespace

import pytest

from book.press import browser

SKIPPED = "SKIPPED: every test that opens the book's pages in a browser. "


@pytest.fixture(params=["no file", "a program that does not start"])
def without(request, tmp_path, monkeypatch):
    """A machine without a Chromium that opens; a list of the commands that would fetch one, and what they end with."""
    place = tmp_path / "chromium"
    if request.param != "no file":
        place.write_text("#!/bin/sh\necho 'error while loading shared libraries: libnss3.so' >&2\nexit 127\n")
        place.chmod(0o755)
    monkeypatch.setenv("CHROMIUM", str(place))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path / "none"))
    monkeypatch.setattr("book.press.pdf.NAMES", ())
    ran = SimpleNamespace(commands=[], status=1)
    monkeypatch.setattr(
        browser.subprocess, "run", lambda command, **_: ran.commands.append(command) or SimpleNamespace(returncode=ran.status)
    )
    return ran


def test_where_none_opens_one_is_fetched_and_at_the_end_a_line_says_how_to_have_it(without, capsys):
    assert browser.main(["--fetch"]) == 0
    assert without.commands == [[sys.executable, "-m", "playwright", "install", "--no-shell", "chromium"]]
    assert "it could not be fetched" in capsys.readouterr().out
    assert browser.main([]) == 0
    said = capsys.readouterr().out
    assert said.startswith(SKIPPED) and said.count("\n") == 1
    assert "playwright install --with-deps chromium" in said and "apt-get install chromium" in said


def test_where_one_opens_nothing_is_fetched_or_said(monkeypatch, capsys):
    monkeypatch.setattr(browser, "found", lambda: "")
    monkeypatch.setattr(browser, "fetch", lambda: pytest.fail("it was fetched"))
    assert [browser.main(words) for words in (["--fetch"], [])] == [0, 0] and capsys.readouterr().out == ""
