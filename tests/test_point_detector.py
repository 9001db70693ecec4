"""The detector at points, from pictures to a trained run."""

import dataclasses
from types import SimpleNamespace

import pytest
import torch
from helpers_voc import write_tree
from test_train import run

from anchor_free.build import build_point_detector
from anchor_free.heads import PointHead
from anchor_free.points import Points
from anchor_free.pyramid import Pyramid
from groundwork.errors import InputError
from trial.figures import live
from trial.inference.detect import found_in, load
from trial.planner import cost, estimate
from yolo_core.__main__ import main
from yolo_core.data.voc import VocData
from yolo_core.detector.backbones import build_backbone
from yolo_core.training.config import RunConfig

JOBS = [("remedies", "base", 0), ("remedies", "strides", 0)]
EVERY = {"head": "decoupled", "assign": "aligned", "box_loss": "ciou", "score_loss": "quality", "finest_stride": 8}
TINY = RunConfig(backbone="scratch", width=0.05, epochs=2, effective_batch=4, micro_batch=4, **EVERY)


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    root = write_tree(tmp_path_factory.mktemp("tree"), train=6, val=3)
    return VocData(root, "train", 224), VocData(root, "val", 224)


@pytest.mark.parametrize("backbone", ["scratch", "resnet18", "efficientnet_lite0"])
def test_a_pyramid_holds_the_maps_of_its_strides_with_the_channels_it_says(backbone):
    net = build_backbone(backbone, 224).eval()
    pyramid, images = Pyramid(net, (8, 16, 32)), torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        packed = pyramid(images)
        sizes = [channels * side**2 for channels, side in zip(pyramid.channels, (28, 14, 7), strict=True)]
        parts = packed.flatten(1).split(sizes, 1)
        assert packed.shape[1] == sum(sizes)
        torch.testing.assert_close(parts[-1].view(1, -1, 7, 7), net(images))
        maps = net.maps(images)
        assert all(torch.equal(part, maps[stride].flatten(1)) for part, stride in zip(parts, (8, 16, 32), strict=True))


def test_every_point_reads_its_own_place():
    """A change in one corner of the finest map changes no point far from it, and none of the coarser level."""
    points = Points(image_size=224, finest=16, coarsest=32)
    head = PointHead((4, 6), points, decoupled=True, width=8).eval()
    for layer in (*head.class_branch.modules(), *head.box_branch.modules()):
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_var.fill_(0.01)
    packed = torch.randn(1, 4 * 14**2 + 6 * 7**2, 1, 1)
    changed = packed.clone()
    changed[0, 0] += 5.0  # channel 0 of the finest map, row 0, column 0
    with torch.no_grad():
        moved = (head(packed) - head(changed)).abs().amax(-1)[0] > 0
    assert moved[0]
    assert not moved[14**2 :].any()
    assert not moved[: 14**2].view(14, 14)[7:, 7:].any()


def test_what_one_level_knows_of_its_maps_is_not_mixed_with_another_s():
    """A head in use says what it said while it learnt: running statistics of all levels together would fit none."""
    points = Points(image_size=224, finest=16, coarsest=32)
    head = PointHead((4, 6), points, decoupled=True, width=8)
    for layer in head.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 1.0  # the statistics are those of the last batch
    packed = torch.cat([5 + 10 * torch.randn(8, 4 * 14**2, 1, 1), torch.randn(8, 6 * 7**2, 1, 1)], 1)
    with torch.no_grad():
        learning, using = head.train()(packed), head.eval()(packed)
    for level in (slice(14**2), slice(14**2, None)):
        apart = (learning - using)[:, level].square().mean().sqrt() / learning[:, level].std()
        assert apart < 0.02, "the variance over a batch is divided by n in one and by n - 1 in the other, and by no more"


@pytest.mark.parametrize(("head", "cut_off"), [("decoupled", True), ("coupled", False)])
def test_only_a_decoupled_head_keeps_box_gradients_out_of_the_class_branch(head, cut_off):
    config = dataclasses.replace(TINY, head=head)
    detector, grid = config.detector(), config.grid()
    outputs = detector(torch.rand(2, 3, 224, 224))
    grid.split(outputs).box.square().sum().backward()
    touched = any(p.grad is not None and p.grad.abs().sum() > 0 for p in detector.head.class_branch.parameters())
    assert touched != cut_off


def test_rare_logits_start_at_one_in_a_hundred_and_linear_scores_near_nought():
    images = torch.rand(2, 3, 224, 224)
    for score_loss, expected in (("quality", 0.01), ("squared", 0.0)):
        config = dataclasses.replace(TINY, score_loss=score_loss)
        detector = config.detector().eval()
        with torch.no_grad():
            for layer in detector.head.to_scores:
                layer.weight.zero_()
                if score_loss == "squared":
                    layer.bias.zero_()
            scores = config.grid().scores(detector(images), config.confidence)
        assert scores.mean().item() == pytest.approx(expected, abs=1e-6)


