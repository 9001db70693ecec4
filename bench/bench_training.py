"""Training beside a plain loop, and what its parts cost.

Inside: `probes`, `cached_features`, `remedied`, `training_steps` (the rows), `PlainVoc`, `convolution_peak` and `step_flops` (what a
machine can do, and what a step asks for).
"""

import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode
from torchvision.transforms.v2.functional import to_dtype, to_image

from bench.contest import Row, contest, seconds
from emojivoc.emoji import draw, generate
from trial.instruments.probes import GradientProbe
from voc_tree.tree import Split
from yolo_core.data.voc import VocData, loader
from yolo_core.detector.model import Detector
from yolo_core.experiments import resolve
from yolo_core.training.compilation import compiled, explained
from yolo_core.training.config import RunConfig
from yolo_core.training.scoring import to_float
from yolo_core.training.step import make_optimiser


def _pocket_batch(experiment: str = "focal", arm: str = "mse") -> tuple[RunConfig, Detector, Tensor, Tensor]:
    """A detector of the pocket profile, Exp 3's unless another is named, and a batch of scenes with its targets."""
    config = resolve(experiment, arm, "pocket")
    scenes = [draw("train", i, config.image_size) for i in range(config.effective_batch)]
    images = torch.stack([torch.from_numpy(np.array(scene.picture)).permute(2, 0, 1) for scene in scenes])
    targets = [
        {
            "boxes": torch.tensor([item.box for item in scene.items]).float() / config.image_size,
            "labels": torch.tensor([item.label for item in scene.items]),
        }
        for scene in scenes
    ]
    return config, config.detector().to(memory_format=torch.channels_last), images, config.grid().encode(targets)


def _update(detector: Detector, optimiser: torch.optim.Optimizer, terms: Mapping[str, Tensor], config: RunConfig) -> None:
    """What a training step does once it has the loss."""
    sum(terms.values()).backward()
    torch.nn.utils.clip_grad_norm_(detector.parameters(), config.clip_norm)
    optimiser.step()
    optimiser.zero_grad()


def probes(repeats: int = 5, steps: int = 5) -> Row:
    """The row of the gradient probe: seconds a training step of Exp 3, with a look every so many steps as the pocket profile has it, and
    without. A ratio of 0.91 or more: at most a tenth slower."""
    config, detector, images, target = _pocket_batch()
    with torch.no_grad():
        features = detector.backbone(to_float(images, "cpu"))
    detector.train()
    loss, optimiser = config.loss(), make_optimiser(detector, config)

    def step(probe: GradientProbe | None) -> None:
        outputs = detector(features, features=True)
        terms = loss(outputs, target)
        if probe is not None:
            probe.observe(0, detector, outputs, target, terms, len(outputs))
        _update(detector, optimiser, terms, config)

    contestants = {"plain": lambda: [step(None) for _ in range(steps)], "look": lambda: step(GradientProbe(1, loss))}
    _, times = contest(contestants, repeats)
    plain = [spent / steps for spent in times["plain"]]
    mixed = [p + (look - p) / config.probe_steps for p, look in zip(plain, times["look"], strict=True)]
    return Row("itself", f"training step of Exp 3, a look every {config.probe_steps} steps, none", "s", mixed, plain)


def cached_features(repeats: int = 5) -> Row:
    """The row of the frozen backbone: seconds a batch for its part of an epoch, its features read back from the disk's cache, and run."""
    _, detector, images, _ = _pocket_batch()
    detector.eval()
    with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
        shown = detector.backbone(to_float(images, "cpu"))
        file = Path(folder) / "features.npy"
        np.save(file, np.tile(shown.half().numpy(), (8, 1, 1, 1)))
        kept = torch.from_numpy(np.load(file, mmap_mode="c"))
        order = torch.randperm(len(kept))[: len(images)].sort().values
        read, run = (lambda: to_float(kept[order], "cpu")), (lambda: detector.backbone(to_float(images, "cpu")))
        _, times = contest({"ours": read, "theirs": run}, repeats)
    return Row("itself", "the frozen backbone's part of an epoch, cached, run", "s", **times)


def remedied(repeats: int = 5) -> Row:
    """The row of the remedies: seconds a picture that trains the detector of every idea on three strides, and Exp 3's, the frozen
    backbone run each time. A ratio of 0.5 or more: at most twice the time."""

    def training(experiment: str, arm: str) -> Callable[[], None]:
        config, detector, images, target = _pocket_batch(experiment, arm)
        loss, optimiser = config.loss(), make_optimiser(detector.train(), config)

        return lambda: _update(detector, optimiser, loss(detector(to_float(images, "cpu")), target), config)

    arms = {"ours": ("remedies", "all"), "theirs": ("focal", "mse")}
    _, times = contest({name: training(*arm) for name, arm in arms.items()}, repeats)
    batch = resolve(*arms["ours"], "pocket").effective_batch
    per_picture = {name: [spent / batch for spent in found] for name, found in times.items()}
    return Row("itself", "training every idea on three strides, Exp 3, nothing cached", "s/image", **per_picture)


