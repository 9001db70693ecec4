"""Boxes: conversions and overlap, against torchvision, by hand, and at the edges."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from references import iou
from torchvision.ops import box_iou

from yolo_core.detector.boxes import cxcywh_to_xyxy, paired_iou, paired_rmse, xyxy_to_cxcywh


def box(*numbers: float) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def random_boxes(seed: int, count: int) -> torch.Tensor:
    """xyxy float64 boxes of positive area, a quarter of them touching or sharing an edge."""
    generator = torch.Generator().manual_seed(seed)
    corner = torch.randint(0, 8, (count, 2), generator=generator)
    size = torch.randint(1, 8, (count, 2), generator=generator)
    return torch.cat([corner, corner + size], -1).double() / 16


def test_corners_and_centre_form_convert_by_hand():
    xyxy, cxcywh = box(0.1, 0.2, 0.5, 1.0), box(0.3, 0.6, 0.4, 0.8)
    assert torch.allclose(xyxy_to_cxcywh(xyxy), cxcywh)
    assert torch.allclose(cxcywh_to_xyxy(cxcywh), xyxy)


@given(st.lists(st.floats(-2, 2), min_size=4, max_size=4))
def test_conversion_there_and_back_changes_nothing(numbers):
    boxes = torch.tensor(numbers, dtype=torch.float64).view(1, 1, 4)
    assert torch.allclose(cxcywh_to_xyxy(xyxy_to_cxcywh(boxes)), boxes, atol=1e-12)


def test_iou_equals_torchvision_for_all_pairs():
    a, b = random_boxes(0, 40), random_boxes(1, 30)
    assert torch.allclose(paired_iou(a[:, None], b[None]), box_iou(a, b), atol=1e-15)


@given(st.integers(0, 2**31))
def test_iou_equals_the_plain_reference(seed):
    a, b = random_boxes(seed, 2)
    assert paired_iou(a, b).item() == pytest.approx(iou(a.tolist(), b.tolist()), abs=1e-15)


@pytest.mark.equation("eq-iou")
@given(st.integers(0, 2**31))
def test_iou_is_the_share_of_unit_squares_that_lie_in_both(seed):
    def squares(corners):
        x1, y1, x2, y2 = (int(16 * c) for c in corners)
        return {(x, y) for x in range(x1, x2) for y in range(y1, y2)}

    a, b = random_boxes(seed, 2)
    in_a, in_b = squares(a), squares(b)
    assert paired_iou(a, b).item() == pytest.approx(len(in_a & in_b) / len(in_a | in_b), abs=1e-15)


@pytest.mark.equation("eq-iou")
def test_gradient_of_iou_equals_finite_differences():
    # Shifted by an odd fraction: no two edges coincide, where IoU has a kink.
    a = (random_boxes(2, 30) + 0.0137).requires_grad_()
    b = random_boxes(3, 30).requires_grad_()
    assert torch.autograd.gradcheck(paired_iou, (a, b))


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        pytest.param((0, 0, 1, 1), (0, 0, 1, 1), 1.0, id="identical"),
        pytest.param((0, 0, 1, 1), (2, 2, 3, 3), 0.0, id="disjoint"),
        pytest.param((0, 0, 1, 1), (2, 0, 3, 1), 0.0, id="apart-in-x-only"),
        pytest.param((0, 0, 1, 1), (1, 0, 2, 1), 0.0, id="sharing-an-edge"),
        pytest.param((0, 0, 2, 2), (0, 0, 1, 1), 0.25, id="contained"),
        pytest.param((0, 0, 2, 1), (1, 0, 3, 1), 1 / 3, id="half-over"),
        pytest.param((0, 0, 1, 1), (0.5, 0.5, 0.5, 0.5), 0.0, id="a-point-inside"),
        pytest.param((0, 0, 1, 1), (0.5, 0, 0.5, 1), 0.0, id="a-line-inside"),
        pytest.param((0.5, 0.5, 0.5, 0.5), (0.5, 0.5, 0.5, 0.5), 0.0, id="the-same-point-twice"),
        pytest.param((0, 0, 1, 1), (0.8, 0.8, 0.2, 0.2), 0.0, id="reversed-corners-are-empty"),
        pytest.param((0.8, 0.8, 0.2, 0.2), (0.8, 0.8, 0.2, 0.2), 0.0, id="reversed-twice"),
    ],
)
def test_iou_by_hand(a, b, expected):
    assert paired_iou(box(*a), box(*b)).item() == pytest.approx(expected, abs=1e-15)
    assert paired_iou(box(*b), box(*a)).item() == pytest.approx(expected, abs=1e-15)


def test_iou_does_not_change_when_an_axis_is_rescaled():
    a, b, scale = random_boxes(4, 50), random_boxes(5, 50), box(500, 375, 500, 375)
    assert torch.allclose(paired_iou(a * scale, b * scale), paired_iou(a, b), atol=1e-14)


@pytest.mark.parametrize("predicted", [(0.5, 0.5, 0.5, 0.5), (0.2, 0.5, 0.8, 0.5), (0.8, 0.8, 0.2, 0.2), (0, 0, 1, 1), (5, 5, 6, 6)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradient_of_iou_is_finite_for_degenerate_predictions(predicted, dtype):
    prediction = torch.tensor(predicted, dtype=dtype, requires_grad=True)
    paired_iou(prediction, torch.tensor([0.0, 0.0, 1.0, 1.0], dtype=dtype)).backward()
    assert prediction.grad.isfinite().all()
    assert prediction.grad.abs().max() <= 2


def test_gradient_of_iou_of_two_empty_boxes_is_finite():
    a, b = box(0.5, 0.5, 0.5, 0.5).requires_grad_(), box(0.5, 0.5, 0.5, 0.5)
    paired_iou(a, b).backward()
    assert a.grad.isfinite().all()


def test_iou_of_no_boxes_is_empty():
    assert paired_iou(torch.zeros(0, 4), torch.zeros(0, 4)).shape == (0,)


def test_rmse_is_the_root_of_the_summed_squares():
    # Differences 1, 2, 2, 4: squares sum to 25.
    assert paired_rmse(box(1, 1, 1, 1), box(2, 3, 3, 5)).item() == 5
