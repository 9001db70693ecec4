"""The one exception that speaks to the reader.

Inside: `InputError`, `writing` (what a disk refuses, as one), `REFUSALS` (the numbers of what it may say), `AWAY` (of a disk that has
gone), `lacks_memory`, `may_be_whole` and `unreadable` (a file that was not read).
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

# A disk that was pulled out, or is worn out; whose host does not answer, or no longer knows the user. Not every system has all of them.
AWAY = frozenset(
    getattr(errno, name)
    for name in "EIO ENODEV ENXIO ESTALE ETIMEDOUT ENOTCONN EHOSTDOWN EHOSTUNREACH ENETDOWN ENETUNREACH EREMOTEIO EKEYEXPIRED".split()
    if hasattr(errno, name)
)
SHORT = frozenset({errno.ENOMEM, errno.EMFILE, errno.ENFILE})  # of memory, of files that may be open
# Full, a quota or a limit reached, to be read only, not for this user, in use; names too long, or that lead in a circle.
REFUSALS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EBUSY}) | {
    *(errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR),
    *AWAY,
    *SHORT,
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
    """Whether it is this process that cannot read a file: it lacks the right, the memory, a free file, or the host of the disk."""
    short = isinstance(error, OSError) and error.errno in AWAY | SHORT
    return short or isinstance(error, PermissionError) or lacks_memory(error)


def lacks_memory(error: Exception) -> bool:
    """Whether an error is one of too little memory. Torch and others wrap what the system says of it in errors of their own."""
    return isinstance(error, MemoryError) or "allocate memory" in str(error) or "out of memory" in str(error)
