"""Average precision: by hand, at the edges, and against a plain oracle."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from references import average_precision

from trial.instruments.bootstrap import draws, resampled_map
from yolo_core.detector.metrics import FALSE, TRUE, class_agnostic, counts, match, voc_ap

# Three places well apart, and what overlaps the first: by 0.8 (a right answer), by exactly 0.5 and by just less.
A, B, C = [0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]
MOST_OF_A, HALF_OF_A, LESS_THAN_HALF_OF_A = [0, 0, 10, 8], [0, 0, 10, 5], [0, 0, 10, 4.9]
NOWHERE = [90, 90, 99, 99]


def objects(*items: tuple) -> dict:
    """One image's objects: (box, label) or (box, label, difficult)."""
    return {
        "boxes": torch.tensor([i[0] for i in items], dtype=torch.float32).view(-1, 4),
        "labels": torch.tensor([i[1] for i in items], dtype=torch.int64),
        "difficult": torch.tensor([len(i) > 2 and i[2] for i in items], dtype=torch.bool),
    }


def detections(*items: tuple) -> dict:
    """One image's detections: (box, label, score)."""
    return {
        "boxes": torch.tensor([i[0] for i in items], dtype=torch.float32).view(-1, 4),
        "labels": torch.tensor([i[1] for i in items], dtype=torch.int64),
        "scores": torch.tensor([i[2] for i in items], dtype=torch.float32),
    }


def ap(predictions: list[dict], targets: list[dict], label: int = 0, method: str = "area") -> float:
    return voc_ap(predictions, targets, method=method).per_class[label]


# Three objects A, B, C; best first: A found, a miss, B found, a miss; C is never found.
# After each detection: recall 1/3, 1/3, 2/3, 2/3 and precision 1/1, 1/2, 2/3, 2/4.
WORKED = [detections((A, 0, 0.9), (NOWHERE, 0, 0.8), (B, 0, 0.7), (NOWHERE, 0, 0.6))], [objects((A, 0), (B, 0), (C, 0))]


def test_a_draw_scores_what_a_split_that_repeats_its_images_scores():
    generator = torch.Generator().manual_seed(0)
    predictions, targets = [], []
    for _ in range(6):
        corner = torch.rand(9, 2, generator=generator)
        boxes = torch.cat([corner, corner + 0.2 + torch.rand(9, 2, generator=generator)], 1)
        labels = torch.randint(0, 3, (9,), generator=generator)
        targets.append({"boxes": boxes[:4], "labels": labels[:4], "difficult": torch.arange(4) == 3})
        moved = boxes + 0.1 * torch.rand(9, 4, generator=generator)
        predictions.append({"boxes": moved, "labels": labels, "scores": torch.rand(9, generator=generator)})
    times = draws(6, count=45)
    found = resampled_map(match(predictions, targets), times)
    for draw, value in zip(times, found, strict=True):
        again = [i for i, count in enumerate(draw) for _ in range(count)]
        assert value == pytest.approx(voc_ap([predictions[i] for i in again], [targets[i] for i in again]).map, abs=1e-12)
    assert found.std() > 0.01 and (times == draws(6, count=45)).all() and (times.sum(1) == 6).all()


def test_a_draw_without_an_object_has_no_map():
    found = resampled_map(match([detections(), detections()], [objects((A, 0)), objects()]), np.array([[0, 2], [1, 1]]))
    assert math.isnan(found[0]) and found[1] == 0


@pytest.mark.equation("eq-ap")
def test_area_by_hand():
    # The envelope is 1 up to recall 1/3, 2/3 up to 2/3, 0 after: 1/3 * 1 + 1/3 * 2/3 + 1/3 * 0 = 5/9.
    assert ap(*WORKED) == pytest.approx(5 / 9)


@pytest.mark.equation("eq-ap-11")
def test_eleven_points_by_hand():
    # r = 0, .1, .2, .3 see precision 1; .4, .5, .6 see 2/3; .7 to 1 see 0: (4 * 1 + 3 * 2/3) / 11 = 6/11.
    assert ap(*WORKED, method="11point") == pytest.approx(6 / 11)


