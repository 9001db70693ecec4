"""A backbone's maps at several strides, as a head for points takes them.

Inside: `Pyramid`.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from yolo_core.detector.backbones import Backbone


class Pyramid(nn.Module):
    """A backbone seen at several strides: its maps flattened, one after another, in one tensor, as a head for points takes them."""

    def __init__(self, net: Backbone, strides: Sequence[int]) -> None:
        super().__init__()
        self.net, self.strides = net, tuple(strides)
        self.channels = [net.channels if stride == net.stride else net.finer[stride] for stride in strides]

    def extra_repr(self) -> str:
        return f"strides={self.strides}"

    @property
    def recompute(self) -> bool:
        """As the backbone's own."""
        return self.net.recompute

    @recompute.setter
    def recompute(self, value: bool) -> None:
        self.net.recompute = value

    def forward(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n k 1 1"]:
        maps = self.net.maps(images)
        return torch.cat([maps[stride].contiguous().flatten(1) for stride in self.strides], 1)[..., None, None]
