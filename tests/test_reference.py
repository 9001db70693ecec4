"""Reference runs: stored as they end, passed over when they are there, judged as they are."""

import pandas as pd
import pytest

from yolo_core.study import experiments, reference
from yolo_core.study.experiments import EXPERIMENTS
from yolo_core.study.records import write_run

PLANNED = sorted({(name, arm) for name, arm, _ in reference.jobs()})


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """A study whose runs take no time; the list of what has been trained."""
    done, state = [], {"key": "today"}

    def run(name, arm, profile, seed, progress, out):
        done.append((name, arm, seed))
        return write_run(out, {"key": state["key"], "config": {}, "metrics": {}}, {"epochs": pd.DataFrame({"map": [0.1]})}, {})

    monkeypatch.setattr(reference, "FOLDER", tmp_path / "records")
    monkeypatch.setattr(reference, "BUILD", tmp_path / "build")
    monkeypatch.setattr(experiments, "run", run)
    monkeypatch.setattr(experiments, "key_of", lambda *_: state["key"])
    return done, state


def test_every_planned_arm_exists_and_every_arm_is_planned():
    assert [(n, a) for n, a in PLANNED if a not in EXPERIMENTS[n].arms] == []
    everything = {(name, arm) for name, e in EXPERIMENTS.items() for arm in e.arms}
    twins = {("transfer", "frozen")}  # the same configuration as focal/mse
    assert everything - set(PLANNED) <= twins


def test_a_stopped_study_goes_on_where_it_was(trained):
    done, _ = trained
    assert reference.run_all("pocket", most=4) == 4
    first = list(done)
    assert reference.run_all("pocket", most=2) == 2
    assert len(set(done)) == 6 and done[:4] == first
    assert len(reference.stored("pocket")) == 6


def test_a_removed_record_and_a_changed_key_are_trained_again(trained):
    done, state = trained
    reference.run_all("pocket", most=3)
    folder = reference.place("pocket", *done[1])
    (folder / "record.json").unlink()
    assert reference.run_all("pocket", most=1) == 1 and done[-1] == done[1]
    state["key"] = "tomorrow"
    assert reference.run_all("pocket", most=1) == 1 and done[-1] == done[0]


def test_weights_are_not_stored(trained):
    reference.run_all("pocket", most=1)
    files = {p.name for p in reference.stored("pocket")[0].folder.iterdir()}
    assert files == {"record.json", "epochs.parquet"}