@pytest.mark.equation("eq-ap")
@pytest.mark.equation("eq-ap-11")
def test_precision_is_the_best_at_any_higher_recall():
    # Best first: a miss, then A and B, two objects: precision 0, 1/2, 2/3 at recall 0, 1/2, 1; the envelope is 2/3 throughout.
    worked = [detections((NOWHERE, 0, 0.9), (A, 0, 0.8), (B, 0, 0.7))], [objects((A, 0), (B, 0))]
    assert ap(*worked) == pytest.approx(2 / 3)
    assert ap(*worked, method="11point") == pytest.approx(2 / 3)


@pytest.mark.equation("eq-ap-11")
def test_a_recall_of_three_tenths_reaches_the_point_at_three_tenths():
    # 10 objects, 3 found without a miss: points 0, .1, .2, .3 see 1 and the others 0. As floats 3 / 10 < 0.1 * 3.
    targets = [objects(*(([20 * i, 0, 20 * i + 10, 10], 0) for i in range(10)))]
    found = [detections(*(([20 * i, 0, 20 * i + 10, 10], 0, 0.9) for i in range(3)))]
    assert ap(found, targets, method="11point") == pytest.approx(4 / 11)
    assert ap(found, targets) == pytest.approx(0.3)


def test_map_is_the_mean_over_classes_with_objects():
    result = voc_ap([detections((A, 3, 0.9), (NOWHERE, 5, 0.8), (B, 7, 0.9))], [objects((A, 3), (B, 5))])
    assert result.per_class == {3: 1.0, 5: 0.0}
    assert result.map == 0.5


def test_curves_hold_recall_and_precision_detection_by_detection():
    recall, precision = voc_ap(*WORKED).curves[0]
    assert recall.tolist() == pytest.approx([1 / 3, 1 / 3, 2 / 3, 2 / 3])
    assert precision.tolist() == pytest.approx([1, 1 / 2, 2 / 3, 1 / 2])


@pytest.mark.parametrize(("box", "expected"), [(A, 1), (MOST_OF_A, 1), (HALF_OF_A, 1), (LESS_THAN_HALF_OF_A, 0), (NOWHERE, 0)])
def test_an_overlap_of_exactly_the_threshold_counts(box, expected):
    assert ap([detections((box, 0, 0.9))], [objects((A, 0))]) == expected


def test_another_threshold_may_be_asked_for():
    found, targets = [detections((MOST_OF_A, 0, 0.9))], [objects((A, 0))]
    assert [voc_ap(found, targets, iou_threshold=t).map for t in (0.79, 0.81)] == [1, 0]


def test_a_box_in_the_right_place_in_another_image_or_of_another_class_is_false():
    assert ap([detections(), detections((A, 0, 0.9))], [objects((A, 0)), objects()]) == 0
    assert ap([detections((A, 1, 0.9))], [objects((A, 0))]) == 0


def test_an_object_is_matched_once_and_the_best_score_has_it():
    # The second detection is false although it fits better: recall 1 at precision 1 comes first.
    worked = [detections((MOST_OF_A, 0, 0.9), (A, 0, 0.8))], [objects((A, 0), (B, 0))]
    assert match(*worked).outcome.tolist() == [TRUE, FALSE]
    assert ap(*worked) == 0.5


def test_the_order_of_detections_in_the_input_does_not_matter():
    found = detections((A, 0, 0.8), (MOST_OF_A, 0, 0.9))
    matches = match([found], [objects((A, 0))])
    assert matches.scores.tolist() == pytest.approx([0.9, 0.8])
    assert matches.outcome.tolist() == [TRUE, FALSE]
    assert matches.iou.tolist() == pytest.approx([0.8, 1])


