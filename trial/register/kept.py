"""Which tables of a run are committed with its record: those that a page, a claim or a band reads, and no others.

Inside: `KEPT`, `Kept`, `keeps`.

record.json is always kept, weights never. A page that comes to read another table of stored runs names it here before they are trained, or
has it added later: `scripts/kept_tables.py` trains a run once more and keeps what its record lacks, if every figure is the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from trial.register.claims import Arm
from yolo_core.experiments import STORY
from yolo_core.training.config import RunConfig


@dataclass(frozen=True)
class Kept:
    """Of which runs a table is kept: of these arms, these seeds, these profiles; None: of all."""

    arms: frozenset[Arm] | None = None
    seeds: frozenset[int] | None = None
    profiles: frozenset[str] | None = None


EVERY_RUN, NO_RUN = Kept(), Kept(arms=frozenset())
FIRST, POCKET = frozenset({0}), frozenset({"pocket"})  # of the run that stands for an arm where a page shows one
EXP_1, EXP_2_AND_3 = frozenset({STORY["exp1"]}), frozenset({STORY["exp2"], STORY["exp3"]})
WATCHED = EXP_2_AND_3 | {("finetune", "frozen-conv"), ("finetune", "two-rates-micro-2")}  # by live_gradients
BASE, ALIGNED = frozenset({("remedies", "base")}), frozenset({("remedies", "aligned")})
COMPARED = EXP_1 | BASE | {("focal", "mse"), ("remedies", "all-but-strides")}  # detectors of the page on the remedies

# Every table that a run can write, and what reads it; below them those that looks.py makes of its weights, for a book that is read.
KEPT: Mapping[str, Kept] = MappingProxyType(
    {
        "epochs": EVERY_RUN,  # band_curve, score_curves
        "conflict": EVERY_RUN,  # remedy_figures.conflict, live_conflict
        "detections": Kept(seeds=FIRST),  # galleries
        "curves": Kept(EXP_1, FIRST, POCKET),  # loss_curves
        "cells": Kept(WATCHED, FIRST, POCKET),  # replay, gradient_scatter, live_gradients
        "scores": Kept(EXP_2_AND_3),  # rank_agreement
        "terms": Kept(WATCHED, FIRST, POCKET),  # live_gradients
        "noise": NO_RUN,  # nothing: its scale is among the metrics
        "mistakes": Kept(COMPARED, FIRST, POCKET),  # error_bars
        "assigned": Kept(ALIGNED, FIRST, POCKET),  # remedy_figures.assigned
        "lost": Kept(ALIGNED, FIRST, POCKET),  # the page on assignment
        "mosaics": Kept(BASE, FIRST, POCKET),  # the page on mosaics
        "oracle": Kept(BASE, FIRST, POCKET),  # what no remedy reaches
    }
)


def keeps(table: str, profile: str, config: RunConfig) -> bool:
    """Whether a table of a run is kept with its record. KeyError for a table that no run writes."""
    kept = KEPT[table]
    found = ((config.experiment, config.arm), config.seed, profile)
    return all(wanted is None or value in wanted for wanted, value in zip((kept.arms, kept.seeds, kept.profiles), found, strict=True))
