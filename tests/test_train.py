"""The loop: what it must compute, and what it must never do."""

import dataclasses
import json
import math
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from helpers_voc import write_tree
from torch import nn

from groundwork.errors import InputError
from trial.figures import live
from trial.instruments.scored import shown
from trial.watch import norms, train
from yolo_core.data.voc import VocData
from yolo_core.detector.backbones import build_backbone
from yolo_core.detector.model import Detector
from yolo_core.training import step as step_module
from yolo_core.training.calibration import recompute
from yolo_core.training.config import RunConfig, config_from_dict
from yolo_core.training.features import FeatureData
from yolo_core.training.records import read_run
from yolo_core.training.step import NonFiniteLoss, rate_factor
from yolo_core.training.writing import run_key

TINY = RunConfig(backbone="scratch", width=0.05, head="conv", epochs=2, effective_batch=4, micro_batch=4, dropout=0.0)


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    root = write_tree(tmp_path_factory.mktemp("tree"), train=10, val=4)
    return VocData(root, "train", 224), VocData(root, "val", 224)


def run(config, splits, out, **options):
    return train(config, *splits, out, code="test", progress=False, **options)


@pytest.fixture(scope="module")
def tiny_run(splits, tmp_path_factory):
    return run(TINY, splits, tmp_path_factory.mktemp("runs") / "tiny")


def test_the_record_says_what_ran_on_what_and_how_it_scored(tiny_run):
    record = json.loads((tiny_run.folder / "record.json").read_text())
    assert record["config"] == TINY.to_dict()
    assert record["steps"] == 2 * 3  # ten pictures in groups of four: the partial last group is a step
    assert record["data"]["train_images"] == 10
    assert set(record["metrics"]["cuts"]) == {"0.001", "0.05", "0.1", "0.2", "0.4"}
    assert {"python", "packages", "device", "commit"} <= set(record["host"])
    assert list(tiny_run.table("curves")["step"]) == list(range(6))
    assert read_run(tiny_run.folder).config == TINY


def test_a_configuration_is_parsed_once_however_often_it_is_asked_for(tiny_run):
    """The pages of a book that is read ask some hundred thousand times."""
    found = read_run(tiny_run.folder)
    assert found.config is found.config


def test_two_runs_of_one_seed_are_equal_bit_for_bit_host_and_times_aside(tiny_run, splits, tmp_path):
    again = run(TINY, splits, tmp_path / "again")
    for key in set(tiny_run.record) - {"host", "times"}:
        assert json.dumps(again.record[key]) == json.dumps(tiny_run.record[key]), key
    pd.testing.assert_frame_equal(again.table("curves"), tiny_run.table("curves"), check_exact=True)
    weights = tiny_run.weights()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in again.weights().items())


def test_another_seed_gives_other_weights(tiny_run, splits, tmp_path):
    other = run(dataclasses.replace(TINY, seed=1), splits, tmp_path / "other")
    weights = tiny_run.weights()
    assert not all(torch.equal(tensor, weights[name]) for name, tensor in other.weights().items())


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_probes_leave_the_weights_as_they_were_bit_for_bit(splits, tmp_path, dropout):
    plain_config = dataclasses.replace(TINY, head="compressed", dropout=dropout, epochs=1)
    plain = run(plain_config, splits, tmp_path / "plain", max_steps=2)
    probed = run(dataclasses.replace(plain_config, probe_steps=1), splits, tmp_path / "probed", max_steps=2)
    weights = plain.weights()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in probed.weights().items())
    readings = {"background as mse", "background as focal"}
    assert set(probed.table("terms")["term"]) == {"box", "object", "background", "class"} | readings


