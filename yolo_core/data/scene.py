"""One EmojiVOC scene: a list of boxes turned into a picture of glyphs.

Inside: `Scene`, `compose` (a whole scene from a seed), `Drawn` (one object as drawn) and `draw_glyph` (a glyph fitted to a box).

A box is the tight extent of the object's opaque pixels (alpha of at least one half) inside the frame: what the frame cuts off
does not count, what other objects cover does, as VOC's boxes reach behind a nearer object.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFilter

from yolo_core.data import glyphs, layout
from yolo_core.data.annotation import CLASSES
from yolo_core.data.backgrounds import background

HALF = [0] * 128 + [255] * 128  # opaque or not
SMALLEST = 4  # pixels: no object is drawn narrower or lower
STRETCH = math.log(1.75)  # a glyph's width over height is changed by this factor at most
CROP = 2.6  # a truncated glyph reaches at most this many times its visible length
SOFT = 0.75  # a glyph's picture is enlarged by 1 / SOFT at most before a larger one is drawn
EASY = math.log(1.3)  # poses are tried until one needs no more stretching than this,
TRIES = 12  # or so many were: then the one that needs least is drawn
HIDDEN = 0.7  # an object of which nearer ones hide more is moved to the front, or left out
DIFFICULT_SIZE = 0.06  # an object is difficult below this root of its share of the picture,
DIFFICULT_HIDDEN = 0.5  # or where more than this share of it is hidden by nearer ones,
DIFFICULT_CROPPED = 0.62  # or where the frame cuts off more than this share of its extent

# Standard deviation of the rotation in degrees, and of the hue in turns: a red bus may be green, a green person may not be.
TILT = dict.fromkeys(CLASSES, 7.0) | {"aeroplane": 25.0, "bird": 12.0, "bottle": 12.0, "diningtable": 3.0, "sofa": 3.0, "train": 4.0}
HUE = dict.fromkeys(CLASSES, 0.25) | dict.fromkeys(("bird", "diningtable", "tvmonitor"), 0.06) | dict.fromkeys(
    ("cat", "cow", "dog", "horse", "person", "pottedplant", "sheep"), 0.015
)  # fmt: skip


@dataclass(frozen=True)
class Drawn:
    """One object: `box` (xmin, ymin, xmax, ymax in whole pixels, edges), its RGB `picture` and `mask` (mode L) of the box's size."""

    label: int
    box: tuple[int, int, int, int]
    picture: Image.Image
    mask: Image.Image
    cropped: float  # share of the glyph's extent outside the frame
    hidden: float = 0.0  # share of the opaque pixels under nearer objects

    @property
    def truncated(self) -> bool:
        return self.cropped > 0.02

    def difficult(self, size: int) -> bool:
        share = (self.box[2] - self.box[0]) * (self.box[3] - self.box[1]) / size**2
        return math.sqrt(share) < DIFFICULT_SIZE or self.hidden > DIFFICULT_HIDDEN or self.cropped > DIFFICULT_CROPPED


@dataclass(frozen=True)
class Scene:
    picture: Image.Image  # RGB, size x size
    objects: tuple[Drawn, ...]  # in the layout's order


def compose(rng: np.random.Generator, size: int, split: str, style: str = "twemoji") -> Scene:
    """Background, distractors, then a VOC-like list of objects, large ones first, lightly blurred and noised as a photograph is."""
    wanted = layout.sample(layout.voc2012(), rng)
    picture = background(rng, size)
    for _ in range(rng.poisson(2.0)):
        _distract(rng, picture, style)
    objects = []
    for label, box in zip(wanted["labels"], wanted["boxes"] * size, strict=True):
        designs = getattr(glyphs.GLYPHS[CLASSES[label]], split)
        drawn = draw_glyph(rng, int(label), designs, box, size, style)
        if drawn is not None:
            objects.append(drawn)
    order, objects = _stack(rng, objects, size)
    for k in order:
        _shadow(picture, objects[k])
        picture.paste(objects[k].picture, objects[k].box[:2], objects[k].mask)
    return Scene(_photograph(rng, picture), tuple(objects))


