"""The loss at points: against YOLOv1's, against plain formulas, in its gradients."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from references import central_difference, iou, random_targets
from torch.nn.functional import binary_cross_entropy_with_logits
from torchvision.ops import complete_box_iou_loss, distance_box_iou_loss

from anchor_free.point_loss import PointLoss, distribution_focal, squared_box
from anchor_free.points import Points
from yolo_core.detector.boxes import paired_iou
from yolo_core.detector.grid import Grid
from yolo_core.detector.loss import YoloLoss, quality_focal

POINTS = Points(image_size=64, finest=8, coarsest=32, C=3)
BINNED = Points(image_size=64, finest=8, coarsest=32, C=3, bins=4)
ONE = Points(image_size=64, finest=16, coarsest=16, C=3)
CHOICES = [("cell", "squared", "squared"), ("aligned", "ciou", "quality"), ("cell", "ciou", "squared"), ("aligned", "squared", "quality")]


def random_batch(seed: int, points: Points, images: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Float64 outputs and encoded targets."""
    generator = torch.Generator().manual_seed(seed)
    count = len(points.centres(torch.zeros(())))
    outputs = 0.5 * torch.randn(images, count, points.depth, generator=generator, dtype=torch.float64)
    return outputs, points.encode(random_targets(seed, images, points.C)).double()


def ciou(a: list, b: list) -> float:
    """1 - CIoU of two boxes by the paper's equations (Zheng et al., 2020), in plain floats."""
    overlap = float(iou(a, b))
    apart = ((a[0] + a[2] - b[0] - b[2]) / 2) ** 2 + ((a[1] + a[3] - b[1] - b[3]) / 2) ** 2
    diagonal = (max(a[2], b[2]) - min(a[0], b[0])) ** 2 + (max(a[3], b[3]) - min(a[1], b[1])) ** 2
    v = 4 / math.pi**2 * (math.atan((b[2] - b[0]) / (b[3] - b[1])) - math.atan((a[2] - a[0]) / (a[3] - a[1]))) ** 2
    return 1 - overlap + apart / diagonal + v * v / (1 - overlap + v)


@given(st.integers(0, 10_000))
@settings(max_examples=20)
def test_with_every_choice_as_in_2016_the_box_term_is_that_of_yolov1(seed):
    """One predictor a cell, its box put out in YOLOv1's way, costs the same."""
    targets, grid = random_targets(seed, 2, 3), Grid(S=4, B=1, C=3)
    outputs, target = random_batch(seed, ONE, 2)
    cells = torch.zeros(2, 4, 4, grid.depth, dtype=torch.float64)
    box = outputs[..., :4].view(2, 4, 4, 4)
    cells[..., :2], cells[..., 2:4] = box[..., :2] + 0.5, (box[..., 2:].exp() / 4).sqrt()
    ours = PointLoss(ONE)(outputs, ONE.encode(targets).double())["box"]
    yolo = YoloLoss(grid=grid)(cells, grid.encode(targets).double())["box"]
    torch.testing.assert_close(ours, yolo)


def test_scores_of_points_without_an_object_pay_their_square_and_those_with_one_miss_the_overlap():
    target = ONE.encode([{"boxes": torch.tensor([[0.0, 0.0, 0.25, 0.25]]), "labels": torch.tensor([1])}]).double()
    outputs = torch.zeros(1, 16, ONE.depth, dtype=torch.float64)
    outputs[0, 0, 3] = math.log(0.5)  # half the height: IoU 1/2
    outputs[0, 0, 4:] = torch.tensor([0.2, 0.1, 0.0])
    outputs[0, 5, 6] = 0.4
    terms = PointLoss(ONE)(outputs, target)
    assert terms["object"].item() == pytest.approx(0.2**2 + (0.1 - 0.5) ** 2)
    assert terms["background"].item() == pytest.approx(0.5 * 0.4**2)
    root = (math.sqrt(0.125) - math.sqrt(0.25)) ** 2
    assert terms["box"].item() == pytest.approx(5 * root)


@pytest.mark.parametrize(("assign", "box", "score"), CHOICES)
@pytest.mark.parametrize("points", [POINTS, BINNED], ids=["numbers", "bins"])
def test_micro_batches_add_up_to_the_whole_batch(points, assign, box, score):
    outputs, target = random_batch(4, points)
    loss = PointLoss(points, assign, box, score)
    whole = loss(outputs, target)
    parts = [loss(outputs[i : i + 1], target[i : i + 1], 3) for i in range(3)]
    for name in whole:
        torch.testing.assert_close(sum(part[name] for part in parts), whole[name])


