"""Processes that a command starts to help it.

Inside: `end_with_caller`.
"""

import os
from multiprocessing import parent_process
from threading import Thread


def end_with_caller() -> None:
    """For a process that multiprocessing has started: from now on it ends when its caller has ended, by SIGKILL too."""
    Thread(target=_wait, daemon=True).start()


def _wait() -> None:
    parent_process().join()
    os._exit(1)
