"""Whether a card computes what the CPU does, and what happens when something goes wrong on it.

Inside: `correctness_part` and its checks, each of which says whether it `passed`.
"""

import gc
import math
import os
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from card.report import DEVICE, Report
from card.steps import first_steps, scenes
from torch import Tensor

from trial.register import canary
from trial.watch import train
from yolo_core import experiments
from yolo_core.data.voc import VocData, loader
from yolo_core.training import compilation
from yolo_core.training.config import RunConfig
from yolo_core.training.step import Training

PLAIN = {"dropout": 0.0, "cache_features": False}  # nothing is drawn at random on the device, and the backbone runs


def _apart(found: list[float], wanted: list[float]) -> list[float]:
    """Step by step, relative."""
    return [abs(f - w) / abs(w) for f, w in zip(found, wanted, strict=True)]


def as_on_the_cpu(config: RunConfig, data: VocData) -> dict[str, Any]:
    """Losses of the first steps and the probes' gradients at the very first, on the card and on the CPU, in float32."""
    config = replace(config, probe_steps=1)
    (here, run), (there, cpu) = first_steps(config, data), first_steps(config, data, device=torch.device("cpu"))
    name, columns = ("conflict", ["box", "score"]) if config.anchor_free else ("terms", ["norm"])
    tables = [run.observer.tables()[name][columns] for run in (run, cpu)]
    felt, wanted = (table[: len(table) // len(here)].to_numpy() for table in tables)
    gradients = float(np.abs(felt - wanted).max() / np.abs(wanted).max())
    verdict = canary.compare({"digest": "cpu", "losses": there}, {"digest": "card", "losses": here})
    return {"passed": verdict != "changed" and gradients < 1e-3, "losses_apart": _apart(here, there), "gradients_apart": gradients}


def trains(config: RunConfig, data: tuple[VocData, VocData], precision: str, steps: int) -> dict[str, Any]:
    """Whether the loss falls in half precision, from the first third of the steps to the last, and which steps were left out."""
    config = replace(config, precision=precision, epochs=steps, score_epochs=steps)
    with tempfile.TemporaryDirectory() as folder:
        run = train(config, *data, Path(folder) / "run", code="card", progress=False, max_steps=steps, checkpoint_seconds=math.inf)
        losses = run.table("curves")[[name for name in canary.TERMS if name in run.table("curves")]].sum(axis=1)
    host = run.record["host"]
    first, last = float(losses[: steps // 3].mean()), float(losses[-(steps // 3) :].mean())
    return {"passed": last < first, "first": first, "last": last, "precision": host["precision"], "skipped": host["skipped"]}


def out_of_memory(config: RunConfig, data: VocData) -> dict[str, Any]:
    """A training that does not fit in whole batches halves its micro-batch, and takes the steps that it would have taken in those."""
    with _short_of_memory(config, data):
        found, run = first_steps(config, data)
    micro = run.progress.micro_batch
    wanted, _ = first_steps(replace(config, micro_batch=micro), data)
    apart = _apart(found, wanted)
    return {"passed": micro < config.micro_batch and apart[0] < 1e-3, "halvings": run.progress.halvings, "losses_apart": apart}


@contextmanager
def _short_of_memory(config: RunConfig, data: VocData) -> Iterator[None]:
    """Room for micro-batches of two, and none for whole batches; on a CPU an error in its place."""
    if DEVICE.type == "cuda":
        sizes = []
        for micro in (2, config.micro_batch):
            gc.collect()
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            first_steps(replace(config, micro_batch=micro), data)
            sizes.append(torch.cuda.max_memory_reserved())
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(sum(sizes) / 2 / torch.cuda.get_device_properties(0).total_memory)
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
        return
    whole = Training._forward

    def small(self: Training, inputs: Tensor) -> Tensor:
        if len(inputs) > 4:
            raise torch.OutOfMemoryError("out of memory, in rehearsal")
        return whole(self, inputs)

    Training._forward = small
    try:
        yield
    finally:
        Training._forward = whole


def _killed(config: RunConfig, data: tuple[VocData, VocData], out: Path) -> None:
    """In a process of its own: a training that is killed before its third step."""
    whole = Training.step

    def step(self: Training, *given: Any) -> dict[str, float]:
        if self.progress.step == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return whole(self, *given)

    Training.step = step
    train(config, *data, out, code="card", progress=False, checkpoint_seconds=0)


def kill_and_resume(config: RunConfig, data: tuple[VocData, VocData]) -> dict[str, Any]:
    """A training that was killed goes on, and ends where one that was not does."""
    with tempfile.TemporaryDirectory() as folder:
        whole = train(config, *data, Path(folder) / "whole", code="card", progress=False, checkpoint_seconds=math.inf)
        process = get_context("spawn").Process(target=_killed, args=(config, data, Path(folder) / "run"))
        process.start()
        process.join()
        found = train(config, *data, Path(folder) / "run", code="card", progress=False, checkpoint_seconds=60)
        apart = (found.table("curves")["box"] / whole.table("curves")["box"] - 1).abs().max()
    resumed, same = found.record["times"]["resumed"], found.record["steps"] == whole.record["steps"]
    return {"passed": process.exitcode == -signal.SIGKILL and resumed == 1 and same, "resumed": resumed, "losses_apart": float(apart)}


def compiles(config: RunConfig, data: VocData, rehearse: bool) -> dict[str, Any]:
    """The first steps of a compiled net beside those of the same net that is not."""
    compilation.BACKEND = "aot_eager" if rehearse else compilation.BACKEND
    apart = _apart(first_steps(replace(config, compile=True), data)[0], first_steps(config, data)[0])
    return {"passed": apart[0] < 1e-3, "losses_apart": apart}


def kept(data: VocData) -> dict[str, Any]:
    """Pictures that stay on the card come in the same batches."""
    pairs = zip(*(loader(d, 16, shuffle=True, seed=0) for d in (data, data.held_on(DEVICE))), strict=True)
    return {"passed": all(torch.equal(a, b.cpu()) for (a, _), (b, _) in pairs)}


def correctness_part(report: Report) -> None:
    data, few = scenes(report.rehearse), 6 if report.rehearse else 60
    arms = [("baseline", "conv")] if report.rehearse else [("baseline", "conv"), ("focal", "mse-conv"), ("remedies", "all")]
    changes = PLAIN | {"probe_steps": 0} | ({"width": 0.1} if report.rehearse else {})
    configs = {arm: replace(experiments.resolve(*arm, "smoke"), **changes) for arm in arms}
    config = configs[arms[0]] if report.rehearse else replace(configs[arms[0]], width=1.0)
    checks: Mapping[str, Callable[[], dict]] = {
        **{f"{'/'.join(arm)} as on the CPU": partial(as_on_the_cpu, configs[arm], data[0]) for arm in arms},
        "16-mixed trains": partial(trains, config, data, "16-mixed", few),
        "out of memory": partial(out_of_memory, config, data[0]),
        "kill and resume": partial(kill_and_resume, config, data),
        "bf16-mixed trains": partial(trains, config, data, "bf16-mixed", few),
        "pictures kept on the card": partial(kept, data[0]),
        "compiled": partial(compiles, config, data[0], report.rehearse),
    }
    for name, check in checks.items():
        try:
            found = check()
        except Exception as error:  # the others are asked all the same
            found = {"passed": False, "error": f"{type(error).__name__}: {error}"[:500]}
        found["passed"] = bool(found["passed"])
        report.add(name, found)
        report.says(f"{name}: {'yes' if found['passed'] else 'NO'}" + (f" ({found['error']})" if "error" in found else ""))
