"""A run of the bench, kept: on what machine, with which versions, every time of every repeat.

Inside: `Record`, `write`, `read`, `told` (what the page says of one).
"""

import json
import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.contest import Growth, Row
from groundwork.environment import versions
from groundwork.errors import InputError, unreadable
from groundwork.paths import ROOT
from groundwork.strict_json import write_json

FILE = ROOT / "records" / "bench.json"
SCHEMA = 1
PEERS = ("faster-coco-eval", "pycocotools", "torchmetrics", "albumentations")
PACKAGES = ("torch", "torchvision", "numpy", "pillow", *PEERS)
COMMAND = "python -m yolo_core bench --out records/bench.json"


@dataclass(frozen=True)
class Record:
    """`made`: when, on what, with which versions; `book`: what the last build of the pocket book took, or why that is not known."""

    made: dict[str, Any]
    rows: list[Row]
    growth: list[Growth]
    book: str

    def to_dict(self) -> dict[str, Any]:
        lists = {"rows": [row.to_dict() for row in self.rows], "growth": [growth.to_dict() for growth in self.growth]}
        return {"schema": SCHEMA, "made": self.made, "book": self.book} | lists


def circumstances() -> dict[str, Any]:
    """Now, here: the machine, how busy it is, the versions."""
    import torch  # a page that only reads a record does without

    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "processor": _processor(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": _load(),
        "python": platform.python_version(),
        "packages": versions(PACKAGES),
    }


def _load() -> float | None:
    """Of the last minute; None where the system does not tell it."""
    with suppress(OSError):  # some containers hide it; Windows has none
        return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    return None


def _processor() -> str:
    """The model's name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name") and ":" in line]
    return names[0] if names else platform.processor() or platform.machine()


def write(record: Record, file: Path) -> None:
    """As JSON, whole or not at all. InputError where it cannot be written."""
    try:
        write_json(file, record.to_dict())
    except OSError as error:
        raise InputError(f"{file}: the record cannot be written ({error.strerror}); name another file.") from error


def read(file: Path = FILE) -> Record | None:
    """The record in a file, its ratios and exponents to be computed anew from its times; None if there is no such file.

    Raises InputError for one that is not a record of this version.
    """
    if not file.exists():
        return None
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        if values["schema"] != SCHEMA:
            raise ValueError(f"schema {values['schema']}, this version reads {SCHEMA}")
        rows = [Row.from_dict(row) for row in values["rows"]]
        growth = [Growth.from_dict(growth) for growth in values["growth"]]
        return Record(values["made"], rows, growth, values["book"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise unreadable(file, error) or InputError(
            f"{file}: expected a record of the bench ({error!r}); make it again: {COMMAND}"
        ) from error


def told(record: Record | None) -> dict[str, Any]:
    """What a page prints: `summary`, `circumstances`, `table`, `growth` and `book`, ready to print."""
    if record is None:
        return {
            "summary": f"Nothing has been timed yet. On an idle machine `{COMMAND}` writes the record that this page shows.",
            **dict.fromkeys(("circumstances", "table", "growth", "book"), "Not timed yet."),
        }
    made = record.made
    machine = f"{made['processor']}, {made['cores']} cores, {made['threads']} threads, {made['system']}"
    versions = ", ".join(f"{name} {number}" for name, number in sorted(made["packages"].items()))
    idle = "" if made["load"] is None else f"; load average {made['load']:.2f} as it began"
    return {
        "summary": f"How many times as fast as others, on one machine: {'; '.join(_spans(record.rows))}.",
        "circumstances": f"{made['date']}, {machine}{idle}; Python {made['python']}, {versions}.",
        "table": _table(record.rows),
        "growth": _growth(record.growth),
        "book": record.book,
    }


def _spans(rows: Sequence[Row]) -> Iterator[str]:
    """From the least to the greatest ratio of each part that meets a peer: "AP 2.1 to 40.0"."""
    for part in dict.fromkeys(row.part for row in rows if row.part != "itself"):
        ratios = [row.ratio for row in rows if row.part == part]
        yield f"{part} {' to '.join(dict.fromkeys(f'{end:.1f}' for end in (min(ratios), max(ratios))))}"


def _table(rows: Sequence[Row]) -> str:
    """Rows as a Markdown table."""
    lines = ["| what, beside what | ours | theirs | unit | ratio | least to greatest | repeats |", "|:--|--:|--:|:--|--:|:--|--:|"]
    for row in rows:
        shown, (low, high) = row.to_dict(), row.interval
        numbers = f"{shown['ours']:.3g} | {shown['theirs']:.3g} | {row.unit} | **{row.ratio:.2f}** | {low:.2f} to {high:.2f}"
        lines.append(f"| {row.name} | {numbers} | {len(row.ours)} |")
    return "\n".join(lines)


def _growth(growth: Sequence[Growth]) -> str:
    """Exponents as a Markdown table."""
    lines = ["| work | against | sizes | exponent | least to greatest |", "|:--|:--|:--|--:|:--|"]
    for each in growth:
        low, high = each.interval
        sizes = ", ".join(map(str, each.sizes))
        lines.append(f"| {each.work} | {each.axis} | {sizes} | **{each.exponent:.2f}** | {low:.2f} to {high:.2f} |")
    return "\n".join(lines)
