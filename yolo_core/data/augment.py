"""Pictures that are never twice the same: YOLOv1's augmentation, boxes moving along.

Inside: `Augmented`.
"""

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from yolo_core.data.voc import Batch, VocData

LEAST = 2.0  # px: what is left of a box after shifting must be this wide and high to be worth finding


class Augmented(VocData):
    """A split whose batches are flipped, scaled and shifted by up to a fifth, and recoloured by up to half (Redmon et al., 2016, 2.2:
    "random scaling and translations of up to 20% of the original image size", exposure and saturation "by up to a factor of 1.5").

    What happens to a picture depends on (seed, epoch, picture) alone, not on the process that draws it nor on what was drawn before.
    A batch is asked for by keys, epoch * length + index; `images` and `targets` stay the pictures as they are.
    """

    by_epoch = True

    def __init__(self, data: VocData, seed: int) -> None:
        vars(self).update(vars(data))
        self.seed = seed
        self._change = v2.Compose(
            [
                v2.RandomHorizontalFlip(),
                v2.RandomAffine(degrees=0, translate=(0.2, 0.2), scale=(0.8, 1.2)),
                v2.ColorJitter(brightness=(1 / 1.5, 1.5), saturation=(1 / 1.5, 1.5)),
                v2.ClampBoundingBoxes(),
                v2.SanitizeBoundingBoxes(min_size=LEAST, labels_getter=lambda sample: (sample[1]["labels"], sample[1]["difficult"])),
            ]
        )

    def __getstate__(self) -> dict:
        """A lambda does not cross to a worker process; it is made anew there."""
        return {key: value for key, value in super().__getstate__().items() if key != "_change"}

    def __setstate__(self, state: dict) -> None:
        super().__setstate__(state)
        Augmented.__init__(self, self, state["seed"])

    def __getitem__(self, key: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The picture and target of a key."""
        epoch, index = divmod(key, len(self))
        image, target = tv_tensors.Image(self.images[index]), self.targets[index]
        boxes = tv_tensors.BoundingBoxes(target["boxes"] * self.size, format="XYXY", canvas_size=(self.size, self.size))
        with torch.random.fork_rng(devices=[]):
            # Primes far apart, so that no two (seed, epoch, picture) of any study meet.
            torch.manual_seed((self.seed * 1_000_003 + epoch) * 1_000_000_007 + index)
            image, changed = self._change(image, {"boxes": boxes, "labels": target["labels"], "difficult": target["difficult"]})
        kept = {name: value.as_subclass(Tensor) for name, value in changed.items()}
        return image.as_subclass(Tensor), kept | {"boxes": kept["boxes"] / self.size}

    def __getitems__(self, keys: list[int]) -> Batch:
        """A batch by keys."""
        drawn = [self[key] for key in keys]
        images = torch.stack([image for image, _ in drawn]) if drawn else self.images[[]]
        return images, [target for _, target in drawn]
