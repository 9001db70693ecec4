"""Verdicts follow from records, and from nothing else."""

import copy
import json
import math
from dataclasses import replace

import evidence
import numpy as np
import pytest
from scipy import stats

from groundwork.paths import ROOT
from trial.planner.memory import GIB, RESERVE_GIB, predict
from trial.register import committed
from trial.register.claims import CLAIMS, FLOOR, Claim, ratio
from trial.register.register_cards import cards
from trial.register.register_page import told
from trial.register.verdicts import (
    FRESH_SEEDS,
    MIN_SEEDS,
    _error_of,
    _holm,
    chance_of_a_verdict,
    interval_95,
    judge,
    register,
)
from yolo_core import experiments

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
    """1, 2, 3: mean 2, deviation 1, half width 4.30265 / sqrt(3)."""
    half = 4.30265 / math.sqrt(3)
    assert interval_95([1.0, 2.0, 3.0]) == pytest.approx((2 - half, 2 + half), rel=1e-5)
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
    floored = Claim(**{**vars(HALF), "effect": lambda a, b: ratio(a["map"], b["map"] * FLOOR / 2)})
    finding = judge(floored, records(0.8, 0.81, 0.79))
    assert finding.verdict == "INCONCLUSIVE" and "floor" in finding.why and told(finding) == "at the floor"


def test_what_more_seeds_could_decide_is_told_apart_from_what_they_could_not():
    floored = Claim(**{**vars(HALF), "effect": lambda a, b: ratio(a["map"], b["map"] * FLOOR / 2)})
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
    ids = "C1 C1a C1b C1c C1d C1e C2a C2b C2c C2d C2e C2f C2g C2h C2i C2j C2k C3a C3b C3c C3d C3e C4a C4b C4c C4d C4e".split()
    ids += "P1 H1 H2 H3 H3a R1 R1a R2 R2a R3 R3a R3b R4 R4a R5 R6 R6a".split()
    assert [c.id for c in CLAIMS] == ids
    assert all(c.prediction and c.overturn and c.page for c in CLAIMS)


def test_a_claim_about_a_card_that_is_not_here_is_a_prediction_and_never_a_verdict():
    """H2: the planner's margin, whatever the records say; its size is that of the peaks on the chapter's own page."""
    claim = next(c for c in CLAIMS if c.id == "H2")
    finding = judge(claim, records(0.8, 0.81, 0.79))
    assert finding.verdict == "INCONCLUSIVE" and finding.why.startswith("predicted only") and "--verify" in finding.why
    config = replace(experiments.resolve("baseline", "full", "rtx2060"), backbone="resnet18", optimiser="adam", precision="32-true")
    assert finding.effect == predict(config, 1).total / GIB + RESERVE_GIB - 6
    assert told(finding).endswith("predicted") and "0 seeds" not in cards([finding])


def seeds(*ratios, of):
    """Records of `HALF`'s arms under the seeds `of`."""
    return [r for seed, ratio in zip(of, ratios, strict=True) for r in (record("a", seed, ratio), record("b", seed, 1.0))]


LOOKS = {
    "the first seeds": ((0, 1, 2), (0, 1, 2), 0.05),
    "further ones": ((0, 1, 2, 3, 4), (0, 1, 2, 3, 4), 0.028),
    "one further seed": ((0, 1, 2, 3), (0, 1, 2, 3), 0.028),
    "all fresh ones": ((0, 1, 2, *FRESH_SEEDS), FRESH_SEEDS, 0.05),
    "all there are": ((0, 1, 2, 3, 4, *FRESH_SEEDS), FRESH_SEEDS, 0.05),
    "a part of the fresh ones": ((0, 1, 2, *FRESH_SEEDS[:9]), (0, 1, 2), 0.05),
    "a part of the fresh ones alone": (FRESH_SEEDS[:9], (), 0.05),
}


@pytest.mark.parametrize("name", LOOKS)
def test_a_second_look_is_judged_at_its_level_and_all_fresh_seeds_alone(name):
    there, judged, error = LOOKS[name]
    ratios = np.random.default_rng(0).uniform(0.4, 0.9, len(there))
    finding = judge(HALF, seeds(*ratios, of=there))
    assert finding.seeds == judged and finding.level == pytest.approx(1 - error)
    sample = [ratio for seed, ratio in zip(there, ratios, strict=True) if seed in judged]
    if judged:
        expected = stats.t.interval(1 - error, len(sample) - 1, loc=np.mean(sample), scale=stats.sem(sample))
        assert finding.interval == pytest.approx(expected)