def test_a_detection_goes_to_its_best_overlap_even_if_that_one_is_taken():
    # The devkit's rule. Two objects overlap; the second detection fits the first object best (1.0), though it overlaps the free one
    # by 0.8 as well: false.
    targets = [objects((A, 0), (MOST_OF_A, 0))]
    matches = match([detections((A, 0, 0.9), (A, 0, 0.8))], targets)
    assert matches.outcome.tolist() == [TRUE, FALSE]
    assert matches.iou.tolist() == [1, 1]


def test_of_two_objects_overlapped_alike_the_first_listed_is_matched():
    left, right, middle = [0, 0, 10, 10], [4, 0, 14, 10], [2, 0, 12, 10]
    for easy_first in (True, False):
        targets = [objects((left, 0, not easy_first), (right, 0, easy_first))]
        assert match([detections((middle, 0, 0.9))], targets).outcome.tolist() == [TRUE if easy_first else -1]


def test_difficult_objects_need_not_be_found():
    assert ap([detections((A, 0, 0.9))], [objects((A, 0), (B, 0, True))]) == 1


def test_detections_of_a_difficult_object_are_neither_true_nor_false():
    # Both detections of B come before A's: were either false, precision at A would be 1/2 or less.
    found = [detections((B, 0, 0.9), (B, 0, 0.8), (A, 0, 0.7))]
    targets = [objects((A, 0), (B, 0, True))]
    assert match(found, targets).outcome.tolist() == [-1, -1, TRUE]
    assert ap(found, targets) == 1


def test_a_class_with_difficult_objects_only_has_no_ap():
    result = voc_ap([detections((A, 0, 0.9), (B, 1, 0.9))], [objects((A, 0), (B, 1, True))])
    assert result.per_class == {0: 1.0}


def test_difficult_may_be_left_out():
    target = objects((A, 0), (B, 0))
    del target["difficult"]
    assert ap([detections((A, 0, 0.9))], [target]) == 0.5
    assert ap([detections((A, 0, 0.9)), detections()], [target, objects((C, 0, True))]) == 0.5


def test_ties_stay_in_the_order_given():
    # All score 0.5: in the order given the miss comes first, or last.
    right, wrong = (A, 0, 0.5), (NOWHERE, 0, 0.5)
    assert ap([detections(wrong, right)], [objects((A, 0))]) == 0.5
    assert ap([detections(right, wrong)], [objects((A, 0))]) == 1
    assert ap([detections(wrong), detections(right)], [objects(), objects((A, 0))]) == 0.5


@pytest.mark.parametrize("method", ["area", "11point"])
def test_without_detections_every_class_has_ap_zero(method):
    assert voc_ap([detections()], [objects((A, 0), (B, 4))], method=method).per_class == {0: 0, 4: 0}


@pytest.mark.parametrize("found", [[], [detections()], [detections((A, 0, 0.9)), detections()]])
def test_without_objects_there_is_no_map(found):
    result = voc_ap(found, [objects() for _ in found])
    assert math.isnan(result.map)
    assert result.per_class == {}


def test_empty_images_change_nothing_but_their_false_detections_count():
    predictions, targets = WORKED
    assert ap([detections(), *predictions, detections()], [objects(), *targets, objects()]) == pytest.approx(5 / 9)
    # A false one before all others: precision 1/2, then 2/4: 1/3 * 1/2 + 1/3 * 1/2 = 1/3.
    assert ap([detections((A, 0, 0.99)), *predictions], [objects(), *targets]) == pytest.approx(1 / 3)


def test_detections_of_a_class_without_objects_count_nowhere():
    noisy = [detections((A, 0, 0.5), *[(NOWHERE, 7, 0.9)] * 5)]
    assert voc_ap(noisy, [objects((A, 0))]).per_class == {0: 1.0}


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_scores_that_are_not_finite_are_refused(score):
    with pytest.raises(ValueError, match="finite"):
        voc_ap([detections((A, 0, 0.9), (B, 0, score))], [objects((A, 0))])


def test_lists_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="got 2 and 1"):
        voc_ap([detections(), detections()], [objects((A, 0))])


