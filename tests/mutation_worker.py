"""Runs named tests in copies of the project, many in one process: importing torch once costs more than all of them.

Reads a line of JSON {"root": copy, "test": node id} at a time, answers with pytest's exit code. What pytest prints goes to stderr.
"""

import json
import os
import sys
from pathlib import Path

import hypothesis  # noqa: F401  imported here, so that the copies find them
import pytest
import torchvision  # noqa: F401


def run(root: str, test: str) -> int:
    """One test in one copy; afterwards nothing of the copy is left in the process."""
    path, hooks, modules = sys.path[:], sys.meta_path[:], set(sys.modules)
    os.chdir(root)
    sys.path.insert(0, root)
    try:
        code = int(pytest.main([test, "-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--rootdir", root]))
        assert Path(sys.modules["yolo_core"].__file__).is_relative_to(root), "the test has run on another package than the copy"
        return code
    finally:
        sys.path[:], sys.meta_path[:] = path, hooks
        for name in set(sys.modules) - modules:
            if (getattr(sys.modules[name], "__file__", None) or "").startswith(root):
                del sys.modules[name]


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        print(run(**json.loads(line)), file=answers, flush=True)
