"""The book's driver on a small book: what runs again, what is kept when something fails, and how numbers reach the pages."""

import json
import os
import re
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import nbformat
import pytest

from book.press import publish
from book.press.execute import data_key, execute, source_key
from book.press.notebook import ExecutionError, _clean
from groundwork.code_hash import PACKAGES, code_hash, modules
from groundwork.errors import InputError
from groundwork.locks import alone
from groundwork.strict_json import write_json
from yolo_core.__main__ import main as command_line
from yolo_core.training.config import BUILDERS

ROOT = Path(__file__).resolve().parents[1]
PARAMETERS = 'import os\n\nprofile = os.environ.get("YOLO_PROFILE", "pocket")'
PUBLISH = 'from trial import numbers\n\nnumbers.publish("shown", value="0.031", arms={"mse": "0.030"}, profile=profile)'

STORY = "# Story\n\nValue {{ shown.value }}, {{ shown.arms.mse }}, {{ shown.profile }}, {{ build.profile }}, {{ claims.verdict }}.\n"


def write_notebook(path: Path, *cells: str) -> None:
    made = nbformat.v4.new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}})
    made.cells = [nbformat.v4.new_markdown_cell("# A page\n\nThe value is {{ shown.value }}."), nbformat.v4.new_code_cell(PARAMETERS)]
    made.cells[1].metadata["tags"] = ["parameters"]
    made.cells += [nbformat.v4.new_code_cell(cell) for cell in cells]
    for position, cell in enumerate(made.cells):
        cell["id"] = f"cell-{position}"
    path.parent.mkdir(exist_ok=True)
    nbformat.write(made, path)


@pytest.fixture(scope="module")
def first_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkout (`book`) and its first build: a kernel and Sphinx, once for all tests that begin there. Its path has letters in it
    that mean something to papermill, to Python's path, and to a shell."""
    folder = tmp_path_factory.mktemp("first") / "it's {x} {10:30} $HOME [a]"
    folder.mkdir()
    build(small_checkout(folder))
    return folder


@pytest.fixture
def built(tmp_path: Path, first_build: Path) -> Path:
    """A copy of that checkout with all that was built."""
    return Path(shutil.copytree(first_build, tmp_path / "{built}: 2"))


@pytest.fixture
def book(tmp_path: Path) -> Path:
    return small_checkout(tmp_path)


def small_checkout(folder: Path) -> Path:
    """A checkout with the real configuration, one page and one notebook, `notebooks/page.ipynb`, that publishes a number."""
    for name in ("_config.yml", "constraints.txt"):
        shutil.copy(ROOT / name, folder / name)
    for name in ("_ext", "_static", "_templates"):
        shutil.copytree(ROOT / "book" / name, folder / "book" / name)
    shutil.copy(ROOT / "book/references.bib", folder / "book/references.bib")
    (folder / "_toc.yml").write_text("format: jb-book\nroot: book/story\nchapters:\n  - file: notebooks/page\n")
    (folder / "book/story.md").write_text(STORY)
    write_notebook(folder / "notebooks/page.ipynb", PUBLISH, "print(profile)")
    return folder


def run(book: Path) -> dict:
    return execute(["notebooks/page.ipynb"], "smoke", book / "_build/smoke", lambda profile: None, root=book)


def build(book: Path) -> Path:
    concluded = {"claims": {"verdict": "HOLDS"}}
    return publish.build("smoke", root=book, prepare=lambda profile: None, conclude=lambda profile: concluded)


def test_numbers_reach_pages_and_a_second_build_does_nothing(built, monkeypatch, capsys):
    book, index = built, built / "_build/smoke/html/index.html"
    story = (index.parent / "book/story.html").read_text()
    assert "Value 0.031, 0.030, smoke, smoke, HOLDS." in story
    assert "The value is 0.031." in (index.parent / "notebooks/page.html").read_text()
    assert (index.parent / "plotly.min.js").exists() and (index.parent / "mathjax/tex-svg-full.js").exists()
    assert [file.name for file in (book / "notebooks").iterdir()] == ["page.ipynb"], "products stay out of the sources"
    monkeypatch.setattr("book.press.execute.side_by_side", lambda *_: pytest.fail("the notebook ran again"))
    monkeypatch.setattr(publish, "side_by_side", lambda *_: pytest.fail("the pages were built again"))
    capsys.readouterr()
    assert build(book) == index and capsys.readouterr().out == ""


