"""A detector that is told where every object is: what a frozen backbone's features leave to be reached by any head.

Inside: `oracle`, `Oracle`.

Boxes are the annotated ones; each object is cut out, enlarged to a square and shown to the backbone, whose features a linear classifier
reads. No head, assignment or box loss can give a detector better boxes than these, and few give it as large a picture of the object.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torchvision.ops import roi_align

from yolo_core.data.voc import VocData
from yolo_core.detector.metrics import voc_ap
from yolo_core.training.scoring import to_float

SIDE = 128  # px of a cut-out: four cells of a backbone of stride 32
MARGIN = 0.05  # of a box's sides, left around it
STEPS, DECAY = 200, 1e-3  # of the classifier's training


@dataclass(frozen=True)
class Oracle:
    """How the told detector does. Accuracies are means over classes of the share of objects named rightly."""

    map: float  # mAP@.5 on val, every class of every object scored by the classifier's probability
    seen: float  # accuracy on training scenes that the classifier was not trained on
    val: float  # accuracy on validation scenes


@torch.no_grad()
def _features(backbone: nn.Module, data: VocData, indices: range) -> tuple[Float[Tensor, "o c"], Int[Tensor, "o"], list[int]]:
    """What the backbone makes of every object of some pictures that is not difficult, with labels, and how many there are a picture."""
    backbone.eval()
    features, labels = [], []
    for i in indices:
        target = data.targets[i]
        easy = ~target["difficult"]
        boxes = target["boxes"][easy] * data.images.shape[-1]
        around = MARGIN * (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2) * torch.tensor([-1, -1, 1, 1])
        crops = roi_align(to_float(data.images[i : i + 1], "cpu"), [boxes + around], SIDE, aligned=True)
        if len(crops):
            features.append(backbone(crops.contiguous(memory_format=torch.channels_last)).mean((2, 3)))
        labels.append(target["labels"][easy])
    return torch.cat(features), torch.cat(labels), [len(found) for found in labels]


def _accuracy(scores: Float[Tensor, "o k"], labels: Int[Tensor, "o"]) -> float:
    """The mean over the classes that occur."""
    right = scores.argmax(-1) == labels
    return torch.stack([right[labels == label].float().mean() for label in labels.unique()]).mean().item()


def oracle(backbone: nn.Module, train: VocData, val: VocData) -> Oracle:
    """The told detector on a backbone's features: its classifier trained on the training split less a fifth, which is what "seen" is
    measured on, and scored on the first half as many pictures of val. Deterministic."""
    count = len(train)
    cut = count * 4 // 5
    parts = (train, range(cut)), (train, range(cut, count)), (val, range(min(count // 2, len(val))))
    (features, labels, _), (kept, kept_labels, _), (shown, shown_labels, sizes) = (_features(backbone, *part) for part in parts)
    mean, deviation = features.mean(0), features.std(0) + 1e-6
    classify = nn.Linear(features.shape[1], int(max(labels.max(), shown_labels.max())) + 1)
    nn.init.zeros_(classify.weight)
    nn.init.zeros_(classify.bias)
    optimiser = torch.optim.LBFGS(classify.parameters(), max_iter=STEPS, line_search_fn="strong_wolfe")
    inputs = (features - mean) / deviation

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = nn.functional.cross_entropy(classify(inputs), labels) + DECAY * classify.weight.square().sum()
        value.backward()
        return value

    optimiser.step(loss)
    with torch.no_grad():
        seen, found = (classify((some - mean) / deviation).softmax(-1) for some in (kept, shown))
    targets = val.targets[: len(sizes)]
    detections = []
    for scores, target in zip(found.split(sizes), targets, strict=True):
        boxes, classes = target["boxes"][~target["difficult"]], scores.shape[1]
        everything = {"boxes": boxes.repeat_interleave(classes, 0), "labels": torch.arange(classes).repeat(len(boxes))}
        detections.append({**everything, "scores": scores.flatten()})
    return Oracle(voc_ap(detections, targets).map, _accuracy(seen, kept_labels), _accuracy(found, shown_labels))
