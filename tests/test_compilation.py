"""Compiled training: the eager losses to rounding, the plain names, and a sentence where there is no compiler."""

import dataclasses

import pytest
import torch
from helpers_voc import write_tree

from groundwork.errors import InputError
from trial.watch import train
from yolo_core.__main__ import main
from yolo_core.data.voc import VocData
from yolo_core.training import compilation
from yolo_core.training.config import RunConfig

TINY = RunConfig(
    backbone="scratch", width=0.05, head="conv", epochs=1, effective_batch=4, micro_batch=2, dropout=0.0, lr=1e-4, probe_steps=2
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return write_tree(tmp_path_factory.mktemp("tree"), train=8, val=2)


def test_two_compiled_steps_have_the_eager_losses_to_1e_4_and_weights_under_the_plain_names(tree, tmp_path, unchecked, monkeypatch):
    """All but the code generator, which takes longer than it can tell: graph capture and the graphs of the backward pass. With a probe."""
    monkeypatch.setattr(compilation, "BACKEND", "aot_eager")
    splits = VocData(tree, "train", 224), VocData(tree, "val", 224)
    eager, fast = (
        train(dataclasses.replace(TINY, compile=on), *splits, tmp_path / str(on), code="test", max_steps=2, progress=False)
        for on in (False, True)
    )
    for term in ("box", "object", "background", "class"):
        assert fast.table("curves")[term].tolist() == pytest.approx(eager.table("curves")[term].tolist(), rel=1e-4)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1, "one graph, for micro-batches of one shape"
    assert list(fast.weights()) == list(eager.weights())
    assert len(fast.table("terms")) == len(eager.table("terms"))


@pytest.mark.filterwarnings("ignore:dynamo_pgo force disabled")
def test_without_a_compiler_train_stops_with_a_sentence_and_a_remedy(tree, tmp_path, unchecked, capsys):
    command = ["train", "baseline", "--arm", "conv", "--profile", "smoke", "--data", str(tree), "--out", str(tmp_path / "run"), "--compile"]
    with torch._inductor.config.patch({"cpp.cxx": ("no-such-compiler",), "force_disable_caches": True}):
        assert main(command) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "could not be compiled" in error and "no-such-compiler" in error and "g++" in error and "leave --compile out" in error
    assert not (tmp_path / "run").exists()


def test_compiling_and_checkpointing_exclude_each_other():
    with pytest.raises(InputError, match="set one of the two"):
        dataclasses.replace(TINY, compile=True, checkpoint_activations=True)
