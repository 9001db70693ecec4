"""The command line: what it prints, and how it refuses."""

import json
import os
import re
from pathlib import Path

import pytest
import torch
from helpers_voc import annotation, image, split_file, write_tree
from PIL import Image
from torchvision.models import resnet18

from yolo_core import experiments
from yolo_core.__main__ import main
from yolo_core.data.voc import VocData
from yolo_core.profiles import PROFILES


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return write_tree(tmp_path_factory.mktemp("tree"), train=6, val=3)


@pytest.fixture(scope="module")
def trained(tree, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    assert (
        main(["train", "baseline", "--arm", "conv", "--profile", "smoke", "--data", str(tree), "--out", str(out), "--max-steps", "2"]) == 0
    )
    return out


def refusal(capsys, arguments: list[str]) -> str:
    """Run a command that must be refused: status 2, one sentence on standard error, nothing like a traceback. The sentence."""
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and "Traceback" not in error
    return error


def test_eval_prints_one_json_object_with_both_cuts_and_every_class(tree, trained, capsys):
    assert main(["eval", str(trained), "--data", str(tree), "--split", "val", "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out)
    assert {"0.001", "0.4"} <= set(metrics["cuts"])
    assert set(metrics["per_class"]) == {"dog"}  # the only class with an object that is not difficult
    assert metrics["images"] == 3


def test_eval_repeats_what_training_scored(tree, trained, capsys):
    main(["eval", str(trained), "--data", str(tree), "--json"])
    again = json.loads(capsys.readouterr().out)
    recorded = json.loads((trained / "record.json").read_text())["metrics"]
    assert {key: recorded[key] for key in again} == again


def test_predict_writes_a_picture_and_boxes_in_its_pixels(tree, trained, tmp_path, capsys):
    pictures = [str(image(tree, "val_000")), str(image(tree, "val_001"))]
    assert main(["predict", str(trained), *pictures, "--out", str(tmp_path / "seen"), "--score-threshold", "0"]) == 0
    found = json.loads((tmp_path / "seen" / "boxes.json").read_text())
    assert [f["image"] for f in found] == pictures
    assert (found[0]["width"], found[0]["height"]) == (60, 40)
    assert all(0 <= x0 <= x1 <= 60 and 0 <= y0 <= y1 <= 40 for f in found for x0, y0, x1, y1 in f["boxes"])
    assert {p.name for p in (tmp_path / "seen").iterdir()} == {"boxes.json", "val_000.png", "val_001.png"}
    assert Image.open(tmp_path / "seen" / "val_000.png").size[0] > 100


def test_predict_with_one_bad_picture_names_it_and_writes_nothing(tree, trained, tmp_path, capsys):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(image(tree, "val_000").read_bytes()[:200])
    error = refusal(capsys, ["predict", str(trained), str(image(tree, "val_001")), str(bad), "--out", str(tmp_path / "seen")])
    assert "bad.jpg" in error
    assert not (tmp_path / "seen").exists()


def test_predict_draws_two_pictures_of_one_name_to_two_files(tree, trained, tmp_path):
    other = tmp_path / "val_000.jpg"
    other.write_bytes(image(tree, "val_001").read_bytes())
    assert main(["predict", str(trained), str(image(tree, "val_000")), str(other), "--out", str(tmp_path / "seen")]) == 0
    assert len(list((tmp_path / "seen").glob("*.png"))) == 2


def test_data_check_says_a_clean_tree_is_clean_and_counts_faults(tree, tmp_path, capsys):
    assert main(["data", "check", str(tree)]) == 0
    broken = write_tree(tmp_path / "broken", train=2, val=1)
    annotation(broken, "train_000").write_text("<annotation>")
    assert main(["data", "check", str(broken)]) == 1
    assert "train_000.xml" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["train", "nope"], "unknown experiment 'nope'; choose one of baseline"),
        (["train", "baseline", "--arm", "nope"], "has no arm 'nope'; choose one of compressed"),
        (["train", "baseline", "--profile", "nope"], "unknown profile 'nope'; choose one of smoke"),
        (["train", "baseline", "--max-steps", "0"], "--max-steps must be at least 1"),
        (["train", "exp1", "--arm", "conv"], "exp1 is the arm baseline/compressed itself; for 'conv' name baseline in its place"),
    ],
)
def test_train_refuses_what_does_not_exist_and_lists_what_does(tree, tmp_path, capsys, arguments, expected):
    error = refusal(capsys, [*arguments, "--data", str(tree), "--out", str(tmp_path / "run")])
    assert expected in error
    assert not (tmp_path / "run").exists()


