"""The loss of a detector that predicts at points: three named terms, each with a choice.

Inside: `PointLoss`, `squared_box`, `distribution_focal`.

With `assign="cell"`, `box="squared"` and `score="squared"` this is YOLOv1's loss for one predictor a cell whose confidence and classes
are one number; each argument is one of the ideas that the write-up points to.
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot
from torchvision.ops import complete_box_iou_loss

from anchor_free.assign import Assignment, by_cell, paired_with, task_aligned
from anchor_free.points import Points
from yolo_core.detector.boxes import xyxy_to_cxcywh
from yolo_core.detector.loss import quality_focal

ROOT_FLOOR = 1e-12  # keeps the slope of a root finite at a size of 0


def squared_box(predicted: Float[Tensor, "p 4"], truth: Float[Tensor, "p 4"], stride: Float[Tensor, "p 1"]) -> Float[Tensor, "p"]:
    """Squared error of centres in strides and of the roots of sizes in pictures: YOLOv1's box term, for xyxy boxes in [0, 1]."""
    p, t = xyxy_to_cxcywh(predicted), xyxy_to_cxcywh(truth)
    centre = ((p[:, :2] - t[:, :2]) / stride).square().sum(-1)
    root = p[:, 2:].clamp(min=ROOT_FLOOR).sqrt() - t[:, 2:].clamp(min=ROOT_FLOOR).sqrt()
    return centre + root.square().sum(-1)


def distribution_focal(
    logits: Float[Tensor, "p 4 k"],
    distance: Float[Tensor, "p 4"],
) -> Float[Tensor, "p"]:
    """Cross-entropy with the two bins around each distance, weighted by nearness, mean
    over the four sides (Li et al., 2020, equation 6).

    Distances are in strides; those beyond the bins are moved to the last (eq-dfl).
    """
    last = logits.shape[-1] - 1
    distance = distance.clamp(0, last - 0.01)  # so that there is a bin above
    lower = distance.long()
    share = distance - lower
    flat = logits.flatten(0, 1)
    below, above = (
        cross_entropy(flat, edge.flatten(), reduction="none").view_as(distance)  # eq-dfl
        for edge in (lower, lower + 1)
    )
    return (below * (1 - share) + above * share).mean(-1)


class PointLoss(nn.Module):
    """The loss of an effective batch, as a dict of its terms, weights included: "box", "object" (points that answer for one), "background"
    and, with bins, "distribution". Sums over points and images, divided by the effective batch, so that micro-batches add up.

    assign: "cell" or "aligned"; box: "squared" or "ciou" (eq-ciou; Zheng et al., 2020); score: "squared", of linear scores, or "quality",
    of logits.
    """

    def __init__(
        self,
        points: Points,
        assign: Literal["cell", "aligned"] = "cell",
        box: Literal["squared", "ciou"] = "squared",
        score: Literal["squared", "quality"] = "squared",
        lambda_coord: float = 5.0,
        lambda_noobj: float = 0.5,
        gamma: float = 2.0,
    ) -> None:
        super().__init__()
        self.grid, self.assign, self.box, self.score = points, assign, box, score
        self.lambda_coord, self.lambda_noobj, self.gamma = lambda_coord, lambda_noobj, gamma

    def assignment(self, outputs: Float[Tensor, "n a k"], target: Float[Tensor, "n m 6"]) -> Assignment:
        """Who answers for what, by the net as it is: no gradient flows through it."""
        with torch.no_grad():
            parts, truth = self.grid.split(outputs), self.grid.truth(target)
            predicted = self.grid.boxes(parts.box)
            if self.assign == "cell":
                return by_cell(self.grid, predicted, truth)
            return task_aligned(self.grid, predicted, self.grid.scores(outputs, self.reading), truth)

    @property
    def reading(self) -> Literal["linear", "sigmoid"]:
        """How an output becomes a score."""
        return "sigmoid" if self.score == "quality" else "linear"

    def forward(
        self, outputs: Float[Tensor, "n a k"], target: Float[Tensor, "n m 6"], effective_batch: int | None = None
    ) -> dict[str, Tensor]:
        """outputs: `Points.depth` numbers a point; target: `Points.encode`'s. effective_batch: images the sum is divided by (n)."""
        parts, truth = self.grid.split(outputs), self.grid.truth(target)
        assigned = self.assignment(outputs, target)
        positive = assigned.positive
        boxes = self.grid.boxes(parts.box)[positive]  # p 4
        wanted = paired_with(truth.boxes, assigned.object)[positive]
        weight = assigned.weight[positive]
        stride = self.grid.strides(outputs).expand(len(outputs), -1, 1)[positive]

        label = truth.labels.gather(1, assigned.object.clamp(min=0))
        goal = one_hot(label, self.grid.C) * assigned.quality[..., None]  # n a c; 0 for background
        if self.score == "quality":
            score, noobj = quality_focal(parts.scores, goal, self.gamma), 1.0
        else:
            score, noobj = (parts.scores - goal).square(), self.lambda_noobj

        if self.box == "squared":
            error = squared_box(boxes, wanted, stride)
        else:
            error = complete_box_iou_loss(boxes, wanted)  # eq-ciou, torchvision's
        terms = {
            "box": self.lambda_coord * (weight * error).sum(),
            "object": score[positive].sum(),
            "background": noobj * score[~positive].sum(),
        }
        if self.grid.bins:
            centre = self.grid.centres(outputs).expand(len(outputs), -1, 2)[positive]
            distance = torch.cat([centre - wanted[:, :2], wanted[:, 2:] - centre], -1) / stride
            logits = parts.box[positive].unflatten(-1, (4, self.grid.bins + 1))
            terms["distribution"] = (weight * distribution_focal(logits, distance)).sum()
        return {name: term / (effective_batch or len(outputs)) for name, term in terms.items()}
