"""The bench: its rows, that the peers do the same work, how much of it ours leaves out; the record it leaves, its page."""

import json
import math
import re
import sys
from pathlib import Path

import pytest
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from bench import bench, bench_ap, bench_figures, bench_record, bench_training
from bench.bench_record import Record
from bench.contest import Growth, Row
from groundwork.errors import InputError
from voc_tree import picture
from yolo_core.__main__ import main
from yolo_core.detector import metrics
from yolo_core.detector.metrics import voc_ap
from yolo_core.experiments import resolve
from yolo_core.training.config import RunConfig

ROOT = Path(__file__).resolve().parents[1]


def test_the_peers_agree_with_each_other_and_nearly_with_us():
    """COCO samples 101 recalls and may give a detection to its second-best object: the third digit may differ, not the second."""
    predictions, targets = bench_ap.crowd(300)
    ours = voc_ap(predictions, targets).map
    fast, slow, torchmetrics = (bench_ap.peer(name, predictions, targets)() for name in (*bench_ap.PEERS, "torchmetrics"))
    assert 0.2 < ours < 0.8
    assert fast == pytest.approx(slow, abs=1e-9)
    assert torchmetrics == pytest.approx(slow, abs=1e-3), "its 101 recalls are rounded to single precision"
    assert fast == pytest.approx(ours, abs=0.01)


def test_a_peer_of_another_opinion_is_not_timed(monkeypatch):
    monkeypatch.setattr(bench_ap, "peer", lambda *_: lambda: 0.99)
    with pytest.raises(AssertionError, match="AP differs"):
        bench_ap.average_precision(images=20, repeats=1, beside=["pycocotools"])


def test_the_crowd_is_of_the_size_of_voc_2012_and_the_same_each_time():
    predictions, targets = bench_ap.crowd(1000)
    assert sum(len(t["labels"]) for t in targets) / 1000 == pytest.approx(2.7, abs=0.15)
    assert {len(p["labels"]) for p in predictions} == {30}
    again, _ = bench_ap.crowd(1000)
    assert all(a["boxes"].equal(b["boxes"]) for a, b in zip(predictions, again, strict=True))
    assert all((p["boxes"][:, 2:] > p["boxes"][:, :2]).all() for p in predictions)


def test_a_crowd_has_the_objects_and_classes_it_is_asked_for():
    _, targets = bench_ap.crowd(300, objects=10, classes=80)
    assert sum(len(t["labels"]) for t in targets) / 300 == pytest.approx(10, rel=0.1)
    assert 20 < max(int(t["labels"].max()) for t in targets) < 80


def test_rows_of_ap_are_finite_and_the_axes_of_growth_three():
    rows = bench_ap.average_precision(images=50, repeats=2)
    assert ["faster-coco-eval" in rows[0].name, "pycocotools" in rows[1].name] == [True, True]
    for row in rows:
        assert {"name", "ours", "theirs", "ratio", "interval", "unit"} <= set(row.to_dict())
        low, high = row.interval
        assert 0 < low <= row.ratio <= high < math.inf
    assert [growth.axis for growth in bench_ap.growth(scale=5, repeats=1)] == ["images", "objects a picture", "classes"]


def test_making_scenes_is_compared_with_the_rate_asked_for(monkeypatch):
    rates = iter([90.0, 30.0, 120.0])
    monkeypatch.setattr(bench, "scenes_per_second", lambda: next(rates))
    row = bench.scenes()
    assert (row.ours, set(row.theirs), row.ratio, row.interval) == ([90, 30, 120], {60}, 1.5, [0.5, 2])


