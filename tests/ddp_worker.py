"""One process of a training that several share: `torchrun --nproc-per-node N tests/ddp_worker.py TREE OUT`. BatchNorm in eval mode."""

import sys
from dataclasses import replace
from pathlib import Path

from test_train import TINY
from torch import nn

from trial.watch import train
from yolo_core.data.voc import VocData
from yolo_core.detector.model import Detector
from yolo_core.training.records import Run

CONFIG = replace(TINY, optimiser="sgd", lr=1e-2, micro_batch=2)


def train_as_one_of_several(tree: Path, out: Path) -> Run:
    """The run, of which a process that has been started with others does its share. Detectors stay in eval mode afterwards."""
    Detector.train = lambda self, mode=True: nn.Module.train(self, False)
    return train(CONFIG, VocData(tree, "train", 224), VocData(tree, "val", 224), out, code="test", progress=False)


if __name__ == "__main__":
    train_as_one_of_several(*map(Path, sys.argv[1:]))
