"""The training loop.

Inside: `train`, `Training` (a detector with all its step needs), `drawn_from`, `NonFiniteLoss`.

One code path from a laptop's CPU to a GPU: Lightning Fabric places the model, casts, and scales. An effective batch is loaded whole
and cut into micro-batches whose gradients add up; the loss is divided by the effective batch, so a partial last group, or a last
micro-batch of another size, weighs what it should. Clipping, the schedule and the log act once an effective batch. Under torchrun each
process takes its part of every effective batch; the first one scores and writes.
"""

import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from lightning_fabric import Fabric
from torch import nn
from tqdm.auto import tqdm

from groundwork.errors import InputError
from trial.instruments import mosaic_noise
from trial.instruments.accumulation import gap
from trial.instruments.probes import ConflictProbe, GradientProbe, NoiseProbe
from yolo_core.data.augment import Augmented, Mosaic
from yolo_core.data.voc import VocData, loader
from yolo_core.training.batchnorm import drift, recompute, recomputed, snapshot
from yolo_core.training.checkpoint import Checkpoints, beside
from yolo_core.training.compilation import compiled, explained
from yolo_core.training.config import RunConfig
from yolo_core.training.features import FeatureData
from yolo_core.training.precision import arithmetic, scale
from yolo_core.training.records import Run, environment, keep, read_run, run_key
from yolo_core.training.resident import resident
from yolo_core.training.scoring import cell_scores, predict, resampled, score, shown, to_float

COMPARED = 100  # pictures of the val split whose scores are kept, so that two runs' orders can be compared
_NOTHING = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.long), "difficult": torch.zeros(0, dtype=torch.bool)}
Watcher = Callable[[dict[str, pd.DataFrame]], None]
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


def mosaics(config: RunConfig, length: int, steps: int) -> int:
    """How many pictures a training draws as mosaics, of `length` an epoch: those of all steps but the last `close_mosaic` of them."""
    epoch, batch = divmod(steps - round(config.close_mosaic * steps), math.ceil(length / config.effective_batch))
    return epoch * length + batch * config.effective_batch


def drawn_from(data: VocData, config: RunConfig, steps: int) -> VocData:
    """What an epoch draws its batches from: the pictures as they are, or as a training of so many steps changes them."""
    if config.mosaic:
        data = Mosaic(data, config.seed, mosaics(config, len(data), steps))
    return Augmented(data, config.seed) if config.augment else data


