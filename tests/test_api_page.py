"""The page on the code: every module is there, and docstrings, which are plain prose, become sound reStructuredText."""

import importlib
import importlib.util
import inspect
import re
from pathlib import Path
from types import ModuleType

import pytest
from docutils.core import publish_doctree
from docutils.parsers.rst import roles

ROOT = Path(__file__).resolve().parents[1]
MODULES = re.findall(r"^\.\. automodule:: (\S+)$", (ROOT / "book/api.md").read_text(), re.MULTILINE)


def extension() -> ModuleType:
    spec = importlib.util.spec_from_file_location("book_api", ROOT / "book/_ext/book_api.py")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


to_rst = extension().to_rst


def rst(docstring: str) -> str:
    return "\n".join(to_rst(inspect.cleandoc(docstring).splitlines())).strip()


def docstrings(module: ModuleType):
    """(name, docstring) of the module, its public functions and classes, and their methods."""
    yield module.__name__, module.__doc__
    for name, thing in vars(module).items():
        if not name.startswith("_") and getattr(thing, "__module__", None) == module.__name__:
            inner = vars(thing).items() if inspect.isclass(thing) else ()
            yield from [(name, thing.__doc__), *((f"{name}.{key}", getattr(value, "__doc__", None)) for key, value in inner)]


@pytest.mark.parametrize("room", ["yolo_core.detector", "yolo_core.data", "yolo_core.training", "anchor_free", "voc_tree", "emojivoc"])
def test_every_module_of_the_detector_and_the_data_is_on_the_page(room):
    there = {f"{room}.{file.stem}" for file in (ROOT / room.replace(".", "/")).glob("[a-z]*.py")}
    assert there == {name for name in MODULES if name.startswith(f"{room}.")}, "list it in book/api.md"


def test_the_page_is_in_the_book():
    assert "file: book/api\n" in (ROOT / "_toc.yml").read_text()


@pytest.mark.parametrize("name", MODULES)
def test_the_docstrings_of_a_module_are_sound(name):
    roles.register_local_role("eq", lambda *_, **__: ([], []))
    complaints = []
    for what, text in docstrings(importlib.import_module(name)):
        if isinstance(text, str) and text.strip():
            tree = publish_doctree(rst(text), settings_overrides={"report_level": 2, "halt_level": 6, "warning_stream": False})
            complaints += [f"{what}: {node.astext()}" for node in tree.findall(lambda n: n.tagname in ("system_message", "problematic"))]
    assert complaints == []


@pytest.mark.parametrize(
    ("docstring", "wanted"),
    [
        ("lambda |c|^gamma * c_1", r"lambda \|c\|^gamma \* c\_1"),
        ("`Grid` of *n", r"\ ``Grid``\  of \*n"),
        ("The mesh (eq-cell).", r"The mesh \ :eq:`eq-cell`\ ."),
        ("Kept (eq-cell; a paper).", r"Kept \ (:eq:`eq-cell`\ ; a paper)."),
        ("Words.\n\nsize: first\n    and more.\nlast: second.", "Words.\n\n\n- ``size``: first\n  and more.\n- ``last``: second."),
        ('size: first.\n    "root": a root.\nRaises X.', '- ``size``: first.\n\n  - ``"root"``: a root.\n\nRaises X.'),
        ("A sentence that wraps\nunits: as prose does.", "A sentence that wraps\nunits: as prose does."),
    ],
)
def test_a_docstring_becomes_paragraphs_lists_and_links(docstring, wanted):
    assert rst(docstring) == wanted
