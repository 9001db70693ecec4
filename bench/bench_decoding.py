"""Outputs to detections, beside the loop that many tutorials write.

Inside: `decoding` (the rows), `growth`, `loop` (the plain way), `grid_outputs` and `point_outputs` (made up).

Both sides share the arithmetic that turns numbers into boxes and scores; what differs is everything after it.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torchvision.ops import nms

from anchor_free.points import Points
from bench.contest import Growth, Row, contest, grow
from yolo_core.detector.grid import Grid

OBJECTS = 3  # a picture, about VOC's number
Detections = list[dict[str, Tensor]]


@torch.no_grad()
def loop(boxes: Float[Tensor, "n a 4"], scores: Float[Tensor, "n a c"], score_threshold: float = 0.001, nms_iou: float = 0.5) -> Detections:
    """Non-maximum suppression image by image and class by class: detections `{boxes xyxy, scores, labels}`, best first."""
    detections = []
    for image_boxes, image_scores in zip(boxes, scores, strict=True):
        kept_boxes, kept_scores, kept_labels = [], [], []
        for label in range(scores.shape[-1]):
            above = image_scores[:, label] > score_threshold
            class_boxes, class_scores = image_boxes[above], image_scores[above, label]
            keep = nms(class_boxes, class_scores, nms_iou)
            kept_boxes.append(class_boxes[keep])
            kept_scores.append(class_scores[keep])
            kept_labels.append(torch.full((len(keep),), label))
        best = torch.cat(kept_scores).argsort(descending=True)
        columns = {"boxes": kept_boxes, "scores": kept_scores, "labels": kept_labels}
        detections.append({key: torch.cat(parts)[best] for key, parts in columns.items()})
    return detections


def grid_outputs(grid: Grid, images: int, objects: int = OBJECTS, seed: int = 0) -> Float[Tensor, "n s s k"]:
    """What a trained net might put out: what a made-up target holds, said by all predictors of its cell, and noise on every number."""
    rng = torch.Generator().manual_seed(seed)
    corners = torch.rand(images, objects, 2, 2, generator=rng).sort(-2).values.flatten(2)  # xyxy
    labels = torch.randint(grid.C, (images, objects), generator=rng)
    outputs = grid.perfect_outputs(grid.encode([{"boxes": b, "labels": k} for b, k in zip(corners, labels, strict=True)]))
    outputs[..., : 5 * grid.B] = outputs[..., :5].repeat(1, 1, 1, grid.B)
    return outputs + 0.05 * torch.randn(outputs.shape, generator=rng)


def point_outputs(points: Points, images: int, objects: int = OBJECTS, seed: int = 0) -> Float[Tensor, "n a k"]:
    """As `grid_outputs`, with logits and without bins: eight neighbours see each object, the other points are nearly sure of none."""
    rng = torch.Generator().manual_seed(seed)
    count = sum(side**2 for side in points.sides)
    box = 0.1 * torch.randn(images, count, 4, generator=rng) + torch.tensor([0, 0, 2.5, 2.5])  # a dozen strides wide and high
    logits = torch.randn(images, count, points.C, generator=rng) - 9.5
    for image in logits:
        first, label = (torch.randint(most, (objects, 1), generator=rng) for most in (count - 8, points.C))
        image[first + torch.arange(8), label] += 9
    return torch.cat([box, logits], -1)


def _confidence(grid: Grid | Points) -> Literal["linear", "sigmoid"]:
    """What the outputs made up here are: logits at points, numbers in cells."""
    return "sigmoid" if isinstance(grid, Points) else "linear"


def _ours(grid: Grid | Points, outputs: Tensor) -> Detections:
    return grid.decode(outputs, confidence=_confidence(grid))


def _theirs(grid: Grid | Points, outputs: Tensor) -> Detections:
    return loop(*grid.candidates(outputs, _confidence(grid)))


def _sets(detections: Detections) -> list[tuple[Tensor, Tensor]]:
    """Each picture's detections as rows in an order of their own, and how often each occurs: where scores tie, any may come first."""
    rows = (torch.cat([d["scores"][:, None], d["labels"][:, None], d["boxes"]], 1) for d in detections)
    return [each.unique(dim=0, return_counts=True) for each in rows]


def decoding(images: int = 64, repeats: int = 5) -> list[Row]:
    """Two rows: seconds a batch, on YOLOv1's grid and on the points of three strides. AssertionError if a detection differs."""
    grid, points = Grid(), Points(image_size=448, finest=8)
    kinds = {
        "a 7 x 7 grid": (grid, grid_outputs(grid, images)),
        f"{sum(side**2 for side in points.sides)} points": (points, point_outputs(points, images)),
    }
    rows = []
    for name, given in kinds.items():
        contestants: dict[str, Callable[[], Detections]] = {"ours": partial(_ours, *given), "theirs": partial(_theirs, *given)}
        answers, times = contest(contestants, repeats)
        torch.testing.assert_close(_sets(answers["ours"]), _sets(answers["theirs"]), rtol=0, atol=0)
        rows.append(Row("decoding", f"detections of {images} pictures from {name}, a loop over images and classes", "s", **times))
    return rows


def growth(scale: int = 16, repeats: int = 5) -> list[Growth]:
    """The time to decode the grid's outputs against images, objects a picture and classes; batches of `scale` and more."""
    made = {
        "images": {n: (Grid(), grid_outputs(Grid(), n)) for n in (scale, 2 * scale, 4 * scale, 8 * scale)},
        "objects a picture": {n: (Grid(), grid_outputs(Grid(), 2 * scale, n)) for n in (1, 3, 10, 30)},
        "classes": {n: (Grid(C=n), grid_outputs(Grid(C=n), 2 * scale)) for n in (5, 20, 80)},
    }
    return [grow("decoding", axis, {n: partial(_ours, *given) for n, given in sized.items()}, repeats) for axis, sized in made.items()]
