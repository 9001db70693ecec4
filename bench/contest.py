"""Contestants timed one after another, and what is kept of it.

Inside: `contest` (the timing), `Row` (ours beside theirs), `Growth` (time against size), `peer_module` (a package to compare with).

Only times are kept: ratios, exponents and their intervals are computed from them, here and wherever a record is read. Ratio and exponent
are medians over the repeats; an interval holds the least and the greatest.
"""

import importlib
import os
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from groundwork.errors import InputError

Number = int | float


def seconds(work: Callable[[], Any]) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def contest(contestants: Mapping[Hashable, Callable[[], Any]], repeats: int) -> tuple[dict[Any, Any], dict[Any, list[float]]]:
    """What each contestant answers, and its seconds, one number a repeat.

    The answers come from a first round that is not timed: it pays for what a first time costs, and lets the caller see that all do the
    same work. Every repeat then times all, one after another, so that a machine that slows down slows all of them.
    """
    answers = {name: work() for name, work in contestants.items()}
    times: dict[Any, list[float]] = {name: [] for name in contestants}
    for _ in range(repeats):
        for name, work in contestants.items():
            times[name].append(seconds(work))
    return answers, times


@dataclass(frozen=True)
class Row:
    """One comparison: a number of ours and one of theirs a repeat. `rate`: more is better (scenes a second); else less is (seconds)."""

    part: str  # what it belongs to: "reading"; "itself" where no peer is met
    name: str
    unit: str
    ours: list[Number]
    theirs: list[Number]
    rate: bool = False

    @property
    def ratios(self) -> list[float]:
        """How many times better ours is, a repeat each."""
        return [o / t if self.rate else t / o for o, t in zip(self.ours, self.theirs, strict=True)]

    @property
    def ratio(self) -> float:
        return float(np.median(self.ratios))

    @property
    def interval(self) -> list[float]:
        return [min(self.ratios), max(self.ratios)]

    def to_dict(self) -> dict[str, Any]:
        """The medians to read, and every time to compute them from."""
        medians = {"ours": float(np.median(self.ours)), "theirs": float(np.median(self.theirs))}
        shown = {"name": self.name, **medians, "ratio": self.ratio, "interval": self.interval, "unit": self.unit, "part": self.part}
        return shown | {"rate": self.rate, "times": {"ours": list(self.ours), "theirs": list(self.theirs)}}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Row":
        """From the recorded times alone."""
        return cls(values["part"], values["name"], values["unit"], **values["times"], rate=values["rate"])


@dataclass(frozen=True)
class Growth:
    """Seconds against size, a list of times a repeat; the exponent p of seconds = a * size^p, fitted to the logarithms of both."""

    work: str
    axis: str
    sizes: list[int]
    times: list[list[float]]  # repeats x sizes

    @property
    def exponents(self) -> list[float]:
        """By least squares, a repeat each."""
        return [float(np.polyfit(np.log(self.sizes), np.log(each), 1)[0]) for each in self.times]

    @property
    def exponent(self) -> float:
        return float(np.median(self.exponents))

    @property
    def interval(self) -> list[float]:
        return [min(self.exponents), max(self.exponents)]

    def to_dict(self) -> dict[str, Any]:
        shown = {"work": self.work, "axis": self.axis, "exponent": self.exponent, "interval": self.interval}
        return shown | {"sizes": list(self.sizes), "times": [list(each) for each in self.times]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Growth":
        return cls(values["work"], values["axis"], values["sizes"], values["times"])


def grow(work: str, axis: str, sized: Mapping[int, Callable[[], Any]], repeats: int) -> Growth:
    """The growth of a work, given at each of several sizes."""
    _, times = contest(sized, repeats)
    return Growth(work, axis, list(sized), [list(each) for each in zip(*times.values(), strict=True)])


def peer_module(name: str) -> ModuleType:
    """A module of a package to compare with. InputError if it is not installed."""
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # importing that one would ask the network for a newer version
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.split(".")[0].replace("_", "-")
        raise InputError(f"bench: {package} is not installed; install the peers with pip install 'yolo-core[test]'") from error
