"""The training loop.

Inside: `train`, `NonFiniteLoss`.

One code path from a laptop's CPU to a GPU: Lightning Fabric places the model, casts, and scales. An effective batch is loaded whole
and cut into micro-batches whose gradients add up; the loss is divided by the effective batch, so a partial last group, or a last
micro-batch of another size, weighs what it should. Clipping, the schedule and the log act once an effective batch.
"""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from lightning_fabric import Fabric
from torch import nn
from tqdm.auto import tqdm

from yolo_core.data.voc import VocData, loader
from yolo_core.study.accumulation import gap
from yolo_core.study.batchnorm import drift, recomputed, snapshot
from yolo_core.study.config import RunConfig
from yolo_core.study.features import FeatureData
from yolo_core.study.probes import GradientProbe, NoiseProbe
from yolo_core.study.records import Run, environment, run_key, write_run
from yolo_core.study.scoring import cell_scores, predict, score, to_float

COMPARED = 100  # pictures of the val split whose scores are kept, so that two runs' orders can be compared
OPTIMISERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}


class NonFiniteLoss(ArithmeticError):
    """A loss term is NaN or infinite: the message says at which step, which term, and what the others were."""


def make_optimiser(model: nn.Module, config: RunConfig) -> torch.optim.Optimizer:
    """Backbone and head may learn at two rates. "adam" adds weight decay to the gradient (L2), "adamw" apart from it."""
    backbone = [p for p in model.backbone.parameters() if p.requires_grad]
    groups = [{"params": list(model.head.parameters()), "lr": config.lr}]
    if backbone:
        groups.append({"params": backbone, "lr": config.lr if config.backbone_lr is None else config.backbone_lr})
    # One kernel for the whole update: on a CPU five times faster than one a tensor.
    options = {"fused": True} | ({"momentum": 0.9} if config.optimiser == "sgd" else {})
    return OPTIMISERS[config.optimiser](groups, weight_decay=config.weight_decay, **options)


def rate_factor(step: int, steps: int, config: RunConfig) -> float:
    """What the learning rate is multiplied by at a step: a linear rise over the warm-up, then a half cosine to 0, or 1."""
    warmup = max(1, round(config.warmup * steps))
    if step < warmup:
        return (step + 1) / warmup
    if config.schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def require_finite(terms: dict[str, torch.Tensor], step: int) -> None:
    """Raise NonFiniteLoss unless every term is a number."""
    values = {name: term.item() for name, term in terms.items()}
    bad = [name for name, value in values.items() if not math.isfinite(value)]
    if bad:
        listed = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
        raise NonFiniteLoss(
            f"step {step}: the {' and '.join(bad)} term of the loss is not finite ({listed}); "
            "lower the learning rate, lengthen the warm-up, or clip gradients"
        )


def fingerprints_of(train_data: VocData, val_data: VocData, start: Run | None) -> dict[str, str]:
    """What a run was made from: its two splits and, where it goes on from another run, that run's key."""
    prints = {"train": train_data.fingerprint, "val": val_data.fingerprint}
    return prints if start is None else prints | {"start": start.record["key"]}


