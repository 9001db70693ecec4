"""Pictures that are never twice the same: YOLOv1's augmentation and YOLOv4's mosaics, boxes moving along.

Inside: `EpochData` (what the two share), `Augmented`, `Mosaic`, `mosaic` (four pictures around a centre).
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import product

import numpy as np
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.ops import box_area
from torchvision.transforms import v2

from yolo_core.data.voc import Batch, VocData, order

# What is left of a box must be this wide and high (px) to be worth finding; and, where a mosaic has cut it, this share of its area:
# VOC's annotators pass over objects of which less than 10 to 20 % is visible (annotation guidelines), YOLOv5 over less than 10 %.
LEAST = 2.0
LEAST_SHARE = 0.1
MARGIN = 0.2  # share of the side that a mosaic's centre keeps from every edge, as darknet has it


class EpochData(VocData):
    """A split that is another one in every epoch: `at` says what becomes of a picture of `data` in an epoch, from (seed, epoch, picture)
    alone, not from the process that draws it nor from what was drawn before.

    A batch is asked for by keys, epoch * length + index; `images` and `targets` stay the pictures as they are.
    """

    by_epoch = True

    def __init__(self, data: VocData, seed: int) -> None:
        vars(self).update(vars(data))
        self.seed, self._data = seed, data

    def __setstate__(self, state: dict) -> None:
        vars(self).update(state)
        self.images, self.targets = self._data.images[: len(self)], self._data.targets[: len(self)]

    def __getitem__(self, key: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The picture and target of a key."""
        return self.at(*divmod(key, len(self)))

    def __getitems__(self, keys: list[int]) -> Batch:
        """A batch by keys."""
        drawn = [self[key] for key in keys]
        images = torch.stack([image for image, _ in drawn]) if drawn else self.images[[]]
        return images, [target for _, target in drawn]


class Augmented(EpochData):
    """A split whose batches are flipped, scaled and shifted by up to a fifth, and recoloured by up to half (Redmon et al., 2016, 2.2:
    "random scaling and translations of up to 20% of the original image size", exposure and saturation "by up to a factor of 1.5").
    """

    def __init__(self, data: VocData, seed: int) -> None:
        super().__init__(data, seed)
        self._change = v2.Compose(
            [
                v2.RandomHorizontalFlip(),
                v2.RandomAffine(degrees=0, translate=(0.2, 0.2), scale=(0.8, 1.2)),
                v2.ColorJitter(brightness=(1 / 1.5, 1.5), saturation=(1 / 1.5, 1.5)),
                v2.ClampBoundingBoxes(),
                v2.SanitizeBoundingBoxes(min_size=LEAST, labels_getter=_beside_boxes),
            ]
        )

    def at(self, epoch: int, index: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The picture and target as they are changed in an epoch."""
        picture, target = self._data.at(epoch, index)
        boxes = tv_tensors.BoundingBoxes(target["boxes"] * self.size, format="XYXY", canvas_size=(self.size, self.size))
        with torch.random.fork_rng(devices=[]):
            # Primes far apart, so that no two (seed, epoch, picture) of any study meet.
            torch.manual_seed(((self.seed * 1_000_003 + epoch) * 1_000_000_007 + index) % 2**64)  # beyond which torch has no seeds
            image, changed = self._change(tv_tensors.Image(picture), target | {"boxes": boxes})
        kept = {name: value.as_subclass(Tensor) for name, value in changed.items()}
        return image.as_subclass(Tensor), kept | {"boxes": kept["boxes"] / self.size}


def _beside_boxes(sample: tuple) -> tuple[Tensor, Tensor]:
    """What goes where a box goes. A function with a name, so that it crosses to worker processes."""
    return sample[1]["labels"], sample[1]["difficult"]


class Mosaic(EpochData):
    """A split whose pictures come as mosaics of four: the asked one and three others, drawn with replacement, at random places around a
    centre drawn from the middle of the picture (Bochkovskiy et al., 2020, figure 3).

    Nothing is scaled. As in darknet and in YOLOv5 (which scales the whole at random afterwards), the four meet on a canvas of twice the
    side, and a window of one side is cut out of its middle: an object is as large as in the plain picture unless the window's edge goes
    through it. Every pixel of a picture is as likely to be seen as any other, one time in four; one object wider or higher than
    1 - MARGIN of the picture is always cut. So boxes get smaller on the whole; and there are more of them.

    Every picture comes so (darknet: every other one), but the last ones come plain, as practice has it (YOLOX, Ge et al., 2021): all but
    the first `count` that a `loader` of the same seed draws, shuffled, over its epochs.
    """

    def __init__(self, data: VocData, seed: int, count: float = math.inf) -> None:
        super().__init__(data, seed)
        self._count = count

    def at(self, epoch: int, index: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The mosaic that a picture is part of in an epoch, or the picture."""
        left = self._count - epoch * len(self)  # mosaics to be drawn from this epoch on
        if left < len(self) and index not in _first_drawn(len(self), self.seed, epoch, max(0, int(left))):
            return self._data.at(epoch, index)
        # index + 1: numpy takes a last 0 for nothing, and picture 0 would be drawn with the numbers of the epoch's order.
        rng = np.random.default_rng((self.seed, epoch, index + 1))
        x, y = rng.integers(round(MARGIN * self.size), round((1 - MARGIN) * self.size), size=2, endpoint=True).tolist()
        four = rng.permutation([index, *rng.integers(len(self), size=3)]).tolist()
        return mosaic([self._data.at(epoch, i) for i in four], x, y)


@lru_cache(maxsize=2)
def _first_drawn(length: int, seed: int, epoch: int, count: int) -> frozenset[int]:
    """The pictures that an epoch draws first."""
    return frozenset(order(length, seed, epoch)[:count])


def mosaic(parts: Sequence[tuple[Tensor, dict[str, Tensor]]], x: int, y: int) -> tuple[Tensor, dict[str, Tensor]]:
    """Four pictures uint8 [3, s, s] with their targets, in reading order, that meet with a corner each at the point (x, y) of a window of
    one picture's size. Boxes are cut with their pictures; what is left of one is kept by `LEAST` and `LEAST_SHARE`.
    """
    canvas = torch.empty_like(parts[0][0])
    side, found = canvas.shape[-1], []
    for (picture, target), (dy, dx) in zip(parts, product((y - side, y), (x - side, x)), strict=True):
        top, left, bottom, right = max(0, dy), max(0, dx), min(side, side + dy), min(side, side + dx)  # of the part that is seen
        canvas[:, top:bottom, left:right] = picture[:, top - dy : bottom - dy, left - dx : right - dx]
        whole = target["boxes"] * side + torch.tensor([dx, dy, dx, dy])
        boxes = whole.clamp(0, side)  # the window alone cuts: where pictures meet, each has its own edge
        kept = (boxes[:, 2:] - boxes[:, :2] >= LEAST).all(-1) & (box_area(boxes) >= LEAST_SHARE * box_area(whole))
        moved = target | {"boxes": boxes / side}
        found.append({name: moved[name][kept] for name in ("boxes", "labels", "difficult")})
    return canvas, {name: torch.cat([target[name] for target in found]) for name in found[0]}
