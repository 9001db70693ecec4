# %% [markdown]
# # Non-maximum suppression
#
# Of detections that overlap, the best survives: take the highest score, drop what overlaps it by *more than* the threshold, go on with what
# is left. Write it for boxes of one class, without `torchvision.ops.nms`; `paired_iou` gives the overlap of boxes, pair by pair.

# %%
import torch

from yolo_core.detector.boxes import paired_iou


def nms(boxes, scores, threshold):
    """Indices of the boxes (xyxy, [n, 4]) that survive, best score first, as a list."""
    # solution
    left = scores.argsort(descending=True)
    kept = []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(int(best))
        left = left[paired_iou(boxes[best], boxes[left]) <= threshold]
    return kept
    # end


# %% [check]
from book.press.exercises import expect
from yolo_core.detector.boxes import suppress


def check():
    row = torch.tensor([[0.0, 0.0, 4.0, 1.0], [1.0, 0.0, 5.0, 1.0], [2.0, 0.0, 6.0, 1.0], [9.0, 0.0, 10.0, 1.0]])
    falling = torch.tensor([0.9, 0.8, 0.7, 0.6])
    expect([int(i) for i in nms(row, falling, 0.5)], [0, 2, 3], "three boxes in a chain and one apart, threshold 0.5")
    expect([int(i) for i in nms(row, falling, 0.6)], [0, 1, 2, 3], "the same with a threshold of 0.6, which is no less than any overlap")
    generator = torch.Generator().manual_seed(0)
    boxes = torch.rand(60, 2, 2, generator=generator).sort(1).values.flatten(1)
    scores = torch.rand(60, generator=generator)
    for threshold in (0.1, 0.5, 0.9):
        wanted = suppress(boxes, scores, torch.zeros(60, dtype=torch.long), threshold)["scores"]
        found = [int(i) for i in nms(boxes, scores, threshold)]
        expect(scores[found], wanted, f"the surviving scores of 60 boxes, threshold {threshold}")
    expect(list(nms(boxes[:0], scores[:0], 0.5)), [], "no boxes at all")