def train(
    config: RunConfig,
    train_data: VocData,
    val_data: VocData,
    out: Path,
    *,
    code: str,
    start: Run | None = None,
    max_steps: int | None = None,
    progress: bool = True,
    keep_weights: bool = True,
    watch: Callable[[dict[str, pd.DataFrame]], None] | None = None,
) -> Run:
    """Train a detector and write its run to the folder `out`.

    code: the hash of the code that runs, part of the record's key. start: the run whose weights it goes on from. max_steps: stop after
    so many effective batches. watch: called with the probe's tables at each of its looks.
    Raises NonFiniteLoss; an interrupted or failed run leaves `out` as it was.
    """
    started = time.perf_counter()
    torch.manual_seed(config.seed)
    fabric = Fabric(devices=1, precision=config.precision)
    detector = config.detector().to(memory_format=torch.channels_last)
    if start is not None:
        detector.load_state_dict(start.weights())
    statistics_before = snapshot(detector.backbone)
    model, optimiser = fabric.setup(detector, make_optimiser(detector, config))
    if config.cache_features:
        train_data, val_data = (FeatureData(data, detector.backbone, fabric.device, progress) for data in (train_data, val_data))
    if config.train_images is not None:
        train_data = train_data.first(config.train_images)
    batches = loader(train_data, config.effective_batch, shuffle=True, seed=config.seed)
    steps = min(config.epochs * len(batches), max_steps or math.inf)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: rate_factor(step, steps, config))
    loss, grid = config.loss(), config.grid()
    probe, noise = GradientProbe(config.probe_steps, config.loss()), NoiseProbe(math.ceil(config.probe_steps / 5))
    curve: list[dict[str, Any]] = []
    epochs: list[dict[str, Any]] = []
    scoring_seconds, metrics, step = 0.0, {}, 0

    with tqdm(total=steps, desc=f"{config.experiment}/{config.arm} seed {config.seed}", unit="step", disable=not progress) as bar:
        for epoch in range(config.epochs):
            batches.set_epoch(epoch)
            model.train()
            for images, targets in batches:
                target = grid.encode(targets, config.train_on_difficult).to(fabric.device)
                divisor = len(images) if config.loss_reduction == "mean" else 1
                logged = dict.fromkeys(("box", "object", "background", "class"), 0.0)
                micro = list(zip(images.split(config.micro_batch), target.split(config.micro_batch), strict=True))
                noise.begin(step, detector, len(micro))
                for i, (image_part, target_part) in enumerate(micro):
                    with fabric.no_backward_sync(model, enabled=i < len(micro) - 1):
                        outputs = model(to_float(image_part, fabric.device), features=config.cache_features).float()
                        terms = loss(outputs, target_part, divisor)
                        require_finite(terms, step)
                        if i == 0 and probe.wants(step):
                            probe.observe(step, detector, outputs, target_part, terms, divisor)
                            if watch is not None:
                                watch(probe.tables())
                        fabric.backward(sum(terms.values()))
                        noise.after_micro_batch(len(image_part))
                    for name, term in terms.items():
                        logged[name] += term.item()
                noise.end(step)
                norm = fabric.clip_gradients(model, optimiser, max_norm=config.clip_norm or math.inf, error_if_nonfinite=False)
                curve.append({"step": step, "epoch": epoch, "lr": schedule.get_last_lr()[0], **logged, "gradient_norm": norm.item()})
                optimiser.step()
                optimiser.zero_grad()
                schedule.step()
                step += 1
                bar.update()
                bar.set_postfix({name: f"{value:.3g}" for name, value in logged.items()}, refresh=False)
                if step == steps:
                    break
            last = step == steps
            if last or (epoch + 1) % config.score_epochs == 0:
                before = time.perf_counter()
                metrics = score(predict(model, val_data.images, device=fabric.device), val_data.targets, config)
                scoring_seconds += time.perf_counter() - before
                epochs.append({"epoch": epoch, "step": step, "map": metrics["map"], "recall_0.05": metrics["cuts"]["0.05"]["recall"]})
                epochs[-1] |= {f"confidence_{where}": value for where, value in metrics["confidence"].items()}
            if last:
                break

    # How well the detector does on pictures it has seen tells underfitting from overfitting (claim C1e).
    seen = slice(len(val_data))
    outputs = predict(model, val_data.images, device=fabric.device)
    metrics["train_split"] = score(predict(model, train_data.images[seen], device=fabric.device), train_data.targets[seen], config)
    metrics["probes"] = probe.summary() | {"noise_scale": noise.scale()}
    if config.batchnorm == "train":
        metrics["batchnorm"] = drift(statistics_before, snapshot(detector.backbone))
        with recomputed(detector, train_data.images[seen]):
            again = score(predict(detector, val_data.images, device=fabric.device), val_data.targets, config)
        metrics["batchnorm"] |= {"map_recomputed": again["map"], "object_iou_recomputed": again["object_iou"]["best"]}
    if config.micro_batch < config.effective_batch:
        images, targets = train_data.__getitems__(list(range(min(config.effective_batch, len(train_data)))))
        target = grid.encode(targets, config.train_on_difficult).to(fabric.device)
        inputs = to_float(images, fabric.device)
        metrics["accumulation_gap"] = gap(detector, loss, inputs, target, config.micro_batch, config.cache_features)
    fingerprints = fingerprints_of(train_data, val_data, start)
    record = {
        "key": run_key(config, fingerprints, code),
        "config": config.to_dict(),
        "data": {"fingerprints": fingerprints, "train_images": len(train_data), "val_images": len(val_data)},
        "code": code,
        "steps": step,
        "parameters": {
            "backbone": sum(p.numel() for p in detector.backbone.parameters()),
            "head": sum(p.numel() for p in detector.head.parameters()),
        },
        "metrics": metrics,
        "host": environment(str(fabric.device)),
        "times": {"total_s": time.perf_counter() - started, "scoring_s": scoring_seconds},
    }
    tables = {"curves": pd.DataFrame(curve), "epochs": pd.DataFrame(epochs), **probe.tables(), "noise": noise.table()}
    tables["scores"] = cell_scores(outputs[:COMPARED], config)
    return write_run(Path(out), record, tables, detector.state_dict() if keep_weights else {})
