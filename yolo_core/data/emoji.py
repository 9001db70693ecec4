"""EmojiVOC: VOC's twenty classes drawn with emoji, as a true VOC tree.

Inside: `generate` (write the tree), `encoded` (one scene as JPEG and XML), `scenes_per_second`.

A scene is fixed by (seed, split, number) alone: however many are made, and by however many processes, its bytes are the same on one
machine. What is in a scene is told by scene.py, where things are by layout.py, what they look like by glyphs.py.
"""

import json
import os
import shutil
import time
from concurrent.futures import ProcessPoolExecutor
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from tqdm.auto import tqdm

from yolo_core.data.annotation import CLASSES
from yolo_core.data.glyphs import STYLES
from yolo_core.data.scene import Scene, compose
from yolo_core.errors import InputError

VERSION = 1  # of the scenes: raise it when a change here or in scene.py changes a byte of them


def encoded(seed: int, split: str, number: int, size: int, style: str = "twemoji") -> tuple[bytes, bytes]:
    """Scene `number` of a split: its JPEG and its annotation in VOC's XML."""
    rng = np.random.default_rng([VERSION, seed, *split.encode(), number])
    scene = compose(rng, size, split, style)
    jpeg = BytesIO()
    scene.picture.save(jpeg, "JPEG", quality=int(rng.integers(70, 96)))
    return jpeg.getvalue(), _annotation(_name(split, number), size, scene)


def _name(split: str, number: int) -> str:
    return f"{split}_{number:06d}"


def _annotation(name: str, size: int, scene: Scene) -> bytes:
    """VOC's XML: pixels counted from 1, both ends included."""
    root = ElementTree.Element("annotation")

    def add(parent: ElementTree.Element, **fields: object) -> None:
        for tag, value in fields.items():
            ElementTree.SubElement(parent, tag).text = str(int(value) if isinstance(value, bool) else value)

    add(root, folder="VOC2012", filename=f"{name}.jpg")
    add(ElementTree.SubElement(root, "size"), width=size, height=size, depth=3)
    add(root, segmented=0)
    for drawn in scene.objects:
        node = ElementTree.SubElement(root, "object")
        add(node, name=CLASSES[drawn.label], pose="Unspecified", truncated=drawn.truncated, difficult=drawn.difficult(size))
        xmin, ymin, xmax, ymax = drawn.box
        add(ElementTree.SubElement(node, "bndbox"), xmin=xmin + 1, ymin=ymin + 1, xmax=xmax, ymax=ymax)
    return ElementTree.tostring(root)


def _write(tree: Path, seed: int, split: str, numbers: range, size: int, style: str) -> int:
    for number in numbers:
        jpeg, xml = encoded(seed, split, number, size, style)
        (tree / "JPEGImages" / f"{_name(split, number)}.jpg").write_bytes(jpeg)
        (tree / "Annotations" / f"{_name(split, number)}.xml").write_bytes(xml)
    return len(numbers)


def generate(
    out: Path, train: int, val: int, size: int = 224, seed: int = 0, progress: bool = True, style: str = "twemoji", processes: int | None = None
) -> None:
    """Write `out`/VOCdevkit/VOC2012 with `train` + `val` scenes, `size` px square. A tree of the same parameters stays as it is.

    Made beside its place and moved there whole: an interruption leaves nothing half-made. Raises InputError for parameters that make no
    data, and for a folder that is in the way.
    """
    for name, value, least in (("train", train, 1), ("val", val, 1), ("size", size, 32), ("seed", seed, 0)):
        if value < least:
            raise InputError(f"{name} must be at least {least}; got {value}.")
    if style not in STYLES:
        raise InputError(f"unknown style {style!r}; choose one of {', '.join(STYLES)}.")
    out = Path(out)
    parameters = {"version": VERSION, "train": train, "val": val, "size": size, "seed": seed, "style": style}
    told = out / "emojivoc.json"
    if told.exists() and json.loads(told.read_text()) == parameters:
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: there is something else there already; give another folder, or remove this one first.")
    draft = out.with_name(f".{out.name}.{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)
    tree = draft / "VOCdevkit" / "VOC2012"
    try:
        for part in ("JPEGImages", "Annotations", "ImageSets/Main"):
            (tree / part).mkdir(parents=True)
        counts = {"train": train, "val": val}
        jobs = [(split, range(k, min(k + 32, n))) for split, n in counts.items() for k in range(0, n, 32)]
        with (
            ProcessPoolExecutor(processes or os.cpu_count()) as pool,
            tqdm(total=train + val, desc="drawing EmojiVOC", unit="scene", disable=not progress) as bar,
        ):
            for job in [pool.submit(_write, tree, seed, split, numbers, size, style) for split, numbers in jobs]:
                bar.update(job.result())
        for split in ("train", "val", "trainval"):
            names = [_name(s, i) for s, n in counts.items() if s in split for i in range(n)]
            (tree / "ImageSets" / "Main" / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))
        (draft / "LICENCE.txt").write_text(f"{STYLES[style].licence}\nScenes: EmojiVOC version {VERSION}, seed {seed}, under the same licence.\n")
        (draft / "emojivoc.json").write_text(json.dumps(parameters) + "\n")
        if out.exists():
            out.rmdir()
        draft.rename(out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def scenes_per_second(count: int = 120, size: int = 224) -> float:
    """Scenes made per second of one core's time, JPEG and XML included, with the glyphs at hand."""
    for number in range(60):
        encoded(0, "train", number, size)
    start = time.process_time()
    for number in range(60, 60 + count):
        encoded(0, "train", number, size)
    return count / (time.process_time() - start)
