"""The told detector: perfect where features tell the classes apart, and no better than they do elsewhere."""

import pytest
import torch
from torch import nn

from trial.instruments.oracle import oracle
from yolo_core.data.voc import VocData


class MeanColour(nn.Module):
    """A backbone that sees colour and nothing else."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return nn.functional.avg_pool2d(images, 32)


class Split(VocData):
    """Pictures and targets without a tree of files."""

    def __init__(self, images: torch.Tensor, targets: list[dict]) -> None:
        self.images, self.targets, self.ids = images, targets, range(len(targets))


def split(count: int, colours: dict[int, int], seed: int = 0) -> Split:
    """Grey pictures with two squares each; a class is drawn in the colour channel it is given."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.full((count, 3, 64, 64), 60, dtype=torch.uint8)
    targets = []
    for image in images:
        labels = torch.randint(0, len(colours), (2,), generator=generator)
        boxes = torch.tensor([[4, 4, 28, 28], [34, 34, 60, 60]])
        for (x0, y0, x1, y1), label in zip(boxes.tolist(), labels.tolist(), strict=True):
            image[colours[label], y0:y1, x0:x1] = int(torch.randint(180, 250, (1,), generator=generator))
        targets.append({"boxes": boxes / 64, "labels": labels, "difficult": torch.zeros(2, dtype=torch.bool)})
    return Split(images=images, targets=targets)


SAME = {0: 0, 1: 1, 2: 2}


def test_classes_that_features_tell_apart_are_all_found():
    found = oracle(MeanColour(), split(40, SAME), split(10, SAME, seed=1))
    assert (found.map, found.seen, found.val) == (pytest.approx(1), 1, 1)


def test_designs_that_change_on_val_are_named_wrongly_there_and_rightly_in_training_scenes():
    found = oracle(MeanColour(), split(40, SAME), split(10, {0: 1, 1: 2, 2: 0}, seed=1))
    assert found.seen == 1
    assert found.val == 0
    assert found.map < 0.5


def test_features_that_say_nothing_leave_it_to_chance():
    class Blind(nn.Module):
        def forward(self, images):
            return torch.zeros(len(images), 3, 4, 4)

    found = oracle(Blind(), split(60, SAME), split(30, SAME, seed=1))
    assert found.val == pytest.approx(1 / 3)


def test_it_is_the_same_every_time():
    results = [oracle(MeanColour(), split(20, SAME), split(6, {0: 1, 1: 0, 2: 2}, seed=2)) for _ in range(2)]
    assert results[0] == results[1]
