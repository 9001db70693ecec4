"""A run's record: what ran, on what, with which result.

Inside: `Run`, `run_key`, `write_run`, `read_run`, `environment`.

A run is a folder: record.json (configuration, data, code, metrics; host and times apart), curves.parquet (each step's loss terms),
epochs.parquet (the val split's scores), probe tables if any, weights.safetensors. record.json is written last: a folder without it
is not a run. Two runs of one key on one machine differ in "host" and "times" only.
"""

import hashlib
import json
import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors.torch import load_file, save_file

from yolo_core.errors import InputError
from yolo_core.study.config import RunConfig, config_from_dict
from yolo_core.study.paths import ROOT

SCHEMA = 1
PACKAGES = ("torch", "torchvision", "lightning-fabric", "numpy", "pandas")


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
        """A table by name: "curves", "epochs", and with probes "terms" and "cells"."""
        path = self.folder / f"{name}.parquet"
        if not path.exists():
            have = ", ".join(sorted(p.stem for p in self.folder.glob("*.parquet")))
            raise InputError(f"{path}: this run holds no table {name!r}; it has {have}")
        return pd.read_parquet(path)

    def weights(self) -> dict[str, torch.Tensor]:
        return load_file(self.folder / "weights.safetensors")


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
        "cpu_count": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "packages": {name: version(name) for name in PACKAGES},
        "commit": _commit(),
    }


def _commit() -> str | None:
    """HEAD of the checkout, "+" appended if the tree differs from it; None outside a checkout."""
    if not (ROOT / ".git").exists():
        return None
    git = ["git", "-C", str(ROOT)]
    head = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=False)
    if head.returncode:
        return None
    changed = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=False).stdout.strip()
    return head.stdout.strip() + ("+" if changed else "")


def write_run(folder: Path, record: dict[str, Any], tables: dict[str, pd.DataFrame], weights: dict[str, torch.Tensor]) -> Run:
    """Write a run beside its place and move it there, so that a reader sees a whole run or none."""
    draft = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        for name, table in tables.items():
            if not table.empty:
                table.to_parquet(draft / f"{name}.parquet", index=False)
        save_file({name: tensor.contiguous() for name, tensor in weights.items()}, draft / "weights.safetensors")
        (draft / "record.json").write_text(json.dumps({"schema": SCHEMA, **record}, indent=1, sort_keys=True, allow_nan=True) + "\n")
        shutil.rmtree(folder, ignore_errors=True)
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return Run(folder, {"schema": SCHEMA, **record})


def read_run(folder: Path | str) -> Run:
    """The run in a folder. InputError if there is none, or none that this version can read."""
    folder = Path(folder)
    path = folder / "record.json"
    if not path.exists():
        raise InputError(f"{folder}: not a finished run (no record.json); train one with `python -m yolo_core train ... --out {folder}`")
    try:
        record = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a record ({error}); train the run again") from error
    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
        found = record.get("schema") if isinstance(record, dict) else type(record).__name__
        raise InputError(f"{path}: record of schema {found}, this version reads {SCHEMA}; train the run again")
    return Run(folder, record)
