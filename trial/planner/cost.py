"""What a training step costs, on paper: time, communication, pictures a second, from one card to many nodes.

Inside: `Machine`, `MACHINES` (what the sheets say), `Work`, `count` (what the real model asks for), `Assumed`, `ASSUMED` (what neither
says), `spread` and `in_words` (a range, and how it is printed), `Step`, `step`, `all_reduce`, `rate`, `efficiency`, `break_even`,
`most_processes`.

FLOPs are counted while the real model runs forward and backward on tensors that are faked; bytes follow from its weights; speeds are a
vendor's sheet. What is left is assumed, as the two ends of a range, and every answer is the range over all of their combinations.
Everything here is predicted: no step has been timed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import product
from types import MappingProxyType

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from groundwork.errors import InputError
from trial.planner.memory import NET
from yolo_core.training.config import RunConfig


@dataclass(frozen=True)
class Machine:
    """A device and what it is plugged into, as the vendor's sheets have it: upper bounds, all of them. Rates count one direction."""

    name: str
    peak: Mapping[str, float]  # FLOP/s by precision, dense
    memory_gib: float
    memory_rate: float  # bytes/s of the device's own memory
    host_rate: float  # bytes/s from the host's memory to one device
    link: float  # bytes/s from one device to the others of its node
    network: float  # bytes/s from one node to the others
    devices: int  # of a node

    def flop_rate(self, precision: str) -> float:
        """The peak, in FLOP/s. InputError lists the precisions that have one."""
        if precision not in self.peak:
            raise InputError(f"{self.name}: no peak is stated for {precision}; choose one of {', '.join(self.peak)}")
        return self.peak[precision]

    def bandwidth(self, processes: int) -> float:
        """Bytes/s at which a ring through so many devices turns: that of its slowest joint. Each device of a node has a ring of its own
        over a share of the gradient, so between nodes it is the whole node's."""
        return self.link if processes <= self.devices else min(self.link, self.network)


# nvidia2018turing and nvidia2019rtx2060 (1920 cores, 30 SMs at 1.68 GHz; on GeForce cards tensor cores that add up in float32, as
# training does, run at half their rate), nvidia2021a100, nvidia2021dgx, nvidia2022h100, nvidia2023dgx in book/references.bib. A single
# card's sheet knows no network: two in a PC and ten-gigabit Ethernet are what a reader may have.
MACHINES: dict[str, Machine] = {
    machine.name: machine
    for machine in (
        Machine(
            "RTX 2060",
            MappingProxyType({"32-true": 1920 * 2 * 1.68e9, "16-mixed": 30 * 1024 / 2 * 1.68e9}),
            memory_gib=6,
            memory_rate=336e9,
            host_rate=15.75e9,
            link=15.75e9,
            network=1.25e9,
            devices=2,
        ),
        Machine(
            "A100",
            MappingProxyType({"32-true": 19.5e12, "16-mixed": 312e12, "bf16-mixed": 312e12}),
            memory_gib=80,
            memory_rate=2039e9,
            host_rate=32e9,
            link=300e9,
            network=8 * 25e9,
            devices=8,
        ),
        Machine(
            "H100",
            MappingProxyType({"32-true": 67e12, "16-mixed": 989e12, "bf16-mixed": 989e12}),
            memory_gib=80,
            memory_rate=3350e9,
            host_rate=64e9,
            link=450e9,
            network=8 * 50e9,
            devices=8,
        ),
    )
}


@dataclass(frozen=True)
class Work:
    """What a configuration asks of a machine, counted. A multiplication and an addition are two FLOPs; only matrix products and
    convolutions are counted."""

    forward: float  # FLOPs a picture
    backward: float  # FLOPs a picture
    once: float  # FLOPs a picture, of a frozen backbone whose features are kept
    picture: int  # bytes that go to the device a picture
    weights: int  # bytes, buffers included
    gradient: int  # bytes
    optimiser: int  # bytes of state

    @property
    def training(self) -> float:
        """FLOPs a picture, forward and backward."""
        return self.forward + self.backward


MOMENTS = {"adam": 2, "adamw": 2, "sgd": 1}  # of each weight, in float32


def count(config: RunConfig) -> Work:
    """The work of `config`, from its real model under fake tensors, in a second or two."""
    return _count(RunConfig(**{key: getattr(config, key) for key in NET}))


@cache
def _count(config: RunConfig) -> Work:
    with FakeTensorMode():
        detector = config.detector().train()
        inputs = torch.zeros(1, 3, config.image_size, config.image_size)
        once, size = 0.0, inputs.numel()  # a picture is kept in uint8
        if config.cache_features:
            with torch.no_grad(), FlopCounterMode(display=False) as frozen:
                inputs = detector.backbone(inputs)
            once, size = frozen.get_total_flops(), 2 * inputs.numel()  # and its features in float16
        with FlopCounterMode(display=False) as forward:
            outputs = detector(inputs, features=config.cache_features)
        with FlopCounterMode(display=False) as backward:
            outputs.square().sum().backward()
        gradient = sum(_bytes(weight) for weight in detector.parameters() if weight.requires_grad)
        weights = sum(map(_bytes, detector.state_dict().values()))
    moments = MOMENTS[config.optimiser] * gradient
    return Work(forward.get_total_flops(), backward.get_total_flops(), once, size, weights, gradient, moments)


