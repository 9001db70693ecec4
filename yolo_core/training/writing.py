"""A run's record, written: whole or not at all.

Inside: `run_key`, `write_run`, `keep` (the same, whatever the disk says).
"""

import hashlib
import json
import secrets
import shutil
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from groundwork.errors import InputError
from groundwork.files import elsewhere, shared
from groundwork.strict_json import dumps
from groundwork.tables import write_table
from yolo_core.training.config import RunConfig
from yolo_core.training.records import SCHEMA, Run, read_run


def run_key(config: RunConfig, fingerprints: dict[str, str], code: str) -> str:
    """What makes two runs the same run: configuration, content of the data and of a file of weights, syntax of the code."""
    values = config.to_dict()
    if config.weights not in (None, "imagenet") and (file := Path(config.weights)).is_file():  # however its name is spelled
        values["weights"] = hashlib.sha256(file.read_bytes()).hexdigest()
    parts = {"config": values, "data": fingerprints, "code": code, "schema": SCHEMA}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def write_run(folder: Path, record: dict[str, Any], tables: dict[str, pd.DataFrame], weights: dict[str, torch.Tensor]) -> Run:
    """Write a run beside its place and move it there, so that a reader sees a whole run or none.

    What lies there is replaced if it is a run of the same key and lengths alone; else the run gets another name, with a warning.
    """
    ours = {"record.json", "weights.safetensors", *(f"{name}.parquet" for name in tables)}
    draft = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    draft.mkdir(parents=True)
    try:
        for name, table in tables.items():
            if not table.empty:
                write_table(table, draft / f"{name}.parquet")
        save_file({name: tensor.contiguous() for name, tensor in weights.items()}, draft / "weights.safetensors")
        shared(draft / "weights.safetensors")
        (draft / "record.json").write_text(dumps({"schema": SCHEMA, **record}, sort_keys=True) + "\n", encoding="utf-8")
        if not _same(folder, record, ours):  # looked at now: writing takes its time, and another training may have ended meanwhile
            folder = _free(folder)
        for path in folder.glob("*"):
            if path.name not in ours:  # which `_beside` has let pass
                shutil.copyfile(path, draft / path.name)
        shutil.rmtree(folder, ignore_errors=True)
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return Run(folder, {"schema": SCHEMA, **record})


def _same(folder: Path, record: dict[str, Any], ours: set[str]) -> bool:
    """Whether a folder holds a sound run of the record's key, after as many steps, its start's too, and nothing else but other tables."""
    try:
        alone = all(path.name in ours or _beside(path) for path in folder.glob("*"))
        return alone and all(read_run(folder).record.get(name) == record.get(name) for name in ("key", "steps", "data"))
    except InputError:
        return False


def _beside(path: Path) -> bool:
    """Whether a file in a run's folder goes with the run: another observer's table, the reader's own, or what a system keeps there."""
    return path.is_file() and (path.suffix == ".parquet" or path.name.startswith("."))


def keep(folder: Path, record: dict[str, Any], tables: dict[str, pd.DataFrame], weights: dict[str, torch.Tensor]) -> Run:
    """`write_run`; where the disk refuses, the run is written among the system's temporary files, so that a result of hours is not lost.
    InputError that says where it lies."""
    try:
        return write_run(folder, record, tables, weights)
    except (OSError, SafetensorError) as error:
        said = getattr(error, "strerror", None) or error
    if lies := elsewhere(lambda place: write_run(place / folder.name, record, tables, weights).folder):
        where = f"the finished run lies in {lies}; move it to where there is room, best to {folder}"
    else:
        where = "give the same command again where there is room: it goes on from its last checkpoint, if one could be written"
    raise InputError(f"{folder}: cannot be written ({said}); {where}")


def _free(folder: Path) -> Path:
    """`folder`, or folder-2, folder-3 ..., the first where nothing lies; warns if it is another."""
    number, place = 1, folder
    while place.exists() and not (place.is_dir() and all(path.name.startswith(".") and _beside(path) for path in place.iterdir())):
        number += 1
        place = folder.with_name(f"{folder.name}-{number}")
    if place != folder:
        warnings.warn(f"{folder}: something lies there by now; the run is written to {place}", stacklevel=3)
    return place
