"""EmojiVOC: VOC's twenty classes drawn with emoji, as a true VOC tree.

Inside: `generate` (write the tree), `layout` (what is where, drawn from VOC 2012's statistics), `scene` (its pixels), `scenes_per_second`.

A scene is fixed by (seed, split, number) alone: however many are made, by however many processes, its bytes are the same on one machine.
First the layout is drawn, without a pixel; then glyphs are fitted to its boxes. A box is the extent of what its glyph draws inside the frame;
what lies in front does not shrink it. Objects of which less than HIDDEN is to be seen, or that are smaller than TINY, are marked
`difficult`, as VOC marks what cannot be recognised without looking at the rest of the picture.
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
import torch
from PIL import Image, ImageFilter
from tqdm.auto import tqdm

from yolo_core.data.annotation import CLASSES
from yolo_core.data.glyphs import DISTRACTORS, NOTICE, SIZES, SKIN_TONES, Style, designs, folder, raster, tight
from yolo_core.data.statistics import BUCKETS, MOST, QUANTILES, bucket, size_third, voc2012
from yolo_core.errors import InputError

VERSION = 1  # raise it when a change here changes a scene
HIDDEN = 0.3  # share of an object's pixels to be seen, below which it is difficult
TINY = 10 / 224  # of the picture's side: an object both thinner and lower is difficult
STRETCH = 1.7  # how far a glyph may be pulled out of its own aspect; beyond it, the box gives way


def layout(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Labels [n] and boxes [n, 4] (xyxy in [0, 1]) of a scene, drawn from the tables of `statistics.fit_layout`.

    The objects of one scene resemble each other as VOC's do: their normal scores share a part of the variance.
    """
    _, tables = voc2012()
    main = rng.choice(len(CLASSES), p=_normalised(tables["first"]))
    count = max(1, rng.choice(MOST + 1, p=_normalised(tables["count"][main])))
    others = np.array(tables["others"][main])
    labels = np.full(count, main)
    if others.sum() > 0 and count > 1:
        labels[1:] = rng.choice(len(CLASSES), size=count - 1, p=_normalised(others))
    rng.shuffle(labels)

    def draw(name: str, groups: np.ndarray) -> np.ndarray:
        shared = tables["alike"][name]
        score = np.sqrt(shared) * rng.standard_normal() + np.sqrt(1 - shared) * rng.standard_normal(count)
        level = torch.special.ndtr(torch.from_numpy(score)).numpy()
        rows = np.asarray(tables["quantiles"][name])
        return np.array([np.interp(p, QUANTILES, rows[g]) for p, g in zip(level, groups, strict=True)])

    size = draw("size", labels * len(BUCKETS) + bucket(count)).clip(0.02, 1)
    third = size_third(size)
    aspect = 2.0 ** draw("aspect", labels * 3 + third)
    width, height = size * np.sqrt(aspect), size / np.sqrt(aspect)
    # A side cannot pass the picture's; the other grows to keep the area, as a cropped object's does.
    width, height = np.minimum(width * np.maximum(height, 1), 1), np.minimum(height * np.maximum(width, 1), 1)
    left, top = draw("u", third) * (1 - width), draw("v", third) * (1 - height)
    return labels, np.stack([left, top, left + width, top + height], 1)


def _normalised(weights: list[float] | np.ndarray) -> np.ndarray:
    return np.asarray(weights, dtype=float) / np.sum(weights)


def background(rng: np.random.Generator, size: int) -> Image.Image:
    """Two colours running into each other, clouds of low-frequency noise, often a ground, sometimes stripes or blobs, always some grain."""
    y, x = np.mgrid[0:size, 0:size] / size
    first, second = rng.uniform(20, 235, (2, 3))
    angle = rng.uniform(0, np.pi)
    ramp = (x * np.cos(angle) + y * np.sin(angle)).clip(0, 1)[..., None]
    pixels = first * (1 - ramp) + second * ramp
    for cells, strength in ((4, 45), (14, 28)):
        coarse = rng.normal(0, strength, (cells, cells, 3)) * (1 if rng.random() < 0.5 else np.array([0.3, 0.3, 0.3]))
        coarse = (coarse + 128).clip(0, 255).astype(np.uint8)
        pixels += np.asarray(Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC), dtype=float) - 128
    kind = rng.random()
    if kind < 0.45:  # a ground below a horizon
        horizon, tilt = rng.uniform(0.35, 0.85), rng.uniform(-0.15, 0.15)
        below = (y > horizon + tilt * (x - 0.5))[..., None]
        pixels = np.where(below, 0.35 * pixels + 0.65 * rng.uniform(20, 220, 3), pixels)
    elif kind < 0.65:  # stripes
        wave = np.sin((x * np.cos(3 * angle) + y * np.sin(3 * angle)) * rng.uniform(15, 80))[..., None]
        pixels += (wave > rng.uniform(-0.5, 0.8)) * rng.normal(0, 30, 3)
    elif kind < 0.8:  # blobs
        for _ in range(rng.integers(3, 9)):
            cx, cy, r = rng.uniform(0, 1, 3) * [1, 1, 0.2]
            pixels += (((x - cx) ** 2 + (y - cy) ** 2) < r * r)[..., None] * rng.normal(0, 40, 3)
    pixels += rng.normal(0, rng.uniform(2, 9), (size, size, 1))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _turned(code: str, height: float, rng: np.random.Generator, style: Style, most: float) -> Image.Image:
    """A glyph, mirrored or not, turned by up to `most` degrees, its colours shifted, cut to what is drawn."""
    at_hand = next((s for s in SIZES if s >= height), SIZES[-1])
    glyph = raster(code, at_hand, style)
    if rng.random() < 0.5:
        glyph = glyph.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    angle = rng.normal(0, most / 2)
    if abs(angle) > 1:
        glyph = tight(glyph.rotate(float(np.clip(angle, -most, most)), Image.Resampling.BILINEAR, expand=True))
    pixels = np.asarray(glyph).astype(np.float32)
    gain, lift = rng.uniform(0.7, 1.25) * rng.uniform(0.8, 1.2, 3), rng.uniform(-20, 20)
    colour = pixels[..., :3] * gain + lift
    if rng.random() < 0.15:
        colour = np.repeat(colour.mean(-1, keepdims=True), 3, -1)
    pixels[..., :3] = colour.clip(0, 255)
    return Image.fromarray(pixels.astype(np.uint8))


