"""What mAP would have been on other pictures: the bootstrap over the images of a split.

Inside: `draws`, `resampled_map`.

Images are drawn with replacement (Efron, 1979). The draws depend on the number of images alone, so that two detectors scored on one split
are resampled alike: the difference of their mAPs, draw by draw, is a paired bootstrap.
"""

import numpy as np
from jaxtyping import Float, Int

from yolo_core.detector.metrics import DIFFICULT, TRUE, Matches

DRAWS = 200
AT_ONCE = 20  # draws worked on together: bounds the memory


def draws(images: int, count: int = DRAWS) -> Int[np.ndarray, "b i"]:
    """How often each of `images` comes in each of `count` draws of as many images, with replacement; the same each time."""
    return np.random.default_rng(0).multinomial(images, np.full(images, 1 / max(1, images)), size=count)


def resampled_map(matches: Matches, times: Int[np.ndarray, "b i"]) -> Float[np.ndarray, "b"]:
    """mAP (area under the envelope, as `voc_ap`) of each draw: that of a split in which image i comes `times[b, i]` times. NaN for a draw
    without an object to find."""
    return np.concatenate([_map(matches, some) for some in np.split(times, range(AT_ONCE, len(times), AT_ONCE))])


def _map(matches: Matches, times: np.ndarray) -> np.ndarray:
    counted = matches.outcome != DIFFICULT
    labels, image, true = matches.labels[counted], matches.image[counted], matches.outcome[counted] == TRUE
    total, classes = np.zeros(len(times)), np.zeros(len(times))
    for label in np.unique(matches.objects):
        objects = times[:, matches.object_image[matches.objects == label]].sum(1)
        mine = labels == label
        weight = times[:, image[mine]]
        hits, seen = (weight * true[mine]).cumsum(1), weight.cumsum(1)
        precision = hits / np.maximum(seen, 1)
        envelope = np.maximum.accumulate(precision[:, ::-1], 1)[:, ::-1]
        found = np.diff(hits, axis=1, prepend=0) / np.maximum(objects, 1)[:, None]
        total += (found * envelope).sum(1)
        classes += objects > 0
    return np.divide(total, classes, out=np.full(len(times), np.nan), where=classes > 0)