def test_a_sentence_whose_effect_was_known_on_a_data_set_is_judged_there_by_fresh_seeds_alone():
    claim = replace(next(c for c in CLAIMS if c.id == "R4"), known="EmojiVOC")

    def records(seeds):
        made = [("base", 0.1, seed) for seed in seeds] + [("ciou", 0.2, seed) for seed in seeds]
        return [{"config": {"experiment": "remedies", "arm": arm, "seed": s}, "metrics": {"map": value}} for arm, value, s in made]

    assert judge(claim, records(range(5))).seeds == () and judge(claim, records(range(5))).verdict == "INCONCLUSIVE"
    assert judge(claim, records([0, 1, 2, 10, 11])).why == "2 of at least 3 fresh seeds"
    assert judge(claim, records([0, 1, 2, 10, 11, 12, 13])).seeds == (10, 11, 12), "and no more of them until all are there"
    assert judge(claim, records(range(5)), "photographs").seeds == (0, 1, 2, 3, 4)
    ten = replace(claim, fresh=10)
    assert judge(ten, records(range(10, 19))).why == "9 of at least 10 fresh seeds"
    assert judge(ten, records(range(10, 20))).verdict == "HOLDS"


def test_what_a_single_look_would_decide_a_second_one_may_leave_open():
    """t = 3 of five seeds: beyond 2.776, the quantile at 95 %, and short of 3.39, that at 97.2 %."""
    spread = np.array([-2.0, -1, 0, 1, 2]) / np.std([-2, -1, 0, 1, 2], ddof=1)
    ratios = 0.5 + 0.01 * (3 / math.sqrt(5) + spread)
    assert judge(HALF, seeds(*ratios, of=range(5))).verdict == "INCONCLUSIVE"
    assert judge(HALF, seeds(*ratios, of=(0, 1, 2, 5, 6))).verdict == "HOLDS"


def test_the_error_of_a_verdict_is_the_p_of_the_t_test_scaled_for_a_second_look():
    ratios = (0.8, 0.75, 0.62)
    p = stats.ttest_1samp(ratios, 0.5).pvalue
    assert _error_of(judge(HALF, records(*ratios))) == pytest.approx(p)
    five = (*ratios, 0.7, 0.66)
    again = stats.ttest_1samp(five, 0.5).pvalue
    assert _error_of(judge(HALF, records(*five))) == pytest.approx(again * 0.05 / 0.028)
    between = Claim(**{**vars(HALF), "upper": 0.9})
    assert _error_of(judge(between, records(*ratios))) == pytest.approx(stats.ttest_1samp(ratios, 0.9).pvalue), "the nearer bound"
    assert _error_of(judge(HALF, records(0.8, 0.81))) == 1


@pytest.mark.parametrize(
    ("errors", "firm"),
    [
        ((0.01, 0.04, 0.03, 0.005), (True, False, False, True)),  # 0.005 <= 0.05/4, 0.01 <= 0.05/3, and 0.03 > 0.05/2
        ((0.001, 0.03, 0.04), (True, False, False)),  # 0.04 <= 0.05/1, and yet 0.03 > 0.05/2 came first
        ((0.01, 0.04, 0.02), (True, True, True)),  # 0.02 <= 0.05/2 and 0.04 <= 0.05/1, though neither is below 0.05/3
        ((0.04,), (True,)),
        ((0.02, 0.02, 0.02), (False, False, False)),
        ((), ()),
    ],
)
def test_holm_stops_at_the_first_that_is_too_large(errors, firm):
    assert _holm(errors) == list(firm)


def of_remedies(arm, *values):
    """Records of an arm of the remedies, seeds from 0."""
    return [{"config": {"experiment": "remedies", "arm": arm, "seed": seed}, "metrics": {"map": v}} for seed, v in enumerate(values)]


def test_a_verdict_is_firm_by_the_family_it_stands_in_and_never_where_there_is_none():
    base, decoupled = of_remedies("base", 0.1, 0.1, 0.1), of_remedies("decoupled", 0.14, 0.15, 0.16)  # R1: p of about 0.02
    others = [r for arm in ("aligned", "strides", "ciou") for r in of_remedies(arm, 0.1, 0.12, 0.11)]  # R3, R3b, R4: nothing
    alone, among = ({f.claim.id: f for f in register(base + decoupled + more)} for more in ([], others))
    assert alone["R1"].verdict == among["R1"].verdict == "HOLDS" and 0.0125 < _error_of(alone["R1"]) < 0.05
    assert alone["R1"].firm and not among["R1"].firm
    assert not any(f.firm for f in among.values() if f.verdict == "INCONCLUSIVE")


def drawn(arm, seed, *maps, **also):
    return {**record(arm, seed, maps[0]), "metrics": {"map": maps[0], "resampled": {"map": list(maps)}, **also}}


