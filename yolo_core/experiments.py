"""The study on one screen: every experiment and arm.

Inside: `EXPERIMENTS`, `experiment`, `resolve` (an arm to a configuration), `prepare_data`, `load_data`, `profile_data` (made where it is
missing), `run` (trained or loaded), `key_of`, `training_code`.

An arm is its experiment's configuration with some keys changed. `run` trains it, or loads the run whose key (configuration, data,
syntax of the code) is the same: a notebook asks for a run and need not care which. Torch is imported where it is needed.
"""

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from groundwork.answer import spelled
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
class Arm:
    """What an arm is called in figures and tables, and the keys that it changes."""

    title: str
    changes: Mapping[str, Any]


def arm(title: str, **values: Any) -> Arm:
    """An arm: its title, and the keys of RunConfig that it changes."""
    return Arm(title, changes(**values))


@dataclass(frozen=True)
class Experiment:
    """A chapter of the study: what all its arms share, and what each changes. The first arm is the one the write-up ran."""

    title: str
    base: Mapping[str, Any]
    arms: Mapping[str, Any]  # an `Arm` each


SHARES = {"quarter": 4, "half": 2}  # and how many times the epochs

# What the write-up's public code does otherwise than the paper, where a key of the configuration can say it.
ADAM = changes(optimiser="adam", lr=1e-4, loss_reduction="sum")
RELEASED = changes(centre="image", lambda_coord=0.5, detach_iou=False, spare_noobj=False, train_on_difficult=True, **ADAM)

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

# What the write-up points to at its end, an idea a key. Mosaic stands apart: it needs a backbone that runs each time.
IDEAS: Mapping[str, Arm] = MappingProxyType(
    {
        "decoupled": arm("two branches", head="decoupled"),
        "strides": arm("three strides", finest_stride=8),
        "aligned": arm("task-aligned", assign="aligned"),
        "ciou": arm("CIoU", box_loss="ciou"),
        "quality": arm("quality focal", score_loss="quality"),
    }
)
# One stride, one score a class, YOLOv1's rule and its squared errors; the rate was chosen in pilots, for the base and for all ideas alike.
POINTS = changes(head="coupled", lr=3e-3)
MOSAIC = changes(mosaic=True, cache_features=False)


def every_idea(but: str = "") -> Mapping[str, Any]:
    """All ideas at once, or all but one."""
    return MappingProxyType({key: value for name, idea in IDEAS.items() if name != but for key, value in idea.changes.items()})


