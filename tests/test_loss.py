"""The loss as a whole: against the plain reference, in parts, at its edges. tests/test_loss_equations.py holds its equations."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from references import central_difference, random_outputs, random_targets
from references import loss as reference

from yolo_core.detector.grid import Grid
from yolo_core.detector.loss import BACKGROUNDS, ROOT_FLOOR, YoloLoss, responsible

TERMS = ("box", "object", "background", "class")
SMALL = Grid(S=3, C=4)


def value_and_gradient(loss: YoloLoss, outputs: torch.Tensor, target: torch.Tensor, *args) -> tuple[dict, dict]:
    """Each term's value, and its gradient with respect to the outputs."""
    outputs = outputs.detach().requires_grad_()
    terms = loss(outputs, target, *args)
    gradients = {
        n: torch.autograd.grad(t, outputs, retain_graph=True, materialize_grads=True)[0] for n, t in terms.items() if t.requires_grad
    }
    return {n: t.item() for n, t in terms.items()}, {n: gradients.get(n, torch.zeros_like(outputs)) for n in terms}


def assert_equals_reference(seed: int, grid: Grid, images: int = 2, effective_batch: int | None = None, most: int = 6, **options) -> None:
    """All four terms, value and gradient, of random outputs and targets."""
    targets = random_targets(seed, images, grid.C, most)
    outputs = random_outputs(seed, images, (grid.S, grid.B, grid.C))
    loss = YoloLoss(**options, grid=grid)
    values, gradients = value_and_gradient(loss, outputs, grid.encode(targets).double(), effective_batch)
    plain_outputs = outputs.clone().requires_grad_()
    plain = reference(
        plain_outputs,
        targets,
        sizes=(grid.S, grid.B, grid.C),
        centre=grid.centre,
        size=grid.size,
        effective_batch=effective_batch,
        **options,
    )
    assert tuple(values) == TERMS
    for name, term in plain.items():
        assert values[name] == pytest.approx(term.item(), rel=1e-6, abs=1e-12), name
        expected = torch.zeros_like(outputs)
        if term.requires_grad:
            (expected,) = torch.autograd.grad(term, plain_outputs, retain_graph=True, materialize_grads=True)
        assert torch.allclose(gradients[name], expected, rtol=1e-6, atol=1e-9), name


def one_object(grid: Grid, x: float = 0.5, y: float = 0.5, w: float = 0.25, h: float = 0.25, label: int = 1) -> torch.Tensor:
    """float64 target of one image with one object."""
    box = torch.tensor([[x - w / 2, y - h / 2, x + w / 2, y + h / 2]])
    return grid.encode([{"boxes": box, "labels": torch.tensor([label])}]).double()


def test_defaults_equal_the_plain_reference_at_the_real_size():
    assert_equals_reference(0, Grid())


@pytest.mark.parametrize("background", BACKGROUNDS)
@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0, 3.5])
def test_every_background_equals_the_plain_reference(background, gamma):
    assert_equals_reference(1, SMALL, background=background, gamma=gamma)


@pytest.mark.parametrize("centre", ["cell", "image"])
@pytest.mark.parametrize("size", ["root", "plain"])
@pytest.mark.parametrize("detach_iou", [True, False])
@pytest.mark.parametrize("spare_noobj", [True, False])
def test_every_departure_equals_the_plain_reference(centre, size, detach_iou, spare_noobj):
    assert_equals_reference(2, Grid(S=3, C=4, centre=centre, size=size), detach_iou=detach_iou, spare_noobj=spare_noobj)