def test_buttons_for_binder_and_colab_come_with_an_address_and_not_before(built):
    book, page = built, built / "_build/smoke/html/notebooks/page.html"
    assert not re.search("mybinder|colab.research", page.read_text())
    config = (book / "_config.yml").read_text()
    (book / "_config.yml").write_text(config.replace('url: ""', 'url: "https://github.com/someone/a-book"'))
    build(book)
    links = re.findall(r'href="(https://(?:mybinder|colab)[^"]+)"', page.read_text())
    path = "notebooks/page.ipynb"
    assert (book / path).is_file()
    assert sorted(links) == [
        f"https://colab.research.google.com/github/someone/a-book/blob/main/{path}",
        f"https://mybinder.org/v2/gh/someone/a-book/main?urlpath=lab/tree/{path}",
    ]


def test_a_missing_number_fails_the_build_and_keeps_the_earlier_pages(built):
    book, index = built, built / "_build/smoke/html/index.html"
    before = index.parent.joinpath("book/story.html").read_bytes()
    (book / "book/story.md").write_text("# Story\n\nValue {{ shown.nothing }}.\n")
    with pytest.raises(publish.PublishError, match=r"book/story\.md:3: WARNING.*nothing"):
        build(book)
    assert index.parent.joinpath("book/story.html").read_bytes() == before


def test_a_sphinx_that_ends_without_a_word_is_told_and_the_earlier_pages_stay(built, monkeypatch):
    before = (built / "_build/smoke/html/book/story.html").read_bytes()
    (built / "book/story.md").write_text(STORY + "\nMore.\n")
    monkeypatch.setattr(publish, "partial", lambda *_: partial(os._exit, 9))
    with pytest.raises(publish.PublishError, match=r"sphinx\.log\.\nits process ended early, with exit status 9"):
        build(built)
    assert (built / "_build/smoke/html/book/story.html").read_bytes() == before


def test_a_build_that_is_ended_while_the_old_pages_are_removed_has_put_the_new_ones_in_place(built, monkeypatch):
    def ended(folder, remove=shutil.rmtree, **options):
        if index := next(Path(folder).rglob("index.html"), None):
            index.unlink()
            raise KeyboardInterrupt
        remove(folder, **options)

    (built / "book/story.md").write_text(STORY + "\nMore.\n")
    monkeypatch.setattr(publish.shutil, "rmtree", ended)
    with pytest.raises(KeyboardInterrupt):
        build(built)
    html = built / "_build/smoke/html"
    assert (html / "index.html").exists() and "More." in (html / "book/story.html").read_text()


def test_a_failing_cell_is_told_in_a_sentence_and_loses_nothing(built, capsys):
    book, record = built, run(built)
    kept = (book / "_build/smoke/notebooks/page.ipynb").read_bytes()
    write_notebook(book / "notebooks/page.ipynb", PUBLISH.replace("0.031", "0.9"), "# a comment\nvalue = 1 / 0")
    with pytest.raises(ExecutionError) as caught:
        run(book)
    said = str(caught.value)
    assert "notebooks/page.ipynb, the code cell [4] that begins `# a comment`: ZeroDivisionError: division by zero." in said
    assert said.endswith("make book PROFILE=smoke") and "\n" not in said
    assert (book / "_build/smoke/notebooks/page.ipynb").read_bytes() == kept
    assert json.loads((book / "_build/smoke/numbers/notebooks-page/shown.json").read_text())["value"] == "0.031"
    assert json.loads((book / "_build/smoke/execution.json").read_text()) == record
    assert (book / "_build/smoke/failed/page.ipynb").exists()


def test_a_number_that_is_no_longer_published_is_gone(built):
    book = built
    write_notebook(book / "notebooks/page.ipynb", "profile")
    run(book)
    assert list((book / "_build/smoke/numbers/notebooks-page").iterdir()) == []


def test_an_unknown_profile_is_refused_before_anything_is_written(book):
    with pytest.raises(InputError, match="unknown profile 'smokey'"):
        publish.build("smokey", root=book)
    assert not (book / "_build").exists()


def test_main_prints_one_sentence_and_fails_and_the_command_does_so_with_status_2_for_what_the_reader_can_mend(monkeypatch, capsys):
    def refuse(profile: str, reading: bool) -> Path:
        raise error

    monkeypatch.setattr(publish, "build", refuse)
    error = publish.PublishError("what was expected, what came, what to do")
    assert publish.main("smoke") == 1
    assert capsys.readouterr().err == "error: what was expected, what came, what to do\n"
    error = InputError("what the reader can mend")
    assert command_line(["book", "--profile", "smoke"]) == 2
    assert capsys.readouterr().err == "error: what the reader can mend\n"


