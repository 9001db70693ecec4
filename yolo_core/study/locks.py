"""One process at a time makes a thing; the others wait for it, or do something else.

Inside: `alone`.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def alone(made: Path, wait: bool = True) -> Iterator[bool]:
    """Keep other processes off what is about to be made at `made`; whether this one may make it, which is always so if it waits.

    The lock is that of an empty file beside it, NAME.lock, which stays. It ends with the context or with the process that holds it,
    however that ends. Who has waited looks first whether the thing is there now. Not to be nested for one `made`: that would wait forever.
    """
    made.parent.mkdir(parents=True, exist_ok=True)
    with open(made.with_name(f"{made.name}.lock"), "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