def test_a_watcher_sees_the_tables_grow_and_changes_no_weight(splits, tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(live, "display", lambda figure, **_: shown.append(figure) or SimpleNamespace(update=lambda f, **_: shown.append(f)))
    config = dataclasses.replace(TINY, probe_steps=2)
    seen = []
    figure = live.Live("tiny")
    watched = run(config, splits, tmp_path / "watched", live=lambda tables: (seen.append(len(tables["cells"])), figure(tables)))
    assert seen == [98, 196, 294] and len(shown) == 3
    plain = run(config, splits, tmp_path / "plain").weights()
    assert all(torch.equal(tensor, plain[name]) for name, tensor in watched.weights().items())


def test_the_recorded_background_gradient_is_two_lambda_c_cell_by_cell(splits, tmp_path):
    probed = run(dataclasses.replace(TINY, probe_steps=1), splits, tmp_path / "probed")
    cells = probed.table("cells").query("background")
    assert len(cells) > 100
    torch.testing.assert_close(
        torch.tensor(cells["gradient"].to_numpy()), 2 * 0.5 * torch.tensor(cells["confidence"].to_numpy()), rtol=1e-5, atol=1e-9
    )


@pytest.mark.parametrize("micro_batch", [1, 3])
def test_micro_batches_accumulate_to_the_step_of_the_full_batch(splits, tmp_path, monkeypatch, micro_batch):
    """Every BatchNorm in eval mode; three does not divide four, and the last group holds two pictures of ten."""
    monkeypatch.setattr(Detector, "train", lambda self, mode=True: nn.Module.train(self, False))
    config = dataclasses.replace(TINY, optimiser="sgd", lr=1e-2)
    full = run(config, splits, tmp_path / "full")
    parts = run(dataclasses.replace(config, micro_batch=micro_batch), splits, tmp_path / "parts")
    whole = full.weights()
    for name, tensor in parts.weights().items():
        torch.testing.assert_close(tensor, whole[name], rtol=1e-4, atol=1e-6)
    for term in ("box", "object", "background", "class"):
        assert parts.table("curves")[term].tolist() == pytest.approx(full.table("curves")[term].tolist(), rel=1e-4)


def test_a_non_finite_loss_stops_the_run_and_names_its_terms(splits, tmp_path, monkeypatch):
    monkeypatch.setattr(step_module, "rate_factor", lambda *_: 1e30)
    with pytest.raises(NonFiniteLoss, match=r"step \d+: the .*(box|object|background|class).* not finite"):
        run(dataclasses.replace(TINY, optimiser="sgd", clip_norm=None), splits, tmp_path / "burst")
    assert not list(tmp_path.iterdir()), "a failed run leaves nothing behind"


def test_max_steps_stops_early_and_still_scores(splits, tmp_path):
    short = run(TINY, splits, tmp_path / "short", max_steps=1)
    assert short.record["steps"] == 1
    assert len(short.table("epochs")) == 1


def test_the_rate_rises_over_the_warm_up_and_falls_to_zero():
    config = RunConfig(warmup=0.1)
    factors = [rate_factor(step, 100, config) for step in range(100)]
    assert factors[:10] == pytest.approx([k / 10 for k in range(1, 11)])
    assert factors[10] == 1.0
    assert all(a >= b for a, b in zip(factors[10:], factors[11:], strict=False))
    assert factors[-1] < 1e-3


def test_features_computed_once_are_those_of_the_backbone_to_half_precision(splits):
    config = RunConfig(weights=None, freeze_weights=True, batchnorm="frozen", cache_features=True)
    torch.manual_seed(0)
    backbone = config.detector().backbone.eval()
    features = FeatureData(splits[0], backbone, progress=False)
    with torch.no_grad():
        direct = backbone(splits[0].images.float() / 255)
    torch.testing.assert_close(features.images.float(), direct, rtol=2e-3, atol=2e-3)
    assert features.fingerprint == splits[0].fingerprint
    batch, targets = features.__getitems__([3, 1])
    assert torch.equal(batch, features.images[[3, 1]]) and len(targets) == 2


def test_another_backbone_does_not_find_the_features_of_the_first(splits):
    config = RunConfig(weights=None, freeze_weights=True, batchnorm="frozen", cache_features=True)
    files = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        files.append(FeatureData(splits[0], config.detector().backbone, progress=False)._file)
    assert files[0] != files[1]


def test_a_split_and_its_first_pictures_do_not_take_each_other_s_features(splits):
    config = RunConfig(weights=None, freeze_weights=True, batchnorm="frozen", cache_features=True)
    torch.manual_seed(0)
    backbone = config.detector().backbone
    part, whole = (FeatureData(data, backbone, progress=False) for data in (splits[0].sample(2), splits[0]))
    assert (len(part.images), len(whole.images)) == (2, len(splits[0]))
    assert len(whole.sample(2).images) == 2


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"micro_batch": 32}, "micro_batch 32 is larger than effective_batch 16"),
        ({"lr": 0.0}, "lr must be above 0"),
        ({"cache_features": True}, "cache_features needs a backbone that stands still"),
        ({"learning_rate": 1e-3}, "unknown key 'learning_rate'"),
    ],
)
def test_a_wrong_configuration_is_refused_in_a_sentence(values, sentence):
    with pytest.raises(InputError, match=sentence):
        config_from_dict(values)


