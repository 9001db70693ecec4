"""The package's work beside its peers', timed in one run on the same arrays.

Inside: `run` (all rows), `average_precision`, `scenes`, `probes`, `cached_features`, `training_steps` (its parts), `table` (to read in a
terminal), `crowd` (detections of VOC 2012's size, made up), `peer`, `convolution_peak` and `step_flops` (what a machine can do, and what
a step asks for).

A ratio above 1 says how many times faster this package is. Every repeat times all contestants, one after another, so that a machine
that slows down slows all of them; times and ratio are medians over the repeats, the interval holds the least and the greatest ratio.
"""

import contextlib
import importlib
import io
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode
from torchvision.transforms.v2.functional import to_dtype, to_image

from yolo_core.data.annotation import CLASSES
from yolo_core.data.emoji import draw, generate, scenes_per_second
from yolo_core.data.voc import Split, VocData, loader
from yolo_core.detector.metrics import voc_ap
from yolo_core.detector.model import Detector
from yolo_core.errors import InputError
from yolo_core.study.compilation import compiled, explained
from yolo_core.study.config import RunConfig
from yolo_core.study.experiments import resolve
from yolo_core.study.probes import GradientProbe
from yolo_core.study.scoring import to_float
from yolo_core.study.train import make_optimiser

# VOC 2012 val holds so many images, of so many objects each; a detector leaves about 30 boxes after suppression.
IMAGES, OBJECTS, DETECTIONS = 5823, 2.7, 30
PEERS = ("faster-coco-eval", "pycocotools")
SCENES_WANTED = 60  # a second on one core: 2,000 scenes within the time a reader waits for a page


def crowd(images: int, per_image: int = DETECTIONS, seed: int = 0) -> tuple[list[dict], list[dict]]:
    """Made-up (predictions, targets) in pixels of 500 x 375 pictures: `per_image` detections each, half of them near an object."""
    rng = np.random.default_rng(seed)
    scale = np.array([500.0, 375.0])

    def boxes(count: int) -> np.ndarray:
        size = scale * rng.uniform(0.05, 0.8, (count, 2))
        corner = rng.uniform(0, 1, (count, 2)) * (scale - size)
        return np.concatenate([corner, corner + size], -1)

    predictions, targets = [], []
    for count in (1 + rng.poisson(OBJECTS - 1, images)).tolist():
        truth, labels = boxes(count), rng.integers(len(CLASSES), size=count)
        near = rng.random(per_image) < 0.5
        chosen = rng.integers(count, size=per_image)
        found = np.where(near[:, None], truth[chosen] + rng.normal(0, 15, (per_image, 4)), boxes(per_image))
        found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
        kinds = np.where(near & (rng.random(per_image) < 0.8), labels[chosen], rng.integers(len(CLASSES), size=per_image))
        scores = rng.beta(1 + 2 * near, 4)
        predictions.append({"boxes": torch.tensor(found).float(), "labels": torch.tensor(kinds), "scores": torch.tensor(scores).float()})
        targets.append({"boxes": torch.tensor(truth).float(), "labels": torch.tensor(labels)})
    return predictions, targets


class Peer:
    """A COCO evaluator on our arrays: `evaluate` gives its AP at IoU 0.5.

    The work is made the same: one IoU threshold instead of ten, one range of areas instead of four, and 100 detections an image, which
    is more than there are. Its ground truth and detections are loaded and indexed here, untimed, while our time includes gathering the
    lists of dicts: what is unequal is in the peer's favour. (AP differs in the third digit: COCO samples 101 recalls, and offers a
    detection the free object it overlaps most, VOC the one it overlaps most.)
    """

    def __init__(self, coco: Any, evaluator: Any, predictions: list[dict], targets: list[dict]) -> None:
        self._evaluator = evaluator
        self._truth = coco()
        self._truth.dataset = {
            "info": {},
            "images": [{"id": image} for image in range(1, len(targets) + 1)],
            "categories": [{"id": label, "name": name} for label, name in enumerate(CLASSES, 1)],
            "annotations": [{**item, "id": i, "iscrowd": 0} for i, item in enumerate(_coco(targets), 1)],
        }
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools narrates
            self._truth.createIndex()
            self._found = self._truth.loadRes(_coco(predictions))

    def evaluate(self) -> float:
        with contextlib.redirect_stdout(io.StringIO()):
            run = self._evaluator(self._truth, self._found, "bbox")
            run.params.iouThrs = np.array([0.5])
            run.params.areaRng, run.params.areaRngLbl = [[0, 1e10]], ["all"]
            run.params.maxDets = [100]
            run.evaluate()
            run.accumulate()
        precision = run.eval["precision"]
        return float(precision[precision > -1].mean())


