"""Of several processes that want the same thing one makes it, and a lock ends with its holder."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from helpers_voc import write_tree

from yolo_core.data.voc import VocData
from yolo_core.detector.backbones import build_backbone
from yolo_core.study import features
from yolo_core.study.locks import alone

ROOT = Path(__file__).resolve().parents[1]
HOLD = "import sys, time; from pathlib import Path; from yolo_core.study.locks import alone\n"
HOLD += "with alone(Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(600)"


def test_two_processes_that_ask_for_one_run_train_it_once_and_what_it_starts_from_and_its_data(tmp_path):
    command = [sys.executable, str(ROOT / "tests/lock_worker.py"), str(tmp_path / "log")]
    environment = os.environ | {"YOLO_ROOT": str(tmp_path), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    workers = [subprocess.Popen(command, env=environment) for _ in range(2)]
    assert [worker.wait(300) for worker in workers] == [0, 0]
    log = (tmp_path / "log").read_text().splitlines()
    assert log == ["data made", "mse trained", "continued trained from mse"] + 2 * ["continued in hand"]


def test_a_killed_process_leaves_no_lock(tmp_path):
    thing = tmp_path / "runs/thing"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(thing)], cwd=ROOT, stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b"held\n"
    with alone(thing, wait=False) as mine:
        assert not mine
    with alone(tmp_path / "runs/another", wait=False) as mine:
        assert mine
    holder.kill()
    holder.wait()
    with alone(thing, wait=False) as mine:
        assert mine


def test_features_wanted_twice_at_once_are_computed_once(tmp_path, monkeypatch):
    """Threads in the place of processes: a lock belongs to the file that was opened, not to the process."""
    data = VocData(write_tree(tmp_path / "tree", train=2, val=1), "train", 224)
    backbone, built, build = build_backbone("scratch", 224, width=0.25), [], features._build

    def slow(*args):
        built.append(args[0])
        time.sleep(0.5)
        build(*args)

    monkeypatch.setattr(features, "_build", slow)
    with ThreadPoolExecutor(2) as pool:
        maps = list(pool.map(lambda _: features.FeatureData(data, backbone, progress=False).images, range(2)))
    assert len(built) == 1 and maps[0].equal(maps[1])
