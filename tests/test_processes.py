"""Several processes that share each effective batch train what one does alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from ddp_worker import train_as_one_of_several
from helpers_voc import write_tree

from yolo_core.data.voc import Batches
from yolo_core.detector.model import Detector
from yolo_core.training.records import read_run

WORKER = Path(__file__).with_name("ddp_worker.py")


@pytest.mark.parametrize(("length", "batch", "world"), [(10, 4, 2), (9, 4, 2), (9, 4, 3), (13, 5, 4), (3, 8, 2)])
def test_sampling_neither_drops_nor_doubles_a_picture(length, batch, world):
    parts = [list(Batches(length, batch, True, 0, rank, world)) for rank in range(world)]
    assert {len(p) for p in parts} == {-(-length // batch)}, "every process takes part in every step"
    alone = list(Batches(length, batch, True, 0))
    for k, whole in enumerate(alone):
        together = [i for part in parts for i in part[k]]
        assert sorted(together) == sorted(whole)
        assert Batches(length, batch, True, 0).size(k) == len(whole)


def test_a_pass_that_starts_later_gives_the_rest_of_the_same_order():
    late = Batches(10, 4, True, 0)
    late.start = 1
    assert list(late) == list(Batches(10, 4, True, 0))[1:]


def test_two_gloo_processes_train_the_weights_of_one_to_1e_5(tmp_path, monkeypatch):
    """Nine pictures in batches of four: the last batch of an epoch is one picture, and the second process has none of it. Where the
    run was to lie something of the user's does by then: every process finds it where the first has written it."""
    tree = write_tree(tmp_path / "tree", train=9, val=4)
    monkeypatch.setattr(Detector, "train", Detector.train)  # what the worker's module does to it ends with the test
    alone = train_as_one_of_several(tree, tmp_path / "alone")
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/notes.txt").write_text("mine")
    here = {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(WORKER.parent), str(WORKER.parents[1])]), "MASTER_PORT": "0"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(WORKER)]
    done = subprocess.run(
        [*command, str(tree), str(tmp_path / "shared")], env=os.environ | here, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert [file.name for file in (tmp_path / "shared").iterdir()] == ["notes.txt"]
    shared = read_run(tmp_path / "shared-2")
    assert shared.record["host"]["processes"] == 2 and alone.record["host"]["processes"] == 1
    weights = alone.weights()
    for name, tensor in shared.weights().items():
        torch.testing.assert_close(tensor, weights[name], rtol=1e-5, atol=1e-5, msg=name)
    for term in ("box", "object", "background", "class"):
        assert shared.table("curves")[term].tolist() == pytest.approx(alone.table("curves")[term].tolist(), rel=1e-4)
    assert json.dumps(shared.record["data"]) == json.dumps(alone.record["data"])
    assert len(shared.table("epochs")) == len(alone.table("epochs")), "scored once, not once a process"
