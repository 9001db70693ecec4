"""What a whole study will take, hours and disk, before it starts.

Inside: `BOOK` (the runs that the notebooks ask for), `Estimate`, `estimate`, `announce` (in words, and is there room?),
`table` (what a profile makes of some arms).

Hours are sums of `cost.step` over the steps of every run; bytes follow from the data and from the models' weights. All of it is predicted.
What takes minutes in all is left out: decoding the pictures, the probes, the pages.
"""

import math
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from groundwork.checkpoint import KEPT
from groundwork.errors import InputError
from groundwork.paths import BUILD, cache_folder, data_folder
from trial.planner.cost import MACHINES, Assumed, Machine, count, in_words, spread, step
from trial.planner.memory import GIB, predict
from trial.register import committed
from voc_tree.photographs import ARCHIVES
from voc_tree.tree import BASE
from yolo_core.experiments import PROFILES, resolve
from yolo_core.training.config import RunConfig

GB = 1e9
# What lies on disk when the pictures have been made: VOC 2012's archive and, unpacked, as much once more; the archives that the photographs
# are picked from, and next to nothing.
FETCHED = {"rtx2060": 2 * 2 * GB, "photographs": sum(archive.size for archive in ARCHIVES.values())}
Job = tuple[str, str, int]  # experiment, arm, seed

# What the notebooks train; tests/test_estimate.py runs their cells and compares.
BOOK: tuple[Job, ...] = (
    ("baseline", "compressed", 0),
    ("focal", "mse", 0),
    ("focal", "focal", 0),
    ("focal", "mse-conv", 0),
    ("transfer", "frozen-random-conv", 0),
    ("finetune", "frozen-conv", 0),
    ("finetune", "two-rates-micro-2", 0),
    ("remedies", "base", 0),
    ("remedies", "decoupled", 0),
    ("remedies", "aligned", 0),
    ("remedies", "ciou", 0),
    ("remedies", "quality", 0),
    ("remedies", "all-but-strides", 0),
)


@dataclass(frozen=True)
class Estimate:
    """Predicted, for one device of a machine: a range of hours, and bytes of disk by what they hold."""

    machine: Machine
    trainings: int
    hours: tuple[float, float]
    disk: Mapping[str, float]

    def told(self) -> str:
        """A few lines for a terminal."""
        lines = [
            f"predicted for one {self.machine.name}, not measured:",
            f"  {in_words(*self.hours)} hours for {self.trainings} trainings, less what has been trained already",
            f"  {sum(self.disk.values()) / GB:.1f} GB of disk, less what is there:",
            *(f"    {size / GB:5.1f} {name}" for name, size in self.disk.items()),
        ]
        return "\n".join(lines)


def estimate(profile: str, jobs: Iterable[Job] = BOOK, machine: Machine = MACHINES["RTX 2060"], keep_weights: bool = True) -> Estimate:
    """The cost of some runs, and of those that they start from, one after another on one device.

    keep_weights: whether runs stay with their weights, as the notebooks' do; else only those that others start from, as in `reference`.
    InputError for an unknown profile or arm.
    """
    configs = _with_starts([resolve(name, arm, profile, seed) for name, arm, seed in jobs], profile)
    images = PROFILES[profile].sizes
    size = PROFILES[profile].base.get("image_size", RunConfig.image_size)
    kept = _features(configs)

    def seconds(assumed: Assumed) -> float:
        flops = sum(images) * sum(count(config).once / machine.flop_rate(config.precision) for config in kept) / assumed.utilisation
        return flops + sum(run_seconds(assumed, config, *images, machine) for config in configs)

    starts = {config.start for config in configs}
    stay = [c for c in configs if keep_weights or f"{c.experiment}/{c.arm}" in starts]
    disk = {
        PROFILES[profile].data[0]: FETCHED.get(profile, 0.0),
        "decoded pictures": sum(images) * 3 * size**2,
        "features": sum(images) * sum(count(config).picture for config in kept),
        "weights": sum(count(config).weights for config in stay),
        # Those that are kept, and the one being written.
        "checkpoints": (KEPT + 1) * max((count(config).weights + count(config).optimiser for config in configs), default=0),
    }
    low, high = spread(seconds)
    return Estimate(machine, len(configs), (low / 3600, high / 3600), disk)


