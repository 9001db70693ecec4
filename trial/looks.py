"""What pages ask of a trained detector, in tables small enough to be kept with its record.

Inside: `LOOKS` (by name: `mistakes`, `assigned`, `lost`, `mosaics`, `oracle`), `crowded`, `assignments`.

A look takes a run that has its weights and the splits of its profile. `make book` looks anew; `make read` shows what is kept (kept.py).
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from types import MappingProxyType

import pandas as pd
import torch

from anchor_free import assign
from anchor_free.assign import Assignment
from anchor_free.point_loss import PointLoss
from trial.figures.figures import in_pixels
from trial.inference.detect import found_in, load
from trial.instruments import error_types, mosaic_noise, oracle
from yolo_core.data.voc import VocData
from yolo_core.training.config import RunConfig
from yolo_core.training.records import Run
from yolo_core.training.scoring import predict

RULES = ("cell", "aligned")
LEAST = 0.1  # the score that a detection has to have to count as a mistake


def crowded(data: VocData) -> int:
    """The first picture with three objects or more."""
    return next(i for i, target in enumerate(data.targets) if len(target["labels"]) >= 3)


def _mistakes(run: Run, train: VocData, val: VocData) -> pd.DataFrame:
    """One row: how many detections of val are of each kind (`error_types`)."""
    found = found_in(*load(run.folder), val.images, LEAST)
    return pd.DataFrame([error_types.error_types(found, in_pixels(val.targets, val.size), LEAST)])


def _assigned(run: Run, train: VocData, val: VocData) -> pd.DataFrame:
    """For each rule, a row per point in order: the `object` it answers for in the scene `crowded(val)`, -1 for none, and its `weight`."""
    (detector, config), picture = load(run.folder), crowded(val)
    outputs, target = predict(detector, val.images[picture : picture + 1]), detector.grid.encode([val.targets[picture]])
    found = {rule: loss.assignment(outputs, target) for rule, loss in _rules(config).items()}
    tables = [
        pd.DataFrame({"rule": rule, "object": one.object[0].numpy().astype("int16"), "weight": one.weight[0].numpy()})
        for rule, one in found.items()
    ]
    return pd.concat(tables, ignore_index=True)


def assignments(table: pd.DataFrame) -> dict[str, Assignment]:
    """The table `assigned` as what each rule assigns in its scene; the quality is not in it."""
    found = {}
    for rule, rows in table.groupby("rule", sort=False):
        objects, weight = (torch.tensor(rows[name].to_numpy())[None] for name in ("object", "weight"))
        found[rule] = Assignment(objects.long(), torch.full_like(weight, torch.nan), weight)
    return found


def _lost(run: Run, train: VocData, val: VocData) -> pd.DataFrame:
    """For each rule, how many `objects` of val no point answers for, `of` how many."""
    detector, config = load(run.folder)
    outputs, target = predict(detector, val.images), detector.grid.encode(val.targets)
    truth = detector.grid.truth(target)
    lost = {rule: int(assign.lost(loss.assignment(outputs, target), truth).sum()) for rule, loss in _rules(config).items()}
    return pd.DataFrame([{"rule": rule, "objects": count, "of": int(truth.real.sum())} for rule, count in lost.items()])


def _rules(config: RunConfig) -> dict[str, PointLoss]:
    """The losses of one detector that differ in the rule of assignment alone."""
    return {rule: replace(config, assign=rule).loss() for rule in RULES}


def _mosaics(run: Run, train: VocData, val: VocData) -> pd.DataFrame:
    """`mosaic_noise.measure` on the training scenes, and a column of how many `pictures` that took."""
    detector, config = load(run.folder)
    found = mosaic_noise.measure(detector, config.loss(), train, config.seed)
    return found.assign(pictures=found.attrs["pictures"])


def _oracle(run: Run, train: VocData, val: VocData) -> pd.DataFrame:
    """One row: how a detector does that is told every box (`oracle.Oracle`), on the run's backbone."""
    return pd.DataFrame([asdict(oracle.oracle(load(run.folder)[0].backbone.net, train, val))])


LOOKS: Mapping[str, Callable[[Run, VocData, VocData], pd.DataFrame]] = MappingProxyType(
    {"mistakes": _mistakes, "assigned": _assigned, "lost": _lost, "mosaics": _mosaics, "oracle": _oracle}
)
