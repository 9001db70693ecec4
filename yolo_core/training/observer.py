"""What may watch a training: told of every step, and of nothing that it could change.

Inside: `Observer`.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import pandas as pd
from torch import Tensor

from groundwork.code_hash import code_hash, modules
from groundwork.errors import InputError

if TYPE_CHECKING:
    from yolo_core.data.voc import VocData
    from yolo_core.training.records import Run
    from yolo_core.training.train import Training


class Observer:
    """Watches one training and asks its questions afterwards; this one sees nothing, and a subclass overrides what it wants.

    It draws no random number, writes to no `.grad` and runs no layer in train mode, so that weights are equal bit for bit with and without
    it. What it has seen goes into checkpoints (`state`, `load`) and into the run's record (`finish`)."""

    def __init__(self, live: Callable[[dict[str, pd.DataFrame]], None] | None = None) -> None:
        """live: called with tables of what was seen so far, at each look; a figure in a notebook that grows."""
        self.live = live

    @classmethod
    @cache
    def code(cls) -> str:
        """Hash of the code that watches, so that a run is known to have been seen by this observer; its name where it is the user's own."""
        try:
            return code_hash(modules(cls.__module__))
        except InputError:
            return f"{cls.__module__}.{cls.__qualname__}"

    def begin(self, training: "Training") -> None:
        """The detector has its first weights and has not been moved to a device; no step is taken."""

    def before_step(self, step: int, micro_batches: int, factor: float) -> None:
        """factor: what half precision multiplies the loss by in this step; 1 elsewhere."""

    def after_forward(self, outputs: Tensor, target: Tensor, terms: dict[str, Tensor], divisor: int) -> None:
        """Of each micro-batch, before its backward pass. terms: the loss's, already divided by `divisor`."""

    def after_backward(self, images: int) -> None:
        """Of each micro-batch of so many images: `.grad` has grown by its gradient."""

    def after_step(self) -> None:
        """After the last backward pass, before clipping."""

    def scored(self, outputs: Tensor, detections: Sequence[dict], targets: Sequence[dict]) -> dict[str, Any]:
        """Further figures of a detector on a split, from its outputs and what `scoring.score` decoded from them."""
        return {}

    def finish(self, outputs: Tensor, train_data: "VocData", val_data: "VocData") -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:
        """What the record says besides, and tables to store; `outputs` on val, `train_data` with its pictures as they are."""
        return {}, {}

    def loaded(self, run: "Run") -> None:
        """In the place of all that: the run had been trained before."""

    def state(self) -> Any:
        """All that was seen, in plain numbers, lists and dicts."""

    def load(self, state: Any) -> None:
        """Go on from a `state`."""
