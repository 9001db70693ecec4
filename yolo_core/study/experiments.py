"""The study on one screen: every profile, experiment and arm.

Inside: `PROFILES`, `EXPERIMENTS`, `resolve` (an arm to a configuration), `profile_data` (made where it is missing), `run` (trained or
loaded), `finished` (what has been trained here).

An arm is its experiment's configuration with some keys changed. `run` trains it, or loads the run whose key (configuration, data,
syntax of the code) is the same: a notebook asks for a run and need not care which.
"""

import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

from yolo_core.data import emoji
from yolo_core.data.voc import VocData
from yolo_core.errors import InputError
from yolo_core.study.code_hash import code_hash, modules
from yolo_core.study.config import RunConfig, config_from_dict
from yolo_core.study.paths import data_folder, runs_folder
from yolo_core.study.records import Run, read_run, run_key
from yolo_core.study.train import train


def changes(**values: Any) -> Mapping[str, Any]:
    """Keys of RunConfig that differ, read-only."""
    return MappingProxyType(values)


@dataclass(frozen=True)
class Profile:
    """Where a study runs: on which data, for how long. `base` holds for every experiment, `per_experiment` for one."""

    about: str
    base: Mapping[str, Any]
    train_images: int | None = None  # scenes of EmojiVOC to make; None: Pascal VOC 2012
    val_images: int | None = None
    per_experiment: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class Experiment:
    """A chapter of the study: what all its arms share, and what each changes. The first arm is the one the write-up ran."""

    title: str
    base: Mapping[str, Any]
    arms: Mapping[str, Mapping[str, Any]]


PROFILES: dict[str, Profile] = {
    "smoke": Profile(
        "64 emoji scenes, a few steps: does everything run?",
        changes(epochs=2, width=0.25, probe_steps=2, score_epochs=2),
        train_images=48,
        val_images=16,
    ),
    "pocket": Profile(
        "EmojiVOC, two CPU cores, no download",
        changes(epochs=5, width=0.5, probe_steps=50, score_epochs=1),
        train_images=2400,
        val_images=600,
        per_experiment=MappingProxyType({"focal": changes(epochs=4)}),
    ),
    "rtx2060": Profile(
        "Pascal VOC 2012 at 448 px on a 6 GB GPU",
        changes(image_size=448, epochs=100, precision="16-mixed", probe_steps=500, score_epochs=5),
    ),
}

# What the write-up's public code does otherwise than the paper, where a key of the configuration can say it.
RELEASED = changes(
    centre="image",
    lambda_coord=0.5,
    detach_iou=False,
    spare_noobj=False,
    train_on_difficult=True,
    optimiser="adam",
    lr=1e-4,
    loss_reduction="sum",
)

# A backbone that stands still, its features computed once; and one that learns, its BatchNorm with it.
FROZEN = changes(weights="imagenet", head="compressed", freeze_weights=True, batchnorm="frozen", cache_features=True)
TRAINED = changes(freeze_weights=False, batchnorm="train", cache_features=False)
SGD = changes(optimiser="sgd", lr=1e-3)
# A confidence logit that starts at probability 0.01, as RetinaNet's.
RARE = -math.log((1 - 0.01) / 0.01)

EXPERIMENTS: dict[str, Experiment] = {
    "baseline": Experiment(
        "From scratch, with the compressed head",
        changes(backbone="scratch", weights=None, head="compressed"),
        {
            "compressed": changes(),
            "full": changes(head="full"),
            "conv": changes(head="conv"),
            "low-coord": changes(lambda_coord=0.5),
            "image-centres": changes(centre="image"),
            "low-coord-image-centres": changes(lambda_coord=0.5, centre="image"),
            "released": RELEASED,
        },
    ),
    "focal": Experiment(
        "Focal loss on the background confidence",
        FROZEN,
        {
            "mse": changes(),
            "focal": changes(background="focal"),
            "focal-detached": changes(background="focal-detached"),
            "focal-literal": changes(background="focal-literal"),
            "focal-literal-from-0.3": changes(background="focal-literal", confidence_bias=0.3),
            "focal-literal-from-0.6": changes(background="focal-literal", confidence_bias=0.6),
            "focal-literal-from-0.9": changes(background="focal-literal", confidence_bias=0.9),
            "focal-coupled": changes(background="focal-coupled"),
            "qfl": changes(background="qfl", confidence_bias=RARE),
            "mse-conv": changes(head="conv"),
            "focal-conv": changes(background="focal", head="conv"),
            "mse-unclipped": changes(clip_norm=None),
            "focal-unclipped": changes(background="focal", clip_norm=None),
            "mse-sgd": changes(**SGD),
            "focal-sgd": changes(background="focal", **SGD),
            "mse-sgd-unclipped": changes(**SGD, clip_norm=None),
            "focal-sgd-unclipped": changes(background="focal", **SGD, clip_norm=None),
        },
    ),
    "transfer": Experiment(
        "A frozen backbone",
        FROZEN,
        {
            "frozen": changes(),
            "frozen-random": changes(weights=None),
            "scratch": changes(**TRAINED, weights=None),
            "frozen-conv": changes(head="conv"),
            "frozen-random-conv": changes(head="conv", weights=None),
            "scratch-conv": changes(head="conv", **TRAINED, weights=None),
        },
    ),
}


