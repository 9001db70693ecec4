"""The corpus of records and tables: each is read as is stated, or refused in one sentence that names the file."""

import json
from copy import deepcopy

import numpy as np
import pytest
from hostile.records import CASES, PARQUET, SOUND, TABLES, WHOLE
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_hostile_configs import VALUES, assert_told
from test_hostile_data import assert_nothing_made, by_name

from groundwork.errors import InputError
from yolo_core.training.config import RunConfig
from yolo_core.training.records import read_run


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A sound run's folder; the working folder is the one above it, which must stay as it is."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run/record.json").write_bytes(WHOLE)
    (tmp_path / "run/curves.parquet").write_bytes(PARQUET)
    return tmp_path / "run"


@by_name(CASES)
def test_a_record_is_read_as_stated_or_refused(case, run):
    case.put(run / "record.json")
    if case.refused:
        with pytest.raises(InputError, match=case.refused) as caught:
            print(read_run(run).config)
        assert_told(caught.value, str(run))
        assert any(remedy in str(caught.value) for remedy in ("; train ", "; name the --out", "must be", "the keys are"))
    else:
        assert np.array_equal(read_run(run).metrics["map"], case.means, equal_nan=True)
    assert_nothing_made(run.parent, "run")


@by_name(TABLES)
def test_a_table_is_read_as_stated_or_refused(case, run):
    case.put(run / "curves.parquet")
    if case.refused:
        with pytest.raises(InputError, match=case.refused) as caught:
            read_run(run).table("curves")
        assert_told(caught.value, str(run / "curves.parquet"))
    else:
        assert read_run(run).table("curves")["step"].tolist() == case.means
    assert_nothing_made(run.parent, "run")


def paths(node: object, here: tuple = ()) -> list[tuple]:
    """Every place of a nested dict."""
    return [p for k, v in node.items() for p in ([(*here, k)] + paths(v, (*here, k)))] if isinstance(node, dict) else []


@given(st.lists(st.tuples(st.sampled_from(paths(SOUND)), VALUES | st.just("gone")), max_size=3))
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_mutated_record_is_refused_or_says_what_a_run_can_have_found(run, changes):
    record = deepcopy(SOUND)
    for path, value in changes:
        place = record
        for key in path[:-1]:
            place = place.get(key) if isinstance(place, dict) else None
        if isinstance(place, dict):
            place.pop(path[-1], None) if value == "gone" else place.update({path[-1]: value})
    assert_read_or_refused(run, json.dumps(record).encode())


@given(st.binary(max_size=100) | VALUES.map(lambda value: json.dumps(value).encode()), st.integers(0, len(WHOLE)))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_arbitrary_bytes_anywhere_in_a_record_are_refused_or_harmless(run, content, at):
    assert_read_or_refused(run, WHOLE[:at] + content + WHOLE[at + len(content) :])
    assert_read_or_refused(run, content)


def assert_read_or_refused(run, content):
    (run / "record.json").write_bytes(content)
    try:
        found = read_run(run)
        config = found.config
    except InputError as error:
        assert_told(error, str(run))
    else:
        assert isinstance(config, RunConfig)
        metrics = found.metrics
        assert not metrics or np.isnan(metrics["map"]) or 0 <= metrics["map"] <= 1
