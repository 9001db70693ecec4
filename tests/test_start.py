"""Nothing of an arm's configuration is dropped in silence on its way to the training, its start least of all."""

import dataclasses
import json
import re
import shlex
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace, UnionType
from typing import Literal, get_args, get_origin

import pytest
import torch
from helpers_voc import write_tree
from test_train import TINY

from groundwork.errors import InputError
from trial.watch import train
from yolo_core import experiments
from yolo_core.__main__ import main
from yolo_core.data.voc import VocData
from yolo_core.training.config import RunConfig
from yolo_core.training.records import Run, read_run
from yolo_core.training.step import Training
from yolo_core.training.train import make_fabric
from yolo_core.training.writing import write_run

CONTINUED = [(name, arm) for name, trial in experiments.EXPERIMENTS.items() for arm, one in trial.arms.items() if "start" in one.changes]


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return write_tree(tmp_path_factory.mktemp("tree"), train=4, val=2)


@pytest.fixture
def reached(monkeypatch):
    """What reaches the training by any path: (configuration, start)."""
    seen = []

    def note(config, train_data, val_data, out, *, code, start=None, **_):
        seen.append((config, start))
        return Run(Path(out), {"metrics": {"map": 0.0}, "steps": 1, "key": "k", "config": config.to_dict()})

    monkeypatch.setattr("trial.watch.train_alone", note)
    monkeypatch.setattr("yolo_core.training.train.train", note)
    return seen


def command(tree, out, name, arm, *options):
    return ["train", name, "--arm", arm, "--profile", "smoke", "--data", str(tree), "--out", str(out), *options]


def run_of(folder, name, arm, seed=0, weights=None):
    """A finished run of an arm."""
    config = experiments.resolve(name, arm, "smoke", seed)
    record = {"key": f"key of {name}/{arm}", "code": "c", "config": config.to_dict(), "data": {"fingerprints": {}}, "metrics": {}}
    return str(write_run(folder, record, {}, weights or {"w": torch.ones(1)}).folder)


def test_a_start_of_another_profile_is_refused_and_one_that_was_cut_otherwise_is_not(tree, tmp_path, capsys, reached):
    started = {"micro_batch": 2, "weights": "imagenet"}
    record = {"key": "k", "code": "c", "data": {"fingerprints": {}}, "metrics": {}}
    for profile, asked, status in (("photographs", "smoke", 2), ("smoke", "photographs", 2), ("smoke", "smoke", 0)):
        config = experiments.resolve("focal", "mse", profile).to_dict() | started
        folder = write_run(tmp_path / f"{profile} for {asked}", record | {"config": config}, {}, {"w": torch.ones(1)}).folder
        words = command(tree, tmp_path / "run", "finetune", "continued", "--start", str(folder), "--profile", asked)
        assert main(words) == status
        error = capsys.readouterr().err
        assert ("under another profile: --profile " in error and "name another --start or --profile" in error) == bool(status)
    assert len(reached) == 1


def test_a_command_that_is_advised_works_for_a_path_that_begins_with_a_dash(tree, tmp_path, monkeypatch, capsys, reached):
    monkeypatch.chdir(tmp_path)
    Path("-tree").symlink_to(tree)
    assert main(["train", "finetune", "--arm", "continued", "--profile", "smoke", "--data=-tree", "--cache", "./-c", "--out=-r"]) == 2
    told = shlex.split(re.search(r"train that first, python -m yolo_core (.*), and name it: --start START", capsys.readouterr().err)[1])
    assert "./-tree" in told and "./-c" in told and main(told) == 0
    assert main(["exercises", "--out=-mine", "--check"]) == 2
    told = shlex.split(capsys.readouterr().err.partition("write them with: python -m yolo_core ")[2])
    assert main(told) == 0 and list(Path("-mine").glob("*.ipynb"))
    Path("-tree").unlink()
    write_tree(tmp_path / "-other", train=1, val=1)
    assert main(["data", "check", "."]) == 1
    assert main(["data", "check", capsys.readouterr().out.partition("; pass ")[2].split()[0].rstrip(".")]) == 0


def test_a_val_that_shares_pictures_with_train_is_told(tmp_path):
    root = write_tree(tmp_path / "tree", train=4, val=2)
    splits = root / "VOCdevkit/VOC2012/ImageSets/Main"
    (splits / "val.txt").write_text((splits / "train.txt").read_text())
    with pytest.warns(UserWarning, match="4 pictures of val are in train too"):
        experiments.load_data(root, 224)


