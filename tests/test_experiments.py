"""The study on one screen: every arm must resolve, and differ from its neighbours in what it says."""

import pytest

from groundwork.errors import InputError
from trial.register.claims import CLAIMS
from yolo_core import experiments
from yolo_core.experiments import EXPERIMENTS, ONE_RATE, PROFILES, RELEASED, resolve

ARMS = [(name, arm) for name, experiment in EXPERIMENTS.items() for arm in experiment.arms]


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(("name", "arm"), ARMS)
def test_every_arm_resolves_in_every_profile(name, arm, profile):
    config = resolve(name, arm, profile, seed=3)
    assert (config.experiment, config.arm, config.seed) == (name, arm, 3)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_no_two_arms_of_an_experiment_are_the_same_configuration(name):
    configs = [resolve(name, arm, "pocket").to_dict() | {"arm": ""} for arm in EXPERIMENTS[name].arms]
    assert len({str(c) for c in configs}) == len(configs)


def test_every_claim_names_arms_that_exist():
    assert {arm for claim in CLAIMS for arm in claim.arms} <= set(ARMS)


@pytest.mark.parametrize(
    ("name", "arm", "profile"), [("x", "compressed", "pocket"), ("baseline", "x", "pocket"), ("baseline", "compressed", "x")]
)
def test_what_does_not_exist_is_refused_with_what_does(name, arm, profile):
    with pytest.raises(InputError, match="'x'; choose one of|no arm 'x'; choose one of"):
        resolve(name, arm, profile)


def test_the_long_profile_works_on_the_photographs_and_changes_their_length_alone(monkeypatch, tmp_path):
    monkeypatch.setattr(experiments, "data_folder", lambda profile: tmp_path / profile)
    with pytest.raises(InputError, match=rf"{tmp_path}/photographs: no photographs"):
        experiments.prepare_data("long")
    for arm in ARMS:
        short, long = (resolve(*arm, profile).to_dict() for profile in ("photographs", "long"))
        assert {key for key in short if short[key] != long[key]} == {"epochs", "probe_steps", "score_epochs"}
        assert long["epochs"] == 100 * {"half": 2, "quarter": 4}.get(EXPERIMENTS[arm[0]].arms[arm[1]].changes.get("train_images"), 1)


def test_on_the_card_each_stage_learns_at_the_rate_it_is_said_to():
    card = {arm: resolve(*arm, "rtx2060") for arm in ARMS}
    assert card["baseline", "compressed"].lr == card["baseline", "released"].lr == RELEASED["lr"]
    assert card["focal", "mse"].lr == card["transfer", "scratch"].lr == resolve("focal", "mse", "pocket").lr
    assert card["finetune", "fresh"].lr == card["finetune", "continued"].lr == ONE_RATE["lr"]
    assert {c.effective_batch for arm, c in card.items() if arm != ("accumulation", "batch-2")} == {16}
    assert all(card[arm].lr == resolve(*arm, "pocket").lr for arm in ARMS if card[arm].head == "conv" and arm[0] != "baseline")


def test_an_arm_has_a_title_of_its_own_that_fits_a_figure():
    titles = [experiments.the_arm(*arm).title for arm in ARMS]
    assert len(set(titles)) == len(titles) and max(map(len, titles)) <= 32 and all(titles)


def test_the_four_experiments_of_the_write_up_are_named_as_such():
    assert [experiments.the_arm(*experiments.named(f"exp{i}")).title[:5] for i in (1, 2, 3, 4)] == ["Exp 1", "Exp 2", "Exp 3", "Exp 4"]
    assert experiments.named("finetune", "two-rates") == ("finetune", "two-rates")
    assert experiments.named("baseline") == ("baseline", "compressed"), "an experiment alone is its first arm"
    with pytest.raises(InputError, match="unknown experiment 'exp5'"):
        experiments.named("exp5")
