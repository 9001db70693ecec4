"""Runs named tests in copies of the project, many in one process: importing torch once costs more than all of them.

Reads a line of JSON {"root": copy, "tests": node ids} at a time, answers with pytest's exit code. What pytest prints goes to stderr.
"""

import json
import os
import sys
from pathlib import Path

import pytest


def run(root: str, tests: list[str]) -> int:
    """Tests in a copy, until one fails; afterwards nothing of the copy is left in the process."""
    path, hooks, modules = sys.path[:], sys.meta_path[:], set(sys.modules)
    os.chdir(root)
    sys.path.insert(0, root)
    try:
        # Looking for exceptions that nobody raised has all that torch has imported gone through twice a run, for most of its time.
        spared = [part for plugin in ("cacheprovider", "xdist", "unraisableexception") for part in ("-p", f"no:{plugin}")]
        code = int(pytest.main([*tests, "-x", "-q", *spared, "--rootdir", root]))
        assert Path(sys.modules["yolo_core"].__file__).is_relative_to(root), "the tests have run on another package than the copy"
        return code
    finally:
        sys.path[:], sys.meta_path[:] = path, hooks
        for name in set(sys.modules) - modules:
            if (getattr(sys.modules[name], "__file__", None) or "").startswith(root + os.sep):
                del sys.modules[name]


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        print(run(**json.loads(line)), file=answers, flush=True)
