"""Pictures that stay in a GPU's memory, as bytes, so that a training step does not wait for the loader.

Inside: `resident`, `room`.
"""

from collections.abc import Sequence

import torch

from yolo_core.data.voc import VocData
from yolo_core.detector.model import Detector

SHARE = 4  # pictures may take one part in so many of what is free: the rest is for activations, whose size is not known here


def room(detector: Detector, device: torch.device) -> float:
    """Bytes that pictures may take on a device: none but on a GPU, and there a part of what is free once every weight that learns has
    its gradient and two moments."""
    if device.type != "cuda":
        return 0.0
    learning = sum(p.numel() * p.element_size() for p in detector.parameters() if p.requires_grad)
    return (torch.cuda.mem_get_info(device)[0] - 3 * learning) / SHARE


def resident(splits: Sequence[VocData], detector: Detector, device: torch.device) -> tuple[VocData, ...]:
    """The splits with their images (uint8 pictures, or features in half precision) in the device's memory if all of them have room there,
    else as they came. Batches hold the same bytes in the same order either way."""
    fits = sum(data.images.nbytes for data in splits) <= room(detector, device)
    return tuple(data.held_on(device) if fits else data for data in splits)
