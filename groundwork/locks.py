"""One process at a time makes a thing; the others wait for it, or do something else.

Inside: `alone`, `AT_WORK` (what it says where it waits).
"""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from groundwork.errors import InputError
from groundwork.files import COPY, filling
from groundwork.paths import BUILD

AT_WORK = "another process is at work on it"
# What a file system or a system without locks says: Lustre, some NFS.
MISSING = frozenset({errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOLCK, errno.EINVAL})


@contextmanager
def alone(made: Path, wait: bool = True, busy: str = "") -> Iterator[bool]:
    """Keep other processes off what is about to be made at `made`; whether this one may make it, which is always so if it waits.
    busy: printed where it has to wait; without one standard error says what it waits for, and pages drop it.

    The lock is the system's, of an empty file beside it, NAME.lock, which stays; where there are no such locks it is a file NAME.held
    that names its holder. It ends with the context or with the process that holds it, however that ends; only a NAME.held whose process
    was killed on another machine has to be removed by hand. Who has waited looks first whether the thing is there now. Not to be nested
    for one `made`. InputError where no lock can be laid.
    """
    with filling(made.parent):
        try:
            lock = _taken(made, wait, busy)
        except OSError as error:
            place = Path(error.filename or f"{made}.lock")
            odd = os.path.lexists(place) and (
                os.path.islink(place) or not os.path.isfile(place)
            )  # a folder, or a link, which a lock does not follow
            other = COPY if made.is_relative_to(BUILD) else "name a place that can be written to"
            mend = "move it away" if odd else f"free some space, ask for the right, or {other}"
            raise InputError(f"{place}: the lock cannot be written ({error.strerror or error}); {mend}") from error
    try:
        yield lock is not None
    finally:
        if lock is not None:
            with suppress(OSError):  # the work is done, and the lock ends with the process
                lock.release()


def _taken(made: Path, wait: bool, busy: str) -> BaseFileLock | None:
    """The lock of a thing, held; None if another process holds it and this one does not wait."""
    locks: list[BaseFileLock] = [SoftFileLock(f"{made}.held")]
    if FileLock is not SoftFileLock:  # as it is without fcntl
        locks.insert(0, FileLock(f"{made}.lock", mode=0o666, fallback_to_soft=False))  # whoever may write here may lay it after us
    for lock in locks:
        try:
            lock.acquire(blocking=False)
        except Timeout:
            if not wait:
                return None
            waits = f"{made}: {AT_WORK}, by {lock.lock_file}; this one waits for it to end"
            print(busy or waits, file=sys.stdout if busy else sys.stderr, flush=True)
            while True:
                with suppress(FileNotFoundError):  # the folder has gone with what its holder could not make in it
                    lock.acquire()
                    return lock
                made.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            if error.errno not in MISSING or lock is locks[-1]:
                raise
        else:
            return lock
    return None
