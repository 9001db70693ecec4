"""Reference runs: stored as they end, passed over when they are there, judged as they are."""

import json
from functools import cache
from types import SimpleNamespace

import pandas as pd
import pytest
from test_full_disk import room
from test_nothing_overwritten import contents

from groundwork.errors import InputError
from groundwork.locks import alone
from groundwork.paths import ROOT
from trial import watch
from trial.register import committed, reference, verdicts
from trial.register.canary import canary, compare
from yolo_core import experiments
from yolo_core.__main__ import main
from yolo_core.experiments import EXPERIMENTS
from yolo_core.training import step
from yolo_core.training.writing import write_run

PLANNED = sorted({(name, arm) for name, arm, _ in reference.jobs()})


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """A study whose runs take no time; the list of what has been trained."""
    done, state = [], {"data": "today", "burst": set()}

    def run(name, arm, profile, seed, progress, out):
        done.append((name, arm, seed))
        if (name, arm) in state["burst"]:
            raise ArithmeticError("step 3: the box term of the loss is not finite")
        prints = {"train": state["data"], "val": state["data"]}
        config = experiments.resolve(name, arm, profile, seed).to_dict()
        record = {"key": "k", "code": "c", "config": config, "data": {"fingerprints": prints}, "metrics": {}}
        folder = out or tmp_path / "runs" / f"{name}-{arm}-{seed}"
        return write_run(folder, record, {"epochs": pd.DataFrame({"map": [0.1]}), "noise": pd.DataFrame({"small": [1.0]})}, {})

    monkeypatch.setattr(committed, "FOLDER", tmp_path / "records")
    monkeypatch.setattr(reference, "BUILD", tmp_path / "build")
    monkeypatch.setattr(reference, "canary", lambda *_: {"digest": "d", "losses": [1.0]})
    monkeypatch.setattr(watch, "run", run)
    monkeypatch.setattr(experiments, "prepare_data", lambda *_: None)
    monkeypatch.setattr(experiments, "key_of", lambda *_: "k")
    monkeypatch.setattr(experiments, "profile_data", lambda *_, **__: (SimpleNamespace(fingerprint=state["data"]),) * 2)
    return done, state


def test_every_planned_arm_exists_and_every_arm_is_planned():
    assert [(n, a) for n, a in PLANNED if a not in EXPERIMENTS[n].arms] == []
    assert {(name, arm) for name, e in EXPERIMENTS.items() for arm in e.arms} == set(PLANNED)


def test_a_run_that_others_start_from_comes_before_them():
    order = list(reference.jobs())
    for name, arm, seed in order:
        start = experiments.resolve(name, arm, "pocket").start
        if start is not None:
            assert order.index((*start.split("/"), seed)) < order.index((name, arm, seed))


def test_a_stopped_study_goes_on_where_it_was(trained):
    done, _ = trained
    assert reference.run_all("pocket", most=4) == 4
    first = list(done)
    assert reference.run_all("pocket", most=2) == 2
    assert len(set(done)) == 6 and done[:4] == first
    assert len(committed.stored("pocket")) == 6


def test_arms_that_are_named_are_trained_alone_and_in_that_order(trained):
    done, _ = trained
    reference.run_all("pocket", arms=("baseline/full", "focal/mse"))
    arms = [("baseline", "full"), ("focal", "mse")]
    assert done[:6] == [(*arm, seed) for arm in arms for seed in reference.SEEDS]
    assert {job[:2] for job in done} == set(arms)


def test_a_gpu_sings_no_canary(trained, monkeypatch):
    done, _ = trained
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert reference.run_all("pocket", most=1) == 1
    assert not reference.canary_file("pocket", *done[0][:2]).exists()


def test_a_removed_record_and_other_data_or_another_configuration_are_trained_again(trained):
    done, state = trained
    reference.run_all("pocket", most=3)
    (committed.place("pocket", *done[1]) / "record.json").unlink()
    assert reference.run_all("pocket", most=1) == 1 and done[-1] == done[1]
    path = committed.place("pocket", *done[2]) / "record.json"
    record = json.loads(path.read_text())
    record["config"]["lr"] *= 2
    path.write_text(json.dumps(record))
    assert reference.run_all("pocket", most=1) == 1 and done[-1] == done[2]
    state["data"] = "tomorrow"
    assert reference.run_all("pocket", most=1) == 1 and done[-1] == done[0]


