"""Calls side by side, each in a process of its own.

Inside: `side_by_side`.

A new process (spawned, so that it shares nothing) has an environment of its own. None is left behind: not after a failure, not after a
Ctrl-C, and not when the caller is killed.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from groundwork.processes import end_with_caller

PATIENCE = 10  # s that a process has for its farewell


def side_by_side(calls: Iterable[tuple[str, Callable[[], Any]]], most: int) -> Iterator[tuple[str, Any]]:
    """(name, what the call returned, or the exception it raised) of each as it ends; at most so many at once, taken as there is room.

    What goes over has to be picklable. A process that ends without a word counts as a ChildProcessError. After the first exception no
    call is taken any more; those under way are waited for, unless the caller closes the iterator or is interrupted: then they are ended.
    """
    context, calls, running = get_context("spawn"), iter(calls), {}
    try:
        while True:
            for name, call in islice(calls, most - len(running)):
                answer, there = context.Pipe(duplex=False)
                process = context.Process(target=_work, args=(there, call), daemon=True)
                process.start()
                there.close()  # this process's copy: with the other's gone, `answer` is at its end
                running[answer] = name, process
            if not running:
                return
            for answer in wait(list(running)):
                name, process = running[answer]
                outcome = _outcome(answer, process)
                del running[answer]
                if isinstance(outcome, Exception):
                    calls = iter(())
                yield name, outcome
    finally:
        for _, process in running.values():
            process.terminate()
        for _, process in running.values():
            process.join(PATIENCE)
            process.kill()


def _outcome(answer: Connection, process: BaseProcess) -> Any:
    try:
        return answer.recv()
    except EOFError:
        process.join()
        return ChildProcessError(f"its process ended early, with exit status {process.exitcode}")
    finally:
        answer.close()
        process.join()


def _work(answer: Connection, call: Callable[[], Any]) -> None:
    if hasattr(os, "setsid"):  # not on Windows
        os.setsid()  # a Ctrl-C is the caller's, who then ends this process
    end_with_caller()
    try:
        outcome = call()
    except Exception as error:
        outcome = error
    answer.send(outcome)