class PlainVoc(Dataset):
    """What a first implementation does: decode and resize a picture each time it is asked for."""

    def __init__(self, root: Path, size: int) -> None:
        self.split, self.size = Split(root, "train"), size

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, index: int) -> Tensor:
        image, _ = self.split[index]
        return to_dtype(to_image(image.convert("RGB").resize((self.size, self.size))), torch.float32, scale=True)


def convolution_peak(repeats: int = 2) -> float:
    """FLOP/s of the fastest of a few large 3x3 convolutions, forward, on as many threads as training has: what this machine can do."""
    rates = []
    for channels, side in ((128, 56), (256, 28), (512, 14)):
        maps = torch.rand(16, channels, side, side).contiguous(memory_format=torch.channels_last)
        weight = torch.rand(channels, channels, 3, 3).contiguous(memory_format=torch.channels_last)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            conv2d(maps, weight, padding=1)
            counted = counter.get_total_flops()
        with torch.no_grad():
            rates += [counted / seconds(lambda maps=maps, weight=weight: conv2d(maps, weight, padding=1)) for _ in range(repeats)]
    return max(rates)


def step_flops(detector: nn.Module, size: int) -> int:
    """Floating-point operations of a picture's forward and backward pass: those of convolutions and matrix products."""
    with FlopCounterMode(display=False) as counter:
        detector(torch.rand(2, 3, size, size)).square().mean().backward()
    detector.zero_grad()
    return counter.get_total_flops() // 2


def training_steps(images: int = 32, repeats: int = 3) -> list[Row]:
    """Four rows of training ResNet18 under the compressed head: its throughput, compiled and warm, beside a plain eager loop's on the
    same net (decoding each time, default layout, an optimiser kernel a tensor); the same in mixed precision, which gains where the
    processor computes in bfloat16; the share of the first that is spent waiting for data; and its arithmetic beside the machine's fastest
    convolution, both in float32."""
    config = RunConfig(backbone="resnet18", image_size=224, optimiser="adam", lr=1e-4)
    plain, fast = config.detector(), config.detector().to(memory_format=torch.channels_last)
    slow_optimiser, optimiser = torch.optim.Adam(plain.parameters(), lr=1e-4, foreach=False), make_optimiser(fast, config)
    flops, net = step_flops(plain, config.image_size), compiled(fast)
    waits: list[float] = []

    def pass_plain() -> None:
        for batch in DataLoader(PlainVoc(root, config.image_size), config.effective_batch):
            plain(batch).square().mean().backward()
            slow_optimiser.step()
            slow_optimiser.zero_grad()

    def pass_ours(half: bool = False) -> None:
        before = time.perf_counter()
        for batch, _ in loader(data, config.effective_batch, shuffle=True, seed=0):
            inputs = to_float(batch, "cpu")
            waits.append(time.perf_counter() - before)
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                outputs = fast(inputs) if half else net(inputs)  # what compiling gains in float32 it loses here
            outputs.float().square().mean().backward()
            optimiser.step()
            optimiser.zero_grad()
            before = time.perf_counter()

    with tempfile.TemporaryDirectory() as folder, explained():
        root = Path(folder) / "scenes"
        generate(root, images, 1, size=config.image_size, progress=False)
        data = VocData(root, "train", config.image_size)
        theirs, ours, halves, shares, peaks = [], [], [], [], []
        pass_plain(), pass_ours(), pass_ours(half=True)  # compiling, and whatever else a first time costs
        for _ in range(repeats):
            theirs.append(seconds(pass_plain) / images)
            waits.clear()
            ours.append(seconds(pass_ours) / images)
            shares.append(sum(waits) / (ours[-1] * images))
            halves.append(seconds(lambda: pass_ours(half=True)) / images)
            peaks.append(convolution_peak() / 1e9)
    rates = [flops / 1e9 / spent for spent in ours]
    return [
        Row("training", "training ResNet18 at 224 px, compiled, a plain eager loop", "s/image", ours, theirs),
        Row("training", "the same in mixed precision (bfloat16), that loop in float32", "s/image", halves, theirs),
        Row("itself", "share of the compiled one spent waiting for data, all of it", "share", shares, [1.0] * repeats),
        Row("itself", "its arithmetic, the fastest convolution's", "GFLOP/s", rates, peaks, rate=True),
    ]
