"""Plain second versions of what the package computes, for tests to compare with. Nothing here is fast, or imports the package.

Inside: `iou`, `loss` (cell by cell), `average_precision` (an oracle for Pascal VOC's AP), `central_difference`, `random_targets`,
`random_outputs`.
"""

import math
import random
from collections.abc import Callable
from fractions import Fraction

import torch
from torch import Tensor

ROOT_FLOOR = 1e-6


def iou(a, b):
    """Intersection over union of two boxes (x1, y1, x2, y2), numbers or scalar tensors; 0 where the boxes do not meet."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0 * (a[0] + a[1])
    intersection = width * height
    return intersection / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - intersection)


def encode(targets: list[dict], s: int, centre: str) -> dict[tuple[int, int, int], tuple]:
    """The object each cell holds: {(image, row, column): (x, y, width, height, label)}, the first listed staying."""
    held = {}
    for image, target in enumerate(targets):
        for box, label, difficult in zip(target["boxes"].tolist(), target["labels"].tolist(), target["difficult"].tolist(), strict=True):
            x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
            column, row = min(math.floor(s * x), s - 1), min(math.floor(s * y), s - 1)
            if difficult or (image, row, column) in held:
                continue
            if centre == "cell":
                x, y = s * x - column, s * y - row
            held[image, row, column] = (x, y, box[2] - box[0], box[3] - box[1], label)
    return held


def corners(x, y, width, height) -> tuple:
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def root(x: Tensor) -> Tensor:
    """The square root, odd in x, a straight line near 0."""
    if abs(x.item()) <= ROOT_FLOOR:
        return x / math.sqrt(ROOT_FLOOR)
    return x.sqrt() if x > 0 else -((-x).sqrt())


def loss(
    outputs: Tensor,
    targets: list[dict],
    *,
    sizes: tuple[int, int, int],
    background: str = "mse",
    lambda_coord: float = 5.0,
    lambda_noobj: float = 0.5,
    gamma: float = 2.0,
    centre: str = "cell",
    size: str = "root",
    detach_iou: bool = True,
    spare_noobj: bool = True,
    effective_batch: int | None = None,
) -> dict[str, Tensor]:
    """YOLOv1's loss for outputs [n, S, S, 5 B + C] and raw targets, a cell and a predictor at a time; sizes is (S, B, C)."""
    s, b, classes = sizes
    held = encode(targets, s, centre)
    zero = outputs.new_zeros(())
    terms = {"box": zero, "object": zero, "background": zero, "class": zero}
    empty_squares, held_squares = [zero] * b, [zero] * b  # W_j and O_j of the released reduction

    def to_box(x, y, width, height, row, column) -> tuple:
        return corners((x + column) / s, (y + row) / s, width, height) if centre == "cell" else corners(x, y, width, height)

    def pays(c: Tensor) -> Tensor:
        match background:
            case "mse":
                return c**2
            case "focal":
                return abs(c) ** (gamma + 2)
            case "focal-detached":
                return abs(c.item()) ** gamma * c**2
            case "focal-literal":
                return abs(1 - c) ** gamma * c**2
            case "qfl":  # cross-entropy of sigmoid(c) against 0
                return torch.sigmoid(c) ** gamma * -torch.log(1 - torch.sigmoid(c))
            case "focal-coupled":
                return zero

    for image in range(len(outputs)):
        for row in range(s):
            for column in range(s):
                cell = outputs[image, row, column]
                predictors = [cell[5 * j : 5 * j + 5] for j in range(b)]
                if (image, row, column) not in held:
                    for j, (*_, c) in enumerate(predictors):
                        terms["background"] = terms["background"] + lambda_noobj * pays(c)
                        empty_squares[j] = empty_squares[j] + c**2
                    continue
                x, y, width, height, label = held[image, row, column]
                truth = to_box(x, y, width, height, row, column)
                overlaps, distances = [], []
                for px, py, pw, ph, _ in predictors:
                    if size == "root":
                        pw, ph = pw**2, ph**2
                    box = to_box(px, py, pw, ph, row, column)
                    # A box of negative size is empty.
                    overlaps.append(iou(box, truth) if pw > 0 and ph > 0 else 0 * pw)
                    middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2, pw, ph)
                    goal = ((truth[0] + truth[2]) / 2, (truth[1] + truth[3]) / 2, width, height)
                    distances.append(math.dist([m.item() for m in middle], goal))
                if max(overlaps) > 0:
                    chosen = max(range(b), key=lambda j: overlaps[j].item())
                else:
                    chosen = min(range(b), key=lambda j: distances[j])
                px, py, pw, ph, c = predictors[chosen]
                rw, rh = (pw, ph) if size == "root" else (root(pw), root(ph))
                error = (px - x) ** 2 + (py - y) ** 2 + (rw - math.sqrt(width)) ** 2 + (rh - math.sqrt(height)) ** 2
                terms["box"] = terms["box"] + lambda_coord * error
                quality = overlaps[chosen].item() if detach_iou else overlaps[chosen]
                if background == "qfl":
                    p = torch.sigmoid(c)
                    entropy = -quality * torch.log(p) - (1 - quality) * torch.log(1 - p)
                    terms["object"] = terms["object"] + abs(quality - p) ** gamma * entropy
                else:
                    terms["object"] = terms["object"] + (c - quality) ** 2
                for j, (*_, other) in enumerate(predictors):
                    held_squares[j] = held_squares[j] + (other - 1) ** 2
                    if j != chosen and spare_noobj:
                        terms["background"] = terms["background"] + lambda_noobj * pays(other)
                for k in range(classes):
                    terms["class"] = terms["class"] + (cell[5 * b + k] - float(k == label)) ** 2
    if background == "focal-coupled":
        terms["background"] = lambda_noobj * sum(w * (w + o) for w, o in zip(empty_squares, held_squares, strict=True))
    return {name: term / (effective_batch or len(outputs)) for name, term in terms.items()}


