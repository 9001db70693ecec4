"""`make read`: pages from committed records. Nothing trains, numbers are those of records, what is not kept is left out in words."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import evidence
import matplotlib.pyplot as plt
import pandas as pd
import pytest

from groundwork.errors import InputError
from groundwork.paths import runs_folder
from trial import numbers, watch
from trial import page as page_module
from trial.figures import figures
from trial.page import READ, Page
from trial.register import committed
from trial.register.kept import KEPT, keeps
from yolo_core import experiments
from yolo_core.training.records import read_run

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("assignment", "baseline", "boxes", "finetune", "focal", "head", "mosaic", "remedies", "score", "transfer")
EXP_1, BASE = ("baseline", "compressed"), ("remedies", "base")


def record(experiment: str, arm: str) -> dict:
    """The figures of the committed run of seed 0."""
    return read_run(committed.place("pocket", experiment, arm, 0)).metrics


@pytest.fixture(scope="module")
def read(tmp_path_factory) -> Mapping[str, dict]:
    """What the pages with runs publish, their cells run one after another in this process as `make read` has them run, with smoke's
    scenes in the place of pocket's, and every road to a training closed."""
    with pytest.MonkeyPatch.context() as patch:
        splits, folder = experiments.profile_data("smoke", progress=False), tmp_path_factory.mktemp("numbers")
        patch.setattr("groundwork.paths.BUILD", folder)
        patch.setenv("YOLO_NUMBERS", str(folder))
        patch.setenv(READ, "1")
        patch.setattr(experiments, "profile_data", lambda *_, **__: splits)
        patch.setattr(committed, "stored", evidence.stored)
        patch.setattr(experiments, "run", closed)
        patch.setattr(watch, "run", closed)
        patch.setattr("yolo_core.training.train.train", closed)
        patch.setattr(figures, "show", lambda figure, about: plt.close(figure))
        for name in PAGES:
            space = {"profile": "pocket", "seed": 0, "display": lambda *_: None}
            for cell in json.loads((ROOT / f"notebooks/{name}.ipynb").read_text(encoding="utf-8"))["cells"]:
                if cell["cell_type"] == "code" and "parameters" not in cell["metadata"].get("tags", []):
                    exec(compile("".join(cell["source"]), f"{name}.ipynb", "exec"), space)
        assert not runs_folder().exists()
        return numbers.merge([folder])


def closed(*_: object, **__: object) -> None:
    raise AssertionError("a book that is read trains nothing")


def test_ten_numbers_of_pages_that_are_read_are_those_of_the_committed_runs_of_seed_0(read):
    exp_1, exp_3, focal = record(*EXP_1), record("focal", "mse"), record("focal", "focal")
    said = {
        "baseline.map": f"{exp_1['map']:.3f}",
        "baseline.ceiling": f"{exp_1['ceiling']:.3f}",
        "baseline.map_at_04": f"{exp_1['cuts']['0.4']['map']:.3f}",
        "baseline.false_01": f"{exp_1['cuts']['0.1']['false_per_image']:.1f}",
        "transfer.map_dense": f"{exp_3['map']:.3f}",
        "transfer.map_conv": f"{record('focal', 'mse-conv')['map']:.3f}",
        "focal.map_focal": f"{focal['map']:.3f}",
        "focal.background_focal": f"{focal['confidence']['background']:.3f}",
        "finetune.map_moving": f"{record('finetune', 'two-rates-micro-2')['map']:.3f}",
        "boxes.agnostic_ciou": f"{record('remedies', 'ciou')['map_class_agnostic']:.3f}",
        "score.map_quality": f"{record('remedies', 'quality')['map']:.3f}",
        "head.cosine": f"{record(*BASE)['probes']['box_class_cosine']:.2f}",
    }
    found = {name: read[name.split(".")[0]][name.split(".")[1]] for name in said}
    assert found == said


def test_a_page_that_is_read_says_whose_numbers_it_shows_and_how_to_replicate_them(read):
    for name in PAGES:
        assert "reference run of seed 0" in read[name]["own"] and "`make book`" in read[name]["own_runs"], name
    assert read["baseline"]["band"].startswith(f"The committed reference run of seed 0 has a mAP of {read['baseline']['map']}.")
    assert "Nothing was trained here: `make book` trains your own" in read["baseline"]["band"]
    assert not any("this build" in str(value).lower() for name in PAGES for value in read[name].values())


@pytest.fixture
def page(monkeypatch):
    monkeypatch.setenv(READ, "1")
    return Page("focal", "pocket")


def test_a_page_trains_unless_it_is_read(monkeypatch):
    asked, trained = [], read_run(committed.place("pocket", "focal", "mse", 0))
    monkeypatch.setattr(watch, "run", lambda *args, **options: asked.append((args, options)) or trained)
    monkeypatch.delenv(READ, raising=False)
    assert Page("focal", "smoke", 3).run("focal", "mse", live=print) is trained
    assert asked == [(("focal", "mse", "smoke", 3), {"live": print})]


