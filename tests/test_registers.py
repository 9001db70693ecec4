"""The register of either data set, from a folder of records: doctored, missing, foreign and impossible ones behave alike in both."""

import json
import shutil

import pytest

from groundwork.errors import InputError
from trial.register import committed, verdicts
from trial.register.claims import CLAIMS
from yolo_core import experiments
from yolo_core.__main__ import main

OTHER = {"pocket": "photographs", "photographs": "pocket"}
DECOUPLED = (0.2, 0.21, 0.19)  # over 0.1 of the base: R1 holds

pytestmark = pytest.mark.parametrize("profile", committed.JUDGED)


@pytest.fixture
def lay(tmp_path, monkeypatch):
    """Lay a record of an arm of the remedies where a profile's records lie, as another `profile_of` would have made it; its path."""
    monkeypatch.setattr(committed, "FOLDER", tmp_path)

    def write(profile, arm, seed, value, of=None, pictures="a"):
        config = experiments.resolve("remedies", arm, of or profile, seed).to_dict()
        metrics = {"map": value, "cuts": {}, "images": 1, "objects": 1}
        record = {"schema": 1, "key": "k", "code": "c", "steps": 1, "config": config, "metrics": metrics}
        file = tmp_path / profile / f"remedies-{arm}-{seed}" / "record.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(record | {"data": {"fingerprints": {"train": pictures, "val": pictures}}}))
        return file

    return write


@pytest.fixture
def whole(lay, profile):
    """Three seeds of both arms of R1."""
    return [lay(profile, arm, seed, value) for seed in range(3) for arm, value in (("base", 0.1), ("decoupled", DECOUPLED[seed]))]


def r1(profile):
    return next(f for f in committed.findings(profile) if f.claim.id == "R1")


def test_records_in_the_profile_s_folder_are_judged_as_of_its_data(profile, whole):
    finding = r1(profile)
    assert (finding.verdict, finding.seeds, finding.data) == ("HOLDS", (0, 1, 2), experiments.PROFILES[profile].data[0])
    assert r1(OTHER[profile]).seeds == (), "and by none of the other's"


def test_doctored_records_flip_the_verdict(profile, whole, lay):
    for seed, value in enumerate(DECOUPLED):
        lay(profile, "decoupled", seed, value / 3)
    assert r1(profile).verdict == "FAILS"


def test_without_one_of_its_records_a_sentence_is_undecided(profile, whole):
    shutil.rmtree(whole[-1].parent)
    assert (r1(profile).verdict, r1(profile).why) == ("INCONCLUSIVE", "2 of at least 3 seeds")


def test_a_record_of_the_other_profile_is_passed_over_and_named(profile, whole, lay, capsys):
    lay(profile, "decoupled", 2, 0.9, of=OTHER[profile])
    assert r1(profile).seeds == (0, 1)
    assert committed.foreign(profile) == {"remedies-decoupled-2": "of another configuration"}
    assert main(["claims", "--profile", profile, "--json"]) == 0
    said = capsys.readouterr()
    assert said.err.strip().endswith(f"{profile}/remedies-decoupled-2: passed over, of another configuration")
    assert next(row for row in json.loads(said.out) if row["id"] == "R1")["seeds"] == [0, 1]


def test_a_record_of_an_arm_that_is_gone_is_passed_over(profile, whole):
    record = json.loads(whole[-1].read_text())
    record["config"]["arm"] = "gone"
    whole[-1].write_text(json.dumps(record))
    assert r1(profile).seeds == (0, 1) and "remedies-decoupled-2" in committed.foreign(profile)


def test_a_record_of_other_pictures_than_most_is_passed_over(profile, whole, lay):
    lay(profile, "decoupled", 0, 0.9, pictures="b")
    assert r1(profile).seeds == (1, 2)
    assert committed.foreign(profile) == {"remedies-decoupled-0": "of other pictures"}


def test_scenes_that_another_processor_drew_are_no_other_pictures(profile, lay):
    ((elsewhere, today),) = committed.AS_TODAY.items()
    for seed, pictures in enumerate((elsewhere, today, elsewhere)):
        lay(profile, "base", seed, 0.1, pictures=pictures)
    assert committed.foreign(profile) == {} and len(committed.stored(profile)) == 3


def test_a_copy_of_a_record_is_no_further_run_and_takes_nobodys_place(profile, whole, lay):
    before = r1(profile)
    folder = committed.place(profile, "remedies", "base", 0)
    shutil.copytree(folder, folder.with_name("remedies-base-0.bak"))
    (folder.with_name("remedies-base-0.bak") / "record.json").write_text((folder / "record.json").read_text().replace("0.1", "0.9"))
    assert r1(profile) == before
    assert committed.foreign(profile) == {"remedies-base-0.bak": "a copy, it seems: of the name remedies-base-0 it would count"}


@pytest.mark.parametrize("odd", [{"map": "x"}, {"resampled": 0.2}, {"resampled": {"map": [0.1, 0.2], "other": [0.1]}}], ids=str)
def test_figures_of_another_kind_than_runs_write_are_one_sentence(profile, whole, odd):
    records = [run.record for run in committed.stored(profile)]
    records[0] = records[0] | {"metrics": records[0]["metrics"] | odd}
    with pytest.raises(InputError, match="(?s)has a figure of another kind than runs write .*; take the records back"):
        verdicts.register(records, experiments.profile_of(profile).data[0])


def test_a_figure_that_no_run_can_have_is_refused(profile, whole, lay):
    file = lay(profile, "base", 1, 1.5)
    with pytest.raises(InputError, match=rf"{file.parent.name}/record\.json: metrics has 'map' of '1\.5'"):
        committed.findings(profile)


def test_without_any_record_every_sentence_is_not_run_and_nothing_fails(profile, lay, capsys):
    assert main(["claims", "--profile", profile]) == 0
    said = capsys.readouterr()
    assert said.err == "" and said.out.count("not run") == sum(bool(claim.arms) for claim in CLAIMS)