def _bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


@dataclass(frozen=True)
class Assumed:
    """What neither a sheet nor a count says."""

    utilisation: float  # share of the peak that convolutions and matrix products reach
    launch: float  # seconds a forward and backward pass takes at least, its kernels started one by one from Python
    overlap: float  # share of the last backward pass behind which the all-reduce can hide
    scoring: float  # seconds of a CPU to decode, suppress and match the boxes of one picture


# The two ends of each range, and every combination of them.
UTILISATION, LAUNCH, OVERLAP, SCORING = (0.1, 0.4), (0.005, 0.02), (0.0, 1.0), (0.002, 0.01)
ASSUMED: tuple[Assumed, ...] = tuple(Assumed(*ends) for ends in product(UTILISATION, LAUNCH, OVERLAP, SCORING))


def spread(answer: Callable[..., float], *given: object) -> tuple[float, float]:
    """The least and the greatest `answer(assumed, *given)` over all that is assumed."""
    answers = [answer(assumed, *given) for assumed in ASSUMED]
    return min(answers), max(answers)


def in_words(*ends: float) -> str:
    """A range, or one number, to print: two digits of each that mean something, "570 to 1,700"."""
    return " to ".join(f"{float(f'{end:.2g}'):,.10g}" for end in ends)


@dataclass(frozen=True)
class Step:
    """One step of the optimiser, by what takes the time, in seconds."""

    compute: float
    data: float
    launch: float
    update: float
    exposed: float  # of the all-reduce: what does not hide behind the backward pass

    @property
    def seconds(self) -> float:
        """eq-step-time: device, bus and Python work side by side, so that the slowest
        sets the pace; the rest comes after."""
        return max(self.compute, self.data, self.launch) + self.update + self.exposed


def step(
    assumed: Assumed, work: Work, machine: Machine, pictures: int, micro_batch: int, precision: str = "16-mixed", processes: int = 1
) -> Step:
    """The step of one of `processes` that share an effective batch of `pictures`, in passes of `micro_batch` at most.

    InputError where a process would have no picture, and for a precision that the machine's sheet does not state.
    """
    if processes < 1 or micro_batch < 1 or pictures < processes:
        raise InputError(
            f"expected at least one process, and a picture for each and a pass; got an effective batch of {pictures}, micro-batches of "
            f"{micro_batch} and {processes} processes; let the effective batch grow, or use fewer processes"
        )
    own = -(-pictures // processes)
    passes = -(-own // micro_batch)
    seconds_a_flop = 1 / (assumed.utilisation * machine.flop_rate(precision))
    pace = max(own * work.training * seconds_a_flop, passes * assumed.launch)
    hidden = assumed.overlap * pace / passes * work.backward / work.training
    return Step(
        compute=own * work.training * seconds_a_flop,
        data=own * work.picture / machine.host_rate,
        launch=passes * assumed.launch,
        # Weight, gradient and state are read, weight and state written.
        update=(3 * work.gradient + 2 * work.optimiser) / machine.memory_rate,
        exposed=max(0.0, all_reduce(work.gradient, machine, processes) - hidden),
    )


def all_reduce(size: float, machine: Machine, processes: int) -> float:
    """Seconds until each of `processes` devices has the sum of all their gradients of
    `size` bytes, around a ring (eq-all-reduce)."""
    return 2 * (processes - 1) / processes * size / machine.bandwidth(processes)


def rate(assumed: Assumed, work: Work, machine: Machine, config: RunConfig, processes: int = 1, grow: bool = False) -> float:
    """Pictures a second over all processes. grow: each has a whole effective batch of its own (weak scaling); else they share one
    (strong scaling)."""
    pictures = config.effective_batch * (processes if grow else 1)
    return pictures / step(assumed, work, machine, pictures, config.micro_batch, config.precision, processes).seconds


def efficiency(
    assumed: Assumed,
    work: Work,
    machine: Machine,
    config: RunConfig,
    processes: int,
    grow: bool,
) -> float:
    """The rate of so many processes over as many times that of one (eq-efficiency)."""
    alone = rate(assumed, work, machine, config)
    return rate(assumed, work, machine, config, processes, grow) / (processes * alone)


def break_even(
    work: Work,
    machine: Machine,
    utilisation: float,
    processes: int,
    precision: str = "16-mixed",
) -> float:
    """Pictures a process at which a step computes for as long as its all-reduce takes
    (eq-break-even)."""
    reached = utilisation * machine.flop_rate(precision)
    return all_reduce(work.gradient, machine, processes) * reached / work.training


def most_processes(
    work: Work,
    machine: Machine,
    utilisation: float,
    pictures: int,
    precision: str = "16-mixed",
) -> float:
    """Processes of one node that can share an effective batch before they communicate for
    longer than they compute (eq-most-processes)."""
    reached = utilisation * machine.flop_rate(precision)
    return 1 + pictures * work.training * machine.link / (2 * work.gradient * reached)