def test_a_build_leaves_said_how_long_it_took_and_one_that_had_nothing_to_do_changes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(publish, "BUILD", tmp_path)
    monkeypatch.setattr(publish, "runs_folder", lambda: tmp_path / "runs")
    journal = tmp_path / "smoke/execution.json"

    def built(profile: str, reading: bool) -> Path:
        journal.parent.mkdir(exist_ok=True)
        journal.write_text(json.dumps({"a": {"key": "1"}, "b": {"key": "2"}}))
        (tmp_path / "runs/one").mkdir(parents=True, exist_ok=True)
        (tmp_path / "runs/one/record.json").write_text("{}")
        return journal

    monkeypatch.setattr(publish, "build", built)
    assert publish.main("smoke") == 0
    left = json.loads((tmp_path / "smoke/built.json").read_text())
    assert {key: left[key] for key in ("notebooks", "ran", "trained")} == {"notebooks": 2, "ran": 2, "trained": 1}
    (tmp_path / "smoke/built.json").write_text("kept")
    assert publish.main("smoke") == 0
    assert (tmp_path / "smoke/built.json").read_text() == "kept"
    journal.write_text(json.dumps({"a": {"key": "0"}, "b": {"key": "2"}}))
    assert publish.main("smoke") == 0
    assert json.loads((tmp_path / "smoke/built.json").read_text())["ran"] == 1


def test_the_stamp_of_a_notebook_holds_its_cells_profile_code_and_records(book):
    package = book / "yolo_core"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "thing.py").write_text("X = 1  # a comment\n")
    notebook = book / "notebooks/page.ipynb"
    write_notebook(notebook, "from yolo_core import thing")
    key = source_key(notebook, "smoke", book)
    (package / "thing.py").write_text("X = 1  # another\n")
    (package / "unrelated.py").write_text("Y = 1\n")
    stored = json.loads(notebook.read_text())
    stored["cells"][1]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "1"}]
    stored["cells"][1]["execution_count"] = 3
    notebook.write_text(json.dumps(stored))
    assert source_key(notebook, "smoke", book) == key
    seen = {key, source_key(notebook, "pocket", book)}
    (book / "records").mkdir()
    for name in ("yolo_core/thing.py", "yolo_core/stats.json", "records/a.json", "constraints.txt"):
        (book / name).write_text("2")
        seen.add(source_key(notebook, "smoke", book))
    write_notebook(notebook, "from yolo_core import thing\nthing.X")
    seen.add(source_key(notebook, "smoke", book))
    assert len(seen) == 7


