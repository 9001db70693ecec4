"""Committed records: they hold the tables that something reads, and little else."""

import dataclasses
import math
from pathlib import Path

import evidence
import numpy as np
import pandas as pd
import pytest
from helpers_voc import write_tree

from groundwork.errors import InputError
from groundwork.tables import write_table
from trial.register import committed, comparisons, kept, reference
from trial.watch import train
from yolo_core import experiments
from yolo_core.data.voc import VocData
from yolo_core.training.config import RunConfig
from yolo_core.training.records import Run, read_run
from yolo_core.training.writing import write_run

ROOT = Path(__file__).resolve().parents[1]
# float64 that came from float32, as losses do, and float64 that did not; what is hard to write down.
LOSSES = np.random.default_rng(0).normal(size=900).astype(np.float32)
TABLE = pd.DataFrame(
    {
        "step": np.arange(900),
        "loss": LOSSES.astype(np.float64),
        "rate": np.cos(np.arange(900) / 7),
        "confidence": LOSSES,
        "odd": [math.nan, math.inf, -math.inf, -0.0, 5e-324, 0.1] * 150,
        "background": np.arange(900) % 3 == 0,
        "layer": ["outputs", "head.0.weight"] * 450,
    }
)
METRICS = {"map": 0.1, "cuts": {}, "images": 3, "objects": 6, "noise_scale": math.nan}


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import lighter_records

    return lighter_records


def written(folder: Path, experiment: str, arm: str, seed: int) -> Run:
    """A run with every table there is."""
    config = experiments.resolve(experiment, arm, "pocket", seed).to_dict()
    record = {"key": "k", "code": "c", "config": config, "data": {"fingerprints": {}}, "steps": 1, "metrics": METRICS}
    needed = TABLE.assign(epoch=0, gradient_norm=1.0, map=0.1, score=0.5)
    return write_run(folder, record, dict.fromkeys(kept.KEPT, needed), {})


@pytest.fixture
def heavy(tmp_path, monkeypatch):
    """A folder of two records as they were: every table, as pandas writes it."""
    monkeypatch.setattr(committed, "FOLDER", tmp_path)
    for arm in ("mse", "focal-conv"):
        run = written(committed.place("pocket", "focal", arm, 0), "focal", arm, 0)
        (run.folder / "weights.safetensors").unlink()
        for name in kept.KEPT:
            run.table(name).to_parquet(run.folder / f"{name}.parquet")
    return tmp_path


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def tables(folder: Path) -> set[str]:
    return {path.stem for path in folder.glob("*.parquet")}


