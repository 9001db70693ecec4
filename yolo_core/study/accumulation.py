"""Is the gradient of accumulated micro-batches that of the full batch?

Inside: `gradient`, `gap`.
"""

import copy

import torch
from torch import Tensor

from yolo_core.detector.loss import YoloLoss
from yolo_core.detector.model import Detector


def gradient(detector: Detector, loss: YoloLoss, inputs: Tensor, target: Tensor, micro_batch: int, features: bool = False) -> Tensor:
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


def gap(detector: Detector, loss: YoloLoss, inputs: Tensor, target: Tensor, micro_batch: int, features: bool = False) -> float:
    """Largest difference between the gradients of the whole batch and of its micro-batches, over the largest gradient (claim H1).

    In float64, on a copy, with BatchNorm and dropout in eval mode: in train mode BatchNorm looks at the micro-batch alone, and the two
    are different functions.
    """
    double = copy.deepcopy(detector).double().eval()
    inputs, target = inputs.double(), target.double()
    whole = gradient(double, loss, inputs, target, len(inputs), features)
    parts = gradient(double, loss, inputs, target, micro_batch, features)
    return ((whole - parts).abs().max() / whole.abs().max()).item()
