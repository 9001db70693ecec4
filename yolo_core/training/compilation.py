"""The detector compiled by torch.compile: fewer, larger kernels for a training step.

Inside: `compiled`, `explained` (where compiling fails).

A compiled net rounds otherwise and draws dropout's random numbers otherwise: a speed for one's own runs, not for records that others
are to repeat.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch._dynamo.exc import TorchDynamoException

from groundwork.errors import InputError

BACKEND = "inductor"


def compiled(model: nn.Module) -> Callable[..., torch.Tensor]:
    """`model` as one graph for each shape it meets; weights and statistics are its own, and so are their names in its state_dict."""
    torch._functorch.config.donated_buffer = False  # a probe goes through a graph several times: nothing in it may be written over
    return torch.compile(model, backend=BACKEND, fullgraph=True, dynamic=False)


@contextmanager
def explained() -> Iterator[None]:
    """InputError for a compiler that is missing or gives up, inside."""
    try:
        yield
    except TorchDynamoException as error:
        said = " ".join(str(error).split("\n")[:2])
        raise InputError(
            f"the detector could not be compiled ({said}); install a C++ compiler (Debian: apt install g++), or leave --compile out"
        ) from error
