"""The estimate of a whole study: sums by hand, what it counts, and what it says before anything starts."""

import ast
import json
from collections import namedtuple
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest

from book.press import publish
from emojivoc.statistics import voc2012
from groundwork.errors import InputError
from trial import watch
from trial.page import READ
from trial.planner import estimate
from trial.planner.cost import MACHINES, Assumed, Work
from trial.planner.estimate import BOOK, announce, run_seconds, table
from trial.register import committed
from voc_tree import photographs
from yolo_core import experiments
from yolo_core.data.voc import VocData
from yolo_core.experiments import PROFILES
from yolo_core.training.config import RunConfig
from yolo_core.training.records import Run

ROOT = Path(__file__).resolve().parents[1]
CARD = MACHINES["RTX 2060"]
IMAGES = 5717 + 5823


def test_the_book_is_what_the_notebooks_ask_for(monkeypatch):
    """Every cell that asks the page for runs is executed with a stand-in that notes what is trained."""
    asked, trained, split = set(), MagicMock(), MagicMock()
    trained.__class__, split.__class__ = Run, VocData
    monkeypatch.setattr(watch, "run", lambda name, arm, profile, seed=0, **_: asked.add((name, arm, seed)) or trained)
    monkeypatch.setattr(experiments, "profile_data", lambda *_: (split, split))
    monkeypatch.setattr(committed, "stored", lambda _: [])
    monkeypatch.delenv(READ, raising=False)
    for file in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = ["".join(c["source"]) for c in json.loads(file.read_text())["cells"] if c["cell_type"] == "code"]
        space = {"profile": "smoke", "seed": 0}
        for cell in cells:
            imports = all(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.parse(cell).body)
            calls = {ast.unparse(node.func) for node in ast.walk(ast.parse(cell)) if isinstance(node, ast.Call)}
            assert not calls & {"experiments.run", "watch.run"}, f"{file.name}: ask the page, which trains nothing where it is read"
            if imports or calls & {"page.run", "page.runs"}:
                exec(compile(cell, file.name, "exec"), space)
    assert asked == set(BOOK)


def test_a_run_is_its_steps_and_its_scorings_by_hand(monkeypatch):
    """Ten pictures in batches of 4 are three steps; scored after epochs 2, 4 and 5, and twice more at the end."""
    rate = CARD.flop_rate("32-true")
    work = Work(forward=rate, backward=2 * rate, once=0.0, picture=1, weights=8, gradient=0, optimiser=0)
    monkeypatch.setattr(estimate, "count", lambda config: work)
    config = RunConfig(epochs=5, effective_batch=4, micro_batch=4, score_epochs=2)
    assumed = Assumed(utilisation=0.5, launch=0.0, overlap=0.0, scoring=0.25)
    assert run_seconds(assumed, config, 10, 7, CARD) == pytest.approx(5 * 3 * (4 * 3 / 0.5) + 5 * 7 * (1 / 0.5 + 0.25))
    still = replace(config, batchnorm="frozen", train_images=4)
    assert run_seconds(assumed, still, 10, 7, CARD) == pytest.approx(5 * 1 * (4 * 3 / 0.5) + 4 * 7 * (1 / 0.5 + 0.25))


def test_a_profile_has_as_many_pictures_as_its_data():
    assert PROFILES["rtx2060"].sizes == (voc2012("train").images, voc2012("val").images)
    splits = [photograph.split for photograph in photographs.listed()]
    assert PROFILES["photographs"].sizes == (splits.count("train"), splits.count("val"))
    assert PROFILES["pocket"].sizes == (PROFILES["pocket"].train_images, PROFILES["pocket"].val_images)


def test_photographs_take_the_room_of_the_archives_that_they_are_picked_from():
    disk = estimate.estimate("photographs", [("focal", "mse", 0)]).disk
    assert disk["photographs (VOC 2007, VOC 2012, COCO)"] == sum(archive.size for archive in photographs.ARCHIVES.values()) > 3e9
    assert disk["decoded pictures"] == sum(PROFILES["photographs"].sizes) * 3 * 224 * 224


