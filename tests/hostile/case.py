"""One hostile or broken input.

Inside: `Case`, `MARKER`, `pickled` (a pickle that runs code), `zipped`.
"""

import os
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

MARKER = Path("unpickled")  # in the working folder: the file that a pickle makes where it is let


@dataclass(frozen=True)
class Case:
    """What is given, and what must come of it.

    `given` is the content of a file, or what the family says. `refused` is a regular expression of the sentence that refuses it;
    empty where it is accepted, and then `means` is what it must be read as.
    """

    name: str
    given: Any
    refused: str = ""
    means: Any = None

    def put(self, path: Path) -> Path:
        """Lay `given` where the sound file lies: content, or what a function of the path does there."""
        if isinstance(self.given, Callable):
            self.given(path)
        else:
            path.write_bytes(self.given if isinstance(self.given, bytes) else self.given.encode())
        return path


def gone(path: Path) -> None:
    """No file."""
    path.unlink()


def folder(path: Path) -> None:
    """A folder by the file's name."""
    path.unlink()
    path.mkdir()


class _Code:
    def __reduce__(self) -> tuple:
        return os.mkdir, (str(MARKER),)


def pickled(protocol: int = 2) -> bytes:
    """A pickle that makes `MARKER` when it is read."""
    return pickle.dumps(_Code(), protocol)


def zipped(**files: bytes) -> bytes:
    """A zip of files; a double underscore in a name stands for a slash."""
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/"), content)
    return out.getvalue()