@pytest.fixture
def displayed(monkeypatch):
    shown = []
    monkeypatch.setattr(page_module, "display", lambda markdown: shown.append(markdown.data))
    return shown


def test_a_missing_record_is_a_sentence_that_names_the_arm_and_the_command(page, monkeypatch, displayed):
    monkeypatch.setattr(page, "by_arm", lambda data: {})
    with pytest.raises(InputError, match="records/pocket: no committed run of focal/mse with seed 0; `make book` trains") as caught:
        page.run("focal", "mse")
    assert page.runs({"mse": ("focal", "mse")}) == {} and displayed == [f"*{caught.value}*"]
    assert page.told({}, ["mse"]) == {"map_mse": "not run yet", "band_mse": "Not run yet."}


def test_the_watcher_sees_the_kept_tables_of_a_committed_run_once(page):
    seen = []
    run = page.run("remedies", "base", live=seen.append)
    assert len(seen) == 1 and list(seen[0]) == ["conflict"] and seen[0]["conflict"].equals(run.table("conflict"))


def test_what_is_not_kept_is_left_out_in_a_sentence(page, tmp_path, displayed):
    run = page.run(*BASE)
    bare = type(run)(tmp_path, run.record)
    assert page.look(bare, "mistakes") is None and page.found(bare, range(8), 0.1) is None
    assert len(displayed) == 2 and all("of remedies/base is not kept with its record; `make book`" in line for line in displayed)
    assert page_module.say(None, "map") == "(not kept)"


def test_detections_are_drawn_from_the_table_of_a_run_and_a_run_without_one_has_detected_nothing(page, tmp_path, monkeypatch):
    monkeypatch.setitem(page.__dict__, "data", (None, SimpleNamespace(size=200)))
    run = page.run(*BASE)
    columns = {"image": [0, 0, 2], "xmin": 0.1, "ymin": 0.2, "xmax": 0.6, "ymax": 0.7, "score": [0.9, 0.1, 0.3], "label": [3, 4, 5]}
    pd.DataFrame(columns).to_parquet(tmp_path / "detections.parquet")
    kept = type(run)(tmp_path, run.record)
    first, third = page.found(kept, [0, 2], 0.2)
    assert first["boxes"].tolist() == [pytest.approx([20, 40, 120, 140])] and third["labels"].tolist() == [5]
    page.reading = False
    assert [len(some["scores"]) for some in page.found(type(run)(tmp_path / "none", run.record), range(2), 0.1)] == [0, 0]


def test_the_command_reads_and_its_folder_is_its_own(monkeypatch, tmp_path):
    from book.press import publish
    from command_line import main

    asked = []
    monkeypatch.setattr(publish, "main", lambda profile, reading=False: asked.append((profile, reading)) or 0)
    assert main(["read"]) == 0 and asked == [("pocket", True)]
    assert publish._name("pocket", True) == "read" and publish._name("pocket", False) == "pocket"


def test_the_script_adds_what_a_record_lacks_and_refuses_a_run_with_other_figures(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import kept_tables

    stored = read_run(committed.place("pocket", *BASE, 0))
    run = type(stored)(shutil.copytree(stored.folder, tmp_path / "trained"), stored.record)
    (run.folder / "oracle.parquet").unlink()  # a look: made of a trained run, not among its tables
    records = tmp_path / "records"
    place = committed.place("pocket", *BASE, 0, records)
    shutil.copytree(run.folder, place)
    for table in place.glob("*.parquet"):
        table.unlink()
    looked = pd.DataFrame({"objects": [1, 2]})
    monkeypatch.setattr(watch, "run", lambda *_, **__: run)
    monkeypatch.setattr(experiments, "profile_data", lambda *_, **__: (None, None))
    monkeypatch.setattr(kept_tables, "LOOKS", {name: lambda *_: looked for name in ("mistakes", "mosaics", "oracle")})
    before = (place / "record.json").read_bytes()
    added = kept_tables.add("pocket", *BASE, records=records)
    wanted = {name for name in KEPT if keeps(name, "pocket", run.config)}
    assert {path.stem for path in place.glob("*.parquet")} == wanted == set(added) and {"epochs", "conflict", "detections"} < wanted
    assert (place / "record.json").read_bytes() == before and pd.read_parquet(place / "oracle.parquet").equals(looked)
    assert kept_tables.add("pocket", *BASE, records=records) == []
    other = {**run.record, "metrics": {**run.metrics, "map": run.metrics["map"] + 1e-9}}
    monkeypatch.setattr(watch, "run", lambda *_, **__: type(run)(run.folder, other))
    (place / "oracle.parquet").unlink()
    with pytest.raises(InputError, match="map .* figures differ"):
        kept_tables.add("pocket", *BASE, records=records)
    assert not (place / "oracle.parquet").exists()