def test_a_changed_line_of_the_loss_re_runs_every_page_that_trains_and_a_comment_none(tmp_path):
    """On a copy of the package and the notebooks: which stamps change, and whether the run keys do."""
    for name in (*(package.replace(".", "/") for package in PACKAGES), "notebooks"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    notebooks = sorted((tmp_path / "notebooks").glob("*.ipynb"))

    def stamps():
        trains = code_hash(modules("yolo_core.training.train", *BUILDERS, root=tmp_path), tmp_path)
        return {n.stem: source_key(n, "smoke", tmp_path) for n in notebooks}, trains

    before, trained = stamps()
    loss = tmp_path / "yolo_core/detector/loss.py"
    loss.write_text(loss.read_text() + "\n# a comment\n")
    assert stamps() == (before, trained)
    loss.write_text(loss.read_text().replace("self.lambda_coord * self._box", "2 * self.lambda_coord * self._box"))
    after, trained_after = stamps()
    assert trained_after != trained
    assert {name for name in before if before[name] != after[name]} >= {"baseline", "focal", "transfer", "finetune"}
    loss.write_text((ROOT / "yolo_core/detector/loss.py").read_text())
    assert stamps() == (before, trained), "put back, nothing runs again"


def test_the_stamp_of_the_data_sees_the_tree_and_not_the_caches(book):
    tree = book / "_build/data/smoke/VOCdevkit"
    tree.mkdir(parents=True)
    empty = data_key("smoke", book)
    (tree.parent / "cache.bin").write_bytes(b"1")
    assert data_key("smoke", book) == empty
    (tree / "a.jpg").write_bytes(b"1")
    one = data_key("smoke", book)
    (tree / "a.jpg").write_bytes(b"12")
    assert len({empty, one, data_key("smoke", book)}) == 3


@pytest.mark.parametrize("profile", ["photographs", "long"])
def test_the_stamp_of_the_data_sees_a_tree_that_a_variable_names(book, tmp_path, monkeypatch, profile):
    """`long` works on the pictures of `photographs`."""
    (tmp_path / "mine/VOCdevkit").mkdir(parents=True)
    monkeypatch.setenv("YOLO_DATA_PHOTOGRAPHS", str(tmp_path / "mine"))
    empty = data_key(profile, book)
    (tmp_path / "mine/VOCdevkit/a.jpg").write_bytes(b"1")
    assert data_key(profile, book) != empty


def test_the_table_of_contents_is_read_in_order_and_a_missing_page_is_named(book):
    assert publish.pages(book) == ["book/story.md", "notebooks/page.ipynb"]
    (book / "notebooks/page.ipynb").unlink()
    with pytest.raises(InputError, match="notebooks/page is listed"):
        publish.pages(book)


def test_an_executed_notebook_keeps_descriptions_and_drops_clocks_paths_and_widgets(tmp_path):
    picture = {"output_type": "display_data", "data": {"image/png": ""}, "metadata": {"image/png": {"alt": "A rising line"}}}
    widget = {"output_type": "display_data", "data": {"application/vnd.jupyter.widget-view+json": {}, "text/plain": "bar"}, "metadata": {}}
    cells = [
        {"cell_type": "code", "source": PARAMETERS, "metadata": {"tags": ["parameters"]}, "outputs": []},
        {"cell_type": "code", "source": "profile = 1", "metadata": {"tags": ["injected-parameters"], "papermill": {}}, "outputs": []},
        {"cell_type": "code", "source": "draw()", "metadata": {"papermill": {}}, "outputs": [picture, widget]},
    ]
    file = tmp_path / "page.ipynb"
    file.write_text(json.dumps({"cells": cells, "metadata": {"papermill": {"input_path": "/home"}, "widgets": {}}}))
    _clean(file)
    cleaned = json.loads(file.read_text())
    assert cleaned["metadata"] == {}
    assert [("remove-cell" in cell["metadata"].get("tags", [])) for cell in cleaned["cells"]] == [True, True, False]
    assert cleaned["cells"][2]["metadata"] == {"mystnb": {"image": {"alt": "A rising line"}}}
    outputs = cleaned["cells"][2]["outputs"]
    assert len(outputs) == 1 and "image/png" in outputs[0]["data"], "a progress bar leaves nothing, not even its text"


def test_of_two_builds_at_once_one_waits_and_says_so(book, monkeypatch, capsys):
    """Threads in the place of processes, and notebooks that take half a second; the pages are built in earnest."""
    inside, begun = [], []

    def slow(*_):
        begun.append(len(inside))
        inside.append(1)
        time.sleep(0.5)
        shutil.copytree(book / "notebooks", book / "_build/smoke/notebooks", dirs_exist_ok=True)
        write_json(book / "_build/smoke/numbers/notebooks-page/shown.json", {"value": "1", "arms": {"mse": "2"}, "profile": "p"})
        return {}

    html = publish._html
    monkeypatch.setattr(publish, "execute", slow)
    monkeypatch.setattr(publish, "_html", lambda out: (html(out), inside.pop())[0])
    (book / "_build/smoke/numbers/notebooks-page").mkdir(parents=True)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: build(book), range(2))
    assert first == second == book / "_build/smoke/html/index.html" and first.exists()
    assert begun == [0, 0], "the second began before the first had ended"
    assert capsys.readouterr().out.count("another build is at work there; this one waits for it") == 1


def test_the_pdf_waits_for_a_build(tmp_path, monkeypatch, capsys):
    from book.press import pdf

    monkeypatch.setattr(pdf, "BUILD", tmp_path)
    (tmp_path / "smoke/html").mkdir(parents=True)
    (tmp_path / "smoke/html/index.html").touch()
    monkeypatch.setattr(pdf, "print_pages", lambda *_: Path("book.pdf"))
    with ThreadPoolExecutor(1) as pool:
        with alone(tmp_path / "smoke"):
            printed = pool.submit(pdf.write_pdf, "smoke")
            with pytest.raises(TimeoutError):
                printed.result(0.5)
        assert printed.result(30) == Path("book.pdf")
    assert "a build is at work there; this waits for it" in capsys.readouterr().out
