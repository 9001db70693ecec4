"""Lists of labelled boxes that look like Pascal VOC 2012's: a small generative model, fitted to aggregates only.

Inside: `Layout` (the model), `fit` (from annotations), `sample` (one image's boxes), `voc2012` (the fitted model shipped).

An image is a chain of objects, in the order in which VOC's annotators drew them. How many: from the histogram of counts.
Their classes: a Markov chain, one table of transitions for each range of counts. Their boxes are described by

    size   s = sqrt(w h)          by class and by how many objects the image holds,
    aspect r = ln(w / h)          by class and by size,
    place  x = xmin / (1 - w), y = ymin / (1 - h)     by size: 0 touches the left or upper edge, 1 the right or lower,

each drawn from a table of quantiles, and joined along the chain by a Gaussian copula: the normal scores of an object and of
the one before it correlate (flocks are small together, neighbours stand on one line), by range of counts, more where both are
of one class. Some followers stand close by the one before: there the scores of x and y correlate by `CLOSE`. w and h are
shares of the image.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from statistics import NormalDist

import numpy as np
from jaxtyping import Float, Int

from emojivoc.statistics import FILE

COUNTS = (2, 3, 5, 9)  # ranges of objects an image: 1, 2, 3-4, 5-8, 9 or more
SIZES = (0.1, 0.2, 0.4, 0.7)  # ranges of sqrt(w h)
LEVELS = np.linspace(0.0, 1.0, 17)  # of the quantile tables of size and aspect
PLACES = np.linspace(0.0, 1.0, 33)  # of the quantile tables of x and y, finer: many boxes touch an edge exactly
MOST = 30  # images of more objects are drawn with this many
FEW = 24  # a table of fewer objects gives way to the one of all sizes or counts of the class
VARIABLES = ("size", "aspect", "x", "y")
CLOSE = 0.97  # correlation of the places of neighbours; what is left over is a fraction of a cell


@dataclass(frozen=True)
class Layout:
    """The model's tables. Ranges of counts are R = 5 long (`COUNTS`), of sizes also 5 (`SIZES`), classes 20.

    - `per_image` [31]: images with 0, 1 ... 30 objects;
    - `first` [R][20]: images whose first object is of the class; `following` [R][20][20]: objects of the class (last axis)
      that follow one of the class before;
    - `size` [20][R][17], `aspect` [20][5][17], `x` [5][33], `y` [5][33]: quantiles;
    - `correlation` [4][R][2]: between the normal scores of an object and of the one before it, for `VARIABLES`, where the
      two are of different classes and of the same; for x and y, of those that do not stand close by;
    - `close` [R][2]: share of the followers that stand close by the one before.
    """

    per_image: list[int]
    first: list[list[int]]
    following: list[list[list[int]]]
    size: list[list[list[float]]]
    aspect: list[list[list[float]]]
    x: list[list[float]]
    y: list[list[float]]
    correlation: list[list[list[float]]]
    close: list[list[float]]

    @classmethod
    def from_dict(cls, values: Mapping) -> "Layout":
        return cls(**{field.name: values[field.name] for field in fields(cls)})


@cache
def voc2012() -> Layout:
    """The model fitted to Pascal VOC 2012's train split (scripts/voc2012_statistics.py)."""
    return Layout.from_dict(json.loads(FILE.read_text(encoding="utf-8"))["layout"])


