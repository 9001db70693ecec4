"""Heads: feature maps in, S x S x (5 B + C) numbers out.

Inside: `build_head`, `HEADS`, `dense`, `convolutional`, `convolution`, `set_confidence_bias`, `logit`.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from yolo_core.detector.grid import Grid
from yolo_core.detector.names import Head

HEADS: tuple[str, ...] = ("full", "compressed", "conv")


class ToGrid(nn.Module):
    """Channels last: [n, k, S, S], or [n, k * S * S] from a dense layer, to [n, S, S, k]."""

    def __init__(self, grid: Grid) -> None:
        super().__init__()
        self.grid = grid

    def forward(self, x: Tensor) -> Float[Tensor, "n s s k"]:
        g = self.grid
        return x.permute(0, 2, 3, 1) if x.dim() == 4 else x.view(-1, g.S, g.S, g.depth)


def convolution(before: int, after: int, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    """A convolution that keeps the side (or divides it by `stride`), BatchNorm, leaky ReLU."""
    return [
        nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(after),
        nn.LeakyReLU(0.1, inplace=True),
    ]


def dense(channels: int, grid: Grid, width: int, hidden: int, dropout: float, stride: int = 1) -> nn.Sequential:
    """Two convolutions to `width` channels, one dense layer of `hidden` units, one of S * S * (5 B + C): the head of YOLOv1.

    Every output sees the whole picture. The first dense layer alone holds S * S * width * hidden weights.
    """
    return nn.Sequential(
        *convolution(channels, width, stride=stride),
        *convolution(width, width),
        nn.Flatten(),
        nn.Linear(width * grid.S**2, hidden),
        nn.LeakyReLU(0.1, inplace=True),
        nn.Dropout(dropout),
        nn.Linear(hidden, grid.depth * grid.S**2),
        ToGrid(grid),
    )


def convolutional(channels: int, grid: Grid, width: int, stride: int = 1) -> nn.Sequential:
    """A 1x1 bottleneck, a 3x3 convolution and a 1x1 to the outputs: every cell shares the same weights."""
    return nn.Sequential(
        *convolution(channels, width // 2, kernel=1, stride=stride),
        *convolution(width // 2, width),
        nn.Conv2d(width, grid.depth, 1),
        ToGrid(grid),
    )


def build_head(name: Head, channels: int, grid: Grid, dropout: float = 0.5, stride: int = 1) -> nn.Sequential:
    """A head by name. `stride` 2 brings a 14 x 14 map to 7 x 7 (ResNet18 at 448 px).

    "full": 2 convolutions to 1024, dense 4096, 211.5M dense parameters; "compressed": to 512, dense 1024, 27.2M; "conv": about 1.5M.
    """
    match name:
        case "full":
            return dense(channels, grid, 1024, 4096, dropout, stride)
        case "compressed":
            return dense(channels, grid, 512, 1024, dropout, stride)
        case "conv":
            return convolutional(channels, grid, 512, stride)
        case _:
            raise ValueError(f"head must be one of {', '.join(HEADS)}; got {name!r}")


def logit(p: float) -> float:
    """The logit whose sigmoid is p: as a bias, it starts a score at that probability (Lin et al., 2017, section 4.1)."""
    return -math.log((1 - p) / p)


def set_confidence_bias(head: nn.Sequential, grid: Grid, bias: float) -> None:
    """Start every confidence at `bias`; where it is a logit, `logit(p)` starts it at the probability p."""
    last = next(layer for layer in reversed(head) if isinstance(layer, nn.Linear | nn.Conv2d))
    with torch.no_grad():
        # A dense layer has the numbers of all cells, a convolution those of one.
        last.bias.view(-1, grid.depth)[:, 4 : 5 * grid.B : 5] = bias
