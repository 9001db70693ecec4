"""A grid to play with: a small scene whose objects the reader drags, and what the grid makes of them.

Inside: `playground`, `THINGS`. What stands on the page before any script runs is drawn here, by `Grid` itself; from then on
book/_static/grid.js moves it, with the same arithmetic (tests/test_grid_page.py holds the two together, to the letter).
"""

import base64
import io
from typing import NamedTuple

import numpy as np
import torch
from IPython.display import HTML
from torch import Tensor

from emojivoc import backgrounds, glyphs
from trial.figures.figures import BLUE, GREEN, PURPLE, RED
from voc_tree.annotation import CLASSES
from yolo_core.detector.grid import Grid

SIDE = 448  # units of the drawing, the side of the paper's pictures
BACKGROUND = 2  # seed of the scene's background


class Thing(NamedTuple):
    """An object of the scene. `box`: xyxy, in units of the drawing; its glyph fills it."""

    name: str
    label: str
    glyph: str
    box: tuple[int, int, int, int]
    colour: str


THINGS = (  # in the order of the annotation: of two in one cell the first stays
    Thing("horse", "horse", "1f40e", (160, 186, 344, 348), BLUE),
    Thing("person", "person", "1f9cd", (192, 154, 272, 366), RED),
    Thing("bird", "bird", "1f99c", (112, 70, 176, 142), GREEN),
    Thing("other bird", "bird", "1f99c", (196, 48, 260, 120), PURPLE),
)


def playground(grid: Grid = Grid()) -> HTML:
    """The scene, its target and what decodes back, as one figure of HTML: still without JavaScript, to be moved with it."""
    boxes = torch.tensor([thing.box for thing in THINGS]) / SIDE
    labels = torch.tensor([CLASSES.index(thing.label) for thing in THINGS])
    target = grid.encode([{"boxes": boxes, "labels": labels}])[0]
    cells, lost = grid.cells(boxes).tolist(), grid.lost(boxes).tolist()
    owner = {tuple(cell): k for k, cell in reversed(list(enumerate(cells)))}
    step = SIDE / grid.S
    said = [
        f"column {column}, row {row}, " + (f"taken by the {THINGS[owner[column, row]].name}: lost" if gone else taught(target[row, column]))
        for (column, row), gone in zip(cells, lost, strict=True)
    ]
    parts = {
        "S": grid.S,
        "side": SIDE,
        "numbers": 5 + grid.C,
        "classes": " ".join(CLASSES),
        "background": _background(),
        "lines": "".join(f"M{k * step:g} 0V{SIDE}M0 {k * step:g}H{SIDE}" for k in range(grid.S + 1)),
        "thin": "".join(f"M{5 * k} 0V{5 * grid.S}M0 {5 * k}H{5 * grid.S}" for k in range(grid.S + 1)),
        "small": 5 * grid.S,
        "glyphs": "".join(_glyph(thing) for thing in THINGS),
        "cells": "".join(
            f'<rect x="{c * step:g}" y="{r * step:g}" width="{step:g}" height="{step:g}" fill="{THINGS[k].colour}"></rect>'
            for (c, r), k in sorted(owner.items(), key=lambda item: item[1])
        ),
        "boxes": "".join(_object(thing, gone, text) for thing, gone, text in zip(THINGS, lost, said, strict=True)),
        "squares": "".join(
            f'<rect x="{5 * c + k % 5}" y="{5 * r + k // 5}" width="1" height="1" fill="{THINGS[owner[c, r]].colour}" '
            f'fill-opacity="{opacity(value)}"></rect>'
            for r, c in target[..., 0].nonzero().tolist()
            for k, value in enumerate(target[r, c].tolist())
            if value
        ),
        "decoded": "".join(_decoded(thing, gone) for thing, gone in zip(THINGS, lost, strict=True)),
        "list": "".join(f"<li><strong>{thing.name}</strong>: {text}</li>" for thing, text in zip(THINGS, said, strict=True)),
        "said": summary(len(THINGS), sum(lost), target),
    }
    return HTML(PAGE.format(**parts))


def taught(cell: Tensor) -> str:
    """A cell's target in words: the flag, the four numbers of the box, the class."""
    numbers = ", ".join(f"{value:.2f}" for value in cell[1:5].tolist())
    return f"taught 1, {numbers}, {CLASSES[int(cell[5:].argmax())]}"


def opacity(value: float) -> str:
    """How strongly a number of the target is drawn: a small one is still to be seen."""
    return f"{0.2 + 0.8 * value:.2f}"


def summary(objects: int, lost: int, target: Tensor) -> str:
    """The sentence under the panels."""
    kept = objects - lost
    return (
        f"{kept} of {objects} objects are in the target, and {kept} decode back. "
        f"Of the target's {target.numel():,} numbers {int((target != 0).sum())} are not 0."
    )


