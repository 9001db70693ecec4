"""Which point answers for which object.

Inside: `by_cell` (YOLOv1's rule), `task_aligned` (TOOD's, YOLOv8's), `Assignment`, `lost`, `paired_with`.

Both give every object a total weight of 1 in the box loss, however many points it has: what differs is who learns, not how loudly.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from anchor_free.points import Points, Truth
from yolo_core.detector.boxes import paired_iou

# An object belongs to the finest level on which it is at most so many strides wide (the root of its area).
CELLS_WIDE = 8
TINY = 1e-30  # alignments are sixth powers: small ones must not drown in it


class Assignment(NamedTuple):
    """What every point is taught."""

    object: Int[Tensor, "n a"]  # the index of its object among its image's; -1 for background
    quality: Float[Tensor, "n a"]  # the score its object's class should get; 0 for background
    weight: Float[Tensor, "n a"]  # of its box loss; sums to 1 over the points of an object

    @property
    def positive(self) -> Bool[Tensor, "n a"]:
        return self.object >= 0


def paired_with(truth: Float[Tensor, "n m 4"], index: Int[Tensor, "n a"]) -> Float[Tensor, "n a 4"]:
    """Each point's object's box; for background points some box, never used."""
    return truth.gather(1, index.clamp(min=0)[..., None].expand(-1, -1, 4))


def cells(points: Points, truth: Truth) -> Int[Tensor, "n m"]:
    """The point whose cell holds each object's centre, on the level that fits its size."""
    sides = torch.tensor(points.sides, device=truth.boxes.device)
    firsts = torch.cat([sides.new_zeros(1), sides.square().cumsum(0)[:-1]])
    size = (truth.boxes[..., 2:] - truth.boxes[..., :2]).clamp(min=0)
    width = size.prod(-1).sqrt()[..., None] * sides  # in strides of each level
    level = (width[..., :-1] > CELLS_WIDE).sum(-1)  # every level too fine is passed over; the coarsest takes what is left
    side = sides[level]
    middle = (truth.boxes[..., :2] + truth.boxes[..., 2:]) / 2
    column_row = (middle * side[..., None]).long().clamp(min=0).minimum(side[..., None] - 1)
    return firsts[level] + column_row[..., 1] * side + column_row[..., 0]


def by_cell(points: Points, predicted: Float[Tensor, "n a 4"], truth: Truth) -> Assignment:
    """The point whose cell holds the object's centre, and no other; where two meet the first listed stays (Redmon et al., 2016).

    Its score should be the IoU of its box with the object, as YOLOv1's confidence.
    """
    chosen = cells(points, truth)
    index = torch.full(predicted.shape[:2], -1, device=predicted.device)
    for j in reversed(range(chosen.shape[1])):  # the first listed is written last
        real = truth.real[:, j]
        index[real, chosen[real, j]] = j
    positive = index >= 0
    iou = paired_iou(predicted, paired_with(truth.boxes, index))
    return Assignment(index, torch.where(positive, iou, 0.0), positive.to(predicted.dtype))


def task_aligned(
    points: Points,
    predicted: Float[Tensor, "n a 4"],
    scores: Float[Tensor, "n a c"],
    truth: Truth,
    most: int = 10,
    alpha: float = 1.0,
    beta: float = 6.0,
) -> Assignment:
    """The points that do best at classifying and placing an object together (Feng et al., 2021, section 3.2).

    The alignment of a point with an object is t = s^alpha u^beta (eq-alignment): s its score for the object's class, u the IoU of its
    box. The `most` best aligned of the points inside the object's box answer for it; a point that two objects want goes to the one it
    overlaps most. An object that holds no point gets the one in its cell. The score a point should reach is its t over the object's
    largest t, times the object's largest u (eq-target).
    """
    u = paired_iou(predicted[:, None], truth.boxes[:, :, None])  # n m a
    s = scores.gather(2, truth.labels[:, None].expand(-1, scores.shape[1], -1)).transpose(1, 2)
    t = s.clamp(min=0).pow(alpha) * u.pow(beta)  # eq-alignment

    x, y = points.centres(predicted).unbind(-1)
    left, top, right, bottom = (edge[..., None] for edge in truth.boxes.unbind(-1))
    inside = (x > left) & (x < right) & (y > top) & (y < bottom)  # n m a
    own = torch.zeros_like(inside).scatter(2, cells(points, truth)[..., None], value=True)
    inside = torch.where(inside.any(-1, keepdim=True), inside, own) & truth.real[..., None]

    ranked = torch.where(inside, t, -1.0).sort(dim=-1, descending=True, stable=True)  # ties too
    best = ranked.indices[..., :most]
    wanted = torch.zeros_like(inside).scatter(2, best, value=True) & inside
    owner = torch.where(wanted, u, -1.0).argmax(1)
    index = torch.where(wanted.any(1), owner, -1)
    objects = torch.arange(truth.labels.shape[1], device=u.device)[:, None]
    mine = wanted & (owner[:, None] == objects)  # n m a

    aligned = torch.where(mine, t, 0.0)
    overlap = torch.where(mine, u, 0.0).amax(-1, keepdim=True)
    quality = aligned / aligned.amax(-1, keepdim=True).clamp(min=TINY) * overlap  # eq-target
    weight = torch.where(mine, t + TINY, 0.0)
    weight = weight / weight.sum(-1, keepdim=True).clamp(min=TINY)
    return Assignment(index, quality.sum(1), weight.sum(1))


def lost(assignment: Assignment, truth: Truth) -> Bool[Tensor, "n m"]:
    """Which objects no point answers for."""
    own = assignment.object[:, None] == torch.arange(truth.labels.shape[1], device=truth.labels.device)[:, None]
    return truth.real & ~own.any(-1)