@pytest.mark.parametrize(("assign", "box", "score"), CHOICES)
@pytest.mark.parametrize("bins", [0, 2])
def test_the_gradient_is_the_difference_quotient_with_the_assignment_held(bins, assign, box, score, monkeypatch):
    """CIoU's alpha is held as well, as its paper has it; so only the squared error is compared in the box numbers under "ciou"."""
    points = Points(image_size=32, finest=16, coarsest=32, C=3, bins=bins)
    outputs, target = random_batch(7, points, 1)
    loss = PointLoss(points, assign, box, score)
    fixed = loss.assignment(outputs, target)
    monkeypatch.setattr(loss, "assignment", lambda *_: fixed)
    names = [n for n in loss(outputs, target) if not (n == "box" and box == "ciou")]
    leaf = outputs.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(sum(loss(leaf, target)[n] for n in names), leaf)
    numeric = central_difference(lambda x: sum(loss(x, target)[n] for n in names), outputs)
    torch.testing.assert_close(gradient, numeric, rtol=1e-4, atol=1e-6)


@given(st.integers(0, 10_000))
@settings(max_examples=50)
@pytest.mark.equation("eq-ciou")
def test_complete_iou_equals_its_equations_in_plain_floats(seed):
    (target,) = random_targets(seed, 1, 3, 4)
    (other,) = random_targets(seed + 1, 1, 3, 4)
    for a, b in zip(target["boxes"].double(), other["boxes"].double(), strict=False):
        assert complete_box_iou_loss(a[None], b[None]).item() == pytest.approx(ciou(a.tolist(), b.tolist()), abs=2e-4)


def test_complete_iou_pulls_a_box_that_does_not_meet_its_object_while_the_overlap_alone_is_flat():
    box = torch.tensor([[0.0, 0.0, 0.2, 0.2]], dtype=torch.float64, requires_grad=True)
    truth = torch.tensor([[0.6, 0.6, 0.8, 0.8]], dtype=torch.float64)
    (gradient,) = torch.autograd.grad(complete_box_iou_loss(box, truth).sum(), box)
    assert gradient[0, :2].sum() + gradient[0, 2:].sum() < 0  # down the slope is towards the object
    assert iou(box[0].tolist(), truth[0].tolist()) == 0


@given(st.floats(0.05, 1), st.floats(0.05, 1), st.floats(0.01, 3))
@settings(max_examples=50)
@pytest.mark.equation("eq-overlap-slope", "eq-distance-slope")
def test_a_box_shifted_sideways_feels_the_slopes_of_the_overlap_and_of_the_distance(w, h, shift):
    shift = shift if abs(shift - w) > 1e-3 else shift + 0.01  # at one width the slope has two sides
    leaf = torch.tensor([shift], dtype=torch.float64, requires_grad=True)
    truth = torch.tensor([[0.0, 0.0, w, h]], dtype=torch.float64)
    box = truth + torch.stack([leaf, 0 * leaf, leaf, 0 * leaf], -1)
    (slope,) = torch.autograd.grad(paired_iou(box, truth).sum(), leaf, retain_graph=True)
    wanted = -2 * w / (w + shift) ** 2 if shift < w else 0.0
    assert slope.item() == pytest.approx(wanted, rel=1e-6, abs=1e-9)
    distance = distance_box_iou_loss(box, truth, reduction="sum", eps=1e-15) - overlap_part(box, truth)  # its 1e-7 would show
    (slope,) = torch.autograd.grad(distance, leaf)
    wanted = 2 * shift * (h**2 + w * (w + shift)) / ((w + shift) ** 2 + h**2) ** 2
    assert slope.item() == pytest.approx(wanted, rel=1e-6, abs=1e-9)


def overlap_part(box, truth):
    """1 - IoU, so that the distance is what is left of the loss."""
    return (1 - paired_iou(box, truth)).sum()


@given(st.floats(0.1, 1), st.floats(0.1, 1))
@settings(max_examples=50)
@pytest.mark.equation("eq-aspect-slope")
def test_the_term_of_shape_trades_width_for_height_and_asks_for_no_area(w, h):
    """What complete IoU adds to distance IoU is a v, a held: its slopes are those of the page."""
    truth = torch.tensor([[0.0, 0.0, 0.6, 0.3]], dtype=torch.float64)
    size = torch.tensor([w, h], dtype=torch.float64, requires_grad=True)
    box = torch.cat([torch.zeros(2, dtype=torch.float64), size])[None]
    added = complete_box_iou_loss(box, truth, reduction="sum") - distance_box_iou_loss(box, truth, reduction="sum")
    slope = torch.autograd.grad(added, size)[0].tolist()
    turn = math.atan(0.6 / 0.3) - math.atan(w / h)
    v = 4 / math.pi**2 * turn**2
    a = v / (1 - float(iou(box[0].tolist(), truth[0].tolist())) + v) if v else 0.0
    along = 8 / math.pi**2 * turn / (w**2 + h**2)
    assert slope == pytest.approx([-a * along * h, a * along * w], rel=1e-4, abs=1e-9)
    assert w * slope[0] + h * slope[1] == pytest.approx(0, abs=1e-9)