def test_disk_is_the_data_the_features_the_weights_and_three_checkpoints_by_hand():
    found = estimate.estimate("rtx2060", [("focal", "mse", 0), ("transfer", "frozen-random", 0), ("focal", "focal", 0)])
    detector = experiments.resolve("transfer", "frozen-random", "rtx2060").detector()
    learns = sum(4 * p.numel() for p in detector.parameters() if p.requires_grad)
    weights = sum(t.numel() * t.element_size() for t in detector.state_dict().values())
    assert found.disk == {
        "Pascal VOC 2012": 4e9,
        "decoded pictures": IMAGES * 3 * 448 * 448,
        "features": 2 * IMAGES * 2 * 512 * 14 * 14,  # of the ImageNet backbone, and of the random one
        "weights": 3 * weights,
        "checkpoints": 3 * (weights + 2 * learns),
    }


def test_random_backbones_of_two_seeds_keep_two_sets_of_features_and_imagenet_one():
    one, two = (estimate.estimate("rtx2060", [("transfer", "frozen-random", s) for s in range(n)]).disk["features"] for n in (1, 2))
    assert two == 2 * one
    one, two = (estimate.estimate("rtx2060", [("focal", "mse", s) for s in range(n)]).disk["features"] for n in (1, 2))
    assert two == one > 0


def test_a_run_that_others_start_from_is_counted_with_them_and_once():
    alone, both = estimate.estimate("rtx2060", [("finetune", "continued", 0)]), [("focal", "mse", 0), ("finetune", "continued", 0)]
    assert alone == estimate.estimate("rtx2060", both) and alone.trainings == 2
    kept = estimate.estimate("rtx2060", both, keep_weights=False)
    assert kept.disk["weights"] == estimate.estimate("rtx2060", [("focal", "mse", 0)]).disk["weights"]


def test_more_runs_take_longer_and_a_faster_machine_does_not():
    some, book = estimate.estimate("rtx2060", BOOK[:3]), estimate.estimate("rtx2060")
    assert 0 < some.hours[0] < some.hours[1] and some.trainings == 3
    assert all(more > less for more, less in zip(book.hours, some.hours, strict=True))
    assert sum(book.disk.values()) > sum(some.disk.values())
    fast = estimate.estimate("rtx2060", machine=MACHINES["H100"])
    assert all(quick < slow for quick, slow in zip(fast.hours, book.hours, strict=True))


@pytest.mark.parametrize("jobs", [[("baseline", "x", 0)], [("x", "compressed", 0)]])
def test_an_arm_that_does_not_exist_is_refused(jobs):
    with pytest.raises(InputError, match="choose one of"):
        estimate.estimate("rtx2060", jobs)


@pytest.fixture
def disk(tmp_path, monkeypatch):
    """An empty data folder on a disk whose room in bytes is set by calling this."""
    monkeypatch.setattr(estimate, "data_folder", lambda profile: tmp_path / profile)
    monkeypatch.setattr(estimate, "BUILD", tmp_path)
    monkeypatch.setattr(estimate, "cache_folder", lambda profile: tmp_path / "build/cache")
    monkeypatch.setattr(committed, "runs_folder", lambda: tmp_path / "build/runs")

    def of(room: float) -> Path:
        usage = namedtuple("usage", "total used free")
        monkeypatch.setattr("shutil.disk_usage", lambda path: usage(0, 0, room) if path.exists() else pytest.fail(f"{path} is not there"))
        return tmp_path / "rtx2060"

    return of


def test_photographs_are_announced_as_predicted_and_what_is_drawn_is_not(disk, capsys):
    disk(1e12)
    announce("rtx2060")
    said, found = capsys.readouterr().out, estimate.estimate("rtx2060")
    assert said.startswith("predicted for one RTX 2060, not measured:\n") and f"{found.trainings} trainings" in said
    assert all(f"{size / 1e9:.1f} {name}" in said for name, size in found.disk.items())
    announce("pocket")
    assert capsys.readouterr().out == ""


def test_a_disk_too_small_is_refused_in_one_sentence_and_what_is_there_counts(disk):
    whole = sum(estimate.estimate("rtx2060").disk.values())
    data = disk(whole - 1)
    size = f"{whole / 1e9:.1f} GB"
    with pytest.raises(InputError, match=f"{size} are still to be written and the disk has {size} free; free some space") as caught:
        announce("rtx2060")
    assert "\n" not in str(caught.value)
    disk(whole)
    announce("rtx2060")
    (data / "VOCdevkit/VOC2012").mkdir(parents=True)
    disk(whole - 4e9)
    announce("rtx2060")
    disk(whole - 4e9 - 1)
    with pytest.raises(InputError, match="still to be written"):
        announce("rtx2060")
    (data / ".cache").mkdir()
    (data / ".cache/images.npy").write_bytes(b"1")
    announce("rtx2060")


