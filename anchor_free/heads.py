"""The head of an anchor-free detector, and the neck before it.

Inside: `PointHead`, `TopDown`, `SharedConvolution`, `Branch`.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from anchor_free.points import Points
from yolo_core.detector.heads import convolution, logit


class TopDown(nn.Module):
    """A feature pyramid (Lin et al., 2017): every map is brought to `width` channels, and what a coarser one knows is added to the next
    finer one. Of a single map it is a 1x1 convolution."""

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Sequential(*convolution(before, width, kernel=1)) for before in channels)
        self.smooth = nn.ModuleList(nn.Sequential(*convolution(width, width)) for _ in channels[:-1])

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
    """Two 3x3 convolutions, each with BatchNorm for every level."""

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
