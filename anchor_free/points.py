"""The points of one or several grids, each of which predicts one box and a score for every class: an anchor-free detector's outputs.

Inside: `Points` (`centres`, `strides`, `encode`, `split`, `boxes`, `candidates`, `decode`), `PointParts`, `Truth`.

A point is the middle of a cell. YOLOv1 has one grid of 7 x 7 cells, two predictors a cell and a confidence that multiplies every class;
here a cell has one predictor, and the score of a class is one number, as in FCOS (Tian et al., 2019) and its successors up to YOLOv8.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from yolo_core.detector.boxes import cxcywh_to_xyxy, suppress
from yolo_core.detector.grid import Grid

CANDIDATES = 1000  # an image, best first, that go into non-maximum suppression: finer grids have tens of thousands


class PointParts(NamedTuple):
    """The numbers of an output, by meaning: views, no copies."""

    box: Float[Tensor, "n a k"]
    scores: Float[Tensor, "n a c"]


class Truth(NamedTuple):
    """The objects of a batch, padded to the same number m an image."""

    boxes: Float[Tensor, "n m 4"]  # xyxy in [0, 1]
    labels: Int[Tensor, "n m"]
    real: Bool[Tensor, "n m"]  # False where padded


@dataclass(frozen=True)
class Points:
    """The points of the grids at every stride from `finest` to `coarsest` pixels, doubling, of a square picture.

    bins: 0 lets the net put out a box as centre offset in strides and logarithm of the size in strides; k > 0 as a distribution over
        the distances 0, 1, ..., k strides to each of the four sides (Li et al., 2020).
    """

    image_size: int = 224
    finest: int = 32
    coarsest: int = 32
    C: int = 20
    bins: int = 0

    @property
    def levels(self) -> tuple[int, ...]:
        """The strides in pixels, finest first."""
        doublings = (self.coarsest // self.finest).bit_length()
        return tuple(self.finest * 2**i for i in range(doublings))

    @property
    def sides(self) -> tuple[int, ...]:
        """Cells a side of each level's grid."""
        return tuple(self.image_size // stride for stride in self.levels)

    @property
    def numbers(self) -> int:
        """What a point puts out for its box."""
        return 4 * (self.bins + 1) if self.bins else 4

    @property
    def depth(self) -> int:
        """What a point puts out."""
        return self.numbers + self.C

    def centres(self, like: Tensor) -> Float[Tensor, "a 2"]:
        """x and y of every point in [0, 1], level by level, row by row."""
        return torch.cat([((Grid(S=side).corners(like) + 0.5) / side).flatten(0, 1) for side in self.sides])

    def strides(self, like: Tensor) -> Float[Tensor, "a 1"]:
        """Each point's stride as a share of the picture."""
        sizes = [torch.full((side**2, 1), 1 / side, dtype=like.dtype, device=like.device) for side in self.sides]
        return torch.cat(sizes)

    def encode(self, targets: Sequence[dict], keep_difficult: bool = False) -> Float[Tensor, "n m 6"]:
        """Targets `{boxes xyxy, labels, difficult}` as one tensor: x1, y1, x2, y2, label, 1; rows of 0 where padded.

        Which point answers for which object is not settled here: assignment may look at what the net says. Objects marked `difficult`
        are left out unless `keep_difficult`.
        """
        rows = []
        for target in targets:
            difficult = target.get("difficult", torch.zeros_like(target["labels"], dtype=torch.bool))
            keep = ~difficult | keep_difficult
            labels = target["labels"][keep, None].float()
            rows.append(torch.cat([target["boxes"][keep].float(), labels, torch.ones_like(labels)], -1))
        padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        return padded if padded.shape[1] else padded.new_zeros(len(rows), 1, 6)  # never without a row to point at

    def truth(self, target: Float[Tensor, "n m 6"]) -> Truth:
        """What `encode` wrote, by meaning."""
        return Truth(target[..., :4], target[..., 4].long(), target[..., 5] > 0)

    def split(self, outputs: Float[Tensor, "n a k"]) -> PointParts:
        """Outputs by meaning."""
        return PointParts(outputs[..., : self.numbers], outputs[..., self.numbers :])

    def boxes(self, box: Float[Tensor, "n a k"]) -> Float[Tensor, "n a 4"]:
        """Box numbers as the net puts them out to xyxy in [0, 1]."""
        centres, strides = self.centres(box), self.strides(box)
        if not self.bins:
            size = box[..., 2:].clamp(max=8).exp() * strides  # e^8 strides is far beyond any picture
            return cxcywh_to_xyxy(torch.cat([centres + box[..., :2] * strides, size], -1))
        steps = torch.arange(self.bins + 1, dtype=box.dtype, device=box.device)
        distances = box.unflatten(-1, (4, self.bins + 1)).softmax(-1) @ steps * strides  # left, top, right, bottom
        return torch.cat([centres - distances[..., :2], centres + distances[..., 2:]], -1)

    def scores(self, outputs: Float[Tensor, "n a k"], confidence: Literal["linear", "sigmoid"] = "linear") -> Float[Tensor, "n a c"]:
        """Each class's score; linear outputs are clamped at 0."""
        scores = self.split(outputs).scores
        return scores.sigmoid() if confidence == "sigmoid" else scores.clamp(min=0)

    def candidates(
        self, outputs: Float[Tensor, "n a k"], confidence: Literal["linear", "sigmoid"] = "linear"
    ) -> tuple[Float[Tensor, "n a 4"], Float[Tensor, "n a c"]]:
        """Every point's xyxy box, cut at the picture's edge, and its score for each class, before anything is left out."""
        return self.boxes(self.split(outputs).box).clamp(0, 1), self.scores(outputs, confidence)

    @torch.no_grad()
    def decode(
        self,
        outputs: Float[Tensor, "n a k"],
        score_threshold: float = 0.001,
        nms_iou: float = 0.5,
        confidence: Literal["linear", "sigmoid"] = "linear",
    ) -> list[dict[str, Tensor]]:
        """Outputs to detections `{boxes xyxy, scores, labels}`, best first, an image each: what scores above `score_threshold`, at most
        CANDIDATES of them, goes through a non-maximum suppression a class."""
        detections = []
        for image_boxes, image_scores in zip(*self.candidates(outputs, confidence), strict=True):
            scores = image_scores.flatten()
            above = (scores > score_threshold).nonzero().squeeze(1)  # few: to sort all would take most of the time
            kept = above[scores[above].sort(descending=True, stable=True).indices[:CANDIDATES]]
            point, label = kept // self.C, kept % self.C
            detections.append(suppress(image_boxes[point], image_scores[point, label], label, nms_iou))
        return detections
