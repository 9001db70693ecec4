"""Write records/planned.json: the planner's figures that the register quotes, so that printing it need not plan anew.

    python scripts/planned.py

tests/test_claims.py holds the file to what the planner says today.
"""

import sys
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from groundwork.answer import answer  # noqa: E402
from groundwork.errors import writing  # noqa: E402
from groundwork.strict_json import write_json  # noqa: E402
from trial.planner.memory import GIB, RESERVE_GIB, predict  # noqa: E402
from yolo_core.training.config import RunConfig  # noqa: E402


def planned() -> dict[str, dict[str, float]]:
    """GiB of a step of ResNet18 at 448 px under Adam, one picture at a time, the planner's reserve included, by head."""
    config = RunConfig(backbone="resnet18", image_size=448, optimiser="adam")
    heads = ("full", "compressed")
    return {"heads_gib": {head: predict(replace(config, head=head), 1).total / GIB + RESERVE_GIB for head in heads}}


def main(file: Path = ROOT / "records" / "planned.json") -> int:
    with writing(file):
        file.parent.mkdir(exist_ok=True)
        write_json(file, planned())
    return 0


if __name__ == "__main__":
    sys.exit(answer(main))
