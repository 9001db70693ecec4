"""The training loop.

Inside: `train`, `drawn_from`, `make_fabric`.

One code path from a laptop's CPU to a GPU: Lightning Fabric places the model, casts, and scales. Under torchrun each process takes its
part of every effective batch (step.py); the first one scores and writes.
"""

import math
import time
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from tqdm.auto import tqdm

from groundwork.checkpoint import Checkpoints, beside
from groundwork.environment import environment
from groundwork.errors import InputError, unreadable
from groundwork.fabric import Fabric, started
from yolo_core.data.augment import Augmented, Mosaic
from yolo_core.data.voc import Loader, VocData, loader
from yolo_core.training.calibration import recompute
from yolo_core.training.config import RunConfig
from yolo_core.training.features import FeatureData
from yolo_core.training.observer import Observer
from yolo_core.training.precision import arithmetic
from yolo_core.training.records import Run, read_run
from yolo_core.training.resident import resident
from yolo_core.training.step import NonFiniteLoss, Training
from yolo_core.training.writing import keep, run_key


def train(
    config: RunConfig,
    train_data: VocData,
    val_data: VocData,
    out: Path,
    *,
    code: str,
    start: Run | None = None,
    observer: Observer | None = None,
    max_steps: int | None = None,
    progress: bool = True,
    keep_weights: bool = True,
    workers: int = 0,
    checkpoint_seconds: float = 60.0,
    resume: bool = True,
) -> Run:
    """Train a detector and write its run to the folder `out`; a training of the same key that was killed goes on from its last checkpoint.

    code: the hash of the code that runs, part of the record's key. start: the run whose weights it goes on from. max_steps: in effective
    batches. workers: processes that load batches. checkpoint_seconds: how much work a kill may cost; inf: none is written. resume:
    False drops this key's checkpoints. Raises NonFiniteLoss; an interrupted or failed run leaves `out` as it was.
    """
    torch.manual_seed(config.seed)
    fabric = make_fabric(config.precision)
    run = Training(config, fabric, start, observer)
    if config.calibrate_batchnorm:
        recompute(run.detector.backbone, train_data.sample(min(config.calibrate_batchnorm, len(train_data))).images)
    train_data, val_data = _at_hand(run, train_data, val_data, workers, progress)
    steps = int(min(config.epochs * math.ceil(len(train_data) / config.effective_batch), max_steps or math.inf))
    first, processes = fabric.global_rank == 0, {"rank": fabric.global_rank, "world": fabric.world_size}
    drawn = drawn_from(train_data, config, steps)
    batches = loader(drawn, config.effective_batch, shuffle=True, seed=config.seed, workers=workers, **processes)
    run.schedule(steps)
    fingerprints = fingerprints_of(train_data, val_data, start)
    key = run_key(config, fingerprints, code)
    whole = f"{key} {steps} {fabric.world_size} {run.observer.code()} {start and start.record.get('steps')}"
    checkpoints = Checkpoints(beside(Path(out)), whole, checkpoint_seconds)
    _go_on(run, checkpoints, resume)
    at, description = run.progress, f"{config.experiment}/{config.arm} seed {config.seed}"
    with tqdm(total=steps, initial=at.step, desc=description, unit="step", disable=not (progress and first)) as bar:
        while at.step < steps:
            try:
                _epoch(run, batches, steps, checkpoints if first else None, bar)
                if first and (at.step == steps or (at.epoch + 1) % config.score_epochs == 0):
                    outputs, metrics = _score(run, val_data)
            except NonFiniteLoss:
                checkpoints.remove()
                raise
            at.epoch, at.batch = at.epoch + 1, 0
            if first and at.step < steps and checkpoints.due:
                checkpoints.save(at.step, run.detector.state_dict(), run.state())
            fabric.barrier()
    if not first:
        return read_run(fabric.broadcast(""))  # where the first has written it
    found, tables = run.observer.finish(outputs, train_data, val_data)
    data = {"fingerprints": fingerprints, "train_images": len(train_data), "val_images": len(val_data)}
    data |= {"reencoded": train_data.reencoded} if train_data.reencoded else {}
    data |= {"start_steps": start.record.get("steps")} if start else {}  # its key does not hold them
    record = {"key": key, "config": config.to_dict(), "data": data, "code": code, "metrics": metrics | found, **_circumstances(run)}
    tables = {"curves": pd.DataFrame(at.curve), "epochs": pd.DataFrame(at.epochs), **tables}
    written = keep(Path(out), record, tables, run.detector.state_dict() if keep_weights else {})
    checkpoints.remove()
    fabric.broadcast(str(written.folder))
    return written


