"""Boxes: formats and overlap, thin over `torchvision.ops`.

Inside: `cxcywh_to_xyxy`, `xyxy_to_cxcywh`, `paired_iou`, `paired_rmse`, `suppress`.

Every box of the detector is continuous and normalised: x in units of the image's width, y of its height, both in [0, 1].
IoU does not change when an axis is rescaled, so scores here equal scores in pixels of the original picture. There is no "+ 1":
a box that spans the pixels 1 to 10 of VOC's inclusive counting is the interval [0, 10).
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torchvision.ops import batched_nms, box_convert


def cxcywh_to_xyxy(boxes: Float[Tensor, "*n 4"]) -> Float[Tensor, "*n 4"]:
    """Centre, width and height to corners."""
    return box_convert(boxes, "cxcywh", "xyxy")


def xyxy_to_cxcywh(boxes: Float[Tensor, "*n 4"]) -> Float[Tensor, "*n 4"]:
    """Corners to centre, width and height."""
    return box_convert(boxes, "xyxy", "cxcywh")


def suppress(boxes: Float[Tensor, "d 4"], scores: Float[Tensor, "d"], labels: Int[Tensor, "d"], iou: float) -> dict[str, Tensor]:
    """Detections `{boxes, scores, labels}`, best first, that no better one of their class overlaps by more than `iou`."""
    keep = batched_nms(boxes, scores, labels, iou)
    return {"boxes": boxes[keep], "scores": scores[keep], "labels": labels[keep]}


def paired_iou(a: Float[Tensor, "*#n 4"], b: Float[Tensor, "*#n 4"]) -> Float[Tensor, "*#n"]:
    """Intersection over union of xyxy boxes (eq-iou), pair by pair
    (`torchvision.ops.box_iou` compares all with all).

    Shapes broadcast. Two boxes that are both empty have IoU 0, not 0/0: an empty
    prediction must not win a cell.
    """
    top_left = torch.maximum(a[..., :2], b[..., :2])
    bottom_right = torch.minimum(a[..., 2:], b[..., 2:])
    intersection = (bottom_right - top_left).clamp(min=0).prod(-1)
    area_a = (a[..., 2:] - a[..., :2]).clamp(min=0).prod(-1)
    area_b = (b[..., 2:] - b[..., :2]).clamp(min=0).prod(-1)
    union = area_a + area_b - intersection
    return intersection / union.clamp(min=torch.finfo(union.dtype).tiny)


def paired_rmse(a: Float[Tensor, "*#n 4"], b: Float[Tensor, "*#n 4"]) -> Float[Tensor, "*#n"]:
    """Root of the summed squared differences of two boxes' four numbers (darknet's `box_rmse`). Same format on both sides."""
    return (a - b).square().sum(-1).sqrt()
