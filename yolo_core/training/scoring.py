"""Scoring a detector on a split.

Inside: `CUTS`, `to_float`, `predict`, `at_least`, `score`.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from voc_tree.annotation import CLASSES
from yolo_core.detector.metrics import class_agnostic, counts, match, voc_ap

# Score cuts the book reports: darknet's 0.001, the write-up's 0.4, and three between.
CUTS = (0.001, 0.05, 0.1, 0.2, 0.4)


def to_float(inputs: Tensor, device: torch.device | str) -> Tensor:
    """uint8 pictures to float in [0, 1], half-precision features to float; channels last, for faster convolutions on a CPU."""
    floats = inputs.to(device, non_blocking=True).float()
    floats = floats.div_(255) if inputs.dtype == torch.uint8 else floats
    return floats.contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def predict(model: nn.Module, inputs: Tensor, batch_size: int = 32, device: torch.device | str = "cpu") -> Tensor:
    """The outputs [N, S, S, k] for uint8 pictures [N, 3, s, s], or for their features, on the CPU. Leaves the model's mode as it was."""
    mode, features = model.training, inputs.dtype != torch.uint8
    model.eval()
    outputs = [model(to_float(batch, device), features=features).float().cpu() for batch in inputs.split(batch_size)]
    model.train(mode)
    return torch.cat(outputs)


def at_least(predictions: Sequence[dict], cut: float) -> list[dict]:
    """The detections that score at least `cut`. The same as decoding at that cut: suppression never looks at a lower score."""
    kept = [p["scores"] >= cut for p in predictions]
    return [{key: value[k] for key, value in p.items()} for p, k in zip(predictions, kept, strict=True)]


def score(detections: Sequence[dict], targets: Sequence[dict]) -> dict[str, Any]:
    """Detections of score >= 0.001 against `{boxes, labels, difficult}` an image: mAP at IoU 0.5, by either rule of VOC, for each class,
    and at each of `CUTS` with the counts there; "map_class_agnostic" forgets the labels. `difficult` objects are ignored."""
    area, matches = voc_ap(detections, targets), match(detections, targets)
    cuts = {}
    for cut in CUTS:
        found = counts(matches, cut)
        cuts[str(cut)] = {
            "map": voc_ap(at_least(detections, cut), targets).map,
            "true": found.true,
            "false": found.false,
            "recall": found.recall,
            "precision": found.precision,
            "false_per_image": found.false_per_image,
        }
    return {
        "map": area.map,
        "map_11point": voc_ap(detections, targets, method="11point").map,
        "map_class_agnostic": voc_ap(class_agnostic(detections), class_agnostic(targets)).map,
        "per_class": {CLASSES[label]: ap for label, ap in area.per_class.items()},
        "cuts": cuts,
        "images": len(targets),
        "objects": len(matches.objects),
    }
