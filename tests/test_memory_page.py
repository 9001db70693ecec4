"""The memory calculator: its table is the planner's, and what it says of every choice is the table's, by keyboard, offline."""

import re

import pytest
from axe import violations
from lone_page import lone_page
from visit import FAULTS, WIDTHS, watch, window

from trial.figures import calculator


@pytest.mark.parametrize(
    "combination", [("full", "adam", "32-true", 1), ("compressed", "sgd", "16-mixed", 4), ("conv", "adam", "16-mixed", 2)]
)
def test_the_committed_table_is_what_the_planner_predicts(combination):
    """`python -m trial.figures.calculator` makes it anew."""
    assert calculator.read()[calculator.key(*combination)] == calculator.predicted(*combination)


def test_the_table_holds_every_choice_and_no_other():
    assert list(calculator.read()) == [calculator.key(*combination) for combination in calculator.combinations()]


@pytest.mark.browser
@pytest.mark.parametrize("width", WIDTHS)
def test_every_choice_says_what_its_row_of_the_table_holds(browser, tmp_path, width):
    file = lone_page(tmp_path, "Memory", calculator.calculator().data)
    with window(width) as page:
        said = watch(page, "")
        page.goto(file.as_uri(), wait_until="load")
        sentence = page.locator("#memory-said")
        plain = re.sub(r"</?strong>", "", re.search(r'id="memory-said"[^>]*>(.*?)</p>', file.read_text())[1])
        assert sentence.inner_text() == plain, "the script says at first what stands there without it"
        for card, (combination, parts) in zip((4, 6, 8, 12) * 15, calculator.read().items(), strict=True):
            for name, value in zip(calculator.CHOICES, [*combination.split(), str(card)], strict=True):
                page.locator(f"#memory-{name}").select_option(value)
            told = calculator.told(parts, int(combination.split()[-1]), card)
            assert sentence.inner_text() == re.sub(r"</?strong>", "", told)
            assert [float(text) for text in page.locator("#memory-key strong").all_inner_texts()] == pytest.approx(
                [p / 1024 for p in parts], abs=6e-3
            )
        page.locator("#memory-head").focus()
        before = sentence.inner_text()
        page.keyboard.press("ArrowUp")
        assert sentence.inner_text() != before
        bar, room = page.locator("#memory-parts").bounding_box(), page.locator("#memory-room").bounding_box()
        assert bar["x"] <= room["x"] <= bar["x"] + bar["width"]
        assert said + page.evaluate(FAULTS) + violations(page, whole=True) == []
