"""Pascal VOC's average precision, and what mAP alone hides.

Inside: `match` -> `Matches`, `voc_ap` -> `AveragePrecision`, `counts` -> `Counts`, `class_agnostic`.

The protocol is the VOC devkit's (Everingham et al., 2010): a detection is matched to the ground truth of its class and image that it
overlaps most, before asking whether that one is still free; the first (highest-scored) detection of an object is true, any further
one false; objects marked `difficult` are neither to be found nor a fault to find; IoU >= 0.5 counts.
Because the match does not depend on the other detections, the whole set is matched at once with no loop over images or classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
import torch

DIFFICULT, FALSE, TRUE = -1, 0, 1


class Matches(NamedTuple):
    """Every detection of a data set, best first (ties in the order given), and what became of it."""

    scores: np.ndarray  # d
    labels: np.ndarray  # d
    outcome: np.ndarray  # d: TRUE, FALSE, or DIFFICULT (ignored)
    iou: np.ndarray  # d: overlap with the best ground truth of its class and image, 0 if none
    objects: np.ndarray  # labels of all ground-truth objects that are not difficult
    images: int
    image: np.ndarray  # d: of which image
    object_image: np.ndarray  # of which image each object is


@dataclass(frozen=True)
class AveragePrecision:
    """`map` is the mean of `per_class` over the classes that have an object to find; NaN if there is none at all.

    `curves` holds (recall, precision) a class, detection by detection, best score first.
    """

    map: float
    per_class: dict[int, float]
    curves: dict[int, tuple[np.ndarray, np.ndarray]] = field(repr=False)


@dataclass(frozen=True)
class Counts:
    """Detections above a score: how many are true and false, how many objects there are to find, over how many images."""

    true: int
    false: int
    objects: int
    images: int

    @property
    def recall(self) -> float:
        return self.true / self.objects if self.objects else float("nan")

    @property
    def precision(self) -> float:
        return self.true / (self.true + self.false) if self.true + self.false else float("nan")

    @property
    def false_per_image(self) -> float:
        return self.false / self.images if self.images else float("nan")


def _column(items: Sequence[dict], key: str, width: tuple[int, ...] = ()) -> np.ndarray:
    """One key of a list of dicts, end to end; a missing key is all False (`difficult` is optional)."""
    parts = [item[key] if key in item else torch.zeros(len(item["labels"]), dtype=torch.bool) for item in items]
    return torch.cat(parts).numpy(force=True) if parts else np.zeros((0, *width))


def _pairs(key: np.ndarray, sorted_keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All (i, j) with key[i] == sorted_keys[j], i ascending: a join, with no loop."""
    first = np.searchsorted(sorted_keys, key, "left")
    size = np.searchsorted(sorted_keys, key, "right") - first
    i = np.repeat(np.arange(len(key)), size)
    within = np.arange(len(i)) - np.repeat(np.cumsum(size) - size, size)
    return i, first[i] + within


