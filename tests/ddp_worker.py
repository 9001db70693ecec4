"""One process of a training that several share: `torchrun --nproc-per-node N tests/ddp_worker.py TREE OUT`. BatchNorm in eval mode."""

import sys
from dataclasses import replace
from pathlib import Path

from test_train import TINY
from torch import nn

from trial.watch import train
from yolo_core.data.voc import VocData
from yolo_core.detector.model import Detector

CONFIG = replace(TINY, optimiser="sgd", lr=1e-2, micro_batch=2)

if __name__ == "__main__":
    tree, out = sys.argv[1:]
    Detector.train = lambda self, mode=True: nn.Module.train(self, False)
    train(CONFIG, VocData(tree, "train", 224), VocData(tree, "val", 224), Path(out), code="test", progress=False)
