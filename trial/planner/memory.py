"""How much memory a training step will take, by part, predicted without a GPU and without taking it.

Inside: `Peak`, `predict` (one configuration), `Plan`, `plan` (what fits a budget, and what each lever frees), `fitting` (the
micro-batch for this machine), `measured` and `verify` (what a step really allocates on this CPU, on this GPU).

Tensors are faked (torch's FakeTensorMode: shapes and devices, no bytes) and counted by torch's MemTracker while the real model and the
real optimiser take the end of an effective batch. A prediction is a lower bound for a GPU: the CUDA context, cuDNN's workspaces and
what the caching allocator cannot fit together come on top (`RESERVE_GIB` is kept free for them, an assumption until `plan --verify`
has run on the card).
"""

import gc
import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker

from groundwork.errors import InputError
from yolo_core.training.config import RunConfig
from yolo_core.training.step import make_optimiser

MIB, GIB = 2**20, 2**30
RESERVE_GIB = 0.7
# What of a configuration decides its weights, its shapes and what learns.
NET = (
    *("image_size", "backbone", "width", "head", "finest_stride", "bins"),
    *("freeze_weights", "batchnorm", "cache_features", "optimiser"),
)
# MemTracker's names for the parts, and ours.
PARTS = {
    "Parameter": "weights",
    "Buffer": "weights",
    "Gradient": "gradients",
    "Optstate": "optimiser",
    "Activation": "activations",
    "Temp": "temporary",
    "Other": "inputs",
}


@dataclass(frozen=True)
class Peak:
    """Bytes held at the moment when a training step holds most, by part."""

    parts: dict[str, int]

    @property
    def total(self) -> int:
        return sum(self.parts.values())

    def gib(self) -> dict[str, float]:
        """Each part and the total in GiB."""
        return {**{name: size / GIB for name, size in self.parts.items()}, "total": self.total / GIB}


def predict(config: RunConfig, micro_batch: int | None = None) -> Peak:
    """The peak of a training step of `config`, in bytes by part, in seconds and next to no memory.

    The loss is stood in for by a sum of squares of the outputs: its masks depend on data that fake tensors do not have, and its own
    tensors are a few hundred kilobytes. The step is a later one, which finds the optimiser's state there; where an effective batch takes
    several micro-batches it is the last of them, which finds the gradients of those before.
    """
    micro = micro_batch or config.micro_batch
    whole = 2 * micro if micro < config.effective_batch else micro
    asked = {key: getattr(config, key) for key in (*NET, "dropout", "precision", "checkpoint_activations")}
    return _predict(RunConfig(**asked, micro_batch=micro, effective_batch=whole))


@cache
def _predict(config: RunConfig) -> Peak:
    micro = config.micro_batch
    with FakeTensorMode():
        detector = config.detector().train()
        optimiser = make_optimiser(detector, config)
        _frozen_as_buffers(detector)
        images = torch.zeros(micro, 3, config.image_size, config.image_size)
        for weight in detector.parameters():
            weight.grad = torch.zeros_like(weight)
        optimiser.step()
        if micro == config.effective_batch:
            optimiser.zero_grad()
        tracker = _Tracker()
        tracker.track_external(detector, optimiser, images)
        with tracker:
            _micro_batch(detector, images, config)
            optimiser.step()
    found: dict[str, int] = dict.fromkeys(PARTS.values(), 0)
    for device in tracker.get_tracker_snapshot("peak").values():
        for kind, size in device.items():
            name = getattr(kind, "value", kind)
            if name in PARTS:
                found[PARTS[name]] += int(size)
    return Peak(found)


