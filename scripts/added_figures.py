"""Give old reference records the figures that runs have written since, computed from the tables they were stored with.

    python scripts/added_figures.py FULL RECORDS

FULL: a checkout's records/pocket from before the tables were thinned out (git show fe73f97), RECORDS: the records to complete. Added are
`metrics.gradient_norm`, from each step's norm, and under `metrics.probes`, from the recorded cells, what focal leaves of the background
gradient (median over cells) and the share of starved predictors. A figure that is there is left as it is; whatever needs weights stays out.
"""

import os
import sys
from pathlib import Path

from groundwork.answer import answer
from groundwork.errors import writing
from groundwork.strict_json import write_json
from trial.instruments.probes import cell_ratios, early
from trial.watch import norms
from yolo_core.training.records import Run, read_run


def main(full: Path, records: Path) -> int:
    done = 0
    for file in sorted(records.glob("*/record.json")):
        record, tables = read_run(file.parent).record, full / file.parent.name
        metrics, config = record["metrics"], record["config"]
        if not metrics or not (tables / "curves.parquet").exists():
            continue
        found = {"gradient_norm": norms(Run(tables, record).table("curves").to_dict("records"), config["clip_norm"])}
        if (tables / "cells.parquet").exists() and "focal_to_mse_gradient_early" in metrics["probes"]:
            cells = Run(tables, record).table("cells")
            metrics["probes"] = cell_ratios(cells, early(cells["step"]), config["gamma"]) | metrics["probes"]
        record["metrics"] = found | metrics
        with writing(file):
            write_json(file, record)
        done += 1
    print(f"{records}: {done} records completed")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 3 or not all(map(os.path.isdir, sys.argv[1:])):
        sys.exit("expected two folders: added_figures.py FULL RECORDS")
    sys.exit(answer(lambda: main(Path(sys.argv[1]), Path(sys.argv[2]))))
