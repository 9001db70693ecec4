"""Notebooks side by side: what runs when, what a failure stops, and that no process stays behind."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
import torch
from test_publish import write_notebook

from book.press import execute as execute_module
from book.press.execute import execute, noted, shares
from book.press.notebook import ExecutionError
from groundwork.locks import alone

ROOT = Path(__file__).resolve().parents[1]
# Kernels stand in the book's folder. A notebook that waits in vain fails.
WAIT = "import pathlib, time\n\nuntil = time.monotonic() + 600\nwhile not pathlib.Path({!r}).exists():\n    assert time.monotonic() < until"
WAIT += ", 'waited in vain'\n    time.sleep(0.05)"


def touch(name: str) -> str:
    return f"import pathlib\n\npathlib.Path({name!r}).touch()"


def run(book: Path, *names: str) -> dict[str, dict]:
    return execute([f"notebooks/{name}.ipynb" for name in names], "smoke", book / "_build", lambda profile: None, root=book)


@pytest.fixture
def two_at_a_time(monkeypatch):
    monkeypatch.setattr(execute_module, "shares", lambda: (2, 3))


def test_two_notebooks_run_side_by_side_each_with_its_share_of_the_cores(tmp_path, two_at_a_time, capfd):
    """Each waits for the other; the journal and the record are in the book's order all the same."""
    write_notebook(tmp_path / "notebooks/first.ipynb", touch("from-first"), WAIT.format("_build/execution.json"))
    threads = 'import os\nfrom trial import numbers\n\nnumbers.publish("second", threads=os.environ["OMP_NUM_THREADS"])'
    write_notebook(tmp_path / "notebooks/second.ipynb", touch("from-second"), WAIT.format("from-first"), threads)
    record = run(tmp_path, "first", "second")
    assert list(record) == ["notebooks/first.ipynb", "notebooks/second.ipynb"]
    assert json.loads((tmp_path / "_build/execution.json").read_text()) == record
    assert json.loads((tmp_path / "_build/numbers/notebooks-second/second.json").read_text()) == {"threads": "3"}
    said = capfd.readouterr()
    assert said.err == "" and [line.split(" in ")[0] for line in said.out.splitlines()] == [
        "notebooks/first.ipynb: begun",
        "notebooks/second.ipynb: begun",
        "notebooks/second.ipynb: done",
        "notebooks/first.ipynb: done",
    ]


def test_a_kernels_transport_says_nothing_as_it_ends(tmp_path):
    """On a busy machine it may be asked to stop while its sockets close."""
    asked = 'import logging\nassert not logging.getLogger("tornado.general").isEnabledFor(logging.ERROR)'
    write_notebook(tmp_path / "notebooks/first.ipynb", asked, "assert not [name for name in dir() if 'tornado' in name]")
    assert list(run(tmp_path, "first")) == ["notebooks/first.ipynb"]


def test_a_page_that_waits_for_another_process_says_so_while_the_book_is_built(tmp_path, capfd):
    """A training beside the build, of hours perhaps."""
    code = "from pathlib import Path\nfrom groundwork.locks import alone\nwith alone(Path('thing')):\n    print('done')"
    write_notebook(tmp_path / "notebooks/first.ipynb", code)
    with ThreadPoolExecutor(1) as pool:
        with alone(tmp_path / "thing"):
            built = pool.submit(run, tmp_path, "first")
            for _ in range(600):
                time.sleep(0.1)
                if "at work on it" in (said := capfd.readouterr().out):
                    break
        built.result(120)
    assert "notebooks/first.ipynb: " in said and "thing: another process is at work on it, by " in said


def test_a_failure_lets_what_runs_beside_it_end_and_begins_nothing_more(tmp_path, two_at_a_time):
    write_notebook(tmp_path / "notebooks/first.ipynb", "1 / 0")
    write_notebook(tmp_path / "notebooks/second.ipynb", WAIT.format("_build/failed/first.ipynb"), "time.sleep(1)")
    write_notebook(tmp_path / "notebooks/third.ipynb", touch("from-third"))
    with pytest.raises(ExecutionError, match=r"^notebooks/first\.ipynb, the code cell .*ZeroDivisionError") as caught:
        run(tmp_path, "first", "second", "third")
    assert str(caught.value).endswith("make book PROFILE=smoke")
    assert list(json.loads((tmp_path / "_build/execution.json").read_text())) == ["notebooks/second.ipynb"]
    assert (tmp_path / "_build/notebooks/second.ipynb").exists() and not (tmp_path / "from-third").exists()