def _iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pairwise IoU of float64 xyxy arrays of one length; two empty boxes have IoU 0."""
    width = np.minimum(a[:, 2], b[:, 2]) - np.maximum(a[:, 0], b[:, 0])
    height = np.minimum(a[:, 3], b[:, 3]) - np.maximum(a[:, 1], b[:, 1])
    intersection = np.maximum(width, 0) * np.maximum(height, 0)
    area = (a[:, 2] - a[:, 0]) * (a[:, 3] - a[:, 1]) + (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])
    return intersection / np.maximum(area - intersection, np.finfo(np.float64).tiny)


def match(predictions: Sequence[dict], targets: Sequence[dict], iou_threshold: float = 0.5) -> Matches:
    """Match detections `{boxes xyxy, scores, labels}` to objects `{boxes xyxy, labels, difficult}`, one dict an image each.

    `difficult` may be left out (none is). Raises ValueError when the two lists differ in length or a score is not finite.
    """
    if len(predictions) != len(targets):
        raise ValueError(f"expected one prediction dict a target dict, got {len(predictions)} and {len(targets)}")
    images = np.arange(len(targets))
    scores = _column(predictions, "scores").astype(np.float64)
    if not np.isfinite(scores).all():
        raise ValueError("scores must be finite; the detector has put out NaN or infinity")
    order = np.argsort(-scores, kind="stable")
    image = np.repeat(images, [len(p["labels"]) for p in predictions])[order]
    labels = _column(predictions, "labels").astype(np.int64)[order]
    boxes = _column(predictions, "boxes", (4,)).astype(np.float64)[order]

    truth_labels = _column(targets, "labels").astype(np.int64)
    truth_image = np.repeat(images, [len(t["labels"]) for t in targets])
    truth_boxes = _column(targets, "boxes", (4,)).astype(np.float64)
    difficult = _column(targets, "difficult").astype(bool)

    # One number for (class, image) lets a single sorted join find each detection's candidates.
    stride = len(targets) + 1
    truth_order = np.argsort(truth_labels * stride + truth_image, kind="stable")
    d, t = _pairs(labels * stride + image, (truth_labels * stride + truth_image)[truth_order])
    t = truth_order[t]
    overlap = _iou(boxes[d], truth_boxes[t])
    # Best pair of each detection: by detection, then overlap falling, then the object listed first.
    best = np.lexsort((t, -overlap, d))
    best = best[np.unique(d[best], return_index=True)[1]]
    d, t, overlap = d[best], t[best], overlap[best]

    outcome = np.full(len(scores), FALSE)
    iou = np.zeros(len(scores))
    iou[d] = overlap
    hit = overlap >= iou_threshold
    d, t = d[hit], t[hit]
    outcome[d[difficult[t]]] = DIFFICULT
    d, t = d[~difficult[t]], t[~difficult[t]]
    # Detections come best first, so an object's first claim is the one that counts.
    outcome[d[np.unique(t, return_index=True)[1]]] = TRUE
    return Matches(scores[order], labels, outcome, iou, truth_labels[~difficult], len(targets), image, truth_image[~difficult])


def _area(recall: np.ndarray, precision: np.ndarray) -> float:
    """Area under the precision envelope (eq-ap; VOC 2010 and later). Recall and envelope
    start at 0 and end at 1."""
    recall = np.concatenate([[0.0], recall])
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall) * envelope))


def _eleven_points(recall: np.ndarray, precision: np.ndarray) -> float:
    """Mean over r = 0, 0.1, ..., 1 of the best precision at recall >= r (eq-ap-11; VOC 2007)."""
    envelope = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
    # i / n and k / 10 must compare as the fractions they are: 0.3 as a float is above 3 / 10.
    points = np.arange(11) / 10
    return float(envelope[np.searchsorted(recall, points - 1e-12, "left")].mean())


def voc_ap(
    predictions: Sequence[dict],
    targets: Sequence[dict],
    iou_threshold: float = 0.5,
    method: Literal["area", "11point"] = "area",
) -> AveragePrecision:
    """Average precision a class, and their mean, of detections of any score.

    predictions: `{boxes xyxy [d, 4], scores [d], labels [d]}` an image; targets: `{boxes xyxy [o, 4], labels [o], difficult [o]}`.
    "area" is the area under the precision envelope (VOC 2010 and later), "11point" VOC 2007's mean over eleven recalls.
    Classes with no object to find have no AP: their detections count nowhere, as in the devkit. Raises as `match` does.
    """
    reduce = {"area": _area, "11point": _eleven_points}[method]
    matches = match(predictions, targets, iou_threshold)
    counted = matches.outcome != DIFFICULT
    labels, true = matches.labels[counted], matches.outcome[counted] == TRUE
    by_class = np.argsort(labels, kind="stable")
    labels, true = labels[by_class], true[by_class]
    per_class, curves = {}, {}
    for label, objects in zip(*np.unique(matches.objects, return_counts=True), strict=True):
        hits = true[slice(*np.searchsorted(labels, [label, label + 1]))].cumsum()
        recall, precision = hits / objects, hits / np.arange(1, len(hits) + 1)
        curves[int(label)] = (recall, precision)
        per_class[int(label)] = reduce(recall, precision)
    mean = float(np.mean(list(per_class.values()))) if per_class else float("nan")
    return AveragePrecision(mean, per_class, curves)


def counts(matches: Matches, score_threshold: float) -> Counts:
    """True and false detections with a score of at least `score_threshold`; detections of difficult objects are neither."""
    outcome = matches.outcome[matches.scores >= score_threshold]
    return Counts(int((outcome == TRUE).sum()), int((outcome == FALSE).sum()), len(matches.objects), matches.images)


def class_agnostic(items: Sequence[dict]) -> list[dict]:
    """The same detections or targets with every label 0: AP of finding things, whatever they are called."""
    return [{**item, "labels": torch.zeros_like(item["labels"])} for item in items]
