"""Steps of a real training on a chosen device.

Inside: `scenes`, `noise` (pictures), `training`, `first_steps`, `epoch_of`, `wait`.
"""

import time
from itertools import islice

import torch
from card.report import DEVICE
from torch import Tensor

from groundwork.fabric import Fabric
from trial.register import canary
from trial.watch import Instruments
from yolo_core import experiments
from yolo_core.data.voc import VocData, loader
from yolo_core.training.config import RunConfig
from yolo_core.training.step import Training
from yolo_core.training.train import make_fabric


def scenes(rehearse: bool) -> tuple[VocData, VocData]:
    """The smoke profile's pictures to train on and to score; in a rehearsal two batches of them and one."""
    train, val = experiments.profile_data("smoke", progress=False)
    return (train.sample(32), val.sample(16)) if rehearse else (train, val)


def wait() -> None:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def training(config: RunConfig, steps: int, device: torch.device = DEVICE) -> Training:
    """A training at its start, the same weights on every device."""
    torch.manual_seed(config.seed)
    fabric = make_fabric(config.precision) if device == DEVICE else Fabric(accelerator="cpu", devices=1)
    run = Training(config, fabric, None, Instruments())
    run.schedule(steps)
    run.model.train()
    return run


def first_steps(config: RunConfig, data: VocData, steps: int = 3, device: torch.device = DEVICE) -> tuple[list[float], Training]:
    """The losses of a training's first steps on a split, and where it stands then."""
    run, losses = training(config, steps, device), []
    for images, targets in islice(loader(data, config.effective_batch, shuffle=True, seed=config.seed), steps):
        logged = run.step(images, targets, len(images))
        losses.append(sum(value for name, value in logged.items() if name in canary.TERMS))
        run.rate.step()
        run.progress.step += 1
    return losses, run


def noise(config: RunConfig, count: int) -> tuple[Tensor, list[dict[str, Tensor]]]:
    """Noise, with an object in each."""
    one = {"boxes": torch.tensor([[0.2, 0.2, 0.7, 0.8]]), "labels": torch.tensor([3]), "difficult": torch.tensor([False])}
    return torch.randint(0, 256, (count, 3, config.image_size, config.image_size), dtype=torch.uint8), [dict(one) for _ in range(count)]


def epoch_of(run: Training, data: VocData, epoch: int) -> float:
    """Train on every batch once; seconds until each lay on the device, added up."""
    batches, waited = loader(data, run.config.effective_batch, shuffle=True, seed=0), 0.0
    batches.set_epoch(epoch)
    before = time.perf_counter()
    for images, targets in batches:
        images = images.to(DEVICE, non_blocking=True)
        wait()
        waited += time.perf_counter() - before
        run.step(images, targets, len(images))
        before = time.perf_counter()
    return waited
