"""Whether mosaics simulate larger batches: on pictures of one tone, where it can be reckoned how much they do."""

import copy

import numpy as np
import pandas as pd
import pytest
import torch
from helpers_voc import write_tree
from torch import nn

from groundwork.errors import InputError
from trial.instruments.mosaic_noise import factors, measure, spread, worth
from yolo_core.data.voc import VocData
from yolo_core.detector.backbones import Backbone
from yolo_core.detector.grid import Grid
from yolo_core.detector.loss import YoloLoss
from yolo_core.detector.model import Detector, batchnorms
from yolo_core.training.config import RunConfig

PICTURES = 1024


class Onlooker(Backbone):
    """Hands pictures through; a BatchNorm sees them too, or their corner pixels alone."""

    corner = False

    def forward(self, images):
        self.body(images[..., :1, :1] if self.corner else images)
        return images


class Tone(nn.Module):
    """One weight, whose gradient is 1 + the mean tone of a picture; dropout would add to its noise."""

    def __init__(self):
        super().__init__()
        self.weight, self.dropout = nn.Parameter(torch.ones(())), nn.Dropout(0.5)

    def forward(self, images):
        return (self.weight * self.dropout(1 + images.mean((1, 2, 3)))).view(-1, 1, 1, 1)


class Sum(YoloLoss):
    def forward(self, outputs, target, effective_batch=None):
        return {"tone": outputs.sum() / effective_batch}


def toy():
    return Detector(Onlooker(nn.BatchNorm2d(3), 3, 1, (), {}), Tone(), Grid())


@pytest.fixture(scope="module")
def tones(tmp_path_factory):
    """Pictures that are black or white throughout."""
    data = VocData(write_tree(tmp_path_factory.mktemp("tree"), train=2, val=1), "train", 40)
    white = torch.from_numpy(np.random.default_rng(0).permutation(PICTURES) % 2 * 255).to(torch.uint8)
    data.ids, data.targets = [str(i) for i in range(PICTURES)], [data.targets[0]] * PICTURES
    data.images = white[:, None, None, None].expand(-1, 3, 40, 40).contiguous()
    return data


@pytest.fixture(scope="module")
def found(tones):
    return measure(toy(), Sum(), tones, pictures=PICTURES).set_index(["micro_batch", "mosaic"])


def test_a_mosaic_is_worth_four_pictures_only_where_its_centre_is_in_the_middle():
    assert worth(0.5) == pytest.approx(4)
    assert worth(0) == pytest.approx(9 / 4)  # E[x^2 + (1 - x)^2] = 2 / 3 on each side
    x, y = np.random.default_rng(0).uniform(0.2, 0.8, (2, 1_000_000))
    areas = np.stack([x * y, x * (1 - y), (1 - x) * y, (1 - x) * (1 - y)])
    assert worth() == pytest.approx(1 / (areas**2).sum(0).mean(), rel=1e-3)


@pytest.mark.parametrize("micro", [2, 16])
def test_one_tone_pictures_spread_the_gradient_as_one_reckons(found, micro):
    # The gradient is 1 or 2: variance 1/4. With mosaics it is divided by what one is worth.
    assert found.loc[(micro, False), "gradient_spread"] == pytest.approx(1 / 4, rel=0.15)
    assert found.loc[(micro, True), "gradient_spread"] == pytest.approx(1 / 4 / worth(), rel=0.25)


@pytest.mark.parametrize("micro", [2, 16])
def test_one_tone_pictures_spread_the_batch_mean_as_one_reckons(found, micro):
    # Tones are 0 or 1, deviation 1/2; the mean of so many has 1/2 over their root.
    assert found.loc[(micro, False), "mean_spread"] == pytest.approx(micro**-0.5, rel=0.1)
    assert found.loc[(micro, True), "mean_spread"] == pytest.approx((micro * worth()) ** -0.5, rel=0.15)