def test_the_interval_over_images_pairs_the_draws_and_averages_over_seeds_first():
    def over(*some):
        return judge(HALF, some).over_images

    assert over(drawn("a", 0, 0.2, 0.4), drawn("b", 0, 0.1, 0.2)) == pytest.approx((2, 2)), "the same draw for both arms"
    turned = (drawn("a", 0, 0.2, 0.4), drawn("b", 0, 0.1, 0.1), drawn("a", 1, 0.4, 0.2), drawn("b", 1, 0.1, 0.1))
    assert over(*turned) == pytest.approx((3, 3)), "2 and 4, 4 and 2"
    ruler = (drawn("a", 0, *np.arange(41.0)), drawn("b", 0, *np.ones(41)))
    assert over(*ruler) == pytest.approx((1, 39)), "the middle 95 % of 0 to 40"
    assert over(*records(0.8, 0.8, 0.8)) is None, "records without draws"
    assert over(drawn("a", 0, 0.2, math.nan), drawn("b", 0, 0.1, 0.2)) is None
    assert over() is None


def test_an_effect_of_other_figures_than_map_has_no_interval_over_images():
    of_recall = Claim(**{**vars(HALF), "effect": lambda a, b: a["recall"] - b["recall"]})
    finding = judge(of_recall, [drawn("a", 0, 0.2, 0.4, recall=0.5), drawn("b", 0, 0.1, 0.2, recall=0.3)])
    assert finding.effect == pytest.approx(0.2) and finding.over_images is None


STORED = {profile: [run.record for run in evidence.stored(profile)] for profile in committed.JUDGED}
DECIDED = [(profile, f.claim.id) for profile in STORED for f in evidence.findings(profile) if f.verdict != "INCONCLUSIVE"]


@pytest.mark.parametrize(("profile", "claim_id"), DECIDED)
def test_a_committed_verdict_turns_inconclusive_when_a_seed_is_taken_away(profile, claim_id):
    claim = next(c for c in CLAIMS if c.id == claim_id)
    arm = claim.arms[-1]
    seeds = {r["config"]["seed"] for r in STORED[profile] if (r["config"]["experiment"], r["config"]["arm"]) == arm}
    kept = [
        r
        for r in STORED[profile]
        if (r["config"]["experiment"], r["config"]["arm"]) != arm or r["config"]["seed"] in sorted(seeds)[: MIN_SEEDS - 1]
    ]
    assert judge(claim, kept, experiments.profile_of(profile).data[0]).verdict == "INCONCLUSIVE"


@pytest.mark.parametrize(("profile", "claim_id"), DECIDED)
def test_a_committed_verdict_follows_its_effect_and_nothing_else(profile, claim_id):
    """The same records under a threshold on the other side of the interval: the verdict flips."""
    claim = next(c for c in CLAIMS if c.id == claim_id)
    data = experiments.profile_of(profile).data[0]
    finding = judge(claim, STORED[profile], data)
    low, high = finding.interval
    beyond = high + 1 if low > claim.threshold else low - 1
    flipped = judge(Claim(**{**vars(claim), "threshold": beyond, "upper": None}), STORED[profile], data).verdict
    straight = judge(Claim(**{**vars(claim), "upper": None}), STORED[profile], data).verdict
    assert {flipped, straight} == {"HOLDS", "FAILS"}


@pytest.mark.parametrize("profile", committed.JUDGED)
def test_anybody_can_recompute_two_verdicts_from_the_records_in_a_dozen_lines(profile):
    """C1, recall below 0.5, and C2c, a ratio of mAPs below 0.5, by json, numpy and Student's quantile alone."""
    found = {f.claim.id: f for f in evidence.findings(profile)}
    of = {f.parent.name: json.loads(f.read_text())["metrics"] for f in (committed.FOLDER / profile).glob("*/record.json")}
    recall = {s: of.get(f"baseline-compressed-{s}", {}).get("cuts", {}).get("0.05", {}).get("recall") for s in range(20)}
    maps = {s: [of.get(f"focal-{arm}-{s}", {}).get("map") for arm in ("focal", "mse")] for s in range(20)}
    ratio = {s: None if None in pair else pair[0] / pair[1] for s, pair in maps.items()}
    for name, effects in {"C1": recall, "C2c": ratio}.items():
        fresh = [effects[s] for s in range(10, 20)]
        used = fresh if None not in fresh else [effects[s] for s in range(5) if effects[s] is not None]
        assert len(found[name].seeds) == len(used)
        if len(used) > 1:
            error = 0.028 if len(used) in (4, 5) else 0.05
            half = stats.t.ppf(1 - error / 2, len(used) - 1) * np.std(used, ddof=1) / np.sqrt(len(used))
            assert found[name].effect == pytest.approx(np.mean(used))
            assert found[name].interval == pytest.approx((np.mean(used) - half, np.mean(used) + half))
        if len(used) >= 3:
            verdict = "HOLDS" if np.mean(used) + half < 0.5 else "FAILS" if np.mean(used) - half > 0.5 else "INCONCLUSIVE"
            assert found[name].verdict == verdict


def test_what_the_register_quotes_of_the_planner_is_what_it_says_today(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    from planned import planned

    stored = json.loads((ROOT / "records/planned.json").read_text())
    assert stored["heads_gib"] == pytest.approx(planned()["heads_gib"], abs=1e-6)
