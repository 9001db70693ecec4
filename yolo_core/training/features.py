"""A split seen through a frozen backbone, computed once.

Inside: `FeatureData`.

A backbone whose weights and BatchNorm statistics both stand still says the same of a picture in every epoch. So it runs once over the
data and its maps are kept on disk in half precision. What that forbids: anything that changes the pictures (augmentation, mosaic) or
the backbone (fine-tuning, BatchNorm in train mode).
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn
from tqdm.auto import tqdm

from groundwork.drafts import drafted
from groundwork.errors import writing
from groundwork.files import whole_array
from groundwork.locks import alone
from yolo_core.data.voc import VocData, rows


class FeatureData(VocData):
    """A `VocData` whose `images` are a backbone's feature maps, float16 [N, c, h, w]; targets and fingerprint are those of the split.

    The cache is a file beside the split's own, named by the data's fingerprint and length and the backbone's weights.
    """

    def __init__(self, data: VocData, backbone: nn.Module, device: torch.device | str = "cpu", progress: bool = True) -> None:
        vars(self).update(vars(data))
        self._maps: Sequence[int] = range(len(data))  # of the file, which has one for each picture of `data`
        self._file = self._folder / f"features-{_key(data, backbone)}.npy"
        if not whole_array(self._file, len(data)):
            with alone(self._file), writing(self._file):
                if not whole_array(self._file, len(data)):  # who waited finds it made
                    _build(self._file, data, backbone, device, progress)
        self._map()

    def _map(self) -> None:
        # Copy on write, because torch wants an array that it could write to; nothing does.
        self.images = rows(torch.from_numpy(np.load(self._file, mmap_mode="c")), self._maps)

    def _keep(self, index: Sequence[int]) -> None:
        super()._keep(index)
        self._maps = [self._maps[i] for i in index]  # a part reads the whole's file

    def __setstate__(self, state: dict) -> None:
        super().__setstate__(state)
        self._map()


def _key(data: VocData, backbone: nn.Module) -> str:
    # Two nets may hold the same weights and put out different maps, so the layers count as well; a split that is cut keeps its fingerprint.
    digest = hashlib.sha256(f"{data.fingerprint} {len(data)} {backbone}".encode())
    for name, tensor in (*backbone.state_dict().items(), *backbone.named_buffers()):  # a buffer that is not saved: the pictures' scale
        digest.update(name.encode())
        digest.update(tensor.numpy(force=True).tobytes())
    return digest.hexdigest()[:24]


@torch.no_grad()
def _build(file: Path, data: VocData, backbone: nn.Module, device: torch.device | str, progress: bool) -> None:
    """Run the backbone over the split, and move the finished file into place."""
    for left in file.parent.glob(f".{file.name}.*"):  # by processes that were killed: under the lock one at a time builds
        left.unlink(missing_ok=True)
    mode = backbone.training
    backbone.eval()
    bar = tqdm(total=len(data), desc="features of the frozen backbone", unit="image", disable=not progress)
    try:
        with drafted(file) as draft, open(draft, "wb") as out:  # plain writes: a full disk is an error here, a crash in a map
            for start in range(0, len(data), 32):
                images = data.images[start : start + 32].to(device).float().div_(255)
                features = backbone(images.contiguous(memory_format=torch.channels_last)).half().numpy(force=True)
                if start == 0:
                    header = {"descr": "<f2", "fortran_order": False, "shape": (len(data), *features.shape[1:])}
                    np.lib.format.write_array_header_1_0(out, header)
                out.write(features.tobytes())
                bar.update(len(features))
    finally:
        bar.close()
        backbone.train(mode)