def experiment(name: str) -> Experiment:
    """An experiment by name. InputError lists those there are."""
    if name not in EXPERIMENTS:
        raise InputError(f"unknown experiment {name!r}; choose one of {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[name]


def resolve(name: str, arm: str, profile: str, seed: int = 0) -> RunConfig:
    """The whole configuration of an arm. InputError names what does not exist and lists what does."""
    if profile not in PROFILES:
        raise InputError(f"unknown profile {profile!r}; choose one of {', '.join(PROFILES)}")
    chosen, trial = PROFILES[profile], experiment(name)
    if arm not in trial.arms:
        raise InputError(f"experiment {name!r} has no arm {arm!r}; choose one of {', '.join(trial.arms)}")
    values = {**chosen.base, **trial.base, **chosen.per_experiment.get(name, {}), **trial.arms[arm]}
    return config_from_dict({**values, "experiment": name, "arm": arm, "seed": seed}, f"experiment {name!r}, arm {arm!r}")


def prepare_data(profile: str, progress: bool = True) -> Path:
    """The profile's VOC tree: EmojiVOC is made, and made anew when the code that draws it has changed; VOC 2012 has to be there."""
    if profile not in PROFILES:
        raise InputError(f"unknown profile {profile!r}; choose one of {', '.join(PROFILES)}")
    folder, chosen = data_folder(profile), PROFILES[profile]
    if chosen.train_images is None:
        if not folder.exists():
            raise InputError(f"{folder}: Pascal VOC 2012 is not there; run `python -m yolo_core data voc --out {folder}`")
        return folder
    size = chosen.base.get("image_size", RunConfig.image_size)
    drawn_by = code_hash(modules("yolo_core.data.emoji"))
    made, stamp = f"{drawn_by} {chosen.train_images} {chosen.val_images} {size}", folder / "made_by.txt"
    if not stamp.exists() or stamp.read_text() != made:
        shutil.rmtree(folder, ignore_errors=True)
        emoji.generate(folder, chosen.train_images, chosen.val_images, size=size, seed=0, progress=progress)
        stamp.write_text(made)
    return folder


def load_data(folder: Path, image_size: int, cache: Path | None = None) -> tuple[VocData, VocData]:
    """The train and val splits of a VOC tree, decoded at a size into the folder `cache` (by default beside the data)."""
    return VocData(folder, "train", image_size, cache), VocData(folder, "val", image_size, cache)


def profile_data(profile: str, progress: bool = True) -> tuple[VocData, VocData]:
    """The train and val splits a profile works on, made first where they are not there yet."""
    return load_data(prepare_data(profile, progress), PROFILES[profile].base.get("image_size", RunConfig.image_size))


def training_code() -> str:
    """Hash of the syntax of everything a run's result depends on."""
    return code_hash(modules("yolo_core.study.train"))


def key_of(name: str, arm: str, profile: str, seed: int) -> str:
    """The key that the run of an arm has under today's configuration, data and code."""
    return _key(resolve(name, arm, profile, seed), profile_data(profile, progress=False), training_code())


def _key(config: RunConfig, data: tuple[VocData, VocData], code: str) -> str:
    return run_key(config, {"train": data[0].fingerprint, "val": data[1].fingerprint}, code)


def run(
    name: str,
    arm: str,
    profile: str = "pocket",
    seed: int = 0,
    progress: bool = True,
    out: Path | None = None,
    watch: Callable[[dict[str, pd.DataFrame]], None] | None = None,
) -> Run:
    """The run of an arm: loaded if it has been trained with this configuration, data and code, else trained.

    out: train into this folder if it is not there yet, and keep no weights. watch: called with the probe's tables as they grow, or once
    with those of a run that is loaded.
    """
    config, data, code = resolve(name, arm, profile, seed), profile_data(profile, progress), training_code()
    folder = runs_folder() / f"{profile}-{name}-{arm}-{seed}-{_key(config, data, code)[:10]}"
    if (folder / "record.json").exists():
        run = read_run(folder)
        if watch is not None:
            watch({table: run.table(table) for table in ("terms", "cells")})
        return run
    return train(config, *data, out or folder, code=code, progress=progress, keep_weights=out is None, watch=watch)


def finished(profile: str) -> list[Run]:
    """The runs of a profile that today's code has trained on this machine, by name."""
    code = training_code()
    runs = [read_run(path.parent) for path in sorted(runs_folder().glob(f"{profile}-*/record.json"))]
    return [run for run in runs if run.record["code"] == code]
