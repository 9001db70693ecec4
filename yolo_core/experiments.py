"""The study on one screen: every experiment and arm.

Inside: `EXPERIMENTS`, `experiment`, `resolve` (an arm to a configuration), `prepare_data`, `load_data`, `profile_data` (made where it is
missing), `run` (trained or loaded), `finished` (what has been trained here), `key_of`, `training_code`.

An arm is its experiment's configuration with some keys changed. `run` trains it, or loads the run whose key (configuration, data,
syntax of the code) is the same: a notebook asks for a run and need not care which. Torch is imported where it is needed.
"""

import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from groundwork.code_hash import code_hash, modules
from groundwork.errors import InputError
from groundwork.locks import alone
from groundwork.paths import BUILD, cache_folder, data_folder, runs_folder
from yolo_core.profiles import PROFILES, changes, profile_of
from yolo_core.training.config import BUILDERS, RARE, RunConfig, config_from_dict
from yolo_core.training.records import Run, read_run

if TYPE_CHECKING:
    import pandas as pd

    from yolo_core.data.voc import VocData
    from yolo_core.training.observer import Observer


@dataclass(frozen=True)
class Experiment:
    """A chapter of the study: what all its arms share, and what each changes. The first arm is the one the write-up ran."""

    title: str
    base: Mapping[str, Any]
    arms: Mapping[str, Mapping[str, Any]]


SHARES = {"quarter": 4, "half": 2}  # and how many times the epochs

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
CONV = changes(head="conv", lr=1e-3)  # every cell shares its weights: a higher rate, chosen in a pilot as well
SGD = changes(optimiser="sgd", lr=1e-2)
# Without clipping SGD bursts within a dozen steps at 1e-2, and at 1e-3 too (pilots, n = 1): the arms that stay whole run at this rate.
SLOW = changes(lr=1e-4)
# A random net's own statistics: under those that it starts with, its activations vanish from layer to layer.
RANDOM = changes(weights=None, calibrate_batchnorm=256)
LITERAL = changes(**CONV, background="focal-literal")
# One rate for everything, as the write-up fine-tunes; or a fresh head that learns as fast as on the frozen backbone.
ONE_RATE = changes(lr=1e-5)
TWO_RATES = changes(**CONV, backbone_lr=1e-4)
CONTINUED = changes(head="conv", start="focal/mse-conv", **ONE_RATE)
STILL_NORM = changes(batchnorm="frozen")

# What the write-up points to at its end, an idea a key. Mosaic changes every picture, so that it stands apart: it needs a backbone that
# runs each time.
IDEAS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "decoupled": changes(head="decoupled"),
        "strides": changes(finest_stride=8),
        "aligned": changes(assign="aligned"),
        "ciou": changes(box_loss="ciou"),
        "quality": changes(score_loss="quality"),
    }
)
# One stride, one score a class, YOLOv1's rule and its squared errors; the rate was chosen in pilots, for the base and for all ideas alike.
POINTS = changes(head="coupled", lr=3e-3)
MOSAIC = changes(mosaic=True, cache_features=False)


