"""Points: where they lie, how their outputs become boxes and detections."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from references import random_targets
from torchvision.ops import nms

from anchor_free.points import CANDIDATES, Points

LEVELS = Points(image_size=64, finest=8, coarsest=32, C=3)
ONE = Points(image_size=64, finest=32, coarsest=32, C=3)


def outputs_for(points: Points, boxes: torch.Tensor) -> torch.Tensor:
    """Box numbers [a, 4] that say `boxes` (xyxy in [0, 1]) exactly, worked out backwards."""
    centres, strides = points.centres(boxes), points.strides(boxes)
    middle, size = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    return torch.cat([(middle - centres) / strides, (size / strides).log()], -1)


def test_points_are_the_middles_of_the_cells_level_by_level_and_row_by_row():
    centres, strides = LEVELS.centres(torch.zeros(())), LEVELS.strides(torch.zeros(()))
    assert LEVELS.levels == (8, 16, 32)
    assert len(centres) == 8 * 8 + 4 * 4 + 2 * 2
    assert centres[0].tolist() == [1 / 16, 1 / 16]
    assert centres[1].tolist() == [3 / 16, 1 / 16]
    assert centres[64].tolist() == [1 / 8, 1 / 8]
    assert centres[-1].tolist() == [3 / 4, 3 / 4]
    assert strides[[0, 64, -1], 0].tolist() == [1 / 8, 1 / 4, 1 / 2]


def test_encoded_targets_give_back_boxes_and_labels_without_what_is_difficult():
    targets = random_targets(0, images=4, classes=3)
    truth = LEVELS.truth(LEVELS.encode(targets))
    for boxes, labels, real, target in zip(*truth, targets, strict=True):
        easy = ~target["difficult"]
        assert real.sum() == easy.sum()
        torch.testing.assert_close(boxes[real], target["boxes"][easy].float())
        assert torch.equal(labels[real], target["labels"][easy])
    kept = LEVELS.truth(LEVELS.encode(targets, keep_difficult=True)).real
    assert kept.sum() == sum(len(t["labels"]) for t in targets)


def test_a_batch_without_objects_is_padded_with_one_row_that_is_none():
    empty = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.long)}
    truth = ONE.truth(ONE.encode([empty, empty]))
    assert truth.boxes.shape == (2, 1, 4)
    assert not truth.real.any()


@given(st.integers(0, 10_000))
@settings(max_examples=25)
def test_boxes_worked_out_backwards_are_decoded_to_themselves(seed):
    generator = torch.Generator().manual_seed(seed)
    a, b = torch.rand(2, len(LEVELS.centres(torch.zeros(()))), 2, generator=generator, dtype=torch.float64)
    boxes = torch.cat([torch.minimum(a, b), torch.maximum(a, b) + 1e-3], -1)
    torch.testing.assert_close(LEVELS.boxes(outputs_for(LEVELS, boxes)[None])[0], boxes)


def test_a_distribution_all_on_one_bin_is_that_many_strides_to_each_side():
    points = Points(image_size=64, finest=32, coarsest=32, C=1, bins=3)
    box = torch.full((1, 4, 4, 4), -50.0)  # n a side bin
    for side, steps in enumerate((0, 1, 2, 3)):
        box[..., side, steps] = 50.0
    found = points.boxes(box.flatten(2))[0]
    centres = points.centres(found)
    expected = torch.cat([centres - torch.tensor([0.0, 0.5]), centres + torch.tensor([1.0, 1.5])], -1)
    torch.testing.assert_close(found, expected)


def test_a_distribution_over_two_bins_is_the_distance_between_them():
    points = Points(image_size=64, finest=32, coarsest=32, C=1, bins=3)
    box = torch.full((1, 4, 4, 4), -50.0)
    box[..., 1:3] = 0.0
    found = points.boxes(box.flatten(2))[0]
    torch.testing.assert_close(found[:, 2] - points.centres(found)[:, 0], torch.full((4,), 1.5 * 0.5))


def test_decoding_equals_a_plain_suppression_class_by_class():
    generator = torch.Generator().manual_seed(3)
    count = len(LEVELS.centres(torch.zeros(())))
    outputs = torch.randn(2, count, LEVELS.depth, generator=generator)
    detections = LEVELS.decode(outputs, 0.3, 0.5)
    boxes, scores = LEVELS.boxes(outputs[..., :4]).clamp(0, 1), outputs[..., 4:].clamp(min=0)
    for image, found in enumerate(detections):
        expected = []
        for label in range(3):
            kept = (scores[image, :, label] > 0.3).nonzero()[:, 0]
            kept = kept[nms(boxes[image, kept], scores[image, kept, label], 0.5)]
            expected += [(scores[image, i, label].item(), label, *boxes[image, i].tolist()) for i in kept]
        expected.sort(reverse=True)
        got = torch.cat([found["scores"][:, None], found["labels"][:, None].float(), found["boxes"]], -1)
        torch.testing.assert_close(got, torch.tensor(expected))


def test_logits_are_read_through_the_sigmoid_and_linear_scores_are_cut_at_zero():
    outputs = torch.zeros(1, 4, ONE.depth)
    outputs[..., 4:] = -2.0
    assert ONE.scores(outputs).eq(0).all()
    torch.testing.assert_close(ONE.scores(outputs, "sigmoid"), torch.full((1, 4, 3), 1 / (1 + torch.tensor(2.0).exp())))


def test_only_the_best_candidates_are_suppressed_and_they_are_the_best():
    fine = Points(image_size=512, finest=8, coarsest=8, C=1)
    outputs = torch.zeros(1, 64 * 64, fine.depth)
    outputs[..., 2:4] = -9.0  # boxes so small that none covers another
    outputs[0, :, 4] = torch.linspace(0.1, 1, 64 * 64)
    (found,) = fine.decode(outputs)
    assert len(found["scores"]) == CANDIDATES
    assert found["scores"].min() == outputs[0, -CANDIDATES, 4]


@pytest.mark.parametrize(("finest", "levels"), [(32, (32,)), (16, (16, 32)), (8, (8, 16, 32))])
def test_levels_double_from_the_finest_to_the_coarsest(finest, levels):
    assert Points(image_size=224, finest=finest).levels == levels
