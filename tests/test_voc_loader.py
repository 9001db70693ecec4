"""Batches of a split: their order, their workers, their processes."""

import pytest
import torch
from helpers_voc import write_tree

from yolo_core.data.voc import VocData, loader


def batches(found) -> list[list[int]]:
    """The first pixels of each picture of each batch: enough to tell the pictures of these tests apart."""
    return [images.flatten(1)[:, :8].tolist() for images, _ in found]


def test_the_loader_gives_every_picture_once_and_keeps_the_last_partial_batch(tmp_path):
    data = VocData(write_tree(tmp_path, train=7), "train", 8)
    shuffled, plain = loader(data, 3, shuffle=True, seed=0), loader(data, 3, shuffle=False, seed=0)
    assert len(shuffled) == 3 and [len(batch) for batch in batches(shuffled)] == [3, 3, 1]
    assert sum(batches(plain), []) == data.images.flatten(1)[:, :8].tolist()
    assert sorted(sum(batches(shuffled), [])) == sorted(sum(batches(plain), []))
    images, targets = next(iter(plain))
    assert images.dtype == torch.uint8 and [len(target["labels"]) for target in targets] == [0, 1, 2]


def test_the_order_is_fixed_by_seed_and_epoch(tmp_path):
    data = VocData(write_tree(tmp_path, train=12), "train", 8)
    orders = {}
    for seed in (0, 1):
        for epoch in (0, 1):
            found = loader(data, 5, shuffle=True, seed=seed)
            found.set_epoch(epoch)
            orders[seed, epoch] = batches(found)
            assert batches(found) == orders[seed, epoch]  # a second pass without set_epoch
    assert all(orders[a] != orders[b] for a in orders for b in orders if a < b)


def test_a_subset_is_loaded_too(tmp_path):
    data = VocData(write_tree(tmp_path, train=6), "train", 8)
    ((images, _),) = loader(torch.utils.data.Subset(data, [4, 2]), 9, shuffle=False, seed=0)
    assert torch.equal(images, data.images[[4, 2]])


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_two_workers_give_the_same_batches_as_none(tmp_path, context):
    data = VocData(write_tree(tmp_path, train=9), "train", 8)
    alone, helped = loader(data, 2, shuffle=True, seed=3), loader(data, 2, shuffle=True, seed=3, workers=2)
    helped.multiprocessing_context = context
    for epoch in (0, 1):
        alone.set_epoch(epoch)
        helped.set_epoch(epoch)
        for (images, targets), (same_images, same_targets) in zip(alone, helped, strict=True):
            assert torch.equal(images, same_images)
            assert all(torch.equal(a[k], b[k]) for a, b in zip(targets, same_targets, strict=True) for k in a)


def test_batches_are_pinned_where_there_is_a_gpu_and_workers_live_on_between_epochs(tmp_path, monkeypatch):
    data = VocData(write_tree(tmp_path, train=4), "train", 8)
    for gpu, workers in ((False, 0), (True, 2)):
        monkeypatch.setattr("torch.cuda.is_available", lambda gpu=gpu: gpu)
        batches = loader(data, 2, shuffle=True, seed=0, workers=workers)
        assert (batches.pin_memory, batches.persistent_workers) == (gpu, workers > 0)


def test_drawing_batches_leaves_the_global_random_state_alone(tmp_path):
    data = VocData(write_tree(tmp_path, train=4), "train", 8)
    before = torch.get_rng_state()
    list(loader(data, 2, shuffle=True, seed=0))
    assert torch.equal(torch.get_rng_state(), before)
