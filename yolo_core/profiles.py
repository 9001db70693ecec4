"""Where and for how long the study runs: the profiles.

Inside: `PROFILES`, `Profile`, `profile_of`, `changes`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from groundwork.errors import InputError


def changes(**values: Any) -> Mapping[str, Any]:
    """Keys of RunConfig that differ, read-only."""
    return MappingProxyType(values)


@dataclass(frozen=True)
class Profile:
    """Where a study runs: on which data, for how long. `base` holds for every experiment, `per_experiment` for one."""

    about: str
    base: Mapping[str, Any]
    train_images: int | None = None  # scenes of EmojiVOC to make; None: a tree that has to be there
    val_images: int | None = None
    per_experiment: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: MappingProxyType({}))
    volumes: Mapping[str, int] = field(default_factory=dict)  # training scenes of the arms on a share of the set
    data: tuple[str, str] = ("EmojiVOC", "emoji")  # what its pictures are, and the `data` command that makes them
    on: str = ""  # the profile whose pictures it works on; empty: its own
    pictures: tuple[int, int] | None = None  # in train and val, of a tree that has to be there

    @property
    def sizes(self) -> tuple[int, int]:
        """How many pictures are in train and in val."""
        return self.pictures or (self.train_images or 0, self.val_images or 0)


# Micro-batch and learning rate on the card, in one place; what an arm states goes before it. Every micro-batch is one that `plan` says
# fits 6 GiB. From scratch and in fine-tuning the rate is the write-up's, dense heads on a frozen backbone learn at the pocket profile's,
# convolutional ones at that of `CONV` in experiments.py.
ON_THE_CARD: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "baseline": changes(micro_batch=16, lr=1e-4),
        "focal": changes(micro_batch=16, lr=2e-4),
        "transfer": changes(micro_batch=16, lr=2e-4),
        "finetune": changes(micro_batch=16, lr=1e-5),
        "accumulation": changes(micro_batch=16, lr=1e-3),
    }
)

PROFILES: dict[str, Profile] = {
    "smoke": Profile(
        "64 emoji scenes, a few steps: does everything run?",
        changes(epochs=2, width=0.25, probe_steps=2, score_epochs=2),
        train_images=48,
        val_images=16,
        per_experiment=MappingProxyType({"finetune": changes(epochs=1, score_epochs=1)}),
        volumes=changes(quarter=12, half=24),
    ),
    "pocket": Profile(
        "EmojiVOC, two CPU cores, no download",
        # Chosen in pilots before any reference run: the rate and the dropout that a short training of the dense head does best with.
        changes(epochs=3, width=0.5, lr=2e-4, dropout=0.2, probe_steps=50, score_epochs=1),
        train_images=4800,
        val_images=600,
        per_experiment=MappingProxyType({"finetune": changes(epochs=2, train_images=1200, score_epochs=2, probe_steps=75)}),
        volumes=changes(quarter=1200, half=2400),
    ),
    # Its length was fixed before its first run; all else is as in pocket, but for the scale of pictures that Lite0's weights ask for.
    "photographs": Profile(
        "7,591 photographs of VOC 2007, VOC 2012 and COCO at 224 px, CPU or GPU",
        changes(epochs=4, width=0.5, lr=2e-4, dropout=0.2, probe_steps=50, score_epochs=1, input_scale="own"),
        per_experiment=MappingProxyType({"finetune": changes(epochs=1, score_epochs=1, probe_steps=75)}),
        volumes=changes(quarter=1592, half=3185),
        data=("photographs (VOC 2007, VOC 2012, COCO)", "photographs"),
        pictures=(6370, 1221),
    ),
    "rtx2060": Profile(
        "Pascal VOC 2012 at 448 px on a 6 GB GPU",
        changes(image_size=448, epochs=100, precision="16-mixed", probe_steps=500, score_epochs=5, backbone="resnet18"),
        per_experiment=ON_THE_CARD,
        volumes=changes(quarter=1429, half=2858),
        data=("Pascal VOC 2012", "voc"),
        pictures=(5717, 5823),
    ),
}

# The same at the write-up's own length, which is for a GPU: the answer to "a longer training".
PROFILES["long"] = replace(
    PROFILES["photographs"],
    about="the photographs for the write-up's 100 epochs, GPU",
    base=changes(**PROFILES["photographs"].base | {"epochs": 100, "probe_steps": 500, "score_epochs": 25}),
    per_experiment=MappingProxyType({}),
    on="photographs",
)


def profile_of(name: str) -> Profile:
    """A profile by name. InputError lists those there are."""
    if name not in PROFILES:
        raise InputError(f"unknown profile {name!r}; choose one of {', '.join(PROFILES)}")
    return PROFILES[name]