def test_a_table_reads_back_the_same_to_the_bit(tmp_path):
    write_table(TABLE, tmp_path / "t.parquet")
    found = pd.read_parquet(tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(found, TABLE, check_exact=True)
    assert all(found[name].to_numpy().tobytes() == TABLE[name].to_numpy().tobytes() for name in TABLE.columns if name != "layer")


def test_float64_that_came_from_float32_takes_little_more_room_than_float32(tmp_path):
    write_table(pd.DataFrame({"loss": LOSSES.astype(np.float64)}), tmp_path / "t.parquet")
    assert (tmp_path / "t.parquet").stat().st_size < 1.05 * LOSSES.nbytes


def test_a_table_of_a_few_rows_takes_less_than_a_kilobyte(tmp_path):
    columns = ("epoch", "step", "map", "recall", "object", "background", "half")
    write_table(pd.DataFrame(dict.fromkeys(columns, [0.1, 0.2, 0.3])), tmp_path / "t.parquet")
    assert (tmp_path / "t.parquet").stat().st_size < 1000


def test_a_stored_record_holds_the_tables_that_are_read_of_its_arm_seed_and_profile(tmp_path):
    def stored(experiment: str, arm: str, seed: int, profile: str) -> set[str]:
        reference._store(written(tmp_path / "run", experiment, arm, seed), tmp_path / "stored", profile)
        assert (tmp_path / "stored/record.json").exists() and not (tmp_path / "stored/weights.safetensors").exists()
        return tables(tmp_path / "stored")

    always = {"epochs", "conflict"}
    assert stored("focal", "mse", 0, "pocket") == always | {"detections", "cells", "scores", "terms", "mistakes"}
    assert stored("focal", "mse", 0, "smoke") == always | {"detections", "scores"}
    assert stored("focal", "mse", 1, "pocket") == always | {"scores"}
    assert stored("baseline", "compressed", 0, "pocket") == always | {"detections", "curves", "mistakes"}
    assert stored("focal", "mse-conv", 2, "pocket") == always


def test_every_arm_of_which_a_table_is_kept_exists():
    arms = {arm for rule in kept.KEPT.values() for arm in rule.arms or ()}
    assert arms and {(name, arm) for name, arm in arms if arm not in experiments.experiment(name).arms} == set()


def test_every_table_that_a_training_writes_is_kept_or_left_out_by_name(tmp_path):
    splits = [VocData(write_tree(tmp_path / "tree", train=4, val=2), name, 224) for name in ("train", "val")]
    cells = RunConfig(backbone="scratch", width=0.05, head="conv", epochs=1, effective_batch=4, micro_batch=2, probe_steps=1)
    found = set()
    for config in (cells, dataclasses.replace(cells, head="coupled")):
        found |= tables(train(config, *splits, tmp_path / config.head, code="test", progress=False).folder)
    assert {"curves", "cells", "conflict", "noise"} <= found <= set(kept.KEPT)


def test_the_script_leaves_figures_and_kept_tables_equal_and_goes_over_them_twice_without_a_change(heavy, script):
    before = {run.folder: (run, run.folder.joinpath("record.json").read_bytes()) for run in committed.stored("pocket")}
    old = {(folder, name): run.table(name) for folder, (run, _) in before.items() for name in kept.KEPT}
    was, now = script.lighten("pocket")
    assert now < was / 2
    for run in committed.stored("pocket"):
        assert (run.folder / "record.json").read_bytes() == before[run.folder][1]
        assert repr(run.metrics) == repr(before[run.folder][0].metrics)
        assert tables(run.folder) == {name for name in kept.KEPT if kept.keeps(name, "pocket", run.config)}
        for name in tables(run.folder):
            pd.testing.assert_frame_equal(run.table(name), old[run.folder, name], check_exact=True)
    light = contents(heavy)
    assert script.lighten("pocket") == (now, now) and contents(heavy) == light


@pytest.mark.parametrize("strange", ["notes.parquet", "weights.safetensors", "cells.csv"])
def test_the_script_changes_nothing_where_a_record_holds_a_file_that_is_not_declared(heavy, script, strange):
    (committed.place("pocket", "focal", "mse", 0) / strange).write_bytes(b"hours of work")
    before = contents(heavy)
    with pytest.raises(InputError, match=f"{strange}: kept.py does not say"):
        script.lighten("pocket")
    assert contents(heavy) == before


def test_the_script_changes_nothing_where_a_table_is_torn(heavy, script):
    path = committed.place("pocket", "focal", "mse", 0) / "scores.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    before = contents(heavy)
    with pytest.raises(InputError, match="scores.parquet: not a table"):
        script.lighten("pocket")
    assert contents(heavy) == before


def test_a_table_that_would_not_read_back_the_same_is_left_as_it_was(heavy, script, monkeypatch):
    monkeypatch.setattr(script, "write_table", lambda table, path: write_table(table.round(3), path))
    path = committed.place("pocket", "focal", "mse", 0) / "cells.parquet"
    before = path.read_bytes()
    with pytest.raises(AssertionError):
        script.rewrite(path)
    assert path.read_bytes() == before and {p.suffix for p in path.parent.iterdir()} == {".json", ".parquet"}


COMMITTED = sorted(path.parent for path in (ROOT / "records").glob("*/*/record.json"))


def test_a_committed_record_takes_less_than_60_kb_and_all_of_them_less_than_30_mb():
    sizes = {str(folder.relative_to(ROOT)): sum(map(len, contents(folder).values())) for folder in COMMITTED}
    assert sizes and {name: size for name, size in sizes.items() if size >= 60_000} == {}
    assert sum(map(len, contents(ROOT / "records").values())) < 30e6


def test_a_committed_record_holds_no_table_that_nothing_reads():
    def idle(folder: Path) -> set[str]:
        config = read_run(folder).config
        return {name for name in tables(folder) if not kept.keeps(name, folder.parent.name, config)}

    assert {folder: found for folder in COMMITTED if (found := idle(folder))} == {}


def test_what_pages_read_of_stored_runs_is_there():
    """The loss curves, the replay, the order of the scores, the conflict and the curves by epoch, of the runs that the pages name."""
    runs = comparisons.by_arm(evidence.stored("pocket"))
    for name, arm, table in (
        *(("baseline", "compressed", "curves"), ("focal", "mse", "cells"), ("focal", "focal", "cells")),
        *(("finetune", "frozen-conv", "cells"), ("finetune", "two-rates-micro-2", "cells")),
    ):
        assert len(runs[name, arm][0].table(table)) > 0
    across, within = comparisons.rank_agreement(runs["focal", "mse"], runs["focal", "focal"])
    assert len(across) >= 3 and len(within) >= 3 and np.isfinite([*across, *within]).all()
    assert all(len(run.table("conflict")) > 0 for arm, some in runs.items() if arm[0] == "remedies" for run in some)
    assert all(len(run.table("epochs")) > 0 for some in runs.values() for run in some)
