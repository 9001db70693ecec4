"""A trained run at work: scoring a split, looking at pictures.

Inside: `load`, `evaluate`, `table`, `found_in`, `predict_files`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from yolo_core.data.voc import CLASSES, VocData, read_image
from yolo_core.detector.model import Detector
from yolo_core.errors import InputError
from yolo_core.study import figures
from yolo_core.study.config import RunConfig
from yolo_core.study.records import read_run
from yolo_core.study.scoring import predict, score
from yolo_core.study.strict_json import dumps


def load(folder: Path | str) -> tuple[Detector, RunConfig]:
    """The detector of a finished run, in eval mode. InputError if the folder holds none or its weights do not fit."""
    run = read_run(folder)
    config = run.config
    path = run.folder / "weights.safetensors"
    try:
        state = run.weights()
    except Exception as error:  # safetensors raises its own kinds for a torn file
        raise InputError(f"{path}: weights are missing or cannot be read ({error}); train the run again") from error
    # The file holds every weight, so the pre-trained ones need not be found again.
    detector = RunConfig(**{**config.to_dict(), "weights": None}).detector()
    if fault := _misfit(state, detector.state_dict()):
        raise InputError(f"{path}: weights do not fit the run's configuration, {fault}; train the run again")
    detector.load_state_dict(state)
    return detector.to(memory_format=torch.channels_last).eval(), config


def _misfit(state: dict[str, Tensor], expected: dict[str, Tensor]) -> str | None:
    """What stands between weights and the net that is to take them; None if nothing does. torch would cast a wrong dtype in silence."""
    for name in sorted({*state, *expected}):
        if name not in state or name not in expected:
            return f"{name[:80]!r} is {'missing' if name in expected else 'none of its tensors'}"
        found, wanted = (f"{tuple(one[name].shape)} of {one[name].dtype}" for one in (state, expected))
        if found != wanted:
            return f"{name!r} is {found} where it takes {wanted}"
        if not state[name].isfinite().all():
            return f"{name!r} holds what is no number"
    return None


def evaluate(detector: Detector, config: RunConfig, data: VocData) -> dict[str, Any]:
    """`scoring.score` of a detector on a split."""
    return score(predict(detector, data.images), data.targets, config)


def table(metrics: dict[str, Any]) -> str:
    """A score as a table to read in a terminal."""
    lines = [
        f"mAP@.5 {metrics['map']:.4f}   (11-point {metrics['map_11point']:.4f}, class-agnostic {metrics['map_class_agnostic']:.4f})",
        # A detector at points has no grid that loses objects before any training.
        (f"ceiling of the grid {metrics['ceiling']:.4f}; " if "ceiling" in metrics else "")
        + f"{metrics['images']} images, {metrics['objects']} objects",
        "",
        f"{'score >=':>9} {'mAP@.5':>8} {'recall':>8} {'precision':>10} {'false/image':>12}",
    ]
    for cut, row in metrics["cuts"].items():
        lines.append(f"{cut:>9} {row['map']:>8.4f} {row['recall']:>8.4f} {row['precision']:>10.4f} {row['false_per_image']:>12.2f}")
    lines += ["", *(f"{name:>12} {ap:.4f}" for name, ap in metrics["per_class"].items())]
    return "\n".join(lines)


def found_in(detector: Detector, config: RunConfig, images: Tensor, score_threshold: float) -> list[dict[str, Tensor]]:
    """Detections in uint8 pictures [n, 3, s, s], boxes in their pixels, ready to be drawn."""
    found = config.grid().decode(predict(detector, images), score_threshold, confidence=config.confidence)
    return figures.in_pixels(found, images.shape[-1])


def predict_files(detector: Detector, config: RunConfig, images: Sequence[Path], out: Path, score_threshold: float) -> list[dict]:
    """Detections in picture files, boxes in pixels of each picture (xyxy); writes `<name>.png` and boxes.json to `out`.

    Every picture is read before the first is written: one bad file names itself and leaves `out` as it was.
    """
    read = [read_image(path, config.image_size) for path in images]
    outputs = predict(detector, torch.stack([pixels for pixels, _ in read]))
    detections = config.grid().decode(outputs, score_threshold, confidence=config.confidence)
    found = []
    names = set()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out}: cannot be made ({error.strerror}); name a folder that can be written to") from error
    for path, (_, (width, height)), detection in zip(images, read, detections, strict=True):
        boxes = detection["boxes"] * torch.tensor([width, height, width, height])
        found.append(
            {
                "image": str(path),
                "width": width,
                "height": height,
                "boxes": [[round(x, 2) for x in box] for box in boxes.tolist()],
                "scores": [round(s, 5) for s in detection["scores"].tolist()],
                "labels": [CLASSES[label] for label in detection["labels"].tolist()],
            }
        )
        # Two folders may hold pictures of one name: neither may overwrite the other.
        name = path.stem if path.stem not in names else f"{path.stem}-{len(names)}"
        names.add(name)
        with Image.open(path) as picture:
            figures.detections(picture.convert("RGB"), {**detection, "boxes": boxes}).savefig(out / f"{name}.png")
    (out / "boxes.json").write_text(dumps(found) + "\n")
    return found