@pytest.mark.parametrize(("name", "arm"), CONTINUED)
def test_an_arm_that_goes_on_from_another_run_is_given_it_or_refused(tree, tmp_path, capsys, reached, name, arm):
    before = experiments.resolve(name, arm, "smoke").start
    assert main(command(tree, tmp_path / "run", name, arm)) == 2
    error = capsys.readouterr().err
    assert f"goes on from a run of {before}" in error and "--start" in error and error.count("\n") == 1
    folder = run_of(tmp_path / "start", *before.split("/"))
    assert main(command(tree, tmp_path / "run", name, arm, "--start", folder)) == 0
    ((config, start),) = reached
    assert config == experiments.resolve(name, arm, "smoke") and start.folder == Path(folder)


def test_the_training_that_has_to_come_first_is_told_as_a_command_that_runs_as_it_stands(tree, tmp_path, capsys, reached):
    (tmp_path / "my data").symlink_to(tree)
    places = {"--cache": str(tmp_path / "it's decoded"), "--weights": str(tmp_path / "my weights.pth")}
    options = [*(word for option in places.items() for word in option), "--seed", "3"]
    assert main(command(tmp_path / "my data", tmp_path / "run", "finetune", "continued", *options)) == 2
    told = shlex.split(re.search(r"train that first, python -m yolo_core (.*), and name it: --start START", capsys.readouterr().err)[1])
    assert main([word.replace("START", str(tmp_path / "first")) for word in told]) == 0
    ((config, _),) = reached
    assert config == dataclasses.replace(experiments.resolve("focal", "mse", "smoke", 3), weights=places["--weights"])
    assert any((tmp_path / "it's decoded").iterdir()) and told[told.index("--data") + 1] == str(tmp_path / "my data")


def test_weights_beside_a_start_are_refused_and_not_written_into_a_record_that_never_saw_them(tree, tmp_path, capsys, reached):
    given = ["--start", run_of(tmp_path / "start", "focal", "mse"), "--weights", str(tmp_path / "weights.pth")]
    assert main(command(tree, tmp_path / "run", "finetune", "continued", *given)) == 2
    error = capsys.readouterr().err
    assert "--weights: finetune/continued begins with the weights of --start alone" in error and error.count("\n") == 1 and not reached


@pytest.mark.parametrize(("made", "said"), [(("focal", "focal", 0), "got focal/focal"), (("focal", "mse", 1), "seed 1")])
def test_a_start_of_another_arm_or_seed_is_refused(tree, tmp_path, capsys, reached, made, said):
    folder = run_of(tmp_path / "start", *made)
    assert main(command(tree, tmp_path / "run", "finetune", "continued", "--start", folder)) == 2
    error = capsys.readouterr().err
    assert "expected a run of focal/mse with seed 0" in error and said in error and not reached


def test_a_start_for_an_arm_that_has_none_is_refused(tree, tmp_path, capsys, reached):
    folder = run_of(tmp_path / "start", "focal", "mse")
    assert main(command(tree, tmp_path / "run", "finetune", "fresh", "--start", folder)) == 2
    assert "finetune/fresh goes on from no other run" in capsys.readouterr().err and not reached


@pytest.mark.parametrize("weights", ["gone", "torn", "of another net"])
def test_a_start_without_weights_that_fit_is_refused_in_a_sentence(tree, tmp_path, capsys, weights):
    folder = run_of(tmp_path / "start", "focal", "mse-conv")
    file = Path(folder) / "weights.safetensors"
    file.unlink() if weights == "gone" else file.write_bytes(file.read_bytes()[: -1 if weights == "torn" else None])
    assert main(command(tree, tmp_path / "run", "finetune", "continued-conv", "--start", folder)) == 2
    error = capsys.readouterr().err
    assert "start" in error and "weights" in error and error.count("\n") == 1 and not (tmp_path / "run").exists()


def test_a_run_that_goes_on_begins_with_the_weights_of_the_other_and_names_its_key(tree, tmp_path):
    torch.manual_seed(1)
    weights = {name: tensor.clone() for name, tensor in experiments.resolve("focal", "mse-conv", "smoke").detector().state_dict().items()}
    folder, out = run_of(tmp_path / "start", "focal", "mse-conv", weights=weights), tmp_path / "run"
    arm = command(tree, out, "finetune", "continued-conv-still", "--start", folder, "--max-steps", "1")
    assert main(arm) == 0
    assert json.loads((out / "record.json").read_text())["data"]["fingerprints"]["start"] == "key of focal/mse-conv"
    learnt = {name: tensor for name, tensor in read_run(out).weights().items() if name.endswith(("weight", "bias"))}
    moved = [float((tensor - weights[name]).abs().max()) for name, tensor in learnt.items()]
    assert 0 < max(moved) < 1e-3, "one step at 1e-5 from there, and not another net"


