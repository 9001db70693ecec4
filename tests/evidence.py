"""The project's own records, read once a process: several files of tests judge by them.

Inside: `stored`, `findings`.
"""

from functools import cache

from trial.register import committed
from trial.register.verdicts import Finding, register
from yolo_core import experiments
from yolo_core.training.records import Run


@cache
def stored(profile: str) -> list[Run]:
    """The committed runs of a profile; not to be changed."""
    return committed.stored(profile)


@cache
def findings(profile: str) -> list[Finding]:
    """Every claim, judged by them."""
    return register((run.record for run in stored(profile)), experiments.profile_of(profile).data[0])
