"""Shapes and types in signatures are checked while the tests run; `unchecked` is for those that compile.

And what the tests in a browser share: Chromium, the smoke book, the address where it is served.
"""

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import jaxtyping
import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

from groundwork.code_hash import PACKAGES

install_import_hook(PACKAGES, "typecheck.checked")
settings.register_profile("unhurried", deadline=None)  # on a busy machine an example takes what it takes
settings.load_profile("unhurried")


def pytest_collection_finish() -> None:
    """What was imported stays to the end: the garbage collector need not look through it again."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def unchecked() -> Iterator[None]:
    """The checker's own calls are none that fit into one graph, so it pauses. And nothing compiled is left behind."""
    import torch

    jaxtyping.config.update("jaxtyping_disable", True)
    torch._dynamo.utils.counters.clear()
    with torch._functorch.config.patch(donated_buffer=torch._functorch.config.donated_buffer):
        yield
    torch._dynamo.reset()
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def quick_onnx(monkeypatch: pytest.MonkeyPatch) -> None:
    """`torch.onnx.export` gives, of any detector, a sound model that puts out the pictures themselves: tracing one takes ten seconds, and
    some tests are of what happens around it."""
    from onnx import TensorProto, helper

    from trial.inference.export import INPUT, OUTPUTS

    ends = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3, None, None]) for name in (INPUT, *OUTPUTS)}
    nodes = [helper.make_node("Identity", [INPUT], [name]) for name in OUTPUTS]
    graph = helper.make_graph(nodes, "pictures", [ends[INPUT]], [ends[name] for name in OUTPUTS])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    monkeypatch.setattr("torch.onnx.export", lambda *_, **__: SimpleNamespace(model_proto=model))


@pytest.fixture
def browser() -> object:
    """Chromium, one a process; where there is none the test is passed over, and fails in CI."""
    from visit import chromium

    from groundwork.errors import InputError

    try:
        return chromium()
    except InputError as error:
        pytest.fail(str(error)) if os.environ.get("CI") else pytest.skip(str(error))


@pytest.fixture(scope="session")
def book() -> Path:
    """The folder of the smoke book's HTML, built first where it is absent or stale, by one process at a time."""
    from book.press import publish
    from groundwork.locks import alone
    from groundwork.paths import BUILD

    with alone(BUILD / "smoke" / "book"):
        return publish.build("smoke").parent


@pytest.fixture(scope="session")
def address(book: Path) -> Iterator[str]:
    from book.press.pdf import serving

    with serving(book) as address:
        yield address


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Chromium stays open as long as tests that need it follow one another."""
    if "visit" in sys.modules and not {"browser", "book"} & set(getattr(nextitem, "fixturenames", ())):
        sys.modules["visit"].leave()
