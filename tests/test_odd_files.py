"""Odd files and places: pipes, links that lead nowhere, editors' and systems' own files, torn notes, disks that are full. Each costs a
sentence at the most, never what took long, and nothing waits for ever."""

import hashlib
import json
import os
import sys
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import jinja2
import pytest
from helpers_voc import annotation, image, split_file, write_tree
from playwright.sync_api import sync_playwright
from test_as_asked import refused
from test_bench import parts  # noqa: F401
from test_links import host  # noqa: F401
from test_publish import small_checkout

from bench import bench
from book.press import exercises, pdf, publish
from book.press.links import addresses, check
from emojivoc import emoji
from emojivoc.__main__ import main as emojivoc
from groundwork.answer import answer
from groundwork.archives import Archive, fetch
from groundwork.errors import InputError
from groundwork.locks import alone
from trial.register import established
from voc_tree import photographs, tree
from voc_tree.picture import decode
from yolo_core.__main__ import main
from yolo_core.training.records import read_run
from yolo_core.training.writing import keep

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "book/_ext")]
import on_a_card  # noqa: E402
import pack_for_a_card  # noqa: E402
from book_numbers import Shown  # noqa: E402

posix = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with a name")
WHOLE = b"an archive"


# What is waited for without an end


@posix
@pytest.mark.timeout(120)
def test_a_pipe_in_a_tree_is_a_fault_and_not_waited_for(tmp_path):
    root = write_tree(tmp_path / "tree", train=2, val=2)
    name = split_file(root, "train").read_text().split()[0]
    for place in (image(root, name), annotation(root, name), split_file(root, "mine")):
        place.unlink(missing_ok=True)
        os.mkfifo(place)
    faults = tree.check(root)
    assert len(faults) == 3 and all("pipe" in fault for fault in faults)
    with pytest.raises(InputError, match="annotations are missing|images are missing"):
        tree.Split(root, "train")
    with pytest.raises(InputError, match="found a pipe"):
        decode(image(root, name))


@posix
@pytest.mark.timeout(120)
def test_a_pipe_in_the_place_of_a_record_a_stamp_or_an_archive_is_told(tmp_path, monkeypatch, capsys):
    for name in ("record.json", emoji.DRAWN, "one.tar"):
        os.mkfifo(tmp_path / name)
    with pytest.raises(InputError, match="not a finished run"):
        read_run(tmp_path)
    assert "expected a new or empty folder" in refused(capsys, "data", "emoji", "--out", tmp_path, "--train", 1, "--val", 1)
    with pytest.raises(InputError, match="found something that is no file; move it away"):
        fetch(Archive("http://127.0.0.1:9/one.tar", 1, ""), tmp_path, progress=False)
    monkeypatch.setattr(photographs, "ARCHIVES", {"one": Archive("http://127.0.0.1:9/one.tar", 1, "")})
    assert photographs.ARCHIVES["one"].missing(tmp_path) == 1, "it is not one of those that are there"


@posix
@pytest.mark.timeout(60)
def test_a_pipe_in_the_place_of_a_readers_notebook_is_told(tmp_path):
    os.mkfifo(tmp_path / "grid.ipynb")
    graded = exercises.grade("grid", tmp_path / "grid.ipynb")
    assert graded.verdict == "wrong" and "grid.ipynb: expected a notebook" in graded.said and "it is no file" in graded.said


# Links, and folders in the place of files


@pytest.mark.parametrize(
    "words",
    [
        ("train", "focal", "--arm", "mse", "--profile", "smoke", "--data", "none", "--out"),
        ("data", "emoji", "--train", "1", "--val", "1", "--out"),
        ("exercises", "--out"),
        ("forest", "--out"),
    ],
    ids=lambda words: words[0],
)
def test_a_link_to_itself_is_told_before_any_work(words, tmp_path, capsys):
    (tmp_path / "loop").symlink_to("loop")
    for place in ("loop", "loop/within"):
        assert "loop: a link that leads to itself; remove it" in refused(capsys, *words, tmp_path / place)
    assert [path.name for path in tmp_path.iterdir()] == ["loop"]


