# %% [markdown]
# # Average precision by hand
#
# Detections of one class, best score first, are each a hit or a false alarm; there are `objects` objects to find. After each detection
# there is a recall and a precision. The envelope is the best precision at this recall or any higher.
#
# Write both averages: VOC 2007's, the mean of the envelope at recalls 0, 0.1, ..., 1 (0 where no detection reaches that far), and the later
# one, the area under the envelope. By hand first: hit, miss, hit with 2 objects.

# %%
import numpy as np


def average_precision(hits, objects, method="area"):
    """AP of a list of bools, best score first. method: "area" or "11point"."""
    # solution
    found = np.cumsum(np.asarray(hits, dtype=float))
    recall, precision = found / objects, found / np.arange(1, len(found) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    if method == "area":
        return float(np.sum(np.diff(recall, prepend=0.0) * envelope))
    reached = [envelope[recall >= r / 10 - 1e-12] for r in range(11)]  # i / n against k / 10, which floats blur
    return float(np.mean([best.max(initial=0.0) for best in reached]))
    # end


# %% [check]
import torch

from book.press.exercises import expect
from yolo_core.detector.metrics import voc_ap


def check():
    by_hand = {"area": 1 / 2 + 1 / 2 * 2 / 3, "11point": (6 * 1 + 5 * 2 / 3) / 11}
    for method, wanted in by_hand.items():
        expect(average_precision([True, False, True], 2, method), wanted, f"{method}: hit, miss, hit with 2 objects")
    rng = np.random.default_rng(0)
    for objects in (1, 3, 10):
        hits = rng.permutation([True] * (objects - objects // 3) + [False] * 5).tolist()
        at = torch.arange(objects + len(hits)) * 2.0  # places along a line: objects first, then where nothing is
        boxes = torch.stack([at, torch.zeros_like(at), at + 1, torch.ones_like(at)], -1)
        free = iter(range(objects))
        seen = boxes[[next(free) if hit else objects + i for i, hit in enumerate(hits)]]
        labels = torch.zeros(len(hits), dtype=torch.long)
        predictions = [{"boxes": seen, "scores": torch.linspace(0.9, 0.1, len(hits)), "labels": labels}]
        targets = [{"boxes": boxes[:objects], "labels": torch.zeros(objects, dtype=torch.long)}]
        for method in by_hand:
            wanted = voc_ap(predictions, targets, method=method).map
            expect(average_precision(hits, objects, method), wanted, f"{method}: hits {hits} with {objects} objects")
