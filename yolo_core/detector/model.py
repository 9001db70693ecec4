"""The detector: backbone and head.

Inside: `Detector`, `build_detector`, `build_point_detector`, `freeze`, `batchnorms`.
"""

from jaxtyping import Float
from torch import Tensor, nn

from groundwork.errors import InputError
from yolo_core.detector.backbones import Backbone, InputScale, Pyramid, build_backbone
from yolo_core.detector.grid import Grid
from yolo_core.detector.heads import Head, PointHead, build_head, set_confidence_bias
from yolo_core.detector.points import Points


class Detector(nn.Module):
    """Pictures in, numbers out that `grid` can read: S x S x (5 B + C), or one row a point."""

    def __init__(self, backbone: Backbone | Pyramid, head: nn.Module, grid: Grid | Points) -> None:
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


def build_point_detector(
    points: Points,
    backbone: str,
    weights: str | None,
    width: float,
    decoupled: bool,
    rare: float | None,
    input_scale: InputScale = "imagenet",
) -> Detector:
    """An anchor-free detector: a backbone's maps at the points' strides, a neck, a head. InputError if the picture's side is no multiple
    of the coarsest stride, or the backbone has no map at one."""
    net = build_backbone(backbone, points.image_size, weights, width, input_scale)
    if points.image_size % points.coarsest:
        raise InputError(f"image_size must be a multiple of the stride {points.coarsest}; got {points.image_size}")
    missing = [stride for stride in points.levels if stride != net.stride and stride not in net.finer]
    if missing:
        raise InputError(f"{backbone} has no map at stride {missing[0]}; it has {', '.join(map(str, sorted({*net.finer, net.stride})))}")
    pyramid = Pyramid(net, points.levels)
    return Detector(pyramid, PointHead(pyramid.channels, points, decoupled, rare=rare), points)


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