def test_scores_of_any_size_and_sign_are_ordered():
    worked = [detections((A, 0, -1.0), (NOWHERE, 0, -2.0), (B, 0, 30.0))], [objects((A, 0), (B, 0))]
    assert ap(*worked) == 1


def test_counts_at_a_score_keep_what_scores_at_least_it():
    found = [detections((A, 0, 0.75), (NOWHERE, 0, 0.5), (B, 0, 0.25), (C, 0, 0.75)), detections((A, 0, 0.5))]
    matches = match(found, [objects((A, 0), (B, 0), (C, 0, True)), objects()])
    at_half = counts(matches, 0.5)
    # A is found, NOWHERE and the second image's are false, C is difficult; two objects to find in two images.
    assert (at_half.true, at_half.false, at_half.objects, at_half.images) == (1, 2, 2, 2)
    assert (at_half.recall, at_half.precision, at_half.false_per_image) == (1 / 2, 1 / 3, 1)
    assert math.isnan(counts(matches, 0.9).precision)
    assert math.isnan(counts(match([], []), 0.5).recall)


def test_class_agnostic_asks_only_whether_things_are_found():
    found, targets = [detections((A, 1, 0.9))], [objects((A, 0))]
    assert voc_ap(class_agnostic(found), class_agnostic(targets)).map == 1
    assert found[0]["labels"].tolist() == [1], "the input must not change"


def boxes() -> st.SearchStrategy:
    """Boxes on a coarse lattice: many overlap, by equal amounts or by exactly one half; some are empty."""
    side = st.tuples(st.integers(0, 4), st.integers(0, 4)).map(sorted)
    return st.tuples(side, side).map(lambda s: [s[0][0], s[1][0], s[0][1], s[1][1]])


LABELS = st.integers(0, 2)
IMAGE = st.tuples(
    st.lists(st.tuples(boxes(), LABELS, st.sampled_from([0.25, 0.5, 0.75])), max_size=8).map(lambda items: detections(*items)),
    st.lists(st.tuples(boxes(), LABELS, st.booleans()), max_size=5).map(lambda items: objects(*items)),
)


@pytest.mark.equation("eq-ap")
@pytest.mark.equation("eq-ap-11")
@given(images=st.lists(IMAGE, max_size=4), threshold=st.sampled_from([0.25, 0.5, 1.0]), method=st.sampled_from(["area", "11point"]))
@settings(max_examples=200)
def test_ap_equals_the_plain_oracle(images, threshold, method):
    predictions, targets = [i[0] for i in images], [i[1] for i in images]
    result = voc_ap(predictions, targets, threshold, method)
    expected = average_precision(predictions, targets, threshold, method)
    assert result.per_class == pytest.approx(expected, abs=1e-12)
    if expected:
        assert result.map == pytest.approx(sum(expected.values()) / len(expected), abs=1e-12)


@pytest.mark.parametrize("method", ["area", "11point"])
@pytest.mark.parametrize("seed", range(5))
def test_ap_of_a_crowd_equals_the_plain_oracle(seed, method):
    generator = torch.Generator().manual_seed(seed)
    predictions, targets = [], []
    for _ in range(8):
        corner, size = torch.rand(2, 15, 2, generator=generator)
        boxes = torch.cat([corner, corner + 0.2 + size / 2], -1)
        labels, difficult = torch.randint(0, 3, (15,), generator=generator), torch.rand(15, generator=generator) < 0.2
        targets.append({"boxes": boxes, "labels": labels, "difficult": difficult})
        # Each object is detected four times over, well or badly.
        jitter = 0.1 * torch.randn(60, 4, generator=generator)
        scores = torch.rand(60, generator=generator)
        predictions.append({"boxes": boxes.repeat(4, 1) + jitter, "labels": labels.repeat(4), "scores": scores})
    result = voc_ap(predictions, targets, method=method)
    assert 0.1 < result.map < 0.9
    assert result.per_class == pytest.approx(average_precision(predictions, targets, 0.5, method), abs=1e-12)