def _epoch(run: Training, batches: Loader, steps: int, checkpoints: Checkpoints | None, bar: tqdm) -> None:
    """Take the steps of an epoch from where the training stands, at most up to `steps` in all."""
    at = run.progress
    batches.set_epoch(at.epoch, at.batch)
    run.model.train()
    for images, targets in batches:
        logged = run.step(images, targets, batches.size(at.batch))
        at.curve.append({"step": at.step, "epoch": at.epoch, "lr": run.rate.get_last_lr()[0], **logged})
        run.rate.step()
        at.step += 1
        at.batch += 1
        bar.update()
        bar.set_postfix({name: f"{value:.3g}" for name, value in logged.items()}, refresh=False)
        if at.step == steps:
            break
        if checkpoints is not None and checkpoints.due and at.batch < len(batches):  # the last step waits for its epoch's scores
            checkpoints.save(at.step, run.detector.state_dict(), run.state())


def _score(run: Training, data: VocData) -> tuple[torch.Tensor, dict[str, Any]]:
    """The outputs on a split and their figures; a row of them joins the table of epochs."""
    at, before = run.progress, time.perf_counter()
    outputs, metrics = run.score(data.images, data.targets)
    at.scoring_seconds += time.perf_counter() - before
    row = {"epoch": at.epoch, "step": at.step, "map": metrics["map"], "recall_0.05": metrics["cuts"]["0.05"]["recall"]}
    at.epochs.append(row | {f"confidence_{where}": value for where, value in metrics.get("confidence", {}).items()})
    return outputs, metrics


def _circumstances(run: Training) -> dict[str, Any]:
    """What a record says besides its result: how long the training was, how large the detector, what watched, on what machine."""
    at, parts = run.progress, {"backbone": run.detector.backbone, "head": run.detector.head}
    here = {"processes": run.fabric.world_size, "precision": run.precision.precision, "halvings": at.halvings, "skipped": at.skipped}
    return {
        "observer": run.observer.code(),
        "steps": at.step,
        "parameters": {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()},
        "host": environment(str(run.fabric.device)) | here,
        "times": {"total_s": time.perf_counter() - run.started, "scoring_s": at.scoring_seconds, "resumed": at.resumed},
    }


def _at_hand(run: Training, train_data: VocData, val_data: VocData, workers: int, progress: bool) -> tuple[VocData, ...]:
    """The two splits as steps take them: features of a still backbone, the sample asked for, on the device where there is room."""
    config, device, splits = run.config, run.fabric.device, (train_data, val_data)
    if config.cache_features:
        splits = tuple(FeatureData(data, run.detector.backbone, device, progress) for data in splits)
    if config.train_images is not None:
        splits = splits[0].sample(config.train_images), splits[1]
    if workers or config.mosaic or config.augment:  # which change pictures one by one, on the CPU
        return splits
    return resident(splits, run.detector, device)


def _go_on(run: Training, checkpoints: Checkpoints, resume: bool) -> None:
    """Load the last checkpoint, if there is one and it is wanted. InputError for one that is whole by its digests, and doctored."""
    if not resume:
        checkpoints.remove()
    if (found := checkpoints.latest()) is not None and resume:
        try:
            run.load(*found)
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise unreadable(checkpoints.folder, error) or InputError(  # a card's memory, half filled by others
                f"{checkpoints.folder}: the checkpoint is not of this training; remove it to train from the start"
            ) from error
    if run.fabric.broadcast(run.progress.step) != run.progress.step:
        raise InputError(f"{checkpoints.folder}: not all processes find the same checkpoint there; name an --out on a disk that all share")


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
    """Fabric on one device, or on this process's share of those that torchrun has started; precision by Lightning's names."""
    return started(arithmetic(precision))


def fingerprints_of(train_data: VocData, val_data: VocData, start: Run | None) -> dict[str, str]:
    """What a run was made from: its two splits and, where it goes on from another run, that run's key."""
    prints = {"train": train_data.fingerprint, "val": val_data.fingerprint}
    return prints if start is None else prints | {"start": start.record["key"]}