def _background() -> str:
    """The scene's background as a data address."""
    file = io.BytesIO()
    backgrounds.background(np.random.default_rng(BACKGROUND), 224).save(file, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def _glyph(thing: Thing) -> str:
    """The emoji, cut to its own extent and stretched to its box."""
    corner, end = glyphs.outline(thing.glyph, "twemoji").min(0), glyphs.outline(thing.glyph, "twemoji").max(0)
    canvas = glyphs.CANVAS + 2  # with the margin that glyphs.svg leaves
    x, y = canvas * (corner + 0.5) - 1
    width, height = canvas * (end - corner)
    inner = glyphs.svg(thing.glyph).split(">", 1)[1].removesuffix("</svg>")
    place = _place(thing)
    return f'<svg {place} viewBox="{x:.2f} {y:.2f} {width:.2f} {height:.2f}" preserveAspectRatio="none">{inner}</svg>'


def _place(thing: Thing) -> str:
    x0, y0, x1, y1 = thing.box
    return f'x="{x0}" y="{y0}" width="{x1 - x0}" height="{y1 - y0}"'


def _line(thing: Thing) -> str:
    return f'fill="none" stroke="{thing.colour}" stroke-width="3"'


def _object(thing: Thing, lost: bool, text: str) -> str:
    x0, y0, x1, y1 = thing.box
    cx, cy = (x0 + x1) / 2, (y0 + y1) / 2
    box = " ".join(repr(value / SIDE) for value in thing.box)
    said = (
        f'aria-label="{thing.name}" aria-valuemin="0" aria-valuemax="100" aria-valuenow="{round(100 * cx / SIDE)}" aria-valuetext="{text}"'
    )
    data = f'data-name="{thing.name}" data-label="{CLASSES.index(thing.label)}" data-colour="{thing.colour}" data-box="{box}"'
    return (
        f'<g class="play-object{" play-lost" if lost else ""}" role="slider" {said} {data} fill="{thing.colour}">'
        f'<rect class="play-box" {_place(thing)} {_line(thing)}></rect><circle cx="{cx:g}" cy="{cy:g}" r="6"></circle>'
        f'<rect class="play-corner" x="{x1 - 10}" y="{y1 - 10}" width="20" height="20"></rect>'
        f'<text x="{x0 + 4}" y="{y0 - 6}">{thing.name}</text></g>'
    )


def _decoded(thing: Thing, lost: bool) -> str:
    x0, y0 = thing.box[:2]
    return (
        f'<g class="{"play-lost" if lost else ""}" fill="{thing.colour}"><rect class="play-box" {_place(thing)} {_line(thing)}></rect>'
        f'<text x="{x0 + 4}" y="{y0 - 6}">{"lost" if lost else thing.name}</text></g>'
    )


PAGE = """<figure class="play" id="play" data-s="{S}" data-side="{side}" data-classes="{classes}">
<noscript><p>Without JavaScript this is a picture of the scene as it opens; the list under it says what each object's cell is taught.</p>
</noscript>
<p id="play-help" hidden>Drag an object, or the square at its lower right corner, which resizes it. By keyboard: Tab to an object;
the arrow keys move it, with Shift they resize it.</p>
<div class="play-panels">
<div><p class="play-title">The scene</p>
<svg viewBox="0 0 {side} {side}" role="group" aria-label="A scene of objects under a grid of {S} by {S} cells">
<g id="play-picture"><image href="{background}" width="{side}" height="{side}"></image><g id="play-glyphs">{glyphs}</g></g>
<g id="play-cells" fill-opacity="0.4">{cells}</g><path class="play-lines" d="{lines}" stroke="white"></path>
<g id="play-objects">{boxes}</g></svg></div>
<div><p class="play-title">The target: {numbers} numbers a cell</p>
<svg viewBox="0 0 {small} {small}" role="img" aria-label="The target tensor, each cell's numbers as five rows of five squares"
class="play-target"><rect class="play-paper" width="{small}" height="{small}" fill="#eceff4"></rect><g id="play-squares">{squares}</g>
<path class="play-lines" d="{thin}" stroke="#9aa1b0" stroke-width="0.1"></path></svg></div>
<div><p class="play-title">What decodes back</p>
<svg viewBox="0 0 {side} {side}" role="img" aria-label="The boxes that decode from the target; lost ones dashed">
<use href="#play-picture" opacity="0.45"></use><g id="play-decoded">{decoded}</g></svg></div>
<div><p class="play-title">What each object's cell is taught</p>
<ol id="play-list">{list}</ol>
<p id="play-said" aria-live="polite">{said}</p>
<button type="button" id="play-again" hidden>Start again</button></div>
</div>
<figcaption>Each cell of the target is drawn as five rows of five squares, the stronger the larger the number: the first row is the flag,
x and y in the cell, width and height in the picture; the other four are the one-hot class. Two objects whose centres share a cell: the
one listed first stays, the other is lost. And of two boxes of one class that overlap by more than half, decoding keeps one.
</figcaption>
</figure>
<script defer src="../_static/grid.js"></script>"""
