"""A fresh run beside its reference band: inside, outside, or not to be compared."""

import dataclasses
import math

import evidence
import pandas as pd
import pytest

from trial.register import comparisons
from trial.register.replication import band_of
from yolo_core.training.config import RunConfig
from yolo_core.training.writing import write_run

CONFIG = RunConfig(experiment="e", arm="a", epochs=2)


def run_of(folder, config, value, scores=(0.1, 0.2, 0.3)):
    record = {"key": "k", "config": config.to_dict(), "metrics": {"map": value}}
    epochs = pd.DataFrame({"epoch": [0, 1], "map": [value / 2, value]})
    tables = {"epochs": epochs, "scores": pd.DataFrame({"score": scores})}
    return write_run(folder / f"{config.arm}-{config.seed}-{value}", record, tables, {})


@pytest.fixture
def stored(tmp_path):
    return [run_of(tmp_path / "stored", dataclasses.replace(CONFIG, seed=k), v) for k, v in enumerate((1.0, 2.0, 3.0))]


def band(fresh, stored):
    return band_of(fresh, stored, lambda m: m["map"], "mAP")[0]


def test_the_band_is_students_prediction_interval_by_hand(tmp_path, stored):
    """1, 2, 3: mean 2, deviation 1, half width 4.302653 * sqrt(1 + 1/3)."""
    found = band(run_of(tmp_path, CONFIG, 2.5), stored)
    half = 4.302653 * math.sqrt(4 / 3)
    assert (found.low, found.high) == pytest.approx((2 - half, 2 + half))
    assert found.inside is True and ": inside the prediction interval" in found.sentence and "3 reference runs" in found.sentence


def test_a_run_outside_the_band_is_said_to_be(tmp_path, stored):
    found = band(run_of(tmp_path, CONFIG, 9.0), stored)
    assert found.inside is False and "**outside**" in found.sentence


def test_a_run_of_another_profile_is_not_compared(tmp_path, stored):
    found = band(run_of(tmp_path, dataclasses.replace(CONFIG, epochs=3), 2.0), stored)
    assert found.inside is None and "do not compare" in found.sentence


@pytest.mark.parametrize("number", [0, 1])
def test_too_few_reference_runs_make_no_band(tmp_path, stored, number):
    found = band(run_of(tmp_path, CONFIG, 2.0), stored[:number])
    assert found.inside is None and f"there are {number} reference runs" in found.sentence


def test_runs_of_other_arms_do_not_widen_the_band(tmp_path, stored):
    other = [run_of(tmp_path / "other", dataclasses.replace(CONFIG, arm="b", seed=k), 100.0 + k) for k in range(3)]
    assert band(run_of(tmp_path, CONFIG, 2.0), stored + other) == band(run_of(tmp_path, CONFIG, 2.0), stored)


def test_rank_agreement_pairs_equal_seeds_across_and_all_pairs_within(tmp_path):
    one = [run_of(tmp_path / "one", dataclasses.replace(CONFIG, seed=k), 1.0, s) for k, s in enumerate([(1.0, 2.0, 3.0), (3.0, 2.0, 1.0)])]
    other = [run_of(tmp_path / "other", dataclasses.replace(CONFIG, arm="b", seed=k), 1.0, (1.0, 2.0, 3.0)) for k in (0, 1)]
    across, within = comparisons.rank_agreement(one, other)
    assert across == pytest.approx([1, -1]) and within == pytest.approx([-1])


def test_a_mean_is_told_with_how_many_runs_it_stands_on(stored):
    assert (
        comparisons.averaged([r.metrics["map"] for r in stored])
        == f"{sum(r.metrics['map'] for r in stored) / len(stored):.3f} (n = {len(stored)})"
    )
    assert comparisons.averaged([stored[0].metrics["map"]]).endswith("(n = 1)")
    assert comparisons.averaged([]) == "not run yet"


def test_every_row_of_a_dot_plot_is_drawn_run_or_not(tmp_path, stored):
    rows, values = {"ran": ("e", "a"), "waits": ("e", "b")}, {"mAP": lambda m: m["map"]}
    figure = comparisons.arm_dots(rows, {"emoji": stored, "photographs": []}, values, [stored[0]])
    texts = [t.get_text() for t in figure.axes[0].texts]
    assert texts == ["not run"]
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["ran", "waits"]
    dots = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert sorted(dots[0].get_xdata()) == [1.0, 2.0, 3.0]


def test_a_dot_plot_of_two_data_sets_has_a_line_and_a_mark_for_each(tmp_path, stored):
    other = [run_of(tmp_path / "other", dataclasses.replace(CONFIG, seed=seed), 4.0 + seed) for seed in range(2)]
    figure = comparisons.arm_dots(
        {"ran": ("e", "a")}, {"emoji": stored, "photographs": other}, {"mAP": lambda m: m["map"]}, other[:1], "photographs"
    )
    marks = {line.get_marker(): line for line in figure.axes[0].lines if line.get_marker() in "osD"}
    assert sorted(marks["o"].get_xdata()) == [1.0, 2.0, 3.0] and sorted(marks["s"].get_xdata()) == [4.0, 5.0]
    assert marks["o"].get_ydata()[0] < 0 < marks["s"].get_ydata()[0] == marks["D"].get_ydata()[0]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["emoji", "photographs"]


@pytest.mark.parametrize("profile", ["pocket", "photographs"])
def test_a_committed_run_that_is_read_stands_in_the_band_of_its_arm(profile):
    """`make read` draws it: the scenes of seed 0 are those of the other seeds, under whichever of their fingerprints."""
    runs = [run for run in evidence.stored(profile) if run.metrics]
    for read in (run for run in runs if run.config.seed == 0):
        band, same = band_of(read, runs, lambda metrics: metrics["map"], "mAP")
        assert band.comparable and len(same) == sum(
            (run.config.experiment, run.config.arm) == (read.config.experiment, read.config.arm) for run in runs
        )
