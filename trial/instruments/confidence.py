"""What confidences say beside their order: are they honest, and do they rest where the algebra lets them?

Inside: `reliability`, `object_iou`, `base_rate`, `floor_error`, `rank_correlation`.
"""

from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from trial.instruments.theory import Decaying, base_rate_floor
from yolo_core.detector.boxes import paired_iou
from yolo_core.detector.loss import responsible
from yolo_core.detector.metrics import FALSE, TRUE, Matches
from yolo_core.training.config import RunConfig

BINS = 10


def reliability(matches: Matches) -> dict[str, Any]:
    """A reliability diagram's numbers: detections by score in ten equal bins (scores above 1 in the last), how many there are, how many
    are true, their mean score; and the expected calibration error, the mean |share true - mean score| weighted by detections."""
    judged = np.isin(matches.outcome, (TRUE, FALSE))
    scores, true = matches.scores[judged], matches.outcome[judged] == TRUE
    index = (scores * BINS).clip(0, BINS - 1).astype(int)  # in this order: a score of a training that bursts is no whole number any more
    count = np.bincount(index, minlength=BINS)
    hits = np.bincount(index, weights=true, minlength=BINS)
    total = np.bincount(index, weights=scores, minlength=BINS)
    error = np.abs(hits - total).sum() / max(1, len(scores))
    return {"detections": count.tolist(), "true": hits.astype(int).tolist(), "score_sum": total.tolist(), "calibration_error": float(error)}


def object_iou(outputs: Tensor, target: Tensor, config: RunConfig) -> dict[str, float]:
    """Mean IoU with the object over ALL cells that hold one, found or not: of the predictor that overlaps it most, and of the more
    confident one. How well boxes are regressed, whatever the scores say (claim C3c)."""
    grid = config.grid()
    cells, parts = target[..., 0] > 0, grid.split(outputs)
    boxes = grid.boxes(parts.centre, parts.size)[cells]
    iou = paired_iou(boxes, grid.target_boxes(target)[cells][:, None])  # o b
    confident = parts.confidence[cells].argmax(-1, keepdim=True)
    return {"best": iou.amax(-1).mean().item(), "confident": iou.gather(-1, confident).mean().item()}


def base_rate(outputs: Tensor, target: Tensor, config: RunConfig) -> pd.DataFrame:
    """Cell by cell: the `share` of predictors that answer for an object, their mean `target` (IoU), the mean `confidence` of those that
    do not, and where eq-floor-rate says that one confidence for all of them would rest (`floor`; NaN for a reading without one)."""
    grid, reading = config.grid(), config.background
    parts, assigned = grid.split(outputs), responsible(grid, outputs, target)
    answers = torch.zeros_like(parts.confidence, dtype=torch.bool)
    answers[assigned.cells] = torch.nn.functional.one_hot(assigned.predictor, grid.B).bool()
    quality = torch.zeros_like(parts.confidence)
    quality[answers] = assigned.iou
    number = answers.sum((0, 3))
    share = number / (len(outputs) * grid.B)
    mean_target = quality.sum((0, 3)) / number.clamp(min=1)
    confidence = torch.where(answers, 0, parts.confidence).sum((0, 3)) / (~answers).sum((0, 3)).clamp(min=1)
    row, column = np.indices((grid.S, grid.S))
    table = pd.DataFrame(
        {
            "row": row.ravel(),
            "column": column.ravel(),
            "share": share.flatten().numpy(force=True),
            "target": mean_target.flatten().numpy(force=True),
            "confidence": confidence.flatten().numpy(force=True),
        }
    )
    floors = [
        base_rate_floor(reading, float(p), float(t), config.gamma, config.lambda_noobj) if reading in get_args(Decaying) else np.nan
        for p, t in zip(table["share"], table["target"], strict=True)
    ]
    return table.assign(floor=floors)


def floor_error(cells: pd.DataFrame) -> dict[str, float]:
    """How a `base_rate` table stands to its floors: the median over cells of |confidence / floor - 1|, the same of the means over
    cells, and the rank correlation of confidence and floor across cells. NaN for a reading without a floor."""
    taught = cells[cells["share"] > 0]  # a cell that never held an object has its floor at 0
    relative = (taught["confidence"] / taught["floor"] - 1).abs()
    with np.errstate(divide="ignore", invalid="ignore"):  # a tiny split may have a floor at 0
        of_means = float(abs(taught["confidence"].mean() / taught["floor"].mean() - 1))
    return {
        "confidence": float(taught["confidence"].mean()),
        "floor": float(taught["floor"].mean()),
        "cell_error": float(relative.median()),
        "mean_error": of_means,
        "rank_correlation": rank_correlation(taught["confidence"], taught["floor"]),
    }


def rank_correlation(a: Sequence | np.ndarray | pd.Series, b: Sequence | np.ndarray | pd.Series) -> float:
    """Spearman's: the correlation of ranks, ties sharing theirs. AP depends on nothing but order, so two detectors of one order tie."""
    return float(pd.Series(a).rank().corr(pd.Series(b).rank()))
