"""The cost model: counts against sums by hand, equations against worked cases, ranges against what lies inside them."""

from dataclasses import replace
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torchvision.models import ResNet18_Weights

from groundwork.errors import InputError
from trial.planner import cost
from trial.planner.cost import Assumed, Machine, Work, all_reduce, break_even, count, efficiency, most_processes, rate, spread, step
from trial.planner.memory import GIB, RESERVE_GIB, predict
from yolo_core.experiments import EXPERIMENTS, resolve
from yolo_core.training.config import RunConfig

# Round numbers: 1,000 FLOP/s at a utilisation of one half, and bandwidths that are easy to divide by.
TOY = Machine("toy", MappingProxyType({"32-true": 2000.0}), 1.0, memory_rate=1000.0, host_rate=100.0, link=50.0, network=10.0, devices=4)
WORK = Work(forward=100.0, backward=200.0, once=0.0, picture=5, weights=400, gradient=400, optimiser=800)
HALF = Assumed(utilisation=0.5, launch=0.1, overlap=0.0, scoring=0.0)


def toy_step(pictures: int, micro_batch: int, processes: int = 1, assumed: Assumed = HALF, work: Work = WORK) -> cost.Step:
    return step(assumed, work, TOY, pictures, micro_batch, "32-true", processes)


def test_a_dense_heads_flops_are_those_of_its_layers_by_hand():
    """On kept features [512, 14, 14]: a convolution of stride 2, another, two dense layers; two FLOPs a multiplication."""
    convolution = 2 * 9 * 512 * 512 * 49
    forward = 2 * convolution + 2 * 512 * 49 * 1024 + 2 * 1024 * 1470
    work = count(resolve("focal", "mse", "rtx2060"))
    assert work.forward == forward
    assert work.backward == 2 * forward - convolution, "no gradient is asked of the features"
    assert work.picture == 2 * 512 * 14 * 14


def test_the_frozen_backbone_costs_what_torchvision_says_of_it():
    """torchvision counts multiplications at 224 px; 448 px have four times the places, and the classifier is not there."""
    stated = ResNet18_Weights.IMAGENET1K_V1.meta["_ops"] * 1e9
    assert count(resolve("focal", "mse", "rtx2060")).once == pytest.approx(4 * 2 * stated, rel=0.005)


@pytest.mark.parametrize(("head", "frozen"), [("compressed", False), ("conv", False), ("conv", True)])
def test_the_gradient_holds_four_bytes_for_each_weight_that_learns(head, frozen):
    config = RunConfig(backbone="resnet18", head=head, freeze_weights=frozen, optimiser="sgd")
    learning = sum(p.numel() for p in config.detector().parameters() if p.requires_grad)
    work = count(config)
    assert work.gradient == 4 * learning and work.optimiser == work.gradient
    assert count(replace(config, optimiser="adam")).optimiser == 2 * work.gradient


@pytest.mark.equation("eq-all-reduce")
def test_a_ring_sends_every_part_of_the_gradient_twice_less_one_process():
    """Played through: at each of 2 (N - 1) turns every process sends one of N parts to its neighbour, all links at once."""
    for processes in (1, 2, 3, 4):
        part = 600 / processes
        seconds = sum(part / TOY.link for _ in range(2 * (processes - 1)))
        assert all_reduce(600, TOY, processes) == pytest.approx(seconds)
    assert all_reduce(600, TOY, 4) == 18.0


def test_between_nodes_the_ring_is_as_slow_as_the_network():
    assert all_reduce(500, TOY, 5) == pytest.approx(2 * 4 / 5 * 500 / 10)


@pytest.mark.equation("eq-step-time")
def test_a_step_takes_as_long_as_its_slowest_part_and_what_comes_after():
    found = toy_step(pictures=8, micro_batch=4, processes=2)
    assert found.compute == pytest.approx(4 * 300 / 1000)
    assert found.data == pytest.approx(4 * 5 / 100)
    assert found.launch == pytest.approx(0.1)
    assert found.update == pytest.approx((3 * 400 + 2 * 800) / 1000)
    assert found.exposed == pytest.approx(400 / 50)
    assert found.seconds == pytest.approx(1.2 + 2.8 + 8)
    config = RunConfig(effective_batch=8, micro_batch=4, precision="32-true")
    assert rate(HALF, WORK, TOY, config, 2) == pytest.approx(8 / 12)
    assert toy_step(8, 4, 2, replace(HALF, launch=5.0)).seconds == pytest.approx(5 + 2.8 + 8)
    assert toy_step(8, 1, 2, replace(HALF, launch=5.0)).seconds == pytest.approx(4 * 5 + 2.8 + 8)
    assert toy_step(8, 4, 2, work=replace(WORK, picture=500)).seconds == pytest.approx(4 * 500 / 100 + 2.8 + 8)


def test_what_hides_is_at_most_the_backward_share_of_the_last_pass():
    half_hidden = toy_step(8, 2, 2, replace(HALF, overlap=0.5))  # two passes of 0.6 s, two thirds of each backward
    assert half_hidden.exposed == pytest.approx(8 - 0.5 * 0.6 * 2 / 3)
    assert toy_step(8, 4, 2, replace(HALF, overlap=1.0), replace(WORK, gradient=4)).exposed == 0.0