@given(
    seed=st.integers(0, 2**31),
    grid=st.builds(
        Grid,
        S=st.integers(1, 4),
        B=st.integers(1, 3),
        C=st.integers(1, 5),
        centre=st.sampled_from(["cell", "image"]),
        size=st.sampled_from(["root", "plain"]),
    ),
    images=st.integers(1, 3),
    effective_batch=st.sampled_from([None, 1, 16]),
    options=st.fixed_dictionaries(
        {
            "background": st.sampled_from(BACKGROUNDS),
            "gamma": st.sampled_from([0.0, 1.0, 2.0, 3.5]),
            "lambda_coord": st.sampled_from([0.5, 5.0]),
            "lambda_noobj": st.sampled_from([0.1, 0.5]),
            "detach_iou": st.booleans(),
            "spare_noobj": st.booleans(),
        }
    ),
)
@settings(max_examples=40)
def test_any_combination_of_options_equals_the_plain_reference(seed, grid, images, effective_batch, options):
    assert_equals_reference(seed, grid, images, effective_batch, **options)


@pytest.mark.parametrize("background", ["focal", "focal-detached", "focal-literal"])
def test_focal_with_gamma_zero_is_mse_in_value_and_gradient(background):
    outputs, target = random_outputs(3, 2, (3, 2, 4)), SMALL.encode(random_targets(3, 2, 4)).double()
    expected = value_and_gradient(YoloLoss("mse", grid=SMALL), outputs, target)
    got = value_and_gradient(YoloLoss(background, gamma=0.0, grid=SMALL), outputs, target)
    for name in TERMS:
        assert got[0][name] == pytest.approx(expected[0][name], rel=1e-12)
        assert torch.allclose(got[1][name], expected[1][name], rtol=1e-12)


def predictors(*numbers: tuple) -> torch.Tensor:
    """float64 outputs of a 1 x 1 grid with one class, score 0: (x, y, root width, root height, confidence) a predictor."""
    return torch.tensor([*(n for p in numbers for n in p), 0.0], dtype=torch.float64).view(1, 1, 1, -1)


@pytest.mark.parametrize("best", [0, 1])
def test_the_predictor_with_the_highest_iou_is_responsible(best):
    # The object spans the middle half of the picture. The wide box overlaps it, the shifted one overlaps it less.
    wide, shifted = (0.5, 0.5, 0.8, 0.8, 0.0), (0.7, 0.7, 0.5, 0.5, 0.0)
    grid = Grid(S=1, C=1)
    order = (wide, shifted) if best == 0 else (shifted, wide)
    assigned = responsible(grid, predictors(*order), one_object(grid, 0.5, 0.5, 0.5, 0.5, 0))
    assert assigned.predictor.tolist() == [best]
    assert assigned.iou.item() == pytest.approx(0.25 / 0.64**2)


@pytest.mark.parametrize("nearest", [0, 1])
def test_where_every_iou_is_zero_the_predictor_with_the_smallest_rmse_is_responsible(nearest):
    # Both lie outside the object, which spans the middle tenth; the farther one comes nearer in size.
    near, far = (0.7, 0.5, 0.2, 0.2, 0.0), (0.95, 0.95, 0.3, 0.3, 0.0)
    grid = Grid(S=1, C=1)
    order = (near, far) if nearest == 0 else (far, near)
    assigned = responsible(grid, predictors(*order), one_object(grid, 0.5, 0.5, 0.1, 0.1, 0))
    assert assigned.predictor.tolist() == [nearest]
    assert assigned.iou.tolist() == [0]


def test_the_rmse_is_of_centres_and_sizes_not_of_corners():
    # The object is 0.1 x 0.1 in the middle. One box is as large, 0.3 aside: 0.3^2 = 0.09 from it. The other is 0.11 aside and 0.4
    # high: 0.11^2 + 0.3^2 = 0.1021. By corners they would be 0.18 and 0.0692 away.
    grid, side = Grid(S=1, C=1), 0.1**0.5
    outputs = predictors((0.61, 0.5, side, 0.4**0.5, 0.0), (0.8, 0.5, side, side, 0.0))
    assigned = responsible(grid, outputs, one_object(grid, 0.5, 0.5, 0.1, 0.1, 0))
    assert (assigned.iou.item(), assigned.predictor.item()) == (0, 1)


