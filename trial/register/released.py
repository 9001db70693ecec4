"""The four figures that the write-up published, beside the same four experiments run here.

Inside: `PUBLISHED`, `table`.
"""

from collections.abc import Mapping, Sequence

from trial.register.comparisons import Arm, averaged, by_arm
from yolo_core.training.records import Run

# mAP@.5 on VOC 2012 val, one run each, as the write-up's public code reports it (cited on the page), and the arm that has its options.
PUBLISHED: Mapping[str, tuple[float, Arm]] = {
    "Exp 1, from scratch": (0.0049, ("baseline", "released")),
    "Exp 2, focal": (0.0000, ("baseline", "released-focal")),
    "Exp 3, frozen": (0.0356, ("transfer", "released")),
    "Exp 4, fine-tuned": (0.0236, ("finetune", "released")),
}
SCORED = {"as released": "map_as_released", "by VOC's rule": "map"}


def table(sets: Mapping[str, Sequence[Run]]) -> str:
    """Markdown: a row per experiment, the published figure, then for each data set its mean over seeds, scored as the public code scores
    (above 0.4, one box per cell, truth rebuilt from the grid) and by VOC's rule. sets: the committed runs by data set."""
    runs = {name: by_arm(some) for name, some in sets.items()}
    columns = [(name, how) for name in sets for how in SCORED]
    head = ["experiment", "published", *(f"{name}, {how}" for name, how in columns)]
    lines = [f"| {' | '.join(head)} |", "|:--" + "|--:" * (len(head) - 1) + "|"]
    for title, (published, arm) in PUBLISHED.items():
        cells = [averaged([run.metrics[SCORED[how]] for run in runs[name].get(arm, ())], 4) for name, how in columns]
        lines.append(f"| {' | '.join([title, f'{published:.4f}', *cells])} |")
    return "\n".join(lines)