@pytest.mark.equation("eq-efficiency")
def test_efficiency_is_what_a_process_adds_when_a_batch_is_shared_or_grown():
    config = RunConfig(effective_batch=8, micro_batch=8, precision="32-true")
    alone = 8 * 0.3 + 2.8
    assert efficiency(HALF, WORK, TOY, config, 1, grow=False) == 1.0
    assert efficiency(HALF, WORK, TOY, config, 2, grow=False) == pytest.approx(alone / (2 * 12))
    assert efficiency(HALF, WORK, TOY, config, 2, grow=True) == pytest.approx(alone / (alone + 8))


def test_without_a_gradient_to_share_growing_the_batch_scales_perfectly():
    config = RunConfig(effective_batch=8, micro_batch=8, precision="32-true")
    assert efficiency(HALF, replace(WORK, gradient=0), TOY, config, 64, grow=True) == pytest.approx(1.0)


@pytest.mark.equation("eq-break-even")
@given(processes=st.integers(2, 4), gradient=st.integers(10, 10_000), flops=st.floats(1, 1000))
def test_at_the_break_even_computing_lasts_as_long_as_communicating(processes, gradient, flops):
    work = replace(WORK, forward=flops, gradient=gradient)
    pictures = break_even(work, TOY, 0.5, processes, "32-true")
    assert pictures * work.training / 1000 == pytest.approx(all_reduce(gradient, TOY, processes))


@pytest.mark.equation("eq-most-processes")
@given(pictures=st.integers(1, 512))
def test_as_many_processes_as_that_leave_each_the_break_even_of_the_batch(pictures):
    processes = most_processes(WORK, TOY, 0.5, pictures, "32-true")
    assert pictures / processes * 300 / 1000 == pytest.approx(2 * (processes - 1) / processes * 400 / 50)


@given(weights=st.integers(1000, 10**9))
def test_a_dense_layers_break_even_does_not_depend_on_its_size(weights):
    """The exercise: 6 FLOPs a picture and 4 bytes a step for each weight."""
    dense = replace(WORK, forward=2 * weights, backward=4 * weights, gradient=4 * weights)
    assert break_even(dense, TOY, 0.5, 4, "32-true") == pytest.approx(3 / 4 * 4 / 3 * 1000 / 50)


@pytest.mark.parametrize("machine", cost.MACHINES.values(), ids=lambda m: m.name)
def test_the_larger_the_head_the_more_pictures_it_takes(machine):
    work = [count(replace(resolve("finetune", "fresh", "rtx2060"), head=head)) for head in ("conv", "compressed", "full")]
    for processes in (2, 64):
        evens = [break_even(w, machine, 0.2, processes) for w in work]
        assert evens == sorted(evens)


@given(st.floats(*cost.UTILISATION), st.floats(*cost.LAUNCH), st.floats(*cost.OVERLAP), st.sampled_from([1, 2, 8, 64]), st.booleans())
def test_whatever_is_assumed_between_the_ends_lies_inside_the_range(utilisation, launch, overlap, processes, grow):
    config = replace(resolve("finetune", "fresh", "rtx2060"), effective_batch=64)
    work, inside = count(config), Assumed(utilisation, launch, overlap, cost.SCORING[0])
    for answer, machine in ((efficiency, "H100"), (rate, "RTX 2060")):
        given = (work, cost.MACHINES[machine], config, processes, grow)
        low, high = spread(answer, *given)
        assert low * (1 - 1e-9) <= answer(inside, *given) <= high * (1 + 1e-9)


@pytest.mark.parametrize(("pictures", "micro_batch", "processes"), [(4, 4, 8), (4, 4, 0), (4, 0, 1), (0, 1, 1)])
def test_a_process_without_a_picture_is_refused(pictures, micro_batch, processes):
    with pytest.raises(InputError, match="a picture for each and a pass; got .* let the effective batch grow"):
        toy_step(pictures, micro_batch, processes)


def test_a_precision_that_no_sheet_states_is_refused_with_those_it_states():
    with pytest.raises(InputError, match="RTX 2060: no peak is stated for bf16-mixed; choose one of 32-true, 16-mixed"):
        step(HALF, WORK, cost.MACHINES["RTX 2060"], 1, 1, "bf16-mixed")


@pytest.mark.parametrize(
    ("ends", "said"), [((574.2, 1701.0), "570 to 1,700"), ((0.354,), "0.35"), ((4.9999, 20.0), "5 to 20"), ((18.49,), "18")]
)
def test_a_range_is_printed_with_two_digits(ends, said):
    assert cost.in_words(*ends) == said


def test_the_micro_batches_of_the_card_fit_it_by_the_planner():
    """The most that any arm holds with a backbone and a head: the whole net learns, in the largest micro-batch, under two moments. (No
    arm trains a backbone under the coupled head, which is a part of the decoupled one.)"""
    configs = [resolve(name, arm, "rtx2060") for name, trial in EXPERIMENTS.items() for arm in trial.arms]
    largest = max(config.micro_batch for config in configs)
    learning = [c for c in configs if not c.freeze_weights and c.optimiser == "adamw"]
    held = {(c.backbone, c.head): predict(c).total / GIB for c in learning if c.micro_batch == largest}
    assert {(c.backbone, c.head) for c in configs if c.head != "coupled"} == set(held)
    assert max(held.values()) <= cost.MACHINES["RTX 2060"].memory_gib - RESERVE_GIB
    assert max(held.values()) > 4, "the full head is nearly as large as the card"
