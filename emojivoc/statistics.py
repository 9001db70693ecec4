"""What the boxes of a detection data set look like, as counts, and how far two data sets are apart.

Inside: `Statistics` (the aggregates), `summarise` (from targets), `distance` (between two), `voc2012` and `photographs` (the ones
shipped), `photographs_ceiling`.

Everything is a histogram or a count, so that thousands of annotations fit in a few kilobytes, two data sets of different
length can be drawn over each other, and no single annotation is given away.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import Float

from voc_tree.annotation import CLASSES

FILE = Path(__file__).with_name("voc2012_statistics.json")
PHOTOGRAPHS = Path(__file__).with_name("photographs_statistics.json")
GRID = 7  # cells a side: YOLOv1's S
MOST = 20  # the last entry of `per_image` holds images of MOST objects or more
SIZE_EDGES = np.linspace(0.0, 1.0, 51)  # sqrt of the box's share of the image
ASPECT_EDGES = np.linspace(-3.0, 3.0, 61)  # ln(width / height), both as shares of the image
CENTRE_EDGES = np.linspace(0.0, 1.0, 57)  # 8 bins a cell at S = 7
CLASS_EDGES = {"size": SIZE_EDGES[::2], "aspect": ASPECT_EDGES[::2]}


@dataclass(frozen=True)
class Statistics:
    """Aggregates of a set of annotated images. Lengths are shares of the image's own width and height.

    - `images`, `objects`: how many;
    - `classes` [20]: objects of each class, in the order of `CLASSES`;
    - `together` [20][20]: images that hold both classes (the diagonal: images that hold the class);
    - `per_image` [21]: images with 0, 1, 2 ... objects, the last for `MOST` or more;
    - `per_cell` [6]: cells of the `GRID` x `GRID` grid in which 0, 1, 2 ... objects have their centre, the last for 5 or more;
    - `sizes` [50], `aspects` [60], `centre_x` [56], `centre_y` [56]: counts between `SIZE_EDGES`, `ASPECT_EDGES`, `CENTRE_EDGES`
      (what lies outside the edges is counted in the bin nearest to it);
    - `sizes_of` [20][25], `aspects_of` [20][30]: the same a class, between `CLASS_EDGES`.
    """

    images: int
    objects: int
    classes: list[int]
    together: list[list[int]]
    per_image: list[int]
    per_cell: list[int]
    sizes: list[int]
    aspects: list[int]
    centre_x: list[int]
    centre_y: list[int]
    sizes_of: list[list[int]]
    aspects_of: list[list[int]]

    @property
    def objects_an_image(self) -> float:
        return self.objects / max(self.images, 1)

    @property
    def commonest(self) -> str:
        """The class of most objects."""
        return CLASSES[int(np.argmax(self.classes))]

    @property
    def background(self) -> float:
        """Share of the cells in which no object has its centre."""
        return self.per_cell[0] / max(sum(self.per_cell), 1)

    @property
    def cells_lost(self) -> float:
        """Share of the objects that find their cell taken: what a detector of one object a cell cannot find."""
        taken = sum(self.per_cell) - self.per_cell[0]
        return 1 - taken / self.objects if self.objects else 0.0

    def to_json(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_dict(cls, values: Mapping) -> "Statistics":
        return cls(**{field.name: values[field.name] for field in fields(cls)})


def summarise(targets: Iterable[Mapping]) -> Statistics:
    """The aggregates of `targets`: one mapping an image, with `boxes` [n, 4] (xyxy, in [0, 1]) and `labels` [n] (indices into `CLASSES`).

    Arrays and tensors are both taken, so `VocData(...).targets` goes in as it is.
    """
    numbers, boxes, labels, cells, together = [], [], [], [], np.zeros((20, 20), int)
    for target in targets:
        box, label = np.asarray(target["boxes"], float).reshape(-1, 4), np.asarray(target["labels"], int)
        numbers.append(len(label))
        boxes.append(box)
        labels.append(label)
        column, row = (np.minimum((box[:, k] + box[:, k + 2]) / 2 * GRID, GRID - 1).astype(int) for k in (0, 1))
        cells.append(np.bincount(row * GRID + column, minlength=GRID * GRID))
        present = np.unique(label)
        together[np.ix_(present, present)] += 1
    box, label = np.concatenate([*boxes, np.zeros((0, 4))]), np.concatenate([*labels, np.zeros(0, int)])
    width, height = box[:, 2] - box[:, 0], box[:, 3] - box[:, 1]
    size, aspect = np.sqrt(width * height), np.log(width / height)
    return Statistics(
        images=len(numbers),
        objects=len(label),
        classes=np.bincount(label, minlength=20).tolist(),
        together=together.tolist(),
        per_image=np.bincount(np.minimum(np.array(numbers, int), MOST), minlength=MOST + 1).tolist(),
        per_cell=np.bincount(np.minimum(np.array(cells, int).ravel(), 5), minlength=6).tolist(),
        sizes=_histogram(size, SIZE_EDGES),
        aspects=_histogram(aspect, ASPECT_EDGES),
        centre_x=_histogram((box[:, 0] + box[:, 2]) / 2, CENTRE_EDGES),
        centre_y=_histogram((box[:, 1] + box[:, 3]) / 2, CENTRE_EDGES),
        sizes_of=[_histogram(size[label == c], CLASS_EDGES["size"]) for c in range(20)],
        aspects_of=[_histogram(aspect[label == c], CLASS_EDGES["aspect"]) for c in range(20)],
    )


def distance(a: Statistics, b: Statistics) -> dict[str, float]:
    """How far `b` is from `a`, property by property; 0 is equal, 1 is as far as can be.

    - total variation, half the sum of absolute differences of shares: `classes`, `per_image`, `together`;
    - Kolmogorov-Smirnov, the largest gap between the cumulated shares: `sizes`, `aspects`, `centre_x`, `centre_y`; and, a
      class at a time and averaged by the classes' frequencies in `a`, `sizes_of`, `aspects_of`;
    - absolute difference of shares: `background`, `cells_lost`.
    """
    measured = {name: _total_variation(getattr(a, name), getattr(b, name)) for name in ("classes", "per_image", "together")}
    for name in ("sizes", "aspects", "centre_x", "centre_y"):
        measured[name] = _kolmogorov_smirnov(getattr(a, name), getattr(b, name))
    for name in ("sizes_of", "aspects_of"):
        gaps = [_kolmogorov_smirnov(p, q) for p, q in zip(getattr(a, name), getattr(b, name), strict=True)]
        measured[name] = float(np.average(gaps, weights=_shares(a.classes)))
    return measured | {name: abs(getattr(a, name) - getattr(b, name)) for name in ("background", "cells_lost")}


@cache
def voc2012(split: str = "train") -> Statistics:
    """The aggregates of Pascal VOC 2012's own `train` or `val` split (scripts/voc2012_statistics.py made them)."""
    return Statistics.from_dict(json.loads(FILE.read_text(encoding="utf-8"))["statistics"][split])


@cache
def photographs(split: str = "train") -> Statistics:
    """The aggregates of the photographs' `train` or `val` split, all 7,591 (scripts/photographs.py made them)."""
    return Statistics.from_dict(json.loads(PHOTOGRAPHS.read_text(encoding="utf-8"))["statistics"][split])


def photographs_ceiling(split: str = "val") -> float:
    """The mAP@.5 that YOLOv1's grid allows on the photographs' `train` or `val` split: `detector.grid.ceiling` of its targets."""
    return json.loads(PHOTOGRAPHS.read_text(encoding="utf-8"))["ceiling"][split]


def _histogram(values: Float[np.ndarray, " n"], edges: Float[np.ndarray, " edges"]) -> list[int]:
    return np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0].tolist()


def _shares(counts: list) -> Float[np.ndarray, " bins"]:
    counts = np.asarray(counts, float).ravel()
    return counts / max(counts.sum(), 1.0)


def _total_variation(a: list, b: list) -> float:
    return float(np.abs(_shares(a) - _shares(b)).sum() / 2)


def _kolmogorov_smirnov(a: list, b: list) -> float:
    return float(np.abs(np.cumsum(_shares(a) - _shares(b))).max())