def test_a_process_that_is_killed_is_a_failure_in_a_sentence(tmp_path, two_at_a_time):
    write_notebook(tmp_path / "notebooks/first.ipynb", "import os, signal\n\nos.kill(os.getppid(), signal.SIGKILL)")
    with pytest.raises(ExecutionError, match=r"first\.ipynb: its process ended early, with exit status -9.*make book PROFILE=smoke$"):
        run(tmp_path, "first")


def test_what_took_longest_last_time_comes_first_and_what_is_new_before_it(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(execute_module, "shares", lambda: (1, 1))
    for name in ("short", "long"):
        write_notebook(tmp_path / f"notebooks/{name}.ipynb", "1")
    run(tmp_path, "short", "long")
    took = tmp_path / "_build/execution.json"
    record = json.loads(took.read_text())
    assert all(entry["seconds"] > 0 for entry in record.values())
    record["notebooks/short.ipynb"]["seconds"], record["notebooks/long.ipynb"]["seconds"] = 1, 2
    took.write_text(json.dumps(record))
    for name in ("short", "long", "new"):
        write_notebook(tmp_path / f"notebooks/{name}.ipynb", "2")
    capfd.readouterr()
    assert list(run(tmp_path, "short", "long", "new")) == [f"notebooks/{name}.ipynb" for name in ("short", "long", "new")]
    begun = [line.split(".")[0] for line in capfd.readouterr().out.splitlines() if line.endswith("begun")]
    assert begun == ["notebooks/new", "notebooks/long", "notebooks/short"]


@pytest.mark.parametrize("torn", ["", "[]", '{"notebooks/one.ipynb": 1}', "[" * 100_000], ids=lambda text: text[:12])
def test_notebooks_run_again_where_what_was_noted_of_them_is_torn(tmp_path, torn):
    """As a power cut may leave it."""
    write_notebook(tmp_path / "notebooks/one.ipynb", "1")
    (tmp_path / "_build").mkdir()
    (tmp_path / "_build/execution.json").write_text(torn)
    assert noted(tmp_path / "_build") == {}
    if not torn:
        assert run(tmp_path, "one") == noted(tmp_path / "_build") != {}


@pytest.mark.parametrize(("gpu", "threads", "expected"), [(False, 2, (2, 1)), (False, 8, (2, 4)), (False, 1, (1, 1)), (True, 8, (1, 8))])
def test_two_share_the_cores_and_nobody_shares_a_gpu(monkeypatch, gpu, threads, expected):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: gpu)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert shares() == expected


MAIN = """
import sys
from pathlib import Path
from book.press import execute

if __name__ == "__main__":
    execute.shares = lambda: (2, 1)
    root = Path(sys.argv[1])
    execute.execute(["notebooks/a.ipynb", "notebooks/b.ipynb"], "smoke", root / "_build", lambda profile: None, root=root)
"""


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")  # one that has ended and that nobody has asked for is still listed
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"


def test_start_up_scripts_of_the_readers_own_have_no_part_in_a_page(tmp_path, monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "home"))
    (tmp_path / "home/profile_default/startup").mkdir(parents=True)
    (tmp_path / "home/profile_default/startup/00.py").write_text("mine = 1")
    write_notebook(tmp_path / "notebooks/a.ipynb", "assert 'mine' not in globals()")
    assert list(run(tmp_path, "a")) == ["notebooks/a.ipynb"]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_kernel_outlives_a_build_that_is_stopped(tmp_path, how):
    for name in "ab":
        pids = f"import os\n\nopen('pids-{name}', 'w').write(f'{{os.getppid()}} {{os.getpid()}}')"
        write_notebook(tmp_path / f"notebooks/{name}.ipynb", pids, touch(f"ready-{name}"), "import time\n\ntime.sleep(600)")
    (tmp_path / "main.py").write_text(MAIN)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    # A shell that starts the tests in the background has them ignore Ctrl-C, and what they start as well.
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(
        [sys.executable, "main.py", str(tmp_path)], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, preexec_fn=heed
    ) as build:
        try:
            until = time.monotonic() + 600
            while not all((tmp_path / f"ready-{name}").exists() for name in "ab"):
                assert time.monotonic() < until and build.poll() is None, build.stderr.read().decode()
                time.sleep(0.05)
            build.send_signal(how)
            assert build.wait(300) != 0
        finally:
            build.kill()
    pids = [int(pid) for name in "ab" for pid in (tmp_path / f"pids-{name}").read_text().split()]
    assert len(set(pids)) == 4
    until = time.monotonic() + 300
    while left := [pid for pid in pids if alive(pid)]:
        assert time.monotonic() < until, f"{left} are still there"
        time.sleep(0.1)