def test_a_record_of_scenes_that_another_processor_drew_counts_and_one_of_other_scenes_does_not():
    ((elsewhere, today),) = committed.AS_TODAY.items()
    assert committed.same_scenes({"train": elsewhere, "val": "v"}, {"train": today, "val": "v"})
    assert not committed.same_scenes({"train": today, "val": "v"}, {"train": elsewhere, "val": "v"})
    assert not committed.same_scenes({"train": elsewhere, "val": "w"}, {"train": today, "val": "v"})


def test_a_key_that_the_configuration_has_gained_counts_as_its_default(trained):
    done, _ = trained
    reference.run_all("pocket", most=1)
    path = committed.place("pocket", *done[0]) / "record.json"
    record = json.loads(path.read_text())
    del record["config"]["start"]
    path.write_text(json.dumps(record))
    assert reference.is_stored("pocket", *done[0])


def test_weights_and_large_tables_are_not_stored(trained):
    reference.run_all("pocket", most=1)
    files = {p.name for p in committed.stored("pocket")[0].folder.iterdir()}
    assert files == {"record.json", "epochs.parquet"}


def test_a_training_that_bursts_is_stored_as_such_and_is_no_evidence(trained):
    done, state = trained
    state["burst"] = {("focal", "focal")}
    reference.run_all("pocket", most=2)
    stored = {(r.config.experiment, r.config.arm): r.record for r in committed.stored("pocket")}
    assert "not finite" in stored["focal", "focal"]["failed"]
    finding = next(f for f in verdicts.register(stored.values()) if f.claim.id == "C2b")
    assert finding.seeds == () and finding.verdict == "INCONCLUSIVE"
    assert reference.run_all("pocket", most=1) == 1 and done[-1] != done[1], "it is not tried again"


def test_a_job_that_another_process_holds_is_passed_over(trained, capsys):
    done, _ = trained
    first = next(reference.jobs())
    with alone(reference._out("pocket", *first)) as mine:
        assert mine
        reference.run_all("pocket", most=3)
    assert first not in done and done
    told = "{}/{}, seed {}: another process trains it; give this command again".format(*first)
    assert told in "".join(capsys.readouterr()), "for whoever asked for it in another folder of records"


def test_a_profile_of_larger_pictures_than_a_canary_sees_has_none(trained):
    assert reference.run_all("rtx2060", most=1) == 1 and not (committed.records_folder("rtx2060") / "canaries").exists()
    assert reference.run_all("photographs", most=1) == 1 and (committed.records_folder("photographs") / "canaries").exists()


def test_only_what_the_first_seeds_leave_undecided_gets_more_and_what_those_say_has_no_part_in_it(trained, monkeypatch):
    done, _ = trained
    monkeypatch.setattr(reference, "PLAN", (("remedies", ("base", "decoupled", "ciou", "aligned", "strides")),))
    monkeypatch.setattr(reference, "fresh", lambda *_: iter(()))
    assert reference.run_all("pocket") == 15

    def says(arm, *values):
        for seed, value in enumerate(values):
            path = committed.place("pocket", "remedies", arm, seed) / "record.json"
            metrics = {"map": value, "cuts": {}, "images": 1, "objects": 1}
            path.write_text(json.dumps(json.loads(path.read_text()) | {"steps": 1, "metrics": metrics}))

    says("base", 0.1, 0.1, 0.1)
    says("decoupled", 0.1, 0.2, 0.1)  # R1: the interval holds 1.1
    says("ciou", 0.05, 0.05, 0.05)  # R4 is decided, and so is R3
    says("aligned", 0.05, 0.05, 0.05)
    more = [("remedies", arm, seed) for seed in reference.MORE_SEEDS for arm in ("base", "decoupled")]
    assert list(reference.further("pocket")) == more
    del done[:]
    assert reference.run_all("pocket") == len(more) and done == more
    says("base", 0.1, 0.1, 0.1, 0.1, 0.1)
    says("decoupled", 0.1, 0.2, 0.1, 0.5, 0.01)  # wider still
    assert list(reference.further("pocket")) == more and reference.run_all("pocket") == 0, "asked once more, not until it pleases"


