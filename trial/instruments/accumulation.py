"""Is the gradient of accumulated micro-batches that of the full batch?

Inside: `gradient`, `gap`, `deviations` (what BatchNorm in train mode makes of it, layer by layer).
"""

import copy
from collections.abc import Iterable

import torch
from torch import Tensor

from anchor_free.point_loss import PointLoss
from yolo_core.detector.loss import YoloLoss
from yolo_core.detector.model import Detector, batchnorms


def gradient(
    detector: Detector, loss: YoloLoss | PointLoss, inputs: Tensor, target: Tensor, micro_batch: int, features: bool = False
) -> Tensor:
    """The gradient on all trainable weights, flat, of one effective batch cut into micro-batches; the last may be a partial one."""
    weights = [p for p in detector.parameters() if p.requires_grad]
    for p in weights:
        p.grad = None
    for part, part_target in zip(inputs.split(micro_batch), target.split(micro_batch), strict=True):
        sum(loss(detector(part, features=features), part_target, len(inputs)).values()).backward()
    flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in weights])
    for p in weights:
        p.grad = None
    return flat


def gap(detector: Detector, loss: YoloLoss | PointLoss, inputs: Tensor, target: Tensor, micro_batch: int, features: bool = False) -> float:
    """Largest difference between the gradients of the whole batch and of its micro-batches, over the largest gradient (claim H1).

    In float64, on a copy, with BatchNorm and dropout in eval mode: in train mode BatchNorm looks at the micro-batch alone, and the two
    are different functions.
    """
    double = copy.deepcopy(detector).double().eval()
    inputs, target = inputs.double(), target.double()
    whole = gradient(double, loss, inputs, target, len(inputs), features)
    parts = gradient(double, loss, inputs, target, micro_batch, features)
    return ((whole - parts).abs().max() / whole.abs().max()).item()


def deviations(
    detector: Detector, loss: YoloLoss | PointLoss, inputs: Tensor, target: Tensor, micro_batches: Iterable[int]
) -> dict[int, dict[str, float]]:
    """How far the accumulated gradient is from the full batch's when BatchNorm looks at each micro-batch alone, by micro-batch and weight:
    the norm of the difference over the norm of the full batch's gradient. 0 is equal, 1 as far as no gradient at all.

    On a copy in train mode with dropout and stochastic depth off, so that BatchNorm is the only cause.
    """
    trained = copy.deepcopy(detector).eval()
    for norm in batchnorms(trained):
        norm.train()
    sizes = {name: p.numel() for name, p in trained.named_parameters() if p.requires_grad}

    def by_weight(micro_batch: int) -> tuple[Tensor, ...]:
        return gradient(trained, loss, inputs, target, micro_batch).split(list(sizes.values()))

    whole = by_weight(len(inputs))

    def off(micro_batch: int) -> list[float]:
        pairs = zip(whole, by_weight(micro_batch), strict=True)
        return [((a - b).norm() / a.norm().clamp(min=1e-30)).item() for a, b in pairs]

    return {micro: dict(zip(sizes, off(micro), strict=True)) for micro in micro_batches}
