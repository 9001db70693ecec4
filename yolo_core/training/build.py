"""What a configuration of a YOLOv1 stands for: its grid, loss and net.

Inside: `grid`, `loss`, `net`, which `RunConfig` finds by name.
"""

from yolo_core.detector.grid import Grid
from yolo_core.detector.loss import YoloLoss
from yolo_core.detector.model import Detector, build_detector
from yolo_core.training.config import RunConfig


def grid(config: RunConfig) -> Grid:
    """What reads the detector's outputs."""
    return Grid(centre=config.centre, size=config.size)


def loss(config: RunConfig) -> YoloLoss:
    """The loss of an effective batch."""
    weights = config.lambda_coord, config.lambda_noobj, config.gamma
    return YoloLoss(config.background, *weights, grid=grid(config), detach_iou=config.detach_iou, spare_noobj=config.spare_noobj)


def net(config: RunConfig) -> Detector:
    """The detector before any training."""
    parts = config.backbone, config.head, config.image_size, config.weights, config.width, config.dropout
    return build_detector(*parts, grid(config), config.confidence_bias, config.input_scale)
