"""How a glyph fills a box: turned, stretched and, at the frame's edge, cut off.

Inside: `Pose` (which glyph, how turned, from where to where), `fit` (a pose for a box), `render` (a pose in pixels).
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image

from emojivoc import glyphs
from emojivoc.plane import inverse, product

SMALLEST = 4  # pixels: no box is fitted that is narrower or lower
STRETCH = math.log(1.75)  # a glyph's width over height is changed by this factor at most
EASY = math.log(1.3)  # poses are tried until one needs no more stretching than this,
TRIES = 12  # or so many were: then the one that needs least is taken
CROP = 2.6  # a cut-off glyph reaches at most this many times its visible length
SOFT = 0.75  # a glyph's picture is enlarged by 1 / SOFT at most before a larger one is drawn
OPAQUE = [0] * 128 + [255] * 128  # a pixel belongs to the glyph where alpha is one half or more

Pair = Float[np.ndarray, "2"]  # x, y


@dataclass(frozen=True)
class Pose:
    """`glyph`, first rotated and flipped by `turn` [2, 2], then stretched so that its extents reach from `start` over `length` (pixels)."""

    glyph: str
    turn: Float[np.ndarray, "2 2"]
    start: Pair
    length: Pair

    def cropped(self, size: int) -> float:
        """Share of the extents outside a frame of `size` x `size`."""
        inside = np.clip(np.minimum(self.start + self.length, size) - np.maximum(self.start, 0), 0, None)
        return float(1 - np.prod(inside / self.length))


@dataclass(frozen=True)
class Rendered:
    """`box`: the tight extents of the opaque pixels in the frame (xmin, ymin, xmax, ymax: edges, in whole pixels); RGB `picture` and mode-L
    `mask` of the box's size."""

    box: tuple[int, int, int, int]
    picture: Image.Image
    mask: Image.Image


def turn(degrees: float, flip: bool) -> Float[np.ndarray, "2 2"]:
    """The matrix of a flip, left to right, and then a rotation."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    sign = -1.0 if flip else 1.0
    return np.array([[sign * c, -s], [sign * s, c]])


def fit(
    rng: np.random.Generator, designs: tuple[tuple[str, ...], ...], tilt: float, box: Float[np.ndarray, "4"], size: int, style: str
) -> Pose:
    """A pose in which one of `designs`, tilted by about `tilt` degrees, fills `box` (xyxy, pixels) of a `size` x `size` frame.

    Where the box touches the frame the glyph may reach beyond it, which also serves to match the box's shape. Where the limit on
    stretching forbids that shape, its area is kept, and its centre or the edge it touches.
    """
    low, high = box[:2], np.minimum(np.maximum(box[2:], box[:2] + SMALLEST), size)
    low = np.minimum(low, high - SMALLEST)
    touch = np.stack([low <= 0.5, high >= size - 0.5])  # [2 ends, 2 axes]
    beyond = np.where(touch.any(0) & (rng.random(2) < 0.7), 1 + rng.exponential(0.22, 2), 1.0)
    best = None
    for _ in range(TRIES):
        variants = designs[rng.integers(len(designs))]
        glyph, matrix = variants[rng.integers(len(variants))], turn(rng.normal(0.0, tilt), rng.random() < 0.5)
        extent = np.ptp(product(glyphs.outline(glyph, style), matrix), axis=0)
        slim = math.log((high - low)[0] / (high - low)[1] * extent[1] / extent[0])  # > 0: the box is wider than the glyph
        filled = np.where(touch.any(0), np.array((math.exp(-slim), math.exp(slim))), 1.0)  # lengths, in the box's, that need no stretching
        length = (high - low) * np.clip(np.maximum(filled, beyond), 1.0, CROP)
        strain = math.log(length[0] / length[1] * extent[1] / extent[0])
        if best is None or abs(strain) < abs(best[0]):
            best = (strain, glyph, matrix, length)
        if abs(strain) < EASY:
            break
    strain, glyph, matrix, length = best
    if abs(strain) > STRETCH:
        excess = math.exp((strain - math.copysign(STRETCH, strain)) / 2)
        length = length * np.array((1 / excess, excess))
    return Pose(glyph, matrix, _start(rng, low, high, touch, length, size), length)


def _start(rng: np.random.Generator, low: Pair, high: Pair, touch: Bool[np.ndarray, "2 2"], length: Pair, size: int) -> Pair:
    """Where a glyph of `length` begins, so that what can be seen of it fills [low, high] as far as it can."""
    free = np.clip((low + high - length) / 2, 0, np.maximum(size - length, 0))
    at_low, at_high = np.minimum(high - length, 0), np.maximum(low, size - length)
    at_both = np.where(length > size, -rng.random(2) * (length - size), free)
    return np.where(touch.all(0), at_both, np.where(touch[0], at_low, np.where(touch[1], at_high, free)))


def render(pose: Pose, colours: tuple[float, ...], size: int, style: str) -> Rendered | None:
    """The pose in a `size` x `size` frame, its RGB sent through the 3 x 4 matrix `colours`. None where nearly nothing is left to see."""
    low = np.maximum(np.floor(pose.start) - 1, 0).astype(int)
    high = np.minimum(np.ceil(pose.start + pose.length) + 1, size).astype(int)
    if (high <= low).any():
        return None
    points = product(glyphs.outline(pose.glyph, style), pose.turn)
    scale = pose.length / np.ptp(points, axis=0)
    matrix, origin = pose.turn * scale[:, None], pose.start - points.min(0) * scale  # canvas, from its centre in sides, to pixels
    side, wanted = glyphs.SIDE // 4, math.sqrt(scale.prod())
    while side < min(SOFT * wanted, size):
        side *= 2
    back = inverse(matrix) * side
    shift = (back * (low - origin)).sum(1) + side / 2
    coefficients = [float(v) for v in (*back[0], shift[0], *back[1], shift[1])]
    shape = tuple((high - low).tolist())
    layer = glyphs.picture(pose.glyph, style, side).transform(shape, Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)
    tight = layer.getchannel("a").point(OPAQUE).getbbox()
    if tight is None or min(tight[2] - tight[0], tight[3] - tight[1]) < SMALLEST - 1:
        return None
    layer = layer.crop(tight).convert("RGBA")
    x, y = low.tolist()
    box = (x + tight[0], y + tight[1], x + tight[2], y + tight[3])
    return Rendered(box, layer.convert("RGB").convert("RGB", colours), layer.getchannel("A"))
