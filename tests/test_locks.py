"""Of several processes that want the same thing one makes it, and a lock ends with its holder."""

import errno
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from helpers_voc import write_tree

from groundwork.errors import InputError
from groundwork.locks import alone
from yolo_core.data.voc import VocData
from yolo_core.detector.backbones import build_backbone
from yolo_core.training import features

ROOT = Path(__file__).resolve().parents[1]
MISSING = ("ENOSYS", "EOPNOTSUPP", "ENOLCK", "EINVAL")  # what Lustre, some NFS and other file systems say to flock
WITHOUT = "import errno, fcntl\ndef flock(*_):\n    raise OSError(errno.{}, 'flock is not here')\nfcntl.flock = flock\n"
NO_FCNTL = "import sys\nsys.modules['fcntl'] = None\n"  # no such module, as on Windows
HOLD = "import sys, time; from pathlib import Path; from groundwork.locks import alone\n"
HOLD += "with alone(Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(600)"


def test_two_processes_that_ask_for_one_run_train_it_once_and_what_it_starts_from_and_its_data(tmp_path):
    command = [sys.executable, str(ROOT / "tests/lock_worker.py"), str(tmp_path / "log")]
    environment = os.environ | {"YOLO_ROOT": str(tmp_path), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    workers = [subprocess.Popen(command, env=environment) for _ in range(2)]
    assert [worker.wait(300) for worker in workers] == [0, 0]
    log = (tmp_path / "log").read_text().splitlines()
    assert log == ["data made", "mse trained", "continued trained from mse"] + 2 * ["continued in hand"]


def held(thing, first=""):
    """A process that holds the lock of a thing."""
    holder = subprocess.Popen([sys.executable, "-c", first + HOLD, str(thing)], cwd=ROOT, stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b"held\n"
    return holder


def tried(thing, first=""):
    """Whether another process may make a thing."""
    asked = first + "import sys; from pathlib import Path; from groundwork.locks import alone\n"
    asked += "with alone(Path(sys.argv[1]), wait=False) as mine:\n    print(mine)"
    done = subprocess.run([sys.executable, "-c", asked, str(thing)], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "Traceback" not in done.stderr
    return done.stdout == "True\n"


@pytest.mark.parametrize("system", ["flock", *MISSING, "no fcntl"])
def test_one_process_at_a_time_has_the_lock_and_a_killed_one_leaves_none(tmp_path, system):
    """Wherever the folder lies. An empty lock file, as flock leaves it, is nobody's."""
    first = {"flock": "", "no fcntl": NO_FCNTL}.get(system, WITHOUT.format(system))
    thing = tmp_path / "runs/thing"
    thing.parent.mkdir()
    (tmp_path / "runs/thing.lock").touch()
    holder = held(thing, first)
    assert not tried(thing, first) and tried(tmp_path / "runs/another", first)
    holder.kill()
    holder.wait()
    assert tried(thing, first) and tried(thing, first)


def test_a_lock_waits_for_its_holder_without_flock(tmp_path, monkeypatch):
    """Threads in the place of processes."""
    import fcntl

    def flock(*_):
        raise OSError(errno.ENOSYS, "flock is not here")

    monkeypatch.setattr(fcntl, "flock", flock)
    inside, most, lock = [], [], threading.Lock()

    def work(number):
        with alone(tmp_path / "thing") as mine:
            assert mine
            with lock:
                inside.append(number)
                most.append(len(inside))
            time.sleep(0.05)
            with lock:
                inside.remove(number)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert most == [1, 1, 1, 1]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such rights")
def test_another_user_of_a_shared_folder_may_lay_the_lock_after_us(tmp_path):
    withheld = os.umask(0o022)
    try:
        with alone(tmp_path / "thing"):
            pass
    finally:
        os.umask(withheld)
    assert (tmp_path / "thing.lock").stat().st_mode & 0o666 == 0o666  # 0o644 would leave it to its first user


def test_who_waits_says_so_and_names_the_lock(tmp_path, capsys):
    (tmp_path / "runs").mkdir()
    holder = held(tmp_path / "runs/thing", "")
    threading.Timer(1, holder.kill).start()
    with alone(tmp_path / "runs/thing"):
        out, error = capsys.readouterr()
    assert out == "" and "thing: another process is at work on it, by " in error and "thing.lock; this one waits" in error
    holder.wait()


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC, errno.EACCES])
def test_a_folder_where_no_lock_can_be_laid_is_told_in_a_sentence(tmp_path, monkeypatch, number):
    def refused(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("pathlib.Path.mkdir", refused)
    with pytest.raises(InputError, match=f"runs: cannot be made .{os.strerror(number)}"), alone(tmp_path / "runs/thing"):
        raise AssertionError


def test_a_lock_that_cannot_be_given_back_costs_no_result(tmp_path, monkeypatch):
    """As on an NFS whose daemon has gone: the lock ends with the process."""
    fcntl = pytest.importorskip("fcntl")

    def flock(fd, what, real=fcntl.flock):
        if what == fcntl.LOCK_UN:
            raise OSError(errno.ENOLCK, "No locks available")
        real(fd, what)

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", flock)
        with alone(tmp_path / "thing") as ours:
            assert ours


def test_what_goes_wrong_inside_is_passed_on_as_it_is_and_frees_the_lock(tmp_path):
    with pytest.raises(OSError, match="mine"), alone(tmp_path / "thing"):
        raise OSError("mine")
    with alone(tmp_path / "thing", wait=False) as mine:
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


@pytest.mark.parametrize("kind", ["folder", "link"])
def test_what_lies_in_the_place_of_a_lock_is_named_and_to_be_moved_away(kind, tmp_path):
    lock = tmp_path / "thing.lock"
    lock.mkdir() if kind == "folder" else lock.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="thing.lock: the lock cannot be written .*; move it away"), alone(tmp_path / "thing"):
        pass
    assert os.path.lexists(lock) and not (tmp_path / "elsewhere").exists()