class _Tracker(MemTracker):
    """With what happens inside a kernel, below the tracker's sight: the backward pass of a convolution lays out its weight and the
    weight's gradient anew."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        see, copies = super().__torch_dispatch__, []
        if func is torch.ops.aten.convolution_backward.default and args[-1][1]:  # where a gradient of the weight is asked for
            copies = [see(torch.ops.aten.empty_like.default, types, (args[2],)) for _ in range(2)]
        found = see(func, types, args, kwargs)
        del copies
        return found

    def _update_peak_stats(self, peak_state):
        """The peak of the whole alone: one for every module would take longer than all the rest."""
        modules, self.memory_tracking = self.memory_tracking, {}
        super()._update_peak_stats(peak_state)
        self.memory_tracking = modules


def _frozen_as_buffers(detector: nn.Module) -> None:
    """Frozen weights as buffers, which hold as many bytes: the tracker hooks every parameter, and one without a gradient refuses."""
    for module in detector.modules():
        for name, weight in list(module.named_parameters(recurse=False)):
            if not weight.requires_grad:
                delattr(module, name)
                module.register_buffer(name, weight.detach())


def _micro_batch(detector: nn.Module, images: torch.Tensor, config: RunConfig) -> None:
    half = config.precision.startswith(("16", "bf16"))
    # On the CPU half precision is bfloat16; as many bytes as a GPU's float16.
    kind = torch.float16 if images.is_cuda and config.precision.startswith("16") else torch.bfloat16
    with torch.autocast(images.device.type, kind) if half else nullcontext():
        outputs = detector(images)
    outputs.float().square().sum().backward()


@dataclass(frozen=True)
class Plan:
    """What fits a budget, the predicted peak of each micro-batch, and what each lever would free."""

    config: RunConfig
    budget_gib: float
    peaks: dict[int, Peak]  # by micro-batch
    levers: dict[str, float]  # GiB that one change frees, at the whole effective batch

    def fits(self, micro_batch: int) -> bool:
        return self.peaks[micro_batch].total / GIB <= self.budget_gib - RESERVE_GIB

    @property
    def micro_batch(self) -> int | None:
        """The largest that fits; None where not even one picture does."""
        return max((micro for micro in self.peaks if self.fits(micro)), default=None)

    @property
    def accumulate(self) -> int | None:
        """Micro-batches an effective batch takes."""
        return None if self.micro_batch is None else -(-self.config.effective_batch // self.micro_batch)

    def to_dict(self) -> dict[str, Any]:
        rows = [
            {
                "micro_batch": micro,
                "peak_mib": peak.total / MIB,
                "parts": {name: size / MIB for name, size in peak.parts.items()},
                "fits": self.fits(micro),
            }
            for micro, peak in self.peaks.items()
        ]
        return {
            "rows": rows,
            "chosen": {"micro_batch": self.micro_batch, "accumulate": self.accumulate},
            "frees_gib": self.levers,
            "budget_gib": self.budget_gib,
            "reserve_gib": RESERVE_GIB,
            "effective_batch": self.config.effective_batch,
            "status": "predicted: a lower bound until it is verified on the card",
        }

    def table(self) -> str:
        """To read in a terminal."""
        names = list(dict.fromkeys(PARTS.values()))
        lines = [f"{'micro-batch':>11} {'peak MiB':>9} " + " ".join(f"{name:>11}" for name in names) + "  fits"]
        for micro, peak in self.peaks.items():
            parts = " ".join(f"{peak.parts[name] / MIB:11.0f}" for name in names)
            lines.append(f"{micro:11d} {peak.total / MIB:9.0f} {parts}  {'yes' if self.fits(micro) else 'no'}")
        if self.micro_batch is None:
            lines.append(f"not even one picture fits {self.budget_gib:g} GiB less {RESERVE_GIB} GiB for the driver")
        else:
            whole = self.config.effective_batch
            lines.append(f"use micro-batch {self.micro_batch}, accumulated {self.accumulate} times, for an effective batch of {whole}")
        lines += [f"{name}: frees {freed:.2f} GiB" for name, freed in self.levers.items()]
        return "\n".join([*lines, "predicted: a lower bound until it is verified on the card"])


CHANGES: dict[str, dict[str, Any]] = {
    "micro-batch of 1": {"micro_batch": 1},
    "compressed head": {"head": "compressed"},
    "convolutional head": {"head": "conv"},
    "SGD": {"optimiser": "sgd"},
    "half precision": {"precision": "16-mixed"},
    "frozen backbone": {"freeze_weights": True, "batchnorm": "frozen"},
    "checkpointed activations": {"checkpoint_activations": True},
}


def plan(config: RunConfig, budget_gib: float, levers: bool = False) -> Plan:
    """The predicted peak of the micro-batches that are powers of two, up to the first that does not fit, and of the whole batch.

    InputError for a budget that weights, gradients and optimiser state alone overstep: no micro-batch mends that.
    """
    if not budget_gib > 0:
        raise InputError(f"--vram-gib must be above 0; got {budget_gib:g}")
    whole = config.effective_batch
    peaks = {1: predict(config, 1)}
    fixed = sum(peaks[1].parts[part] for part in ("weights", "gradients", "optimiser")) / GIB
    if fixed > budget_gib:
        said = f"--vram-gib {budget_gib:g}: weights, gradients and optimiser state alone take {fixed:.2f} GiB, whatever the micro-batch"
        ways = _ways(config)
        enough = {way: change for way, change in ways.items() if any(_fits(replace(config, **one), budget_gib) for one in change)}
        *others, last = enough or ways or ["a smaller backbone"]
        alone = ", and none of these ends that alone" if ways and not enough else ""
        raise InputError(f"{said}{alone}; use {', '.join(others)}{', or ' if others else ''}{last}")
    found, micro = Plan(config, budget_gib, peaks, {}), 1
    while found.fits(micro) and 2 * micro <= whole:
        micro *= 2
        peaks[micro] = predict(config, micro)
    if whole not in peaks:
        peaks[whole] = predict(config, whole)
    return replace(found, levers=_levers(config, peaks[whole]) if levers else {})


def _ways(config: RunConfig) -> dict[str, list[dict[str, Any]]]:
    """What would make a configuration's weights and their state smaller, in words, and the change or changes that each stands for."""
    compressed, conv, frozen, sgd = (CHANGES[name] for name in ("compressed head", "convolutional head", "frozen backbone", "SGD"))
    heads = {"full": {"the compressed or the convolutional head": [compressed, conv]}, "compressed": {"the convolutional head": [conv]}}
    still = {} if config.freeze_weights else {"a frozen backbone": [frozen]}
    return heads.get(config.head, {}) | still | ({} if config.optimiser == "sgd" else {"SGD": [sgd]})