def sample(layout: Layout, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """One image's `boxes` (float64 [n, 4], xyxy in [0, 1]) and `labels` (int64 [n]), n >= 1."""
    tables = _tables(layout) if layout is not voc2012() else _voc2012_tables()
    number = _draw(tables.per_image, rng)
    crowd = _range(number, COUNTS)
    boxes, labels = np.empty((number, 4)), np.empty(number, int)
    scores = np.zeros(4)
    for k in range(number):
        label = _draw(tables.first[crowd] if k == 0 else tables.following[crowd][labels[k - 1]], rng)
        tie = np.zeros(4)
        if k:
            same = int(label == labels[k - 1])
            tie = tables.correlation[:, crowd, same].copy()
            if rng.random() < tables.close[crowd, same]:
                tie[2:] = CLOSE
        scores = tie * scores + np.sqrt(1 - tie**2) * rng.standard_normal(4)
        boxes[k] = _box(tables, label, crowd, [0.5 * math.erfc(-z / math.sqrt(2)) for z in scores])
        labels[k] = label
    return {"boxes": boxes, "labels": labels}


def _box(tables: "_Tables", label: int, crowd: int, ranks: Sequence[float]) -> tuple[float, float, float, float]:
    size = float(np.interp(ranks[0], LEVELS, tables.size[label, crowd]))
    bulk = _range(size, SIZES)
    half = float(np.interp(ranks[1], LEVELS, tables.aspect[label, bulk])) / 2
    width, height = size * math.exp(half), size * math.exp(-half)
    if width > 1 or height > 1:  # as wide or as high as the image, the area kept
        width, height = (1.0, min(size**2, 1.0)) if width > height else (min(size**2, 1.0), 1.0)
    left = float(np.interp(ranks[2], PLACES, tables.x[bulk])) * (1 - width)
    top = float(np.interp(ranks[3], PLACES, tables.y[bulk])) * (1 - height)
    return left, top, left + width, top + height


@dataclass(frozen=True)
class _Tables:
    """The model's tables as arrays, counts as cumulated shares."""

    per_image: Float[np.ndarray, " counts"]
    first: Float[np.ndarray, "r 20"]
    following: Float[np.ndarray, "r 20 20"]
    size: Float[np.ndarray, "20 r levels"]
    aspect: Float[np.ndarray, "20 5 levels"]
    x: Float[np.ndarray, "5 places"]
    y: Float[np.ndarray, "5 places"]
    correlation: Float[np.ndarray, "4 r 2"]
    close: Float[np.ndarray, "r 2"]


def _tables(layout: Layout) -> _Tables:
    quantiles = {name: np.array(getattr(layout, name)) for name in (*VARIABLES, "correlation", "close")}
    following = np.array(layout.following, float)
    # A class that never had a follower in its range: the next object is as the first.
    following = np.where(following.sum(-1, keepdims=True) > 0, following, np.array(layout.first, float)[:, None, :])
    counts = {"per_image": np.array(layout.per_image, float), "first": np.array(layout.first, float), "following": following}
    return _Tables(**{name: np.cumsum(c, -1) / np.maximum(c.sum(-1, keepdims=True), 1) for name, c in counts.items()}, **quantiles)


@cache
def _voc2012_tables() -> _Tables:
    return _tables(voc2012())


def _draw(cumulated: Float[np.ndarray, " n"], rng: np.random.Generator) -> int:
    return min(int(np.searchsorted(cumulated, rng.random(), side="right")), len(cumulated) - 1)


def _range(value: float, edges: Sequence[float]) -> int:
    return sum(value >= edge for edge in edges)


def fit(targets: Sequence[Mapping], seed: int = 0) -> Layout:
    """The model of `targets`: one mapping an image, with `boxes` [n, 4] (xyxy in [0, 1]) and `labels` [n], in the annotators' order.

    `seed` breaks ties between equal values when they are ranked.
    """
    rng = np.random.default_rng(seed)
    targets = [{key: np.asarray(target[key]) for key in ("boxes", "labels")} for target in targets if len(target["labels"])]
    number = np.array([len(target["labels"]) for target in targets])
    label, box = (np.concatenate([target[key] for target in targets]) for key in ("labels", "boxes"))
    image = np.repeat(np.arange(len(number)), number)
    width, height = box[:, 2] - box[:, 0], box[:, 3] - box[:, 1]
    size = np.sqrt(width * height)
    crowd, bulk = np.digitize(number, COUNTS)[image], np.digitize(size, SIZES)
    values = {"size": size, "aspect": np.log(width / height)}
    for name, low, length in (("x", box[:, 0], width), ("y", box[:, 1], height)):
        values[name] = np.where(length < 1, low / np.where(length < 1, 1 - length, 1), rng.random(len(length)))
    groups = {"size": (label, crowd), "aspect": (label, bulk), "x": (bulk,), "y": (bulk,)}
    follows = np.flatnonzero(image[1:] == image[:-1]) + 1
    scores = np.stack([_scores(values[name], groups[name], rng) for name in VARIABLES])
    correlation, close = np.zeros((4, 5, 2)), np.zeros((5, 2))
    same = (label[follows] == label[follows - 1]).astype(int)
    for c, s in np.ndindex(5, 2):
        pair = follows[(crowd[follows] == c) & (same == s)]
        if len(pair) >= FEW:
            correlation[:, c, s], close[c, s] = _ties(scores[:, pair - 1], scores[:, pair])
    return Layout(
        per_image=np.bincount(np.minimum(number, MOST), minlength=MOST + 1).tolist(),
        first=_count((5, 20), crowd[image != np.roll(image, 1)], label[image != np.roll(image, 1)]),
        following=_count((5, 20, 20), crowd[follows], label[follows - 1], label[follows]),
        size=_quantiles(values["size"], label, crowd, LEVELS),
        aspect=_quantiles(values["aspect"], label, bulk, LEVELS),
        x=_quantiles(values["x"], np.zeros_like(bulk), bulk, PLACES)[0],
        y=_quantiles(values["y"], np.zeros_like(bulk), bulk, PLACES)[0],
        correlation=correlation.round(3).tolist(),
        close=close.round(3).tolist(),
    )


def _count(shape: tuple[int, ...], *indices: Int[np.ndarray, " n"]) -> list:
    table = np.zeros(shape, int)
    np.add.at(table, indices, 1)
    return table.tolist()


def _quantiles(value: Float[np.ndarray, " n"], rows: Int[np.ndarray, " n"], columns: Int[np.ndarray, " n"], levels) -> list:
    table = []
    for row in range(rows.max() + 1):
        cells = [value[(rows == row) & (columns == column)] for column in range(5)]
        cells = [cell if len(cell) >= FEW else value[rows == row] for cell in cells]
        table.append([[round(float(q), 3) for q in np.quantile(cell, levels)] for cell in cells])
    return table


def _scores(value: Float[np.ndarray, " n"], groups: tuple, rng: np.random.Generator) -> Float[np.ndarray, " n"]:
    """Normal scores of `value` by rank within its group, equal values in random order."""
    group = np.unique(np.stack(groups), axis=1, return_inverse=True)[1].ravel()
    order = np.lexsort((rng.random(len(value)), value, group))
    group = group[order]
    rank = (np.arange(len(value)) - np.searchsorted(group, group) + 0.5) / np.bincount(group)[group]
    scores = np.empty(len(value))
    scores[order] = [NormalDist().inv_cdf(float(r)) for r in rank]
    return scores


def _ties(before: Float[np.ndarray, "4 n"], after: Float[np.ndarray, "4 n"]) -> tuple[Float[np.ndarray, "4"], float]:
    """The correlations of `after` with `before`, and the share of close neighbours.

    The places are a mixture of close pairs, of correlation `CLOSE`, and others, of correlations to be found: by expectation
    and maximisation.
    """
    ties, close = np.array([np.corrcoef(a, b)[0, 1] for a, b in zip(before, after, strict=True)]), 0.2
    for _ in range(60):
        near = close * _density(before[2:], after[2:], np.full(2, CLOSE))
        far = (1 - close) * _density(before[2:], after[2:], ties[2:])
        weight = far / (near + far)
        close = float(1 - weight.mean())
        cross, *squares = ((weight * a * b).sum(1)[2:] for a, b in ((before, after), (before, before), (after, after)))
        ties[2:] = np.clip(cross / np.sqrt(squares[0] * squares[1]), -0.95, 0.95)
    return ties, close


def _density(before: Float[np.ndarray, "2 n"], after: Float[np.ndarray, "2 n"], tie: Float[np.ndarray, "2"]) -> Float[np.ndarray, " n"]:
    spread = np.sqrt(1 - tie**2)[:, None]
    return np.exp(-0.5 * ((after - tie[:, None] * before) / spread) ** 2).prod(0) / spread.prod()