def fitted(code: str, box: np.ndarray, size: int, rng: np.random.Generator, style: Style) -> tuple[Image.Image, tuple[int, int, int, int]]:
    """A glyph that fills a box of a picture `size` px wide, and the box in whole pixels (xyxy) that it really fills.

    At the picture's edge the glyph may run on beyond it, as VOC's truncated objects do: up to two fifths of it are cut off there.
    """
    left, top, right, bottom = box * size
    width, height = max(right - left, 3.0), max(bottom - top, 3.0)
    glyph = _turned(code, max(width, height), rng, style, most=25)
    for side, near, at in (("x", left < 1, 0), ("x", right > size - 1, 1), ("y", top < 1, 0), ("y", bottom > size - 1, 1)):
        if near and rng.random() < 0.6:
            w, h = glyph.size
            cut = rng.uniform(0.05, 0.4)
            keep = [0, 0, w, h]
            keep[(0 if side == "x" else 1) + 2 * at] = int((w if side == "x" else h) * (1 - cut if at else cut))
            glyph = tight(glyph.crop(keep))
    pull = (width / height) / (glyph.width / glyph.height)
    excess = max(pull / STRETCH, 1 / (pull * STRETCH), 1.0) ** 0.5
    if pull < 1:
        excess = 1 / excess
    centre_x, centre_y = (left + right) / 2, (top + bottom) / 2
    w, h = (max(3, min(size, round(s))) for s in (width / excess, height * excess))
    x = int(np.clip(round(centre_x - w / 2), 0, size - w))
    y = int(np.clip(round(centre_y - h / 2), 0, size - h))
    glyph = glyph.resize((w, h), Image.Resampling.BILINEAR, reducing_gap=2.0)
    # Scaling may fade an outermost row: the box is what is at least half opaque.
    solid = tight(glyph) if np.asarray(glyph)[..., 3].max() > 127 else glyph
    if solid.size != glyph.size:
        glyph = solid.resize((w, h), Image.Resampling.NEAREST)
    return glyph, (x, y, x + w, y + h)


def scene(seed: int, split: str, number: int, size: int, style: Style = "twemoji") -> tuple[bytes, list[dict]]:
    """A scene's JPEG and its objects: `{name, box (xyxy, whole continuous pixels), truncated, difficult}`, in the order of the layout."""
    rng = np.random.default_rng([VERSION, seed, *split.encode(), number])
    labels, boxes = layout(rng)
    picture = background(rng, size)
    for _ in range(rng.integers(0, 7)):
        side = int(size * rng.uniform(0.04, 0.3))
        glyph = _turned(str(rng.choice(DISTRACTORS)), side, rng, style, most=60)
        glyph.thumbnail((side, side))
        picture.paste(glyph, tuple(rng.integers(-side // 3, size - side // 2, 2).tolist()), glyph)
    owner = np.full((size, size), -1, np.int16)
    objects: list[dict] = [{} for _ in labels]
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    # Large things first, so that small ones stand before them; the noise turns some pairs round.
    for i in np.argsort(-area * np.exp(rng.normal(0, 0.7, len(area)))).tolist():
        name = CLASSES[labels[i]]
        code = str(rng.choice(designs(name, split)))
        if name == "person":
            toned = code.replace("-200d", f"{rng.choice(SKIN_TONES)}-200d") if "-200d" in code else code + str(rng.choice(SKIN_TONES))
            code = toned if style == "twemoji" else code
        glyph, box = fitted(code, boxes[i], size, rng, style)
        picture.paste(glyph, box[:2], glyph)
        solid = np.asarray(glyph)[..., 3] > 127
        view = owner[box[1] : box[3], box[0] : box[2]]
        view[solid] = i
        edge = box[0] == 0 or box[1] == 0 or box[2] == size or box[3] == size
        objects[i] = {"name": name, "box": box, "truncated": edge, "pixels": max(1, int(solid.sum()))}
    for i, o in enumerate(objects):
        seen = int((owner == i).sum()) / o.pop("pixels")
        w, h = o["box"][2] - o["box"][0], o["box"][3] - o["box"][1]
        o["difficult"] = seen < HIDDEN or max(w, h) < TINY * size
    if rng.random() < 0.25:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.9)))
    out = BytesIO()
    picture.save(out, "JPEG", quality=int(rng.integers(70, 96)))
    return out.getvalue(), objects