def _fits(config: RunConfig, budget_gib: float) -> bool:
    """Whether one picture does."""
    return Plan(config, budget_gib, {1: predict(config, 1)}, {}).fits(1)


def fitting(config: RunConfig) -> int:
    """The largest micro-batch that is predicted to fit this machine's GPU; the whole effective batch where there is none.

    InputError where not even one picture fits.
    """
    if not torch.cuda.is_available():
        return config.effective_batch
    found = plan(config, torch.cuda.get_device_properties(0).total_memory / GIB)
    if found.micro_batch is None:
        raise InputError(f"not even one picture fits this GPU's {found.budget_gib:.1f} GiB; use a smaller head, SGD, or a frozen backbone")
    return found.micro_batch


def _levers(config: RunConfig, peak: Peak) -> dict[str, float]:
    """GiB freed by changing one thing of a configuration whose whole effective batch peaks at `peak`."""
    found = {}
    for name, change in CHANGES.items():
        changed = replace(config, **{"micro_batch": config.effective_batch, **change})
        if any(getattr(config, key) != value for key, value in change.items()):
            found[name] = (peak.total - predict(changed).total) / GIB
    return found


@contextmanager
def _allocations() -> Iterator[list[int]]:
    """The running total of bytes that torch's CPU allocator hands out and takes back inside; the list is filled at the end."""
    totals: list[int] = []
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiler:
        yield totals
    events = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        totals.append(held)


def measured(config: RunConfig, micro_batch: int | None = None) -> int:
    """Bytes that torch's CPU allocator really holds at the peak of two steps, the end of which `predict` fakes. Independent of it: the
    profiler's own account of allocations, on real tensors."""
    with _allocations() as totals:
        _take_real_steps(config, micro_batch or config.micro_batch, "cpu")
    return max(totals)


def verify(config: RunConfig, micro_batch: int, budget_gib: float = math.inf) -> tuple[int, int]:
    """Bytes that the GPU's allocator really holds at the peak of two steps, the end of which `predict` fakes, and those that it then has
    reserved of the card, with the process capped at the budget (torch.cuda.max_memory_allocated and max_memory_reserved).

    InputError without a GPU, and where the step does not fit.
    """
    if not torch.cuda.is_available():
        raise InputError("--verify takes a real step on a GPU, and there is none here; leave it out for the prediction alone")
    total = torch.cuda.get_device_properties(0).total_memory
    gc.collect()  # an earlier step that did not fit may still hold what it had
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(min(1.0, budget_gib * GIB / total))
    torch.cuda.reset_peak_memory_stats()
    try:
        _take_real_steps(config, micro_batch, "cuda")
    except torch.OutOfMemoryError as error:
        raise InputError(f"micro-batch {micro_batch} does not fit {budget_gib:g} GiB on this GPU; the prediction was too low") from error
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    return torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()


def _take_real_steps(config: RunConfig, micro: int, device: str) -> None:
    """Two steps of the optimiser, since the first finds no state of it; the second of two micro-batches where an effective batch takes
    several."""
    detector = replace(config, weights=None).detector().to(device, memory_format=torch.channels_last).train()
    optimiser = make_optimiser(detector, config)
    images = torch.zeros(micro, 3, config.image_size, config.image_size, device=device).contiguous(memory_format=torch.channels_last)
    for micro_batches in (1, 2 if micro < config.effective_batch else 1):
        for _ in range(micro_batches):
            _micro_batch(detector, images, config)
        optimiser.step()
        optimiser.zero_grad()
