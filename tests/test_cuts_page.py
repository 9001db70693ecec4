"""The score cut to drag on the baseline's page: its table counts what the records hold, and a slider reads it off, offline."""

import json

import pytest
from axe import violations
from lone_page import lone_page
from visit import FAULTS, WIDTHS, watch, window

from trial.figures import cuts
from trial.register import committed
from yolo_core.training.records import read_run

RUNS = {f"{arm}": [read_run(committed.place("pocket", "focal", arm, seed)) for seed in (0, 1)] for arm in ("mse", "focal")}


def test_bins_of_score_and_cuts_of_one_record_count_the_same_detections():
    for run in (run for runs in RUNS.values() for run in runs):
        found = cuts._counts(run.metrics)
        assert [float(cut) for cut in found] == [0.001, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
        for cut, counts in run.metrics["cuts"].items():
            number, true, recall = found[cut]
            assert number * run.metrics["images"] == pytest.approx(counts["true"] + counts["false"])
            assert recall == pytest.approx(counts["recall"]) and true == pytest.approx(counts["precision"] if counts["true"] else 0)


def test_a_row_is_the_mean_over_seeds_and_an_arm_that_has_not_run_has_none():
    one, other = (cuts._counts(run.metrics)["0.1"] for run in RUNS["mse"])
    assert cuts.kept(RUNS["mse"])["0.1"] == pytest.approx([(a + b) / 2 for a, b in zip(one, other, strict=True)], abs=1e-4)
    assert cuts.html({"mse": RUNS["mse"], "gone": []}).count("<tr>") == 2
    assert "has run yet" in cuts.html({"gone": []})


@pytest.mark.browser
@pytest.mark.parametrize("width", WIDTHS)
def test_a_key_moves_the_cut_and_what_is_kept_is_read_off(browser, tmp_path, width):
    file = lone_page(tmp_path, "Cuts", cuts.html(RUNS))
    tables = [cuts.kept(runs) for runs in RUNS.values()]
    steps = list(tables[0])
    with window(width) as page:
        said = watch(page, "")
        page.goto(file.as_uri(), wait_until="load")
        page.keyboard.press("Tab")
        for key, cut in ((None, cuts.AT), ("ArrowLeft", "0.3"), ("Home", steps[0]), ("End", steps[-1])):
            if key:
                page.keyboard.press(key)
            assert page.locator("#cuts-value").inner_text() == cut == page.locator("#cuts-cut").get_attribute("aria-valuetext")
            for row, table in zip(page.locator("#cuts tbody tr").all(), tables, strict=True):
                boxes, true, found = table[cut]
                told = [float(text.removesuffix(" %")) for text in row.locator("td").all_inner_texts()]
                assert told == pytest.approx([boxes, 100 * true, 100 * found], abs=0.051)
        assert json.loads(page.locator("#cuts").get_attribute("data-steps")) == steps
        assert said + page.evaluate(FAULTS) + violations(page, whole=True) == []