def test_an_empty_box_does_not_win_a_cell_from_one_that_overlaps():
    grid = Grid(S=1, C=1)
    empty, overlapping = (0.5, 0.5, 0.0, 0.0, 0.0), (0.9, 0.9, 0.9, 0.9, 0.0)
    assert responsible(grid, predictors(empty, overlapping), one_object(grid, 0.5, 0.5, 0.5, 0.5, 0)).predictor.tolist() == [1]


def object_gradient(**options) -> torch.Tensor:
    """Gradient of the object term on the responsible predictor's five numbers, where its box overlaps the object."""
    outputs = random_outputs(0, 1, (1, 1, 1)).fill_(0.6)
    grid = Grid(S=1, B=1, C=1)
    return value_and_gradient(YoloLoss(**options, grid=grid), outputs, one_object(grid, label=0))[1]["object"].view(-1)[:5]


@pytest.mark.parametrize("background", ["mse", "qfl"])
def test_the_iou_target_is_a_constant_so_confidence_does_not_move_the_box(background):
    gradient = object_gradient(background=background)
    assert gradient[:4].tolist() == [0, 0, 0, 0]
    assert gradient[4] != 0


@pytest.mark.parametrize("background", ["mse", "qfl"])
def test_an_attached_iou_target_moves_the_box(background):
    gradient = object_gradient(background=background, detach_iou=False)
    assert (gradient != 0).all()


@pytest.mark.parametrize(("spare_noobj", "expected"), [(True, 2 * 0.5 * 0.3), (False, 0)])
def test_the_spare_predictor_of_an_object_cell_pays_as_background_unless_spared(spare_noobj, expected):
    grid = Grid(S=1, C=1)
    outputs = predictors((0.5, 0.5, 0.5, 0.5, 0.7), (0.9, 0.9, 0.1, 0.1, 0.3))
    loss = YoloLoss(grid=grid, spare_noobj=spare_noobj)
    gradient = value_and_gradient(loss, outputs, one_object(grid, label=0))[1]["background"].view(-1)
    assert gradient[9].item() == pytest.approx(expected)
    assert gradient.count_nonzero() == (1 if spare_noobj else 0)


def accumulated(loss: YoloLoss, outputs: torch.Tensor, target: torch.Tensor, micro: int) -> torch.Tensor:
    """The gradient of the summed terms, from micro-batches that add up."""
    outputs = outputs.detach().requires_grad_()
    for part, target_part in zip(outputs.split(micro), target.split(micro), strict=True):
        sum(loss(part, target_part, len(outputs)).values()).backward()
    return outputs.grad


@pytest.mark.parametrize("background", [b for b in BACKGROUNDS if b != "focal-coupled"])
@pytest.mark.parametrize("micro", [1, 2, 3])  # of 7 images: the last group is partial for 2 and 3
def test_micro_batches_add_up_to_the_full_batch(background, micro):
    outputs, target = random_outputs(4, 7, (3, 2, 4)), SMALL.encode(random_targets(4, 7, 4)).double()
    assert len(set(target[..., 0].sum((1, 2)).tolist())) > 2, "images should hold unequal numbers of objects"
    loss = YoloLoss(background, grid=SMALL)
    assert torch.allclose(accumulated(loss, outputs, target, micro), accumulated(loss, outputs, target, 7), rtol=1e-12)


def test_the_released_reduction_does_not_add_up_over_micro_batches():
    outputs, target = random_outputs(4, 7, (3, 2, 4)), SMALL.encode(random_targets(4, 7, 4)).double()
    loss = YoloLoss("focal-coupled", grid=SMALL)
    full = accumulated(loss, outputs, target, 7)
    assert (accumulated(loss, outputs, target, 1) - full).norm() > 0.5 * full.norm()