def test_one_tone_pictures_spread_the_batch_variance_as_one_reckons(found, tones):
    # Of two, the variance is 0 or 1/4, as often one as the other: deviation 1/8, of a variance of 1/4.
    assert found.loc[(2, False), "variance_spread"] == pytest.approx(1 / 2, rel=0.05)
    detector = toy()
    detector.backbone.corner = True  # of two numbers: divided by two, as BatchNorm does, not by one
    assert measure(detector, Sum(), tones, micro_batches=(2,))["variance_spread"][0] == pytest.approx(1 / 2, rel=0.05)
    assert (found["variance_spread"].xs(True, level="mosaic") < found["variance_spread"].xs(False, level="mosaic")).all()


def test_spread_by_hand():
    means, variances = torch.tensor([[0.0, 0.0], [2.0, 0.0]]), torch.tensor([[3.0, 1.0], [3.0, 3.0]])
    mean, variance = spread(means, variances, eps=0)
    # First channel: the whole has variance 3 + 1; means differ by root 2, variances not. Second: 2 + 0; means not, variances by root 2.
    assert mean == pytest.approx((2**0.5 / 2 + 0) / 2)
    assert variance == pytest.approx((0 + 2**0.5 / 2) / 2)


@pytest.fixture
def noise(tones):
    """Eight pictures of noise."""
    data = copy.copy(tones)
    data.ids, data.targets, data.size = tones.ids[:8], tones.targets[:8], 224
    data.images = torch.randint(0, 256, (8, 3, 224, 224), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return data


@pytest.mark.parametrize("head", [{"head": "conv"}, {"head": "decoupled"}], ids=["grid", "points"])
def test_measuring_leaves_the_detector_as_it_was(noise, head):
    torch.manual_seed(0)
    config = RunConfig(backbone="scratch", width=0.05, **head)
    detector = config.detector()
    before = {name: tensor.clone() for name, tensor in detector.state_dict().items()}
    table = measure(detector, config.loss(), noise, micro_batches=(2, 4), pictures=8)
    assert np.isfinite(table[["gradient_spread", "mean_spread", "variance_spread"]].to_numpy(float)).all()
    assert list(table["micro_batch"]) == [2, 2, 4, 4] and list(table["mosaic"]) == [False, True, False, True]
    assert all(torch.equal(tensor, before[name]) for name, tensor in detector.state_dict().items())
    assert detector.training and all(p.grad is None for p in detector.parameters())


def test_batchnorm_looks_at_the_batch_even_where_it_is_frozen(noise):
    torch.manual_seed(0)
    config = RunConfig(backbone="scratch", width=0.05, head="conv", batchnorm="frozen")
    detector = config.detector()
    table = measure(detector, config.loss(), noise, micro_batches=(2,), pictures=8)
    for norm in batchnorms(detector):
        norm.running_mean += 1
    assert measure(detector, config.loss(), noise, micro_batches=(2,), pictures=8).equals(table)


@pytest.mark.parametrize(
    ("pictures", "message"),
    [
        (PICTURES + 16, f"the split has {PICTURES}; ask for"),
        (40, "two or more whole batches of 16, got 40"),
        (16, "two or more whole batches of 16, got 16"),
    ],
)
def test_pictures_that_make_no_whole_batches_are_refused(tones, pictures, message):
    with pytest.raises(InputError, match=message):
        measure(toy(), Sum(), tones, pictures=pictures)


@pytest.mark.equation("eq-simulated")
def test_a_batch_k_times_as_large_is_told_by_all_three_measures():
    """Noise falls to a k-th, deviations to a root of it."""
    k = 2.5
    plain = {"micro_batch": 2, "mosaic": False, "gradient_spread": 10.0, "mean_spread": 0.4, "variance_spread": 0.2}
    mosaics = {"micro_batch": 2, "mosaic": True, "gradient_spread": 10 / k, "mean_spread": 0.4 / k**0.5, "variance_spread": 0.2 / k**0.5}
    found = factors(pd.DataFrame([plain, mosaics]))
    assert list(found.columns) == ["gradient", "batchnorm_mean", "batchnorm_variance"]
    assert found.loc[2].tolist() == pytest.approx([k, k, k])


def test_one_tone_mosaics_act_like_a_batch_of_what_one_is_worth(found):
    assert factors(found.reset_index())["gradient"].tolist() == pytest.approx([worth()] * 2, rel=0.3)
