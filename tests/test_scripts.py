"""The scripts that make what is committed: without room, and given what they cannot use, each is one sentence and status 2, and what
was committed stays as it was."""

import gzip
import json
import math
import os
import runpy
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest
from helpers_voc import write_tree
from test_full_disk import room
from test_nothing_overwritten import contents

from emojivoc import statistics
from groundwork.errors import InputError
from trial.register import committed
from trial.register.claims import claim
from voc_tree import photographs
from yolo_core.__main__ import main

ROOT = Path(__file__).resolve().parents[1]
RECORD = "records/pocket/baseline-compressed-0"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A checkout of the scripts, a record and the planner's figures; what the package ships lies in it too."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / RECORD, tmp_path / RECORD)
    shutil.copy(ROOT / "records/planned.json", tmp_path / "records")
    monkeypatch.setattr(committed, "FOLDER", tmp_path / "records")
    for module, name in ((statistics, "FILE"), (statistics, "PHOTOGRAPHS"), (photographs, "LIST")):
        monkeypatch.setattr(module, name, Path(shutil.copy(getattr(module, name), tmp_path)))
    return tmp_path


def told(place, monkeypatch, capsys, script, *words):
    """Run a script that cannot do what it is asked for: status 2, one sentence, and nothing has changed. The sentence."""
    before = contents(place)
    monkeypatch.setattr(sys, "argv", [script, *map(str, words)])
    monkeypatch.setattr(sys, "path", list(sys.path))
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(place / "scripts" / f"{script}.py"), run_name="__main__")
    error = capsys.readouterr().err
    assert end.value.code == 2 and error.startswith("error: ") and error.count("\n") == 1
    assert contents(place) == before
    return error


@pytest.fixture
def source(tmp_path_factory):
    """What the two scripts of statistics read."""
    folder = write_tree(tmp_path_factory.mktemp("source"), train=3, val=2)
    splits = folder / "VOCdevkit/VOC2012/ImageSets/Main"
    names = {split: (splits / f"{split}.txt").read_text().split() for split in ("train", "val")}
    (splits / "trainval.txt").write_text("".join(f"{name}\n" for split in names for name in names[split]))
    rows = "".join(f"{name}\tVOC 2012\t{split}\n" for split in names for name in names[split])
    (folder / "origins.tsv").write_text("name\torigin\tsplit\n" + rows)
    pictures = [[str(i), 500, 375, [["dog", 1, 1, 100 + i, 200]] * (1 + i % 3)] for i in range(60)]
    (folder / "split.json.gz").write_bytes(gzip.compress(json.dumps({"images": pictures}).encode()))
    return folder


@pytest.mark.parametrize("script", ["planned", "added_figures", "lighter_records", "photographs", "voc2012_statistics"])
def test_a_script_without_room_says_so_and_what_is_committed_stays(script, place, source, tmp_path_factory, monkeypatch, capsys):
    full = shutil.copytree(place / "records/pocket", tmp_path_factory.mktemp("full") / "pocket")
    words = {
        "added_figures": [full, place / "records/pocket"],
        "lighter_records": ["pocket"],
        "photographs": [source],
        "voc2012_statistics": [source / "split.json.gz"] * 2,
    }.get(script, [])
    if script == "voc2012_statistics":  # fitting wants thousands of pictures, and is another test's
        monkeypatch.setattr("emojivoc.layout.fit", lambda _: statistics.summarise([]))
    with room(16):
        error = told(place, monkeypatch, capsys, script, *words)
    assert "cannot be written (" in error and "File too large" in error


def test_a_script_given_what_it_cannot_use_says_which_file_it_is(place, source, tmp_path, monkeypatch, capsys):
    assert "origins.tsv: expected name, origin" in told(place, monkeypatch, capsys, "photographs", tmp_path / "none")
    (source / "origins.tsv").write_text("name\torigin\tsplit\nanother\tVOC 2012\ttrain\n")
    assert "of every picture of the tree" in told(place, monkeypatch, capsys, "photographs", source)
    whole = source / "split.json.gz"
    (source / "torn.json.gz").write_bytes(whole.read_bytes()[:40])
    odd = {
        "number": '["a", 1, 1, 7]',
        "empty": '["a", 1, 1, [[]]]',
        "flat": '["a", 0, 1, []]',
        "nan": '["a", NaN, 1, []]',
        "deep": "[" * 10**5,
    }
    for name, picture in odd.items():
        (source / f"{name}.json.gz").write_bytes(gzip.compress(b'{"images": [%s]}' % picture.encode()))
    for name in ("none", "torn", *odd):
        file = source / f"{name}.json.gz"
        assert f"{file}: expected a split as gzipped JSON" in told(place, monkeypatch, capsys, "voc2012_statistics", whole, file)
    records = place / "records/pocket"
    for content, said in (("version https://git-lfs", "not a table"), (None, "has no column")):
        full = shutil.copytree(records, tmp_path.parent / f"{tmp_path.name} {said}")
        table = full / Path(RECORD).name / "curves.parquet"
        pd.DataFrame({"step": [0]}).to_parquet(table) if content is None else table.write_text(content)
        assert said in told(place, monkeypatch, capsys, "added_figures", full, records)
    (place / RECORD / "record.json").write_text('{"metrics": {')
    assert "record.json: not a record" in told(place, monkeypatch, capsys, "added_figures", records, records)


@pytest.mark.parametrize("words", [["claims"], ["claims", "--json", "--profile", "photographs"], ["forest"]], ids=" ".join)
def test_a_checkout_without_its_records_says_so_and_not_that_nothing_was_run(words, tmp_path, monkeypatch, capsys):
    """As the package for a card advises, where all is too large to travel."""
    monkeypatch.setattr(committed, "FOLDER", tmp_path / "records")
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.out == "" and "records: not in this checkout; bring it back: git sparse-checkout disable" in said.err


def test_the_planners_figures_are_written_anew_where_their_folder_is_gone(tmp_path):
    planned = runpy.run_path(str(ROOT / "scripts/planned.py"))
    assert planned["main"](tmp_path / "records/planned.json") == 0
    assert json.loads((tmp_path / "records/planned.json").read_text()) == json.loads((ROOT / "records/planned.json").read_text())


@pytest.mark.parametrize("content", ['{"heads_gib": {"full": 1}}', '{\n "heads', "[]", '{"heads_gib": {"full": "a", "compressed": 1}}'])
def test_figures_of_the_planner_that_are_torn_are_told_with_what_brings_them_back(content, place, monkeypatch):
    monkeypatch.setattr(claim, "ROOT", place)
    assert math.isfinite(claim.head_margin())
    (place / "records/planned.json").write_text(content)
    with pytest.raises(InputError, match="planned.json: not the planner's figures .*python scripts/planned.py"):
        claim.head_margin()
    os.remove(place / "records/planned.json")
    with pytest.raises(InputError, match="python scripts/planned.py"):
        claim.head_margin()
