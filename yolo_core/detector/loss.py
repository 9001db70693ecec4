"""YOLOv1's loss: four named terms, and a choice of what the background term is.

Inside: `YoloLoss`, `responsible`, `Assigned`, `BACKGROUNDS`, `quality_focal`, `signed_root`.

Redmon et al. (2016), equation 3. The defaults are the paper and its darknet code; each departure that the write-up's released code
makes is an argument. Chapter "The loss, term by term" derives every gradient; the labels `eq-...` below are that chapter's.
"""

from typing import NamedTuple, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from yolo_core.detector.boxes import paired_iou, paired_rmse, xyxy_to_cxcywh
from yolo_core.detector.grid import Grid
from yolo_core.detector.names import Background

BACKGROUNDS: tuple[str, ...] = get_args(Background)

# Where sizes themselves are predicted (Grid.size == "plain"), their root has slope 1 / (2 sqrt(w)), unbounded at 0, which is where an
# untrained network sits; this keeps it at 1 / sqrt(ROOT_FLOOR) = 1000 below the floor, and under half of that above it.
ROOT_FLOOR = 1e-6


class Assigned(NamedTuple):
    """Which predictor answers for which object (eq-responsible)."""

    cells: Bool[Tensor, "n s s"]  # cells that hold an object
    predictor: Int[Tensor, "o"]  # the responsible predictor of each such cell, in the order of cells.nonzero()
    iou: Float[Tensor, "o"]  # its overlap with the object, differentiable


def responsible(
    grid: Grid,
    outputs: Float[Tensor, "n s s k"],
    target: Float[Tensor, "n s s t"],
) -> Assigned:
    """The predictor with the highest IoU with the object; where every IoU is 0, the one
    with the smallest RMSE, as darknet has it (eq-responsible)."""
    parts = grid.split(outputs)
    cells = target[..., 0] > 0
    truth = grid.target_boxes(target)[cells][:, None]  # o 1 4
    boxes = grid.boxes(parts.centre, parts.size)[cells]  # o b 4
    iou = paired_iou(boxes, truth)  # o b
    nearest = paired_rmse(xyxy_to_cxcywh(boxes), xyxy_to_cxcywh(truth)).argmin(-1)
    predictor = torch.where((iou > 0).any(-1), iou.argmax(-1), nearest)
    return Assigned(cells, predictor, iou.gather(-1, predictor[:, None]).squeeze(-1))


