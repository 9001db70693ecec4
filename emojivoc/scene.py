"""One EmojiVOC scene: a list of boxes turned into a picture of glyphs.

Inside: `Scene`, `Item` (one object as drawn) and `compose` (a whole scene).

A box is the tight extent of the object's opaque pixels inside the frame: what the frame cuts off does not count, what nearer
objects cover does, as VOC's boxes are drawn around hidden parts that can be guessed.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from emojivoc import glyphs, layout, pose
from emojivoc.backgrounds import background
from voc_tree.annotation import CLASSES

HIDDEN = 0.7  # an object of which nearer ones hide more is moved to the front, or left out
DIFFICULT_SIZE = 0.06  # an object is difficult below this root of its share of the picture (13 pixels of 224),
DIFFICULT_HIDDEN = 0.5  # or where nearer objects hide more than this share of its pixels,
DIFFICULT_CROPPED = 0.62  # or where the frame cuts off more than this share of its extents

# Standard deviations: of the rotation in degrees, and of the hue in turns (a red bus may be green, a green dog may not be).
TILT = dict.fromkeys(CLASSES, 7.0) | {"aeroplane": 25.0, "bird": 12.0, "bottle": 20.0, "diningtable": 3.0, "sofa": 3.0, "train": 4.0}
HUE = dict.fromkeys(CLASSES, 0.25) | {"bird": 0.06, "diningtable": 0.06, "tvmonitor": 0.06}
HUE |= dict.fromkeys(("cat", "cow", "dog", "horse", "person", "pottedplant", "sheep"), 0.015)
FLYING = ("aeroplane", "bird")  # cast no shadow


@dataclass(frozen=True)
class Item:
    """One object: its class, its pixels and how much of it is missing."""

    label: int
    drawn: pose.Rendered
    cropped: float  # share of the glyph's extents outside the frame
    hidden: float = 0.0  # share of the opaque pixels under nearer objects

    @property
    def box(self) -> tuple[int, int, int, int]:
        """xmin, ymin, xmax, ymax: edges, in whole pixels."""
        return self.drawn.box

    @property
    def area(self) -> int:
        return (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])

    @property
    def truncated(self) -> bool:
        return self.cropped > 0.02

    def difficult(self, size: int) -> bool:
        small = math.sqrt(self.area) / size < DIFFICULT_SIZE
        return small or self.hidden > DIFFICULT_HIDDEN or self.cropped > DIFFICULT_CROPPED


@dataclass(frozen=True)
class Scene:
    picture: Image.Image  # RGB, size x size
    items: tuple[Item, ...]  # in the layout's order


def compose(rng: np.random.Generator, size: int, split: str, style: str = "twemoji") -> Scene:
    """Background, distractors, then a VOC-like list of objects, large ones first, and the slight faults of a photograph.

    `split` says whose glyph designs are drawn, "train"'s or "val"'s.
    """
    wanted = layout.sample(layout.voc2012(), rng)
    picture = background(rng, size)
    for _ in range(rng.poisson(2.0)):
        _distract(rng, picture, style)
    items = []
    for label, box in zip(wanted["labels"].tolist(), wanted["boxes"] * size, strict=True):
        name = CLASSES[label]
        chosen = pose.fit(rng, getattr(glyphs.GLYPHS[name], split), TILT[name], box, size, style)
        drawn = pose.render(chosen, _recolour(rng, HUE[name]), size, style)
        if drawn is not None:
            items.append(Item(label, drawn, chosen.cropped(size)))
    for item in (stacked := _stack(rng, items, size)):
        if CLASSES[item.label] not in FLYING:
            _shadow(picture, item.box)
        picture.paste(item.drawn.picture, item.box[:2], item.drawn.mask)
    order = {id(item.drawn): k for k, item in enumerate(items)}
    return Scene(_photograph(rng, picture), tuple(sorted(stacked, key=lambda item: order[id(item.drawn)])))


def _stack(rng: np.random.Generator, items: list[Item], size: int) -> list[Item]:
    """The items far to near: large before small, with some luck. They know how much of them is hidden.

    An item hidden by more than `HIDDEN` comes to the front; the few that stay so even then are left out.
    """
    items = sorted(items, key=lambda item: -item.area * math.exp(rng.normal(0, 0.6)))
    for _ in range(3):
        items = _covered(items, size)
        buried = [item for item in items if item.hidden > HIDDEN]
        if not buried:
            return items
        items = [item for item in items if item.hidden <= HIDDEN] + sorted(buried, key=lambda item: -item.area)
    kept = [item for item in _covered(items, size) if item.hidden <= HIDDEN]
    return _covered(kept, size)


def _covered(items: list[Item], size: int) -> list[Item]:
    """The items, far to near, with `hidden` as it is in this order."""
    covered, known = np.zeros((size, size), bool), []
    for item in reversed(items):
        x0, y0, x1, y1 = item.box
        opaque, under = np.asarray(item.drawn.mask) >= 128, covered[y0:y1, x0:x1]
        known.append(replace(item, hidden=float((opaque & under).sum() / opaque.sum())))
        under |= opaque
    return known[::-1]


def _distract(rng: np.random.Generator, picture: Image.Image, style: str) -> None:
    """Draw an emoji of none of the classes, of any size, anywhere, perhaps half outside."""
    size = picture.width
    side = float(np.clip(size * rng.lognormal(-1.7, 0.6), 8, size * 0.7))
    length = side * np.array((1.0, math.exp(rng.normal(0, 0.2))))
    start = rng.random(2) * (size + side * 0.6) - side * 0.8
    glyph = glyphs.DISTRACTORS[rng.integers(len(glyphs.DISTRACTORS))]
    chosen = pose.Pose(glyph, pose.turn(rng.normal(0, 12), rng.random() < 0.5), start, length)
    drawn = pose.render(chosen, _recolour(rng, 0.05), size, style)
    if drawn is not None:
        picture.paste(drawn.picture, drawn.box[:2], drawn.mask)


def _recolour(rng: np.random.Generator, spread: float) -> tuple[float, ...]:
    """A 3 x 4 colour matrix: a turn of the hue about the grey axis (standard deviation in turns), then saturation, contrast, brightness."""
    angle = rng.normal(0, spread) * 2 * math.pi
    third, skew = (1 - math.cos(angle)) / 3, math.sin(angle) / math.sqrt(3)
    hue = third + np.eye(3) * math.cos(angle) + skew * np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    saturation, gain, offset = rng.uniform(0.55, 1.15), rng.uniform(0.65, 1.1), rng.uniform(-20, 25)
    pale = gain * (saturation * np.eye(3) + (1 - saturation) / 3)
    matrix = (pale[:, :, None] * hue).sum(1)  # no @: see plane.py
    return tuple(float(v) for row in matrix for v in (*row, offset))


def _shadow(picture: Image.Image, box: tuple[int, int, int, int]) -> None:
    """A soft dark patch under the object, so that it stands somewhere."""
    width = box[2] - box[0]
    height = max(width // 8, 3)
    if box[3] < picture.height - 1:
        patch = Image.new("L", (width, 2 * height))
        ImageDraw.Draw(patch).ellipse((0, height // 2, width, height * 3 // 2), fill=90)
        picture.paste((0, 0, 0), (box[0], box[3] - height), patch.filter(ImageFilter.BoxBlur(height / 4)))


def _photograph(rng: np.random.Generator, picture: Image.Image) -> Image.Image:
    """Now and then a slight blur, now and then grain."""
    if rng.random() < 0.25:
        picture = picture.filter(ImageFilter.BoxBlur(rng.uniform(0.2, 0.8)))
    if rng.random() < 0.4:
        spread = int(rng.integers(3, 12))
        noise = rng.integers(-spread, spread + 1, (picture.height, picture.width, 1), dtype=np.int16)
        picture = Image.fromarray(np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8))
    return picture
