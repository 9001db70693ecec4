"""The S x S grid: boxes to targets, outputs to detections.

Inside: `Grid` (sizes and parametrisation, `cells`, `lost`, `encode`, `split`, `boxes`, `decode`), `Parts`, `ceiling`.

A cell's output holds B predictors of five numbers (x, y, width, height, confidence) and then C class scores; a cell's target holds
one object: a flag, its box, its one-hot class (Redmon et al., 2016, section 2).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from yolo_core.detector.boxes import cxcywh_to_xyxy, suppress, xyxy_to_cxcywh
from yolo_core.detector.metrics import voc_ap


class Parts(NamedTuple):
    """The numbers of an output, by meaning: views, no copies."""

    centre: Float[Tensor, "n s s b 2"]
    size: Float[Tensor, "n s s b 2"]
    confidence: Float[Tensor, "n s s b"]
    classes: Float[Tensor, "n s s c"]


def first_of_each(keys: Int[Tensor, "n"]) -> tuple[Int[Tensor, "m"], Int[Tensor, "m"]]:
    """The distinct keys, rising, and the index at which each first occurs."""
    distinct, group = keys.unique(return_inverse=True)
    first = torch.full_like(distinct, len(keys)).scatter_reduce(0, group, torch.arange(len(keys)), "amin")
    return distinct, first


@dataclass(frozen=True)
class Grid:
    """S cells a side, B predictors a cell, C classes.

    centre: "cell" measures an object's centre from its cell's corner in cells (the paper); "image" from the picture's corner in
        pictures (the write-up's released code), where a square error of the same offset weighs S * S times less.
    size: "root" lets the network put out the square root of width and height (the paper: "we predict the square root"; darknet);
        "plain" lets it put out width and height and takes the root in the loss, whose slope then grows without bound at 0.
    """

    S: int = 7
    B: int = 2
    C: int = 20
    centre: Literal["cell", "image"] = "cell"
    size: Literal["root", "plain"] = "root"

    @property
    def depth(self) -> int:
        """Numbers a cell puts out: 5 B + C."""
        return 5 * self.B + self.C

    def corners(self, like: Tensor) -> Float[Tensor, "s s 2"]:
        """x and y of each cell's top left corner, in cells; [row, column, (x, y)]."""
        steps = torch.arange(self.S, dtype=like.dtype, device=like.device)
        rows, columns = torch.meshgrid(steps, steps, indexing="ij")
        return torch.stack([columns, rows], -1)

    def cells(self, boxes: Float[Tensor, "n 4"]) -> Int[Tensor, "n 2"]:
        """Column and row of the cell that answers for each xyxy box: the one that holds its
        centre (eq-cell).

        A centre on the right or lower edge of the picture belongs to the last cell, not to one outside.
        """
        return (xyxy_to_cxcywh(boxes)[:, :2] * self.S).long().clamp(0, self.S - 1)

    def lost(self, boxes: Float[Tensor, "n 4"]) -> Bool[Tensor, "n"]:
        """Which of one picture's objects find their cell taken by an earlier one."""
        column_row = self.cells(boxes)
        _, first = first_of_each(column_row[:, 1] * self.S + column_row[:, 0])
        lost = torch.ones(len(boxes), dtype=torch.bool)
        lost[first] = False
        return lost

    def encode(
        self,
        targets: Sequence[dict],
        keep_difficult: bool = False,
    ) -> Float[Tensor, "n s s k"]:
        """Targets `{boxes xyxy, labels, difficult}` to a tensor of k = 5 + C numbers a cell:
        flag, x, y, width, height, one-hot class.

        An object belongs to the cell that holds its centre. A cell has room for one object:
        the first listed stays, later ones are lost, which is where `ceiling` comes from.
        Objects marked `difficult` are left out unless `keep_difficult`. Width and height
        are stored as they are (no root), the centre as `self.centre` says.
        """
        boxes = torch.cat([t["boxes"] for t in targets]).float()
        labels = torch.cat([t["labels"] for t in targets])
        images = torch.repeat_interleave(torch.tensor([len(t["labels"]) for t in targets]))
        if not keep_difficult:
            difficult = [
                t.get("difficult", torch.zeros_like(t["labels"], dtype=torch.bool))  # optional
                for t in targets
            ]
            easy = ~torch.cat(difficult)
            boxes, labels, images = boxes[easy], labels[easy], images[easy]
        box = xyxy_to_cxcywh(boxes)
        column_row = self.cells(boxes)
        cell = (images * self.S + column_row[:, 1]) * self.S + column_row[:, 0]
        taken, first = first_of_each(cell)
        centre = box[:, :2] * self.S - column_row if self.centre == "cell" else box[:, :2]
        one_hot = torch.nn.functional.one_hot(labels, self.C)
        rows = torch.cat([torch.ones(len(cell), 1), centre, box[:, 2:], one_hot], -1)
        out = torch.zeros(len(targets) * self.S**2, 5 + self.C)
        out[taken] = rows[first]
        return out.view(len(targets), self.S, self.S, 5 + self.C)

    def split(self, outputs: Float[Tensor, "n s s k"]) -> Parts:
        """Outputs of k = 5 B + C numbers a cell, by meaning."""
        predictors = outputs[..., : 5 * self.B].unflatten(-1, (self.B, 5))
        return Parts(predictors[..., :2], predictors[..., 2:4], predictors[..., 4], outputs[..., 5 * self.B :])

    def boxes(self, centre: Float[Tensor, "n s s b 2"], size: Float[Tensor, "n s s b 2"]) -> Float[Tensor, "n s s b 4"]:
        """Predicted centres and sizes, as the network puts them out, to xyxy boxes in the picture."""
        if self.centre == "cell":
            centre = (centre + self.corners(centre)[:, :, None]) / self.S
        size = size.square() if self.size == "root" else size
        return cxcywh_to_xyxy(torch.cat([centre, size], -1))

    def target_boxes(self, target: Float[Tensor, "n s s k"]) -> Float[Tensor, "n s s 4"]:
        """The xyxy box each cell's target stands for (meaningful where its flag is 1)."""
        centre = target[..., 1:3]
        if self.centre == "cell":
            centre = (centre + self.corners(centre)) / self.S
        return cxcywh_to_xyxy(torch.cat([centre, target[..., 3:5]], -1))

    def scores(
        self,
        outputs: Float[Tensor, "n s s k"],
        confidence: str = "linear",
    ) -> Float[Tensor, "n s s b c"]:
        """Confidence times class score for every predictor and class (eq-score).

        Linear outputs are clamped at 0 first: the product of two negatives would score high.
        "sigmoid" is for a confidence logit.
        """
        parts = self.split(outputs)
        c = parts.confidence.sigmoid() if confidence == "sigmoid" else parts.confidence.clamp(min=0)
        return c[..., None] * parts.classes.clamp(min=0)[..., None, :]

    def candidates(
        self, outputs: Float[Tensor, "n s s k"], confidence: Literal["linear", "sigmoid"] = "linear"
    ) -> tuple[Float[Tensor, "n a 4"], Float[Tensor, "n a c"]]:
        """Every predictor's xyxy box, cut at the picture's edge, and its score for each class, before anything is left out."""
        parts = self.split(outputs)
        return self.boxes(parts.centre, parts.size).clamp(0, 1).flatten(1, 3), self.scores(outputs, confidence).flatten(1, 3)

    @torch.no_grad()
    def decode(
        self,
        outputs: Float[Tensor, "n s s k"],
        score_threshold: float = 0.001,
        nms_iou: float = 0.5,
        confidence: Literal["linear", "sigmoid"] = "linear",
        candidates: Literal["all", "one-a-cell"] = "all",
    ) -> list[dict[str, Tensor]]:
        """Outputs to detections `{boxes xyxy, scores, labels}`, best first, an image each.

        "all" keeps all S * S * B * C candidates, as the paper's evaluation does; "one-a-cell"
        keeps each cell's single best, as the write-up's released code does. What scores above
        `score_threshold` goes through a non-maximum suppression a class.
        """
        boxes, scores = self.candidates(outputs, confidence)
        if candidates == "one-a-cell":
            cell = scores.unflatten(1, (-1, self.B)).flatten(2)
            best = cell.argmax(-1, keepdim=True)  # one even where scores tie
            scores = torch.zeros_like(cell).scatter(-1, best, cell.gather(-1, best)).view_as(scores)
        detections = []
        for image_boxes, image_scores in zip(boxes, scores, strict=True):
            predictor, label = (image_scores > score_threshold).nonzero(as_tuple=True)
            found = image_boxes[predictor], image_scores[predictor, label], label
            detections.append(suppress(*found, nms_iou))
        return detections

    def perfect_outputs(self, target: Float[Tensor, "n s s k"]) -> Float[Tensor, "n s s d"]:
        """The outputs that say exactly what a target holds: confidence 1 on the first
        predictor of each object's cell."""
        size = target[..., 3:5].sqrt() if self.size == "root" else target[..., 3:5]
        first = torch.cat([target[..., 1:3], size, target[..., :1]], -1)
        spare = torch.zeros_like(first).repeat_interleave(self.B - 1, -1)
        return torch.cat([first, spare, target[..., 5:]], -1)


def ceiling(targets: Sequence[dict], grid: Grid = Grid()) -> float:
    """mAP@.5 of decode(encode(ground truth)): what a detector scores that puts out its targets exactly.

    Training asks for no more, but it is no law: a spare predictor or a neighbouring cell may happen to find an object that was lost.
    """
    return voc_ap(grid.decode(grid.perfect_outputs(grid.encode(targets))), targets).map
