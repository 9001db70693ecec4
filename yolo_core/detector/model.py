"""The detector: backbone and head.

Inside: `Detector`, `build_detector`, `freeze`, `batchnorms`.
"""

from jaxtyping import Float
from torch import Tensor, nn

from yolo_core.detector.backbones import Backbone, build_backbone
from yolo_core.detector.grid import Grid
from yolo_core.detector.heads import Head, build_head, set_confidence_bias
from yolo_core.errors import InputError


class Detector(nn.Module):
    """Pictures in, S x S x (5 B + C) numbers out."""

    def __init__(self, backbone: Backbone, head: nn.Module, grid: Grid) -> None:
        super().__init__()
        self.backbone, self.head, self.grid = backbone, head, grid
        self.fixed_statistics: tuple[nn.Module, ...] = ()

    def forward(self, inputs: Float[Tensor, "n c h w"], features: bool = False) -> Float[Tensor, "n s s k"]:
        """inputs: RGB pictures in [0, 1]; with `features`, maps that the backbone has made of them already."""
        return self.head(inputs if features else self.backbone(inputs))

    def train(self, mode: bool = True) -> "Detector":
        """As `nn.Module.train`, but BatchNorm layers whose statistics are fixed stay in eval mode."""
        super().train(mode)
        for module in self.fixed_statistics:
            module.eval()
        return self


def build_detector(
    backbone: str = "efficientnet_lite0",
    head: Head = "compressed",
    image_size: int = 224,
    weights: str | None = None,
    width: float = 1.0,
    dropout: float = 0.5,
    grid: Grid = Grid(),
    confidence_bias: float | None = None,
) -> Detector:
    """Backbone and head by name; a stride-2 convolution joins a map of twice the grid's side. InputError if sizes do not meet."""
    features = build_backbone(backbone, image_size, weights, width)
    side = image_size / features.stride
    if side not in (grid.S, 2 * grid.S):
        raise InputError(
            f"{backbone} at {image_size} px gives a map of {side:g} cells a side, and the grid needs {grid.S} or {2 * grid.S}; "
            f"use {grid.S * features.stride} or {2 * grid.S * features.stride} px"
        )
    built = build_head(head, features.channels, grid, dropout, stride=int(side) // grid.S)
    if confidence_bias is not None:
        set_confidence_bias(built, grid, confidence_bias)
    return Detector(features, built, grid)


def batchnorms(module: nn.Module) -> tuple[nn.BatchNorm2d, ...]:
    """The BatchNorm layers of a net, in its own order."""
    return tuple(m for m in module.modules() if isinstance(m, nn.BatchNorm2d))


def freeze(detector: Detector, weights: bool, statistics: bool) -> None:
    """Hold the backbone's weights, or its BatchNorms' running statistics, or both, as they are.

    The write-up's "frozen" backbone held the weights only: its BatchNorms went on in train mode.
    """
    detector.backbone.requires_grad_(not weights)
    detector.fixed_statistics = batchnorms(detector.backbone) if statistics else ()
    detector.train(detector.training)  # else the statistics would move until the next call of train()
