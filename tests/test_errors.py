"""Kinds of error, by hand and as a partition."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from references import random_targets

from trial.instruments.error_types import KINDS, error_types
from yolo_core.detector.metrics import TRUE, match

OBJECT = (0.0, 0.0, 0.4, 0.4)


def kinds(detections: list[tuple], objects: list[tuple], difficult: list[bool] | None = None, cut: float = 0.1) -> dict[str, int]:
    """detections: (box, score, label); objects: (box, label). Only what occurs."""
    boxes, scores, labels = zip(*detections, strict=True) if detections else ((), (), ())
    prediction = {
        "boxes": torch.tensor(boxes).view(-1, 4),
        "scores": torch.tensor(scores),
        "labels": torch.tensor(labels, dtype=torch.long),
    }
    boxes, labels = zip(*objects, strict=True) if objects else ((), ())
    target = {"boxes": torch.tensor(boxes).view(-1, 4), "labels": torch.tensor(labels, dtype=torch.long)}
    if difficult:
        target["difficult"] = torch.tensor(difficult)
    return {kind: count for kind, count in error_types([prediction], [target], cut).items() if count}


@pytest.mark.parametrize(
    ("box", "label", "kind"),
    [
        ((0.0, 0.0, 0.4, 0.3), 1, "true"),
        ((0.0, 0.0, 0.4, 0.3), 2, "class"),
        ((0.0, 0.0, 0.4, 0.1), 1, "localisation"),
        ((0.0, 0.0, 0.4, 0.1), 2, "both"),
        ((0.6, 0.6, 0.9, 0.9), 1, "background"),
        ((0.36, 0.0, 0.9, 0.4), 1, "background"),
    ],
)
def test_a_detection_is_of_the_kind_its_place_and_class_say(box, label, kind):
    found = kinds([(box, 0.9, label)], [(OBJECT, 1)])
    assert found == ({"true": 1} if kind == "true" else {kind: 1, "missed": 1})


def test_the_second_detection_of_an_object_is_a_duplicate_and_the_better_scored_is_the_true_one():
    assert kinds([(OBJECT, 0.5, 1), ((0.0, 0.0, 0.4, 0.39), 0.9, 1)], [(OBJECT, 1)]) == {"true": 1, "duplicate": 1}


def test_scores_below_the_cut_do_not_count():
    assert kinds([(OBJECT, 0.05, 1)], [(OBJECT, 1)]) == {"missed": 1}
    assert kinds([(OBJECT, 0.1, 1)], [(OBJECT, 1)]) == {"true": 1}


def test_what_is_difficult_is_neither_missed_nor_a_mistake_to_find():
    assert kinds([(OBJECT, 0.9, 1)], [(OBJECT, 1)], [True]) == {}
    assert kinds([], [(OBJECT, 1)], [True]) == {}


def test_without_objects_every_detection_is_background():
    assert kinds([(OBJECT, 0.9, 1)], []) == {"background": 1}


@given(st.integers(0, 10_000))
@settings(max_examples=30)
def test_every_detection_that_counts_is_of_one_kind_and_true_ones_are_those_of_the_match(seed):
    targets, found = random_targets(seed, 3, 3), random_targets(seed + 1, 3, 3)
    generator = torch.Generator().manual_seed(seed)
    predictions = [{**f, "scores": torch.rand(len(f["labels"]), generator=generator)} for f in found]
    types, matches = error_types(predictions, targets, 0.0), match(predictions, targets)
    assert set(types) == set(KINDS)
    assert types["true"] == (matches.outcome == TRUE).sum()
    assert sum(types.values()) - types["missed"] == (matches.outcome >= 0).sum()
    assert types["true"] + types["missed"] == len(matches.objects)
