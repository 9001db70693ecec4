"""Verdicts follow from records, and from nothing else."""

import copy
import math
from dataclasses import replace

import pytest

from yolo_core.study import reference
from yolo_core.study.claims import CLAIMS, FLOOR, Claim, _ratio
from yolo_core.study.experiments import resolve
from yolo_core.study.memory import GIB, RESERVE_GIB, predict
from yolo_core.study.verdicts import MIN_SEEDS, cards, chance_of_a_verdict, interval_95, judge, markdown, register, summary, told

HALF = Claim("X", "rival", "a sentence", "a prediction", (("e", "a"), ("e", "b")), lambda a, b: a["map"] / b["map"], 0.5, True, "page")


def record(arm, seed, value):
    return {"config": {"experiment": "e", "arm": arm, "seed": seed}, "metrics": {"map": value}}


def records(*ratios):
    return [r for seed, ratio in enumerate(ratios) for r in (record("a", seed, ratio), record("b", seed, 1.0))]


@pytest.mark.parametrize(
    ("ratios", "verdict"),
    [
        ((0.8, 0.81, 0.79), "HOLDS"),
        ((0.2, 0.21, 0.19), "FAILS"),
        ((0.2, 0.8, 0.5), "INCONCLUSIVE"),
        ((0.8, 0.81), "INCONCLUSIVE"),  # two seeds, however close
        ((0.8,), "INCONCLUSIVE"),
        ((), "INCONCLUSIVE"),
    ],
)
def test_the_verdict_follows_from_the_interval_over_seeds(ratios, verdict):
    assert judge(HALF, records(*ratios)).verdict == verdict


def test_a_claim_below_its_threshold_reads_the_interval_the_other_way():
    below = Claim(**{**vars(HALF), "above": False})
    assert judge(below, records(0.2, 0.21, 0.19)).verdict == "HOLDS"
    assert judge(below, records(0.8, 0.81, 0.79)).verdict == "FAILS"


def test_removing_one_record_of_three_seeds_turns_the_verdict_inconclusive():
    whole = records(0.8, 0.81, 0.79)
    assert judge(HALF, whole).verdict == "HOLDS"
    for missing in range(len(whole)):
        finding = judge(HALF, whole[:missing] + whole[missing + 1 :])
        assert finding.verdict == "INCONCLUSIVE"
        assert len(finding.seeds) == MIN_SEEDS - 1, "only seeds that every arm has may count"


def test_doctored_records_flip_the_verdict():
    whole = records(0.8, 0.81, 0.79)
    doctored = copy.deepcopy(whole)
    for r in doctored:
        if r["config"]["arm"] == "a":
            r["metrics"]["map"] /= 10
    assert (judge(HALF, whole).verdict, judge(HALF, doctored).verdict) == ("HOLDS", "FAILS")


def test_the_interval_is_students_t_by_hand():
    """1, 2, 3: mean 2, deviation 1, half width 4.303 / sqrt(3)."""
    assert interval_95([1.0, 2.0, 3.0]) == pytest.approx((2 - 4.303 / math.sqrt(3), 2 + 4.303 / math.sqrt(3)))
    assert interval_95([1.0]) is None


def test_an_effect_that_is_no_number_is_never_a_verdict():
    assert judge(HALF, records(math.nan, 0.8, 0.8)).verdict == "INCONCLUSIVE"


def test_every_claim_without_records_is_inconclusive_and_ids_are_unique():
    findings = register([])
    assert [f.verdict for f in findings] == ["INCONCLUSIVE"] * len(CLAIMS)
    assert len({c.id for c in CLAIMS}) == len(CLAIMS)
    fields = {"id", "claim", "scope", "arms", "seeds", "threshold", "effect", "interval", "verdict"}
    assert all(fields <= set(f.to_dict()) for f in findings)


def test_a_claimed_range_holds_only_inside_it():
    between = Claim(**{**vars(HALF), "threshold": 0.5, "upper": 1.0})
    assert judge(between, records(0.8, 0.81, 0.79)).verdict == "HOLDS"
    assert judge(between, records(0.2, 0.21, 0.19)).verdict == "FAILS"
    assert judge(between, records(1.8, 1.81, 1.79)).verdict == "FAILS"
    assert judge(between, records(0.9, 1.1, 1.0)).verdict == "INCONCLUSIVE"


def test_an_arm_at_the_floor_makes_its_claim_inconclusive_and_says_so():
    floored = Claim(**{**vars(HALF), "effect": lambda a, b: _ratio(a["map"], b["map"] * FLOOR / 2)})
    finding = judge(floored, records(0.8, 0.81, 0.79))
    assert finding.verdict == "INCONCLUSIVE" and "floor" in finding.why and told(finding) == "at the floor"