def test_activations_to_compute_again_where_none_are_kept_are_refused(tree, tmp_path, capsys, reached):
    """The backbone's features are computed once: the option would change the record alone."""
    assert main(command(tree, tmp_path / "run", "focal", "mse", "--checkpoint-activations")) == 2 and not reached
    assert "--checkpoint-activations: focal/mse computes its backbone's features once" in capsys.readouterr().err
    for arm in (("transfer", "released"), ("remedies", "mosaic")):  # which compute them each time, and keep nothing of it
        assert main(command(tree, tmp_path / "run", *arm, "--checkpoint-activations")) == 2 and not reached
        assert f"--checkpoint-activations: {'/'.join(arm)} holds its backbone still" in capsys.readouterr().err


def test_a_file_of_weights_is_not_taken_for_the_word_by_which_those_of_the_package_go(tree, tmp_path, monkeypatch, reached):
    monkeypatch.chdir(tmp_path)
    for there, named in ((False, "imagenet"), (True, "./imagenet")):
        if there:
            (tmp_path / "imagenet").touch()
        assert main(command(tree, tmp_path / "run", "focal", "mse", "--weights", "imagenet")) == 0
        assert reached.pop()[0].weights == named


def test_a_run_that_goes_on_needs_no_weights_of_the_backbone(monkeypatch):
    """Its start brings them all: nothing is downloaded."""
    config, built = experiments.resolve("finetune", "continued", "rtx2060"), []
    monkeypatch.setattr(RunConfig, "detector", lambda self: built.append(self) or torch.nn.Linear(1, 1))
    monkeypatch.setattr(Run, "weights", lambda self: torch.nn.Linear(1, 1).state_dict())
    with suppress(AttributeError):  # the stand-in is no detector
        Training(config, make_fabric("32-true"), Run(Path("start"), {}))
    assert config.weights == "imagenet" and [one.weights for one in built] == [None]


def test_no_training_claims_a_start_that_it_is_not_given_or_hides_one_that_it_is(tree, tmp_path):
    splits = VocData(tree, "train", 224), VocData(tree, "val", 224)
    start = read_run(run_of(tmp_path / "start", "focal", "mse"))
    for config, given in ((dataclasses.replace(TINY, start="focal/mse"), None), (TINY, start)):
        with pytest.raises(InputError, match="start"):
            train(config, *splits, tmp_path / "run", code="c", start=given, progress=False)


APART = ("augment", "mosaic", "compile")  # at odds with keys that are changed in the first of the two configurations below


def other(field):
    """A value that is not the field's default, whatever the field."""
    kind, default = field.type, field.default
    special = {"finest_stride": 8, "start": "focal/mse"}
    if field.name in special:
        return special[field.name]
    if get_origin(kind) is Literal:
        return next(value for value in get_args(kind) if value != default)
    kind = get_args(kind)[0] if isinstance(kind, UnionType) else kind
    if kind is bool:
        return not default
    return "other" if kind is str else (default or 6) + 1 if kind is int else (default or 0.6) / 2


FIELDS = dataclasses.fields(RunConfig)
CHANGED = [RunConfig(**{field.name: other(field) for field in FIELDS if (field.name in APART) == apart}) for apart in (False, True)]


def test_the_two_configurations_below_change_every_key():
    assert all(any(getattr(config, field.name) != field.default for config in CHANGED) for field in FIELDS)


@pytest.mark.parametrize("config", CHANGED, ids=["most keys", "the others"])
@pytest.mark.parametrize("path", ["the command", "experiments.run"])
def test_every_key_of_an_arm_reaches_the_training(config, path, tree, tmp_path, monkeypatch, reached):
    start = dataclasses.replace(RunConfig(), experiment="focal", arm="mse", seed=config.seed)
    monkeypatch.setattr(experiments, "resolve", lambda name, arm, *_: start if (name, arm) == ("focal", "mse") else config)
    monkeypatch.setattr(experiments, "profile_data", lambda *_: (VocData(tree, "train", 224), VocData(tree, "val", 224)))
    monkeypatch.setattr(experiments, "runs_folder", lambda: tmp_path / "runs")
    monkeypatch.setattr(experiments, "load_data", lambda *_: (range(10**6), range(1)))
    monkeypatch.setattr("voc_tree.tree.Split", lambda *_: SimpleNamespace(ids=range(10**6)))
    if path == "the command":
        record = {"key": "k", "code": "c", "config": start.to_dict(), "data": {"fingerprints": {}}, "metrics": {}}
        write_run(tmp_path / "start", record, {}, {})
        options = ["--start", str(tmp_path / "start")] if config.start else []
        assert main(command(tree, tmp_path / "run", "finetune", "fresh", *options)) == 0
    else:
        experiments.run("finetune", "fresh", "smoke", progress=False)
    found, given = reached[-1]
    assert {f.name: getattr(found, f.name) for f in FIELDS} == {f.name: getattr(config, f.name) for f in FIELDS}
    assert (given is None) == (config.start is None)