EXPERIMENTS: dict[str, Experiment] = {
    "baseline": Experiment(
        "From scratch, with the compressed head",
        changes(backbone="scratch", weights=None, head="compressed"),
        {
            "compressed": arm("Exp 1: from scratch"),
            "full": arm("scratch, full head", head="full"),
            "conv": arm("scratch, conv head", head="conv"),
            "low-coord": arm("scratch, lambda_coord 0.5", lambda_coord=0.5),
            "image-centres": arm("scratch, centres of the image", centre="image"),
            "low-coord-image-centres": arm("scratch, 0.5 and image centres", lambda_coord=0.5, centre="image"),
            "augmented": arm("scratch, augmented", augment=True),
            "released": arm("Exp 1 as released", **RELEASED),  # as the public code runs it
            "released-focal": arm("Exp 2 as released", **RELEASED, background="focal-coupled"),
            "focal": arm("scratch, focal as derived", background="focal"),
            "focal-coupled": arm("scratch, focal as released", background="focal-coupled"),
            "conv-half": arm("scratch, conv, half the pictures", head="conv", train_images="half"),
            "conv-quarter": arm("scratch, conv, a quarter", head="conv", train_images="quarter"),
        },
    ),
    "focal": Experiment(
        "Focal loss on the background confidence",
        FROZEN,  # the detector of Exp 3, so that there is an mAP to lose: "mse" and "mse-conv" are Exp 3 itself
        {
            "mse": arm("Exp 3: frozen ImageNet"),
            "focal": arm("Exp 2: focal as derived", background="focal"),
            "focal-detached": arm("focal, factor detached", background="focal-detached"),
            "focal-literal": arm("focal as printed", background="focal-literal"),
            "focal-coupled": arm("focal as released", background="focal-coupled"),
            "qfl": arm("quality focal loss", background="qfl", confidence_bias=math.log(RARE / (1 - RARE))),
            "mse-conv": arm("Exp 3, conv head", **CONV),
            "focal-conv": arm("conv: focal as derived", **CONV, background="focal"),
            "focal-literal-from-0.3": arm("conv: printed, from 0.3", **LITERAL, confidence_bias=0.3),
            "focal-literal-from-0.6": arm("conv: printed, from 0.6", **LITERAL, confidence_bias=0.6),
            "focal-literal-from-0.9": arm("conv: printed, from 0.9", **LITERAL, confidence_bias=0.9),
            "mse-unclipped": arm("conv: mse, unclipped", **CONV, clip_norm=None),
            "focal-unclipped": arm("conv: focal, unclipped", **CONV, background="focal", clip_norm=None),
            "mse-sgd": arm("conv: mse, SGD", **CONV | SGD),
            "focal-sgd": arm("conv: focal, SGD", **CONV | SGD, background="focal"),
            "mse-sgd-unclipped": arm("conv: mse, SGD unclipped", **CONV | SGD, clip_norm=None),
            "focal-sgd-unclipped": arm("conv: focal, SGD unclipped", **CONV | SGD, background="focal", clip_norm=None),
            "mse-sgd-slow-unclipped": arm("conv: mse, slow SGD unclipped", **CONV | SGD | SLOW, clip_norm=None),
            "focal-sgd-slow-unclipped": arm("conv: focal, slow SGD unclipped", **CONV | SGD | SLOW, background="focal", clip_norm=None),
        },
    ),
    "transfer": Experiment(
        "A frozen backbone",
        FROZEN,  # Exp 3 itself is focal/mse; these are its controls
        {
            "frozen-random": arm("frozen random", **RANDOM),
            "frozen-random-conv": arm("frozen random, conv head", **CONV | RANDOM),
            "released": arm("Exp 3 as released", **RELEASED, batchnorm="train", cache_features=False),  # "frozen" there: the weights alone
            "frozen-conv-half": arm("Exp 3, conv, half the pictures", **CONV, train_images="half"),
            "frozen-conv-quarter": arm("Exp 3, conv, a quarter", **CONV, train_images="quarter"),
            "scratch": arm("Lite0 from scratch", **TRAINED, weights=None),
            "scratch-conv": arm("Lite0 from scratch, conv head", **CONV | TRAINED, weights=None),
        },
    ),
    "finetune": Experiment(
        "Fine-tuning the backbone",
        FROZEN | TRAINED,
        {
            "fresh": arm("Exp 4: one rate, fresh head", **ONE_RATE),  # a fresh head at the backbone's rate, whole batches
            "released": arm("Exp 4 as released", **RELEASED | ONE_RATE),  # the same, and all else as the public code has it
            "continued": arm("one rate, Exp 3 continued", **ONE_RATE, start="focal/mse"),
            "one-rate-conv": arm("one rate, fresh conv head", head="conv", **ONE_RATE),
            "continued-conv-micro-2": arm("Exp 3 conv continued, micro 2", **CONTINUED, micro_batch=2),
            "continued-conv-micro-2-still": arm("Exp 3 conv continued, 2, still", **CONTINUED, batchnorm="frozen", micro_batch=2),
            "continued-conv": arm("Exp 3 conv continued, micro 16", **CONTINUED),
            "continued-conv-still": arm("Exp 3 conv continued, 16, still", **CONTINUED, batchnorm="frozen"),
            "two-rates-micro-2": arm("two rates, micro-batch 2", **TWO_RATES, micro_batch=2),
            "two-rates-micro-2-still": arm("two rates, 2, still", **TWO_RATES, batchnorm="frozen", micro_batch=2),
            "two-rates": arm("two rates, micro-batch 16", **TWO_RATES),
            "two-rates-still": arm("two rates, 16, still", **TWO_RATES, batchnorm="frozen"),
            "head-rate": arm("one-rate conv, head at 1e-3", **CONV, backbone_lr=1e-5),  # nothing else changed
            "frozen-conv": arm("frozen, conv, as many steps", **FROZEN | CONV),
        },
    ),
    "accumulation": Experiment(
        "Micro-batches and the effective batch",
        FROZEN | CONV,  # whole batches of 16 are focal/mse-conv
        {
            "accumulated-8x2": arm("Exp 3 conv, steps of 8 x 2", micro_batch=2),
            "batch-2": arm("Exp 3 conv, steps of 2", effective_batch=2, micro_batch=2),
        },
    ),
    "remedies": Experiment(
        "What YOLOv8 changes, an idea at a time",
        FROZEN | POINTS,
        {
            "base": arm("base: one box, one score"),
            **{name: arm(f"+ {idea.title}", **idea.changes) for name, idea in IDEAS.items()},
            # The logit, its prior and cross-entropy without the focal factor.
            "quality-gamma-0": arm("+ quality focal, gamma 0", score_loss="quality", gamma=0.0),
            "mosaic": arm("+ mosaic", **MOSAIC),
            "all": arm("all ideas", **every_idea()),
            **{f"all-but-{name}": arm(f"all, less {idea.title}", **every_idea(but=name)) for name, idea in IDEAS.items()},
            "all-bins": arm("all, with bins", **every_idea(), bins=16),
            "all-mosaic": arm("all, with mosaic", **every_idea(), **MOSAIC),
            "all-tuned": arm("all, backbone tuned", **every_idea(), freeze_weights=False, cache_features=False, backbone_lr=1e-4),
        },
    ),
}


