"""Processes that a command has started to help it end with it, by SIGKILL too: none goes on alone, or waits for ever."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_execute import alive

ROOT = Path(__file__).resolve().parents[1]
MAIN = """
import os, sys, time
from pathlib import Path
from emojivoc import emoji
from trial.register import reference

def at_work(*_, **__):
    Path(sys.argv[1], str(os.getpid())).touch()
    time.sleep(600)

emoji._write = reference._work = at_work
reference.experiments.prepare_data = lambda profile: None
if __name__ == "__main__":
    calls = {"data emoji": lambda: emoji.generate(Path(sys.argv[2]), 1000, 1, workers=2)}
    calls["reference"] = lambda: reference.run_all("smoke", workers=3)
    calls[sys.argv[3]]()
"""


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("command", ["data emoji", "reference"])
def test_no_helper_outlives_a_command_that_is_stopped(command, how, tmp_path):
    (tmp_path / "main.py").write_text(MAIN)
    pids = tmp_path / "pids"
    pids.mkdir()
    words = [sys.executable, tmp_path / "main.py", pids, tmp_path / "scenes", command]
    with subprocess.Popen(words, env=os.environ | {"PYTHONPATH": str(ROOT)}) as process:
        try:
            until = time.monotonic() + 300
            while len(helpers := {int(file.name) for file in pids.iterdir()} - {process.pid}) < 2:
                assert time.monotonic() < until and process.poll() is None
                time.sleep(0.05)
            process.send_signal(how)
            process.wait(60)
        finally:
            process.kill()
    try:
        until = time.monotonic() + 60
        while left := [pid for pid in helpers if alive(pid)]:
            assert time.monotonic() < until, f"{left} are still there"
            time.sleep(0.1)
    finally:
        for pid in filter(alive, helpers):
            os.kill(pid, signal.SIGKILL)
