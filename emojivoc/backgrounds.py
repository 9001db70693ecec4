"""Procedural backgrounds: what stands behind the glyphs of EmojiVOC.

Inside: `background`, which draws one of landscape, street, room, texture or lights, with grain and a random depth of field.

Cheap on purpose (about 2 ms at 224 px): gradients, smooth noise and flat shapes, drawn small or by Pillow and blended by masks.
"""

import colorsys
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Colour = tuple[int, int, int]
_SKIES = (
    ("#3f8fd8", "#cfe8f7"), ("#6fb3e8", "#f3f7f2"), ("#9aa9b5", "#d9dfe2"), ("#2d3f7a", "#f2a65a"), ("#50336e", "#f08a7c"),
    ("#0e1a3a", "#3b4f86"), ("#7fc8d8", "#fdf1d3"), ("#b7c4c9", "#8b9aa3"), ("#f6c667", "#fbeec4"),
)  # fmt: skip
_GROUNDS = (
    ("#7fae4f", "#3f7032"), ("#a8b85a", "#5d7a36"), ("#d8c28a", "#b08d52"), ("#4f8fb8", "#1f5278"), ("#8d8d90", "#55565c"),
    ("#e9eef2", "#b9c7d3"), ("#a07a55", "#5f4430"), ("#5f8f7a", "#2d5348"), ("#c58f5a", "#7d4f2e"),
)  # fmt: skip


def background(rng: np.random.Generator, size: int) -> Image.Image:
    """One background, RGB, `size` x `size`."""
    draw = (_landscape, _street, _room, _texture, _lights)[rng.choice(5, p=(0.3, 0.18, 0.27, 0.17, 0.08))]
    picture = draw(rng, size)
    blur = float(rng.choice((0.0, 0.6, 1.2, 2.5), p=(0.45, 0.25, 0.2, 0.1))) * size / 224
    if blur:
        picture = picture.filter(ImageFilter.BoxBlur(blur))
    return _relight(rng, picture)


def _landscape(rng: np.random.Generator, size: int) -> Image.Image:
    picture, horizon = _sky(rng, size), int(size * rng.uniform(0.35, 0.8))
    ground = _GROUNDS[rng.integers(len(_GROUNDS))]
    for k in range(rng.integers(0, 3)):  # hills, the farther the paler
        far = _mix(_vary(rng, ground[1], 0.1), _rgb("#b9cbd8"), 0.65 - 0.3 * k)
        top = horizon - size * rng.uniform(0.02, 0.16) * (2 - k) / 2
        ImageDraw.Draw(picture).polygon(_ridge(rng, size, top, size * rng.uniform(0.02, 0.07)), fill=far)
    low = _gradient([_vary(rng, c, 0.06) for c in ground], size, size - horizon)
    low = _grain(rng, low, cells=(int(rng.integers(4, 9)), int(rng.integers(9, 26))), strength=rng.uniform(0.1, 0.45))
    mask = Image.new("L", (size, size))
    wave = size * rng.uniform(0.0, 0.03)
    ImageDraw.Draw(mask).polygon(_ridge(rng, size, horizon, wave), fill=255)
    full = Image.new("RGB", (size, size), low.getpixel((0, 0)))
    full.paste(low, (0, horizon))
    picture.paste(full, (0, 0), mask)
    if rng.random() < 0.35:  # a path or a river, wide at the viewer's feet
        foot, head, half = size * rng.uniform(0.1, 0.9), size * rng.uniform(0.3, 0.7), size * rng.uniform(0.08, 0.25)
        shape = [(head - 2, horizon + wave), (head + 2, horizon + wave), (foot + half, size), (foot - half, size)]
        ImageDraw.Draw(picture).polygon(shape, fill=_vary(rng, _GROUNDS[rng.integers(len(_GROUNDS))][0], 0.06))
    return picture


def _street(rng: np.random.Generator, size: int) -> Image.Image:
    picture = _sky(rng, size)
    draw, base, x = ImageDraw.Draw(picture), int(size * rng.uniform(0.5, 0.8)), -size * rng.uniform(0.0, 0.1)
    hue = rng.random()
    while x < size:
        width, top = size * rng.uniform(0.1, 0.3), base - size * rng.uniform(0.12, 0.55)
        wall = _hsv(hue + rng.normal(0, 0.07), rng.uniform(0.1, 0.45), rng.uniform(0.35, 0.85))
        draw.rectangle((x, top, x + width, base), fill=wall)
        pane = _mix(wall, _rgb("#ffe9a8" if rng.random() < 0.3 else "#20303c"), rng.uniform(0.25, 0.7))
        pitch = size * rng.uniform(0.035, 0.07)
        for row in np.arange(top + pitch / 2, base - pitch, pitch * 1.4):
            for column in np.arange(x + pitch / 2, x + width - pitch, pitch * 1.3):
                draw.rectangle((column, row, column + pitch * 0.6, row + pitch * 0.8), fill=pane)
        x += width + size * rng.choice((0.0, 0.0, 0.04))
    road = _gradient([_hsv(hue, 0.05, rng.uniform(0.35, 0.6)), _hsv(hue, 0.06, rng.uniform(0.25, 0.5))], size, size - base)
    picture.paste(_grain(rng, road, cells=(6, 30), strength=rng.uniform(0.05, 0.25)), (0, base))
    draw.rectangle((0, base, size, base + size * 0.03), fill=_hsv(hue, 0.05, rng.uniform(0.6, 0.8)))
    if rng.random() < 0.6:
        y, dash = base + (size - base) * rng.uniform(0.35, 0.7), size * rng.uniform(0.08, 0.2)
        for x in np.arange(-dash * rng.random(), size, dash * 1.7):
            draw.rectangle((x, y, x + dash, y + size * 0.015), fill=(235, 230, 215))
    return picture