def _coco(items: list[dict]) -> list[dict]:
    """Detections or objects as COCO's results: xywh boxes, ids from 1."""
    results = []
    for image, item in enumerate(items, 1):
        xywh = torch.cat([item["boxes"][:, :2], item["boxes"][:, 2:] - item["boxes"][:, :2]], -1)
        scores = item.get("scores", torch.ones(len(xywh)))
        for bbox, label, score in zip(xywh.tolist(), item["labels"].tolist(), scores.tolist(), strict=True):
            results.append({"image_id": image, "category_id": label + 1, "bbox": bbox, "area": bbox[2] * bbox[3], "score": score})
    return results


def _peer_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.split(".")[0].replace("_", "-")
        raise InputError(f"bench: {package} is not installed; install the peers with pip install 'yolo-core[test]'") from error


def peer(name: str, predictions: list[dict], targets: list[dict]) -> Peer:
    """A peer by name, loaded with the arrays. InputError if it is not installed."""
    if name == "faster-coco-eval":
        package = _peer_module("faster_coco_eval")
        return Peer(package.COCO, package.COCOeval_faster, predictions, targets)
    return Peer(_peer_module("pycocotools.coco").COCO, _peer_module("pycocotools.cocoeval").COCOeval, predictions, targets)


def _seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _row(name: str, unit: str, ours: list[float], theirs: list[float], ratios: list[float]) -> dict[str, Any]:
    ours, theirs, ratio = (float(np.median(numbers)) for numbers in (ours, theirs, ratios))
    return {"name": name, "ours": ours, "theirs": theirs, "ratio": ratio, "interval": [min(ratios), max(ratios)], "unit": unit}


def average_precision(
    images: int = IMAGES, per_image: int = DETECTIONS, repeats: int = 5, beside: Sequence[str] = PEERS
) -> list[dict[str, Any]]:
    """A row a peer: seconds for the AP of so many images of so many detections."""
    predictions, targets = crowd(images, per_image)
    contestants = {"ours": lambda: voc_ap(predictions, targets)}
    contestants |= {name: peer(name, predictions, targets).evaluate for name in beside}
    times = {name: [] for name in contestants}
    for _ in range(repeats):
        for name, work in contestants.items():
            times[name].append(_seconds(work))
    ours = times.pop("ours")
    return [
        _row(
            f"AP of {images} images x {per_image} detections, {name}", "s", ours, theirs, [t / o for t, o in zip(theirs, ours, strict=True)]
        )
        for name, theirs in times.items()
    ]


def scenes(repeats: int = 3) -> dict[str, Any]:
    """The row of EmojiVOC: scenes a second on one core, beside the number asked for."""
    rates = [scenes_per_second() for _ in range(repeats)]
    return _row("EmojiVOC scenes of 224 px, the rate asked for", "scenes/s", rates, [SCENES_WANTED], [r / SCENES_WANTED for r in rates])


def _pocket_batch() -> tuple[RunConfig, Detector, Tensor, Tensor]:
    """The detector of Exp 3 in the pocket profile, and a batch of scenes with its targets."""
    config = resolve("focal", "mse", "pocket")
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