def test_a_run_is_trained_scored_stored_and_loaded(splits, tmp_path):
    config = dataclasses.replace(TINY, probe_steps=1)
    found = run(config, splits, tmp_path / "run")
    assert 0 <= found.metrics["map"] <= 1
    assert {"box", "object", "background"} <= set(found.table("curves").columns)
    assert list(found.table("conflict")["step"]) == list(range(4))
    assert -1 <= found.metrics["probes"]["box_class_cosine"] <= 1
    detector, again = load(found.folder)
    assert again == config
    detections = found_in(detector, again, splits[1].images, 0.001)
    assert len(detections) == 3


def test_a_watcher_sees_the_looks_grow_and_changes_no_weight(splits, tmp_path, monkeypatch):
    shown, seen = [], []
    monkeypatch.setattr(live, "display", lambda figure, **_: shown.append(figure) or SimpleNamespace(update=lambda f, **_: shown.append(f)))
    figure = live.Live("tiny")
    config = dataclasses.replace(TINY, probe_steps=2)
    watched = run(config, splits, tmp_path / "watched", live=lambda tables: (seen.append(len(tables["conflict"])), figure(tables)))
    assert seen == [1, 2] and len(shown) == 2
    plain = run(config, splits, tmp_path / "plain").weights()
    assert all(torch.equal(tensor, plain[name]) for name, tensor in watched.weights().items())


@pytest.mark.parametrize("change", [{}, {"bins": 4}, {"micro_batch": 3}, {"mosaic": True}])
def test_two_runs_of_a_seed_are_equal_bit_for_bit(splits, tmp_path, change):
    config = dataclasses.replace(TINY, epochs=1, **change)
    weights = [run(config, splits, tmp_path / name).weights() for name in ("one", "other")]
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())


def test_a_training_on_mosaics_records_as_how_large_a_batch_they_act(splits, tmp_path):
    """At micro-batch 16 not: six pictures are not two batches."""
    found = run(dataclasses.replace(TINY, epochs=1, mosaic=True), splits, tmp_path / "mosaic").metrics["mosaic"]
    assert set(found) == {"2"}
    assert set(found["2"]) == {"gradient", "batchnorm_mean", "batchnorm_variance"} and min(found["2"].values()) > 0


def test_stored_features_train_as_those_of_a_backbone_that_runs(splits, tmp_path):
    """To half precision, in which they are stored."""
    config = dataclasses.replace(TINY, freeze_weights=True, batchnorm="frozen", epochs=1)
    ran = run(config, splits, tmp_path / "ran", max_steps=1).table("curves")
    stored = run(dataclasses.replace(config, cache_features=True), splits, tmp_path / "stored", max_steps=1).table("curves")
    for term in ("box", "object", "background"):
        assert stored[term][0] == pytest.approx(ran[term][0], rel=0.02)


def test_a_killed_training_goes_on_to_the_same_weights_and_the_same_looks(splits, tmp_path):
    config = dataclasses.replace(TINY, probe_steps=1)
    whole = run(config, splits, tmp_path / "whole")

    class Killed(Exception):
        pass

    from yolo_core.training import step as module

    def kill(*_):
        raise Killed

    original = module.Training.score
    module.Training.score = kill
    try:
        with pytest.raises(Killed):
            run(config, splits, tmp_path / "run", checkpoint_seconds=0)
    finally:
        module.Training.score = original
    again = run(config, splits, tmp_path / "run", checkpoint_seconds=0)
    assert again.record["times"]["resumed"] == 1
    assert all(torch.equal(tensor, again.weights()[name]) for name, tensor in whole.weights().items())
    assert again.table("conflict").equals(whole.table("conflict"))


def test_the_command_line_trains_and_scores_one_and_speaks_of_no_ceiling(tmp_path, capsys):
    root = write_tree(tmp_path / "tree", train=6, val=3)
    out = tmp_path / "run"
    arguments = ["--profile", "smoke", "--data", str(root), "--out", str(out), "--max-steps", "1"]
    assert main(["train", "remedies", "--arm", "all-but-strides", *arguments]) == 0
    assert main(["eval", str(out), "--data", str(root)]) == 0
    said = capsys.readouterr().out
    assert "after 1 steps\n" in said
    assert "3 images" in said
    assert "ceiling" not in said


def test_the_cost_model_counts_the_strides_that_are_predicted_at():
    fine, coarse = (cost.count(dataclasses.replace(TINY, finest_stride=stride)) for stride in (8, 32))
    assert fine.forward > 2 * coarse.forward
    assert fine.weights > coarse.weights
    one, both = (estimate.estimate("pocket", jobs).disk["features"] for jobs in ([JOBS[0]], JOBS))
    assert both > 2 * one, "the maps of three strides are kept beside those of one"


def test_a_stride_that_the_picture_is_no_multiple_of_or_the_backbone_lacks_gets_a_sentence():
    with pytest.raises(InputError, match="multiple of the stride 32"):
        dataclasses.replace(TINY, backbone="resnet18", image_size=200).detector()
    with pytest.raises(InputError, match="one of 8, 16, 32; got 4"):
        dataclasses.replace(TINY, finest_stride=4)
    with pytest.raises(InputError, match="no map at stride 4; it has 8, 16, 32"):
        build_point_detector(Points(image_size=224, finest=4), "resnet18", None, 1.0, decoupled=True, rare=None)
