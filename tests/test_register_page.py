"""The register in words: one form for one data set and for two, and sentences over all of it that are counted, not typed."""

import math
import re
from dataclasses import replace
from pathlib import Path

import evidence
import pytest

from trial.figures import figures
from trial.register import committed, register_cards, register_page
from trial.register.claims import CLAIMS
from trial.register.measures import MEASURES, against, bar
from trial.register.register_cards import FOUR, cards, four
from trial.register.register_page import agreement, answer, by_claim, counts, listed, markdown, own, plain, progress, summary, tally, told
from trial.register.verdicts import judge, register

ROOT = Path(__file__).resolve().parents[1]
PHOTOGRAPHS = "photographs (of three sets)"
NOTHING = [*register([]), *register([], PHOTOGRAPHS)]


def records(arm, *maps, first=0):
    return [{"config": {"experiment": "remedies", "arm": arm, "seed": seed}, "metrics": {"map": m}} for seed, m in enumerate(maps, first)]


BASE = records("base", 0.1, 0.1, 0.1)
UP, DOWN = records("decoupled", 0.2, 0.21, 0.19), records("decoupled", 0.05, 0.051, 0.049)
R1 = next(c for c in CLAIMS if c.id == "R1")


def both(emoji, photographs):
    return [*register(BASE + emoji), *register(BASE + photographs, PHOTOGRAPHS)]


def test_every_sentence_has_one_row_one_card_and_one_summary_with_all_answers():
    for findings in (register([]), NOTHING, both(UP, DOWN)):
        sets = len(findings) // len(CLAIMS)
        rows = markdown(findings).splitlines()[2:]
        assert [re.match(r"\| \[(\w+)\]", row)[1] for row in rows] == [c.id for c in CLAIMS]
        assert {row.count(" | ") for row in rows} == {2 + sets}
        assert cards(findings).count("What would change our mind") == len(CLAIMS)
        assert set(summary(findings)) == {c.id for c in CLAIMS}


def test_both_verdicts_stand_side_by_side():
    found = both(UP, DOWN)
    row = next(line for line in markdown(found).splitlines() if line.startswith("| [R1]"))
    holds, fails = row.split(" | ")[-2:]
    assert holds.startswith("[HOLDS]{.verdict-holds}, firm: 2 (") and fails.startswith("[FAILS]{.verdict-fails}, firm: 0.5 (")
    card = card_of("R1", found)
    assert 'data-group="YOLOv8&#x27;s ideas" data-whose="write-up" data-verdicts="HOLDS FAILS"' in card
    assert '<dt>EmojiVOC</dt><dd><span class="verdict-holds">HOLDS</span> 2 (' in card
    assert '<dt>photographs</dt><dd><span class="verdict-fails">FAILS</span> 0.5 (' in card
    said = summary(found)["R1"]
    assert said["verdict"] == "[HOLDS]{.verdict-holds}" and said["photographs"].startswith("[FAILS]")
    assert re.fullmatch(r"EmojiVOC \[HOLDS\].*; photographs \[FAILS\].*", said["both"])


def card_of(name, findings):
    return next(card for card in cards(findings).split("</section>") if f'id="{name}"' in card)


def test_a_card_says_what_was_measured_the_bar_and_the_distance_to_it():
    card = card_of("R1", both(UP, DOWN))
    assert "Measured: mAP, as a multiple of the base&#x27;s. Claimed: above 1.1." in card
    assert "cleared by 0.9, 3 seeds" in card and "missed by 0.6, 3 seeds" in card
    assert "<details><summary>Prediction" in card and "- *Predicted before the runs:* at one stride" in card


def test_every_claim_says_what_its_effect_measures():
    assert list(MEASURES) == [c.id for c in CLAIMS]


