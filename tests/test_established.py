"""torchvision's FCOS runs on our frozen backbone and our scenes, and is scored as every other detector is."""

import json

import pytest
import torch

from groundwork.errors import InputError
from trial.register import committed, established, reference
from yolo_core import experiments
from yolo_core.__main__ import main


@pytest.fixture(scope="module")
def config():
    return experiments.resolve("remedies", "all", "smoke", 97)


def test_its_backbone_stands_still_and_the_rest_learns(config):
    torch.manual_seed(0)
    model = established.fcos(config)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    images = list(torch.rand(2, 3, config.image_size, config.image_size))
    targets = [{"boxes": torch.tensor([[20.0, 20.0, 90.0, 90.0]]), "labels": torch.tensor([3])}] * 2
    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.1)
    sum(model.train()(images, targets).values()).backward()
    optimiser.step()
    changed = {name.startswith("backbone.net.") for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {False}, "something outside the backbone has learnt, and nothing inside it has"


def test_it_can_be_taught_one_picture_and_finds_its_object_at_its_place(config):
    """Boxes and classes go in and come out in one convention: what it is taught is what it is then scored for."""
    data, _ = experiments.profile_data("smoke", progress=False)
    one = next(i for i, t in enumerate(data.targets) if len(t["labels"]) == 1 and (t["boxes"][0, 2:] - t["boxes"][0, :2]).min() > 0.3)
    torch.manual_seed(0)
    model = established.fcos(config).train()
    image = data.images[one].float() / 255
    target = established.taught(data.targets[one], config.image_size)
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 2e-3)
    for _ in range(40):
        optimiser.zero_grad()
        sum(model([image], [target]).values()).backward()
        optimiser.step()
    split = data.sample(one + 1)
    found = established.detections(model, split)[one]
    assert found["boxes"].max() <= 1
    assert found["labels"][0] == data.targets[one]["labels"][0]
    from yolo_core.detector.boxes import paired_iou

    assert paired_iou(found["boxes"][:1], data.targets[one]["boxes"]).item() > 0.7


def test_its_score_is_stored_and_read_again_for_the_scenes_it_was_made_on(tmp_path, monkeypatch):
    monkeypatch.setattr(committed, "FOLDER", tmp_path)
    (tmp_path / "smoke").mkdir()
    assert established.stored("smoke") is None
    record = established.train_fcos("smoke", max_steps=2, progress=False)
    assert record["steps"] == 2 and 0 <= record["metrics"]["map"] <= 1 and record["metrics"]["images"] == 16
    established.place("smoke").write_text(json.dumps(record))
    assert established.stored("smoke")["metrics"] == record["metrics"]
    established.place("smoke").write_text(json.dumps(record | {"data": {"train": "other", "val": "other"}}))
    assert established.stored("smoke") is None
    for torn in ("", "[]", "{}", json.dumps(record | {"metrics": {}}), "[" * 10**5):
        established.place("smoke").write_text(torn)
        with pytest.raises(InputError, match="established.json: not FCOS's score .*bring back the one that was committed"):
            established.stored("smoke")


@pytest.mark.parametrize("seed", (*reference.SEEDS, *reference.MORE_SEEDS, reference.FRESH_SEEDS[0], reference.FRESH_SEEDS[-1]))
def test_a_seed_that_verdicts_are_drawn_from_is_refused(seed, tmp_path, capsys):
    assert main(["established", "--profile", "smoke", "--seed", str(seed), "--out", str(tmp_path / "score.json")]) == 2
    assert f"--seed {seed} is one that verdicts are drawn from" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