def test_a_folder_called_as_a_table_keeps_a_retrained_run_from_its_place_and_no_further(tmp_path):
    record = {"key": "k", "code": "c", "config": {}, "data": {"fingerprints": {}}, "metrics": {}}
    for _ in range(2):
        keep(tmp_path / "run", record, {}, {})
    (tmp_path / "run/mine.parquet").mkdir()
    with pytest.warns(UserWarning, match="something lies there by now"):
        assert keep(tmp_path / "run", record, {}, {}).folder == tmp_path / "run-2"
    assert (tmp_path / "run/mine.parquet").is_dir()


@pytest.mark.parametrize("lies", ["a link", "a folder"])
def test_what_lies_in_an_archives_place_and_is_none_is_left_there(tmp_path, lies):
    (tmp_path / "host").mkdir()
    (tmp_path / "host/voc.tar").write_bytes(WHOLE)
    place = tmp_path / "voc.tar"
    place.mkdir() if lies == "a folder" else place.symlink_to(tmp_path / "unplugged/voc.tar")
    archive = Archive((tmp_path / "host/voc.tar").as_uri(), len(WHOLE), hashlib.md5(WHOLE).hexdigest())
    with pytest.raises(InputError, match="found something that is no file; move it away and run this again, or fetch"):
        fetch(archive, tmp_path, progress=False)
    assert place.is_dir() if lies == "a folder" else place.is_symlink()


@pytest.mark.parametrize("name", ["src", "html"])
def test_a_link_in_the_place_of_what_a_build_makes_is_told_before_it_runs(tmp_path, monkeypatch, name):
    book = small_checkout(tmp_path)
    monkeypatch.setattr(publish, "execute", lambda *_: pytest.fail("ran"))
    (tmp_path / "web").mkdir()
    (book / "_build/smoke").mkdir(parents=True)
    (book / "_build/smoke" / name).symlink_to(tmp_path / "web")
    with pytest.raises(InputError, match=f"{name}: expected a folder of this build's, found a link; remove the link"):
        publish.build("smoke", root=book)


def test_a_build_folder_on_a_disk_that_is_not_there_is_told_as_that(tmp_path):
    (tmp_path / "build").symlink_to(tmp_path / "unplugged")
    said = f"{tmp_path / 'build'}: a link that leads nowhere today; bring back what it leads to \\({tmp_path / 'unplugged'}\\)"
    with pytest.raises(InputError, match=said), alone(tmp_path / "build/read"):
        pytest.fail("went on")


# What a build has read of the reader's, and what it has only noted


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("  - file: mine/page2\n", "mine/page2 lies where no page is looked for; move it into the folder book or notebooks"),
        ("  - file: notebooks/page\n", "notebooks/page is listed twice; take one of the two out"),
    ],
)
def test_a_page_that_would_not_be_found_or_run_twice_is_told_before_anything_runs(tmp_path, more, said):
    book = small_checkout(tmp_path)
    (book / "mine").mkdir()
    (book / "mine/page2.md").write_text("# Two")
    (book / "_toc.yml").write_text((book / "_toc.yml").read_text() + more)
    with pytest.raises(InputError, match=said):
        publish.build("smoke", root=book, prepare=lambda _: pytest.fail("went on"))


def test_a_page_in_a_folder_of_notebooks_is_built(tmp_path):
    (tmp_path / "out/notebooks/mine").mkdir(parents=True)
    (tmp_path / "out/notebooks/mine/two.ipynb").write_text("{}")
    (tmp_path / "book").mkdir()
    book = small_checkout(tmp_path / "book")
    publish._stage(["notebooks/mine/two.ipynb"], tmp_path / "out", book)
    assert (tmp_path / "out/src/notebooks/mine/two.ipynb").exists()


