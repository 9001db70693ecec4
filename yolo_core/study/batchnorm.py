"""What training does to BatchNorm's running statistics.

Inside: `snapshot`, `drift`, `recomputed` (a context in which they are those of the training set).
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from yolo_core.detector.model import Detector, batchnorms
from yolo_core.study.scoring import to_float

Statistics = list[tuple[Tensor, Tensor]]


def snapshot(module: nn.Module) -> Statistics:
    """Copies of (running mean, running variance), a layer each."""
    return [(m.running_mean.clone(), m.running_var.clone()) for m in batchnorms(module)]


def drift(before: Statistics, after: Statistics) -> dict[str, float]:
    """How far the statistics went: means in units of their layer's deviation before, variances as |ln(after / before)|; both averaged
    over the channels of a layer and then over layers."""
    if not before:
        return {"mean": math.nan, "log_variance": math.nan}
    means = [((a - b).abs() / (v + 1e-5).sqrt()).mean().item() for (b, v), (a, _) in zip(before, after, strict=True)]
    scales = [((w + 1e-5) / (v + 1e-5)).log().abs().mean().item() for (_, v), (_, w) in zip(before, after, strict=True)]
    return {"mean": sum(means) / len(means), "log_variance": sum(scales) / len(scales)}


@contextmanager
def recomputed(detector: Detector, images: Tensor, batch_size: int = 16) -> Iterator[None]:
    """Inside, every BatchNorm holds the average of its batches' statistics over `images` (uint8 [N, 3, s, s]); afterwards, what it held.

    Weights stand still, dropout and stochastic depth are off (claim C4d: is it the statistics alone that are off?).
    """
    norms = batchnorms(detector)
    held = [(m.running_mean, m.running_var, m.num_batches_tracked, m.momentum) for m in norms]
    mode = detector.training
    detector.eval()
    for m in norms:
        m.running_mean, m.running_var = torch.zeros_like(m.running_mean), torch.ones_like(m.running_var)
        m.num_batches_tracked, m.momentum = torch.zeros_like(m.num_batches_tracked), None  # None: a plain average over batches
        m.train()
    device = next(detector.parameters()).device
    try:
        with torch.no_grad():
            for batch in images.split(batch_size):
                if len(batch) == batch_size:  # a short last batch would weigh as much as a whole one
                    detector(to_float(batch, device))
        detector.eval()
        yield
    finally:
        for m, (mean, variance, tracked, momentum) in zip(norms, held, strict=True):
            m.running_mean, m.running_var, m.num_batches_tracked, m.momentum = mean, variance, tracked, momentum
        detector.train(mode)
