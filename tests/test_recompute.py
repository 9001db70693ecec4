"""Activation checkpointing: the same training to the bit, with less to remember."""

import dataclasses
import json

import pandas as pd
import pytest
import torch
from helpers_voc import write_tree

from trial.watch import train
from yolo_core.data.voc import VocData
from yolo_core.training.config import RunConfig
from yolo_core.training.step import Training
from yolo_core.training.train import make_fabric

BACKBONES = {
    "scratch": RunConfig(backbone="scratch", width=0.05),
    "resnet18": RunConfig(backbone="resnet18"),
    "efficientnet_lite0": RunConfig(backbone="efficientnet_lite0"),  # with stochastic depth: the same pictures must be dropped
}


def after_two_steps(config):
    """Weights and buffers after two optimiser steps of two micro-batches of two."""
    torch.manual_seed(0)
    training = Training(config, make_fabric(config.precision), None)
    training.schedule(2)
    training.model.train()
    targets = [
        {"boxes": torch.tensor([[0.1, 0.2, 0.6, 0.7]]), "labels": torch.tensor([k]), "difficult": torch.tensor([False])} for k in range(4)
    ]
    for _ in range(2):
        training.step(torch.randint(0, 256, (4, 3, 224, 224), dtype=torch.uint8), targets, 4)
    return training.detector.state_dict()


@pytest.mark.parametrize("name", BACKBONES)
def test_two_steps_leave_the_same_weights_and_the_same_statistics_bit_for_bit(name):
    config = dataclasses.replace(BACKBONES[name], head="conv", effective_batch=4, micro_batch=2)
    plain, again = (after_two_steps(dataclasses.replace(config, checkpoint_activations=on)) for on in (False, True))
    tracked = [key for key in plain if key.endswith("num_batches_tracked")]
    assert tracked and all(plain[key] == 4 for key in tracked)
    assert {key for key in plain if not torch.equal(plain[key], again[key])} == set()


def test_a_run_says_the_same_its_probes_and_its_accumulation_gap_included(tmp_path):
    """A probe goes through the graph several times, and each time the blocks run again."""
    root = write_tree(tmp_path / "tree", train=6, val=2)
    splits = VocData(root, "train", 224), VocData(root, "val", 224)
    config = dataclasses.replace(BACKBONES["scratch"], head="conv", epochs=1, effective_batch=4, micro_batch=2, probe_steps=1)
    plain, again = (
        train(dataclasses.replace(config, checkpoint_activations=on), *splits, tmp_path / str(on), code="test", progress=False)
        for on in (False, True)
    )
    assert plain.metrics["accumulation_gap"] < 1e-6
    assert json.dumps(plain.metrics) == json.dumps(again.metrics)
    pd.testing.assert_frame_equal(plain.table("terms"), again.table("terms"), check_exact=True)


@pytest.mark.parametrize("name", BACKBONES)
def test_every_block_keeps_its_input_alone_and_runs_again_in_the_backward_pass(name):
    backbone = dataclasses.replace(BACKBONES[name], checkpoint_activations=True).detector().backbone.train()
    entered, kept = [], []
    for block, _ in backbone.blocks:
        block.register_forward_pre_hook(lambda module, args: entered.append((module, args[0].nbytes)))
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor.nbytes) or tensor, lambda tensor: tensor):
        features = backbone(torch.rand(2, 3, 224, 224))
    first = list(entered)
    features.sum().backward()
    assert kept == [size for _, size in first]
    assert [module for module, _ in entered[len(first) :]] == [module for module, _ in reversed(first)]


@pytest.mark.parametrize("name", BACKBONES)
def test_the_blocks_in_order_are_the_body(name):
    backbone = BACKBONES[name].detector().backbone.eval()
    named = {id(p) for block, _ in backbone.blocks for p in block.parameters()}
    assert named == {id(p) for p in backbone.body.parameters()}
    images = torch.rand(2, 3, 224, 224)
    with torch.no_grad():
        plain = backbone(images)
        backbone.recompute = True
        assert torch.equal(backbone(images), plain)
