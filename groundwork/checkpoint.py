"""Where a training stands, on disk, so that a kill costs a minute and no result.

Inside: `Checkpoints`, `beside` (where a run keeps its own).

A checkpoint is a folder named by its step: model.safetensors, state.pt (plain tensors, numbers and lists: loaded with
`weights_only=True`) and digests.json with the run's key. It is written aside and moved, so a folder with a step's name is whole; the
one before it stays until the next, so a file torn later still leaves one to go back to. Trainings of other keys to the same place have
folders of their own: whoever left them may come back.
"""

import hashlib
import json
import os
import secrets
import shutil
import time
import warnings
from contextlib import suppress
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from groundwork.errors import InputError, may_be_whole

FILES = ("model.safetensors", "state.pt")
KEPT = 2


def beside(out: Path) -> Path:
    """The folder of the checkpoints of the run that will be written to `out`."""
    return out.with_name(f".{out.name}.checkpoints")


class Checkpoints:
    """The checkpoints of one run, in a folder below `shared` that `key`, the run's, names. One is `due` every so many seconds; inf: none
    ever is."""

    def __init__(self, shared: Path, key: str, seconds: float = 60.0) -> None:
        self.folder, self.key = shared / hashlib.sha256(key.encode()).hexdigest()[:12], key
        self.seconds, self._saved = seconds, time.perf_counter()

    @property
    def due(self) -> bool:
        """Whether the last one is old enough."""
        return time.perf_counter() - self._saved >= self.seconds

    def save(self, step: int, weights: dict[str, Tensor], state: dict[str, Any]) -> bool:
        """Write where the training stands after `step`. A disk that is full is a warning and False: the earlier ones stay good."""
        draft = self.folder / f".{step}.{secrets.token_hex(4)}"
        try:
            draft.mkdir(parents=True, exist_ok=True)
            save_file({name: tensor.contiguous() for name, tensor in weights.items()}, draft / FILES[0])
            torch.save(state, draft / FILES[1])
            digests = {name: _digest(draft / name) for name in FILES}
            (draft / "digests.json").write_text(json.dumps({"key": self.key, **digests}), encoding="utf-8")
            shutil.rmtree(self.folder / str(step), ignore_errors=True)
            draft.rename(self.folder / str(step))
        except (OSError, RuntimeError, SafetensorError) as error:  # safetensors and torch wrap what the system says
            earlier: list[int] = []
            with suppress(OSError):  # a disk that has gone lists none
                earlier = self._steps()
            good = f"the one of step {earlier[-1]} is good" if earlier else "there is none before it"
            warnings.warn(f"{self.folder}: the checkpoint of step {step} could not be written ({error}); {good}", stacklevel=2)
            return False
        finally:
            shutil.rmtree(draft, ignore_errors=True)
            self._tidy()
            self._saved = time.perf_counter()
        with suppress(OSError):
            for old in [earlier for earlier in self._steps() if earlier <= step][:-KEPT]:  # later ones are torn: it has gone back from them
                shutil.rmtree(self.folder / str(old), ignore_errors=True)
        return True

    def latest(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """(weights, state) of the last checkpoint that can be read back whole, on the CPU wherever it was saved; None if there is none.

        Warns of each that is torn, and of other trainings' checkpoints. InputError for one that this process may not read, or has not
        the memory for: it may be whole.
        """
        if others := [place for place in self.folder.parent.glob("*") if place != self.folder and place.is_dir()]:
            told = f"checkpoints of another training lie in {', '.join(sorted(place.name for place in others))} and are left as they are"
            warnings.warn(f"{self.folder.parent}: {told}; remove what nobody will go on with", stacklevel=2)
        for step in reversed(self._steps()):
            place = self.folder / str(step)
            try:
                digests = json.loads((place / "digests.json").read_text(encoding="utf-8"))
                if digests.pop("key") != self.key:
                    raise ValueError("it belongs to another training")
                if any(_digest(place / name) != digest for name, digest in digests.items()):
                    raise ValueError("its content is not what was written")
                return load_file(place / FILES[0]), torch.load(place / FILES[1], weights_only=True, map_location="cpu")
            except Exception as error:  # a torn file can fail in any of four libraries
                if may_be_whole(error):
                    raise InputError(
                        f"{place}: the checkpoint cannot be read ({error}); mend that, or remove it to go back from it"
                    ) from error
                # Of a file that holds code torch says in many lines how to run it all the same.
                what = "it holds more than tensors, numbers and lists" if isinstance(error, UnpicklingError) else error
                warnings.warn(f"{place}: the checkpoint is torn ({what}); going back to the one before it", stacklevel=2)
        return None

    def remove(self) -> None:
        """The run is done, or will not be gone on with. Other trainings' stay."""
        for place in self.folder.glob("*"):  # one by one: the folder may be a link to where there is more room
            shutil.rmtree(place, ignore_errors=True)
        self._tidy()

    def _tidy(self) -> None:
        """Leave no folder that holds nothing."""
        for place in (self.folder, self.folder.parent):
            with suppress(OSError):  # it holds something, or is gone
                place.rmdir()

    def _steps(self) -> list[int]:
        names = []
        with suppress(FileNotFoundError, NotADirectoryError):  # PermissionError is told, where `glob` would find nothing
            names = os.listdir(self.folder)
        return sorted(int(name) for name in names if name.isdecimal())


def _digest(file: Path) -> str:
    with open(file, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