def draw_glyph(
    rng: np.random.Generator, label: int, designs: tuple, box: Float[np.ndarray, "4"], size: int, style: str = "twemoji"
) -> Drawn | None:
    """One of `designs` turned, stretched and, where `box` (xyxy, pixels) touches the frame, cut off by it, to fill the box.

    Where the limits on stretching forbid the box's own shape, its area and centre (or the edge it touches) are kept. None
    where less than `SMALLEST` pixels are left to see.
    """
    low, high = box[:2], box[2:]
    high = np.minimum(np.maximum(high, low + SMALLEST), size)
    low = np.minimum(low, high - SMALLEST)
    touch = np.stack([low <= 0.5, high >= size - 0.5])  # [2 ends, 2 axes]
    reach = np.where(touch.any(0) & (rng.random(2) < 0.7), 1 + rng.exponential(0.22, 2), 1.0)
    best = None
    for _ in range(TRIES):
        design = designs[rng.integers(len(designs))]
        glyph, tilt = design[rng.integers(len(design))], rng.normal(0.0, TILT[CLASSES[label]])
        if CLASSES[label] == "bottle" and rng.random() < 0.15:
            tilt += 90
        turn = _rotation(tilt, rng.random() < 0.5)
        points = glyphs.outline(glyph, style) @ turn.T
        extent = np.ptp(points, axis=0)
        need = math.log((high - low)[0] / (high - low)[1] * extent[1] / extent[0])
        cut = np.where(touch.any(0), np.exp(np.array((-need, need))), 1.0)  # lengths over visible ones that would need no stretching
        length = (high - low) * np.clip(np.maximum(cut, reach), 1.0, CROP)
        off = math.log(length[0] / length[1] * extent[1] / extent[0])
        if best is None or abs(off) < abs(best[0]):
            best = (off, glyph, turn, points, extent, length)
        if abs(off) < EASY:
            break
    off, glyph, turn, points, extent, length = best
    if abs(off) > STRETCH:
        excess = math.exp((off - math.copysign(STRETCH, off)) / 2)
        length = length * (1 / excess, excess)
    start = _place(rng, low, high, touch, length, size)
    scale = length / extent  # pixels a canvas side
    return _render(rng, label, glyph, style, turn * scale[:, None], start - points.min(0) * scale, (start, length), size)


def _place(rng, low, high, touch, length, size) -> Float[np.ndarray, "2"]:
    """Where a glyph of `length` begins, so that what is visible fills [low, high] as far as it can."""
    free = np.clip((low + high - length) / 2, 0, np.maximum(size - length, 0))
    at_low, at_high = np.minimum(high - length, 0), np.maximum(low, size - length)
    both = np.where(length > size, -rng.random(2) * (length - size), free)
    return np.where(touch.all(0), both, np.where(touch[0], at_low, np.where(touch[1], at_high, free)))


def _render(rng, label, glyph, style, matrix, origin, extent, size) -> Drawn | None:
    """Draw `glyph`: canvas point p, from the centre in sides, goes to matrix @ p + origin in pixels."""
    (start, length) = extent
    x0, y0 = (max(int(math.floor(v)) - 1, 0) for v in start)
    x1, y1 = (min(int(math.ceil(v)) + 1, size) for v in start + length)
    if x1 <= x0 or y1 <= y0:
        return None
    wanted, side = math.sqrt(abs(np.linalg.det(matrix))), glyphs.SIDE // 4
    while side < min(SOFT * wanted, size):
        side *= 2
    back = np.linalg.inv(matrix) * side
    shift = back @ (np.array((x0, y0)) - origin) + side / 2
    coefficients = (back[0, 0], back[0, 1], shift[0], back[1, 0], back[1, 1], shift[1])
    layer = glyphs.picture(glyph, style, side).transform(
        (x1 - x0, y1 - y0), Image.Transform.AFFINE, tuple(map(float, coefficients)), Image.Resampling.BILINEAR
    )
    tight = layer.getchannel("a").point(HALF).getbbox()
    if tight is None or min(tight[2] - tight[0], tight[3] - tight[1]) < SMALLEST - 1:
        return None
    layer = layer.crop(tight).convert("RGBA")
    box = (x0 + tight[0], y0 + tight[1], x0 + tight[2], y0 + tight[3])
    shown = np.prod(np.minimum(start + length, size) - np.maximum(start, 0)) / np.prod(length)
    picture = layer.convert("RGB").convert("RGB", _recolour(rng, HUE[CLASSES[label]]))
    return Drawn(label, box, picture, layer.getchannel("A"), 1 - float(shown))


def _rotation(degrees: float, flip: bool) -> Float[np.ndarray, "2 2"]:
    angle = math.radians(degrees)
    sign = -1.0 if flip else 1.0
    return np.array([[sign * math.cos(angle), -math.sin(angle)], [sign * math.sin(angle), math.cos(angle)]])


