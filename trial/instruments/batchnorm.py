"""What training does to BatchNorm's running statistics.

Inside: `snapshot`, `drift`, `recomputed` (a context in which they are those of a set of pictures).
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from yolo_core.detector.model import Detector, batchnorms
from yolo_core.training.calibration import recompute

Statistics = list[tuple[Tensor, Tensor]]


def snapshot(module: nn.Module) -> Statistics:
    """Copies of (running mean, running variance), a layer each, on the CPU: a net may be moved to a GPU between two of them."""
    return [(m.running_mean.clone().cpu(), m.running_var.clone().cpu()) for m in batchnorms(module)]


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
    """Inside, every BatchNorm holds `recompute`'s statistics and the detector is in eval mode; afterwards all is as it was (claim C4d: are
    the statistics alone off?)."""
    norms, mode = batchnorms(detector), detector.training
    held = [(m.running_mean.clone(), m.running_var.clone(), m.num_batches_tracked.clone()) for m in norms]
    try:
        recompute(detector, images, batch_size)
        detector.eval()
        yield
    finally:
        for m, kept in zip(norms, held, strict=True):
            for buffer, value in zip((m.running_mean, m.running_var, m.num_batches_tracked), kept, strict=True):
                buffer.copy_(value)
        detector.train(mode)
