"""Probes: what a training step felt, written down without touching it.

Inside: `GradientProbe`, `NoiseProbe`, `ConflictProbe`, `early`, `cell_ratios`.

A probe looks at the first micro-batch of every k-th step, after the forward pass and before the backward pass, hence before
clipping. It draws no random number, writes to no `.grad` and runs no layer again, so weights are equal bit for bit with or without it.
In half precision it looks through the same factor as the backward pass (precision.py) and writes down what that gives, divided by it;
a look at gradients that overflow is not written down.
"""

import copy
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from anchor_free.point_loss import PointLoss
from yolo_core.detector.loss import YoloLoss

STARVED = 0.1  # of the squared error's gradient


def _due(every: int, step: int) -> bool:
    """Whether a step is one of every `every`-th; 0: none is."""
    return every > 0 and step % every == 0


class GradientProbe:
    """Records, every `every` steps (and at the first): the gradient norm of each loss term on each layer; each cell's background gradient
    and confidence; a histogram of the background confidences.

    `terms`: step, term, layer ("outputs" is the loss's own input), norm. Besides the loss's four terms there are "background as mse" and
    "background as focal": what the background would have felt under either reading at the same weights, the same batch (claim C2a).
    `cells`: step, row, column, predictor, background (bool), confidence, gradient; of the batch's first picture. The gradient is that
    of the background term of one picture, not yet divided by the batch, so that eq-background reads gradient = 2 lambda c.
    """

    def __init__(self, every: int, loss: YoloLoss | PointLoss) -> None:
        """every: 0 for no look at all, which is what a loss at points gets: it has no cells."""
        self.every, self.grid, self.loss = every, loss.grid, loss
        self._terms: list[dict] = []
        self._cells: list[pd.DataFrame] = []

    def state(self) -> dict[str, Any]:
        """All that was recorded, in plain numbers and lists, for a checkpoint."""
        return {name: table.to_dict("list") for name, table in self.tables().items()}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a `state`."""
        self._terms = pd.DataFrame(state["terms"]).to_dict("records")
        cells = pd.DataFrame(state["cells"])
        self._cells = [] if cells.empty else [cells.astype({"confidence": np.float32, "gradient": np.float32})]

    def wants(self, step: int) -> bool:
        return _due(self.every, step)

    def observe(
        self, step: int, model: nn.Module, outputs: Tensor, target: Tensor, terms: dict[str, Tensor], divisor: int, factor: float = 1.0
    ) -> None:
        """terms: as `YoloLoss` returns them, already divided by `divisor`; the graph is kept for the step's own backward pass.
        factor: what half precision multiplies the loss by."""
        terms = terms | {f"background as {r}": self._reading(r)(outputs, target, divisor)["background"] for r in ("mse", "focal")}
        named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        sources, layers, felt = [outputs, *(p for _, p in named)], ["outputs", *(name for name, _ in named)], []
        for term, value in terms.items():
            gradients = torch.autograd.grad(value * factor, sources, retain_graph=True, allow_unused=True)
            for layer, gradient in zip(layers, gradients, strict=True):
                norm = 0.0 if gradient is None else gradient.norm().item() / factor
                felt.append({"step": step, "term": term, "layer": layer, "norm": norm})
            if term == "background":
                background = gradients[0] / factor * divisor
        if all(math.isfinite(row["norm"]) for row in felt):
            self._terms += felt
            self._observe_cells(step, outputs, target, background)

    def _reading(self, background: str) -> YoloLoss:
        """The run's own loss with another background term."""
        other = copy.copy(self.loss)
        other.background = background
        return other

    def _observe_cells(self, step: int, outputs: Tensor, target: Tensor, gradient: Tensor) -> None:
        parts, slopes = self.grid.split(outputs.detach()), self.grid.split(gradient)
        confidence = parts.confidence[0].float().numpy(force=True)  # s s b
        empty = (target[0, ..., 0] == 0).numpy(force=True)  # s s
        row, column, predictor = np.indices(confidence.shape)
        self._cells.append(
            pd.DataFrame(
                {
                    "step": step,
                    "row": row.ravel(),
                    "column": column.ravel(),
                    "predictor": predictor.ravel(),
                    "background": np.repeat(empty.ravel(), confidence.shape[-1]),
                    "confidence": confidence.ravel(),
                    "gradient": slopes.confidence[0].float().numpy(force=True).ravel(),
                }
            )
        )

    def tables(self) -> dict[str, pd.DataFrame]:
        """What was recorded, by table name; empty before the first look."""
        return {
            "terms": pd.DataFrame(self._terms),
            "cells": pd.concat(self._cells, ignore_index=True) if self._cells else pd.DataFrame(),
        }

    def summary(self) -> dict[str, float]:
        """The background gradient as focal over as mse, at the same weights, over the first fifth of the looks: the ratio of its norms on
        all weights (mean over looks), and the `starved` share of the background predictors, whose own ratio is below a tenth.

        The very first look is left out: an untrained net's confidences are noise around 0. Empty with fewer than two looks.
        """
        terms = pd.DataFrame(self._terms)
        if terms.empty or terms["step"].nunique() < 2:
            return {}
        weights = terms[terms["layer"] != "outputs"]
        norms = weights.assign(square=weights["norm"] ** 2).groupby(["step", "term"])["square"].sum().pow(0.5).unstack()
        ratio = norms["background as focal"] / norms["background as mse"]
        return {
            "focal_to_mse_gradient_early": float(ratio[early(ratio.index)].mean()),
            "focal_to_mse_gradient_late": float(ratio.iloc[-1]),
            **cell_ratios(self.tables()["cells"], early(ratio.index), self.loss.gamma),
        }


