"""What is written or printed as JSON is JSON: no NaN, which only Python reads, and what is null there is read back as NaN."""

import json
import math
import os
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers_voc import image, write_tree

from bench import bench
from bench.contest import Row
from groundwork.strict_json import dumps, write_json
from trial.planner import memory
from trial.register import committed, verdicts
from trial.register.claims import CLAIMS
from yolo_core.__main__ import main
from yolo_core.training.records import read_run
from yolo_core.training.writing import write_run


def strict(text):
    """As Node, jq and every other reader take it."""

    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Its one picture to score on shows nothing: there is no mAP."""
    return write_tree(tmp_path_factory.mktemp("tree"), train=3, val=1)


@pytest.fixture(scope="module")
def blind(tree, tmp_path_factory):
    """A run that has found nothing."""
    out = tmp_path_factory.mktemp("runs") / "run"
    command = ["train", "baseline", "--arm", "conv", "--profile", "smoke", "--data", str(tree), "--out", str(out), "--max-steps", "1"]
    assert main(command) == 0
    return out


def test_numbers_that_json_lacks_become_null_wherever_they_stand():
    value = {"a": [math.nan, 1.5, {"b": (math.inf, -math.inf)}], "c": np.float64("nan"), "d": "NaN", "e": True}
    assert strict(dumps(value)) == {"a": [None, 1.5, {"b": [None, None]}], "c": None, "d": "NaN", "e": True}


def test_a_name_of_bytes_that_are_no_utf_8_is_written_as_every_reader_takes_it(tmp_path):
    """A lone surrogate is none: jq loses it, and a file of UTF-8 cannot hold it."""
    name = os.fsdecode(b"caf\xe9.png")
    assert strict(dumps({name: [name, "ü"]})) == {r"caf\udce9.png": [r"caf\udce9.png", "ü"]}
    write_json(tmp_path / "boxes.json", {"image": name})
    assert strict((tmp_path / "boxes.json").read_text(encoding="utf-8")) == {"image": r"caf\udce9.png"}


def test_the_record_of_a_run_that_found_nothing_is_json_and_is_read_back_with_nan(blind):
    record = strict((blind / "record.json").read_text())
    assert record["metrics"]["map"] is None
    metrics = read_run(blind).metrics
    assert math.isnan(metrics["map"]) and math.isnan(metrics["cuts"]["0.4"]["precision"])
    assert record["config"]["start"] is None and read_run(blind).config.start is None


def test_a_record_that_was_written_with_nan_is_read_as_before(blind, tmp_path):
    whole = read_run(blind)
    (tmp_path / "record.json").write_text(json.dumps(whole.record))
    assert "NaN" in (tmp_path / "record.json").read_text()
    assert dumps(read_run(tmp_path).record) == dumps(whole.record)


@pytest.mark.parametrize("command", ["eval", "predict", "claims", "plan", "bench"])
def test_what_a_command_says_of_nothing_found_is_json(command, tree, blind, tmp_path, capsys, monkeypatch):
    arguments = {
        "eval": [str(blind), "--data", str(tree), "--json"],
        "predict": [str(blind), str(image(tree, "val_000")), "--out", str(tmp_path / "seen")],
        "claims": ["--json"],
        "plan": ["--json", "--verify", "--effective-batch", "2"],
        "bench": ["--json"],
    }
    monkeypatch.setattr(committed, "_sorted", lambda *_: ([read_run(blind)], {}))
    if command == "predict":
        found = {"boxes": torch.rand(1, 4), "scores": torch.tensor([math.nan]), "labels": torch.tensor([0])}
        monkeypatch.setattr("yolo_core.detector.grid.Grid.decode", lambda *_, **__: [found])
    monkeypatch.setattr(memory, "verify", lambda *_: (math.nan, math.nan))
    monkeypatch.setattr(bench, "run", lambda: SimpleNamespace(rows=[Row("AP", "a", "s", [math.nan], [1.0])]))
    capsys.readouterr()
    assert main([command, *arguments[command]]) == 0
    printed = capsys.readouterr().out
    found = strict((tmp_path / "seen/boxes.json").read_text() if command == "predict" else printed)
    assert found and "null" in dumps(found)


def test_claims_judge_a_record_of_nulls_as_one_of_nan(blind, tmp_path):
    """As three seeds of each arm of each claim, once as written before and once as now."""
    whole, records = read_run(blind).record, []
    for form in (dumps, json.dumps):
        folder = write_run(tmp_path / form.__module__, whole, {}, {}).folder
        (folder / "record.json").write_text(form(whole))
        records.append(read_run(folder).record)
    for claim in CLAIMS:
        found = []
        for record in records:
            jobs = [{"experiment": name, "arm": arm, "seed": seed} for name, arm in dict.fromkeys(claim.arms) for seed in range(3)]
            found.append(verdicts.judge(claim, [record | {"config": record["config"] | job} for job in jobs]))
        assert dumps(found[0].to_dict()) == dumps(found[1].to_dict())
        assert found[0].verdict == "INCONCLUSIVE" or math.isfinite(found[0].effect)


def test_numbers_and_journals_are_json_too(tmp_path):
    write_json(tmp_path / "x.json", {"a": math.nan})
    assert strict((tmp_path / "x.json").read_text()) == {"a": None}
