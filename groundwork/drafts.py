"""A file that is whole under its own name, or not there.

Inside: `drafted`.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def drafted(file: Path) -> Iterator[Path]:
    """A name beside `file`, that nobody else has, for what is being written; at the end it takes the file's place. Where something goes
    wrong it is removed, and the file stays as it was."""
    file = Path(os.path.realpath(file))  # where a link leads: the link stays
    draft = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        yield draft
        draft.replace(file)
    finally:
        with suppress(OSError):  # gone, or never there
            draft.unlink()
