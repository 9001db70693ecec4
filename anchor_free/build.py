"""What a configuration with a head for points stands for: its points, loss and net.

Inside: `grid`, `loss`, `net`, which `RunConfig` finds by name, as it finds those of `yolo_core/training/build.py`; `build_point_detector`.
"""

from anchor_free.heads import PointHead
from anchor_free.point_loss import PointLoss
from anchor_free.points import Points
from anchor_free.pyramid import Pyramid
from groundwork.errors import InputError
from yolo_core.detector.backbones import build_backbone
from yolo_core.detector.model import Detector
from yolo_core.detector.names import InputScale
from yolo_core.training.config import COARSEST, RARE, RunConfig


def grid(config: RunConfig) -> Points:
    """What reads the detector's outputs."""
    return Points(config.image_size, config.finest_stride, COARSEST, bins=config.bins)


def loss(config: RunConfig) -> PointLoss:
    """The loss of an effective batch."""
    return PointLoss(
        grid(config), config.assign, config.box_loss, config.score_loss, config.lambda_coord, config.lambda_noobj, config.gamma
    )


def net(config: RunConfig) -> Detector:
    """The detector before any training."""
    rare = RARE if config.score_loss == "quality" else None
    decoupled = config.head == "decoupled"
    return build_point_detector(grid(config), config.backbone, config.weights, config.width, decoupled, rare, config.input_scale)


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