@pytest.mark.parametrize("module", ["faster_coco_eval", "pycocotools", "torchmetrics", "albumentations"])
def test_a_missing_peer_is_told_before_anything_is_timed_and_nothing_is_written(monkeypatch, tmp_path, capsys, module):
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr(bench.bench_reading, "reading", lambda: pytest.fail("it was timed"))
    assert main(["bench", "--out", str(tmp_path / "bench.json")]) == 2
    error = capsys.readouterr().err
    assert f"{module.replace('_', '-')} is not installed" in error and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_record_that_could_not_be_written_is_refused_before_anything_is_timed(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(bench, "run", lambda: pytest.fail("it was timed"))
    for out in (tmp_path / "missing" / "bench.json", tmp_path):
        assert main(["bench", "--out", str(out)]) == 2
        assert "name another --out" in capsys.readouterr().err


def test_ap_compares_all_pairs_of_a_split_at_once_and_those_of_one_picture_and_class_alone(monkeypatch):
    """What makes it fast, as a count of work: the committed record below has the seconds."""
    calls, iou = [], metrics._iou
    monkeypatch.setattr(metrics, "_iou", lambda a, b: calls.append(len(a)) or iou(a, b))
    predictions, targets = bench_ap.crowd(300)
    voc_ap(predictions, targets)
    pairs = sum((p["labels"][:, None] == t["labels"]).sum().item() for p, t in zip(predictions, targets, strict=True))
    assert calls == [pairs]


def test_looking_at_gradients_adds_a_tenth_of_the_arithmetic_of_training_at_most(monkeypatch):
    """Operations of a look against those of the steps between two; a look costs something, or nothing was looked at."""
    counted = {}

    def count(contestants, repeats):
        for name, work in contestants.items():
            with FlopCounterMode(display=False) as counter:
                work()
            counted[name] = counter.get_total_flops()
        return {}, {name: [1.0] for name in contestants}

    monkeypatch.setattr(bench_training, "contest", count)
    bench_training.probes(repeats=1, steps=1)
    steps = resolve("focal", "mse", "pocket").probe_steps
    assert 0 < counted["look"] - counted["plain"] <= 0.1 * steps * counted["plain"]


def test_a_frozen_backbone_read_from_the_cache_does_no_arithmetic(monkeypatch):
    counted = {}

    def count(contestants, repeats):
        for name, work in contestants.items():
            with FlopCounterMode(display=False) as counter:
                shape = work().shape
            counted[name] = counter.get_total_flops(), shape
        return {}, {name: [1.0] for name in contestants}

    monkeypatch.setattr(bench_training, "contest", count)
    bench_training.cached_features()
    assert counted["ours"][0] == 0 < counted["theirs"][0] and counted["ours"][1] == counted["theirs"][1]


def test_of_the_training_rows_ours_decodes_no_picture_after_the_cache_is_made_and_the_plain_loop_each_in_each_pass(monkeypatch):
    monkeypatch.setattr(bench_training, "compiled", lambda net: net)  # takes long, and this is not about speed
    small = {"backbone": "scratch", "width": 0.05, "head": "conv"}
    monkeypatch.setattr(bench_training, "RunConfig", lambda **asked: RunConfig(**asked | small))
    monkeypatch.setattr(bench_training, "convolution_peak", lambda: 1e9)
    read, opened, getitem = [], [], bench_training.PlainVoc.__getitem__
    monkeypatch.setattr(bench_training.PlainVoc, "__getitem__", lambda self, index: opened.append(index) or getitem(self, index))
    decode = picture.decode
    monkeypatch.setattr(picture, "decode", lambda path, **options: read.append(path) or decode(path, **options))
    rows = bench_training.training_steps(images=4, repeats=1)
    assert len(read) == 4 and sorted(opened) == [0, 0, 1, 1, 2, 2, 3, 3], "a pass to warm up and one that is timed"
    assert [row.part for row in rows] == ["training", "training", "itself", "itself"] and all(min(row.ratios) > 0 for row in rows)


def test_the_arithmetic_of_a_step_by_hand():
    """3 to 8 channels of 16 x 16 pixels by 3 x 3, a multiplication and an addition each; as many again for the weight's gradient."""
    assert bench_training.step_flops(nn.Conv2d(3, 8, 3, padding=1, bias=False), 16) == 2 * (2 * 3 * 8 * 9 * 16 * 16)


ROWS = [Row("AP", "AP of 5 images, a peer", "s", [1.0, 2.0], [3.0, 8.0]), Row("itself", "scenes", "scenes/s", [30.0], [60], rate=True)]
GROWTH = [Growth("AP", "images", [10, 100], [[0.1, 1.0], [0.1, 2.0]]), Growth("decoding", "classes", [5, 20, 80], [[0.1, 0.1, 0.1]])]
RECORD = Record(bench_record.circumstances() | {"date": "2031-05-04"}, ROWS, GROWTH, "7 s, with 1 of 9 notebooks run and 2 trainings made")


# Asked for before anything was timed: AP no slower than COCO's fastest evaluator, reading three times torchvision's rate, a probe a tenth,
# a cached backbone a twentieth, every idea at most twice Exp 3, data a twentieth of the time.
ASKED = {
    "faster-coco-eval": 1,
    "from the cache, 2 workers, torchvision": 3,
    "from the cache, no workers, torchvision": 3,
    "a look every": 1 / 1.1,
    "the frozen backbone's part of an epoch": 20,
    "training every idea on three strides": 1 / 2,
    "waiting for data": 20,
    "EmojiVOC scenes": 1,
}


@pytest.mark.parametrize("name", ASKED)
def test_the_committed_record_shows_the_ratio_that_was_asked_for(name):
    found = [row.ratio for row in bench_record.read(bench_record.FILE).rows if name in row.name]
    assert found and min(found) >= ASKED[name]


@pytest.fixture
def parts(monkeypatch):
    """The bench with parts that take no time."""
    monkeypatch.setattr(bench.bench_reading, "reading", lambda: [ROWS[0]])
    monkeypatch.setattr(bench.bench_ap, "average_precision", lambda images=0, beside=(): [ROWS[0]] * max(len(beside), 2))
    monkeypatch.setattr(bench.bench_decoding, "decoding", lambda: [ROWS[0]])
    monkeypatch.setattr(bench.bench_training, "training_steps", lambda: [ROWS[0]] * 4)
    for name in ("probes", "cached_features", "remedied"):
        monkeypatch.setattr(bench.bench_training, name, lambda: ROWS[0])
    monkeypatch.setattr(bench, "scenes", lambda: ROWS[1])
    monkeypatch.setattr(bench.bench_ap, "growth", lambda: GROWTH[:1])
    monkeypatch.setattr(bench.bench_decoding, "growth", lambda: GROWTH[1:])


def test_one_command_prints_everything_and_keeps_a_record_that_reads_back(parts, tmp_path, capsys):
    file = tmp_path / "bench.json"
    assert main(["bench", "--out", str(file)]) == 0
    shown = capsys.readouterr().out
    assert shown.count("AP of 5 images, a peer") == 13 and "3.50  3.00 to 4.00" in shown
    assert "0.50  0.50 to 0.50" in shown
    assert "AP, 10 to 100 images: time grows with the power 1.15 (1.00 to 1.30)" in shown
    assert "the last build of the pocket book: " in shown
    kept = bench_record.read(file)
    assert (len(kept.rows), kept.rows[0], kept.growth) == (14, ROWS[0], GROWTH)
    assert {"date", "processor", "cores", "threads", "load", "python", "packages"} <= set(kept.made)
    assert set(bench_record.PEERS) <= set(kept.made["packages"])
    assert [path.name for path in tmp_path.iterdir()] == ["bench.json"]


def test_json_is_the_list_of_rows_of_the_contract(parts, capsys):
    assert main(["bench", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == 14 and all({"name", "ours", "theirs", "ratio", "unit"} <= set(row) for row in rows)


def test_a_busy_machine_is_told_apart_from_the_numbers(parts, monkeypatch, capsys):
    for load, said in ((3.2, True), (0.1, False)):
        monkeypatch.setattr(bench, "circumstances", lambda load=load: bench_record.circumstances() | {"load": load})
        main(["bench"])
        captured = capsys.readouterr()
        assert ("the machine is busy (load average 3.2)" in captured.err) is said and "busy" not in captured.out


def test_the_book_s_time_is_what_its_build_left_said(tmp_path):
    assert bench.book(tmp_path) == "not built here"
    (tmp_path / "built.json").write_text('{"seconds": 1322.4, "notebooks": 9, "ran": 8, "trained": 31}')
    assert bench.book(tmp_path) == "22 min 2 s, with 8 of 9 notebooks run and 31 trainings made"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 0}', '{"schema": 1, "made": {}, "rows": [{}], "growth": [], "book": ""}'])
def test_a_file_that_is_no_record_is_refused_with_the_remedy(tmp_path, text):
    (tmp_path / "bench.json").write_text(text)
    with pytest.raises(InputError, match=r"bench\.json: expected a record of the bench .* make it again: python -m yolo_core bench --out"):
        bench_record.read(tmp_path / "bench.json")


def page(monkeypatch, tmp_path, file: Path) -> tuple[str, dict, list[str]]:
    """The page's Markdown, what its cells publish, and the descriptions of the figures that they show, with the record in `file`."""
    monkeypatch.setenv("YOLO_NUMBERS", str(tmp_path / "numbers"))
    monkeypatch.setattr(bench_record, "FILE", file)
    described: list[str] = []
    monkeypatch.setattr(bench_figures.plt, "close", lambda *_: None)
    monkeypatch.setattr(
        "trial.figures.figures.display", lambda *_, metadata=None: described.extend([metadata["image/png"]["alt"]] if metadata else [])
    )
    cells = json.loads((ROOT / "notebooks/speed.ipynb").read_text())["cells"]
    space: dict = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), space)
    prose = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return prose, json.loads((tmp_path / "numbers/speed.json").read_text()), described


