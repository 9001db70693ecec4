"""The corpus of configurations and command lines that cannot be: each is refused in one sentence that names its source and the key."""

import dataclasses
import json
import re
import string

import pytest
from helpers_voc import write_tree
from hostile.configs import BASE, CASES, COMMANDS
from hypothesis import given, settings
from hypothesis import strategies as st
from test_hostile_data import assert_nothing_made, by_name

from groundwork.errors import InputError
from groundwork.paths import ROOT
from yolo_core.__main__ import main
from yolo_core.training.config import RunConfig, config_from_dict
from yolo_core.training.records import read_run

SOURCE = "record.json"


def assert_told(error: InputError, source: str = "") -> None:
    message = str(error)
    assert message.startswith(source) and "\n" not in message and "Traceback" not in message and len(message) < 1500, message


@by_name(CASES)
def test_a_configuration_is_read_as_stated_or_refused(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if case.refused:
        with pytest.raises(InputError, match=case.refused) as caught:
            config_from_dict(BASE | case.given, SOURCE).detector()
        assert_told(caught.value)
    else:
        config = config_from_dict(BASE | case.given, SOURCE)
        assert config == dataclasses.replace(RunConfig(**BASE), **case.means)
        config.detector()
    assert_nothing_made(tmp_path)


@by_name([case for case in CASES if case.refused and "must be" in case.refused or "unknown key" in case.refused])
def test_what_is_refused_as_it_is_read_names_its_source(case):
    with pytest.raises(InputError) as caught:
        config_from_dict(BASE | case.given, SOURCE)
    assert_told(caught.value, SOURCE)


def test_every_committed_record_has_a_configuration_that_is_read():
    records = sorted((ROOT / "records").glob("*/*/record.json"))
    assert records and all(read_run(path.parent).config for path in records)


@by_name(COMMANDS)
def test_a_command_that_cannot_be_is_refused_and_leaves_the_folder_as_it_was(case, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_tree(tmp_path / "tree", train=2, val=1)
    (tmp_path / "file").write_text("")
    try:
        status, parsed = main(case.given), True
    except SystemExit as stop:  # the parser's own
        status, parsed = stop.code, False
    said = capsys.readouterr().err
    assert status == 2 and "Traceback" not in said
    assert len([line for line in said.splitlines() if line.startswith("error: ")]) == parsed
    assert re.search(case.refused, said), said
    assert_nothing_made(tmp_path, "tree", "file")


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["imagenet", "cell", "frozen", "focal/mse"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
KEYS = st.sampled_from([field.name for field in dataclasses.fields(RunConfig)]) | st.text(string.ascii_lowercase, max_size=4)


@given(st.dictionaries(KEYS, VALUES, max_size=5))
@settings(max_examples=150)
def test_arbitrary_json_is_no_configuration_or_a_sound_one(values):
    values = json.loads(json.dumps(values))
    try:
        config = config_from_dict(values, SOURCE)
    except InputError as error:
        assert_told(error, SOURCE)
    else:
        assert all(getattr(config, name) == value for name, value in values.items())
        assert config_from_dict(json.loads(json.dumps(config.to_dict())), SOURCE) == config
