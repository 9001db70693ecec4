"""Does a mosaic simulate a larger batch?

Inside: `measure` (gradient noise and BatchNorm's statistics, with and without mosaics), `factors` (as how many times as large a batch),
`spread`, `worth`.

Bochkovskiy et al. (2020, 3.3) say that with mosaics "batch normalization calculates activation statistics from 4 different images on
each layer", which "significantly reduces the need for a large mini-batch size". A batch k times as large would divide the variance of
whatever is a mean over the batch by k, be it BatchNorm's mean or the gradient; so the claim (R2a) is a k that can be measured.
"""

import copy
from collections.abc import Iterable, Sequence
from itertools import islice, product
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from anchor_free.point_loss import PointLoss
from groundwork.errors import InputError
from trial.instruments.probes import NoiseProbe
from yolo_core.data.augment import MARGIN, Mosaic
from yolo_core.data.voc import Batch, VocData, loader
from yolo_core.detector.loss import YoloLoss
from yolo_core.detector.model import Detector, batchnorms
from yolo_core.training.scoring import to_float

MICRO_BATCHES = (2, 16)
PICTURES = 192  # twelve batches of 16: what the spread over batches is estimated from


def worth(margin: float = MARGIN) -> float:
    """How many pictures a mosaic can be worth: 1 / E[sum of the squared areas of its four parts].

    The mean over a mosaic of four pictures, each of one tone, has that share of the variance of a picture's. A centre at x, uniform on
    [margin, 1 - margin], leaves E[x^2 + (1 - x)^2] = 1/2 + (1 - 2 margin)^2 / 6 of a side; the two sides are independent. 4 is reached
    only by a centre that stands in the middle; where the places of one picture differ as much as those of two, a mosaic is worth 1.
    """
    return (1 / 2 + (1 - 2 * margin) ** 2 / 6) ** -2


def measure(
    detector: Detector,
    loss: YoloLoss | PointLoss,
    data: VocData,
    seed: int = 0,
    micro_batches: Sequence[int] = MICRO_BATCHES,
    pictures: int | None = None,
) -> pd.DataFrame:
    """One row for each `micro_batch`, with and without `mosaic`, over the same first `pictures` of an epoch (None: 192, or as many as
    there are in whole batches), at the detector's weights:

    - `gradient_spread`: the trace of the covariance of one image's gradient (`NoiseProbe`, all pictures as one effective batch); with
      mosaics that simulate a batch k times as large, a k-th of what it is without;
    - `mean_spread`: the deviation over batches of BatchNorm's batch mean, in units of the deviation over all pictures, averaged over
      channels and then over layers; 1 / sqrt(k) of what it is without;
    - `variance_spread`: the same of the batch variance, in units of the variance over all pictures.

    `attrs` says how many pictures.

    On a copy with BatchNorm in train mode, dropout and stochastic depth off, so that the pictures are the only noise. InputError unless
    `data` holds so many pictures, and they make at least two whole batches of each size.
    """
    if pictures is None:
        largest = max(micro_batches)
        pictures = min(PICTURES, len(data)) // largest * largest
    if pictures > len(data):
        raise InputError(f"pictures: {pictures} were asked for, and the split has {len(data)}; ask for {len(data)} or fewer")
    for micro in micro_batches:
        if pictures % micro or pictures < 2 * micro:
            raise InputError(f"pictures: expected two or more whole batches of {micro}, got {pictures}; ask for a multiple of {micro}")
    rows = []
    for micro, mosaic in product(micro_batches, (False, True)):
        batches = loader(Mosaic(data, seed) if mosaic else data, micro, shuffle=True, seed=seed)
        found = _measured(copy.deepcopy(detector), loss, islice(batches, pictures // micro), pictures, micro)
        rows.append({"micro_batch": micro, "mosaic": mosaic, **found})
    table = pd.DataFrame(rows)
    table.attrs["pictures"] = pictures
    return table


def factors(measured: pd.DataFrame) -> pd.DataFrame:
    """As how many times as large a batch mosaics act, a row a micro-batch, from what
    `measure` has found: `gradient` by the trace of its covariance, `batchnorm_mean` and
    `batchnorm_variance` by their squared spreads (eq-simulated). 1 where they simulate
    nothing."""
    spreads = ["gradient_spread", "mean_spread", "variance_spread"]
    pairs = measured.pivot(index="micro_batch", columns="mosaic", values=spreads)
    ratios = {name: pairs[name][False] / pairs[name][True] for name in spreads}
    found = {
        "gradient": ratios["gradient_spread"],
        "batchnorm_mean": ratios["mean_spread"] ** 2,
        "batchnorm_variance": ratios["variance_spread"] ** 2,
    }
    return pd.DataFrame(found)


def _measured(detector: Detector, loss: YoloLoss | PointLoss, batches: Iterable[Batch], pictures: int, micro: int) -> dict[str, Any]:
    """The measured columns of a row."""
    norms, device = batchnorms(detector.eval()), next(detector.parameters()).device
    seen: list[list[tuple[Tensor, Tensor]]] = [[] for _ in norms]
    for norm, layer in zip(norms, seen, strict=True):
        norm.train()
        norm.register_forward_pre_hook(lambda _, inputs, layer=layer: layer.append(_statistics(inputs[0])))
    probe = NoiseProbe(1)
    detector.zero_grad()
    probe.begin(0, detector, pictures // micro)
    for images, targets in batches:
        target = detector.grid.encode(targets).to(device)
        sum(loss(detector(to_float(images, device)), target, pictures).values()).backward()
        probe.after_micro_batch(len(images))
    probe.end(0)
    spreads = [spread(*map(torch.stack, zip(*layer, strict=True)), norm.eps) for norm, layer in zip(norms, seen, strict=True)]
    means, variances = torch.tensor(spreads).view(-1, 2).mean(0).tolist()
    return {"gradient_spread": probe.covariance(), "mean_spread": means, "variance_spread": variances}


def _statistics(inputs: Float[Tensor, "n c h w"]) -> tuple[Tensor, Tensor]:
    """A batch's mean and variance [c], as BatchNorm divides by it."""
    variance, mean = torch.var_mean(inputs.detach().float(), (0, 2, 3), correction=0)
    return mean, variance


def spread(means: Float[Tensor, "b c"], variances: Float[Tensor, "b c"], eps: float) -> tuple[float, float]:
    """How much a layer's statistics differ over b equally large batches: the deviation of the batch mean over the deviation of the whole,
    and the deviation of the batch variance over the variance of the whole, averaged over channels."""
    whole = variances.mean(0) + means.var(0, correction=0) + eps  # the law of total variance; eps as in the layer's own division
    return (means.std(0) / whole.sqrt()).mean().item(), (variances.std(0) / whole).mean().item()
