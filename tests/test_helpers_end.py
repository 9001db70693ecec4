"""Processes that a command has started to help it end with it, by SIGKILL too: none goes on alone, or waits for ever."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from test_execute import alive

from trial.register import reference
from yolo_core.__main__ import main

ROOT = Path(__file__).resolve().parents[1]
MAIN = """
import os, sys, time
from pathlib import Path
from types import SimpleNamespace

def at_work(*_, **__):
    Path(sys.argv[1], str(os.getpid())).touch()
    time.sleep(600)

if sys.argv[3] == "data emoji":
    from emojivoc import emoji
    emoji._write = at_work
    def call():
        emoji.generate(Path(sys.argv[2]), 1000, 1, workers=2)
elif sys.argv[3] == "book":
    from book.press import publish
    sys.modules["jupyter_book.cli.main"] = SimpleNamespace(main=at_work)
    def call():
        Path(sys.argv[2], "src").mkdir(parents=True)
        publish._html(Path(sys.argv[2]))
else:
    from trial.register import reference
    from yolo_core.__main__ import main
    reference._work = at_work
    reference.experiments.prepare_data = lambda profile: None
    def call():
        sys.exit(main(["reference", "--profile", "smoke", "--workers", "2", "--records", sys.argv[2]]))
if __name__ == "__main__":
    call()
"""


HELPERS = {"data emoji": 2, "book": 1, "reference": 1}  # at the least


def stopped(tmp_path, command, stop):
    """(the command's process, the ids of its helpers, what it and they have said), after `stop(process)` once all were at work."""
    (tmp_path / "main.py").write_text(MAIN)
    pids = tmp_path / "pids"
    pids.mkdir()
    words = [sys.executable, tmp_path / "main.py", pids, tmp_path / "scenes", command]
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell has what it starts in the background ignore a Ctrl-C
    options = {"stderr": (tmp_path / "said").open("w"), "start_new_session": True, "preexec_fn": heed}
    with subprocess.Popen(words, env=os.environ | {"PYTHONPATH": str(ROOT)}, **options) as process:
        try:
            until = time.monotonic() + 300
            while len(helpers := {int(file.name) for file in pids.iterdir()} - {process.pid}) < HELPERS[command]:
                assert time.monotonic() < until and process.poll() is None
                time.sleep(0.05)
            stop(process)
            process.wait(60)
        finally:
            process.kill()
    return process, helpers, (tmp_path / "said").read_text()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("command", ["data emoji", "book", "reference"])
def test_no_helper_outlives_a_command_that_is_stopped(command, how, tmp_path):
    _, helpers, _ = stopped(tmp_path, command, lambda process: process.send_signal(how))
    try:
        until = time.monotonic() + 60
        while left := [pid for pid in helpers if alive(pid)]:
            assert time.monotonic() < until, f"{left} are still there"
            time.sleep(0.1)
    finally:
        for pid in filter(alive, helpers):
            os.kill(pid, signal.SIGKILL)


def test_scenes_half_made_go_with_a_command_that_is_told_to_end(tmp_path):
    process, *_ = stopped(tmp_path, "data emoji", lambda process: process.send_signal(signal.SIGTERM))
    assert process.returncode == -signal.SIGTERM
    assert {path.name for path in tmp_path.iterdir()} == {"main.py", "pids", "said"}, "a folder .scenes- would be one of them"


def test_a_ctrl_c_stops_reference_and_its_helpers_in_sentences(tmp_path):
    process, _, said = stopped(tmp_path, "reference", lambda process: os.killpg(process.pid, signal.SIGINT))
    assert process.returncode == 130 and "error: interrupted" in said and "Traceback" not in said
    assert not (tmp_path / "scenes").exists(), "the folder of records that stayed empty"


def test_reference_is_told_of_records_that_cannot_be_written_before_it_trains(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(reference.experiments, "prepare_data", lambda profile: None)
    monkeypatch.setattr(reference, "_work", lambda *_, **__: pytest.fail("trained"))
    (tmp_path / "file").write_text("mine")
    assert main(["reference", "--profile", "smoke", "--records", str(tmp_path / "file")]) == 2
    assert "smoke: cannot be made (Not a directory); name a folder" in capsys.readouterr().err
    assert main(["reference", "--profile", "smoke", "--most", "-1"]) == 2
    assert "--most must be at least 0" in capsys.readouterr().err
