"""Shapes and types in signatures are checked while the tests run; `unchecked` is for those that compile."""

from collections.abc import Iterator

import jaxtyping
import pytest
from jaxtyping import install_import_hook

from groundwork.code_hash import PACKAGES

install_import_hook(PACKAGES, "typecheck.checked")


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
