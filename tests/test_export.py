"""An exported detector says what PyTorch's says, to any runtime, or is not written."""

import json

import onnx
import pytest
import torch

from groundwork.errors import InputError
from trial.inference import export as exporting
from trial.inference.export import Deployed, compare, export, session
from voc_tree.annotation import CLASSES
from yolo_core.__main__ import main
from yolo_core.detector.model import batchnorms
from yolo_core.training.config import RunConfig

KINDS = {
    "YOLOv1's cells": RunConfig(width=0.25, head="conv", background="qfl", confidence_bias=-2.0),
    "points at three strides, with bins": RunConfig(width=0.25, head="decoupled", finest_stride=8, bins=16, score_loss="quality"),
}


@pytest.fixture(scope="module", params=KINDS, ids=list(KINDS))
def exported(request, tmp_path_factory):
    """An export, with the detector it came from: random weights, but scores that are far from each other."""
    config = KINDS[request.param]
    torch.manual_seed(0)
    detector = config.detector()
    for norm in batchnorms(detector):
        norm.momentum = 1.0
    with torch.no_grad():  # one batch, after which no layer's output fades away
        detector.train()(torch.rand(8, 3, config.image_size, config.image_size))
    path = tmp_path_factory.mktemp("export") / "model.onnx"
    return detector, config, path, export(detector, config, path)


def test_an_exported_file_passes_the_checker_and_says_what_its_numbers_mean(exported):
    detector, config, path, _ = exported
    onnx.checker.check_model(path, full_check=True)
    model = onnx.load(path)
    about = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(about["classes"]) == list(CLASSES)
    assert about["image_size"] == str(config.image_size)
    parameters = sum(weight.numel() for weight in detector.parameters())
    assert path.stat().st_size == pytest.approx(4 * parameters, rel=0.1), "four bytes a parameter, and little else"
    assert [x.name for x in model.graph.input] == ["images"] and [x.name for x in model.graph.output] == ["boxes", "scores"]


@pytest.mark.parametrize("pictures", [1, 5])
def test_onnxruntime_puts_out_what_pytorch_does_for_any_number_of_pictures(exported, pictures):
    detector, config, path, _ = exported
    images = torch.rand(pictures, 3, config.image_size, config.image_size)
    boxes, scores = session(path).run(["boxes", "scores"], {"images": images.numpy()})
    with torch.no_grad():
        outputs = detector.eval()(images)
        wanted_boxes, wanted_scores = config.grid().candidates(outputs, config.confidence)
    assert wanted_scores.std() > 1e-3, "scores that are all alike would agree with anything"
    # A hundredth of a pixel, as far as two runtimes round alike: a side is the square of an output.
    torch.testing.assert_close(torch.from_numpy(boxes) * config.image_size, wanted_boxes * config.image_size, atol=1e-2, rtol=1e-4)
    torch.testing.assert_close(torch.from_numpy(scores), wanted_scores, atol=1e-4, rtol=1e-4)


def test_what_is_exported_is_what_decode_suppresses(exported):
    """Thresholded and suppressed as the file's reader is told to, its numbers are the detections of `decode`."""
    from torchvision.ops import batched_nms

    detector, config, path, _ = exported
    image = torch.rand(1, 3, config.image_size, config.image_size)
    boxes, scores = (torch.from_numpy(x)[0] for x in session(path).run(None, {"images": image.numpy()}))
    cut = float(scores.flatten().topk(50).values[-2:].mean())
    place, label = (scores > cut).nonzero(as_tuple=True)
    kept = batched_nms(boxes[place], scores[place, label], label, 0.5)
    with torch.no_grad():
        found = config.grid().decode(detector.eval()(image), cut, confidence=config.confidence)[0]
    assert len(kept) == len(found["labels"]) > 1
    torch.testing.assert_close(scores[place, label][kept], found["scores"], atol=1e-5, rtol=1e-4)


def test_a_file_that_differs_from_pytorch_is_refused_and_leaves_nothing(quick_onnx, tmp_path, monkeypatch):
    config = KINDS["YOLOv1's cells"]
    monkeypatch.setattr(exporting, "compare", lambda *_: {"boxes": 0.0, "scores": float("nan")})
    with pytest.raises(InputError, match="nothing was written"):
        export(config.detector(), config, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_the_comparison_sees_another_detector(exported):
    detector, config, path, found = exported
    assert max(found.values()) <= 1e-4
    other = Deployed(config.detector(), config)
    assert max(compare(other, session(path), torch.rand(1, 3, config.image_size, config.image_size)).values()) > 1e-2


@pytest.mark.parametrize("place", ["there.onnx", "no/such/folder/model.onnx"])
def test_export_neither_overwrites_a_file_nor_makes_folders(tmp_path, place):
    (tmp_path / "there.onnx").write_text("mine")
    config = KINDS["YOLOv1's cells"]
    with pytest.raises(InputError, match="give another --out"):
        export(config.detector(), config, tmp_path / place)
    assert (tmp_path / "there.onnx").read_text() == "mine" and len(list(tmp_path.iterdir())) == 1


def test_a_run_is_exported_from_the_command_line(quick_onnx, tmp_path, capsys, monkeypatch):
    """That the command's own file runs is tested in tests/test_installed.py, from an installed package."""
    from helpers_voc import write_tree

    monkeypatch.setattr(exporting, "compare", lambda *_: {"boxes": 2e-4, "scores": 3e-4})
    tree = write_tree(tmp_path / "tree", train=6, val=3)
    run, out = tmp_path / "run", tmp_path / "model.onnx"
    train = ["train", "remedies", "--arm", "base", "--profile", "smoke", "--data", str(tree), "--out", str(run), "--max-steps", "1"]
    assert main(train) == 0
    assert main(["export", str(run), "--out", str(out)]) == 0
    assert "greatest difference from PyTorch" in capsys.readouterr().out
    onnx.checker.check_model(out)
    assert main(["export", str(run), "--out", str(out)]) == 2
    assert "already there" in capsys.readouterr().err