def test_train_never_writes_over_what_is_there(tree, trained, capsys):
    before = (trained / "record.json").read_bytes()
    assert "already there" in refusal(capsys, ["train", "baseline", "--data", str(tree), "--out", str(trained)])
    assert (trained / "record.json").read_bytes() == before


def test_train_refuses_a_folder_that_is_no_voc_tree(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert "VOCdevkit" in refusal(capsys, ["train", "baseline", "--data", str(tmp_path / "empty"), "--out", str(tmp_path / "run")])


def test_train_refuses_an_empty_split_and_one_that_names_missing_pictures(tmp_path, capsys):
    root = write_tree(tmp_path / "tree", train=2, val=1)
    split_file(root, "val").write_text("")
    assert "val.txt" in refusal(capsys, ["train", "baseline", "--data", str(root), "--out", str(tmp_path / "run")])
    split_file(root, "val").write_text("gone\n")
    assert "gone" in refusal(capsys, ["train", "baseline", "--data", str(root), "--out", str(tmp_path / "run")])


@pytest.mark.parametrize("command", ["eval", "predict"])
def test_a_folder_without_a_run_is_refused(tree, tmp_path, capsys, command):
    extra = ["--data", str(tree)] if command == "eval" else [str(image(tree, "val_000")), "--out", str(tmp_path / "seen")]
    assert "not a finished run" in refusal(capsys, [command, str(tmp_path), *extra])


def test_eval_refuses_torn_weights_and_a_config_with_an_unknown_key(tree, trained, tmp_path, capsys):
    for name in ("record.json", "weights.safetensors"):
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    (tmp_path / "weights.safetensors").write_bytes((trained / "weights.safetensors").read_bytes()[:1000])
    assert "weights.safetensors" in refusal(capsys, ["eval", str(tmp_path), "--data", str(tree)])
    record = json.loads((trained / "record.json").read_text())
    record["config"]["learning_rate"] = 1.0
    (tmp_path / "record.json").write_text(json.dumps(record))
    assert "unknown key 'learning_rate'" in refusal(capsys, ["eval", str(tmp_path), "--data", str(tree)])


def test_eval_refuses_a_split_that_is_not_there(tree, trained, capsys):
    assert "test.txt" in refusal(capsys, ["eval", str(trained), "--data", str(tree), "--split", "test"])


@pytest.mark.parametrize(("option", "value"), [("--train", "0"), ("--val", "-1"), ("--size", "3")])
def test_data_emoji_refuses_parameters_that_make_no_data(tmp_path, capsys, option, value):
    refusal(capsys, ["data", "emoji", "--out", str(tmp_path / "scenes"), option, value])
    assert not (tmp_path / "scenes").exists()


def test_data_emoji_makes_a_tree_that_data_check_finds_clean(tmp_path, capsys):
    out = tmp_path / "scenes"
    assert main(["data", "emoji", "--out", str(out), "--train", "4", "--val", "2", "--size", "96"]) == 0
    assert main(["data", "check", str(out)]) == 0
    assert (out / "VOCdevkit/VOC2012/ImageSets/Main/train.txt").read_text().count("\n") == 4


def test_claims_prints_a_list_with_every_field_of_the_contract(capsys):
    assert main(["claims", "--profile", "smoke", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {"C1", "C1c"} <= {row["id"] for row in rows}
    assert all({"id", "claim", "scope", "arms", "seeds", "threshold", "effect", "interval", "verdict"} <= set(row) for row in rows)


PHOTOS = Path(__file__).resolve().parents[1].parent / "shared" / "photos"


@pytest.mark.skipif(not PHOTOS.exists(), reason="the 64 real photographs are not beside the checkout")
def test_real_photographs_are_trained_on_scored_and_drawn(tmp_path):
    run, cache = tmp_path / "run", tmp_path / "cache"
    data = ["--data", str(PHOTOS), "--cache", str(cache)]
    assert main(["train", "baseline", "--arm", "conv", "--profile", "smoke", "--out", str(run), "--max-steps", "2", *data]) == 0
    assert main(["eval", str(run), "--json", *data]) == 0
    photographs = sorted((PHOTOS / "VOCdevkit/VOC2012/JPEGImages").glob("*.jpg"))[:3]
    assert main(["predict", str(run), *map(str, photographs), "--out", str(tmp_path / "seen"), "--score-threshold", "0"]) == 0
    for photograph in photographs:
        assert Image.open(tmp_path / "seen" / f"{photograph.stem}.png").size[0] > 300
    assert not (PHOTOS / ".cache").exists(), "nothing is written beside data that are not ours"


def test_the_profile_of_the_graphics_card_trains_end_to_end_with_resnet18_from_a_file(tmp_path):
    """448 px, half precision where the processor has it, fine-tuning and the frozen arm, a step of each."""
    data = write_tree(tmp_path / "tree", train=2, val=2)
    torch.save(resnet18().state_dict(), tmp_path / "resnet18.pth")
    rest = ["--profile", "rtx2060", "--weights", str(tmp_path / "resnet18.pth"), "--data", str(data), "--cache", str(tmp_path / "cache")]
    rest += ["--max-steps", "1", "--micro-batch", "auto"]
    for name, arm in (("finetune", "two-rates"), ("focal", "mse-conv")):
        out = tmp_path / name
        assert main(["train", name, "--arm", arm, "--out", str(out), *rest]) == 0
        record = json.loads((out / "record.json").read_text())
        assert record["config"]["backbone"] == "resnet18" and record["config"]["image_size"] == 448 and record["steps"] == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--micro-batch", "0"], "--micro-batch must be a whole number"),
        (["--micro-batch", "many"], "--micro-batch must be a whole number"),
        (["--workers", "-1"], "cannot be negative"),
        (["--weights", "nowhere.pth"], "nowhere.pth: no such weights file"),
        (["--cache", "{out}/cache"], "lies inside --out, which has to be empty until the run is done; name another folder"),
    ],
)
def test_options_of_train_that_make_no_sense_get_a_sentence(tree, tmp_path, capsys, options, said):
    command = ["train", "focal", "--arm", "mse-conv", "--profile", "smoke", "--data", str(tree), "--out", str(tmp_path / "run")]
    assert main([*command, *(option.format(out=tmp_path / "run") for option in options)]) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "run").exists()