def test_the_effective_batch_divides_every_term():
    outputs, target = random_outputs(5, 2, (3, 2, 4)), SMALL.encode(random_targets(5, 2, 4)).double()
    loss = YoloLoss(grid=SMALL)
    own, sixteen = loss(outputs, target), loss(outputs, target, 16)
    for name in TERMS:
        assert own[name].item() == pytest.approx(8 * sixteen[name].item())


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_a_batch_without_objects_pays_for_background_only(background):
    outputs, target = random_outputs(6, 2, (3, 2, 4)), torch.zeros(2, 3, 3, 9, dtype=torch.float64)
    values, gradients = value_and_gradient(YoloLoss(background, grid=SMALL), outputs, target)
    assert values["box"] == values["object"] == values["class"] == 0
    assert values["background"] > 0
    assert all(g.isfinite().all() for g in gradients.values())


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_a_batch_with_an_object_in_every_cell_is_finite(background):
    grid = Grid(S=2, C=4)
    centres = [(x, y) for x in (0.25, 0.75) for y in (0.25, 0.75)]
    boxes = torch.tensor([[x - 0.1, y - 0.1, x + 0.1, y + 0.1] for x, y in centres])
    target = grid.encode([{"boxes": boxes, "labels": torch.arange(4)}]).double()
    assert target[..., 0].all()
    values, gradients = value_and_gradient(YoloLoss(background, grid=grid, spare_noobj=False), random_outputs(7, 1, (2, 2, 4)), target)
    assert values["background"] == 0
    assert all(g.isfinite().all() for g in gradients.values())


@pytest.mark.parametrize("size", ["root", "plain"])
@pytest.mark.parametrize("background", BACKGROUNDS)
def test_the_gradient_at_outputs_of_exactly_zero_is_finite_and_bounded(size, background):
    grid = Grid(size=size)
    target = one_object(grid, w=1.0, h=1.0)
    values, gradients = value_and_gradient(YoloLoss(background, grid=grid), torch.zeros(1, 7, 7, 30, dtype=torch.float64), target)
    assert all(g.isfinite().all() for g in gradients.values())
    steepest = gradients["box"].abs().max().item()
    # 2 lambda (0 - sqrt 1), times the slope of the root where sizes themselves are put out.
    slope = 1 if size == "root" else ROOT_FLOOR**-0.5
    assert steepest == pytest.approx(2 * 5 * slope)


@pytest.mark.parametrize("size", ["root", "plain"])
@pytest.mark.parametrize("background", [b for b in BACKGROUNDS if b != "focal-detached"])
def test_gradcheck_passes_where_nothing_is_held_constant(size, background):
    grid = Grid(S=2, C=2, size=size)
    loss = YoloLoss(background, grid=grid, detach_iou=False)
    target = grid.encode(random_targets(8, 2, 2)).double()
    outputs = random_outputs(8, 2, (2, 2, 2)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: tuple(loss(x, target).values()), outputs)


def test_what_is_held_constant_is_missing_from_the_gradient():
    """Finite differences see the IoU target move, autograd must not."""
    target, outputs = SMALL.encode(random_targets(9, 1, 4)).double(), random_outputs(9, 1, (3, 2, 4))
    loss = YoloLoss(grid=SMALL)
    moving = central_difference(lambda x: loss(x, target)["object"], outputs)
    held = value_and_gradient(loss, outputs, target)[1]["object"]
    confidence = SMALL.split(held).confidence
    assert torch.allclose(SMALL.split(moving).confidence, confidence, atol=1e-7)
    assert held.count_nonzero() == confidence.count_nonzero() > 0
    assert (moving - held).abs().max() > 0.01


def test_a_perfect_output_costs_nothing():
    grid, target = Grid(), Grid().encode(random_targets(10, 3)).double()
    values, _ = value_and_gradient(YoloLoss(grid=grid), grid.perfect_outputs(target), target)
    assert values == pytest.approx(dict.fromkeys(TERMS, 0), abs=1e-12)
