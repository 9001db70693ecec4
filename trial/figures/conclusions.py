"""What a figure shows, in a sentence that is computed from what it draws, so that no new run can make it untrue.

Inside: `extremes` (of arms over seeds), `overconfidence` (of scores), `largest_step` (of a road).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from trial.register.comparisons import Arm, by_arm, reliability
from yolo_core.training.records import Run


def extremes(
    arms: Mapping[str, Arm],
    sets: Mapping[str, Iterable[Run]],
    values: Mapping[str, Callable[[dict[str, Any]], float]],
) -> str:
    """Of each value of `comparisons.arm_dots`, the arms with the highest and the lowest mean over seeds, by data set; empty where fewer
    than two arms have run."""
    stored = {name: by_arm(runs) for name, runs in sets.items()}
    sentences = []
    for title, value in values.items():
        said = []
        for name, runs in stored.items():
            means = {row: float(np.mean([value(run.metrics) for run in runs[arm]])) for row, arm in arms.items() if arm in runs}
            if len(means) > 1:
                most, least = max(means, key=means.__getitem__), min(means, key=means.__getitem__)
                said.append(f"on {name} highest for *{most}* ({means[most]:.3g}), lowest for *{least}* ({means[least]:.3g})")
        if said:
            sentences.append(f"**{title}**, averaged over seeds: {'; '.join(said)}.")
    return " ".join(sentences)


def overconfidence(runs: Sequence[Run]) -> str:
    """By how much the mean score of the detections exceeds the share of them that is true, runs pooled, ready to print: "+0.12"."""
    pooled = {key: float(values.sum()) for key, values in reliability(runs).items()}
    if not pooled["detections"]:
        return "nothing, for want of detections,"
    return f"{(pooled['score_sum'] - pooled['true']) / pooled['detections']:+.2f}"


def largest_step(road: Mapping[str, Sequence[float]]) -> str:
    """Of values in order, a list of seeds each, the step that raises the mean most, in words; empty lists are passed over."""
    means = {name: float(np.mean(seeds)) for name, seeds in road.items() if len(seeds)}
    names = list(means)
    steps = {name: means[name] - means[before] for before, name in zip(names, names[1:], strict=False)}
    if not steps:
        return "Fewer than two of these detectors have run."
    most = max(steps, key=steps.__getitem__)
    return f"The largest step is that to *{most}*: {steps[most]:+.3f}."