def test_what_more_seeds_could_decide_is_told_apart_from_what_they_could_not():
    floored = Claim(**{**vars(HALF), "effect": lambda a, b: _ratio(a["map"], b["map"] * FLOOR / 2)})
    assert judge(HALF, records(0.2, 0.8, 0.5)).undecided
    assert not judge(HALF, records(0.8, 0.81, 0.79)).undecided, "it has its verdict"
    assert not judge(HALF, records(0.2, 0.8)).undecided, "it lacks seeds of the first round"
    assert not judge(floored, records(0.2, 0.8, 0.5)).undecided, "there is nothing to divide by, with any number of seeds"
    assert not next(f for f in register([]) if not f.claim.arms).undecided, "it waits for a card"


def test_asking_twice_gives_more_verdicts_by_chance_than_asking_once():
    once, twice = chance_of_a_verdict(3), chance_of_a_verdict(3, 2)
    assert abs(once - 0.05) < 0.003 and abs(chance_of_a_verdict(5) - 0.05) < 0.003
    assert once < twice < 2 * once


def test_why_nothing_is_decided_is_said():
    assert judge(HALF, records(0.8, 0.81)).why == f"2 of at least {MIN_SEEDS} seeds"
    assert judge(HALF, records(0.2, 0.8, 0.5)).why == "the interval holds the threshold"
    assert judge(HALF, records(0.8, 0.81, 0.79)).why == ""


def test_the_resolution_is_half_the_interval():
    finding = judge(HALF, records(0.8, 0.81, 0.79))
    assert finding.resolution == pytest.approx((finding.interval[1] - finding.interval[0]) / 2)


def test_every_claim_of_the_sheet_is_there_with_a_prediction_and_what_would_overturn_it():
    ids = "C1 C1a C1b C1c C1d C1e C2a C2b C2c C2d C2e C2f C2g C3a C3b C3c C3d C4a C4b C4c C4d".split()
    ids += "H1 H2 H3 R1 R1a R2 R2a R3 R3a R4 R5 R6".split()
    assert [c.id for c in CLAIMS] == ids
    assert all(c.prediction and c.overturn and c.page for c in CLAIMS)


def test_a_claim_about_a_card_that_is_not_here_is_a_prediction_and_never_a_verdict():
    """H2: the planner's margin, whatever the records say; its size is that of the peaks on the chapter's own page."""
    claim = next(c for c in CLAIMS if c.id == "H2")
    finding = judge(claim, records(0.8, 0.81, 0.79))
    assert finding.verdict == "INCONCLUSIVE" and finding.why.startswith("predicted only") and "--verify" in finding.why
    config = replace(resolve("baseline", "full", "rtx2060"), backbone="resnet18", optimiser="adam", precision="32-true")
    assert finding.effect == predict(config, 1).total / GIB + RESERVE_GIB - 6
    assert told(finding).endswith("predicted") and "0 seeds" not in cards([finding])


def test_cards_and_table_tell_every_finding_in_one_form():
    findings = register([])
    assert cards(findings).count("What would change our mind") == len(CLAIMS)
    assert markdown(findings).count("{.verdict-inconclusive}") == len(CLAIMS)
    assert set(summary(findings)) == {c.id for c in CLAIMS}


STORED = [run.record for run in reference.stored("pocket")]
DECIDED = [f.claim.id for f in register(STORED) if f.verdict != "INCONCLUSIVE"]


@pytest.mark.parametrize("claim_id", DECIDED)
def test_a_committed_verdict_turns_inconclusive_when_a_seed_is_taken_away(claim_id):
    claim = next(c for c in CLAIMS if c.id == claim_id)
    arm = claim.arms[-1]
    seeds = {r["config"]["seed"] for r in STORED if (r["config"]["experiment"], r["config"]["arm"]) == arm}
    kept = [
        r for r in STORED if (r["config"]["experiment"], r["config"]["arm"]) != arm or r["config"]["seed"] in sorted(seeds)[: MIN_SEEDS - 1]
    ]
    assert judge(claim, kept).verdict == "INCONCLUSIVE"


@pytest.mark.parametrize("claim_id", DECIDED)
def test_a_committed_verdict_follows_its_effect_and_nothing_else(claim_id):
    """The same records under a threshold on the other side of the interval: the verdict flips."""
    claim = next(c for c in CLAIMS if c.id == claim_id)
    finding = judge(claim, STORED)
    low, high = finding.interval
    beyond = high + 1 if low > claim.threshold else low - 1
    flipped = judge(Claim(**{**vars(claim), "threshold": beyond, "upper": None}), STORED).verdict
    straight = judge(Claim(**{**vars(claim), "upper": None}), STORED).verdict
    assert {flipped, straight} == {"HOLDS", "FAILS"}
