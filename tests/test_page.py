"""What every page shares: the runs of both data sets, their means in words, and photographs only where they may be shown."""

import evidence
import numpy as np
import pandas as pd
import pytest
from helpers_voc import image, split_file, write_tree

from trial import page as page_module
from trial.figures import conclusions, figures
from trial.page import Page
from trial.register import committed
from trial.register.comparisons import by_arm
from voc_tree.photographs import Photograph
from voc_tree.tree import Split
from yolo_core import experiments
from yolo_core.training.records import Run

EXP_3 = ("focal", "mse")


def stored(tmp_path, profile: str, values: dict[int, float]) -> list[Run]:
    runs = []
    for seed, value in values.items():
        folder = tmp_path / f"{profile}-{seed}"
        folder.mkdir()
        columns = {"image": [0, 0, 2], "xmin": 0.1, "ymin": 0.1, "xmax": 0.6, "ymax": 0.6, "score": [0.9, 0.1, 0.3], "label": [3, 4, 5]}
        pd.DataFrame(columns).to_parquet(folder / "detections.parquet")
        runs.append(Run(folder, {"config": experiments.resolve(*EXP_3, profile, seed).to_dict(), "metrics": {"map": value}}))
    return runs


@pytest.fixture
def made(tmp_path, monkeypatch):
    runs = {"pocket": stored(tmp_path, "pocket", {0: 0.1, 1: 0.3}), "photographs": stored(tmp_path, "photographs", {0: 0.5})}
    monkeypatch.setattr(committed, "stored", runs.get)
    return runs


def test_means_are_told_for_each_data_set_with_how_many_seeds_they_are_of(made):
    page = Page("focal", "pocket")
    assert page.mean(EXP_3) == {"emoji": "0.200 (n = 2)", "photographs": "0.500 (n = 1)"}
    assert page.mean(("focal", "focal")) == {"emoji": "not run yet", "photographs": "not run yet"}
    assert page.ratio(EXP_3, EXP_3) == {"emoji": "1.00 (n = 2)", "photographs": "1.00 (n = 1)"}


def test_fresh_runs_compare_with_the_records_of_their_own_data_set(made):
    assert Page("focal", "pocket").stored is made["pocket"] and Page("focal", "smoke").stored is made["pocket"]
    assert Page("focal", "photographs").stored is made["photographs"]


def test_the_words_say_whether_photographs_have_been_run(made, monkeypatch):
    assert "squares: photographs" in Page("focal", "pocket").words["dots"]
    monkeypatch.setattr(committed, "stored", {"pocket": made["pocket"], "photographs": []}.get)
    assert "photographs are not run yet" in Page("focal", "pocket").words["dots"]


@pytest.mark.parametrize("allowed", [True, False])
def test_photographs_are_shown_from_the_readers_disk_and_not_where_they_are_forbidden(made, tmp_path, monkeypatch, allowed):
    root, shown = write_tree(tmp_path / "tree", train=2, val=3), []
    monkeypatch.setattr(page_module, "data_folder", lambda _: root)
    monkeypatch.setattr(page_module, "listed", lambda: [Photograph(name, "", "val") for name in Split(root, "val").ids])
    monkeypatch.setattr(figures, "show", lambda figure, about: shown.append(figure))
    monkeypatch.setenv("YOLO_SHOW_PHOTOGRAPHS", "1" if allowed else "0")
    Page("remedies", "smoke").photographs({"Exp 3": EXP_3}, "what it shows", count=3)
    assert len(shown) == allowed and not list(root.rglob("*.npy")), "the pictures that are shown are read, and no others"
    if allowed:
        titles = [axes.get_title(loc="left") for axes in shown[0].axes]
        assert titles[:2] == ["annotated", "Exp 3"] and len(shown[0].axes) == 6
        drawn = [text.get_text() for axes in shown[0].axes[1::2] for text in axes.texts]
        assert drawn == ["boat 0.90", "bus 0.30"], "score 0.2 or more, on the picture they were found in"


@pytest.mark.parametrize("fault", ["other pictures", "fewer", "no val", "an empty one"])
def test_photographs_that_the_runs_have_not_seen_or_that_cannot_be_read_stop_no_page(made, tmp_path, monkeypatch, capsys, fault):
    root = write_tree(tmp_path / "tree", train=2, val=3)
    names = Split(root, "val").ids
    seen = ["another", *names] if fault == "other pictures" else [*names, "more"] if fault == "fewer" else names
    if fault == "no val":
        split_file(root, "val").unlink()
    if fault == "an empty one":
        image(root, names[0]).write_bytes(b"")
    monkeypatch.setattr(page_module, "data_folder", lambda _: root)
    monkeypatch.setattr(page_module, "listed", lambda: [Photograph(name, "", "val") for name in seen])
    monkeypatch.setattr(figures, "show", lambda *_: pytest.fail("shown"))
    monkeypatch.setenv("YOLO_SHOW_PHOTOGRAPHS", "1")
    Page("remedies", "smoke").photographs({"Exp 3": EXP_3}, "what it shows", count=4 if fault == "fewer" else 3)
    assert capsys.readouterr().out.startswith("no photographs here: ")


@pytest.mark.parametrize(
    ("profile", "own"), [("smoke", "EmojiVOC"), ("pocket", "EmojiVOC"), ("long", "photographs"), ("rtx2060", "photographs")]
)
def test_a_page_s_own_runs_stand_among_those_of_the_pictures_that_they_are_of(made, profile, own):
    assert Page("focal", profile).own == own


def test_below_the_dots_stand_the_arms_with_the_highest_and_the_lowest_mean():
    arms = {"one": ("focal", "mse"), "two": ("focal", "focal"), "three": ("focal", "none")}
    stored = evidence.stored("pocket")
    said = conclusions.extremes(arms, {"EmojiVOC": stored, "photographs": []}, {"mAP": lambda m: m["map"]})
    means = {name: np.mean([r.metrics["map"] for r in by_arm(stored)[arm]]) for name, arm in arms.items() if arm in by_arm(stored)}
    most, least = max(means, key=means.get), min(means, key=means.get)
    assert said == (
        f"**mAP**, averaged over seeds: on EmojiVOC highest for *{most}* ({means[most]:.3g}), lowest for *{least}* ({means[least]:.3g})."
    )
    assert conclusions.extremes({"one": arms["one"]}, {"EmojiVOC": stored}, {"mAP": lambda m: m["map"]}) == ""


def test_the_largest_step_of_a_road_passes_over_what_has_not_run():
    assert conclusions.largest_step({"a": [0.1], "b": [], "c": [0.2, 0.4], "d": [0.35]}) == "The largest step is that to *c*: +0.200."
    assert conclusions.largest_step({"a": [0.1], "b": []}) == "Fewer than two of these detectors have run."


def test_overconfidence_is_the_mean_score_less_the_share_that_is_true():
    runs = by_arm(evidence.stored("pocket"))["focal", "mse"][:2]
    found = [run.metrics["reliability"] for run in runs]
    score, true, count = (sum(map(np.sum, (f[key] for f in found))) for key in ("score_sum", "true", "detections"))
    assert conclusions.overconfidence(runs) == f"{score / count - true / count:+.2f}"
    assert "want of detections" in conclusions.overconfidence([])
