"""Pascal VOC trees as training data.

Inside: `VocData` (one split, read once into a uint8 cache), `order` (of an epoch), `loader` (its batches, a `Loader`), `rows`.
"""

import copy
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Num
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, Subset

from groundwork.errors import InputError
from voc_tree.annotation import DRAWN
from voc_tree.cache import open_cache
from voc_tree.tree import Split

# Wider than uint8 [b, 3, size, size]: a subclass may put features in the place of pictures.
Batch = tuple[Num[Tensor, "b c h w"], list[dict[str, Tensor]]]


class VocData(Dataset):
    """One split of a VOC tree, its pictures squashed to `size` x `size` and kept as uint8 in an on-disk cache.

    `root` is the folder that holds VOCdevkit/VOC2012; `cache` the folder for caches (default: `root`/.cache). The first
    use decodes every picture; later ones, and every epoch, read the cache alone. Raises `InputError` on the first fault.

    - `ids`: list of N picture ids, in the split file's order;
    - `images`: uint8 [N, 3, size, size], RGB, memory-mapped;
    - `targets`: N dicts of `boxes` (xyxy, in [0, 1] of width and height, float32 [n, 4]), `labels` (int64 [n], an index
      into `CLASSES`) and `difficult` (bool [n]; such objects are kept);
    - `fingerprint`: sha256 over ids, annotation files, picture files and size: equal data, equal fingerprint;
    - `reencoded`: how the pictures differ from those files, in words, where they were brought along without them; else empty;
    - `source`: the split as torchvision's `VOCDetection`, for the original pictures.
    """

    def __init__(self, root: Path | str, split: str, size: int, cache: Path | str | None = None):
        if size < 1:
            raise InputError(f"size: expected a positive number of pixels, got {size}; give the side of the input.")
        root = Path(os.path.expanduser(root))
        self.source = Split(root, split)
        self.ids = self.source.ids
        self.size = size
        self._folder = Path(os.path.expanduser(cache)) if cache is not None else root / ".cache"
        self._rows: Sequence[int] = range(len(self.ids))  # of the split, a part of which this may be
        self._open()

    def _open(self) -> None:
        opened = open_cache(self.source, self.size, self._folder)
        self.images, self.targets = opened.images, opened.targets
        self.fingerprint, self.reencoded = opened.fingerprint, opened.reencoded

    @property
    def in_fair_order(self) -> bool:
        """Whether the first so many pictures are a fair sample: of EmojiVOC's scenes, which are drawn independently, and of a list that is
        not sorted by name. In one that is, the first are the oldest pictures, or all of one source."""
        return (Path(self.source.root) / DRAWN).exists() or self.ids != sorted(self.ids)

    def sample(self, count: int) -> "VocData":
        """A fair sample of the split, the same each time: its first `count` pictures where `in_fair_order`, else the first of a fixed
        permutation, so that a smaller sample is part of a larger one. InputError if there are fewer."""
        if not 1 <= count <= len(self):
            raise InputError(f"{self.source.file}: {count} pictures were asked for, and it names {len(self)}; ask for 1 to {len(self)}.")
        part = copy.copy(self)
        part._keep(range(count) if self.in_fair_order else order(len(self), seed=0, epoch=0)[:count])
        return part

    def _keep(self, index: Sequence[int]) -> None:
        self.ids, self.targets = [self.ids[i] for i in index], [self.targets[i] for i in index]
        self.images, self._rows = rows(self.images, index), [self._rows[i] for i in index]

    def held_on(self, device: torch.device | str) -> "VocData":
        """The same split with a copy of its images in a device's memory, where batches are then taken from: nothing has to bring them."""
        held = copy.copy(self)
        held.images = self.images.to(device, copy=True)
        return held

    def __getstate__(self) -> dict:
        """What crosses to a worker process: where the cache is, not its gigabytes."""
        return {key: value for key, value in vars(self).items() if key not in ("images", "targets")}

    def __setstate__(self, state: dict) -> None:
        vars(self).update(state)
        self._open()
        self.images, self.targets = rows(self.images, self._rows), [self.targets[i] for i in self._rows]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> tuple[Num[Tensor, "c h w"], dict[str, Tensor]]:
        """Picture uint8 [3, size, size] and target."""
        return self.images[index], dict(self.targets[index])

    def at(self, epoch: int, index: int) -> tuple[Num[Tensor, "c h w"], dict[str, Tensor]]:
        """Picture and target as they are in an epoch: here, the same in all."""
        return self[index]

    def __getitems__(self, indices: list[int]) -> Batch:
        """A whole batch: uint8 [b, 3, size, size] and b targets (fresh dicts: changing them changes nothing here)."""
        return self.images[indices], [dict(self.targets[index]) for index in indices]


