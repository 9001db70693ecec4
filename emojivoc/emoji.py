"""EmojiVOC: Pascal VOC's twenty classes drawn with emoji, written as a VOC tree.

Inside: `generate` (the tree), `lacks` (is it whole?), `draw` (one of its scenes), `scenes_per_second` (the rate on one core).

Scene i of a split depends on (seed, split, i) alone: neither on how many are asked for nor on how many processes draw them.
Asking again for a tree that is there returns at once; a tree that is not finished is never left behind under its own name.
"""

import importlib.metadata
import io
import json
import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from emojivoc.glyphs import GLYPHS, STYLES
from emojivoc.scene import Scene, compose
from groundwork.errors import InputError, unreadable, writing
from groundwork.files import endless, in_place_of
from groundwork.processes import end_with_caller
from voc_tree.annotation import CLASSES, DRAWN, to_xml

__all__ = ["GLYPHS", "draw", "generate", "lacks", "scenes_per_second"]

VERSION = 2  # of the pictures: raised with every change that draws a scene differently
SPLITS = ("train", "val")
CHUNK = 50  # scenes a task of the process pool
MOST = 1_000_000  # scenes of a split
LARGEST = 4096  # px: a larger scene takes more memory to draw than most machines have


def generate(
    out: Path,
    train: int,
    val: int,
    size: int = 224,
    seed: int = 0,
    progress: bool = True,
    style: str = "twemoji",
    workers: int | None = None,
) -> None:
    """Write `train` + `val` scenes of `size` x `size` pixels as out/VOCdevkit/VOC2012/{JPEGImages,Annotations,ImageSets/Main}.

    `style` is the family of emoji, "twemoji" or "openmoji"; `workers` the number of processes (default: one a core, for
    long lists only). Raises `InputError` for numbers out of range, for a style whose package is missing, and where `out` holds
    anything but the very tree asked for.
    """
    _check(train=(train, 1), val=(val, 1), size=(size, 32, LARGEST), seed=(seed, 0), workers=(1 if workers is None else workers, 1))
    if max(train, val) > MOST:
        raise InputError(f"train and val: expected at most {MOST:,} scenes each, got {train} and {val}.")
    if style not in STYLES:
        raise InputError(f"style: expected one of {', '.join(STYLES)}, got {style!r}.")
    STYLES[style].read("1f408")
    out = Path(os.path.expanduser(out))
    asked = _parameters(train, val, size, seed, style)
    if _is_there(out, asked):
        if progress:
            print(f"{out}: these scenes are there already")
        return
    try:
        _draw_all(out, asked, progress, workers)
    except InputError:
        if not _is_there(out, asked):  # by now: another process has drawn the same
            raise


