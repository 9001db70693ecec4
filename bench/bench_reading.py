"""Reading pictures beside its peers: uint8 batches of one size with their boxes, from the same VOC tree, with as many workers.

Inside: `reading` (the rows), `pictures` (a tree of VOC's size, made up), `torchvision_data` and `Albumented` (the peers' ways).

Ours decodes once, into a cache, and what that costs has a row of its own. Everybody's files have been read before and lie in the
system's memory: no disk is timed.
"""

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.datasets import VOCDetection, wrap_dataset_for_transforms_v2
from torchvision.transforms import v2

from bench.contest import Row, contest, peer_module
from emojivoc.emoji import generate
from voc_tree.annotation import CLASSES
from voc_tree.tree import BASE
from yolo_core.data.voc import VocData, loader

WIDTH, HEIGHT = 500, 375  # of most of VOC's photographs
SIZE, BATCH = 448, 16
PEERS = ("torchvision", "albumentations")


def pictures(root: Path, count: int) -> None:
    """`count` training scenes as a VOC tree of 500 x 375 JPEGs: EmojiVOC's squares of 500 px, squashed with their boxes."""
    generate(root, count, 1, size=WIDTH, progress=False, workers=1)
    for file in (root / BASE / "JPEGImages").iterdir():
        Image.open(file).resize((WIDTH, HEIGHT)).save(file, "JPEG", quality=95)  # as large a file as a photograph's
    for file in (root / BASE / "Annotations").iterdir():
        tree = ElementTree.parse(file)
        tree.find("size/height").text = str(HEIGHT)
        for node in tree.iter("bndbox"):  # 1-based and inclusive: pixel y is the interval [y - 1, y)
            top, bottom = node.find("ymin"), node.find("ymax")
            top.text = str((int(top.text) - 1) * HEIGHT // WIDTH + 1)
            bottom.text = str(max(int(bottom.text) * HEIGHT // WIDTH, int(top.text)))
        tree.write(file)


def torchvision_data(root: Path, size: int = SIZE) -> Dataset:
    """torchvision's dataset and transforms, as its documentation has them: uint8 [3, size, size], and boxes in its pixels."""
    transforms = v2.Compose([v2.ToImage(), v2.Resize((size, size)), v2.ToDtype(torch.uint8)])
    return wrap_dataset_for_transforms_v2(VOCDetection(root, image_set="train", transforms=transforms))


class Albumented(Dataset):
    """The tree by OpenCV and albumentations: uint8 [3, size, size], and boxes in its pixels. InputError where it is not installed."""

    def __init__(self, root: Path, size: int = SIZE) -> None:
        albumentations, self._cv2 = peer_module("albumentations"), peer_module("cv2")
        self._files = VOCDetection(root, image_set="train")
        self._transform = albumentations.Compose(
            [albumentations.Resize(size, size), albumentations.ToTensorV2()],
            bbox_params=albumentations.BboxParams(format="pascal_voc", label_fields=["labels"]),
        )

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> tuple[Tensor, dict[str, Tensor]]:
        pixels = self._cv2.cvtColor(self._cv2.imread(self._files.images[index]), self._cv2.COLOR_BGR2RGB)
        nodes = ElementTree.parse(self._files.annotations[index]).findall("object")
        boxes = [[float(node.find(f"bndbox/{side}").text) for side in ("xmin", "ymin", "xmax", "ymax")] for node in nodes]
        labels = [CLASSES.index(node.find("name").text) for node in nodes]
        seen = self._transform(image=pixels, bboxes=np.array(boxes).reshape(-1, 4), labels=labels)
        return seen["image"], {"boxes": torch.as_tensor(seen["bboxes"]), "labels": torch.as_tensor(seen["labels"]).long()}


def _stack(batch: list[tuple[Tensor, dict[str, Tensor]]]) -> tuple[Tensor, list[dict[str, Tensor]]]:
    images, targets = zip(*batch, strict=True)
    return torch.stack(images), list(targets)


def _ordinary(data: Dataset, workers: int) -> DataLoader:
    return DataLoader(data, BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0, collate_fn=_stack)


def _drain(batches: Iterable[Any]) -> tuple[int, int, set[torch.dtype], set[torch.Size]]:
    """One pass: pictures and objects, and what a batch was made of."""
    count = objects = 0
    kinds, shapes = set(), set()
    for images, targets in batches:
        count, objects = count + len(images), objects + sum(len(target["labels"]) for target in targets)
        kinds.add(images.dtype)
        shapes.add(images.shape[1:])
    return count, objects, kinds, shapes


def reading(images: int = 256, repeats: int = 5, workers: tuple[int, ...] = (2, 0)) -> list[Row]:
    """Rows of seconds a picture: from the cache beside each peer, and making the cache beside one pass of torchvision's; for each number
    of workers. InputError if a peer is not installed, AssertionError if two passes deliver other pictures or objects.

    Workers come first in `workers`, processes being forked: OpenCV's threads would not survive it.
    """
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "tree"
        pictures(root, images)

        def make() -> None:
            with tempfile.TemporaryDirectory(dir=folder) as fresh:
                VocData(root, "train", SIZE, cache=fresh)

        for number in workers:
            passes = {
                "ours": loader(VocData(root, "train", SIZE), BATCH, shuffle=True, seed=0, workers=number),
                "torchvision": _ordinary(torchvision_data(root), number),
                "albumentations": _ordinary(Albumented(root), number),
            }
            contestants = {name: (lambda batches=batches: _drain(batches)) for name, batches in passes.items()}
            answers, times = contest(contestants | ({"cache": make} if number == max(workers) else {}), repeats)
            if any(answers[name] != answers["ours"] for name in PEERS):
                raise AssertionError(f"the passes differ: {answers}")
            each = {name: [seconds / images for seconds in spent] for name, spent in times.items()}
            name = f"batches of {SIZE} px from the cache, {number or 'no'} workers"
            rows += [Row("reading", f"{name}, {other}", "s/image", each["ours"], each[other]) for other in PEERS]
            if "cache" in each:
                once = "making that cache, once; a pass of torchvision's"
                rows.append(Row("itself", once, "s/image", each["cache"], each["torchvision"]))
    return rows