def annotation(name: str, size: int, objects: list[dict]) -> bytes:
    """VOC's XML: pixels counted from 1, both ends included."""
    root = ElementTree.Element("annotation")

    def add(parent: ElementTree.Element, **fields: object) -> None:
        for tag, value in fields.items():
            ElementTree.SubElement(parent, tag).text = str(int(value) if isinstance(value, bool | np.bool_) else value)

    add(root, folder="VOC2012", filename=f"{name}.jpg")
    add(ElementTree.SubElement(root, "size"), width=size, height=size, depth=3)
    add(root, segmented=0)
    for o in objects:
        node = ElementTree.SubElement(root, "object")
        add(node, name=o["name"], pose="Unspecified", truncated=o["truncated"], difficult=o["difficult"])
        x0, y0, x1, y1 = o["box"]
        add(ElementTree.SubElement(node, "bndbox"), xmin=x0 + 1, ymin=y0 + 1, xmax=x1, ymax=y1)
    return ElementTree.tostring(root)


def _write(tree: Path, job: tuple[int, str, int, int, Style]) -> None:
    seed, split, number, size, style = job
    name = f"{split}_{number:06d}"
    jpeg, objects = scene(seed, split, number, size, style)
    (tree / "JPEGImages" / f"{name}.jpg").write_bytes(jpeg)
    (tree / "Annotations" / f"{name}.xml").write_bytes(annotation(name, size, objects))


def _write_many(tree: Path, jobs: list[tuple]) -> int:
    for job in jobs:
        _write(tree, job)
    return len(jobs)


def generate(
    out: Path, train: int, val: int, size: int = 224, seed: int = 0, progress: bool = True, style: Style = "twemoji", processes: int | None = None
) -> None:
    """Write `out`/VOCdevkit/VOC2012 with `train` + `val` scenes, `size` px square; what is there already with the same parameters stays.

    Made beside its place and moved there whole. Raises InputError for parameters that make no data and for a folder in the way.
    """
    for name, value, least in (("train", train, 1), ("val", val, 1), ("size", size, 32), ("seed", seed, 0)):
        if value < least:
            raise InputError(f"{name} must be at least {least}; got {value}")
    out = Path(out)
    parameters = {"version": VERSION, "train": train, "val": val, "size": size, "seed": seed, "style": style}
    told = out / "emojivoc.json"
    if told.exists() and json.loads(told.read_text()) == parameters:
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: there is something else there; give another folder, or remove this one first")
    folder(style)  # refuse before anything is written
    draft = out.with_name(f".{out.name}.{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)
    tree = draft / "VOCdevkit" / "VOC2012"
    for part in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (tree / part).mkdir(parents=True)
    jobs = [(seed, split, i, size, style) for split, count in (("train", train), ("val", val)) for i in range(count)]
    chunks = [jobs[k : k + 32] for k in range(0, len(jobs), 32)]
    try:
        with (
            ProcessPoolExecutor(processes or os.cpu_count()) as pool,
            tqdm(total=len(jobs), desc="drawing EmojiVOC", unit="scene", disable=not progress) as bar,
        ):
            for done in pool.map(_write_many, [tree] * len(chunks), chunks):
                bar.update(done)
        for split in ("train", "val", "trainval"):
            names = [f"{s}_{i:06d}" for _, s, i, _, _ in jobs if s in split]
            (tree / "ImageSets" / "Main" / f"{split}.txt").write_text("".join(f"{n}\n" for n in names))
        (draft / "LICENCE.txt").write_text(f"{NOTICE[style]}\nScenes: EmojiVOC version {VERSION}, seed {seed}; same licence.\n")
        (draft / "emojivoc.json").write_text(json.dumps(parameters) + "\n")
        if out.exists():
            out.rmdir()
        draft.rename(out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def scenes_per_second(count: int = 120, size: int = 224) -> float:
    """Scenes drawn and encoded on one core, glyphs warm."""
    for number in range(30):
        scene(0, "train", number, size)
    start = time.perf_counter()
    for number in range(count):
        annotation("x", size, scene(0, "train", number, size)[1])
    return count / (time.perf_counter() - start)