# The write-up's four experiments, each by the arm that tries its sentence; "... released" is the public code's own.
STORY: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"exp1": ("baseline", "compressed"), "exp2": ("focal", "focal"), "exp3": ("focal", "mse"), "exp4": ("finetune", "fresh")}
)


def named(name: str, arm: str | None = None) -> tuple[str, str]:
    """(experiment, arm) of what a reader names: "exp2", an experiment and one of its arms, or an experiment alone, which is its first."""
    if name not in STORY:
        return name, next(iter(experiment(name).arms)) if arm is None else arm
    if arm not in (None, STORY[name][1]):
        raise InputError(f"{name} is the arm {'/'.join(STORY[name])} itself; for {arm!r} name {STORY[name][0]} in its place")
    return STORY[name]


def experiment(name: str) -> Experiment:
    """An experiment by name. InputError lists those there are."""
    if name not in EXPERIMENTS:
        raise InputError(f"unknown experiment {name!r}; choose one of {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[name]


def the_arm(name: str, arm: str) -> Arm:
    """An arm of an experiment. InputError names what does not exist and lists what does."""
    arms = experiment(name).arms
    if arm not in arms:
        raise InputError(f"experiment {name!r} has no arm {arm!r}; choose one of {', '.join(arms)}")
    return arms[arm]


def resolve(name: str, arm: str, profile: str, seed: int = 0) -> RunConfig:
    """The whole configuration of an arm. InputError as of `the_arm`."""
    chosen, changed = profile_of(profile), the_arm(name, arm).changes
    values = {**chosen.base, **experiment(name).base, **chosen.per_experiment.get(name, {}), **changed}
    if (share := values.get("train_images")) in SHARES:  # as many steps on fewer scenes
        values |= {"train_images": chosen.volumes[share], "epochs": SHARES[share] * values["epochs"]}
    return config_from_dict({**values, "experiment": name, "arm": arm, "seed": seed}, f"experiment {name!r}, arm {arm!r}")


def prepare_data(profile: str, progress: bool = True) -> Path:
    """The profile's VOC tree: EmojiVOC is made, and made anew when the code that draws it has changed; photographs have to be there."""
    from emojivoc.at_hand import at_hand
    from voc_tree.tree import BASE

    chosen = profile_of(profile)
    name = chosen.on or profile
    folder = data_folder(name)
    if chosen.train_images is None:
        if not (folder / BASE).exists():
            command = f"python -m yolo_core data {chosen.data[1]} --out {spelled(folder)}"
            raise InputError(f"{folder}: no {chosen.data[0]} there; run `{command}`")
        return folder
    size = chosen.base.get("image_size", RunConfig.image_size)
    at_hand(folder, chosen.train_images, chosen.val_images, size, own=folder == BUILD / "data" / name, progress=progress)
    return folder


def load_data(folder: Path, image_size: int, cache: Path | None = None) -> "tuple[VocData, VocData]":
    """The train and val splits of a VOC tree, decoded at a size into the folder `cache` (by default beside the data)."""
    from yolo_core.data.voc import VocData

    train, val = (VocData(folder, split, image_size, cache) for split in ("train", "val"))
    if both := set(train.ids) & set(val.ids):
        warnings.warn(f"{folder}: {len(both)} pictures of val are in train too, so that val says nothing of new pictures", stacklevel=2)
    return train, val


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
        asides = sorted(folder.parent.glob(f"{folder.name}-[0-9]*"))  # where something of the reader's lay in the run's own place
        for place in (folder, *asides, out):  # in `out`: trained, and not yet stored where it belongs
            if place is not None and (place / "record.json").exists():
                found = read_run(place)
                if (place is folder or found.record["key"] == key) and seen_by in (None, found.record.get("observer")):
                    observer(live).loaded(found)
                    return found
        start = None if config.start is None else run(*config.start.split("/"), profile, seed, progress, observer=observer)
        options = {"code": code, "start": start, "progress": progress, "keep_weights": out is None}
        return train(config, *data, out or folder, observer=observer(live), **options)
