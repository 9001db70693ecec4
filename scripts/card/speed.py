"""How fast a card trains: against a plain loop, against its sheet, and arm by arm.

Inside: `speed_part`: `loops`, `waiting`, `arms`.
"""

import gc
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from card.report import DEVICE, Report
from card.steps import epoch_of, noise, scenes, training, wait

from bench.contest import contest
from trial.planner import cost
from trial.register import reference
from yolo_core import experiments
from yolo_core.data.voc import VocData
from yolo_core.training import compilation
from yolo_core.training.config import RunConfig
from yolo_core.training.features import FeatureData
from yolo_core.training.train import drawn_from


def plain_loop(config: RunConfig, steps: int) -> Callable[[], None]:
    """What a first implementation does: default layout, an optimiser kernel a tensor; the pictures lie on the device."""
    detector, loss = config.detector().to(DEVICE).train(), config.loss()
    optimiser = torch.optim.Adam(detector.parameters(), lr=config.lr, foreach=False)
    images, targets = noise(config, config.effective_batch)
    images, target, half = images.to(DEVICE), config.grid().encode(targets).to(DEVICE), config.precision != "32-true"
    scaler = torch.amp.GradScaler(DEVICE.type, enabled=half and DEVICE.type == "cuda")

    def run() -> None:
        for _ in range(steps):
            with torch.autocast(DEVICE.type, torch.float16 if DEVICE.type == "cuda" else torch.bfloat16, enabled=half):
                outputs = detector(images.float() / 255)
            scaler.scale(sum(loss(outputs.float(), target).values())).backward()
            scaler.step(optimiser)
            scaler.update()
            optimiser.zero_grad()
        wait()

    return run


def our_loop(config: RunConfig, steps: int) -> Callable[[], None]:
    """Steps of `Training`, the pictures on the device."""
    run = training(config, steps=10**6)
    images, targets = noise(config, config.effective_batch)
    images = images.to(DEVICE)

    def several() -> None:
        for _ in range(steps):
            run.step(images, targets, len(images))
        wait()

    return several


def loops(report: Report) -> None:
    """A training step in five ways, beside the card's sheet and the cost model."""
    config = RunConfig(backbone="resnet18", image_size=448, optimiser="adam", lr=1e-4)
    if report.rehearse:
        config, compilation.BACKEND = RunConfig(backbone="scratch", width=0.1, head="conv", effective_batch=2, micro_batch=2), "aot_eager"
    half, few, repeats = replace(config, precision="16-mixed"), *((1, 1) if report.rehearse else (20, 3))
    ways = {
        "plain loop, float32": plain_loop(config, few),
        "plain loop, half precision": plain_loop(half, few),
        "ours, float32": our_loop(config, few),
        "ours, half precision": our_loop(half, few),
        "ours, half precision, compiled": our_loop(replace(half, compile=True), few),
    }
    _, times = contest(ways, repeats)
    name = torch.cuda.get_device_name() if DEVICE.type == "cuda" else ""
    machine = next((m for key, m in cost.MACHINES.items() if key in name), None)
    work, found = cost.count(config), {}
    for way, spent in times.items():
        rates = [config.effective_batch * few / each for each in spent]
        row: dict[str, Any] = {"pictures_a_second": rates, "flops": work.training * float(np.median(rates))}
        if machine is not None:
            one = config if "float32" in way else half
            row |= {
                "peak": machine.flop_rate(one.precision),
                "predicted": cost.spread(cost.rate, work, machine, one),
                "machine": machine.name,
            }
        found[way] = row
    report.add("loops", found)
    report.says(*(f"{way}: {np.median(row['pictures_a_second']):.0f} pictures a second" for way, row in found.items()))


def waiting(report: Report) -> None:
    """The share of a training that waits for its data: from the disk's cache, and from the device."""
    config = replace(experiments.resolve("baseline", "conv", "smoke"), probe_steps=0)
    (data, _), found = scenes(report.rehearse), {}
    for where, split in {"from the cache": data, "kept on the device": data.held_on(DEVICE)}.items():
        run, waited = training(config, steps=10**6), 0.0
        epoch_of(run, split, 0)
        began = time.perf_counter()
        for epoch in range(1, 2 if report.rehearse else 12):
            waited += epoch_of(run, split, epoch)
        wait()
        found[where] = waited / (time.perf_counter() - began)
    report.add("waiting", found)
    report.says(*(f"waiting for data, {where}: {share:.1%} of the time" for where, share in found.items()))


def arms(report: Report) -> None:
    """Pictures a second of every arm, drawn as its training draws them: pocket's, which are the photographs' as well. Arms that differ in
    what costs nothing are timed once."""
    keys = (*cost.NET, "effective_batch", "micro_batch", "augment", "mosaic", "assign", "box_loss", "background")
    (data, _), timed, found = scenes(report.rehearse), {}, {}
    wanted = [("focal", "mse-conv")] if report.rehearse else list(dict.fromkeys(job[:2] for job in reference.jobs()))
    for arm in wanted:
        config = experiments.resolve(*arm, "pocket")
        key = tuple(getattr(config, key) for key in keys)
        if key not in timed:
            if time.monotonic() > report.ends - 3:
                break
            timed[key] = _rate(replace(config, probe_steps=0, train_images=None, start=None), data, 0.5 if report.rehearse else 1.0)
        found["/".join(arm)] = timed[key]
        report.add("arms", found)
    report.says(f"{len(found)} of {len(wanted)} arms timed, {min(found.values()):.0f} to {max(found.values()):.0f} pictures a second")


def _rate(config: RunConfig, data: VocData, seconds: float) -> float:
    """Pictures a second of a training, over so many seconds."""
    run = training(config, steps=10**6)
    if config.cache_features:
        data = FeatureData(data, run.detector.backbone, DEVICE, progress=False)
    data = drawn_from(data if config.mosaic or config.augment else data.held_on(DEVICE), config, 10**6)
    epoch_of(run, data, 0)
    began, seen, epoch = time.perf_counter(), 0, 0
    while time.perf_counter() - began < seconds:
        epoch += 1
        epoch_of(run, data, epoch)
        seen += len(data)
    return seen / (time.perf_counter() - began)


def speed_part(report: Report) -> None:
    for asked in (loops, waiting, arms):
        asked(report)
        gc.collect()
