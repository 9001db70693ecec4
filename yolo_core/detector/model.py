"""The detector: backbone and head.

Inside: `Detector`, `build_detector`, `freeze`, `batchnorms`.
"""

from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from groundwork.errors import InputError
from yolo_core.detector.backbones import build_backbone
from yolo_core.detector.grid import Grid
from yolo_core.detector.heads import build_head, set_confidence_bias
from yolo_core.detector.names import Head, InputScale


class Detector(nn.Module):
    """Pictures in, numbers out that `grid` can read: S x S x (5 B + C), or whatever another kind of head puts out and its `grid` reads."""

    def __init__(self, backbone: nn.Module, head: nn.Module, grid: Any) -> None:
        super().__init__()
        self.backbone, self.head, self.grid = backbone, head, grid
        self.held: tuple[nn.Module, ...] = ()

    def forward(self, inputs: Float[Tensor, "n c h w"], features: bool = False) -> Float[Tensor, "n ..."]:
        """inputs: RGB pictures in [0, 1]; with `features`, maps that the backbone has made of them already."""
        return self.head(inputs if features else self.backbone(inputs))

    def train(self, mode: bool = True) -> "Detector":
        """As `nn.Module.train`, but what `freeze` holds stays in eval mode."""
        super().train(mode)
        for module in self.held:
            module.training = False
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
    input_scale: InputScale = "imagenet",
) -> Detector:
    """Backbone and head by name; a stride-2 convolution joins a map of twice the grid's side. InputError if sizes do not meet."""
    features = build_backbone(backbone, image_size, weights, width, input_scale)
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

    The write-up's "frozen" backbone held the weights only: its BatchNorms went on in train mode. Where weights are held, stochastic
    depth is off: it regularises layers that learn, and would put noise into the features of layers that do not.
    """
    detector.backbone.requires_grad_(not weights)
    norms = set(batchnorms(detector.backbone))
    detector.held = tuple(m for m in detector.backbone.modules() if (statistics if m in norms else weights))
    detector.train(detector.training)  # else the statistics would move until the next call of train()
