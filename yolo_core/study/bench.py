"""The package's work beside its peers', timed in one run on the same arrays.

Inside: `run` (all rows), `average_precision`, `scenes` (its parts), `table` (to read in a terminal), `crowd` (detections of VOC 2012's
size, made up), `peer`.

A ratio above 1 says how many times faster this package is. Every repeat times all contestants, one after another, so that a machine
that slows down slows all of them; times and ratio are medians over the repeats, the interval holds the least and the greatest ratio.
"""

import contextlib
import importlib
import io
import time
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np
import torch

from yolo_core.data.annotation import CLASSES
from yolo_core.data.emoji import scenes_per_second
from yolo_core.detector.metrics import voc_ap
from yolo_core.errors import InputError

# VOC 2012 val holds so many images, of so many objects each; a detector leaves about 30 boxes after suppression.
IMAGES, OBJECTS, DETECTIONS = 5823, 2.7, 30
PEERS = ("faster-coco-eval", "pycocotools")
SCENES_WANTED = 60  # a second on one core: 2,000 scenes within the time a reader waits for a page


def crowd(images: int, per_image: int = DETECTIONS, seed: int = 0) -> tuple[list[dict], list[dict]]:
    """Made-up (predictions, targets) in pixels of 500 x 375 pictures: `per_image` detections each, half of them near an object."""
    rng = np.random.default_rng(seed)
    scale = np.array([500.0, 375.0])

    def boxes(count: int) -> np.ndarray:
        size = scale * rng.uniform(0.05, 0.8, (count, 2))
        corner = rng.uniform(0, 1, (count, 2)) * (scale - size)
        return np.concatenate([corner, corner + size], -1)

    predictions, targets = [], []
    for count in (1 + rng.poisson(OBJECTS - 1, images)).tolist():
        truth, labels = boxes(count), rng.integers(len(CLASSES), size=count)
        near = rng.random(per_image) < 0.5
        chosen = rng.integers(count, size=per_image)
        found = np.where(near[:, None], truth[chosen] + rng.normal(0, 15, (per_image, 4)), boxes(per_image))
        found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
        kinds = np.where(near & (rng.random(per_image) < 0.8), labels[chosen], rng.integers(len(CLASSES), size=per_image))
        scores = rng.beta(1 + 2 * near, 4)
        predictions.append({"boxes": torch.tensor(found).float(), "labels": torch.tensor(kinds), "scores": torch.tensor(scores).float()})
        targets.append({"boxes": torch.tensor(truth).float(), "labels": torch.tensor(labels)})
    return predictions, targets


class Peer:
    """A COCO evaluator on our arrays: `evaluate` gives its AP at IoU 0.5.

    The work is made the same: one IoU threshold instead of ten, one range of areas instead of four, and 100 detections an image, which
    is more than there are. Its ground truth and detections are loaded and indexed here, untimed, while our time includes gathering the
    lists of dicts: what is unequal is in the peer's favour. (AP differs in the third digit: COCO samples 101 recalls, and offers a
    detection the free object it overlaps most, VOC the one it overlaps most.)
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

    def evaluate(self) -> float:
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


def _peer_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.split(".")[0].replace("_", "-")
        raise InputError(f"bench: {package} is not installed; install the peers with pip install 'yolo-core[test]'") from error


def peer(name: str, predictions: list[dict], targets: list[dict]) -> Peer:
    """A peer by name, loaded with the arrays. InputError if it is not installed."""
    if name == "faster-coco-eval":
        package = _peer_module("faster_coco_eval")
        return Peer(package.COCO, package.COCOeval_faster, predictions, targets)
    return Peer(_peer_module("pycocotools.coco").COCO, _peer_module("pycocotools.cocoeval").COCOeval, predictions, targets)


def _seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _row(name: str, unit: str, ours: list[float], theirs: list[float], ratios: list[float]) -> dict[str, Any]:
    ours, theirs, ratio = (float(np.median(numbers)) for numbers in (ours, theirs, ratios))
    return {"name": name, "ours": ours, "theirs": theirs, "ratio": ratio, "interval": [min(ratios), max(ratios)], "unit": unit}


def average_precision(
    images: int = IMAGES, per_image: int = DETECTIONS, repeats: int = 5, beside: Sequence[str] = PEERS
) -> list[dict[str, Any]]:
    """A row a peer: seconds for the AP of so many images of so many detections."""
    predictions, targets = crowd(images, per_image)
    contestants = {"ours": lambda: voc_ap(predictions, targets)}
    contestants |= {name: peer(name, predictions, targets).evaluate for name in beside}
    times = {name: [] for name in contestants}
    for _ in range(repeats):
        for name, work in contestants.items():
            times[name].append(_seconds(work))
    ours = times.pop("ours")
    return [
        _row(
            f"AP of {images} images x {per_image} detections, {name}", "s", ours, theirs, [t / o for t, o in zip(theirs, ours, strict=True)]
        )
        for name, theirs in times.items()
    ]


def scenes(repeats: int = 3) -> dict[str, Any]:
    """The row of EmojiVOC: scenes a second on one core, beside the number asked for."""
    rates = [scenes_per_second() for _ in range(repeats)]
    return _row("EmojiVOC scenes of 224 px, the rate asked for", "scenes/s", rates, [SCENES_WANTED], [r / SCENES_WANTED for r in rates])


def run() -> list[dict[str, Any]]:
    """Rows {name, ours, theirs, ratio, interval, unit}. InputError if a peer is not installed."""
    return [*average_precision(), scenes()]


def table(rows: list[dict[str, Any]]) -> str:
    """Rows to read in a terminal."""
    width = max(len(row["name"]) for row in rows)
    lines = [f"{'':{width}} {'ours':>9} {'theirs':>9} {'unit':>9} {'ratio':>7}  least to greatest"]
    for row in rows:
        low, high = row["interval"]
        numbers = f"{row['ours']:9.3g} {row['theirs']:9.3g} {row['unit']:>9} {row['ratio']:7.1f}"
        lines.append(f"{row['name']:{width}} {numbers}  {low:.1f} to {high:.1f}")
    return "\n".join(lines)
