"""The one exception that speaks to the reader.

Inside: `InputError`, `writing` (what a disk refuses, as one).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError


class InputError(ValueError):
    """Input that cannot be used, told in one sentence.

    The message names the file or option at fault, what was expected, what came, and what to do.
    The command line prints it after `error:` and exits with status 2; nothing half-written stays behind.
    """


@contextmanager
def writing(out: Path) -> Iterator[None]:
    """InputError for what the system says against writing `out`: a full disk, one that can only be read, a right that is missing."""
    try:
        yield
    except (OSError, SafetensorError) as error:  # safetensors wraps what the system says
        said = getattr(error, "strerror", None) or error
        raise InputError(f"{out}: cannot be written ({said}); free some space, or name a place that can be written to") from error