@pytest.mark.parametrize(
    "page", ["{{ shown }}", "{{ shown.arms }}", "{{ shown.arms.items }}", "{{ shown.value.title }}", "{{ shown.nothing }}"]
)
def test_a_name_of_no_number_is_printed_on_no_page(page):
    numbers = {"shown": Shown({"arms": {"mse": "0.030"}, "value": "0.031"})}
    template = jinja2.Environment(undefined=jinja2.StrictUndefined).from_string
    assert template("{{ shown.arms.mse }} {{ shown.value }}").render(numbers) == "0.030 0.031"
    with pytest.raises((jinja2.UndefinedError, TypeError)):
        template(page).render(numbers)


def test_a_chromium_that_is_named_and_is_none_is_not_replaced_by_another(monkeypatch):
    monkeypatch.setenv("CHROMIUM", "/nonsense/chrome")
    with sync_playwright() as playwright, pytest.raises(InputError, match="CHROMIUM: expected a program, and /nonsense/chrome is none"):
        pdf.chromium(playwright)


@pytest.mark.parametrize("content", ["", "<<<<<<< HEAD\n{}", "[]", '{"cells": [1]}'])
def test_a_notebook_that_is_none_is_told_before_anything_runs(tmp_path, content):
    book = small_checkout(tmp_path)
    (book / "notebooks/page.ipynb").write_text(content)
    with pytest.raises(InputError, match="page.ipynb: expected a notebook, got something else .*; mend it, or take it out of _toc.yml"):
        publish.build("smoke", root=book, prepare=lambda _: pytest.fail("went on"))


