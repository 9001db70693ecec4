"""Verdicts follow from records, and from nothing else."""

import copy
import math

import pytest

from yolo_core.study.claims import CLAIMS, MIN_SEEDS, Claim, interval_95, judge, register

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