def _recolour(rng: np.random.Generator, spread: float) -> tuple[float, ...]:
    """A 3 x 4 colour matrix: a turn of the hue about the grey axis, then saturation, contrast and brightness."""
    angle = rng.normal(0, spread) * 2 * math.pi
    third, skew = (1 - math.cos(angle)) / 3, math.sin(angle) / math.sqrt(3)
    hue = np.full((3, 3), third) + np.eye(3) * math.cos(angle) + skew * np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    saturation, gain = rng.uniform(0.55, 1.15), rng.uniform(0.65, 1.1)
    matrix = gain * (saturation * np.eye(3) + (1 - saturation) / 3) @ hue
    offset = rng.uniform(-20, 25)
    return tuple(float(v) for row in matrix for v in (*row, offset))


def _stack(rng: np.random.Generator, objects: list[Drawn], size: int) -> tuple[list[int], list[Drawn]]:
    """The order of drawing, far to near: large before small, with some luck; none hidden by more than `HIDDEN`.

    A hidden object comes to the front; the few that stay hidden even so are left out. Returns the order and the objects kept,
    which know how much of them is hidden.
    """
    area = [(o.box[2] - o.box[0]) * (o.box[3] - o.box[1]) for o in objects]
    order = sorted(range(len(objects)), key=lambda k: -area[k] * math.exp(rng.normal(0, 0.6)))
    for _ in range(3):
        hidden = _hidden(objects, order, size)
        buried = [k for k in order if hidden[k] > HIDDEN]
        if not buried:
            break
        order = [k for k in order if k not in buried] + sorted(buried, key=lambda k: -area[k])
    else:
        hidden = _hidden(objects, order, size)
    kept = [k for k in range(len(objects)) if hidden[k] <= HIDDEN]
    place = {k: i for i, k in enumerate(kept)}
    return [place[k] for k in order if k in place], [
        Drawn(o.label, o.box, o.picture, o.mask, o.cropped, hidden[k]) for k, o in enumerate(objects) if k in place
    ]


def _hidden(objects: list[Drawn], order: list[int], size: int) -> dict[int, float]:
    """Share of each object's opaque pixels that lie under a nearer one's."""
    covered, hidden = np.zeros((size, size), bool), {}
    for k in reversed(order):
        x0, y0, x1, y1 = objects[k].box
        mask, under = np.asarray(objects[k].mask) >= 128, covered[y0:y1, x0:x1]
        hidden[k] = float((mask & under).sum() / mask.sum())
        under |= mask
    return hidden


def _distract(rng: np.random.Generator, picture: Image.Image, style: str) -> None:
    size = picture.width
    side = float(np.clip(size * rng.lognormal(-1.7, 0.6), 8, size * 0.7))
    x, y = rng.random(2) * (size + side * 0.6) - side * 0.8
    box = np.array((x, y, x + side, y + side * math.exp(rng.normal(0, 0.2))))
    glyph = glyphs.DISTRACTORS[rng.integers(len(glyphs.DISTRACTORS))]
    turn = _rotation(rng.normal(0, 12), rng.random() < 0.5)
    scale = (box[2:] - box[:2])[:, None]
    points = glyphs.outline(glyph, style) @ (turn * scale).T
    origin = box[:2] - points.min(0)
    drawn = _render(rng, CLASSES.index("bird"), glyph, style, turn * scale, origin, (box[:2], np.ptp(points, axis=0)), size)
    if drawn is not None:
        picture.paste(drawn.picture, drawn.box[:2], drawn.mask)


def _shadow(picture: Image.Image, drawn: Drawn) -> None:
    """A soft dark patch under the object, so that it stands somewhere."""
    x0, _, x1, y1 = drawn.box
    width = x1 - x0
    height = max(width // 8, 3)
    if y1 >= picture.height - 1:
        return
    patch = Image.new("L", (width, 2 * height))
    ImageDraw.Draw(patch).ellipse((0, height // 2, width, height * 3 // 2), fill=90)
    picture.paste((0, 0, 0), (x0, y1 - height), patch.filter(ImageFilter.BoxBlur(height / 4)))


def _photograph(rng: np.random.Generator, picture: Image.Image) -> Image.Image:
    """Now and then a slight blur, now and then grain."""
    if rng.random() < 0.25:
        picture = picture.filter(ImageFilter.BoxBlur(rng.uniform(0.2, 0.8)))
    if rng.random() < 0.4:
        spread = int(rng.integers(3, 12))
        noise = rng.integers(-spread, spread + 1, (picture.height, picture.width, 1), dtype=np.int16)
        picture = Image.fromarray(np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8))
    return picture