def every_idea(but: str = "") -> Mapping[str, Any]:
    """All ideas at once, or all but one."""
    return MappingProxyType({key: value for name, idea in IDEAS.items() if name != but for key, value in idea.items()})


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
            "augmented": changes(augment=True),
            "released": RELEASED,  # Exp 1 as the public code runs it; the other three stand in their own experiments
            "released-focal": changes(**RELEASED, background="focal-coupled"),
            "focal": changes(background="focal"),
            "focal-coupled": changes(background="focal-coupled"),
            "conv-half": changes(head="conv", train_images="half"),
            "conv-quarter": changes(head="conv", train_images="quarter"),
        },
    ),
    "focal": Experiment(
        "Focal loss on the background confidence",
        FROZEN,  # the detector of Exp 3, so that there is an mAP to lose: "mse" and "mse-conv" are Exp 3 itself
        {
            "mse": changes(),
            "focal": changes(background="focal"),
            "focal-detached": changes(background="focal-detached"),
            "focal-literal": changes(background="focal-literal"),
            "focal-coupled": changes(background="focal-coupled"),
            "qfl": changes(background="qfl", confidence_bias=math.log(RARE / (1 - RARE))),
            "mse-conv": CONV,
            "focal-conv": changes(**CONV, background="focal"),
            "focal-literal-from-0.3": changes(**LITERAL, confidence_bias=0.3),
            "focal-literal-from-0.6": changes(**LITERAL, confidence_bias=0.6),
            "focal-literal-from-0.9": changes(**LITERAL, confidence_bias=0.9),
            "mse-unclipped": changes(**CONV, clip_norm=None),
            "focal-unclipped": changes(**CONV, background="focal", clip_norm=None),
            "mse-sgd": changes(**CONV | SGD),
            "focal-sgd": changes(**CONV | SGD, background="focal"),
            "mse-sgd-unclipped": changes(**CONV | SGD, clip_norm=None),
            "focal-sgd-unclipped": changes(**CONV | SGD, background="focal", clip_norm=None),
            "mse-sgd-slow-unclipped": changes(**CONV | SGD | SLOW, clip_norm=None),
            "focal-sgd-slow-unclipped": changes(**CONV | SGD | SLOW, background="focal", clip_norm=None),
        },
    ),
    "transfer": Experiment(
        "A frozen backbone",
        FROZEN,  # Exp 3 itself is focal/mse; these are its controls
        {
            "frozen-random": RANDOM,
            "frozen-random-conv": changes(**CONV | RANDOM),
            "released": changes(**RELEASED, batchnorm="train", cache_features=False),  # "frozen" there: the weights alone
            "frozen-conv-half": changes(**CONV, train_images="half"),
            "frozen-conv-quarter": changes(**CONV, train_images="quarter"),
            "scratch": changes(**TRAINED, weights=None),
            "scratch-conv": changes(**CONV | TRAINED, weights=None),
        },
    ),
    "finetune": Experiment(
        "Fine-tuning the backbone",
        FROZEN | TRAINED,
        {
            "fresh": ONE_RATE,  # a fresh head at the backbone's rate, whole batches
            "released": changes(**RELEASED | ONE_RATE),  # the same, and all else as the public code has it
            "continued": changes(**ONE_RATE, start="focal/mse"),
            "one-rate-conv": changes(head="conv", **ONE_RATE),
            "continued-conv-micro-2": changes(**CONTINUED, micro_batch=2),
            "continued-conv-micro-2-still": changes(**CONTINUED | STILL_NORM, micro_batch=2),
            "continued-conv": CONTINUED,
            "continued-conv-still": changes(**CONTINUED | STILL_NORM),
            "two-rates-micro-2": changes(**TWO_RATES, micro_batch=2),
            "two-rates-micro-2-still": changes(**TWO_RATES | STILL_NORM, micro_batch=2),
            "two-rates": TWO_RATES,
            "two-rates-still": changes(**TWO_RATES | STILL_NORM),
            "head-rate": changes(**CONV, backbone_lr=1e-5),  # of "one-rate-conv" the head's rate changed, and nothing else
            "frozen-conv": FROZEN | CONV,  # the same scenes and steps with the backbone standing still
        },
    ),
    "accumulation": Experiment(
        "Micro-batches and the effective batch",
        FROZEN | CONV,  # whole batches of 16 are focal/mse-conv
        {
            "accumulated-8x2": changes(micro_batch=2),
            "batch-2": changes(effective_batch=2, micro_batch=2),
        },
    ),
    "remedies": Experiment(
        "What YOLOv8 changes, an idea at a time",
        FROZEN | POINTS,
        {
            "base": changes(),
            **IDEAS,
            "quality-gamma-0": changes(score_loss="quality", gamma=0.0),  # the logit, its prior and cross-entropy without the focal factor
            "mosaic": MOSAIC,
            "all": every_idea(),
            **{f"all-but-{name}": every_idea(but=name) for name in IDEAS},
            "all-bins": changes(**every_idea(), bins=16),
            "all-mosaic": changes(**every_idea(), **MOSAIC),
            "all-tuned": changes(**every_idea(), freeze_weights=False, cache_features=False, backbone_lr=1e-4),
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
    chosen, trial = profile_of(profile), experiment(name)
    if arm not in trial.arms:
        raise InputError(f"experiment {name!r} has no arm {arm!r}; choose one of {', '.join(trial.arms)}")
    values = {**chosen.base, **trial.base, **chosen.per_experiment.get(name, {}), **trial.arms[arm]}
    if (share := values.get("train_images")) in SHARES:  # as many steps on fewer scenes
        values |= {"train_images": chosen.volumes[share], "epochs": SHARES[share] * values["epochs"]}
    return config_from_dict({**values, "experiment": name, "arm": arm, "seed": seed}, f"experiment {name!r}, arm {arm!r}")


def prepare_data(profile: str, progress: bool = True) -> Path:
    """The profile's VOC tree: EmojiVOC is made, and made anew when the code that draws it has changed; photographs have to be there."""
    from emojivoc import emoji
    from voc_tree.tree import BASE

    chosen = profile_of(profile)
    folder = data_folder(chosen.on or profile)
    if chosen.train_images is None:
        if not (folder / BASE).exists():
            what, command = chosen.data
            raise InputError(f"{folder}: no {what} there; run `python -m yolo_core data {command} --out {folder}`")
        return folder
    size = chosen.base.get("image_size", RunConfig.image_size)
    drawn_by = code_hash(modules("emojivoc.emoji"))
    made, stamp = f"{drawn_by} {chosen.train_images} {chosen.val_images} {size}", folder / "made_by.txt"
    with alone(folder):
        if not stamp.exists() or stamp.read_text(encoding="utf-8") != made:
            shutil.rmtree(folder, ignore_errors=True)
            emoji.generate(folder, chosen.train_images, chosen.val_images, size=size, seed=0, progress=progress)
            stamp.write_text(made, encoding="utf-8")
    return folder


def load_data(folder: Path, image_size: int, cache: Path | None = None) -> "tuple[VocData, VocData]":
    """The train and val splits of a VOC tree, decoded at a size into the folder `cache` (by default beside the data)."""
    from yolo_core.data.voc import VocData

    return VocData(folder, "train", image_size, cache), VocData(folder, "val", image_size, cache)


def profile_data(profile: str, progress: bool = True) -> "tuple[VocData, VocData]":
    """The train and val splits a profile works on, made first where they are not there yet."""
    folder, chosen = prepare_data(profile, progress), PROFILES[profile]
    size = chosen.base.get("image_size", RunConfig.image_size)
    return load_data(folder, size, None if folder.is_relative_to(BUILD) else cache_folder(chosen.on or profile))


def training_code() -> str:
    """Hash of the syntax of everything a run's result depends on."""
    return code_hash(modules("yolo_core.training.train", *BUILDERS))


def key_of(name: str, arm: str, profile: str, seed: int) -> str:
    """The key that the run of an arm has under today's configuration, data and code."""
    return _key(resolve(name, arm, profile, seed), profile, profile_data(profile, progress=False), training_code())


def _key(config: RunConfig, profile: str, data: "tuple[VocData, VocData]", code: str) -> str:
    from yolo_core.training.writing import run_key

    prints = {"train": data[0].fingerprint, "val": data[1].fingerprint}
    if config.start is not None:
        prints["start"] = _key(resolve(*config.start.split("/"), profile, config.seed), profile, data, code)
    return run_key(config, prints, code)


def run(
    name: str,
    arm: str,
    profile: str = "pocket",
    seed: int = 0,
    progress: bool = True,
    out: Path | None = None,
    observer: "type[Observer] | None" = None,
    live: "Callable[[dict[str, pd.DataFrame]], None] | None" = None,
) -> Run:
    """The run of an arm: loaded if it has been trained with this configuration, data and code, else trained, after the run that it
    starts from. Of several processes that ask for it at once, one trains it and the others wait.

    out: train into this folder if it is not there yet, and keep no weights. observer: what watches the training; a run that another one
    has watched, or this one when its code was another, is trained again. live: called with what it has seen, as that grows.
    """
    from yolo_core.training.observer import Observer
    from yolo_core.training.train import train

    seen_by = None if observer is None else observer.code()
    observer = observer or Observer
    config, data, code = resolve(name, arm, profile, seed), profile_data(profile, progress), training_code()
    key = _key(config, profile, data, code)
    folder = runs_folder() / f"{profile}-{name}-{arm}-{seed}-{key[:10]}"
    with alone(folder):
        for place in (folder, out):  # in `out`: trained, and not yet stored where it belongs
            if place is not None and (place / "record.json").exists():
                found = read_run(place)
                if (place is folder or found.record["key"] == key) and seen_by in (None, found.record.get("observer")):
                    observer(live).loaded(found)
                    return found
        start = None if config.start is None else run(*config.start.split("/"), profile, seed, progress, observer=observer)
        options = {"code": code, "start": start, "progress": progress, "keep_weights": out is None}
        return train(config, *data, out or folder, observer=observer(live), **options)


def finished(profile: str) -> list[Run]:
    """The runs of a profile that today's code has trained on this machine, by name. InputError for a profile that does not exist."""
    profile_of(profile)
    code = training_code()
    runs = [read_run(path.parent) for path in sorted(runs_folder().glob(f"{profile}-*/record.json"))]
    return [run for run in runs if run.record["code"] == code]