def signed_root(x: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """sign(x) sqrt(|x|), with |x| kept from falling below ROOT_FLOOR so that the slope
    stays finite (eq-root-slope).

    Below the floor the root is replaced by the straight line through 0 of the floor's
    height, so an exact 0 still feels a slope.
    """
    size = x.abs()
    root = x.sign() * size.clamp(min=ROOT_FLOOR).sqrt()
    return torch.where(size > ROOT_FLOOR, root, x / ROOT_FLOOR**0.5)


def quality_focal(
    logits: Float[Tensor, "*n"],
    quality: Float[Tensor, "*n"],
    gamma: float = 2.0,
) -> Float[Tensor, "*n"]:
    """|quality - sigmoid(logit)|^gamma times cross-entropy (eq-quality; Li et al., 2020,
    equation 2, with beta for gamma).

    Its slope where the quality is 0 is eq-quality-slope; at small scores, eq-quality-small.
    """
    cross_entropy = binary_cross_entropy_with_logits(logits, quality, reduction="none")
    return (quality - logits.sigmoid()).abs().pow(gamma) * cross_entropy


class YoloLoss(nn.Module):
    """The loss of an effective batch, as a dict of its four terms, weights included: "box", "object", "background", "class".

    Sum the values for the number to descend (eq-total). Terms are summed over cells and divided by the effective batch, so the sum of the
    micro-batches' losses is the loss of the full batch ("focal-coupled" excepted: it multiplies sums over the batch).

    background: what a predictor with confidence c and no object to answer for pays. Three of these are readings of the write-up.
        "mse": lambda c^2 (eq-background).
        "focal": lambda |c|^gamma c^2 (eq-focal), as it derives it; "focal-detached": the same with the factor held constant.
        "focal-literal": lambda |1-c|^gamma c^2 (eq-literal), as it prints it.
        "focal-coupled": lambda sum_j W_j (W_j + O_j) (eq-coupled), as its code reduces it.
        "qfl": quality focal loss (Li et al., 2020) on a logit, for object cells as well.
    detach_iou: the confidence target IoU is a constant, as in darknet; False lets its gradient reach the box.
    spare_noobj: object cells' non-responsible predictors are background, as the paper's 1_ij^noobj says; False spares them.
    Raises ValueError for an unknown background.
    """

    def __init__(
        self,
        background: Background = "mse",
        lambda_coord: float = 5.0,
        lambda_noobj: float = 0.5,
        gamma: float = 2.0,
        *,
        grid: Grid = Grid(),
        detach_iou: bool = True,
        spare_noobj: bool = True,
    ) -> None:
        super().__init__()
        if background not in BACKGROUNDS:
            raise ValueError(f"background must be one of {', '.join(BACKGROUNDS)}; got {background!r}")
        self.background, self.gamma, self.grid = background, gamma, grid
        self.lambda_coord, self.lambda_noobj = lambda_coord, lambda_noobj
        self.detach_iou, self.spare_noobj = detach_iou, spare_noobj

    def forward(
        self,
        outputs: Float[Tensor, "n s s k"],
        target: Float[Tensor, "n s s t"],
        effective_batch: int | None = None,
    ) -> dict[str, Tensor]:
        """outputs: k = 5 B + C numbers a cell; target: `Grid.encode`'s t = 5 + C. effective_batch: images the sum is divided by (n)."""
        parts = self.grid.split(outputs)
        assigned = responsible(self.grid, outputs, target)
        cells, truth = assigned.cells, target[assigned.cells]  # o t
        chosen = nn.functional.one_hot(assigned.predictor, self.grid.B).bool()  # o b
        confidence = parts.confidence[cells][chosen]  # o
        quality = assigned.iou.detach() if self.detach_iou else assigned.iou

        # n s s b: the predictors that the sum of eq-background is over.
        background = torch.ones_like(parts.confidence, dtype=torch.bool)
        background[cells] = ~chosen if self.spare_noobj else False

        centre, size = parts.centre[cells][chosen], parts.size[cells][chosen]  # o 2
        terms = {
            "box": self.lambda_coord * self._box(centre, size, truth),
            "object": self._object(confidence, quality),
            "background": self.lambda_noobj * self._background(parts.confidence, background, cells),
            "class": (parts.classes[cells] - truth[:, 5:]).square().sum(),  # eq-class
        }
        return {name: term / (effective_batch or len(outputs)) for name, term in terms.items()}  # eq-total

    def _box(
        self,
        centre: Float[Tensor, "o 2"],
        size: Float[Tensor, "o 2"],
        truth: Float[Tensor, "o t"],
    ) -> Tensor:
        """Squared error of centres (eq-centre) and of the roots of sizes (eq-size)."""
        root = size if self.grid.size == "root" else signed_root(size)
        size_error = (root - truth[:, 3:5].sqrt()).square().sum()
        return (centre - truth[:, 1:3]).square().sum() + size_error

    def _object(self, c: Float[Tensor, "o"], quality: Float[Tensor, "o"]) -> Tensor:
        """Confidence against IoU (eq-object)."""
        if self.background == "qfl":
            return self._quality_focal(c, quality)
        return (c - quality).square().sum()

    def _background(
        self,
        c: Float[Tensor, "n s s b"],
        mask: Bool[Tensor, "n s s b"],
        cells: Bool[Tensor, "n s s"],
    ) -> Tensor:
        """What background predictors pay before lambda_noobj; `mask` marks them."""
        if self.background == "focal-coupled":
            return self._coupled(c, cells)
        c = c[mask]
        match self.background:
            case "mse":
                return c.square().sum()  # eq-background
            case "focal":
                return c.abs().pow(self.gamma + 2).sum()  # eq-focal
            case "focal-detached":
                # Its slope is eq-detached-gradient.
                return (c.detach().abs().pow(self.gamma) * c.square()).sum()
            case "focal-literal":
                return ((1 - c).abs().pow(self.gamma) * c.square()).sum()  # eq-literal
            case _:
                return self._quality_focal(c, torch.zeros_like(c))

    def _coupled(self, c: Float[Tensor, "n s s b"], cells: Bool[Tensor, "n s s"]) -> Tensor:
        """The released reduction (eq-coupled): for each predictor slot j, W_j (W_j +
        O_j), with sums over the whole batch."""
        w = c[~cells].square().sum(0)  # b: background cells
        o = (c[cells] - 1).square().sum(0)  # b: object cells, both predictors
        return (w * (w + o)).sum()

    def _quality_focal(self, logit: Float[Tensor, "o"], quality: Float[Tensor, "o"]) -> Tensor:
        return quality_focal(logit, quality, self.gamma).sum()
