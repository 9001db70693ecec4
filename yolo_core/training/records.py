"""A run's record, read: what ran, on what, with which result.

Inside: `Run`, `read_run`. What writes them: writing.py.

A run is a folder: record.json (configuration, data, code, metrics; host and times apart), curves.parquet (each step's loss terms),
epochs.parquet (the val split's scores), probe tables if any, weights.safetensors. record.json is written last: a folder without it
is not a run. Two runs of one key on one machine differ in "host" and "times" only. Torch and pandas are imported where they are needed:
who reads a record alone need not wait for them.
"""

import json
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groundwork.errors import InputError, unreadable
from groundwork.files import endless, in_utf8
from groundwork.strict_json import nan_for_null
from yolo_core.training.config import RunConfig, config_from_dict

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

SCHEMA = 1
AGAIN = "train the run again, with this folder moved away"
PARTS = {"key": str, "config": dict, "data": dict, "code": str, "metrics": dict}
GROUPS = frozenset({"cuts", "per_class", "resampled"})
COUNTS = frozenset({"true", "false", "images", "objects"})
SHARES = frozenset("map map_11point map_class_agnostic map_class_agnostic_nms map_as_released ceiling recall precision".split())
COLUMNS = {"curves": {"step", "epoch", "gradient_norm"}, "epochs": {"epoch", "step", "map"}, "scores": {"score"}}  # at least


@dataclass(frozen=True)
class Run:
    """A finished run, read from its folder when asked."""

    folder: Path
    record: dict[str, Any]

    @cached_property
    def config(self) -> RunConfig:
        return config_from_dict(self.record["config"], str(self.folder / "record.json"))

    @property
    def metrics(self) -> dict[str, Any]:
        return self.record["metrics"]

    def table(self, name: str) -> "pd.DataFrame":
        """A table by name: "curves", "epochs", with probes "terms" and "cells". InputError if it is missing or torn, or lacks a column."""
        import pandas as pd

        path = self.folder / f"{name}.parquet"
        if not path.exists():
            have = ", ".join(sorted(p.stem for p in self.folder.glob("*.parquet")))
            raise InputError(f"{path}: this run holds no table {name!r}; it has {have}")
        try:
            table = pd.read_parquet(path)
        except Exception as error:  # a torn file can fail anywhere in pyarrow, and in many lines
            raise unreadable(path, error) or InputError(f"{path}: not a table ({' '.join(str(error).split())[:200]}); {AGAIN}") from error
        if lacking := COLUMNS.get(name, set()) - set(table.columns):
            raise InputError(f"{path}: the table has no column {min(lacking)!r}; {AGAIN}")
        return table

    def weights(self) -> dict[str, "Tensor"]:
        """By name. InputError if they are missing or torn."""
        from safetensors.torch import load_file

        path = in_utf8(self.folder / "weights.safetensors")
        try:
            with open(path, "rb"):  # of one that may not be read, safetensors says that it is not there
                return load_file(path)
        except Exception as error:  # safetensors raises its own kinds for a torn file
            mend = AGAIN if path.exists() else "committed records keep none: train this arm into another folder"
            raise unreadable(path, error) or InputError(f"{path}: weights are missing or cannot be read ({error}); {mend}") from error


def read_run(folder: Path | str) -> Run:
    """The run in a folder. InputError if there is none, or none that this version can read."""
    folder = Path(folder)
    path = folder / "record.json"
    if not path.exists() or endless(path):
        raise InputError(f"{folder}: not a finished run (no record.json); name the --out of a training that has ended")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # missing, not UTF-8, not JSON, or nested too deeply
        raise unreadable(path, error) or InputError(f"{path}: not a record ({error}); {AGAIN}") from error
    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
        found = record.get("schema") if isinstance(record, dict) else type(record).__name__
        raise InputError(f"{path}: record of schema {str(found)[:40]}, this version reads {SCHEMA}; {AGAIN}")
    if isinstance(record.get("metrics"), dict):
        record["metrics"] = nan_for_null(record["metrics"])
    if fault := _fault(record):
        raise InputError(f"{path}: {fault}; {AGAIN}")
    return Run(folder, record)


def _fault(record: dict[str, Any]) -> str | None:
    """What a record lacks, or says that no run can have found; None where it is sound."""
    for key, kind in PARTS.items():
        if not isinstance(record.get(key), kind):
            return f"expected {key!r} to be a {kind.__name__}, got {str(record.get(key))[:40]!r}"
    prints = record["data"].get("fingerprints")
    if not isinstance(prints, dict) or not all(isinstance(value, str) for value in prints.values()):
        return "expected the fingerprints of its data, got none"
    total = times.get("total_s", 0) if isinstance(times := record.get("times") or {}, dict) else None
    if type(total) not in (int, float) or not 0 <= total < math.inf:
        return f"expected 'times' with 'total_s' in seconds, got {str(times)[:40]!r}"
    if record["metrics"]:  # a training that burst has none
        if type(record.get("steps")) is not int or record["steps"] < 1:
            return f"expected 'steps' to be a whole number above 0, got {str(record.get('steps'))[:40]!r}"
        if missing := [key for key in ("map", "cuts", "images", "objects") if key not in record["metrics"]]:
            return f"expected {missing[0]!r} among its metrics, got none"
    return _impossible(record["metrics"])


def _impossible(metrics: dict[str, Any], inside: str = "metrics", empty: bool = False) -> str | None:
    """The first figure that no scoring gives: a share outside [0, 1], a count below 0, words. Where a split is `empty` of objects, and
    where nothing was detected, a share is NaN (null in the file)."""
    empty = empty or metrics.get("objects") == 0
    for key, value in metrics.items():
        sound = isinstance(value, dict) or not (key in GROUPS or inside == "cuts")
        if key in COUNTS:
            sound = all(type(count) is int and count >= 0 for count in (value if isinstance(value, list) else [value]))
        elif key in SHARES or inside == "per_class":
            some = value if inside == "resampled" and isinstance(value, list) else [value]  # a value a draw
            nan = empty or key == "precision" or inside == "resampled"  # a draw may be empty of objects
            sound = all(type(v) in (int, float) and (0 <= v <= 1 + 1e-9 or v != v and nan) for v in some)
        if not sound:
            return f"{inside} has {key[:40]!r} of {str(value)[:40]!r}, which no run can have scored"
        if isinstance(value, dict) and (found := _impossible(value, key, empty)):
            return found
    return None