def average_precision(predictions: list[dict], targets: list[dict], iou_threshold: float, method: str) -> dict[int, float]:
    """Pascal VOC's AP a class, as the devkit's VOCevaldet goes about it: one class, one detection at a time."""
    objects = [list(zip(t["boxes"].tolist(), t["labels"].tolist(), t["difficult"].tolist(), strict=True)) for t in targets]
    found = {}
    for label in range(100):
        to_find = sum(kind == label and not difficult for image in objects for _, kind, difficult in image)
        if not to_find:
            continue
        detections = [
            (score, image, box)
            for image, prediction in enumerate(predictions)
            for box, score, kind in zip(
                prediction["boxes"].tolist(), prediction["scores"].tolist(), prediction["labels"].tolist(), strict=True
            )
            if kind == label
        ]
        detections.sort(key=lambda d: -d[0])  # stable: ties stay in the order given
        claimed = set()
        true, false = 0, 0
        points = []  # (recall, precision) after each detection
        for _, image, box in detections:
            best, best_overlap = None, -math.inf
            for index, (other, kind, _) in enumerate(objects[image]):
                overlap = iou(box, other)
                if kind == label and overlap > best_overlap:
                    best, best_overlap = index, overlap
            if best is not None and best_overlap >= iou_threshold:
                if objects[image][best][2]:
                    continue
                if (image, best) not in claimed:
                    claimed.add((image, best))
                    true += 1
                else:
                    false += 1
            else:
                false += 1
            points.append((Fraction(true, to_find), Fraction(true, true + false)))

        def best_precision(recall: Fraction, points: list = points) -> Fraction:
            return max((p for r, p in points if r >= recall), default=Fraction(0))

        if method == "11point":
            found[label] = float(sum(best_precision(Fraction(i, 10)) for i in range(11)) / 11)
        else:
            steps = [Fraction(k, to_find) for k in range(to_find + 1)]
            reached = max((r for r, _ in points), default=Fraction(0))
            found[label] = float(sum((b - a) * best_precision(b) for a, b in zip(steps, steps[1:], strict=False) if b <= reached))
    return found


def central_difference(function: Callable[[Tensor], Tensor], x: Tensor, step: float = 1e-6) -> Tensor:
    """The gradient of a scalar function at x, number by number: (f(x + h) - f(x - h)) / 2h."""
    x = x.detach().clone()
    gradient = torch.zeros_like(x)
    for index in range(x.numel()):
        value = x.view(-1)[index].item()
        x.view(-1)[index] = value + step
        above = function(x.clone()).item()
        x.view(-1)[index] = value - step
        below = function(x.clone()).item()
        x.view(-1)[index] = value
        gradient.view(-1)[index] = (above - below) / (2 * step)
    return gradient


def random_targets(seed: int, images: int, classes: int = 20, most: int = 6) -> list[dict]:
    """Targets whose corners are multiples of 1/64, so that nothing is lost to rounding; about one object in five is difficult."""
    draw = random.Random(seed)
    targets = []
    for _ in range(images):
        boxes = []
        for _ in range(draw.randint(0, most)):
            x1, y1 = draw.randint(0, 62), draw.randint(0, 62)
            boxes.append([x1 / 64, y1 / 64, draw.randint(x1 + 1, 64) / 64, draw.randint(y1 + 1, 64) / 64])
        targets.append(
            {
                "boxes": torch.tensor(boxes).view(-1, 4),
                "labels": torch.tensor([draw.randrange(classes) for _ in boxes], dtype=torch.int64),
                "difficult": torch.tensor([draw.random() < 0.2 for _ in boxes], dtype=torch.bool),
            }
        )
    return targets


def random_outputs(seed: int, images: int, sizes: tuple[int, int, int]) -> Tensor:
    """float64 outputs [n, S, S, 5 B + C]: some boxes meet their object, some do not, some have negative sizes."""
    s, b, classes = sizes
    generator = torch.Generator().manual_seed(seed)
    return 0.4 + 0.5 * torch.randn(images, s, s, 5 * b + classes, generator=generator, dtype=torch.float64)