def test_fresh_seeds_come_last_all_to_cheap_arms_of_claims_and_a_few_to_those_of_claims_known_before(trained, monkeypatch):
    done, _ = trained
    monkeypatch.setattr(reference, "PLAN", (("remedies", ("base", "strides")), ("focal", ("mse", "mse-conv")), ("baseline", ("conv",))))
    reference.run_all("pocket")
    fresh = [job for job in done if job[2] in reference.FRESH_SEEDS]
    seeds = {arm: [seed for *job, seed in fresh if tuple(job) == arm] for arm in {job[:2] for job in fresh}}
    all_of_them, few = list(reference.FRESH_SEEDS), list(reference.FRESH_SEEDS[:3])
    known = {("remedies", "strides"): few, ("focal", "mse"): few, ("baseline", "conv"): few}  # of R3b, C2j and C3e on EmojiVOC
    assert seeds == {("remedies", "base"): all_of_them, ("focal", "mse-conv"): all_of_them} | known
    assert done[-len(fresh) :] == fresh
    assert {job[:2] for job in reference.fresh("photographs")} == {("remedies", "base"), ("focal", "mse-conv")}


def test_named_arms_alone_are_trained_into_the_named_folder(trained, tmp_path):
    done, _ = trained
    elsewhere = tmp_path / "elsewhere"
    reference.run_all("pocket", records=elsewhere, arms=["focal/focal"])
    assert {job[:2] for job in done} == {("focal", "focal")}
    assert committed.stored("pocket") == []
    assert {(run.config.arm, run.config.seed) for run in committed.stored("pocket", elsewhere)} == {
        ("focal", s) for s in (0, 1, 2, 10, 11, 12)
    }


def test_the_time_left_is_told_from_the_times_of_stored_runs(monkeypatch):
    took = {"pocket": {("a", "x"): 100.0, ("a", "y"): 300.0}, "photographs": {("a", "x"): 200.0}}
    monkeypatch.setattr(committed, "seconds_by_arm", lambda profile, *_: took[profile])
    missing = [("a", "x", 1), ("a", "y", 0), ("a", "y", 1), ("b", "z", 0)]  # 200 s, twice 300 s stretched by 2, and one never timed
    said = reference.time_left("photographs", missing, workers=2)
    assert said == f"4 runs are missing: about {(200 + 2 * 600) / 3600 / 2:.1f} hours and 1 runs of arms never timed"


def test_new_code_renews_a_canary_that_sings_alike_and_leaves_one_that_does_not(trained, monkeypatch):
    done, _ = trained
    reference.run_all("pocket", most=1)
    file = reference.canary_file("pocket", *done[0][:2])
    first = json.loads(file.read_text())
    song = {"digest": "rounded", "losses": [1.000001]}
    monkeypatch.setattr(reference, "canary", lambda *_: song)
    monkeypatch.setattr(experiments, "training_code", lambda: "new")
    reference._keep_canary(file, "pocket", *done[0][:2])
    renewed = json.loads(file.read_text())
    assert renewed == {"code": "new", **song} != first
    monkeypatch.setattr(experiments, "training_code", lambda: "newer")
    song |= {"digest": "other", "losses": [2.0]}
    reference._keep_canary(file, "pocket", *done[0][:2])
    assert json.loads(file.read_text()) == renewed, "the arm's earlier records are out of date, and check has to say so"


def test_a_canary_tells_the_same_from_rounding_and_from_a_change():
    stored = {"digest": "a", "losses": [1.0, 2.0]}
    assert compare(stored, stored) == "same"
    assert compare(stored, {"digest": "b", "losses": [1.0, 2.0001]}) == "rounding"
    assert compare(stored, {"digest": "b", "losses": [1.0, 2.01]}) == "changed"
    assert compare(stored, {"digest": "b", "losses": [1.0]}) == "changed"
    assert compare(stored, {"digest": "b", "losses": [1.0, float("nan")]}) == "changed"


AT_STEPS = [(0, 1e-3, "changed"), (3, 1e-2, "rounding"), (3, 0.2, "changed"), (19, 0.5, "rounding"), (19, 1.5, "changed")]


@pytest.mark.parametrize(("step", "off", "said"), AT_STEPS)
def test_rounding_may_grow_from_step_to_step(step, off, said):
    losses = [2.0] * 20
    other = losses[:step] + [2.0 * (1 + off)] + losses[step + 1 :]
    assert compare({"digest": "a", "losses": losses}, {"digest": "b", "losses": other}) == said


@cache
def sung(name, arm):
    """An arm's canary, once for all tests that only compare with it."""
    return canary(name, arm, "pocket")