def test_the_distance_to_a_bar_is_counted_from_the_claimed_side_and_from_the_nearer_end_of_a_range():
    at = {c.id: replace(judge(c, []), effect=0.3) for c in CLAIMS}
    assert (bar(at["C2a"].claim), against(at["C2a"])) == ("below 0.1", "bar below 0.1, missed by 0.2")
    assert against(at["C1a"]) == "bar above 0.1, cleared by 0.2"
    assert against(replace(at["C3a"], effect=13.0)) == "bar 3.5 to 14, cleared by 1"
    assert against(replace(at["C3a"], effect=15.0)) == "bar 3.5 to 14, missed by 1"
    assert against(replace(at["C3a"], effect=math.nan)) == "bar 3.5 to 14"


def test_each_experiment_of_the_front_page_has_a_figure_a_verdict_and_its_meaning_for_every_data_set():
    one = next(e for e in FOUR if e.id == "C2c")
    maps = [
        {"config": {"experiment": "focal", "arm": a, "seed": s}, "metrics": {"map": m}}
        for a, m in (("mse", 0.4), ("focal", 0.1))
        for s in range(3)
    ]
    fails = [r | {"metrics": {"map": 0.4}} for r in maps]
    found = [*register(maps), *register(fails, PHOTOGRAPHS)]
    card = next(part for part in four(found).split("</section>") if 'data-claim="C2c"' in part)
    emoji, photographs = card.split("<dt>")[1:]
    assert ">0.25<" in emoji and "HOLDS" in emoji and one.means["HOLDS"] in emoji
    assert ">1<" in photographs and "FAILS" in photographs and one.means["FAILS"] in photographs
    assert four(NOTHING).count("not run") == 2 * len(FOUR) and four(NOTHING).count("<section") == 4


def test_how_long_the_trainings_were_is_counted():
    assert register_cards.length({"EmojiVOC": [900, 1200, 900], "photographs": []}) == "900 to 1,200 on EmojiVOC"
    assert register_cards.length({"EmojiVOC": [900], "photographs": [2]}) == "900 on EmojiVOC and 2 on photographs"


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_register_for_a_terminal_is_aligned_and_keeps_within_its_width(width):
    text = plain(both(UP, DOWN), width)
    assert max(map(len, text.splitlines())) <= width and not re.search(r"[\[\]{}|*]|verdict-", text)
    block = next(b for b in text.split("\n\n") if b.startswith("R1    A decoupled head helps (write-up)"))
    assert all(line.startswith("      ") for line in block.splitlines()[1:])
    said = " ".join(block.split())
    assert (
        "EmojiVOC: HOLDS, firm: 2 (1.75 to 2.25), 3 seeds; bar above 1.1, cleared by 0.9" in said
        and "photographs: FAILS, firm: 0.5" in said
    )
    assert "EmojiVOC:" not in plain(register(BASE + UP), width)  # one data set need not be named


def test_a_reader_s_own_runs_are_listed_where_there_are_any():
    assert own(register([])) == "No sentence has a run in each of its arms here."
    rows = own(register(BASE[:1] + UP[:1])).splitlines()[2:]
    assert len(rows) == 1 and rows[0].startswith("| [R1](/") and "cleared by 0.9 | 1 | [INCONCLUSIVE]" in rows[0]


def test_a_table_of_a_notebook_holds_both_answers_too():
    html = figures.claims_table(both(UP, DOWN)).data
    row = next(row for row in html.split("<tr>") if "<td>R1</td>" in row)
    assert re.search('verdict-holds">HOLDS</span>, firm: 2 .*verdict-fails">FAILS</span>, firm: 0.5 ', row, re.DOTALL)


def test_a_sentence_that_is_not_run_says_so_on_each_data_set():
    assert {answer(f) for f in NOTHING if f.claim.arms} == {"not run"}
    assert markdown(NOTHING).count("not run") == 2 * sum(bool(c.arms) for c in CLAIMS)
    assert card_of("C1", NOTHING).count("not run") == 2 and 'data-verdicts="NOT-RUN"' in card_of("C1", NOTHING)
    assert 'data-verdicts="INCONCLUSIVE"' in card_of("H2", NOTHING)


