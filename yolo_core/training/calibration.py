"""BatchNorm's statistics computed anew, as averages over a set of pictures ("precise BatchNorm": Wu and Johnson, 2021, section 3).

Inside: `recompute`.
"""

import torch
from torch import Tensor, nn

from yolo_core.detector.model import batchnorms
from yolo_core.training.scoring import to_float


@torch.no_grad()
def recompute(net: nn.Module, images: Tensor, batch_size: int = 16) -> None:
    """Give every BatchNorm of a net the average of its batches' statistics over `images` (uint8 [N, 3, s, s]), in batches of `batch_size`,
    or of all where there are fewer. Weights stand still, dropout and stochastic depth are off."""
    norms, mode, device = batchnorms(net), net.training, next(net.parameters()).device
    momenta = [m.momentum for m in norms]
    net.eval()
    for m in norms:
        m.reset_running_stats()
        m.momentum = None  # a plain average over batches
        m.training = True
    for batch in images.split(batch_size):
        if len(batch) == min(batch_size, len(images)):  # a short last batch would weigh as much as a whole one
            net(to_float(batch, device))
    for m, momentum in zip(norms, momenta, strict=True):
        m.momentum = momentum
    net.train(mode)
