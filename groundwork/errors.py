"""The one exception that speaks to the reader.

Inside: `InputError`, `writing` (what a disk refuses, as one), `REFUSALS` (the numbers of what it may say), `may_be_whole` and
`unreadable` (a file that was not read).
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

# Full, a quota or a limit reached, to be read only, not for this user, worn out or gone, or its host does not answer; names too long, or
# that lead in a circle; too many files, too little memory.
REFUSALS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE}) | {
    errno.ENAMETOOLONG,
    errno.ELOOP,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.ETIMEDOUT,
}


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


def unreadable(path: Path, error: Exception) -> InputError | None:
    """What is said of a file that this process cannot read, and that may be sound; None for another fault."""
    if not may_be_whole(error):
        return None
    said = getattr(error, "strerror", None) or " ".join(str(error).split())[:200] or "too little memory"
    mend = "ask its owner for the right" if isinstance(error, PermissionError) else "mend that: the file may be whole"
    return InputError(f"{path}: cannot be read ({said}); {mend}")


def may_be_whole(error: Exception) -> bool:
    """Whether it is this process that cannot read a file: it lacks the right, the memory, a free file, or the host of the disk. Torch and
    others wrap what the system says of memory in errors of their own."""
    short = isinstance(error, OSError) and error.errno in (errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ESTALE, errno.ETIMEDOUT)
    return short or isinstance(error, (PermissionError, MemoryError)) or "allocate memory" in str(error) or "out of memory" in str(error)