def test_an_answer_says_seeds_firmness_level_and_the_interval_over_pictures():
    one = judge(R1, records("base", 0.1) + records("decoupled", 0.2))
    assert answer(one) == "[INCONCLUSIVE]{.verdict-inconclusive}: 2, 1 seed; bar above 1.1, cleared by 0.9"
    once = judge(R1, BASE + UP)
    assert answer(once).startswith("[HOLDS]{.verdict-holds}, not firm: 2 (1.75 to 2.25), 3 seeds")
    again = judge(R1, records("base", *5 * [0.1]) + records("decoupled", 0.2, 0.21, 0.19, 0.2, 0.2))
    assert re.fullmatch(r"2 \([\d.]+ to [\d.]+ at 97\.2 %\)", told(again))
    assert answer(replace(once, over_images=(1.5, 2.5), firm=True)).endswith(
        "3 seeds; bar above 1.1, cleared by 0.9; over val pictures 1.5 to 2.5"
    )
    assert ", firm: " in answer(replace(once, firm=True))


def test_where_nothing_is_run_there_is_nothing_to_compare():
    assert agreement(both(UP, [])[: len(CLAIMS)] + register([], PHOTOGRAPHS)) == (
        "On photographs nothing has been run yet, so that there is nothing to compare."
    )


def test_the_sentences_on_which_the_two_part_are_counted_and_named():
    assert agreement(both(UP, UP)) == "EmojiVOC and photographs both decide 1 sentence, and agree on all of them."
    said = agreement(both(UP, DOWN))
    assert said.startswith("EmojiVOC and photographs both decide 1 sentence, and agree on 0 of them. They differ on 1: [R1](/")
    assert said.endswith("[HOLDS]{.verdict-holds} on EmojiVOC, [FAILS]{.verdict-fails} on photographs.")
    wide = records("decoupled", 0.2, 0.1, 0.11)
    assert agreement(both(UP, wide)) == "There is no sentence yet that EmojiVOC and photographs both decide."


def test_every_sentence_is_counted_once_by_data_set():
    found = both(UP, DOWN)
    assert counts(found) == (
        f"Of {len(CLAIMS)} sentences on trial, on EmojiVOC 1 hold, 0 fail and {len(CLAIMS) - 1} are not decided; "
        f"on photographs 0 hold, 1 fail and {len(CLAIMS) - 1} are not decided."
    )
    assert "on photographs nothing has been run yet" in counts(NOTHING)
    rows = [line.strip("| ").split(" | ") for line in tally(found).splitlines()[2:]]
    assert sum(int(cell) for row in rows for cell in row[2:]) == len(found)
    assert ["write-up", "EmojiVOC", "1", "0"] in [row[:4] for row in rows]
    assert ["write-up", "photographs", "0", "1"] in [row[:4] for row in rows]


def test_how_far_a_data_set_has_been_run_is_told():
    asked = sum(bool(c.arms) for c in CLAIMS)
    assert progress(register([])) == "not run yet"
    assert progress(register(BASE + UP)) == f"run so far: 1 of {asked} sentences have their seeds"
    assert progress(register(BASE[:2] + UP[:2])) == f"run so far: 0 of {asked} sentences have their seeds"
    assert progress([f for f in register(BASE + UP) if f.claim.id in ("R1", "H2")]) == "run"


