"""Heads: feature maps in, numbers out: S x S x (5 B + C), or those of an anchor-free detector's points.

Inside: `build_head`, `HEADS`, `dense`, `convolutional`, `set_confidence_bias`, `logit`; `PointHead` with its neck `TopDown`.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from yolo_core.detector.grid import Grid
from yolo_core.detector.names import Head
from yolo_core.detector.points import Points

HEADS: tuple[str, ...] = ("full", "compressed", "conv")


class ToGrid(nn.Module):
    """Channels last: [n, k, S, S], or [n, k * S * S] from a dense layer, to [n, S, S, k]."""

    def __init__(self, grid: Grid) -> None:
        super().__init__()
        self.grid = grid

    def forward(self, x: Tensor) -> Float[Tensor, "n s s k"]:
        g = self.grid
        return x.permute(0, 2, 3, 1) if x.dim() == 4 else x.view(-1, g.S, g.S, g.depth)


def _convolution(before: int, after: int, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
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
        *_convolution(channels, width, stride=stride),
        *_convolution(width, width),
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
        *_convolution(channels, width // 2, kernel=1, stride=stride),
        *_convolution(width // 2, width),
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


class TopDown(nn.Module):
    """A feature pyramid (Lin et al., 2017): every map is brought to `width` channels, and what a coarser one knows is added to the next
    finer one. Of a single map it is a 1x1 convolution."""

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Sequential(*_convolution(before, width, kernel=1)) for before in channels)
        self.smooth = nn.ModuleList(nn.Sequential(*_convolution(width, width)) for _ in channels[:-1])

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps finest first, each half the side of the one before; the same sides come out."""
        found = [lateral(x) for lateral, x in zip(self.lateral, maps, strict=True)]
        for i in reversed(range(len(self.smooth))):
            above = nn.functional.interpolate(found[i + 1], scale_factor=2.0, mode="nearest")
            found[i] = self.smooth[i](found[i] + above)
        return found


class SharedConvolution(nn.Module):
    """A 3x3 convolution that all levels share, with a BatchNorm for each of them (as in RTMDet: Lyu et al., 2022).

    Maps of different levels have different statistics. While training each is normalised by its own anyway; one running mean of all
    would fit none of them when the detector is used.
    """

    def __init__(self, width: int, levels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for _ in range(levels))
        self.activation = nn.LeakyReLU(0.1, inplace=True)

    def forward(self, x: Float[Tensor, "n c h w"], level: int) -> Float[Tensor, "n c h w"]:
        return self.activation(self.norms[level](self.convolution(x)))


class Branch(nn.ModuleList):
    """Two of them, one after the other."""

    def __init__(self, width: int, levels: int) -> None:
        super().__init__(SharedConvolution(width, levels) for _ in range(2))

    def forward(self, x: Float[Tensor, "n c h w"], level: int) -> Float[Tensor, "n c h w"]:
        for shared in self:
            x = shared(x, level)
        return x


class PointHead(nn.Module):
    """The head of an anchor-free detector: a neck, and for each level box numbers and class scores from branches of their own
    (`decoupled`, as in YOLOX: Ge et al., 2021) or from one they share. Levels share the branches' convolutions and differ in their
    BatchNorm and in the last 1x1 convolution.

    rare: class scores are logits and start at this probability (Lin et al., 2017); None: linear scores, starting near 0.
    """

    def __init__(self, channels: Sequence[int], points: Points, decoupled: bool, width: int = 128, rare: float | None = None) -> None:
        super().__init__()
        self.points, self.decoupled = points, decoupled
        self.shapes = [(before, side, side) for before, side in zip(channels, points.sides, strict=True)]
        self.neck = TopDown(channels, width)
        self.class_branch = Branch(width, len(channels))
        self.box_branch = Branch(width, len(channels)) if decoupled else None
        self.to_scores = nn.ModuleList(nn.Conv2d(width, points.C, 1) for _ in channels)
        self.to_box = nn.ModuleList(nn.Conv2d(width, points.numbers, 1) for _ in channels)
        if rare is not None:
            for layer in self.to_scores:
                nn.init.constant_(layer.bias, logit(rare))

    def forward(self, packed: Float[Tensor, "n k 1 1"]) -> Float[Tensor, "n a d"]:
        """The levels' maps as `Pyramid` packs them, to what every point puts out."""
        parts = packed.flatten(1).split([math.prod(shape) for shape in self.shapes], 1)
        maps = [part.unflatten(1, shape) for part, shape in zip(parts, self.shapes, strict=True)]
        maps = [x.contiguous(memory_format=torch.channels_last) for x in maps]
        found = []
        for level, (x, to_box, to_scores) in enumerate(zip(self.neck(maps), self.to_box, self.to_scores, strict=True)):
            for_class = self.class_branch(x, level)
            for_box = for_class if self.box_branch is None else self.box_branch(x, level)
            outputs = torch.cat([to_box(for_box), to_scores(for_class)], 1)
            found.append(outputs.flatten(2).transpose(1, 2))
        return torch.cat(found, 1)
