"""A run's record: what ran, on what, with which result.

Inside: `Run`, `run_key`, `write_run`, `keep` (the same, whatever the disk says), `write_table`, `read_run`, `environment`.

A run is a folder: record.json (configuration, data, code, metrics; host and times apart), curves.parquet (each step's loss terms),
epochs.parquet (the val split's scores), probe tables if any, weights.safetensors. record.json is written last: a folder without it
is not a run. Two runs of one key on one machine differ in "host" and "times" only.
"""

import hashlib
import json
import math
import os
import platform
import shutil
import subprocess
import tempfile
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from groundwork.errors import InputError
from groundwork.files import shared
from groundwork.paths import ROOT
from groundwork.strict_json import dumps, nan_for_null
from groundwork.versions import versions
from yolo_core.training.config import RunConfig, config_from_dict

SCHEMA = 1
PARTS = {"key": str, "config": dict, "data": dict, "code": str, "metrics": dict}
GROUPS = frozenset({"cuts", "per_class", "resampled"})
COUNTS = frozenset({"true", "false", "images", "objects"})
SHARES = frozenset(
    {"map", "map_11point", "map_class_agnostic", "map_class_agnostic_nms", "map_as_released", "ceiling", "recall", "precision"}
)
COLUMNS = {"curves": {"step", "epoch", "gradient_norm"}, "epochs": {"epoch", "step", "map"}, "scores": {"score"}}  # at least
PACKAGES = ("torch", "torchvision", "lightning-fabric", "numpy", "pandas")
PATIENCE = 30  # s that git has to say which commit this is


@dataclass(frozen=True)
class Run:
    """A finished run, read from its folder when asked."""

    folder: Path
    record: dict[str, Any]

    @property
    def config(self) -> RunConfig:
        return config_from_dict(self.record["config"], str(self.folder / "record.json"))

    @property
    def metrics(self) -> dict[str, Any]:
        return self.record["metrics"]

    def table(self, name: str) -> pd.DataFrame:
        """A table by name: "curves", "epochs", with probes "terms" and "cells". InputError if it is missing or torn, or lacks a column."""
        path = self.folder / f"{name}.parquet"
        if not path.exists():
            have = ", ".join(sorted(p.stem for p in self.folder.glob("*.parquet")))
            raise InputError(f"{path}: this run holds no table {name!r}; it has {have}")
        try:
            table = pd.read_parquet(path)
        except Exception as error:  # a torn file can fail anywhere in pyarrow, and in many lines
            raise InputError(f"{path}: not a table ({' '.join(str(error).split())[:200]}); train the run again") from error
        if lacking := COLUMNS.get(name, set()) - set(table.columns):
            raise InputError(f"{path}: the table has no column {min(lacking)!r}; train the run again")
        return table

    def weights(self) -> dict[str, torch.Tensor]:
        """By name. InputError if they are missing or torn."""
        path = self.folder / "weights.safetensors"
        try:
            with open(path, "rb"):  # of one that may not be read, safetensors says that it is not there
                return load_file(path)
        except PermissionError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror}); ask its owner for the right") from error
        except Exception as error:  # safetensors raises its own kinds for a torn file
            raise InputError(f"{path}: weights are missing or cannot be read ({error}); train the run again") from error


