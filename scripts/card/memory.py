"""How much memory a step really takes, beside what was predicted; and whether six gigabytes are enough.

Inside: `memory_part`: `six_gigabytes`, `peaks`; `configurations`, `least`, `at_peak`.
"""

import gc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from card.report import DEVICE, Report
from card.steps import noise, training

from groundwork.errors import InputError
from trial.planner import memory
from yolo_core.training.config import RunConfig

CARD_GIB = 6.0  # of the card that the write-up had
APART = 0.05  # of what is allocated: a prediction that is farther off wants a reason


def configurations(rehearse: bool) -> dict[str, RunConfig]:
    """By title: what is predicted and measured."""
    if rehearse:
        tiny = RunConfig(backbone="scratch", width=0.1, head="conv", effective_batch=2, micro_batch=2)
        return {f"tiny, micro-batch {n}": replace(tiny, micro_batch=n) for n in (1, 2)}
    still, half, again = {"freeze_weights": True, "batchnorm": "frozen"}, {"precision": "16-mixed"}, {"checkpoint_activations": True}
    points = {"head": "decoupled", "finest_stride": 8}
    wanted = (
        ("resnet18", 1, {"head": "full"}),
        ("resnet18", 1, {"head": "compressed"}),
        ("resnet18", 16, {"head": "full"}),
        ("resnet18", 4, {"head": "compressed"}),
        ("resnet18", 16, {"head": "compressed"}),
        ("resnet18", 16, {"head": "full", **half}),
        ("resnet18", 16, {"head": "compressed", **half}),
        ("resnet18", 16, {"head": "compressed", **still}),
        ("resnet18", 16, {"head": "conv", **half}),
        ("resnet18", 16, {"head": "conv", **again}),
        ("efficientnet_lite0", 16, {"head": "compressed"}),
        ("efficientnet_lite0", 4, {"head": "conv", **half}),
        ("efficientnet_lite0", 16, points),
    )
    found = {}
    for backbone, micro, changes in wanted:
        size = 448 if backbone == "resnet18" else 224
        config = RunConfig(backbone=backbone, image_size=size, optimiser="adam", micro_batch=micro, **changes)
        told = ", ".join(str(key if value is True else value) for key, value in changes.items() if key != "batchnorm")
        found[f"{backbone} at {size} px, {told}, micro-batch {micro}"] = config
    return found


def memory_part(report: Report) -> None:
    """What the least memory is that each head trains in; then peaks, predicted and measured."""
    six_gigabytes(report)
    peaks(report)


def six_gigabytes(report: Report) -> None:
    """What a step of one picture needs, and whether the write-up's card has it: the process capped, again and again."""
    heads, context = {}, 0.0
    configs = {config.head: config for config in reversed(configurations(report.rehearse).values()) if config.micro_batch == 1}
    for head, config in configs.items():
        predicted = memory.predict(config).total / memory.GIB
        allocator = least(_fits(config), 0.5 * predicted, 1.2 * predicted + 0.5)
        if DEVICE.type == "cuda":  # once everything that a step calls is loaded
            free, total = torch.cuda.mem_get_info()
            context = (total - free - torch.cuda.memory_reserved()) / memory.GIB
        needs = allocator + context
        heads[head] = {"needs_gib": needs, "allocator_gib": allocator, "trains": needs <= CARD_GIB}
        report.add("six_gib", {"card_gib": CARD_GIB, "context_gib": context, "heads": heads})
        report.says(f"{head} head, one picture at a time: needs {needs:.2f} GiB, {context:.2f} of them the driver's context")


def peaks(report: Report) -> None:
    """A step's peak: predicted, of the same steps on real tensors, of a real training; where the first two part, what was alive."""
    found = {}
    for title, config in configurations(report.rehearse).items():
        predicted = memory.predict(config)
        row: dict[str, Any] = {"predicted": predicted.total, "parts": predicted.parts}
        if DEVICE.type == "cpu":
            row |= {"allocated": memory.measured(config), "reserved": None, "training": None}
        else:
            row |= dict(zip(("allocated", "reserved"), memory.verify(config, config.micro_batch), strict=True))
            row |= {"training": _training_peak(config)}
            row |= {"blocks": _largest_blocks(config)} if abs(row["predicted"] / row["allocated"] - 1) > APART else {}
        found[title] = row
        report.add("peaks", found)
    off = {title: row["predicted"] / row["allocated"] - 1 for title, row in found.items()}
    worst = max(off, key=lambda title: abs(off[title]))
    report.says(f"{len(off)} peaks predicted; the farthest off is {worst}: {off[worst]:+.1%} of what was allocated")


def _fits(config: RunConfig) -> Callable[[float], bool]:
    """Whether a step is taken in so many GiB."""
    if DEVICE.type == "cpu":
        held = memory.measured(config) / memory.GIB
        return lambda gib: held <= gib

    def fits(gib: float) -> bool:
        try:
            memory.verify(config, config.micro_batch, gib)
        except InputError:
            return False
        return True

    return fits


def least(fits: Callable[[float], bool], low: float, high: float, step: float = 1 / 32) -> float:
    """The least that fits, to a step; `low` and `high` are where to look first."""
    while not fits(high):
        low, high = high, 2 * high
    while high - low > step:
        middle = (low + high) / 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high


def _two_steps(config: RunConfig) -> None:
    """Of a real training, with its own loss: as many micro-batches as the planner takes."""
    run = training(config, steps=2)
    for count in (config.micro_batch, min(2 * config.micro_batch, config.effective_batch)):
        run.step(*noise(config, count), count)


def _training_peak(config: RunConfig) -> int:
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    _two_steps(config)
    return torch.cuda.max_memory_allocated()


def _largest_blocks(config: RunConfig, count: int = 12) -> list[dict[str, Any]]:
    """What is alive at the peak, largest first, and the Python line that asked for it: where a prediction is off, the reason."""
    torch.cuda.memory._record_memory_history(stacks="python")
    try:
        memory.verify(config, config.micro_batch)
        events = torch.cuda.memory._snapshot()["device_traces"][0]
    finally:
        torch.cuda.memory._record_memory_history(enabled=None)
    return at_peak(events)[:count]


def at_peak(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The blocks of an allocator's history that are alive when most bytes are."""
    alive: dict[int, dict] = {}
    held, most, then = 0, 0, []
    for event in events:
        if event["action"] == "alloc":
            alive[event["addr"]] = event
            held += event["size"]
        elif event["action"] == "free_completed" and (gone := alive.pop(event["addr"], None)):
            held -= gone["size"]
        if held > most:
            most, then = held, list(alive.values())
    lines = ((event["size"], next((f"{f['filename']}:{f['line']}" for f in event.get("frames", ())), "")) for event in then)
    return [{"mib": size / memory.MIB, "line": line} for size, line in sorted(lines, reverse=True)]
