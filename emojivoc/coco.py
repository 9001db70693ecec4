"""A VOC tree's annotations in COCO's form, for tools that read nothing else.

Inside: `instances` (of one split), `write` (a file a split).
"""

import json
import os
from pathlib import Path
from typing import Any

from groundwork.errors import InputError, unreadable, writing
from groundwork.files import in_place_of
from groundwork.strict_json import write_json
from voc_tree.annotation import CLASSES, read_annotation
from voc_tree.tree import Split


def instances(root: Path | str, split: str) -> dict[str, Any]:
    """COCO's "instances" of a split of the VOC tree under `root`: images, annotations, categories.

    Boxes are [x, y, width, height] in continuous pixels, categories VOC's classes from 1 on. A `difficult` object is a crowd
    (`iscrowd` 1): COCO's evaluators pass over crowds alone. InputError for a tree or a split that is not there.
    """
    listed, images, annotations = Split(root, split), [], []
    for number, (image, xml) in enumerate(zip(listed.images, listed.annotations, strict=True), start=1):
        found = read_annotation(xml)
        images.append({"id": number, "file_name": Path(image).name, "width": found.width, "height": found.height})
        for (x1, y1, x2, y2), label, difficult in zip(found.boxes.tolist(), found.labels.tolist(), found.difficult.tolist(), strict=True):
            box = [x1, y1, x2 - x1, y2 - y1]
            one = {"id": len(annotations) + 1, "image_id": number, "category_id": label + 1, "bbox": box, "area": box[2] * box[3]}
            annotations.append(one | {"iscrowd": int(difficult)})
    categories = [{"id": number, "name": name} for number, name in enumerate(CLASSES, start=1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def write(root: Path, splits: tuple[str, ...] = ("train", "val")) -> list[Path]:
    """Write `instances` of each split as root/annotations/instances_SPLIT.json; the files. One that says the same already is left alone.
    InputError for one that says something else, before any is written, and where the disk refuses."""
    folder = Path(root) / "annotations"
    found = {folder / f"instances_{split}.json": instances(root, split) for split in splits}
    missing = [file for file in found if not os.path.lexists(file)]
    for file, value in found.items():
        if file not in missing and not _says(file, value):
            raise InputError(f"{file}: already there, and holds something else than these scenes; move it away and run this again")
    if missing:  # a disk that can only be read is no fault where nothing is to be written
        with writing(folder), in_place_of(folder) as draft:
            for file in missing:
                write_json(draft / file.name, found[file])
    return list(found)


def _says(file: Path, value: object) -> bool:
    try:
        return json.loads(file.read_text(encoding="utf-8")) == value
    except (OSError, ValueError, RecursionError) as error:
        if refused := unreadable(file, error):
            raise refused from error
        return False
