"""A command and its terminal: streams that are closed, cut off or full, letters that an encoding lacks, Ctrl-C, `~`, names too long."""

import subprocess
import sys
from pathlib import Path

import pytest

from groundwork.answer import words_of
from groundwork.errors import InputError
from yolo_core.__main__ import main

ROOT = Path(__file__).resolve().parents[1]
COMMAND = "import os, sys, time\nfrom groundwork.answer import answer, mend_streams\nmend_streams()\n"


def shell(words, body, folder):
    """What a shell's words around a command of one function say: (standard output, standard error, status)."""
    (folder / "command.py").write_text(
        f"{COMMAND}\ndef command():\n    {body}\n    return 0\n\nsys.exit(answer(command))\n", encoding="utf-8"
    )
    line = words.replace("COMMAND", f"'{sys.executable}' command.py")
    done = subprocess.run(
        ["bash", "-c", line], cwd=folder, env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    return done.stdout, done.stderr, done.returncode


def test_a_reader_who_has_seen_enough_gets_no_traceback(tmp_path):
    said = shell("COMMAND | head -1; echo ${PIPESTATUS[0]}", "[print(i) for i in range(100_000)]", tmp_path)
    assert said == ("0\n141\n", "", 0)


def test_an_output_that_is_full_is_a_sentence_even_where_little_was_said(tmp_path):
    out, error, status = shell("COMMAND > /dev/full", "print('little')", tmp_path)
    assert (out, status) == ("", 2) and error.startswith(
        "error: the output or the disk: cannot be read or written (No space left on device)"
    )
    assert "Traceback" not in error


@pytest.mark.parametrize("words", ["--help", "train --help"])
@pytest.mark.parametrize(("place", "status"), [("| true; exit ${PIPESTATUS[0]}", 141), ("> /dev/full", 2)])
def test_help_that_nobody_reads_or_that_has_no_room_is_answered_as_a_commands_words_are(tmp_path, words, place, status):
    line = f"'{sys.executable}' -m yolo_core {words} {place}"
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (status, int(status == 2)), done.stderr


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_no_fault_and_no_file_gets_what_is_said_to_it(tmp_path, closed):
    """The next file opened would have the number of the stream."""
    body = "file = open('file', 'wb'); os.write(2, b'a library speaks'); print('said'); print('said', file=sys.stderr); file.close()"
    out, _, status = shell(f"COMMAND {closed}", body, tmp_path)
    assert status == 0 and (tmp_path / "file").read_bytes() == b"" and out == ("" if ">&-" in closed.split() else "said\n")


def test_a_letter_that_the_encoding_lacks_is_a_question_mark(tmp_path):
    assert shell("PYTHONIOENCODING=ascii COMMAND", r"print('2 \u00d7 3'); print('caf\udce9')", tmp_path) == ("2 ? 3\ncaf?\n", "", 0)


def test_a_log_that_is_full_costs_a_command_nothing(tmp_path):
    body = "print('lost', file=sys.stderr, flush=True); [sys.stderr.write('lost' * 10_000) for _ in range(3)]; print('done')"
    assert shell("COMMAND 2> /dev/full", body, tmp_path) == ("done\n", "", 0)


def test_ctrl_c_is_a_sentence_and_the_status_that_shells_know(tmp_path):
    # A process that was started in the background ignores the signal, and its children with it.
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    out, error, status = shell("COMMAND", f"{heard}; os.kill(os.getpid(), signal.SIGINT); time.sleep(60)", tmp_path)
    assert (out, status) == ("", 130) and error.startswith("error: interrupted; ") and error.count("\n") == 1


@pytest.mark.parametrize(
    ("raised", "status"), [(InputError("so"), 2), (BrokenPipeError(), 141), (KeyboardInterrupt(), 130), (ArithmeticError("so"), 1)]
)
def test_every_command_answers_so(monkeypatch, tmp_path, raised, status):
    def stopped(self):
        raise raised

    monkeypatch.setattr("command_line.data.DataCheck.__call__", stopped)
    assert main(["data", "check", str(tmp_path)]) == status


def test_a_home_that_the_shell_left_is_found_and_nothing_else_is_changed(monkeypatch):
    monkeypatch.setenv("HOME", "/home/reader")
    words = ["--out=~/run", "~/data", "--arm", "a~b", "--out", "x/~/y", "--split=train"]
    assert words_of(words) == ["--out=/home/reader/run", "/home/reader/data", "--arm", "a~b", "--out", "x/~/y", "--split=train"]


@pytest.mark.parametrize("command", [["data", "check"], ["data", "emoji", "--train", "1", "--val", "1", "--out"], ["data", "voc", "--out"]])
def test_a_name_too_long_for_the_disk_is_a_sentence(tmp_path, capsys, command):
    assert main([*command, str(tmp_path / ("long" * 100))]) == 2
    assert capsys.readouterr().err.startswith("error: ") and list(tmp_path.iterdir()) == []
