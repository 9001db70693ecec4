"""Average precision beside its peers, on the same arrays.

Inside: `average_precision` (the rows), `growth`, `crowd` (detections of VOC 2012's size, made up), `peer`.
"""

import contextlib
import io
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from bench.contest import Growth, Row, contest, grow, peer_module
from voc_tree.annotation import CLASSES
from yolo_core.detector.metrics import voc_ap

# VOC 2012 val holds so many images, of so many objects each; a detector leaves about 30 boxes after suppression.
IMAGES, OBJECTS, DETECTIONS = 5823, 2.7, 30
FEWER = 1000  # images for torchmetrics, which takes far longer than the others
PEERS = ("faster-coco-eval", "pycocotools")
# Both sample 101 recalls, and offer a detection the free object it overlaps most, where VOC offers the one it overlaps most.
AGREE = 0.02


def crowd(
    images: int, per_image: int = DETECTIONS, seed: int = 0, objects: float = OBJECTS, classes: int = len(CLASSES)
) -> tuple[list[dict], list[dict]]:
    """Made-up (predictions, targets) in pixels of 500 x 375 pictures: `per_image` detections each, half of them near an object, and
    `objects` (at least 1) on average."""
    rng = np.random.default_rng(seed)
    scale = np.array([500.0, 375.0])

    def boxes(count: int) -> np.ndarray:
        size = scale * rng.uniform(0.05, 0.8, (count, 2))
        corner = rng.uniform(0, 1, (count, 2)) * (scale - size)
        return np.concatenate([corner, corner + size], -1)

    predictions, targets = [], []
    for count in (1 + rng.poisson(objects - 1, images)).tolist():
        truth, labels = boxes(count), rng.integers(classes, size=count)
        near = rng.random(per_image) < 0.5
        chosen = rng.integers(count, size=per_image)
        found = np.where(near[:, None], truth[chosen] + rng.normal(0, 15, (per_image, 4)), boxes(per_image))
        found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
        kinds = np.where(near & (rng.random(per_image) < 0.8), labels[chosen], rng.integers(classes, size=per_image))
        scores = rng.beta(1 + 2 * near, 4)
        predictions.append({"boxes": torch.tensor(found).float(), "labels": torch.tensor(kinds), "scores": torch.tensor(scores).float()})
        targets.append({"boxes": torch.tensor(truth).float(), "labels": torch.tensor(labels)})
    return predictions, targets


class Coco:
    """A COCO evaluator on our arrays; a call gives its AP at IoU 0.5.

    The work is made the same: one IoU threshold instead of ten, one range of areas instead of four, and 100 detections an image, which
    is more than there are. Its ground truth and detections are loaded and indexed here, untimed, while our time includes gathering the
    lists of dicts: what is unequal is in the peer's favour.
    """

    def __init__(self, coco: Any, evaluator: Any, predictions: list[dict], targets: list[dict]) -> None:
        self._evaluator = evaluator
        self._truth = coco()
        self._truth.dataset = {
            "info": {},
            "images": [{"id": image} for image in range(1, len(targets) + 1)],
            "categories": [{"id": label, "name": name} for label, name in enumerate(CLASSES, 1)],
            "annotations": [{**item, "id": i, "iscrowd": 0} for i, item in enumerate(_coco(targets), 1)],
        }
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools narrates
            self._truth.createIndex()
            self._found = self._truth.loadRes(_coco(predictions))

    def __call__(self) -> float:
        with contextlib.redirect_stdout(io.StringIO()):
            run = self._evaluator(self._truth, self._found, "bbox")
            run.params.iouThrs = np.array([0.5])
            run.params.areaRng, run.params.areaRngLbl = [[0, 1e10]], ["all"]
            run.params.maxDets = [100]
            run.evaluate()
            run.accumulate()
        precision = run.eval["precision"]
        return float(precision[precision > -1].mean())


def _coco(items: list[dict]) -> list[dict]:
    """Detections or objects as COCO's results: xywh boxes, ids from 1."""
    results = []
    for image, item in enumerate(items, 1):
        xywh = torch.cat([item["boxes"][:, :2], item["boxes"][:, 2:] - item["boxes"][:, :2]], -1)
        scores = item.get("scores", torch.ones(len(xywh)))
        for bbox, label, score in zip(xywh.tolist(), item["labels"].tolist(), scores.tolist(), strict=True):
            results.append({"image_id": image, "category_id": label + 1, "bbox": bbox, "area": bbox[2] * bbox[3], "score": score})
    return results


def _torchmetrics(metric: type, predictions: list[dict], targets: list[dict]) -> float:
    """torchmetrics' AP at IoU 0.5, from the very lists that ours takes. Its four ranges of areas cannot be turned off."""
    whole = metric(iou_thresholds=[0.5])
    whole.update(predictions, targets)
    return float(whole.compute()["map"])


def peer(name: str, predictions: list[dict], targets: list[dict]) -> Callable[[], float]:
    """A peer by name, given the arrays: its AP when called. InputError if it is not installed."""
    if name == "torchmetrics":
        return partial(_torchmetrics, peer_module("torchmetrics.detection").MeanAveragePrecision, predictions, targets)
    if name == "faster-coco-eval":
        package = peer_module("faster_coco_eval")
        return Coco(package.COCO, package.COCOeval_faster, predictions, targets)
    return Coco(peer_module("pycocotools.coco").COCO, peer_module("pycocotools.cocoeval").COCOeval, predictions, targets)


def average_precision(images: int = IMAGES, per_image: int = DETECTIONS, repeats: int = 5, beside: Sequence[str] = PEERS) -> list[Row]:
    """A row a peer: seconds for the AP of so many images of so many detections. AssertionError if an AP differs by more than `AGREE`."""
    predictions, targets = crowd(images, per_image)
    contestants = {"ours": lambda: voc_ap(predictions, targets).map}
    contestants |= {name: peer(name, predictions, targets) for name in beside}
    answers, times = contest(contestants, repeats)
    if any(abs(answer - answers["ours"]) > AGREE for answer in answers.values()):
        raise AssertionError(f"AP differs by more than {AGREE}: {answers}")
    name = f"AP of {images} images x {per_image} detections"
    return [Row("AP", f"{name}, {other}", "s", times["ours"], times[other]) for other in beside]


def growth(scale: int = 500, repeats: int = 5) -> list[Growth]:
    """Our AP's time against images, objects a picture (with ten detections each) and classes; crowds of `scale` images and more."""
    crowds = {
        "images": {n: crowd(n) for n in (scale, 2 * scale, 4 * scale, 8 * scale)},
        "objects a picture": {n: crowd(scale, 10 * n, objects=n) for n in (1, 3, 10, 30)},
        "classes": {n: crowd(4 * scale, classes=n) for n in (5, 20, 80, 320)},
    }
    return [grow("AP", axis, {n: partial(voc_ap, *made) for n, made in by_size.items()}, repeats) for axis, by_size in crowds.items()]