def test_the_key_of_a_run_changes_with_configuration_data_and_code():
    base = run_key(TINY, {"train": "a", "val": "b"}, "code")
    assert base == run_key(TINY, {"train": "a", "val": "b"}, "code")
    assert base != run_key(dataclasses.replace(TINY, lr=2e-3), {"train": "a", "val": "b"}, "code")
    assert base != run_key(TINY, {"train": "c", "val": "b"}, "code")
    assert base != run_key(TINY, {"train": "a", "val": "b"}, "other")


def test_the_key_of_a_run_changes_with_the_content_of_a_file_of_weights(tmp_path):
    keys, from_file = set(), dataclasses.replace(TINY, weights=str(tmp_path / "w.pth"))
    for content in (b"one", b"other"):
        (tmp_path / "w.pth").write_bytes(content)
        keys.add(run_key(from_file, {"train": "a", "val": "b"}, "code"))
    assert len(keys) == 2


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"schema": 99}', b"\xff\xfe"])
def test_a_torn_or_foreign_record_is_refused_by_name(tmp_path, content):
    (tmp_path / "record.json").write_bytes(content)
    with pytest.raises(InputError, match="record.json"):
        read_run(tmp_path)


def test_features_at_another_scale_of_pictures_are_not_found_for_the_first(splits):
    own, imagenet = (build_backbone("efficientnet_lite0", 224, input_scale=scale) for scale in ("own", "imagenet"))
    own.load_state_dict(imagenet.state_dict())
    first, second = (FeatureData(splits[1], backbone, progress=False).images for backbone in (own, imagenet))
    assert not torch.equal(first, second)


def test_a_run_keeps_its_maps_over_draws_of_the_images(tiny_run):
    drawn = tiny_run.metrics["resampled"]
    assert set(drawn) == {"map", "map_class_agnostic", "map_as_released"} and {len(v) for v in drawn.values()} == {200}


def test_a_gallery_is_given_the_best_detections_of_the_first_pictures(splits):
    outputs = TINY.grid().perfect_outputs(TINY.grid().encode(splits[0].targets))
    table = shown(outputs, TINY, images=3, most=1)
    assert list(table) == ["image", "xmin", "ymin", "xmax", "ymax", "score", "label"]
    with_objects = [i for i in range(3) if len(splits[0].targets[i]["labels"])]
    assert table["image"].tolist() == with_objects and (table["score"] == 1).all()
    for row in table.itertuples():
        found = (splits[0].targets[row.image]["boxes"] - torch.tensor(row[2:6])).abs().sum(1)
        assert found.min() < 1e-4


def test_the_gradients_norm_is_told_after_the_first_fifth_by_hand():
    curve = [{"gradient_norm": value} for value in (1000.0, 1.0, 1.0, math.e**2, math.nan)]
    found = norms(curve, clip_norm=5.0)
    assert found == {"median": 1.0, "log_spread": pytest.approx(math.sqrt(8 / 9)), "clipped": pytest.approx(1 / 3)}
    assert norms(curve, None)["clipped"] == 0


def test_a_calibrated_backbone_starts_from_the_statistics_of_its_pictures(splits, tmp_path):
    config = dataclasses.replace(TINY, epochs=1, freeze_weights=True, batchnorm="frozen", calibrate_batchnorm=8)
    trained = run(config, splits, tmp_path / "run").weights()
    held = {name: value for name, value in trained.items() if name.startswith("backbone") and name.endswith("running_mean")}
    torch.manual_seed(config.seed)
    expected = config.detector()
    recompute(expected.backbone, splits[0].sample(8).images)
    assert held and all(torch.allclose(value, expected.state_dict()[name], atol=1e-6) for name, value in held.items())


def test_a_cut_of_the_training_split_trains_on_so_many_pictures_alone(splits, tmp_path):
    short = run(dataclasses.replace(TINY, train_images=5), splits, tmp_path / "cut")
    assert short.record["data"]["train_images"] == 5
    assert short.record["steps"] == 2 * 2
    with pytest.raises(InputError, match="11 pictures were asked for, and it names 10"):
        run(dataclasses.replace(TINY, train_images=11), splits, tmp_path / "more")