def test_what_a_second_look_no_longer_decides_is_listed():
    """A ratio of 1.1 and a t of 3 away from it: between the quantiles of four degrees of freedom at 95 % and 97.2 %."""
    z = [-2, -1, 0, 1, 2]
    ratios = [1.1 + 0.01 * (3 / math.sqrt(5) + v / math.sqrt(2.5)) for v in z]
    found = register(records("base", *5 * [0.1]) + records("decoupled", *(0.1 * r for r in ratios)))
    assert next(f for f in found if f.claim.id == "R1").verdict == "INCONCLUSIVE"
    numbers = register_page.numbers(found, register([]), {"EmojiVOC": 10})
    assert numbers["second_look"] == "EmojiVOC: R1 INCONCLUSIVE" and numbers["was_decided"] == "EmojiVOC: R1"
    assert numbers["waiting"] == numbers["decided_before"] == "EmojiVOC: none"


def test_what_the_first_seeds_had_decided_before_a_second_look_is_listed():
    found = register(records("base", *5 * [0.1]) + records("decoupled", 0.2, 0.21, 0.19, 0.2, 0.2))
    assert listed(found, register_page._decided_before, verdict=True) == "EmojiVOC: R1 HOLDS"
    assert listed(register(BASE + UP), register_page._decided_before) == "EmojiVOC: none"  # judged once


def test_a_verdict_that_logarithms_would_turn_is_listed():
    """Ratios of 8, 9 and 30 to 1.1: the interval of their logarithms lies above it, that of the ratios themselves holds it."""
    wide = register(BASE + records("decoupled", 0.8, 0.9, 3.0))
    assert next(f for f in wide if f.claim.id == "R1").verdict == "INCONCLUSIVE"
    assert listed(wide, register_page._turns_on_logs) == "EmojiVOC: R1"
    assert listed(register(BASE + UP), register_page._turns_on_logs) == "EmojiVOC: none"
    few = [replace(f, claim=replace(f.claim, known="EmojiVOC", fresh=10)) for f in wide]
    assert listed(few, register_page._turns_on_logs) == "EmojiVOC: none", "too few seeds to decide, logarithms or not"


def test_the_pictures_say_where_they_alone_would_leave_a_verdict_open():
    holds = next(f for f in register(BASE + UP) if f.claim.id == "R1")
    assert register_page.images([holds]) == "No stored record holds such draws yet."
    narrow, wide = replace(holds, over_images=(1.95, 2.05)), replace(holds, over_images=(1.0, 3.0))
    assert register_page.images([narrow]).startswith("Of 1 effect with both intervals the one over pictures is the wider in 0.")
    assert register_page.images([narrow]).endswith("holds the threshold: EmojiVOC: none.")
    assert "is the wider in 1." in register_page.images([wide]) and register_page.images([wide]).endswith("EmojiVOC: R1.")


def test_what_the_pages_name_of_the_register_is_there():
    found = [finding for profile in committed.JUDGED for finding in evidence.findings(profile)]
    there = {
        "claims": register_page.numbers(found, register([]), {}) | {"forest": "", "released": "", "cards": "", "four": "", "length": ""},
        "verdicts": summary(found),
    }
    pages = [*(ROOT / "book").glob("*.md"), *(ROOT / "notebooks").glob("*.ipynb")]
    named = {name for page in pages for name in re.findall(r"\{\{ ((?:claims|verdicts)\.[\w.]+) \}\}", page.read_text())}
    assert len(named) > 50
    for name in sorted(named):
        value = there
        for part in name.split("."):
            assert part in value, name
            value = value[part]
        assert isinstance(value, str), name


@pytest.mark.parametrize("findings", [NOTHING, both(UP, DOWN)], ids=["nothing", "one"])
def test_findings_are_grouped_by_sentence_in_the_order_of_the_sheet(findings):
    assert [[f.claim.id for f in same] for same in by_claim(findings)] == [[c.id, c.id] for c in CLAIMS]


def test_a_verdict_has_its_colour_in_a_terminal_and_nothing_else_has_any():
    text = "C1 FAILS, R1 HOLDS, and UPHOLDS is a word"
    assert register_page.coloured(text) == "C1 \x1b[31mFAILS\x1b[0m, R1 \x1b[32mHOLDS\x1b[0m, and UPHOLDS is a word"