def early(steps: Iterable[int]) -> list[int]:
    """The steps of the first fifth of a probe's looks, the very first left out."""
    looks = sorted(set(steps))
    return looks[1 : 1 + max(1, len(looks) // 5)]


def cell_ratios(cells: pd.DataFrame, steps: Iterable[int], gamma: float) -> dict[str, float]:
    """What focal leaves of the squared error's gradient on background confidences, |c|^gamma (gamma + 2) / 2 (eq-ratio), over the looks at
    `steps`: its median, and the share of predictors with less than a tenth (`starved`)."""
    background = cells[cells["background"] & cells["step"].isin(list(steps))]
    left = background["confidence"].abs() ** gamma * (gamma + 2) / 2
    return {"focal_to_mse_cell_early": float(left.median()), "starved_early": float((left < STARVED).mean())}


class NoiseProbe:
    """How much the gradients of micro-batches differ, at every `every`-th step: the simple noise scale of McCandlish et al. (2018,
    appendix A.1), in images: about the batch at which noise and signal are equal. Reads `.grad` between backward passes."""

    def __init__(self, every: int) -> None:
        self.every = every
        self._rows: list[dict] = []
        self._before: list[Tensor] | None = None

    def state(self) -> list[dict[str, Any]]:
        """All that was recorded, for a checkpoint."""
        return self.table().to_dict("records")

    def load(self, state: list[dict[str, Any]]) -> None:
        """Go on from a `state`."""
        self._rows = list(state)

    def begin(self, step: int, model: nn.Module, micro_batches: int) -> None:
        """Before a step's first backward pass. One micro-batch alone has nothing to differ from."""
        self._before = None
        if _due(self.every, step) and micro_batches > 1:
            self._weights = [p for p in model.parameters() if p.requires_grad]
            self._before = [torch.zeros_like(p) for p in self._weights]
            self._squares: list[tuple[int, float]] = []

    def after_micro_batch(self, images: int) -> None:
        """After a micro-batch's backward pass: what it added to the gradient, squared."""
        if self._before is None:
            return
        now = [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in self._weights]
        added = sum((a - b).square().sum().item() for a, b in zip(now, self._before, strict=True))
        self._before = now
        self._squares.append((images, added))

    def end(self, step: int, factor: float = 1.0) -> None:
        """After the last: `small` and `big` are the squared norms of the mean gradient over a micro-batch and over the whole batch.
        factor: what half precision multiplied the loss by."""
        if self._before is None:
            return
        whole = sum(images for images, _ in self._squares)
        # A micro-batch's part was divided by the whole batch; its own mean gradient is larger by whole / images.
        even = [(n, square * (whole / n / factor) ** 2) for n, square in self._squares if n == self._squares[0][0]]
        small, big = np.mean([s for _, s in even]), sum(b.square().sum().item() for b in self._before) / factor**2
        if math.isfinite(small) and math.isfinite(big):
            self._rows.append({"step": step, "micro_batch": even[0][0], "batch": whole, "small": small, "big": big})

    def table(self) -> pd.DataFrame:
        return pd.DataFrame(self._rows)

    def scale(self) -> float:
        """trace(covariance) / |gradient|^2 in images, each averaged over the looks before the ratio; NaN with nothing seen."""
        rows = self.table()
        if rows.empty:
            return float("nan")
        signal = ((rows["batch"] * rows["big"] - rows["micro_batch"] * rows["small"]) / (rows["batch"] - rows["micro_batch"])).mean()
        return float(self.covariance() / signal)

    def covariance(self) -> float:
        """The trace of the covariance of one image's gradient, averaged over the looks; NaN with nothing seen. It is positive but for
        chance, where the squared signal that `scale` divides by can pass through 0."""
        rows = self.table()
        if rows.empty:
            return float("nan")
        return float(((rows["small"] - rows["big"]) / (1 / rows["micro_batch"] - 1 / rows["batch"])).mean())


class ConflictProbe:
    """Whether boxes and classes pull the layers they share in different directions: at every `every`-th step the cosine between the two
    gradients on the head's neck (eq-conflict), and their norms (claim R1a). For a detector at points."""

    def __init__(self, every: int) -> None:
        self.every = every
        self._rows: list[dict] = []

    def state(self) -> list[dict[str, Any]]:
        """All that was recorded, for a checkpoint."""
        return list(self._rows)

    def load(self, state: list[dict[str, Any]]) -> None:
        """Go on from a `state`."""
        self._rows = list(state)

    def wants(self, step: int) -> bool:
        return _due(self.every, step)

    def observe(self, step: int, shared: nn.Module, terms: dict[str, Tensor], factor: float = 1.0) -> None:
        """terms: as `PointLoss` returns them; the graph is kept for the step's own backward pass. factor: what half precision
        multiplies the loss by."""
        weights = [p for p in shared.parameters() if p.requires_grad]
        sides = (("box", "distribution"), ("object", "background"))
        values = (factor * sum(terms[n] for n in names if n in terms) for names in sides)
        gradients = (torch.autograd.grad(value, weights, retain_graph=True) for value in values)
        box, score = (torch.cat([g.flatten() for g in found]) / factor for found in gradients)
        cosine = torch.nn.functional.cosine_similarity(box, score, dim=0)  # eq-conflict
        row = {"cosine": cosine, "box": box.norm(), "score": score.norm()}
        row = {name: value.item() for name, value in row.items()}
        if all(math.isfinite(value) for value in row.values()):
            self._rows.append({"step": step, **row})

    def table(self) -> pd.DataFrame:
        return pd.DataFrame(self._rows)

    def summary(self) -> dict[str, float]:
        """The mean cosine over the looks; empty without one."""
        return {"box_class_cosine": float(np.mean([row["cosine"] for row in self._rows]))} if self._rows else {}