@pytest.mark.parametrize("arm", [("baseline", "conv-half"), ("finetune", "two-rates")], ids="/".join)
def test_a_tree_too_small_for_a_profile_is_told_with_those_that_it_is_enough_for(tree, tmp_path, capsys, arm):
    command = ["train", arm[0], "--arm", arm[1], "--data", str(tree), "--out", str(tmp_path / "run"), "--max-steps", "1"]
    error = refusal(capsys, command)
    assert re.search(rf"{'/'.join(arm)} takes \d+ pictures under --profile pocket, and train.txt names \d+; name a larger tree", error)
    advised = [name for name in error.strip().partition("--profile: ")[2].split(", ") if name]
    counts = {profile: experiments.resolve(*arm, profile).train_images or 0 for profile in PROFILES}
    assert advised == [profile for profile, count in counts.items() if count <= len(VocData(tree, "train", 224))]


def test_a_command_from_a_folder_that_has_been_removed_says_so(tree, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gone").mkdir()
    os.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert "the current folder has been removed; go to another one" in refusal(capsys, ["data", "check", str(tree)])


def test_a_name_that_is_too_long_for_its_checkpoints_is_refused_before_the_training(tree, tmp_path, capsys):
    command = ["train", "focal", "--arm", "mse-conv", "--profile", "smoke", "--data", str(tree), "--out"]
    assert main([*command, str(tmp_path / ("é" * 125))]) == 2
    assert "give a shorter --out" in capsys.readouterr().err


def test_a_loss_that_is_no_number_stops_train_with_a_sentence(tree, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("yolo_core.training.step.rate_factor", lambda *_: 1e30)
    command = ["train", "baseline", "--arm", "conv", "--profile", "smoke", "--data", str(tree), "--out", str(tmp_path / "run")]
    assert main(command) == 1
    assert re.search(r"^error: step \d+: .* not finite", capsys.readouterr().err, re.MULTILINE)
    assert not (tmp_path / "run").exists()


def test_claims_in_two_forms_at_once_and_a_check_of_records_that_are_not_there_are_refused(tmp_path, capsys):
    assert "one or the other" in refusal(capsys, ["claims", "--json", "--markdown"])
    assert f"{tmp_path}/pocket/canaries: no canary" in refusal(capsys, ["reference", "--check", "--records", str(tmp_path)])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--arms", "focal/mse"], "leave --arms, --workers and --most out"),
        (["--workers", "2"], "leave --arms, --workers and --most out"),
        (["--most", "1"], "leave --arms, --workers and --most out"),
        (["--arms", "focal/nope"], "there is no arm 'focal/nope'"),
        (["--workers", "0"], "--workers must be at least 1"),
        (["--most", "-1"], "--most must be at least 0"),
    ],
)
def test_a_check_of_records_drops_no_option_in_silence(capsys, monkeypatch, options, said):
    monkeypatch.setattr("trial.register.reference.check", lambda *_: {"focal/mse": "same"})
    assert said in refusal(capsys, ["reference", "--check", *options])