def probes(repeats: int = 5, steps: int = 5) -> dict[str, Any]:
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
        sum(terms.values()).backward()
        torch.nn.utils.clip_grad_norm_(detector.parameters(), config.clip_norm)
        optimiser.step()
        optimiser.zero_grad()

    step(None)
    plain, looks = [], []
    for _ in range(repeats):
        plain.append(_seconds(lambda: [step(None) for _ in range(steps)]) / steps)
        looks.append(_seconds(lambda: step(GradientProbe(1, loss))))
    mixed = [p + (look - p) / config.probe_steps for p, look in zip(plain, looks, strict=True)]
    name = f"training step of Exp 3, a look every {config.probe_steps} steps, none"
    return _row(name, "s", mixed, plain, [p / m for p, m in zip(plain, mixed, strict=True)])


def cached_features(repeats: int = 5) -> dict[str, Any]:
    """The row of the frozen backbone: seconds a batch for its part of an epoch, its features read back from the disk's cache, and run."""
    _, detector, images, _ = _pocket_batch()
    detector.eval()
    with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
        shown = detector.backbone(to_float(images, "cpu"))
        file = Path(folder) / "features.npy"
        np.save(file, np.tile(shown.half().numpy(), (8, 1, 1, 1)))
        kept = torch.from_numpy(np.load(file, mmap_mode="c"))
        order = torch.randperm(len(kept))[: len(images)].sort().values
        read = [_seconds(lambda: to_float(kept[order], "cpu")) for _ in range(repeats)]
        ran = [_seconds(lambda: detector.backbone(to_float(images, "cpu"))) for _ in range(repeats)]
    return _row("the frozen backbone's part of an epoch, cached, run", "s", read, ran, [b / a for a, b in zip(read, ran, strict=True)])


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
            rates += [counted / _seconds(lambda maps=maps, weight=weight: conv2d(maps, weight, padding=1)) for _ in range(repeats)]
    return max(rates)


def step_flops(detector: nn.Module, size: int) -> int:
    """Floating-point operations of a picture's forward and backward pass: those of convolutions and matrix products."""
    with FlopCounterMode(display=False) as counter:
        detector(torch.rand(2, 3, size, size)).square().mean().backward()
    detector.zero_grad()
    return counter.get_total_flops() // 2


def training_steps(images: int = 32, repeats: int = 3) -> list[dict[str, Any]]:
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
            theirs.append(_seconds(pass_plain) / images)
            waits.clear()
            ours.append(_seconds(pass_ours) / images)
            shares.append(sum(waits) / (ours[-1] * images))
            halves.append(_seconds(lambda: pass_ours(half=True)) / images)
            peaks.append(convolution_peak() / 1e9)
    rates = [flops / 1e9 / seconds for seconds in ours]
    full, mixed = ([b / a for a, b in zip(mine, theirs, strict=True)] for mine in (ours, halves))
    return [
        _row("training ResNet18 at 224 px, compiled, a plain eager loop", "s/image", ours, theirs, full),
        _row("the same in mixed precision (bfloat16), that loop in float32", "s/image", halves, theirs, mixed),
        _row("share of the compiled one spent waiting for data, all of it", "share", shares, [1.0], [1 / max(s, 1e-9) for s in shares]),
        _row("its arithmetic, the fastest convolution's", "GFLOP/s", rates, peaks, [r / p for r, p in zip(rates, peaks, strict=True)]),
    ]


def run() -> list[dict[str, Any]]:
    """Rows {name, ours, theirs, ratio, interval, unit}. InputError if a peer is not installed."""
    return [*average_precision(), scenes(), probes(), cached_features(), *training_steps()]


def table(rows: list[dict[str, Any]]) -> str:
    """Rows to read in a terminal."""
    width = max(len(row["name"]) for row in rows)
    lines = [f"{'':{width}} {'ours':>9} {'theirs':>9} {'unit':>9} {'ratio':>7}  least to greatest"]
    for row in rows:
        low, high = row["interval"]
        numbers = f"{row['ours']:9.3g} {row['theirs']:9.3g} {row['unit']:>9} {row['ratio']:7.2f}"
        lines.append(f"{row['name']:{width}} {numbers}  {low:.2f} to {high:.2f}")
    return "\n".join(lines)
