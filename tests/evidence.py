"""The project's own records, read once a process: several files of tests judge by them.

Inside: `stored`, `findings`.
"""

from functools import cache

from trial.register import committed
from trial.register.verdicts import Finding
from yolo_core.training.records import Run

_read = committed.stored  # itself, where a test puts `stored` in its place


@cache
def stored(profile: str) -> list[Run]:
    """The committed runs of a profile; not to be changed."""
    return _read(profile)


@cache
def findings(profile: str) -> list[Finding]:
    """Every claim, judged by them."""
    return committed.judged(profile, stored(profile))