def test_weights_that_are_there_count_and_a_book_of_finished_runs_needs_no_room_for_checkpoints(disk, tmp_path, monkeypatch):
    (disk(1.0) / "VOCdevkit/VOC2012").mkdir(parents=True)
    found, asked = (
        estimate.estimate("rtx2060"),
        estimate._with_starts([experiments.resolve(*job[:2], "rtx2060") for job in BOOK], "rtx2060"),
    )
    other = experiments.resolve("remedies", "all-mosaic", "rtx2060")  # no page asks for it
    assert found.trainings == len(asked) and other not in asked
    runs = [SimpleNamespace(folder=tmp_path / f"run-{i}", config=config) for i, config in enumerate([*asked, other])]
    monkeypatch.setattr(committed, "finished", lambda profile: runs)
    runs[-1].folder.mkdir()
    (runs[-1].folder / "weights.safetensors").write_bytes(b"of an arm that the book does not train")
    made = sum(found.disk[name] for name in ("decoded pictures", "features", "weights"))
    for run in runs[: found.trainings - 1]:
        run.folder.mkdir()
        (run.folder / "weights.safetensors").write_bytes(b"1234")
    disk(made + found.disk["checkpoints"] - 4 * (found.trainings - 1))
    announce("rtx2060")
    disk(made)
    with pytest.raises(InputError, match="still to be written"):
        announce("rtx2060")
    runs[found.trainings - 1].folder.mkdir()
    (runs[found.trainings - 1].folder / "weights.safetensors").write_bytes(b"1234")
    announce("rtx2060")


def test_each_disk_is_asked_for_what_is_to_lie_on_it_and_its_remedy_helps(disk, tmp_path, monkeypatch):
    """Data on a disk of their own, full or to be read only, need no room beside what is still to be fetched."""
    data, found = disk(0), estimate.estimate("rtx2060")
    fetched = found.disk[PROFILES["rtx2060"].data[0]]
    rest = sum(found.disk.values()) - fetched
    (tmp_path / "build").mkdir()
    monkeypatch.setattr(estimate, "BUILD", tmp_path / "build")
    (data / ".cache").mkdir(parents=True)
    (data / ".cache/images.npy").write_bytes(b"of another program: the book keeps its own, in its build")
    stat = estimate.os.stat
    numbered = SimpleNamespace(stat=lambda path: SimpleNamespace(st_dev="build" in path.parts) if isinstance(path, Path) else stat(path))
    monkeypatch.setattr(estimate, "os", numbered)
    rooms = {}
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=rooms["build" in path.parts]))
    for rooms[True], rooms[False], said in (
        (rest, fetched - 1, rf"{data}: 4.0 GB .* name a folder for the data \(YOLO_DATA_RTX2060\) on a larger disk"),
        (rest - 1, fetched, f"{tmp_path / 'build'}: .* work in a checkout on a larger disk"),
    ):
        with pytest.raises(InputError, match=said):
            announce("rtx2060")
    rooms[True], rooms[False] = rest, 0
    (data / "VOCdevkit/VOC2012").mkdir(parents=True)
    announce("rtx2060")


def test_the_book_says_what_it_will_take_before_it_asks_for_data(disk, monkeypatch, capsys):
    disk(1e12)
    monkeypatch.setattr(experiments, "profile_data", lambda profile: print("data"))
    publish.prepare("rtx2060")
    assert capsys.readouterr().out.splitlines()[-1] == "data"
    disk(0)
    with pytest.raises(InputError, match="free some space"):
        publish.prepare("rtx2060")
    assert "data" not in capsys.readouterr().out.splitlines()


def test_the_table_shows_what_the_profile_resolves(monkeypatch):
    lines = table("rtx2060", {"a": ("finetune", "two-rates-micro-2"), "b": ("baseline", "released")}).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    cells = [dict(zip(*([c.strip() for c in row.strip("|").split("|")] for row in (lines[0], line)), strict=True)) for line in lines[2:]]
    assert [(c["run"], c["backbone"], c["head"], c["batch"], c["rate"]) for c in cells] == [
        ("a (`finetune/two-rates-micro-2`)", "resnet18, trained", "conv", "8 x 2", "adamw 0.001, backbone 0.0001"),
        ("b (`baseline/released`)", "scratch", "compressed", "1 x 16", "adam 0.0001"),
    ]
    assert all(float(c["peak, GiB"]) < 6 and " to " in c["hours"] for c in cells)
