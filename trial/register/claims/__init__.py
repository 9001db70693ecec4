"""Every causal sentence that stands trial, and what was predicted of it.

Inside: `CLAIMS`, in three files by what they are about; `Claim`, `FLOOR`.

A claim's effect is a number computed from the records of its arms, one for each seed; its threshold is written here before the runs
that judge it (`verdicts.py`). A claim without arms is about a machine that is not here: its effect is computed by the planner.
"""

from trial.register.claims.backbone import THE_BACKBONE
from trial.register.claims.baseline_focal import THE_BASELINE_AND_FOCAL
from trial.register.claims.claim import FLOOR, Arm, Claim, Metrics, ratio
from trial.register.claims.remedies import THE_REMEDIES

__all__ = ["CLAIMS", "FLOOR", "Arm", "Claim", "Metrics", "ratio"]

CLAIMS: tuple[Claim, ...] = (*THE_BASELINE_AND_FOCAL, *THE_BACKBONE, *THE_REMEDIES)
