"""Augmentation: boxes move with what they hold, and every epoch is told from the last by (seed, epoch, picture) alone."""

import copy

import pytest
import torch
from helpers_voc import write_tree

from groundwork.errors import InputError
from yolo_core.data.augment import LEAST, Augmented
from yolo_core.data.voc import VocData, loader
from yolo_core.training.config import RunConfig


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return VocData(write_tree(tmp_path_factory.mktemp("tree"), train=6, val=2), "train", 96)


def painted(data):
    """The split with each picture black but for one object, a white box: what is white is what the box holds."""
    boxes = torch.tensor([[0.25, 0.375, 0.625, 0.75]])
    target = {"boxes": boxes, "labels": torch.tensor([3]), "difficult": torch.tensor([False])}
    images = torch.zeros(len(data), 3, 96, 96, dtype=torch.uint8)
    images[:, :, 36:72, 24:60] = 255
    found = copy.copy(data)
    found.images, found.targets = images, [target] * len(data)
    return Augmented(found, seed=0)


@pytest.mark.parametrize("epoch", range(8))
def test_boxes_go_where_their_objects_go(data, epoch):
    pictures, targets = painted(data).__getitems__([epoch * len(data) + i for i in range(len(data))])
    for picture, target in zip(pictures, targets, strict=True):
        bright = (picture[0] > 60).nonzero()
        if not len(target["boxes"]):
            assert len(bright) < 96 * LEAST, "only what has left the picture may lose its box"
            continue
        (y0, x0), (y1, x1) = bright.amin(0).tolist(), (bright.amax(0) + 1).tolist()
        assert (target["boxes"][0] * 96).tolist() == pytest.approx([x0, y0, x1, y1], abs=1.6)


def test_a_picture_is_the_same_for_the_same_seed_and_epoch_and_another_for_others(data):
    def drawn(seed, key):
        return Augmented(data, seed)[key][0]

    assert torch.equal(drawn(0, 1), drawn(0, 1))
    assert not torch.equal(drawn(0, 1), drawn(0, 1 + len(data))), "the next epoch"
    assert not torch.equal(drawn(0, 1), drawn(1, 1)), "another seed"


@pytest.mark.parametrize("seed", [18_446, 18_447, 20_240_101, 2**63 - 1])
def test_every_seed_that_a_configuration_takes_is_one_to_augment_by(data, seed):
    assert not torch.equal(Augmented(data, seed)[1][0], Augmented(data, seed - 1)[1][0])


def test_drawing_leaves_the_global_random_state_and_the_pictures_as_they_were(data):
    augmented, before, state = Augmented(data, 0), data.images.clone(), torch.get_rng_state()
    augmented.__getitems__([0, 7, 13])
    assert torch.equal(torch.get_rng_state(), state) and torch.equal(data.images, before)


def test_batches_do_not_depend_on_the_number_of_loading_processes(data):
    def batches(workers):
        found = loader(Augmented(data, 0), 4, shuffle=True, seed=0, workers=workers)
        for epoch in range(2):
            found.set_epoch(epoch)
            yield from found

    for (a, targets_a), (b, targets_b) in zip(batches(0), batches(2), strict=True):
        assert torch.equal(a, b) and all(torch.equal(x["boxes"], y["boxes"]) for x, y in zip(targets_a, targets_b, strict=True))


def test_boxes_stay_in_the_picture_with_their_labels_and_marks(data):
    pictures, targets = Augmented(data, 0).__getitems__(list(range(6 * len(data))))
    assert pictures.dtype == torch.uint8 and pictures.shape[1:] == (3, 96, 96)
    for target in targets:
        assert len(target["boxes"]) == len(target["labels"]) == len(target["difficult"])
        assert ((target["boxes"] >= 0) & (target["boxes"] <= 1)).all()
        assert ((target["boxes"][:, 2:] - target["boxes"][:, :2]) * 96 >= LEAST - 1e-3).all()


@pytest.mark.parametrize("name", ["augment", "mosaic"])
def test_augmentation_and_cached_features_exclude_each_other(name):
    with pytest.raises(InputError, match=f"{name} changes the pictures of every epoch.*set one of the two"):
        RunConfig(cache_features=True, freeze_weights=True, batchnorm="frozen", **{name: True})
