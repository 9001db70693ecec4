"""A part's result, on disk after every answer.

Inside: `Report`, `DEVICE`.
"""

import argparse
import time
from typing import Any

import torch
from on_a_card import PARTS, note

from groundwork.environment import environment
from trial.planner.memory import GIB

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Report:
    """What a part has found so far: `found` by name, and sentences for the summary. A CPU's is a rehearsal, whatever was asked for."""

    def __init__(self, part: str, given: argparse.Namespace) -> None:
        self.part, self.file, self.rehearse = part, given.out / PARTS[part][0], given.rehearse
        self.work, self.package, self.ends = given.work, given.package, time.monotonic() + given.seconds
        self.found: dict[str, Any] = {}
        self.sentences: list[str] = []
        self.machine = {"card": _card(), "host": environment(str(DEVICE)), "rehearsal": self.rehearse or DEVICE.type == "cpu"}
        self._write()

    def add(self, name: str, value: Any) -> None:
        """An answer, or the one of that name so far."""
        self.found[name] = value
        self._write()

    def says(self, *sentences: str) -> None:
        """Sentences for the summary."""
        self.sentences += sentences
        self._write()

    def _write(self) -> None:
        note(self.file, self.part, {"found": self.found, "says": self.sentences, **self.machine})


def _card() -> dict[str, Any]:
    if DEVICE.type == "cpu":
        return {"name": "a CPU"}
    of = torch.cuda.get_device_properties(0)
    return {"name": of.name, "gib": of.total_memory / GIB, "capability": f"{of.major}.{of.minor}", "cuda": torch.version.cuda}