def make_fabric(precision: str) -> Fabric:
    """One device; or, where torchrun has started several processes, this one's share of them."""
    world = _processes("WORLD_SIZE", 1)
    if world == 1:
        return Fabric(devices=1, plugins=arithmetic(precision))
    if "RANK" not in os.environ:  # left from another program: Fabric would start processes of its own
        raise InputError(f"WORLD_SIZE is {world}, and RANK is not set; start several processes by torchrun, or unset WORLD_SIZE")
    here = _processes("LOCAL_WORLD_SIZE", world)
    fabric = Fabric(devices=here, num_nodes=world // here, strategy="ddp", plugins=arithmetic(precision))
    fabric.launch()
    return fabric


def _processes(name: str, otherwise: int) -> int:
    """The number that torchrun has put into a variable. InputError for what is none."""
    text = os.environ.get(name, str(otherwise))
    if not text.isdecimal() or int(text) < 1:
        raise InputError(f"{name} must be a whole number of at least 1, as torchrun sets it; got {text!r}; unset it")
    return int(text)


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


@dataclass
class Progress:
    """Where a training stands between two steps, in plain numbers and lists."""

    epoch: int = 0
    batch: int = 0  # of the epoch: the next to be trained on
    step: int = 0
    micro_batch: int = 0
    seconds: float = 0.0
    scoring_seconds: float = 0.0
    resumed: int = 0
    curve: list[dict[str, Any]] = field(default_factory=list)
    epochs: list[dict[str, Any]] = field(default_factory=list)
    halvings: list[dict[str, int]] = field(default_factory=list)  # of the micro-batch, where the device ran out of memory
    skipped: list[int] = field(default_factory=list)  # steps left out, because in half precision their gradients overflowed


class Training:
    """A detector with all that a step of its training needs; `state` and `load` say where it stands."""

    def __init__(self, config: RunConfig, fabric: Fabric, start: Run | None) -> None:
        if config.compile and fabric.world_size > 1:
            raise InputError("--compile works in one process alone; leave it out, or torchrun")
        if (config.start is None) != (start is None):
            said = "a run to start from was given" if config.start is None else f"no run of {config.start} was given"
            raise InputError(f"{config.experiment}/{config.arm} starts from {config.start or 'fresh weights'}, and {said}")
        self.config, self.fabric, self.precision = config, fabric, fabric.strategy.precision
        self.detector = config.detector().to(memory_format=torch.channels_last)
        if start is not None:
            try:
                self.detector.load_state_dict(start.weights())
            except RuntimeError as error:
                raise InputError(f"{start.folder}: its weights do not fit {config.experiment}/{config.arm}; start from another") from error
        self.statistics_before = snapshot(self.detector.backbone)
        self.model, self.optimiser = fabric.setup(self.detector, make_optimiser(self.detector, config))
        self.net = compiled(self.detector) if config.compile else self.detector
        self.loss, self.grid = config.loss(), config.grid()
        every = config.probe_steps if fabric.world_size == 1 else 0  # a look sees one process's part of a gradient, which means nothing
        self.probe, self.noise = GradientProbe(0 if config.anchor_free else every, self.loss), NoiseProbe(math.ceil(every / 5))
        self.conflict = ConflictProbe(every if config.anchor_free else 0)
        self.progress = Progress(micro_batch=config.micro_batch)
        if fabric.world_size > 1:  # processes that drop the same units would be one
            torch.manual_seed(config.seed + fabric.global_rank * 1_000_003)

    def schedule(self, steps: int) -> None:
        """Fix the number of steps, and with it the learning rate of each."""
        self.rate = torch.optim.lr_scheduler.LambdaLR(self.optimiser, lambda step: rate_factor(step, steps, self.config))

    def state(self) -> dict[str, Any]:
        """All but the weights."""
        rng = {"cpu": torch.get_rng_state()} | ({"cuda": torch.cuda.get_rng_state_all()} if torch.cuda.is_available() else {})
        return {
            "progress": asdict(self.progress),
            "optimiser": self.optimiser.state_dict(),
            "rate": self.rate.state_dict(),
            "precision": self.precision.state_dict(),
            "probe": self.probe.state(),
            "noise": self.noise.state(),
            "conflict": self.conflict.state(),
            "rng": rng,
        }

    def load(self, weights: dict[str, torch.Tensor], state: dict[str, Any]) -> None:
        self.detector.load_state_dict(weights)
        self.optimiser.load_state_dict(state["optimiser"])
        self.rate.load_state_dict(state["rate"])
        if state["precision"]:  # half precision has a factor on a GPU alone
            self.precision.load_state_dict(state["precision"])
        self.probe.load(state["probe"])
        self.noise.load(state["noise"])
        self.conflict.load(state["conflict"])
        self.progress = Progress(**state["progress"])
        self.progress.resumed += 1
        torch.set_rng_state(state["rng"]["cpu"])
        if "cuda" in state["rng"] and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(state["rng"]["cuda"][: torch.cuda.device_count()])

    def step(self, images: torch.Tensor, targets: list[dict], whole: int, watch: Watcher | None) -> dict[str, float]:
        """One effective batch of `whole` pictures over all processes; a device out of memory takes it again in micro-batches of half."""
        while True:
            try:
                with explained():
                    return self._accumulate(images, targets, whole, watch)
            except torch.OutOfMemoryError as error:
                self.optimiser.zero_grad()
                torch.cuda.empty_cache()
                if self.progress.micro_batch == 1 or self.fabric.world_size > 1:
                    raise InputError(
                        f"step {self.progress.step}: the device ran out of memory at micro-batch {self.progress.micro_batch}; "
                        "ask `python -m yolo_core plan` what fits it"
                    ) from error
                self.progress.micro_batch //= 2
                self.progress.halvings.append({"step": self.progress.step, "micro_batch": self.progress.micro_batch})

    def _accumulate(self, images: torch.Tensor, targets: list[dict], whole: int, watch: Watcher | None) -> dict[str, float]:
        config, fabric, step = self.config, self.fabric, self.progress.step
        weight = 1.0
        if not len(images):  # the other processes have the last pictures; this one must still take part
            images, targets, weight = torch.zeros(1, *images.shape[1:], dtype=images.dtype), [_NOTHING], 0.0
        target = self.grid.encode(targets, config.train_on_difficult).to(fabric.device)
        divisor = whole if config.loss_reduction == "mean" else 1
        logged: dict[str, float] = {}
        micro = list(zip(images.split(self.progress.micro_batch), target.split(self.progress.micro_batch), strict=True))
        self.noise.begin(step, self.detector, len(micro))
        factor = scale(self.precision)
        for i, (image_part, target_part) in enumerate(micro):
            with fabric.no_backward_sync(self.model, enabled=i < len(micro) - 1):
                outputs = self._forward(to_float(image_part, fabric.device))
                terms = self.loss(outputs, target_part, divisor)
                require_finite(terms, step)
                if i == 0 and self.probe.wants(step):
                    self.probe.observe(step, self.detector, outputs, target_part, terms, divisor, factor)
                    if watch is not None:
                        watch(self.probe.tables())
                if i == 0 and self.conflict.wants(step):
                    self.conflict.observe(step, self.detector.head.neck, terms, factor)
                    if watch is not None:
                        watch({"conflict": self.conflict.table()})
                # Processes average their gradients; what is wanted is the sum. Alone, this multiplies by 1.
                fabric.backward(sum(terms.values()) * (weight * fabric.world_size))
                self.noise.after_micro_batch(len(image_part))
            for name, term in terms.items():
                logged[name] = logged.get(name, 0.0) + weight * term.item()
        self.noise.end(step, factor)
        norm = fabric.clip_gradients(self.model, self.optimiser, max_norm=config.clip_norm or math.inf, error_if_nonfinite=False)
        if fabric.world_size > 1:
            logged = dict(zip(logged, fabric.all_reduce(torch.tensor(list(logged.values())), reduce_op="sum").tolist(), strict=True))
        self.optimiser.step()
        self.optimiser.zero_grad()
        if scale(self.precision) < factor:
            self._skip(step)
        return {**logged, "gradient_norm": norm.item()}

    def _skip(self, step: int) -> None:
        """Note that a step was left out, which made the factor smaller. Where one below 1 is needed, the gradients are too large."""
        self.progress.skipped.append(step)
        if scale(self.precision) < 1:
            raise NonFiniteLoss(
                f"step {step}: gradients overflow half precision however small the loss is made; "
                "lower the learning rate, lengthen the warm-up, or train in float32 (precision 32-true)"
            )

    def _forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Outputs in float32. Alone, a process goes around Fabric's wrapper, which lets nothing but its own backward pass see a gradient
        under mixed precision; the probe asks for gradients too."""
        if self.fabric.world_size > 1:
            return self.model(inputs, features=self.config.cache_features).float()
        with self.fabric.autocast():
            return self.net(inputs, features=self.config.cache_features).float()

    def score(self, inputs: torch.Tensor, targets: list[dict]) -> tuple[torch.Tensor, dict[str, Any]]:
        """Outputs and `scoring.score` on a split."""
        with self.fabric.autocast():
            outputs = predict(self.detector, inputs, device=self.fabric.device)
        return outputs, score(outputs, targets, self.config)


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
    watch: Watcher | None = None,
    workers: int = 0,
    checkpoint_seconds: float = 60.0,
    resume: bool = True,
) -> Run:
    """Train a detector and write its run to the folder `out`; a training of the same key that was killed goes on from its last checkpoint.

    code: the hash of the code that runs, part of the record's key. start: the run whose weights it goes on from. max_steps: stop after
    so many effective batches. watch: called with the tables of the probe of gradients, or of a detector at points of the probe of conflict,
    at each of its looks. workers: processes that load batches. checkpoint_seconds: how much work a kill may cost; inf for no checkpoints.
    resume: False drops the checkpoints that a training of this key has left, and starts anew.
    Raises NonFiniteLoss; an interrupted or failed run leaves `out` as it was.
    """
    started = time.perf_counter()
    torch.manual_seed(config.seed)
    fabric = make_fabric(config.precision)
    run = Training(config, fabric, start)
    if config.calibrate_batchnorm:
        recompute(run.detector.backbone, train_data.sample(min(config.calibrate_batchnorm, len(train_data))).images)
    if config.cache_features:
        train_data, val_data = (FeatureData(data, run.detector.backbone, fabric.device, progress) for data in (train_data, val_data))
    if config.train_images is not None:
        train_data = train_data.sample(config.train_images)
    steps = int(min(config.epochs * math.ceil(len(train_data) / config.effective_batch), max_steps or math.inf))
    if workers == 0 and not (config.mosaic or config.augment):  # which change pictures one by one, on the CPU
        train_data, val_data = resident((train_data, val_data), run.detector, fabric.device)
    plain_data, train_data = train_data, drawn_from(train_data, config, steps)
    rank, world = fabric.global_rank, fabric.world_size
    batches = loader(train_data, config.effective_batch, shuffle=True, seed=config.seed, workers=workers, rank=rank, world=world)
    run.schedule(steps)
    fingerprints = fingerprints_of(train_data, val_data, start)
    key = run_key(config, fingerprints, code)
    checkpoints = Checkpoints(beside(Path(out)), f"{key} {steps} {world}")
    if not resume:
        checkpoints.remove()
    if math.isfinite(checkpoint_seconds) and (found := checkpoints.latest()) is not None:
        try:
            run.load(*found)
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:  # whole by its digests, and doctored
            raise InputError(f"{checkpoints.folder}: the checkpoint is not of this training; remove it to train from the start") from error
    at = run.progress
    started -= at.seconds
    saved = time.perf_counter()

    def save_if_due() -> None:
        nonlocal saved
        if rank == 0 and time.perf_counter() - saved >= checkpoint_seconds:
            at.seconds = time.perf_counter() - started
            checkpoints.save(at.step, run.detector.state_dict(), run.state())
            saved = time.perf_counter()

    description = f"{config.experiment}/{config.arm} seed {config.seed}"
    with tqdm(total=steps, initial=at.step, desc=description, unit="step", disable=not progress or rank > 0) as bar:
        while at.step < steps:
            batches.set_epoch(at.epoch, at.batch)
            run.model.train()
            for images, targets in batches:
                try:
                    logged = run.step(images, targets, batches.size(at.batch), watch if rank == 0 else None)
                except NonFiniteLoss:
                    checkpoints.remove()
                    raise
                at.curve.append({"step": at.step, "epoch": at.epoch, "lr": run.rate.get_last_lr()[0], **logged})
                run.rate.step()
                at.step += 1
                at.batch += 1
                bar.update()
                bar.set_postfix({name: f"{value:.3g}" for name, value in logged.items()}, refresh=False)
                if at.step == steps:
                    break
                if at.batch < len(batches):  # an epoch's last step waits: its scores belong to the same checkpoint
                    save_if_due()
            if rank == 0 and (at.step == steps or (at.epoch + 1) % config.score_epochs == 0):
                before = time.perf_counter()
                outputs, metrics = run.score(val_data.images, val_data.targets)
                at.scoring_seconds += time.perf_counter() - before
                row = {"epoch": at.epoch, "step": at.step, "map": metrics["map"], "recall_0.05": metrics["cuts"]["0.05"]["recall"]}
                at.epochs.append(row | {f"confidence_{where}": value for where, value in metrics.get("confidence", {}).items()})
            at.epoch, at.batch = at.epoch + 1, 0
            if at.step < steps:
                save_if_due()
            fabric.barrier()

    if rank > 0:
        fabric.barrier()
        return read_run(out)
    metrics |= {"resampled": resampled(outputs, val_data.targets, config), **aftermath(run, plain_data, val_data)}
    record = {
        "key": key,
        "config": config.to_dict(),
        "data": {"fingerprints": fingerprints, "train_images": len(train_data), "val_images": len(val_data)}
        | ({"reencoded": plain_data.reencoded} if plain_data.reencoded else {}),
        "code": code,
        "steps": at.step,
        "parameters": {
            "backbone": sum(p.numel() for p in run.detector.backbone.parameters()),
            "head": sum(p.numel() for p in run.detector.head.parameters()),
        },
        "metrics": metrics,
        "host": environment(str(fabric.device))
        | {"processes": world, "precision": run.precision.precision, "halvings": at.halvings, "skipped": at.skipped},
        "times": {"total_s": time.perf_counter() - started, "scoring_s": at.scoring_seconds, "resumed": at.resumed},
    }
    tables = {"curves": pd.DataFrame(at.curve), "epochs": pd.DataFrame(at.epochs), **run.probe.tables()}
    tables |= {"noise": run.noise.table(), "conflict": run.conflict.table()}
    tables |= {"scores": cell_scores(outputs[:COMPARED], config), "detections": shown(outputs, config)}
    written = keep(Path(out), record, tables, run.detector.state_dict() if keep_weights else {})
    checkpoints.remove()
    fabric.barrier()
    return written


def norms(curve: list[dict[str, Any]], clip_norm: float | None) -> dict[str, float]:
    """The gradient's norm before clipping, over the steps after the first fifth: `median`, `log_spread` (the deviation of its logarithm)
    and the share of steps that were `clipped`."""
    found = np.array([row["gradient_norm"] for row in curve[len(curve) // 5 :]])
    found = found[np.isfinite(found) & (found > 0)]
    if not len(found):
        return {"median": math.nan, "log_spread": math.nan, "clipped": math.nan}
    clipped = float((found > clip_norm).mean()) if clip_norm is not None else 0.0
    return {"median": float(np.median(found)), "log_spread": float(np.log(found).std()), "clipped": clipped}


def aftermath(run: Training, train_data: VocData, val_data: VocData) -> dict[str, Any]:
    """What is asked of a trained detector once: its scores on pictures it has seen, what became of BatchNorm, as how large
    a batch mosaics act, whether gradients add up. `train_data`: its pictures as they are."""
    config, detector = run.config, run.detector
    # How well the detector does on pictures it has seen tells underfitting from overfitting (claim C1e).
    seen = train_data.sample(min(len(val_data), len(train_data)))
    found = {"train_split": run.score(seen.images, seen.targets)[1], "gradient_norm": norms(run.progress.curve, config.clip_norm)}
    found["probes"] = run.probe.summary() | run.conflict.summary() | {"noise_scale": run.noise.scale()}
    if config.batchnorm == "train":
        found["batchnorm"] = drift(run.statistics_before, snapshot(detector.backbone))
        with recomputed(detector, seen.images):
            again = run.score(val_data.images, val_data.targets)[1]
        found["batchnorm"] |= {"map_recomputed": again["map"]}
        if "object_iou" in again:
            found["batchnorm"] |= {"object_iou_recomputed": again["object_iou"]["best"]}
    if config.mosaic and (sizes := [size for size in mosaic_noise.MICRO_BATCHES if 2 * size <= len(train_data)]):
        table = mosaic_noise.factors(mosaic_noise.measure(detector, run.loss, train_data, config.seed, sizes))
        found["mosaic"] = {str(micro): row.to_dict() for micro, row in table.iterrows()}
    if config.micro_batch < config.effective_batch:
        images, targets = train_data.__getitems__(list(range(min(config.effective_batch, len(train_data)))))
        target = run.grid.encode(targets, config.train_on_difficult).to(run.fabric.device)
        inputs = to_float(images, run.fabric.device)
        found["accumulation_gap"] = gap(detector, run.loss, inputs, target, config.micro_batch, config.cache_features)
    return found
