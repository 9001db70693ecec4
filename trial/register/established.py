"""An established detector on the same scenes: torchvision's FCOS on the same frozen backbone, after as many pictures.

Inside: `train_fcos` (its training and its score), `fcos` (the detector), `stored` (the committed score), `told`, `place`.

A score that no remedy of ours reaches may be out of reach, or out of ours. FCOS (Tian et al., 2019) has three strides, a decoupled head,
an assignment by place and scale, focal loss and generalised IoU; head, targets, loss and decoding are torchvision's own. It is run for
one seed that no verdict uses, and judged by this package's mAP.
"""

import json
import time
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection import FCOS
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import FeaturePyramidNetwork
from tqdm.auto import tqdm

from groundwork.environment import environment
from groundwork.errors import InputError, unreadable
from trial.instruments.scored import of_detections
from trial.register import committed, reference
from yolo_core import experiments
from yolo_core.data.voc import VocData, loader
from yolo_core.detector.backbones import Backbone, build_backbone
from yolo_core.training.config import RunConfig
from yolo_core.training.scoring import to_float
from yolo_core.training.step import rate_factor

STRIDES = (8, 16, 32)
WIDTH = 128  # channels of the pyramid and the head: those of this package's own head for points
RATE = 1e-3  # AdamW's usual; the write-up's remedies had theirs chosen in pilots, this one had none


class Levels(nn.Module):
    """A backbone that stands still, with torchvision's feature pyramid above it."""

    def __init__(self, net: Backbone) -> None:
        super().__init__()
        self.net, self.out_channels = net.requires_grad_(False), WIDTH
        channels = [net.channels if stride == net.stride else net.finer[stride] for stride in STRIDES]
        self.pyramid = FeaturePyramidNetwork(channels, WIDTH)

    def train(self, mode: bool = True) -> "Levels":
        """As `nn.Module.train`; the backbone's BatchNorm and stochastic depth stay as in eval mode."""
        super().train(mode)
        self.net.eval()
        return self

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        maps = self.net.maps(images)
        return self.pyramid(OrderedDict((str(stride), maps[stride]) for stride in STRIDES))


def fcos(config: RunConfig, classes: int = 20) -> FCOS:
    """torchvision's FCOS on a configuration's backbone; one anchor point a cell, detections of every score that mAP looks at."""
    net = build_backbone(config.backbone, config.image_size, config.weights, config.width, config.input_scale)
    size = config.image_size
    return FCOS(
        Levels(net),
        classes,
        min_size=size,
        max_size=size,
        image_mean=[0.0] * 3,  # the backbone normalises itself
        image_std=[1.0] * 3,
        anchor_generator=AnchorGenerator(tuple((stride,) for stride in STRIDES), ((1.0,),) * len(STRIDES)),
        score_thresh=1e-3,
        nms_thresh=0.5,
    )


def taught(target: dict[str, Tensor], side: int) -> dict[str, Tensor]:
    """A target as torchvision takes it, difficult objects left out as for every other detector here."""
    easy = ~target["difficult"]
    return {"boxes": target["boxes"][easy] * side, "labels": target["labels"][easy]}


@torch.no_grad()
def detections(model: FCOS, data: VocData, batch: int = 32) -> list[dict[str, Tensor]]:
    """What it finds in every picture, boxes in [0, 1]."""
    found, side = [], data.images.shape[-1]
    for images in data.images.split(batch):
        found += [{**d, "boxes": d["boxes"] / side} for d in model.eval()(list(to_float(images, "cpu")))]
    return found


def train_fcos(profile: str, seed: int = 97, max_steps: int | None = None, progress: bool = True) -> dict[str, Any]:
    """Train on a profile's scenes with the epochs, batch, schedule and clipping of the experiment "remedies"; returns the record:
    `metrics` on val, `train_split` on as many training scenes, what it was run on. InputError for a seed that verdicts use."""
    if seed in reference.SEEDS + reference.MORE_SEEDS + reference.FRESH_SEEDS:
        raise InputError(f"--seed {seed} is one that verdicts are drawn from; give another, 97 for instance")
    config = replace(experiments.resolve("remedies", "all", profile, seed), lr=RATE)
    train, val = experiments.profile_data(profile, progress)
    started = time.perf_counter()
    torch.manual_seed(seed)
    model = fcos(config).to(memory_format=torch.channels_last)
    weights = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(weights, RATE, weight_decay=config.weight_decay, fused=True)
    batches = loader(train, config.effective_batch, shuffle=True, seed=seed)
    steps = min(config.epochs * len(batches), max_steps or config.epochs * len(batches))
    rate = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: rate_factor(step, steps, config))
    with tqdm(total=steps, desc=f"FCOS seed {seed}", unit="step", disable=not progress) as bar:
        for step in range(steps):
            if step % len(batches) == 0:
                batches.set_epoch(step // len(batches))
                epoch = iter(batches)
            images, targets = next(epoch)
            terms = model.train()(list(to_float(images, "cpu")), [taught(t, config.image_size) for t in targets])
            loss = sum(terms.values())
            if not torch.isfinite(loss):
                raise ArithmeticError(f"step {step}: the loss of FCOS is not finite")
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, config.clip_norm)
            optimiser.step()
            rate.step()
            bar.update()
            bar.set_postfix({name: f"{term.item():.3g}" for name, term in terms.items()}, refresh=False)
    seconds = time.perf_counter() - started
    seen = train.sample(len(val))
    return {
        "detector": "torchvision FCOS",
        "profile": profile,
        "seed": seed,
        "steps": steps,
        "train_images": len(train),
        "data": {"train": train.fingerprint, "val": val.fingerprint},
        "parameters": sum(p.numel() for p in model.parameters()),
        "metrics": of_detections(detections(model, val), val.targets),
        "train_split": of_detections(detections(model, seen), seen.targets),
        "host": environment("cpu"),
        "train_seconds": seconds,
    }


def place(profile: str) -> Path:
    """Where the committed score lies."""
    return committed.records_folder(profile) / "established.json"


def stored(profile: str) -> dict[str, Any] | None:
    """The committed score; None where there is none, or it was made on other scenes than today's."""
    if not place(profile).exists():
        return None
    try:
        record = json.loads(place(profile).read_text(encoding="utf-8"))
        scenes, _ = dict(record["data"]), told(record)
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        again = "bring back the one that was committed, or remove it"
        raise unreadable(place(profile), error) or InputError(f"{place(profile)}: not FCOS's score ({error!r}); {again}") from error
    train, val = experiments.profile_data(profile, progress=False)
    return record if committed.same_scenes(scenes, {"train": train.fingerprint, "val": val.fingerprint}) else None


def told(record: dict[str, Any] | None) -> str:
    """The score in one line."""
    if record is None:
        return "torchvision's FCOS has not been run on these scenes"
    found = [record["metrics"]["map"], record["metrics"]["map_class_agnostic"], record["train_split"]["map"]]
    return "torchvision's FCOS, seed {}: mAP@.5 {:.2f}, class-agnostic {:.2f}, on training scenes {:.2f}".format(record["seed"], *found)
