"""Every figure that the book quotes of a detector on a split.

Inside: `score`, `of_detections`, `further`, `of_cells`, `resampled`, `shown`, `cell_scores`, `targets_of_grid`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from trial.instruments.bootstrap import draws, resampled_map
from trial.instruments.confidence import base_rate, floor_error, object_iou, reliability
from yolo_core.detector.boxes import suppress
from yolo_core.detector.grid import Grid, ceiling
from yolo_core.detector.metrics import class_agnostic, match, voc_ap
from yolo_core.training import scoring
from yolo_core.training.config import RunConfig
from yolo_core.training.scoring import CUTS

NMS_IOU = 0.5


def score(outputs: Tensor, targets: Sequence[dict], config: RunConfig) -> dict[str, Any]:
    """`scoring.score`, and what outputs say besides: see `of_detections` and `of_cells`.

    outputs: [N, S, S, k]; targets: `{boxes, labels, difficult}` an image.
    """
    detections = config.grid().decode(outputs, CUTS[0], confidence=config.confidence)
    return of_detections(detections, targets) | of_cells(outputs, targets, config)


def of_detections(detections: Sequence[dict], targets: Sequence[dict]) -> dict[str, Any]:
    """What can be said of any detector's detections: `scoring.score`, and `further`."""
    return scoring.score(detections, targets) | further(detections, targets)


def further(detections: Sequence[dict], targets: Sequence[dict]) -> dict[str, Any]:
    """What `scoring.score` leaves out: "map_class_agnostic_nms", which suppresses once more after labels are forgotten, one box a place,
    as a detector of one class gives; "reliability" (confidence.py)."""
    agnostic = class_agnostic(detections)
    alone = [suppress(d["boxes"], d["scores"], d["labels"], NMS_IOU) for d in agnostic]
    return {
        "map_class_agnostic_nms": voc_ap(alone, class_agnostic(targets)).map,
        "reliability": reliability(match(detections, targets)),
    }


def of_cells(outputs: Tensor, targets: Sequence[dict], config: RunConfig) -> dict[str, Any]:
    """What can be said of the cells of a YOLOv1; nothing of a detector at points.

    "map_as_released" follows the write-up's public code: one box and one class a cell, scores above 0.4 only, against the objects that
    the target grid has kept, difficult ones included. "confidence" holds the mean confidence of predictors in cells without an object
    and, in cells with one, of the more confident predictor; "object_iou" and "floor" are those of confidence.py.
    """
    grid = config.grid()
    if not isinstance(grid, Grid):
        return {}
    with_difficult = grid.encode(targets, keep_difficult=True)
    confidence = grid.split(outputs).confidence
    confidence = confidence.sigmoid() if config.confidence == "sigmoid" else confidence
    taught = with_difficult if config.train_on_difficult else grid.encode(targets)
    cells = with_difficult[..., 0] > 0
    return {
        "map_as_released": voc_ap(*_as_released(outputs, targets, config, grid)).map,
        "ceiling": ceiling(targets, grid),
        "confidence": {
            "background": confidence[~cells].mean().item(),
            "background_above_half": (confidence[~cells] > 0.5).float().mean().item(),
            "object": confidence[cells].amax(-1).mean().item(),
        },
        "object_iou": object_iou(outputs, taught, config),
        "floor": floor_error(base_rate(outputs, taught, config)),
    }


def _as_released(outputs: Tensor, targets: Sequence[dict], config: RunConfig, grid: Grid) -> tuple[list[dict], list[dict]]:
    """What the write-up's public code scores: (detections, objects)."""
    found = grid.decode(outputs, CUTS[-1], confidence=config.confidence, candidates="one-a-cell")
    return found, targets_of_grid(grid.encode(targets, keep_difficult=True), grid)


def targets_of_grid(encoded: Tensor, grid: Grid) -> list[dict[str, Tensor]]:
    """Ground truth rebuilt from targets [N, S, S, 5 + C]: what one object a cell has kept, with boxes xyxy in [0, 1]."""
    boxes, flags, labels = grid.target_boxes(encoded), encoded[..., 0] > 0, encoded[..., 5:].argmax(-1)
    return [{"boxes": b[f], "labels": k[f]} for b, f, k in zip(boxes, flags, labels, strict=True)]


def resampled(outputs: Tensor, targets: Sequence[dict], config: RunConfig) -> dict[str, list[float]]:
    """The mAPs of `score` on 200 bootstrap draws of the split's images, to five digits; the same draws for every detector on the split."""
    grid, times = config.grid(), draws(len(targets))
    detections = grid.decode(outputs, CUTS[0], confidence=config.confidence)
    pairs = {"map": (detections, targets), "map_class_agnostic": (class_agnostic(detections), class_agnostic(targets))}
    if isinstance(grid, Grid):
        pairs["map_as_released"] = _as_released(outputs, targets, config, grid)
    return {name: resampled_map(match(*pair), times).round(5).tolist() for name, pair in pairs.items()}


def shown(outputs: Tensor, config: RunConfig, images: int = 12, most: int = 20, least: float = 0.05) -> pd.DataFrame:
    """What a gallery draws: the detections of score `least` or more on the first `images` pictures, the `most` best of each, float32.

    Columns: image, xmin, ymin, xmax, ymax (in [0, 1]), score, label.
    """
    found = config.grid().decode(outputs[:images], least, confidence=config.confidence)
    rows = [torch.cat([d["boxes"], d["scores"][:, None]], 1)[:most].numpy(force=True) for d in found]
    table = pd.DataFrame(np.concatenate(rows), columns=["xmin", "ymin", "xmax", "ymax", "score"])
    table.insert(0, "image", np.repeat(np.arange(len(rows)), [len(r) for r in rows]).astype("int16"))
    return table.assign(label=torch.cat([d["labels"][:most] for d in found]).numpy(force=True).astype("int16"))


def cell_scores(outputs: Tensor, config: RunConfig) -> pd.DataFrame:
    """The best score each cell gives to each predictor's classes, float32: what two detectors' orders are compared by.

    One row a predictor, image by image, row by row: equal rows are equal places for every detector on one split.
    """
    best = config.grid().scores(outputs, config.confidence).amax(-1)
    return pd.DataFrame({"score": best.flatten().numpy(force=True)})
