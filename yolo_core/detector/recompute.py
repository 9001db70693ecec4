"""Activation checkpointing (Chen et al., 2016): a block keeps its input alone, and runs again when the backward pass needs the rest.

Inside: `recomputed`.
"""

from contextlib import nullcontext
from typing import Any

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def recomputed(block: nn.Module, x: Tensor, **options: Any) -> Tensor:
    """`block(x, **options)`, to the bit, with less to remember until the backward pass. The second run draws the first one's random
    numbers, so that stochastic depth drops the same pictures, and leaves BatchNorm's running statistics to the first."""
    return checkpoint(block, x, use_reentrant=False, context_fn=lambda: (nullcontext(), _StandingStill(block)), **options)


class _StandingStill:
    """A context in which BatchNorm layers in train mode move their statistics by nothing; it can be entered again, for a graph that is
    gone through twice. Without any statistics they would save fewer tensors than the first run did, which checkpointing refuses."""

    def __init__(self, block: nn.Module) -> None:
        self.norms = [m for m in block.modules() if isinstance(m, nn.BatchNorm2d)]

    def __enter__(self) -> None:
        self.held = [(m.momentum, m.num_batches_tracked) for m in self.norms]
        for m in self.norms:
            m.momentum, m.num_batches_tracked = 0.0, None

    def __exit__(self, *_: object) -> None:
        for m, (momentum, tracked) in zip(self.norms, self.held, strict=True):
            m.momentum, m.num_batches_tracked = momentum, tracked
