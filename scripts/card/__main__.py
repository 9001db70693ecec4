"""One part of scripts/on_a_card.py, in a process of its own.

PYTHONPATH=.:scripts python -m card PART --out OUT --work WORK --package PACKAGE --seconds S [--rehearse]
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from card.correctness import correctness_part
from card.memory import memory_part
from card.report import DEVICE, Report
from card.speed import speed_part
from card.study import processes_part, records_part

ASKED: Mapping[str, Callable[[Report], None]] = {
    "memory": memory_part,
    "correctness": correctness_part,
    "speed": speed_part,
    "processes": processes_part,
    **{profile: partial(records_part, profile) for profile in ("photographs", "long", "pocket")},
}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("part", choices=ASKED)
    for name in ("--out", "--work", "--package"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--rehearse", action="store_true")
    given = parser.parse_args()
    if DEVICE.type == "cpu" and not given.rehearse:
        print("error: no CUDA card here; --rehearse runs every part on a CPU")
        return 2
    ASKED[given.part](Report(given.part, given))
    return 0


if __name__ == "__main__":
    sys.exit(main())