def run_key(config: RunConfig, fingerprints: dict[str, str], code: str) -> str:
    """What makes two runs the same run: configuration, content of the data, syntax of the code."""
    parts = {"config": config.to_dict(), "data": fingerprints, "code": code, "schema": SCHEMA}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def environment(device: str) -> dict[str, Any]:
    """The machine and the versions, as far as they can change a result or a time."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "device": device,
        **({"card": torch.cuda.get_device_name(device)} if device.startswith("cuda") else {}),
        "cpu_count": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "packages": versions(PACKAGES),
        "commit": _commit(),
    }


def _commit() -> str | None:
    """HEAD of the checkout, "+" appended unless the tree is known to be the same; None outside a checkout, and where git cannot say."""
    git = partial(subprocess.run, capture_output=True, text=True, errors="replace", timeout=PATIENCE, check=False)
    try:
        if not (ROOT / ".git").exists():
            return None
        head = git(["git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD"])
        status = git(["git", "-C", str(ROOT), "status", "--porcelain", "-uno"])
    except (OSError, subprocess.SubprocessError):  # there is no git, or it does not answer
        return None
    if head.returncode:
        return None
    return head.stdout.strip() + ("+" if status.returncode or status.stdout.strip() else "")


def write_run(folder: Path, record: dict[str, Any], tables: dict[str, pd.DataFrame], weights: dict[str, torch.Tensor]) -> Run:
    """Write a run beside its place and move it there, so that a reader sees a whole run or none.

    What lies there is replaced if it is a run of the same key; beside anything else the run gets another name, with a warning.
    """
    folder = folder if _key(folder) == record["key"] else _free(folder)
    draft = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        for name, table in tables.items():
            if not table.empty:
                write_table(table, draft / f"{name}.parquet")
        save_file({name: tensor.contiguous() for name, tensor in weights.items()}, draft / "weights.safetensors")
        shared(draft / "weights.safetensors")
        (draft / "record.json").write_text(dumps({"schema": SCHEMA, **record}, sort_keys=True) + "\n", encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return Run(folder, {"schema": SCHEMA, **record})


def _key(folder: Path) -> str | None:
    """The key of the run in a folder; None where there is no sound one."""
    try:
        return read_run(folder).record["key"]
    except InputError:
        return None


def keep(folder: Path, record: dict[str, Any], tables: dict[str, pd.DataFrame], weights: dict[str, torch.Tensor]) -> Run:
    """`write_run`; where the disk refuses, the run is written among the system's temporary files, so that a result of hours is not lost.
    InputError that says where it lies."""
    try:
        return write_run(folder, record, tables, weights)
    except (OSError, SafetensorError) as error:
        said = getattr(error, "strerror", None) or error
    place = None
    try:
        place = Path(tempfile.mkdtemp(prefix="yolo-core-"))
        where = f"the finished run lies in {write_run(place / folder.name, record, tables, weights).folder}; move it to where there is room"
    except (OSError, SafetensorError):
        if place is not None:
            shutil.rmtree(place, ignore_errors=True)
        where = "give the same command again where there is room: it goes on from its last checkpoint, if one could be written"
    raise InputError(f"{folder}: cannot be written ({said}); {where}")


def _free(folder: Path) -> Path:
    """`folder`, or folder-2, folder-3 ..., the first where nothing lies; warns if it is another."""
    number, place = 1, folder
    while place.exists() and not (place.is_dir() and not any(place.iterdir())):
        number += 1
        place = folder.with_name(f"{folder.name}-{number}")
    if place != folder:
        warnings.warn(f"{folder}: something lies there by now; the run is written to {place}", stacklevel=3)
    return place


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table of numbers, truth values and words, without its index, in a small file that reads back the same to the bit.

    The bytes of a column's numbers are sorted by their place before they are compressed, so that float64 which came from float32 takes
    little more than float32: its last bytes are all zero. Left out is what no reader here asks for: pandas' schema, Arrow's, statistics.
    """
    from pyarrow import Table, parquet  # here: who only reads records need not wait for it

    numbers = [name for name, dtype in table.dtypes.items() if dtype.kind in "iuf"]
    others = [name for name in table.columns if name not in numbers]
    small = {"compression": "zstd", "compression_level": 19, "store_schema": False, "write_statistics": False}
    plain = Table.from_pandas(table, preserve_index=False)
    parquet.write_table(plain, path, use_byte_stream_split=numbers, use_dictionary=others, **small)


def read_run(folder: Path | str) -> Run:
    """The run in a folder. InputError if there is none, or none that this version can read."""
    folder = Path(folder)
    path = folder / "record.json"
    if not path.exists():
        raise InputError(f"{folder}: not a finished run (no record.json); name the --out of a training that has ended")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # no file, no text, no JSON, no JSON of this earth
        raise InputError(f"{path}: not a record ({error}); train the run again") from error
    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
        found = record.get("schema") if isinstance(record, dict) else type(record).__name__
        raise InputError(f"{path}: record of schema {str(found)[:40]}, this version reads {SCHEMA}; train the run again")
    if isinstance(record.get("metrics"), dict):
        record["metrics"] = nan_for_null(record["metrics"])
    if fault := _fault(record):
        raise InputError(f"{path}: {fault}; train the run again")
    return Run(folder, record)


def _fault(record: dict[str, Any]) -> str | None:
    """What a record lacks, or says that no run can have found; None where it is sound."""
    for key, kind in PARTS.items():
        if not isinstance(record.get(key), kind):
            return f"expected {key!r} to be a {kind.__name__}, got {str(record.get(key))[:40]!r}"
    if not isinstance(record["data"].get("fingerprints"), dict):
        return "expected the fingerprints of its data, got none"
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
            sound = all(type(v) in (int, float) and (0 <= v <= 1 + 1e-9 or math.isnan(v) and nan) for v in some)
        if not sound:
            return f"{inside} has {key[:40]!r} of {str(value)[:40]!r}, which no run can have scored"
        if isinstance(value, dict) and (found := _impossible(value, key, empty)):
            return found
    return None
