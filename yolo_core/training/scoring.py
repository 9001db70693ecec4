"""Scoring a detector on a split.

Inside: `CUTS`, `to_float`, `predict`, `at_least`, `targets_of_grid`, `score`, `resampled`, `shown`, `cell_scores`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from trial.instruments.confidence import base_rate, floor_error, object_iou, reliability
from yolo_core.data.voc import CLASSES
from yolo_core.detector.bootstrap import draws, resampled_map
from yolo_core.detector.boxes import suppress
from yolo_core.detector.grid import Grid, ceiling
from yolo_core.detector.metrics import class_agnostic, counts, match, voc_ap
from yolo_core.training.config import RunConfig

# Score cuts the book reports: darknet's 0.001, the write-up's 0.4, and three between.
CUTS = (0.001, 0.05, 0.1, 0.2, 0.4)
NMS_IOU = 0.5


def to_float(inputs: Tensor, device: torch.device | str) -> Tensor:
    """uint8 pictures to float in [0, 1], half-precision features to float; channels last, for faster convolutions on a CPU."""
    floats = inputs.to(device, non_blocking=True).float()
    floats = floats.div_(255) if inputs.dtype == torch.uint8 else floats
    return floats.contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def predict(model: nn.Module, inputs: Tensor, batch_size: int = 32, device: torch.device | str = "cpu") -> Tensor:
    """The outputs [N, S, S, k] for uint8 pictures [N, 3, s, s], or for their features, on the CPU. Leaves the model's mode as it was."""
    mode, features = model.training, inputs.dtype != torch.uint8
    model.eval()
    outputs = [model(to_float(batch, device), features=features).float().cpu() for batch in inputs.split(batch_size)]
    model.train(mode)
    return torch.cat(outputs)


def at_least(predictions: Sequence[dict], cut: float) -> list[dict]:
    """The detections that score at least `cut`. The same as decoding at that cut: suppression never looks at a lower score."""
    kept = [p["scores"] >= cut for p in predictions]
    return [{key: value[k] for key, value in p.items()} for p, k in zip(predictions, kept, strict=True)]


def targets_of_grid(encoded: Tensor, grid: Grid) -> list[dict[str, Tensor]]:
    """Ground truth rebuilt from targets [N, S, S, 5 + C]: what one object a cell has kept, with boxes xyxy in [0, 1]."""
    boxes, flags, labels = grid.target_boxes(encoded), encoded[..., 0] > 0, encoded[..., 5:].argmax(-1)
    return [{"boxes": b[f], "labels": k[f]} for b, f, k in zip(boxes, flags, labels, strict=True)]


def score(outputs: Tensor, targets: Sequence[dict], config: RunConfig) -> dict[str, Any]:
    """Every figure the book quotes of one detector on one split.

    outputs: [N, S, S, k]; targets: `{boxes, labels, difficult}` an image. mAP is at IoU 0.5 from detections of score >= 0.001 unless
    a cut says other; `difficult` objects are ignored. "map_class_agnostic" forgets the labels, "map_class_agnostic_nms" suppresses once
    more after that. "map_as_released" follows the write-up's public code instead: one box and one
    class a cell, scores above 0.4 only, against the objects that the target grid has kept, difficult ones included. "confidence"
    holds the mean confidence of predictors in cells without an object and, in cells with one, of the more confident predictor;
    "object_iou", "reliability" and "floor" are those of `confidence.py`.
    """
    grid = config.grid()
    found = of_detections(grid.decode(outputs, CUTS[0], confidence=config.confidence), targets)
    return found | (of_cells(outputs, targets, config, grid) if isinstance(grid, Grid) else {})


def of_detections(detections: Sequence[dict], targets: Sequence[dict]) -> dict[str, Any]:
    """What can be said of any detector's detections."""
    area = voc_ap(detections, targets)
    matches = match(detections, targets)
    cuts = {}
    for cut in CUTS:
        found = counts(matches, cut)
        cuts[str(cut)] = {
            "map": voc_ap(at_least(detections, cut), targets).map,
            "true": found.true,
            "false": found.false,
            "recall": found.recall,
            "precision": found.precision,
            "false_per_image": found.false_per_image,
        }
    return {
        "map": area.map,
        "map_11point": voc_ap(detections, targets, method="11point").map,
        "map_class_agnostic": voc_ap(class_agnostic(detections), class_agnostic(targets)).map,
        "map_class_agnostic_nms": voc_ap(alone(detections), class_agnostic(targets)).map,
        "per_class": {CLASSES[label]: ap for label, ap in area.per_class.items()},
        "cuts": cuts,
        "reliability": reliability(matches),
        "images": len(targets),
        "objects": len(matches.objects),
    }


def as_released(outputs: Tensor, targets: Sequence[dict], config: RunConfig, grid: Grid) -> tuple[list[dict], list[dict]]:
    """What the write-up's public code scores: (detections, objects); see `score`."""
    found = grid.decode(outputs, CUTS[-1], confidence=config.confidence, candidates="one-a-cell")
    return found, targets_of_grid(grid.encode(targets, keep_difficult=True), grid)


def of_cells(outputs: Tensor, targets: Sequence[dict], config: RunConfig, grid: Grid) -> dict[str, Any]:
    """What can be said of the cells of a YOLOv1."""
    with_difficult = grid.encode(targets, keep_difficult=True)
    confidence = grid.split(outputs).confidence
    confidence = confidence.sigmoid() if config.confidence == "sigmoid" else confidence
    taught = with_difficult if config.train_on_difficult else grid.encode(targets)
    cells = with_difficult[..., 0] > 0
    return {
        "map_as_released": voc_ap(*as_released(outputs, targets, config, grid)).map,
        "ceiling": ceiling(targets, grid),
        "confidence": {
            "background": confidence[~cells].mean().item(),
            "background_above_half": (confidence[~cells] > 0.5).float().mean().item(),
            "object": confidence[cells].amax(-1).mean().item(),
        },
        "object_iou": object_iou(outputs, taught, config),
        "floor": floor_error(base_rate(outputs, taught, config)),
    }


def alone(detections: Sequence[dict]) -> list[dict]:
    """`class_agnostic` detections after a non-maximum suppression over all of them: one box a place, as a detector of one class gives."""
    return [suppress(d["boxes"], d["scores"], d["labels"], NMS_IOU) for d in class_agnostic(detections)]


def resampled(outputs: Tensor, targets: Sequence[dict], config: RunConfig) -> dict[str, list[float]]:
    """The mAPs of `score` on 200 bootstrap draws of the split's images, to five digits; the same draws for every detector on the split."""
    grid, times = config.grid(), draws(len(targets))
    detections = grid.decode(outputs, CUTS[0], confidence=config.confidence)
    pairs = {"map": (detections, targets), "map_class_agnostic": (class_agnostic(detections), class_agnostic(targets))}
    if isinstance(grid, Grid):
        pairs["map_as_released"] = as_released(outputs, targets, config, grid)
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
