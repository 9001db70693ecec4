"""A fresh run beside the reference runs of its arm: does this build repeat the study?

Inside: `Band`, `band_of`.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from trial.register.committed import splits_of
from trial.register.verdicts import t_quantile
from yolo_core.training.records import Run


@dataclass(frozen=True)
class Band:
    """Where one more run of an arm is expected: the 95 % prediction interval of Student's t from the reference runs' values.

    `low` and `high` are None with fewer than two reference runs.
    """

    what: str
    fresh: float
    values: tuple[float, ...]
    low: float | None
    high: float | None
    comparable: bool  # the fresh run has the reference runs' configuration, seed aside, and saw their pictures
    other: str = "another profile"  # what they have where it has not

    @property
    def inside(self) -> bool | None:
        """Whether the fresh value lies in the band; None where there is no band to lie in."""
        return self.low <= self.fresh <= self.high if self.comparable and self.low is not None else None

    @property
    def sentence(self) -> str:
        """The comparison in words, ready to print."""
        if not self.comparable:
            return f"This build's {self.what} is {self.fresh:.3f}; the reference runs have {self.other}, so the two do not compare."
        if self.low is None:
            return (
                f"This build's {self.what} is {self.fresh:.3f}; there are {len(self.values)} reference runs, "
                "too few for a prediction interval."
            )
        n = len(self.values)
        where = "inside" if self.inside else "**outside**"
        return (
            f"This build's {self.what} is {self.fresh:.3f}: {where} the prediction interval {self.low:.3f} to {self.high:.3f} "
            f"in which {n} reference runs let one expect the next (95 %)."
        )


def band_of(fresh: Run, stored: Iterable[Run], value: Callable[[dict[str, Any]], float], what: str) -> tuple[Band, list[Run]]:
    """The band of one figure of an arm, and the reference runs it is drawn from. `value` maps a run's metrics to the figure."""
    name = (fresh.config.experiment, fresh.config.arm)
    runs = [run for run in stored if (run.config.experiment, run.config.arm) == name and run.metrics]
    planned = [run for run in runs if replace(run.config, seed=fresh.config.seed) == fresh.config]
    same = [run for run in planned if splits_of(run) == splits_of(fresh)]
    values = np.array([value(run.metrics) for run in same], dtype=float)
    low = high = None
    if len(values) > 1:
        half = t_quantile(len(values)) * values.std(ddof=1) * math.sqrt(1 + 1 / len(values))
        low, high = float(values.mean() - half), float(values.mean() + half)
    comparable = len(same) == len(runs)
    other = "another profile" if len(planned) < len(runs) else "other pictures"
    return Band(what, float(value(fresh.metrics)), tuple(values.tolist()), low, high, comparable, other), same
