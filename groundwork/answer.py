"""What stands between a command and its terminal: streams that are closed, cut off or of few letters, and errors as one sentence.

Inside: `mend_streams`, `words_of` (a command line's), `spelled` (a word for one), `answer` (a command's exit status).
"""

import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from groundwork.errors import REFUSALS, InputError, lacks_memory

INTERRUPTED, CUT_OFF = 130, 141  # as shells have it: 128 and the signal's number
NARROWEST = 20  # columns: in less than six tyro lays out its help for ever


def mend_streams() -> None:
    """A letter that the terminal's encoding lacks becomes "?"; a stream that was closed leads nowhere.

    The numbers 0, 1 and 2 are taken if they are free: else the next file that is opened would get what a library says to the terminal.
    """
    if None in (sys.stdin, sys.stdout, sys.stderr):
        while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
            pass
        os.close(number)
        sys.stdout, sys.stderr = (stream or open(os.devnull, "w", encoding="utf-8") for stream in (sys.stdout, sys.stderr))
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    if not isinstance(sys.stderr, _Heedless):
        sys.stderr = _Heedless(sys.stderr)


class _Heedless:
    """Standard error that loses what it cannot write: where a log's disk is full, a progress bar costs no training its result."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        self._try(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._try(self._stream.flush)

    @staticmethod
    def _try(act: Callable[[], object]) -> None:
        try:
            act()
        except BrokenPipeError:  # its reader has gone: the command ends as other commands do
            raise
        except OSError:
            pass


def words_of(line: Sequence[str] | None, of_many: Sequence[str] = ()) -> list[str]:
    """The words of a command line, this process's own for None, to be read by tyro: `~` in them is the home folder where the shell has left
    it, in --option=~/place and in quotes. InputError where one is empty or None, and where the current folder is gone; and where an
    option that takes several words, one of `of_many`, comes twice, since the first would be dropped (of one word, the last counts)."""
    try:
        Path.cwd()
    except FileNotFoundError:
        raise InputError("the current folder has been removed; go to another one and run this again") from None
    words = sys.argv[1:] if line is None else line
    names = [word.partition("=")[0] for word in words]
    if twice := [option for option in of_many if names.count(option) > 1]:
        raise InputError(f"{twice[0]}: given twice, and the first would be dropped; give it once, with all its words")
    for option, word in pairwise(["", *words]):
        if not word or re.fullmatch(r"--[\w-]+=", word):  # as a shell leaves it where a variable is not set
            raise InputError(
                f"{word.strip('=') or option}: expected something after it, and there is nothing; name it, or leave the option out"
            )
        if option.startswith("--") and word == "None" or re.fullmatch(r"--[\w-]+=None", word):  # tyro takes it for no value given
            named = word.partition("=")[0] if "=" in word else option
            raise InputError(f"{named}: None is no value; leave the option out, or write ./None for a file of that name")
    if shutil.get_terminal_size().columns < NARROWEST:
        os.environ["COLUMNS"] = str(NARROWEST)
    return [re.sub(r"^(--[\w-]+=)?(~.*)", lambda found: (found[1] or "") + os.path.expanduser(found[2]), word) for word in words]


def spelled(word: object) -> str:
    """A path or another word as a shell and an option take it: quoted where that is needed, and not to be taken for an option itself."""
    return shlex.quote(f"./{word}" if str(word).startswith("-") else str(word))


def answer(command: Callable[[], int]) -> int:
    """Run a command and write out what it has said; its exit status. What the reader can mend is one sentence and status 2."""
    try:
        status = command()
        sys.stdout.flush()
        return status
    except InputError as error:
        return _told(error, 2)
    except BrokenPipeError:  # `| head` has seen enough
        _drop_output()
        return CUT_OFF
    except OSError as error:  # where a command had nothing better to say of it
        if isinstance(error, shutil.Error) and isinstance(error.args[0], list):  # a tree was copied: of each file source, place and why
            _, place, said = error.args[0][0]
        elif error.errno in REFUSALS:
            place, said = error.filename or "the output or the disk", error.strerror
        else:
            raise
        _drop_output()
        return _told(f"{place}: cannot be read or written ({said}); free some space, ask for the right, or name another place", 2)
    except (MemoryError, RuntimeError) as error:
        if not lacks_memory(error):
            raise
        said = " ".join(str(error).split())[:200] or "this process may have no more"
        return _told(f"too little memory ({said}); end what else uses it, or take smaller batches or pictures", 2)
    except ArithmeticError as error:  # a loss that is no number: train.NonFiniteLoss
        return _told(error, 1)
    except KeyboardInterrupt:
        return _told("interrupted; nothing half-made is left under its name, and the same command goes on where it can", INTERRUPTED)


def _told(sentence: object, status: int) -> int:
    print(f"error: {sentence}", file=sys.stderr)
    return status


def _drop_output() -> None:
    """What could not be written stays with the stream, and Python would try and complain once more as it ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