@given(st.floats(-6, 6), st.floats(0.5, 3))
@settings(max_examples=50)
@pytest.mark.equation("eq-quality-slope")
def test_quality_focal_pulls_at_a_logit_without_an_object_as_the_page_says(logit, gamma):
    x = torch.tensor([logit], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(quality_focal(x, torch.zeros_like(x), gamma).sum(), x)
    p = 1 / (1 + math.exp(-logit))
    assert slope.item() == pytest.approx(p**gamma * (p - gamma * (1 - p) * math.log(1 - p)), rel=1e-9)


@pytest.mark.equation("eq-quality-small")
def test_quality_focal_starves_a_small_score_by_the_same_power_as_the_quartic():
    """Of a hundredth of the score, a hundredth to the power 1 + gamma of the slope."""
    p = torch.tensor([1e-5, 1e-3], dtype=torch.float64)
    for gamma in (0.0, 1.0, 2.0):
        x = torch.logit(p).requires_grad_()
        (slope,) = torch.autograd.grad(quality_focal(x, torch.zeros_like(x), gamma).sum(), x)
        torch.testing.assert_close(slope, (1 + gamma) * p ** (1 + gamma), rtol=3e-3, atol=0.0)


@given(st.floats(-6, 6), st.floats(0, 1))
@settings(max_examples=50)
@pytest.mark.equation("eq-quality")
def test_quality_focal_is_yolov1s_and_with_gamma_zero_cross_entropy(logit, quality):
    x, q = torch.tensor([logit], dtype=torch.float64), torch.tensor([quality], dtype=torch.float64)
    torch.testing.assert_close(quality_focal(x, q).sum(), YoloLoss("qfl")._quality_focal(x, q))
    torch.testing.assert_close(quality_focal(x, q, 0.0).sum(), binary_cross_entropy_with_logits(x, q))


@given(st.floats(0, 3.9))
@settings(max_examples=30)
@pytest.mark.equation("eq-dfl")
def test_distribution_focal_is_least_where_the_mass_lies_on_the_two_nearest_bins(distance):
    """By Gibbs' inequality: the cross-entropy with (1 - share, share) is least at that distribution, where it is its entropy."""
    lower = min(int(distance), 3)
    share = min(distance, 4 - 0.01) - lower
    goal = torch.full((5,), 1e-12, dtype=torch.float64)
    goal[lower], goal[lower + 1] = max(1 - share, 1e-12), max(share, 1e-12)
    at_best = distribution_focal(goal.log().expand(1, 4, 5), torch.full((1, 4), distance, dtype=torch.float64)).item()
    entropy = -sum(p * math.log(p) for p in (1 - share, share) if p > 1e-12)
    assert at_best == pytest.approx(entropy, abs=1e-6)
    elsewhere = torch.randn(1, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert distribution_focal(elsewhere, torch.full((1, 4), distance, dtype=torch.float64)).item() >= at_best


def test_squared_box_measures_centres_in_strides_and_sizes_by_their_roots():
    a = torch.tensor([[0.0, 0.0, 0.25, 0.16]], dtype=torch.float64)
    b = torch.tensor([[0.1, 0.0, 0.35, 0.36]], dtype=torch.float64)
    expected = (0.1 / 0.5) ** 2 + (0.1 / 0.5) ** 2 + (0.4 - 0.6) ** 2
    assert squared_box(a, b, torch.tensor([[0.5]], dtype=torch.float64)).item() == pytest.approx(expected)


@pytest.mark.parametrize(("assign", "box", "score"), CHOICES)
def test_a_batch_without_objects_pays_for_its_background_alone(assign, box, score):
    outputs, _ = random_batch(1, POINTS, 1)
    outputs.requires_grad_()
    empty = POINTS.encode([{"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.long)}]).double()
    terms = PointLoss(POINTS, assign, box, score)(outputs, empty)
    assert terms["box"].item() == terms["object"].item() == 0
    assert terms["background"].item() > 0
    sum(terms.values()).backward()
    assert outputs.grad.isfinite().all()


def test_assignment_lets_no_gradient_through():
    outputs, target = random_batch(2, POINTS)
    assigned = PointLoss(POINTS, "aligned", "ciou", "quality").assignment(outputs.requires_grad_(), target)
    assert not assigned.quality.requires_grad
    assert not assigned.weight.requires_grad
