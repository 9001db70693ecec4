"""A trained run at work: scoring a split, looking at pictures.

Inside: `load`, `evaluate`, `table`, `found_in`, `predict_files`.
"""

import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from groundwork.errors import InputError, writing
from groundwork.files import LONGEST, in_place_of
from groundwork.strict_json import dumps
from trial.figures import figures
from trial.instruments.scored import of_cells, of_detections
from voc_tree.annotation import CLASSES
from voc_tree.picture import decode, read_image
from yolo_core.data.voc import VocData
from yolo_core.detector.model import Detector
from yolo_core.training.config import RunConfig
from yolo_core.training.records import AGAIN, read_run
from yolo_core.training.scoring import CUTS, predict
from yolo_core.training.step import CALMER

BOXES = "boxes.json"


def load(folder: Path | str) -> tuple[Detector, RunConfig]:
    """The detector of a finished run, in eval mode. InputError if the folder holds none or its weights do not fit."""
    run = read_run(folder)
    config = run.config
    state = run.weights()
    # The file holds every weight, so the pre-trained ones need not be found again.
    bare = RunConfig(**{**config.to_dict(), "weights": None})
    try:
        with torch.device("meta"):  # shapes, no memory: a configuration may ask for terabytes
            expected = bare.detector().state_dict()
    except (RuntimeError, TypeError, OverflowError, MemoryError) as error:
        said = str(error).split("\n")[0]
        raise InputError(f"{run.folder / 'record.json'}: no net can be made of its configuration ({said}); {AGAIN}") from error
    if fault := _misfit(state, expected):
        raise InputError(f"{run.folder / 'weights.safetensors'}: weights do not fit the run's configuration, {fault}; {AGAIN}")
    detector = bare.detector()
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
    """`scored.score` of a detector on a split. InputError where what it puts out is not finite."""
    outputs = predict(detector, data.images)
    detections = config.grid().decode(outputs, CUTS[0], confidence=config.confidence)
    if not all(values.isfinite().all() for values in (outputs, *(found["scores"] for found in detections))):
        raise InputError(f"what the run puts out on {data.source.file.stem} is not finite: its training has burst; {CALMER}")
    return of_detections(detections, data.targets) | of_cells(outputs, data.targets, config)


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


def predict_files(
    detector: Detector, config: RunConfig, images: Sequence[Path], out: Path, score_threshold: float, force: bool = False
) -> list[dict]:
    """Detections in picture files, boxes in pixels (xyxy) of each picture turned upright; writes a drawing of each and boxes.json to the
    folder `out`.

    Every picture is read before the first is drawn, and all is written or nothing: one bad file names itself and leaves `out` as it was.
    InputError where a file would be written over, unless `force`; a picture that is looked at never is, nor a folder.
    """
    names = _names(images)
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: expected a folder, and it is a file; name another --out")
    for lying in (out / name for name in (*names, BOXES) if os.path.lexists(out / name)):
        if any(lying.exists() and lying.samefile(image) for image in images if image.exists()):
            raise InputError(f"{lying}: this is one of the pictures, and its drawing would take its place; name another --out")
        if lying.is_dir():
            raise InputError(f"{lying}: a folder is there, and no file takes its place; move it away, or name another --out")
        if not force:
            raise InputError(f"{lying}: already there; name another --out, or write over it with --force")
    read = [read_image(path, config.image_size, upright=True) for path in images]
    outputs = predict(detector, torch.stack([pixels for pixels, _ in read]))
    if not outputs.isfinite().all():
        raise InputError(f"what the run puts out on these pictures is not finite: its training has burst; {CALMER}")
    detections = config.grid().decode(outputs, score_threshold, confidence=config.confidence)
    found = []
    with writing(out), in_place_of(out, lambda _: force) as folder:
        for path, name, (_, (width, height)), detection in zip(images, names, read, detections, strict=True):
            boxes = detection["boxes"] * torch.tensor([width, height, width, height])
            found.append(
                {
                    "image": str(path),
                    "drawing": name,
                    "width": width,
                    "height": height,
                    "boxes": [[round(x, 2) for x in box] for box in boxes.tolist()],
                    "scores": [round(s, 5) for s in detection["scores"].tolist()],
                    "labels": [CLASSES[label] for label in detection["labels"].tolist()],
                }
            )
            figures.detections(decode(path, upright=True), {**detection, "boxes": boxes}).savefig(folder / name)
        (folder / BOXES).write_text(dumps(found) + "\n", encoding="utf-8")
    return found


def _names(images: Sequence[Path]) -> list[str]:
    """A file name for each picture's drawing: its own, with a number where two have one, and shorter where a disk would not take it. Some
    disks take A and a for the same, and a letter with its accent for the two of them one after the other."""
    taken: list[str] = []
    for image in images:
        number, name = 1, _fitting(image.stem, ".png")
        while _alike(name) in map(_alike, taken):
            number += 1
            name = _fitting(image.stem, f"-{number}.png")
        taken.append(name)
    return taken


def _fitting(stem: str, end: str) -> str:
    while len(os.fsencode(stem + end)) > LONGEST:
        stem = stem[:-1]
    return stem + end


def _alike(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
