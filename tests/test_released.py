"""The published figures beside ours: the table's own arithmetic, and that its arms are the public code's."""

from pathlib import Path

from trial.register import released
from trial.register.claims import CLAIMS
from yolo_core import experiments
from yolo_core.training.records import Run


def run(arm, seed, as_released, by_rule):
    config = experiments.resolve(*arm, "pocket", seed).to_dict()
    return Run(Path("run"), {"config": config, "metrics": {"map_as_released": as_released, "map": by_rule}})


def test_a_row_holds_the_published_figure_and_means_over_seeds_of_each_data_set_scored_both_ways():
    emoji = [run(("baseline", "released"), seed, 0.001 * seed, 0.01) for seed in (1, 2, 3)]
    rows = released.table({"EmojiVOC": emoji, "photographs": []}).splitlines()
    assert rows[0].count("as released") == rows[0].count("by VOC's rule") == 2 and len(rows) == 6
    assert rows[2] == "| Exp 1, from scratch | 0.0049 | 0.0020 (n = 3) | 0.0100 (n = 3) | not run yet | not run yet |"
    assert rows[3].startswith("| Exp 2, focal | 0.0000 | not run yet")


def test_its_arms_are_those_of_the_claim_on_the_published_order_and_hold_the_public_codes_options():
    (p1,) = (claim for claim in CLAIMS if claim.id == "P1")
    assert {arm for _, arm in released.PUBLISHED.values()} == set(p1.arms)
    for _, arm in released.PUBLISHED.values():
        config = experiments.resolve(*arm, "pocket")
        options = {name: getattr(config, name) for name in experiments.RELEASED if name != "lr"}
        assert options == {name: value for name, value in experiments.RELEASED.items() if name != "lr"}
    frozen, tuned = (experiments.resolve(*released.PUBLISHED[name][1], "pocket") for name in ("Exp 3, frozen", "Exp 4, fine-tuned"))
    assert frozen.freeze_weights and frozen.batchnorm == "train", "frozen weights, moving statistics"
    assert not tuned.freeze_weights and tuned.lr == 1e-5 and tuned.backbone_lr is None and tuned.start is None


def test_the_published_order_is_read_off_the_least_of_its_three_steps():
    (p1,) = (claim for claim in CLAIMS if claim.id == "P1")
    figures = {arm: {"map_as_released": published} for published, arm in released.PUBLISHED.values()}
    assert abs(p1.effect(*(figures[arm] for arm in p1.arms)) - 0.0049) < 1e-9  # Exp 1 less Exp 2
    figures["transfer", "released"]["map_as_released"] = 0.02  # below Exp 4
    assert p1.effect(*(figures[arm] for arm in p1.arms)) < 0