def run_seconds(assumed: Assumed, config: RunConfig, train_images: int, val_images: int, machine: Machine) -> float:
    """Seconds of one training: its steps, and the scorings of the validation split that it makes on its way and at its end."""
    work = count(config)
    steps = config.epochs * math.ceil((config.train_images or train_images) / config.effective_batch)
    one = step(assumed, work, machine, config.effective_batch, config.micro_batch, config.precision)
    # At the end also a part of the training split is scored, and the split again with BatchNorm's statistics recomputed.
    scorings = math.ceil(config.epochs / config.score_epochs) + 1 + (config.batchnorm == "train")
    picture = work.forward / (assumed.utilisation * machine.flop_rate(config.precision)) + assumed.scoring
    return steps * one.seconds + scorings * val_images * picture


def announce(profile: str) -> None:
    """Print what a profile on photographs will take, before anything starts; one that draws its own pictures is done in minutes.

    InputError where a disk has less room than what is still to be written to it: data may lie on another one than what is made of them.
    """
    chosen = PROFILES.get(profile)
    if chosen is None or chosen.train_images is not None:
        return
    found = estimate(profile)
    print(found.told(), flush=True)
    of = chosen.on or profile
    data, wanted = data_folder(of), dict(found.disk)
    fetched = wanted.pop(chosen.data[0])
    asked = _with_starts([resolve(name, arm, profile, seed) for name, arm, seed in BOOK], profile)
    ready = [run.folder / "weights.safetensors" for run in committed.finished(profile) if run.config in asked]
    ready = [file for file in ready if file.is_file()]
    if len(ready) >= found.trainings:
        del wanted["checkpoints"]
    cache = data / ".cache" if data.is_relative_to(BUILD) else cache_folder(of)  # as experiments.profile_data has it
    caches = [file for file in cache.rglob("*") if file.is_file()]
    missing = {BUILD: sum(wanted.values()) - sum(file.stat().st_size for file in [*caches, *ready])}
    if not (data / BASE).is_dir():
        missing[data] = fetched
    for _, places in groupby(missing, key=lambda place: os.stat(_existing(place)).st_dev):
        place, *others = places
        room, lacking = shutil.disk_usage(_existing(place)).free, sum(missing[one] for one in (place, *others))
        if lacking > room:
            other = "work in a checkout" if place is BUILD else f"name a folder for the data (YOLO_DATA_{of.upper()})"
            raise InputError(
                f"{place}: {lacking / GB:.1f} GB are still to be written and the disk has {room / GB:.1f} GB free; "
                f"free some space, or {other} on a larger disk"
            )


def table(profile: str, rows: Mapping[str, tuple[str, str]], machine: Machine = MACHINES["RTX 2060"]) -> str:
    """Arms by title, as the profile resolves them, in Markdown; the last two columns are predicted."""
    lines: list[str] = []
    for title, (name, arm) in rows.items():
        config = resolve(name, arm, profile)
        seconds = spread(run_seconds, config, *PROFILES[profile].sizes, machine)
        cells = {
            "run": f"{title} (`{name}/{arm}`)",
            "backbone": config.backbone
            if config.weights is None
            else f"{config.backbone}, {'frozen' if config.freeze_weights else 'trained'}",
            "head": config.head,
            "batch": f"{math.ceil(config.effective_batch / config.micro_batch)} x {config.micro_batch}",
            "rate": f"{config.optimiser} {config.lr:g}" + ("" if config.backbone_lr is None else f", backbone {config.backbone_lr:g}"),
            "epochs": config.epochs,
            "peak, GiB": f"{predict(config).total / GIB:.1f}",
            "hours": in_words(*(end / 3600 for end in seconds)),
        }
        lines = lines or [f"| {' | '.join(cells)} |", "|:--" * len(cells) + "|"]
        lines.append(f"| {' | '.join(map(str, cells.values()))} |")
    return "\n".join(lines)


def _with_starts(configs: list[RunConfig], profile: str) -> list[RunConfig]:
    """The configurations and those whose weights they start from, each once."""
    starts = [resolve(*config.start.split("/"), profile, config.seed) for config in configs if config.start is not None]
    return list(dict.fromkeys(starts + configs))


def _features(configs: Iterable[RunConfig]) -> list[RunConfig]:
    """One configuration for each frozen backbone whose features are kept: random weights differ from seed to seed."""
    cached = [config for config in configs if config.cache_features]
    seen_at = {c: c.finest_stride if c.anchor_free else None for c in cached}  # heads at points are kept the maps of their strides
    return list({(c.backbone, c.width, c.weights, c.weights or c.seed, seen_at[c]): c for c in cached}.values())


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    return path if path.exists() else _existing(path.parent)