def _room(rng: np.random.Generator, size: int) -> Image.Image:
    hue, floor = rng.random(), int(size * rng.uniform(0.6, 0.92))
    wall = _hsv(hue, rng.uniform(0.05, 0.45), rng.uniform(0.55, 0.95))
    second = _mix(wall, _hsv(hue + rng.normal(0, 0.08), rng.uniform(0.1, 0.5), rng.uniform(0.5, 1.0)), 0.6)
    picture = _pattern(rng, size, wall, second) if rng.random() < 0.55 else _gradient([wall, second], size, size)
    draw = ImageDraw.Draw(picture)
    if rng.random() < 0.5:  # a window, or a picture on the wall
        x, y, w, h = (size * v for v in (rng.uniform(-0.1, 0.8), rng.uniform(0.02, 0.25), rng.uniform(0.2, 0.45), rng.uniform(0.2, 0.4)))
        frame, inside = _vary(rng, "#f2ede2", 0.1) if rng.random() < 0.6 else _vary(rng, "#7a5230", 0.1), _SKIES[rng.integers(len(_SKIES))]
        draw.rectangle((x, y, x + w, y + h), fill=frame)
        edge = size * 0.02
        pane = _gradient([_vary(rng, c, 0.08) for c in inside], max(int(w - 2 * edge), 1), max(int(h - 2 * edge), 1))
        picture.paste(pane, (int(x + edge), int(y + edge)))
        if rng.random() < 0.6:
            draw.rectangle((x + w / 2 - edge / 3, y, x + w / 2 + edge / 3, y + h), fill=frame)
    boards = _vary(rng, ("#a9754a", "#c99b6a", "#6f5140", "#8f9499", "#b8b0a2")[rng.integers(5)], 0.08)
    ground = _gradient([boards, _mix(boards, (0, 0, 0), rng.uniform(0.1, 0.35))], size, size - floor)
    floor_draw, vanish = ImageDraw.Draw(ground), size * rng.uniform(0.2, 0.8)
    if rng.random() < 0.7:  # boards, running to a vanishing point
        seam = _mix(boards, (0, 0, 0), 0.35)
        for x in np.arange(-2 * size, 3 * size, size * rng.uniform(0.1, 0.25)):
            floor_draw.line((vanish + (x - vanish) * 0.5, 0, x, size - floor), fill=seam)
    picture.paste(_grain(rng, ground, cells=(5, 24), strength=rng.uniform(0.03, 0.2)), (0, floor))
    draw.rectangle((0, floor - size * 0.025, size, floor), fill=_mix(wall, (255, 255, 255), 0.5))
    return picture


def _texture(rng: np.random.Generator, size: int) -> Image.Image:
    hue = rng.random()
    one, two, three = (_hsv(hue + rng.normal(0, 0.12), rng.uniform(0.1, 0.7), rng.uniform(0.25, 0.95)) for _ in range(3))
    picture = _pattern(rng, size, one, two) if rng.random() < 0.5 else Image.new("RGB", (size, size), one)
    cells = int(rng.integers(2, 12))
    picture.paste(two, (0, 0, size, size), _noise(rng, (size, size), (cells, cells)))
    patches = _noise(rng, (size, size), (cells * 2, cells * 2)).point([0] * 110 + list(range(0, 255, 17)) + [255] * 131)
    picture.paste(three, (0, 0, size, size), patches)
    return _grain(rng, picture, cells=(40, 40), strength=rng.uniform(0.05, 0.35))


def _lights(rng: np.random.Generator, size: int) -> Image.Image:
    hue = rng.random()
    dark = [_hsv(hue + rng.normal(0, 0.1), rng.uniform(0.2, 0.7), rng.uniform(0.15, 0.7)) for _ in range(3)]
    picture = _gradient(dark, size, size)
    for _ in range(int(rng.integers(6, 18))):
        x, y, r = *(rng.random(2) * size), size * rng.uniform(0.02, 0.14)
        disc = Image.new("L", (int(2 * r) + 1,) * 2)
        ImageDraw.Draw(disc).ellipse((0, 0, 2 * r, 2 * r), fill=int(rng.uniform(60, 190)))
        picture.paste(_hsv(hue + rng.normal(0, 0.2), rng.uniform(0.2, 0.8), 1.0), (int(x - r), int(y - r)), disc)
    return _grain(rng, picture, cells=(4, 4), strength=0.2)