def test_a_learning_rate_a_hundredth_larger_is_no_rounding(monkeypatch):
    mse = sung("focal", "mse-conv")
    plain = step.rate_factor
    monkeypatch.setattr(step, "rate_factor", lambda *given: 1.01 * plain(*given))
    assert compare(mse, canary("focal", "mse-conv", "pocket")) == "changed"


def test_the_canary_sings_the_same_twice_and_otherwise_for_another_loss():
    """Real steps on the smoke profile's scenes."""
    mse = sung("focal", "mse-conv")
    assert len(mse["losses"]) == 20
    assert canary("focal", "mse-conv", "pocket") == mse
    assert compare(mse, sung("focal", "focal-conv")) == "changed"


@pytest.mark.parametrize("arm", ["base", "all-bins"])
def test_a_detector_at_points_has_a_canary_of_all_its_terms(arm, monkeypatch):
    monkeypatch.setattr("trial.register.canary.STEPS", 4)
    found, other = (canary("remedies", one, "pocket") for one in (arm, "quality"))
    assert len(found["losses"]) == len(other["losses"]) == 4 and all(loss > 0 for loss in found["losses"])
    assert compare(found, other) == "changed"


# The cheapest: the whole aviary sings with `python -m yolo_core reference --check`.
STORED = [ROOT / "records/pocket/canaries" / f"{arm}.json" for arm in ("focal-mse-conv", "focal-focal-conv", "remedies-base")]


@pytest.mark.parametrize("file", STORED, ids=lambda f: f.stem)
def test_todays_code_repeats_the_first_steps_of_stored_arms(file):
    """Bit for bit where they were trained, to rounding on another kind of processor."""
    name, arm = reference.arm_of(file)
    assert compare(json.loads(file.read_text()), sung(name, arm)) in ("same", "rounding")


def test_a_canary_without_room_leaves_the_earlier_one_whole(trained, tmp_path, monkeypatch):
    done, _ = trained
    reference.run_all("pocket", most=1)
    file = reference.canary_file("pocket", *done[0][:2])
    before = contents(file.parent)
    monkeypatch.setattr(experiments, "training_code", lambda: "new")
    with room(10), pytest.raises(InputError, match=f"{file.name}: cannot be written .File too large"):
        reference._keep_canary(file, "pocket", *done[0][:2])
    assert contents(file.parent) == before


TORN = [
    "",
    '{"code": "c", "dig',
    "[]",
    "{}",
    '{"code": "c", "digest": "d", "losses": ["one"]}',
    *(json.dumps({"code": "c", "digest": "d", "losses": losses}) for losses in (1, {}, "")),
]


@pytest.mark.parametrize("text", TORN)
def test_a_torn_canary_is_told_by_name_with_the_remedy_and_kept(trained, monkeypatch, capsys, text):
    done, _ = trained
    reference.run_all("pocket", most=1)
    file = reference.canary_file("pocket", *done[0][:2])
    file.write_text(text)
    monkeypatch.setattr(experiments, "training_code", lambda: "new")
    assert main(["reference", "--check", "--records", str(committed.FOLDER)]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"error: {file}: expected a whole canary") and "restore it" in error and "remove it" in error
    with pytest.raises(InputError, match="expected a whole canary"):
        reference._keep_canary(file, "pocket", *done[0][:2])
    assert file.read_text() == text


def test_what_a_system_keeps_beside_the_canaries_is_none(trained, monkeypatch):
    reference.run_all("pocket", most=1)
    (committed.records_folder("pocket") / "canaries/._focal-mse.json").write_bytes(b"\x00\x05")
    monkeypatch.setattr(reference, "canary", lambda *_: {})
    monkeypatch.setattr(reference, "compare", lambda *_: "same")
    assert list(reference.check("pocket").values()) == ["same"]


def test_a_file_that_is_no_canary_is_told_before_any_sings(trained, monkeypatch, capsys):
    reference.run_all("pocket", most=1)
    monkeypatch.setattr(reference, "canary", lambda *_: pytest.fail("minutes went by"))
    (committed.records_folder("pocket") / "canaries/notes.json").write_text("{}")
    assert main(["reference", "--check", "--records", str(committed.FOLDER)]) == 2
    assert "notes.json: expected a canary, named EXPERIMENT-ARM.json" in capsys.readouterr().err
