"""What algebra says of a background confidence under each reading of the focal loss.

Inside: `READINGS` (`Reading`: loss, gradient, curvature), `flow`, `time_to_fall`, `floor_under_drive`, `base_rate_floor`,
`literal_barrier`, `focal_to_mse`.

One background predictor of confidence c, target 0, weight `lam`. A flow is gradient descent on a free c with a small rate, time in
units of 1 / rate: what it predicts for a network trained by Adam is a hypothesis (claim C2f). Everything takes floats or numpy arrays.
Chapter "The focal collapse" derives each of these under the label its docstring names.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

Number = float | np.ndarray
Decaying = Literal["mse", "focal", "focal-detached"]


@dataclass(frozen=True)
class Reading:
    """A loss of (c, gamma, lam) for one background predictor, and the slope a step follows.

    `gradient` is the derivative of `loss`, but for "focal-detached", where the factor is held constant. `curvature` is at c = 0.
    """

    formula: str
    loss: Callable[[Number, float, float], Number]
    gradient: Callable[[Number, float, float], Number]
    curvature: Callable[[float, float], float]  # eq-curvature


def _flat(gamma: float, at_zero_gamma: float) -> float:
    """A curvature that the factor |c|^gamma takes to 0 (eq-curvature)."""
    return at_zero_gamma if gamma == 0 else 0.0


READINGS: dict[str, Reading] = {
    "mse": Reading(
        "λ c²",
        lambda c, gamma, lam: lam * c**2,
        lambda c, gamma, lam: 2 * lam * c,  # eq-background
        lambda gamma, lam: 2 * lam,
    ),
    "focal": Reading(
        "λ |c|^γ c²",
        lambda c, gamma, lam: lam * np.abs(c) ** (gamma + 2),  # eq-focal
        lambda c, gamma, lam: lam * (gamma + 2) * np.abs(c) ** gamma * c,
        lambda gamma, lam: _flat(gamma, 2 * lam),
    ),
    "focal-detached": Reading(
        "λ sg(|c|^γ) c²",
        lambda c, gamma, lam: lam * np.abs(c) ** gamma * c**2,
        lambda c, gamma, lam: 2 * lam * np.abs(c) ** gamma * c,  # eq-detached-gradient
        lambda gamma, lam: _flat(gamma, 2 * lam),
    ),
    "focal-literal": Reading(
        "λ |1 − c|^γ c²",
        lambda c, gamma, lam: lam * np.abs(1 - c) ** gamma * c**2,  # eq-literal
        lambda c, gamma, lam: (  # eq-literal-gradient
            lam * np.abs(1 - c) ** (gamma - 1) * np.sign(1 - c) * c * (2 * (1 - c) - gamma * c)
        ),
        lambda gamma, lam: 2 * lam,
    ),
}


def focal_to_mse(c: Number, gamma: float) -> Number:
    """How many times the focal gradient is the squared error's: (gamma + 2) / 2 |c|^gamma
    (eq-ratio)."""
    return (gamma + 2) / 2 * np.abs(c) ** gamma


def _pace(reading: Decaying, gamma: float, lam: float) -> float:
    """k in dc/dt = -k c^(gamma + 1)."""
    return {"focal": (gamma + 2) * lam, "focal-detached": 2 * lam}[reading]


def flow(
    reading: Decaying,
    c0: float,
    t: Number,
    gamma: float = 2.0,
    lam: float = 0.5,
) -> Number:
    """c at time t, from c0 > 0: exponential for the squared error (eq-flow-mse),
    algebraic for the focal losses (eq-flow-focal)."""
    if reading == "mse" or gamma == 0:
        return c0 * np.exp(-2 * lam * np.asarray(t))
    return (c0**-gamma + gamma * _pace(reading, gamma, lam) * np.asarray(t)) ** (-1 / gamma)


def time_to_fall(
    reading: Decaying,
    c0: float,
    c1: float,
    gamma: float = 2.0,
    lam: float = 0.5,
) -> float:
    """The time the flow takes from c0 down to c1, 0 < c1 <= c0 (eq-time)."""
    if reading == "mse" or gamma == 0:
        return math.log(c0 / c1) / (2 * lam)
    return (c1**-gamma - c0**-gamma) / (gamma * _pace(reading, gamma, lam))


def floor_under_drive(
    reading: Decaying,
    drive: float,
    gamma: float = 2.0,
    lam: float = 0.5,
) -> float:
    """Where c rests when shared weights push it up with a constant gradient `drive` >= 0
    (eq-floor-drive): gradient(c) = drive."""
    if reading == "mse":
        return drive / (2 * lam)
    return (drive / _pace(reading, gamma, lam)) ** (1 / (gamma + 1))


def base_rate_floor(
    reading: Decaying,
    share: float,
    target: float,
    gamma: float = 2.0,
    lam: float = 0.5,
) -> float:
    """Where one c for all predictors rests, a `share` of which answer for an object with
    this target (eq-floor-rate).

    The root of (1 - share) gradient(c) + 2 share (c - target) = 0, which is increasing in
    c: found by bisection on [0, target].
    """
    slope = READINGS[reading].gradient
    low, high = 0.0, target
    for _ in range(200):
        middle = (low + high) / 2
        if (1 - share) * slope(middle, gamma, lam) + 2 * share * (middle - target) > 0:
            high = middle
        else:
            low = middle
    return (low + high) / 2


def literal_barrier() -> float:
    """The drive, over 2 lam, above which the literal reading (gamma = 2) has no well near
    0: max of c (1 - c) (1 - 2c) (eq-barrier)."""
    return 1 / (6 * math.sqrt(3))


def coupled_ratio(w: Number, o: Number) -> Number:
    """How many times the released reduction's background gradient is the squared error's:
    2 W_j + O_j (eq-coupled-ratio)."""
    return 2 * np.asarray(w) + o