def _sky(rng: np.random.Generator, size: int) -> Image.Image:
    picture = _gradient([_vary(rng, c, 0.05) for c in _SKIES[rng.integers(len(_SKIES))]], size, size)
    if rng.random() < 0.6:
        cover, softness, across = rng.integers(125, 165), rng.integers(25, 80), int(rng.integers(2, 5))
        clouds = _noise(rng, (size, size), (across, 3 * across))
        clouds = Image.blend(clouds, _noise(rng, (size, size), (3 * across, 9 * across)), 0.3)
        clouds = clouds.point(np.clip((np.arange(256) - cover) * 220 // softness, 0, 220).tolist())
        picture.paste(_vary(rng, "#f4f3ef", 0.05), (0, 0, size, size), clouds)
    return picture


def _pattern(rng: np.random.Generator, size: int, one: Colour, two: Colour) -> Image.Image:
    """Stripes, checks or dots."""
    picture = Image.new("RGB", (size, size), one)
    draw, pitch, kind = ImageDraw.Draw(picture), max(size * rng.uniform(0.04, 0.16), 3.0), rng.integers(4)
    for k, x in enumerate(np.arange(-size * rng.random() * 0.1, size, pitch)):
        if kind == 0:
            draw.rectangle((x, 0, x + pitch * 0.5, size), fill=two)
        elif kind == 1:
            draw.rectangle((0, x, size, x + pitch * 0.4), fill=two)
        else:
            for y in np.arange(pitch * 0.5 * (k % 2), size, pitch):
                box = (x, y, x + pitch * 0.5, y + pitch * 0.5)
                draw.rectangle(box, fill=two) if kind == 2 else draw.ellipse(box, fill=two)
    return picture


def _ridge(rng: np.random.Generator, size: int, level: float, height: float) -> list[tuple[float, float]]:
    """A polygon from a wavy line at `level` down to the lower edge."""
    x = np.linspace(0, size, 17)
    waves = sum(_sine(x / size * 2 * np.pi * f + rng.uniform(0, 7)) / f for f in rng.uniform(0.4, 4.0, 3))
    return [*zip(x.tolist(), (level + height * waves).tolist(), strict=True), (size, size), (0, size)]


def _sine(x: np.ndarray) -> np.ndarray:
    """By the C library, which rounds alike on every processor (plane.py)."""
    return np.array([math.sin(v) for v in x])


def _gradient(colours: Sequence[Colour], width: int, height: int) -> Image.Image:
    strip = Image.fromarray(np.array(colours, np.uint8).reshape(-1, 1, 3))
    return strip.resize((width, max(height, 1)), Image.Resampling.BILINEAR)


def _noise(rng: np.random.Generator, shape: tuple[int, int], cells: tuple[int, int]) -> Image.Image:
    """Smooth noise, mode L, `shape` (width, height), of about `cells` (across, down) bumps."""
    values = rng.integers(0, 256, (max(cells[1], 1), max(cells[0], 1)), dtype=np.uint8)
    return Image.fromarray(values).resize(shape, Image.Resampling.BICUBIC)


def _grain(rng: np.random.Generator, picture: Image.Image, cells: tuple[int, int], strength: float) -> Image.Image:
    """Light and dark patches laid over `picture`."""
    patches = _noise(rng, picture.size, cells).point((np.arange(256) * strength).astype(int).tolist())
    picture.paste((0, 0, 0) if rng.random() < 0.7 else (255, 255, 255), (0, 0, *picture.size), patches)
    return picture


def _relight(rng: np.random.Generator, picture: Image.Image) -> Image.Image:
    """A cast of light over the whole: darker to one corner."""
    shade = np.add.outer(rng.uniform(0, 1, 2), rng.uniform(0, 1, 2)) * rng.uniform(0, 60)
    mask = Image.fromarray(shade.astype(np.uint8)).resize(picture.size, Image.Resampling.BILINEAR)
    picture.paste((10, 12, 30), (0, 0, *picture.size), mask)
    return picture


def _rgb(colour: str) -> Colour:
    return tuple(int(colour[k : k + 2], 16) for k in (1, 3, 5))


def _hsv(hue: float, saturation: float, value: float) -> Colour:
    return tuple(int(255 * c) for c in colorsys.hsv_to_rgb(hue % 1, min(saturation, 1), min(value, 1)))


def _vary(rng: np.random.Generator, colour: str, spread: float) -> Colour:
    hue, saturation, value = colorsys.rgb_to_hsv(*(c / 255 for c in _rgb(colour)))
    return _hsv(hue + rng.normal(0, spread / 3), max(saturation + rng.normal(0, spread), 0), max(value + rng.normal(0, spread), 0))


def _mix(one: Colour, two: Colour, share: float) -> Colour:
    return tuple(int(a + (b - a) * share) for a, b in zip(one, two, strict=True))