def _draw_all(out: Path, asked: dict, progress: bool, workers: int | None) -> None:
    train, val, size, seed, style = (asked[key] for key in ("train", "val", "size", "seed", "style"))
    with writing(out), in_place_of(out) as folder:
        voc = folder / "VOCdevkit" / "VOC2012"
        for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
            (voc / name).mkdir(parents=True)
        names = {"train": [_name("train", i) for i in range(train)], "val": [_name("val", i) for i in range(val)]}
        names["trainval"] = names["train"] + names["val"]
        for split, lines in names.items():
            (voc / "ImageSets" / "Main" / f"{split}.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")
        (folder / "README.txt").write_text(_readme(asked), encoding="utf-8")
        (folder / DRAWN).write_text(json.dumps(asked, indent=1) + "\n", encoding="utf-8", newline="\n")
        tasks = [(split, range(n)[k : k + CHUNK]) for split, n in (("train", train), ("val", val)) for k in range(0, n, CHUNK)]
        write = partial(_write, voc, size=size, seed=seed, style=style)
        if workers is None:
            workers = min(os.cpu_count() or 1, 1 + (train + val) // 500)
        with tqdm(total=train + val, desc="EmojiVOC", unit="scene", disable=not progress) as bar:
            for done in _each(write, tasks, workers):
                bar.update(done)


def draw(split: str, index: int, size: int = 224, seed: int = 0, style: str = "twemoji") -> Scene:
    """Scene `index` of "train" or "val", as `generate` draws it."""
    key = np.random.SeedSequence(seed, spawn_key=(SPLITS.index(split), index))
    return compose(np.random.Generator(np.random.Philox(key)), size, split, style)


def scenes_per_second(scenes: int = 600, size: int = 224) -> float:
    """How many scenes are drawn and written in a second of one core's time, whatever else the machine is doing.

    In a new process this includes the drawing of each glyph's pictures when it first appears, which the first few hundred scenes pay for.
    """
    with tempfile.TemporaryDirectory() as folder:
        for name in ("JPEGImages", "Annotations"):
            (Path(folder) / name).mkdir()
        start = time.process_time()
        _write(Path(folder), ("train", range(scenes)), size, 0, "twemoji")
        return scenes / (time.process_time() - start)


def _write(voc: Path, task: tuple[str, range], size: int, seed: int, style: str) -> int:
    """Draw and write the scenes of one task: split and indices. Returns how many."""
    split, indices = task
    for index in indices:
        scene = draw(split, index, size, seed, style)
        name = _name(split, index)
        jpeg = io.BytesIO()
        scene.picture.save(jpeg, "JPEG", quality=70 + index * 7 % 25)  # all qualities from 70 to 94 in turn
        (voc / "JPEGImages" / f"{name}.jpg").write_bytes(jpeg.getvalue())
        (voc / "Annotations" / f"{name}.xml").write_text(_annotation(name, scene, size), encoding="utf-8", newline="\n")
    return len(indices)


def _annotation(name: str, scene: Scene, size: int) -> str:
    """The scene's XML."""
    source = {"database": "EmojiVOC", "annotation": "EmojiVOC", "image": "drawn"}
    objects = [(CLASSES[item.label], item.box, item.truncated, item.difficult(size)) for item in scene.items]
    return to_xml(name, (size, size), source, objects) + "\n"


def _name(split: str, index: int) -> str:
    return f"{split}_{index:06d}"


def _each(write: partial, tasks: list, workers: int) -> Iterator[int]:
    if workers == 1:
        yield from map(write, tasks)
    else:  # spawned, not forked: the reader's process may hold threads
        with ProcessPoolExecutor(workers, get_context("spawn"), end_with_caller) as pool:
            try:
                yield from pool.map(write, tasks)
            except BrokenProcessPool as error:
                said = "a process that draws was ended (was there too little memory?), and of the scenes nothing is left"
                raise InputError(f"{said}; run it again, with more memory or less beside it") from error


def _check(**numbers: tuple[int, ...]) -> None:
    for name, (value, least, *most) in numbers.items():
        if value < least or value > min(most, default=value):
            wanted = f"from {least} to {most[0]}" if most else f"of {least} or more"
            raise InputError(f"{name}: expected a whole number {wanted}, got {value}.")


def _parameters(train: int, val: int, size: int, seed: int, style: str) -> dict:
    packages = ("resvg_py", STYLES[style].package, "pillow", "numpy")
    versions = {package: importlib.metadata.version(package) for package in packages}
    return {"emojivoc": VERSION, "train": train, "val": val, "size": size, "seed": seed, "style": style, "versions": versions}


def _is_there(out: Path, asked: dict) -> bool:
    """Whether `out` is the tree asked for. Raises `InputError` where it is anything else, an empty folder aside."""
    drafts = f".{Path(os.path.realpath(out)).name}-"  # as `in_place_of` calls them: a killed drawing leaves one
    if not out.exists() or (out.is_dir() and all(lies.name.startswith(drafts) for lies in out.iterdir())):
        return False
    try:
        if endless(out / DRAWN):
            raise ValueError("a pipe")
        found = dict(json.loads((out / DRAWN).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        first = min(out.iterdir()).name if out.is_dir() else out.name
        said = f"expected a new or empty folder, found other files ({first} the first)"
        raise unreadable(out / DRAWN, error) or InputError(f"{out}: {said}; name another folder for the scenes.") from None
    different = [key for key in asked if key != "versions" and found.get(key) != asked[key]]  # an upgrade voids no data
    if different:
        differ = ", ".join(f"{key} {found.get(key)} in place of {asked[key]}" for key in different)
        raise InputError(f"{out}: holds other EmojiVOC scenes ({differ}); delete the folder, or name another one.")
    if missing := lacks(out, asked["train"] + asked["val"]):
        raise InputError(f"{out}: holds these EmojiVOC scenes without all of {missing}; move the folder away, or name another one.")
    return True


def lacks(out: Path, scenes: int) -> str:
    """The first part of the tree in `out` that is not whole, by number of files; "" for a whole tree of so many scenes."""
    voc = out / "VOCdevkit" / "VOC2012"
    wanted = {"JPEGImages/*.jpg": scenes, "Annotations/*.xml": scenes, "ImageSets/Main/*.txt": len(SPLITS) + 1}
    return next((f"VOCdevkit/VOC2012/{files}" for files, count in wanted.items() if len(list(voc.glob(files))) < count), "")


def _readme(asked: dict) -> str:
    versions = ", ".join(f"{package} {version}" for package, version in asked["versions"].items())
    return f"""EmojiVOC, version {asked["emojivoc"]}: Pascal VOC's twenty classes drawn with emoji.

Made by emojivoc.emoji from seed {asked["seed"]}: {asked["train"]} train and {asked["val"]} val scenes,
{asked["size"]} x {asked["size"]} pixels, with {versions}. The same seed and packages give the same bytes on every processor.

Glyphs: {STYLES[asked["style"]].licence}; changed: rotated, stretched, recoloured, cut off and combined.
A few shapes (tables, chairs, sofas, bottles, pots, a screen, a bicycle) and all backgrounds: drawn by the program, MIT.
The pictures are adaptations of the glyphs: pass them on under the glyphs' licence, with this file.

Boxes follow aggregates of the annotations of Pascal VOC 2012 (Everingham et al.); no picture of it is used.
A box is the tight extent of an object's visible and hidden pixels inside the frame. `difficult`: small, mostly hidden or mostly outside.
"""
