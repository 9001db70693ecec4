"""Runs with the book's instruments attached: what every page, every reference record and the command line train.

Inside: `Instruments` (the probes and what is asked of a trained detector), `run` (`experiments.run` under their eyes), `train`,
`norms`, `looked_at`.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from trial.instruments import mosaic_noise, scored
from trial.instruments.accumulation import gap
from trial.instruments.batchnorm import drift, recomputed, snapshot
from trial.instruments.probes import ConflictProbe, GradientProbe, NoiseProbe
from yolo_core import experiments
from yolo_core.data.voc import VocData
from yolo_core.training.config import RunConfig
from yolo_core.training.observer import Observer
from yolo_core.training.records import Run
from yolo_core.training.scoring import to_float
from yolo_core.training.train import Training
from yolo_core.training.train import train as train_alone

COMPARED = 100  # pictures of the val split whose scores are kept, so that two runs' orders can be compared
Live = Callable[[dict[str, pd.DataFrame]], None]


class Instruments(Observer):
    """Probes of gradients while a training goes on, and afterwards a post-mortem.

    live: called with the tables of the probe of gradients, or of a detector at points of the probe of conflict, at each of its looks.
    """

    def begin(self, training: Training) -> None:
        self.training, self.config, config = training, training.config, training.config
        # A look sees one process's part of a gradient, which means nothing.
        every = config.probe_steps if training.fabric.world_size == 1 else 0
        if every != config.probe_steps and training.fabric.global_rank == 0:
            warnings.warn(
                "of several processes none sees a whole gradient: nothing is probed, and the run has no tables of it", stacklevel=2
            )
        self.probe = GradientProbe(0 if config.anchor_free else every, training.loss)
        self.conflict = ConflictProbe(every if config.anchor_free else 0)
        self.noise = NoiseProbe(math.ceil(every / 5))
        self.statistics_before = snapshot(training.detector.backbone)

    def before_step(self, step: int, micro_batches: int, factor: float) -> None:
        self.step, self.factor, self.first = step, factor, True
        self.noise.begin(step, self.training.detector, micro_batches)

    def after_forward(self, outputs: Tensor, target: Tensor, terms: dict[str, Tensor], divisor: int) -> None:
        detector, step = self.training.detector, self.step
        if self.first and self.probe.wants(step):
            self.probe.observe(step, detector, outputs, target, terms, divisor, self.factor)
            self._show(self.probe.tables())
        if self.first and self.conflict.wants(step):
            self.conflict.observe(step, detector.head.neck, terms, self.factor)
            self._show({"conflict": self.conflict.table()})
        self.first = False

    def after_backward(self, images: int) -> None:
        self.noise.after_micro_batch(images)

    def after_step(self) -> None:
        self.noise.end(self.step, self.factor)

    def _show(self, tables: dict[str, pd.DataFrame]) -> None:
        if self.live is not None:
            self.live(tables)

    def loaded(self, run: Run) -> None:
        """A run that was trained before: shown once, as it ended."""
        self._show({name: run.table(name) for name in looked_at(run.config)})

    def state(self) -> dict[str, Any]:
        return {"probe": self.probe.state(), "noise": self.noise.state(), "conflict": self.conflict.state()}

    def load(self, state: dict[str, Any]) -> None:
        self.probe.load(state["probe"])
        self.noise.load(state["noise"])
        self.conflict.load(state["conflict"])

    def tables(self) -> dict[str, pd.DataFrame]:
        """What the probes have recorded, by table name."""
        return {**self.probe.tables(), "noise": self.noise.table(), "conflict": self.conflict.table()}

    def scored(self, outputs: Tensor, detections: Sequence[dict], targets: Sequence[dict]) -> dict[str, Any]:
        return scored.further(detections, targets) | scored.of_cells(outputs, targets, self.config)

    def finish(self, outputs: Tensor, train_data: VocData, val_data: VocData) -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:
        """What is asked of a trained detector once: its scores on pictures it has seen, what became of BatchNorm, as how large a batch
        mosaics act, whether gradients add up."""
        config, training, detector = self.config, self.training, self.training.detector
        # How well the detector does on pictures it has seen tells underfitting from overfitting (claim C1e).
        seen = train_data.sample(min(len(val_data), len(train_data)))
        found = {"train_split": training.score(seen.images, seen.targets)[1]}
        found["gradient_norm"] = norms(training.progress.curve, config.clip_norm)
        found["probes"] = self.probe.summary() | self.conflict.summary() | {"noise_scale": self.noise.scale()}
        if config.batchnorm == "train":
            found["batchnorm"] = drift(self.statistics_before, snapshot(detector.backbone))
            with recomputed(detector, seen.images):
                again = training.score(val_data.images, val_data.targets)[1]
            found["batchnorm"] |= {"map_recomputed": again["map"]}
            if "object_iou" in again:
                found["batchnorm"] |= {"object_iou_recomputed": again["object_iou"]["best"]}
        if config.mosaic and (sizes := [size for size in mosaic_noise.MICRO_BATCHES if 2 * size <= len(train_data)]):
            table = mosaic_noise.factors(mosaic_noise.measure(detector, training.loss, train_data, config.seed, sizes))
            found["mosaic"] = {str(micro): row.to_dict() for micro, row in table.iterrows()}
        if config.micro_batch < config.effective_batch:
            images, targets = train_data.__getitems__(list(range(min(config.effective_batch, len(train_data)))))
            target = training.grid.encode(targets, config.train_on_difficult).to(training.fabric.device)
            inputs = to_float(images, training.fabric.device)
            found["accumulation_gap"] = gap(detector, training.loss, inputs, target, config.micro_batch, config.cache_features)
        found["resampled"] = scored.resampled(outputs, val_data.targets, config)
        later = {"scores": scored.cell_scores(outputs[:COMPARED], config), "detections": scored.shown(outputs, config)}
        return found, self.tables() | later


def looked_at(config: RunConfig) -> tuple[str, ...]:
    """The tables of a run that `live` is called with."""
    return ("conflict",) if config.anchor_free else ("terms", "cells")


def norms(curve: list[dict[str, Any]], clip_norm: float | None) -> dict[str, float]:
    """The gradient's norm before clipping, over the steps after the first fifth: `median`, `log_spread` (the deviation of its logarithm)
    and the share of steps that were `clipped`."""
    found = np.array([row["gradient_norm"] for row in curve[len(curve) // 5 :]])
    found = found[np.isfinite(found) & (found > 0)]
    if not len(found):
        return {"median": math.nan, "log_spread": math.nan, "clipped": math.nan}
    clipped = float((found > clip_norm).mean()) if clip_norm is not None else 0.0
    return {"median": float(np.median(found)), "log_spread": float(np.log(found).std()), "clipped": clipped}


def run(name: str, arm: str, profile: str = "pocket", seed: int = 0, live: Live | None = None, **options: Any) -> Run:
    """`experiments.run` with the `Instruments` attached. live: as for them; of a run that is loaded, called once."""
    return experiments.run(name, arm, profile, seed, observer=Instruments, live=live, **options)


def train(*arguments: Any, live: Live | None = None, **options: Any) -> Run:
    """`train.train` with the `Instruments` attached."""
    return train_alone(*arguments, observer=Instruments(live), **options)