def test_the_page_without_a_record_says_so_and_shows_no_figure(monkeypatch, tmp_path):
    prose, published, described = page(monkeypatch, tmp_path, tmp_path / "missing.json")
    assert set(re.findall(r"\{\{ speed\.(\w+) \}\}", prose)) == set(published)
    assert published["summary"].startswith("Nothing has been timed yet.") and bench_record.COMMAND in published["summary"]
    assert {published[name] for name in published if name != "summary"} == {"Not timed yet."}
    assert described == []


def test_the_page_shows_the_record_with_figures_in_words(monkeypatch, tmp_path):
    bench_record.write(RECORD, tmp_path / "bench.json")
    prose, published, described = page(monkeypatch, tmp_path, tmp_path / "bench.json")
    assert set(re.findall(r"\{\{ speed\.(\w+) \}\}", prose)) == set(published)
    assert published["summary"].endswith(": AP 3.5.")
    assert "| AP of 5 images, a peer | 1.5 | 5.5 | s | **3.50** | 3.00 to 4.00 | 2 |" in published["table"]
    assert "| AP | images | 10, 100 | **1.15** | 1.00 to 1.30 |" in published["growth"]
    assert all(said in published["circumstances"] for said in ("2031-05-04", "cores", "torchmetrics", "albumentations"))
    assert published["book"] == RECORD.book
    assert ["a peer: 3.50, from 3.00 to 4.00" in described[0], "AP against images: power 1.15" in described[1]] == [True, True]


def test_a_doctored_ratio_in_the_record_does_not_reach_the_page(tmp_path):
    file = tmp_path / "bench.json"
    bench_record.write(RECORD, file)
    file.write_text(file.read_text().replace('"ratio": 3.5', '"ratio": 99.0').replace('"exponent": 1.1', '"exponent": 9.1'))
    assert "99" in file.read_text()
    assert bench_record.told(bench_record.read(file)) == bench_record.told(RECORD)


def test_figures_draw_each_row_with_its_interval_and_each_growth_with_its_power():
    (axes,) = bench_figures.ratios(ROWS).axes
    assert [text.get_text() for text in axes.get_yticklabels()] == [row.name for row in ROWS]
    drawn = [line.get_xdata() for line in axes.lines]
    assert [3.0, 4.0] in [list(x) for x in drawn] and [3.5] in [list(x) for x in drawn]
    panels = bench_figures.growth(GROWTH).axes
    assert [panel.get_xlabel() for panel in panels] == ["images", "classes"]
    dots, line = panels[0].lines
    assert list(dots.get_ydata()) == [0.1, 1.5]
    slope = math.log(line.get_ydata()[1] / line.get_ydata()[0]) / math.log(10)
    assert slope == pytest.approx(GROWTH[0].exponent)