@pytest.mark.parametrize("content", [b"- file: [\n", b"\xff\xfe", b"a: b: c"])
def test_a_table_of_contents_that_cannot_be_read_is_one_sentence(tmp_path, content):
    (tmp_path / "_toc.yml").write_bytes(content)
    with pytest.raises(InputError, match="the table of contents cannot be read .*; mend it, or take it back") as caught:
        publish.pages(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"seconds": 1', '{"seconds": "x", "notebooks": 1, "ran": 1, "trained": 1}'])
def test_a_torn_note_of_a_build_costs_a_bench_nothing(tmp_path, content):
    (tmp_path / "built.json").write_text(content)
    assert bench.book(tmp_path) == "not known here"


def test_a_book_whose_note_cannot_be_written_is_built(tmp_path, monkeypatch, capsys):
    def noted(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(publish, "build", lambda *_, **__: tmp_path / "index.html")
    monkeypatch.setattr(publish, "_leave", noted)
    assert answer(lambda: publish.main("smoke")) == 0
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'index.html'}\n")


def test_the_corpus_counts_itself_where_python_looks_into_no_folder_unasked(monkeypatch):
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    assert int(publish.hostile()["total"]) > 100


# What took long is kept before it is told


@pytest.mark.parametrize("command", ["bench", "established"])
def test_a_record_is_kept_where_nobody_listens_any_more(parts, command, tmp_path, monkeypatch):  # noqa: F811
    """As with PYTHONUNBUFFERED, where every word goes out at once, or a `--json` longer than the buffer."""

    def gone(*_, file=None, **__):
        if file is None:
            raise BrokenPipeError

    monkeypatch.setattr(established, "train_fcos", lambda *_: {"detector": "F", "metrics": {"map": 0.5}, "train_split": {"map": 0.5}})
    monkeypatch.setattr("builtins.print", gone)
    assert main([command, "--out", str(tmp_path / "mine.json")]) == 141
    assert json.loads((tmp_path / "mine.json").read_text())


# Editors' and systems' own files; addresses


@pytest.fixture
def others(tmp_path):
    """A folder with a page, an exercise, and what an editor and a system keep beside them."""
    (tmp_path / "book").mkdir()
    (tmp_path / "book/story.md").write_text("https://example.org/a")
    (tmp_path / "iou.py").write_text("")
    for folder, name in ((tmp_path / "book", "story.md"), (tmp_path, "iou.py")):
        (folder / f".#{name}").symlink_to("user@host.1:2")
        (folder / f"._{name}").write_bytes(b"\xff\x00")
    return tmp_path


def test_links_and_exercises_pass_over_what_editors_and_systems_keep(others):
    (others / "notebooks").mkdir()
    (others / "notebooks/gone.ipynb").symlink_to(others / "nowhere")
    (others / "notebooks/old.ipynb").write_bytes(b"\xff\xfe https://example.org/b ")
    assert addresses(others) == {"https://example.org/a": ["book/story.md"], "https://example.org/b": ["notebooks/old.ipynb"]}
    assert exercises.names(others) == ["iou"]


def test_an_address_with_letters_beyond_ascii_is_asked_for_as_a_browser_does(host):  # noqa: F811
    assert dict(check([f"{host}/Größe", f"{host}/gone"])) == {f"{host}/gone": "status 404"}


def test_an_address_of_no_port_costs_no_other_its_answer(host):  # noqa: F811
    assert set(dict(check([f"{host}/there", "http://localhost:PORT/b"]))) == {"http://localhost:PORT/b"}


# emojivoc by itself


def test_emojivoc_by_itself_takes_no_empty_option_and_ends_in_any_terminal(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for words in (["--out", "", "--train", "1"], ["--out=", "--train", "1"]):
        assert emojivoc(words) == 2 and "--out: expected something after it" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    monkeypatch.setenv("COLUMNS", "4")
    with pytest.raises(SystemExit, match="0"):
        emojivoc(["--help"])
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert emojivoc(["--out", "x"]) == 2 and "the current folder has been removed" in capsys.readouterr().err


def test_a_drawing_process_that_is_killed_is_a_sentence_and_leaves_nothing(tmp_path, monkeypatch, capsys):
    class Pool:
        def __init__(self, *_):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def map(self, *_):
            raise BrokenProcessPool

    monkeypatch.setattr(emoji, "ProcessPoolExecutor", Pool)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    words = ["data", "emoji", "--out", tmp_path / "x", "--train", 300, "--val", 300, "--size", 32]
    assert main([str(word) for word in words]) == 2
    assert "error: a process that draws was ended (was there too little memory?)" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


# Scripts for a card


@pytest.mark.parametrize("words", [["--seconds", "-7"], ["--seconds", "nan"], ["--package", "/nowhere"]])
def test_a_card_is_asked_nothing_in_no_time_or_without_the_package_that_is_named(tmp_path, words, capsys):
    with pytest.raises(SystemExit, match="2"):
        on_a_card.main(["--out", str(tmp_path / "out"), "--work", str(tmp_path / "work"), *words])
    assert f"{words[0]}: expected" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_a_torn_package_is_a_sentence_and_leaves_no_folder_of_results(tmp_path, capsys):
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / pack_for_a_card.SITE).write_bytes(b"torn")
    words = ["--out", tmp_path / "out", "--work", tmp_path / "work", "--package", tmp_path / "package", "--rehearse"]
    assert on_a_card.main(list(map(str, words))) == 2 and not (tmp_path / "out").exists()
    assert "what was carried along cannot be unpacked" in capsys.readouterr().err


def test_packing_without_git_or_a_network_is_a_sentence_before_what_takes_long(tmp_path, monkeypatch):
    monkeypatch.setattr(pack_for_a_card, "site", lambda *_: pytest.fail("went on"))
    with monkeypatch.context() as patch, pytest.raises(InputError, match="git cannot say what is in the checkout .*; pack in a clone"):
        patch.setenv("GIT_DIR", "/nowhere")
        pack_for_a_card.pack(tmp_path / "package", [], 50, "3.12", 64)
    monkeypatch.undo()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(InputError, match="pip does not bring them .*; connect to a network") as caught:
        pack_for_a_card.site(tmp_path / "site.tar.xz", "3.12")
    assert "\n" not in str(caught.value)
