"""What kind of mistake each false detection is.

Inside: `error_types`, `KINDS`.

The kinds are named after TIDE's (Bolya et al., 2020), and counted. TIDE differs: it says what mAP each kind costs, asks for class errors
before duplicates, and calls an object missed only where no detection of another class or of a bad box covers it.
"""

from collections import Counter
from collections.abc import Sequence

import torch
from torchvision.ops import box_iou

from yolo_core.detector.metrics import DIFFICULT, TRUE, match

KINDS = ("true", "duplicate", "class", "localisation", "both", "background", "missed")
NEAR, FOUND = 0.1, 0.5  # IoU: below the first a detection has nothing to do with an object, from the second on it has found it


def error_types(predictions: Sequence[dict], targets: Sequence[dict], score_threshold: float) -> dict[str, int]:
    """How many detections of at least a score are of each kind, and how many objects no true one has found ("missed").

    Kinds of a false detection, the first that fits: "duplicate", of an object that a better one has found; "class", in the place of an
    object of another class; "localisation", near one of its own class; "both", near one of another; "background", near none. Detections
    of `difficult` objects are left out, those objects are nobody's. predictions, targets: as for `metrics.match`.
    """
    found = Counter(dict.fromkeys(KINDS, 0))
    for prediction, target in zip(predictions, targets, strict=True):
        best_first = prediction["scores"].argsort(descending=True, stable=True)
        kept = best_first[prediction["scores"][best_first] >= score_threshold]
        detections = {key: value[kept] for key, value in prediction.items()}
        matches = match([detections], [target])
        easy = ~target.get("difficult", torch.zeros_like(target["labels"], dtype=torch.bool))
        boxes, labels = target["boxes"][easy], target["labels"][easy]
        overlap = box_iou(detections["boxes"].double(), boxes.double())  # d o
        own = detections["labels"][:, None] == labels
        same = torch.where(own, overlap, 0.0).amax(-1).tolist() if len(labels) else [0.0] * len(kept)
        other = torch.where(own, 0.0, overlap).amax(-1).tolist() if len(labels) else [0.0] * len(kept)
        outcomes = [int(outcome) for outcome in matches.outcome]
        found.update(_kind(*row) for row in zip(outcomes, same, other, strict=True) if row[0] != DIFFICULT)
        found["missed"] += int(easy.sum()) - outcomes.count(TRUE)
    return {kind: found[kind] for kind in KINDS}


def _kind(outcome: int, same: float, other: float) -> str:
    """What a detection is, given its largest overlap with an object of its class and with one of another."""
    if outcome == TRUE:
        return "true"
    if same >= FOUND:
        return "duplicate"
    if other >= FOUND:
        return "class"
    if same >= NEAR:
        return "localisation"
    return "both" if other >= NEAR else "background"
