"""Contestants: all are timed in each repeat, and a ratio is what its recorded times say."""

import sys

import pytest

from bench import contest
from bench.contest import Growth, Row
from groundwork.errors import InputError


def test_every_repeat_times_all_contestants_one_after_another_after_a_round_that_is_not_timed():
    calls = []
    answers, times = contest.contest({name: (lambda name=name: calls.append(name) or name.upper()) for name in "abc"}, repeats=2)
    assert "".join(calls) == "abc" * 3
    assert answers == {"a": "A", "b": "B", "c": "C"}
    assert {name: len(spent) for name, spent in times.items()} == {"a": 2, "b": 2, "c": 2}


@pytest.fixture
def takes(monkeypatch):
    """Work of so many seconds, by a clock that nothing else moves."""
    now = [0.0]
    monkeypatch.setattr(contest.time, "perf_counter", lambda: now[0])
    return lambda seconds: lambda: now.__setitem__(0, now[0] + seconds)


def test_a_time_is_that_of_the_contestant_alone(takes):
    _, times = contest.contest({"short": takes(1), "long": takes(16)}, repeats=2)
    assert times == {"short": [1, 1], "long": [16, 16]}


def test_a_ratio_is_the_median_over_the_repeats_and_its_interval_their_extremes():
    row = Row("AP", "by hand", "s", [1.0, 2.0, 4.0], [3.0, 4.0, 20.0])
    assert (row.ratios, row.ratio, row.interval) == ([3, 2, 5], 3, [2, 5])
    rate = Row("scenes", "by hand", "1/s", [90.0, 30.0, 120.0], [60, 60, 60], rate=True)
    assert (rate.ratio, rate.interval) == (1.5, [0.5, 2])


def test_a_row_is_read_back_from_its_times_whatever_ratio_was_written_beside_them():
    written = Row("AP", "by hand", "s", [1.0, 2.0], [3.0, 8.0]).to_dict()
    assert {key: written[key] for key in ("name", "ours", "theirs", "ratio", "interval", "unit")} == {
        "name": "by hand", "ours": 1.5, "theirs": 5.5, "ratio": 3.5, "interval": [3, 4], "unit": "s",
    }  # fmt: skip
    doctored = written | {"ratio": 99.0, "interval": [98.0, 100.0], "ours": 0.01}
    assert Row.from_dict(doctored) == Row("AP", "by hand", "s", [1.0, 2.0], [3.0, 8.0])
    assert Row.from_dict(doctored).ratio == 3.5


def test_a_power_law_gets_its_exponent_back_and_the_interval_holds_each_repeat_s():
    sizes = [10, 20, 40]
    growth = Growth("AP", "images", sizes, [[3e-4 * n**p for n in sizes] for p in (1.5, 2, 1)])
    assert growth.exponent == pytest.approx(1.5)
    assert growth.interval == pytest.approx([1, 2])
    assert Growth.from_dict(growth.to_dict() | {"exponent": 9.0}).exponent == pytest.approx(1.5)


def test_growth_times_every_size_in_each_repeat(takes):
    found = contest.grow("waiting", "s", {2: takes(2), 16: takes(16)}, repeats=3)
    assert (found.sizes, found.times) == ([2, 16], [[2, 16]] * 3)


def test_a_peer_that_is_not_installed_is_asked_for_in_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    with pytest.raises(InputError, match=r"faster-coco-eval is not installed; .*yolo-core\[test\]"):
        contest.peer_module("faster_coco_eval")
