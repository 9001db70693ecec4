"""The memory planner: predictions against what the CPU's allocator really holds, and what it answers."""

import json
from dataclasses import replace

import pytest

from groundwork.errors import InputError
from trial.planner import memory
from trial.planner.memory import GIB, MIB, RESERVE_GIB, _allocations, measured, plan, predict
from yolo_core.__main__ import main
from yolo_core.training.config import RunConfig

RESNET = RunConfig(backbone="resnet18", image_size=224, optimiser="adam")


@pytest.mark.parametrize(
    ("values", "micro_batch"),
    [
        ({}, 2),
        ({"head": "conv", "optimiser": "sgd"}, 2),
        ({"head": "conv", "optimiser": "adamw", "effective_batch": 2, "micro_batch": 2}, 2),
        ({"backbone": "scratch", "width": 0.5, "head": "conv"}, 4),
        ({"freeze_weights": True, "batchnorm": "frozen", "head": "conv"}, 4),
        ({"checkpoint_activations": True, "head": "conv", "optimiser": "sgd"}, 2),
        ({"checkpoint_activations": True, "backbone": "scratch", "width": 0.5, "head": "conv"}, 4),
        ({"checkpoint_activations": True, "backbone": "efficientnet_lite0", "head": "conv"}, 2),
    ],
)
def test_the_predicted_peak_is_what_the_cpu_allocator_holds_within_one_per_cent(values, micro_batch):
    config = RunConfig(**{**RESNET.to_dict(), "micro_batch": micro_batch, **values})
    assert predict(config, micro_batch).total == pytest.approx(measured(config, micro_batch), rel=0.01)


def test_the_optimiser_state_does_not_shrink_with_the_micro_batch_and_activations_do():
    one, sixteen = (predict(RESNET, micro).parts for micro in (1, 16))
    assert one["optimiser"] == sixteen["optimiser"] > 0
    assert 10 < sixteen["activations"] / one["activations"] < 17


def test_weights_are_counted_to_the_byte():
    detector = RESNET.detector()
    held = [*detector.parameters(), *detector.buffers()]
    assert predict(RESNET, 1).parts["weights"] == pytest.approx(sum(t.numel() * t.element_size() for t in held), rel=1e-3)


def test_half_precision_halves_most_of_the_activations():
    full, half = (predict(RunConfig(**{**RESNET.to_dict(), "precision": p}), 16).parts["activations"] for p in ("32-true", "16-mixed"))
    assert 0.4 < half / full < 0.8


def test_checkpointing_frees_activations_and_is_a_lever():
    config = RunConfig(**{**RESNET.to_dict(), "head": "conv", "effective_batch": 2, "micro_batch": 2})
    kept, again = (predict(replace(config, checkpoint_activations=on)) for on in (False, True))
    assert again.parts["activations"] < kept.parts["activations"] / 2
    assert all(again.parts[part] == kept.parts[part] for part in ("weights", "optimiser"))
    assert plan(config, 6.0, levers=True).levers["checkpointed activations"] == (kept.total - again.total) / GIB > 0


def test_the_plan_takes_the_largest_micro_batch_that_fits():
    found = plan(RESNET, 1.7)
    assert found.micro_batch is not None and found.accumulate == -(-16 // found.micro_batch)
    assert [found.fits(micro) for micro in sorted(found.peaks)] == sorted((found.fits(m) for m in found.peaks), reverse=True)
    assert found.peaks[found.micro_batch].total / GIB <= 1.7 - RESERVE_GIB


def test_a_plan_looks_no_further_than_the_first_micro_batch_that_does_not_fit_and_the_whole(monkeypatch):
    asked = []

    def a_gib_a_picture(config, micro_batch):
        asked.append(micro_batch)
        return memory.Peak(dict.fromkeys(memory.PARTS.values(), 0) | {"activations": micro_batch * GIB})

    monkeypatch.setattr(memory, "predict", a_gib_a_picture)
    found = plan(RunConfig(**{**RESNET.to_dict(), "effective_batch": 10**6, "micro_batch": 10**6}), 5 + RESERVE_GIB)
    assert asked == [1, 2, 4, 8, 10**6] and list(found.peaks) == asked and found.micro_batch == 4


def test_a_budget_below_the_weights_and_their_state_is_refused_with_what_would_help():
    with pytest.raises(
        InputError, match=r"--vram-gib 0.1: weights, gradients and optimiser state alone take .* use the convolutional head"
    ):
        plan(RESNET, 0.1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--vram-gib", "-1"], "--vram-gib must be above 0"),
        (["--vram-gib", "nan"], "--vram-gib must be above 0"),
        (["--vram-gib", "0.1", "--image-size", "224", "--effective-batch", "1"], "weights, gradients and optimiser state alone take"),
        (["--image-size", "400"], "use 224 or 448 px"),
        (["--image-size", "450"], "use 224 or 448 px"),
        (["--image-size", "-448"], "image_size must be at least 1"),
        (["--effective-batch", "0"], "--effective-batch must be at least 1"),
        (["--effective-batch", "-3"], "--effective-batch must be at least 1"),
        (["--backbone", "vgg"], "unknown backbone 'vgg'"),
        (["--image-size", "224", "--effective-batch", "1", "--verify"], "there is none here"),
    ],
)
def test_a_nonsensical_plan_gets_a_sentence(arguments, said, capsys, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert main(["plan", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and said in error and error.count("\n") == 1


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_where_nothing_fits_a_plan_says_that_nothing_was_verified_and_why(form, capsys, monkeypatch):
    parts = dict.fromkeys(memory.PARTS.values(), 0) | {"activations": 9 * GIB}
    monkeypatch.setattr(memory, "predict", lambda *_: memory.Peak(parts))
    assert main(["plan", "--vram-gib", "6", "--verify", *form]) == 1
    said = capsys.readouterr().out
    why = "nothing was verified: no micro-batch is predicted to fit 6 GiB"
    assert json.loads(said)["unverified"] == why if form else said.splitlines()[-1] == why


def test_a_plan_predicts_each_micro_batch_once_and_takes_no_memory_for_it(capsys, monkeypatch):
    """Which is why it takes seconds: no tensor of the net, of a picture or of an optimiser is ever made."""
    asked = []
    monkeypatch.setattr(memory, "predict", lambda config, micro: asked.append(micro) or predict(config, micro))
    memory._predict.cache_clear()
    with _allocations() as totals:
        assert main(["plan", "--vram-gib", "6", "--json"]) == 0
    assert asked == [1, 2, 4, 8, 16]
    assert max(totals, default=0) < MIB


def test_the_plan_as_json_has_a_row_a_micro_batch_and_says_that_it_is_predicted(capsys):
    assert main(["plan", "--image-size", "224", "--effective-batch", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["micro_batch"] for row in found["rows"]] == [1, 2]
    assert {"micro_batch", "peak_mib", "parts", "fits"} == set(found["rows"][0])
    assert found["chosen"] == {"micro_batch": 2, "accumulate": 1} and "predicted" in found["status"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "use the convolutional head, a frozen backbone, or SGD"),
        (["--head", "full"], "use the compressed or the convolutional head, a frozen backbone, or SGD"),
        (["--head", "conv", "--freeze"], "use SGD"),
        (["--head", "conv", "--freeze", "--optimiser", "sgd"], "use a smaller backbone"),
    ],
)
def test_a_plan_advises_what_has_not_been_chosen_yet(capsys, words, said):
    assert main(["plan", "--vram-gib", "0.01", *words]) == 2
    assert capsys.readouterr().err.strip().endswith(f"; {said}")
