"""The book on paper: every page, in order, with its title in the outline and no link to a server that is gone."""

import os
import unicodedata

import pytest
from pypdf import PdfReader

from book.press import browser, pdf
from groundwork.errors import InputError
from yolo_core.__main__ import main

pytestmark = pytest.mark.browser

PAGE = (
    '<html><body><nav class="bd-sidebar-primary">SIDEBAR</nav>'
    '<article><h1>{}<a class="headerlink" href="#x">#</a></h1>{}</article></body></html>'
)


@pytest.fixture(scope="module")
def chromium():
    if why := browser.found():
        pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)


@pytest.fixture(scope="module")
def printed(chromium, tmp_path_factory):
    folder = tmp_path_factory.mktemp("html")
    link = '<p><a href="two.html">the other page</a>, <a href="#x">this one</a>, <a href="https://example.org/">elsewhere</a></p>'
    (folder / "one.html").write_text(PAGE.format("First", link + "<p id='x'>words of the first</p>"))
    (folder / "two.html").write_text(PAGE.format("Second", "<p>words of the second</p>" + "<p>line</p>" * 200))
    return PdfReader(pdf.print_pages(folder, ["one.html", "two.html"], folder / "book.pdf"))


def test_the_pages_follow_one_another_under_their_titles(printed):
    assert [(entry.title, printed.get_destination_page_number(entry)) for entry in printed.outline] == [("First", 0), ("Second", 1)]
    assert len(printed.pages) > 2, "the second page is longer than a sheet"
    first, second = (unicodedata.normalize("NFKC", page.extract_text()) for page in printed.pages[:2])  # some fonts join f and i
    assert "words of the first" in first and "words of the second" in second


def test_what_only_a_screen_has_is_not_printed(printed):
    assert "SIDEBAR" not in "".join(page.extract_text() for page in printed.pages)


def test_links_lead_elsewhere_or_nowhere_but_not_to_the_server_that_printed(printed):
    notes = [note.get_object() for page in printed.pages for note in page.get("/Annots", [])]
    targets = [note["/A"]["/URI"] for note in notes if "/URI" in note.get("/A", {})]
    assert "https://example.org/" in targets
    assert not [target for target in targets if "127.0.0.1" in target and "two" in target]


def test_a_page_that_is_not_there_is_named_and_nothing_is_written(chromium, tmp_path):
    (tmp_path / "one.html").write_text(PAGE.format("First", ""))
    with pytest.raises(InputError, match="two.html"):
        pdf.print_pages(tmp_path, ["one.html", "two.html"], tmp_path / "book.pdf")
    assert [file.name for file in tmp_path.iterdir()] == ["one.html"]


def test_a_chromium_that_ends_while_it_prints_is_a_sentence_and_nothing_is_written(chromium, tmp_path, monkeypatch):
    """As where the system ends it for want of memory."""

    def killed(page, address):
        page.context.browser.close()
        return page.title(), b""

    (tmp_path / "one.html").write_text(PAGE.format("First", ""))
    monkeypatch.setattr(pdf, "_printed", killed)
    with pytest.raises(InputError, match="Chromium stopped while it printed .*is there memory for it. Run this again"):
        pdf.print_pages(tmp_path, ["one.html"], tmp_path / "book.pdf")
    assert [file.name for file in tmp_path.iterdir()] == ["one.html"]


def test_a_folder_for_temporary_files_that_is_not_there_is_told_as_such(chromium, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "gone"))
    assert "TMPDIR: expected a folder that can be written to" in browser.found()


def test_a_book_that_has_not_been_built_is_asked_for(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pdf, "BUILD", tmp_path)
    assert main(["pdf", "--profile", "smoke"]) == 2
    assert "make book PROFILE=smoke" in capsys.readouterr().err