def rows(table: Tensor, index: Sequence[int]) -> Tensor:
    """The rows of a table; its first ones as a view, so that a mapped file stays one."""
    return table[: len(index)] if list(index) == list(range(len(index))) else table[list(index)]


def order(length: int, seed: int, epoch: int) -> list[int]:
    """The indices 0 .. length - 1 in the order in which a shuffled epoch draws them."""
    # A pair as the seed, not a sum: seed 0 at epoch 1 must not repeat seed 1 at epoch 0.
    return np.random.default_rng((seed, epoch)).permutation(length).tolist()


class Batches(Sampler):
    """Lists of indices of 0 .. length - 1, permuted anew for each `epoch` if `shuffle`; fixed by (seed, epoch) alone.

    Of each list, process `rank` of `world` takes every world-th index from its own on: together they see each once. `start` passes
    over that many lists. The last list may be shorter, a process's part of it even empty; none is dropped. `by_epoch` gives keys,
    epoch * length + index, to data that differ from epoch to epoch.
    """

    def __init__(self, length: int, batch_size: int, shuffle: bool, seed: int, rank: int = 0, world: int = 1, by_epoch: bool = False):
        self.length, self.batch_size, self.shuffle, self.seed = length, batch_size, shuffle, seed
        self.rank, self.world, self.by_epoch = rank, world, by_epoch
        self.epoch, self.start = 0, 0

    def __len__(self) -> int:
        return -(-self.length // self.batch_size)

    def size(self, batch: int) -> int:
        """Indices in list number `batch`, over all processes."""
        return min(self.batch_size, self.length - batch * self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        drawn = order(self.length, self.seed, self.epoch) if self.shuffle else list(range(self.length))
        for batch in range(self.start, len(self)):
            mine = drawn[batch * self.batch_size : (batch + 1) * self.batch_size][self.rank :: self.world]
            yield [self.epoch * self.length + index for index in mine] if self.by_epoch else mine


class Loader(DataLoader):
    """Batches of a `VocData`, or of torch's `Subset` of one; `len` counts them."""

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Choose the order of the next pass, and the batch it starts at. Not on the sampler, where Fabric would overrule it."""
        self.batch_sampler.epoch, self.batch_sampler.start = epoch, start

    def size(self, batch: int) -> int:
        """Pictures in batch number `batch`, over all processes."""
        return self.batch_sampler.size(batch)


def loader(data: VocData | Subset, batch_size: int, shuffle: bool, seed: int, workers: int = 0, rank: int = 0, world: int = 1) -> Loader:
    """Batches (images uint8 [b, 3, size, size], list of b targets) of `data`; the last may be smaller, none is dropped.

    Their order depends on `seed` (>= 0) and `set_epoch` alone, not on `workers`, and drawing them leaves torch's global
    random state as it was. Call `set_epoch` before each pass: without it every pass has the order of epoch 0. Of several processes
    each draws its own part of every batch.
    """
    return Loader(
        data,
        batch_sampler=Batches(len(data), batch_size, shuffle, seed, rank, world, getattr(data, "by_epoch", False)),
        num_workers=workers,
        collate_fn=_as_is,
        # What crosses to a GPU is pinned; what lies there already cannot be.
        pin_memory=torch.cuda.is_available() and not getattr(getattr(data, "images", None), "is_cuda", False),
        persistent_workers=workers > 0,
        generator=torch.Generator(),  # DataLoader would draw its workers' seeds from the global one
    )


def _as_is(batch: Batch) -> Batch:
    """`VocData.__getitems__` has made the batch already."""
    return batch
