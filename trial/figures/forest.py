"""The register in one picture: a forest plot, a row a sentence, the claimed side to the right.

Inside: `distance` (an effect in units of its threshold), `Mark`, `mark`, `draw`, `described`, `html`, `digest`, `write`, `FOLDER`.

Effects of all kinds share one axis: (effect - threshold) / |threshold|, turned round where the claim says "below", so that a sentence HOLDS
where the whole interval lies to the right of 0 and FAILS where it lies to the left. Where the threshold is 0 the unit is half the effect's
own interval; where a range is claimed, the distance is that from the nearer end. Everything is laid out in inches from the top left.
"""

import hashlib
import json
import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from html import escape
from itertools import groupby
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from groundwork.errors import writing
from groundwork.files import in_place_of
from groundwork.paths import ROOT
from trial.figures.figures import INK, MUTED
from trial.register.claims import Claim
from trial.register.comparisons import MARKS
from trial.register.measures import group_of
from trial.register.register_page import by_claim, by_data, short
from trial.register.verdicts import Finding

FOLDER = ROOT / "book" / "_static"
FILES = {"forest.svg": False, "forest-narrow.svg": True}  # for a page, and for a phone
TITLE = "The register"
EDGE = 2.0  # beyond this the axis ends, and an arrow says so
Style = tuple[str, str]  # shape, colour
Styles = Mapping[str, Style]  # by data set
LINE = 0.14  # inches, of text
RULE, PALE = "#d5d8e0", 0.45  # the lines of the axis; how much white is in what decides nothing
NOT_RUN = "not run"
KEY = (
    "Each row: effect and interval over seeds, less the threshold, in units of the threshold; the claimed side is to the right. "
    f"Pale and clear of 0: too few seeds yet. An arrow: beyond {EDGE:g}. "
    "† Threshold 0: the unit is half the interval. ‡ A range is claimed: from its nearer end."
)


@dataclass(frozen=True)
class Mark:
    """What one data set says of a sentence: `at` and its interval in units of the threshold, or `note`, why there is nothing to draw."""

    data: str
    verdict: str
    firm: bool
    at: float = math.nan
    low: float = math.nan
    high: float = math.nan
    note: str = ""


def distance(claim: Claim, effect: float, unit: float) -> float:
    """How far an effect lies on the claimed side of its threshold: of a range, from the nearer end, each in units of itself."""
    if claim.upper is not None:
        return min((effect - claim.threshold) / abs(claim.threshold), (claim.upper - effect) / abs(claim.upper))
    return (effect - claim.threshold) / unit * (1 if claim.above else -1)


def mark(finding: Finding) -> Mark:
    """A finding in units of its threshold."""
    claim, said = finding.claim, (short(finding.data), finding.verdict, finding.firm)
    if not claim.arms:
        return Mark(*said, note="measured" if finding.card else "predicted")
    if not finding.seeds:
        return Mark(*said, note=NOT_RUN)
    if math.isnan(finding.effect):
        return Mark(*said, note="at the floor")
    unit = abs(claim.threshold) or finding.resolution
    if not unit:  # a threshold of 0 and one seed
        return Mark(*said, note=f"n = {len(finding.seeds)}")
    at = distance(claim, finding.effect, unit)
    ends = [distance(claim, end, unit) for end in finding.interval or (finding.effect,)]
    return Mark(*said, at, min(at, *ends), max(at, *ends))


@dataclass(frozen=True)
class Layout:
    """Inches: the figure's width, where the axis begins and ends, where sentences begin; characters a line of a sentence. `above`: the
    sentence stands over its marks, and not beside them."""

    width: float
    axis: tuple[float, float]
    sentence: float
    characters: int
    above: bool
    size: float  # points

    def x(self, value: float) -> float:
        """The place of a value on the axis, its ends included."""
        left, right = self.axis
        return left + (max(-EDGE, min(EDGE, value)) + EDGE) / (2 * EDGE) * (right - left)


WIDE = Layout(9.6, (6.55, 8.85), 0.42, 95, above=False, size=8.0)
NARROW = Layout(3.7, (0.8, 2.95), 0.42, 55, above=True, size=7.6)


def draw(findings: Sequence[Finding], narrow: bool = False) -> Figure:
    """The picture, on white paper, not registered with pyplot. narrow: for a column of 350 px."""
    layout = NARROW if narrow else WIDE
    sets = dict(zip(by_data(findings), MARKS, strict=False))
    figure = Figure(figsize=(layout.width, 1), layout="none")
    axes = figure.add_axes((0, 0, 1, 1))
    y = _key(axes, layout, sets)
    for title, rows in groupby(by_claim(findings), key=lambda same: group_of(same[0].claim)):
        y = _heading(axes, layout, title, y)
        for same in rows:
            y = _row(axes, layout, same, sets, y)
    figure.set_size_inches(layout.width, y + 0.05)
    axes.set(xlim=(0, layout.width), ylim=(y + 0.05, 0))
    axes.set_axis_off()
    return figure


def _text(axes: Axes, x: float, y: float, text: str, size: float, colour: str = INK, **how: str) -> None:
    """Text whose capitals are centred on y."""
    axes.text(x, y + 0.36 * size / 72, text, size=size, color=colour, va="baseline", **how)


def _key(axes: Axes, layout: Layout, sets: Styles) -> float:
    """What marks and axis mean, line by line; the height it takes."""
    looks = {"firm": (INK, True), "not firm": (INK, False), "INCONCLUSIVE": (_pale(INK), False)}
    y = 0.14
    for line in (
        {name: _look(*style, True) for name, style in sets.items()},
        {text: _look("o", colour, filled) for text, (colour, filled) in looks.items()},
    ):
        x = 0.1
        for text, look in line.items():
            axes.plot(x, y, **look)
            _text(axes, x + 0.1, y, text, layout.size)
            x += 0.4 + 0.07 * len(text)
        y += 0.18
    for line in textwrap.wrap(KEY, int(layout.width * 19)):
        _text(axes, 0.04, y, line, layout.size - 0.6, MUTED)
        y += LINE
    return y


def _heading(axes: Axes, layout: Layout, title: str, y: float) -> float:
    """A group's name, and the axis over its rows."""
    y += 0.14
    _text(axes, 0.02, y, title, layout.size + 1.4, weight="bold")
    y += 0.17 if layout.above else 0
    for value, text in ((-EDGE, f"−{EDGE:g}"), (-EDGE / 2, "FAILS"), (0, "0"), (EDGE / 2, "HOLDS"), (EDGE, f"{EDGE:g}")):
        _text(axes, layout.x(value), y, text, layout.size - 1, MUTED, ha="center")
    return y + 0.09


def _row(axes: Axes, layout: Layout, same: Sequence[Finding], sets: Styles, y: float) -> float:
    """A sentence with its marks; where the next row begins."""
    claim, marks = same[0].claim, [mark(finding) for finding in same]
    lines = textwrap.wrap(claim.sentence, layout.characters)
    text = LINE * len(lines)
    height = text + 0.27 if layout.above else max(0.165, text + 0.025)
    first = y + (0.04 if layout.above else (height - text) / 2) + LINE / 2
    middle = y + height - 0.12 if layout.above else y + height / 2
    axes.plot((0, layout.width), (y, y), color=RULE, lw=0.5)
    sign = "‡" if claim.upper is not None else "" if claim.threshold else "†"
    _text(axes, 0.02, first, claim.id + sign, layout.size, weight="bold")
    for k, line in enumerate(lines):
        _text(axes, layout.sentence, first + k * LINE, line, layout.size)
    _text(axes, layout.axis[0] - 0.1, middle, claim.whose, layout.size - 1, MUTED, ha="right", style="italic")
    band = (middle - 0.1, middle + 0.1) if layout.above else (y, y + height)
    for value in (-EDGE, -EDGE / 2, EDGE / 2, EDGE):
        axes.plot([layout.x(value)] * 2, band, color=RULE, lw=0.5)
    axes.plot([layout.x(0)] * 2, band, color=INK, lw=0.9)
    drawn = [m for m in marks if not m.note]
    for m, at in zip(drawn, _beside(middle, drawn), strict=True):
        _draw_mark(axes, layout, m, sets[m.data], at)
    _write_notes(axes, layout, marks, sets, middle)
    return y + height


def _beside(middle: float, things: Sequence[object]) -> list[float]:
    """Where one or several stand one above the other, about the middle of a row."""
    return [middle + 0.085 * (k - (len(things) - 1) / 2) for k in range(len(things))]


def _draw_mark(axes: Axes, layout: Layout, mark: Mark, style: Style, y: float) -> None:
    shape, colour = style[0], _colour(mark, style)
    axes.plot((layout.x(mark.low), layout.x(mark.high)), (y, y), color=colour, lw=1.3, solid_capstyle="butt")
    for end in (mark.low, mark.high):
        if abs(end) > EDGE:  # it goes on beyond the axis
            axes.plot(layout.x(end), y, marker="<" if end < 0 else ">", color=colour, ms=4, mew=0)
    if abs(mark.at) > EDGE:
        shape = "<" if mark.at < 0 else ">"
    axes.plot(layout.x(mark.at), y, **_look(shape, colour, mark.firm))


def _write_notes(axes: Axes, layout: Layout, marks: Sequence[Mark], sets: Styles, middle: float) -> None:
    """Beside the axis, why a data set has no mark: with its shape, unless it is so for all. That one alone is not run is no news."""
    x, size = layout.axis[1] + 0.1, layout.size - 1.2
    if len({m.note for m in marks}) == 1:
        _text(axes, x, middle, marks[0].note, size, MUTED)
        return
    noted = [m for m in marks if m.note not in ("", NOT_RUN)]
    for m, y in zip(noted, _beside(middle, noted), strict=True):
        axes.plot(x, y, **_look(sets[m.data][0], _pale(sets[m.data][1]), False))
        _text(axes, x + 0.09, y, m.note, size, MUTED)


def _colour(mark: Mark, style: Style) -> str:
    return _pale(style[1]) if mark.verdict == "INCONCLUSIVE" else style[1]


def _look(shape: str, colour: str, filled: bool) -> dict[str, object]:
    """A mark of some 4 points: shapes of one size to the eye."""
    return {"marker": shape, "ms": 4.6 if shape == "o" else 3.9, "mfc": colour if filled else "white", "mec": colour, "mew": 1.1, "ls": ""}


def _pale(colour: str) -> str:
    return mpl.colors.to_hex([(1 - PALE) * part + PALE for part in mpl.colors.to_rgb(colour)])


def described(findings: Sequence[Finding]) -> str:
    """The picture in words, for who cannot see it."""
    rows = by_claim(findings)
    groups = ", ".join(dict.fromkeys(group_of(same[0].claim) for same in rows))
    said = [
        f"Forest plot of {len(rows)} sentences, a row each, in groups: {groups}. The effect of each and its interval over seeds, in units "
        "of its threshold, lie right of a line where the sentence holds, left of it where it fails; across it, or pale for want of seeds, "
        "where nothing is decided."
    ]
    places = {"HOLDS": "right of the line", "FAILS": "left of it", "INCONCLUSIVE": "across it, pale, or without a mark"}
    for (name, some), look in zip(by_data(findings).items(), ("blue circles", "orange squares"), strict=False):
        ids = {verdict: ", ".join(f.claim.id for f in some if f.verdict == verdict) or "none" for verdict in places}
        where = "; ".join(f"{place}, {verdict}: {ids[verdict]}" for verdict, place in places.items())
        said.append(f"{name}, {look}: {where}." if any(f.seeds for f in some) else f"{name}: not run yet.")
    return " ".join(said)


def digest(findings: Sequence[Finding]) -> str:
    """A fingerprint of all that is drawn: equal where the pictures are, whichever machine computed the findings."""
    marks = [[part if isinstance(part, str) else repr(round(part, 3)) for part in astuple(mark(f))] for f in findings]
    drawn = [[f.claim.id, f.claim.sentence, f.claim.whose, *m] for f, m in zip(findings, marks, strict=True)]
    return hashlib.sha256(json.dumps(drawn).encode()).hexdigest()


def write(folder: Path, findings: Sequence[Finding]) -> list[Path]:
    """Draw both pictures into a folder, with their digest and their description as metadata; the same findings give the same bytes.

    They replace earlier ones, as a whole. InputError for a file of another kind there, for a link, and for what the disk refuses.
    """
    about = {"Title": TITLE, "Description": described(findings), "Identifier": digest(findings), "Date": None, "Creator": None}
    style = {"svg.fonttype": "none", "savefig.bbox": None}  # letters stay letters: small, and found by a search
    with writing(folder), in_place_of(folder, _is_forest) as draft, mpl.rc_context(style):
        for name, narrow in FILES.items():
            draw(findings, narrow).savefig(draft / name, metadata=about)
    return [folder / name for name in FILES]


def _is_forest(file: Path) -> bool:
    """Whether a file, and no link to one, was drawn by `write`: its metadata have our title."""
    return file.is_file() and not file.is_symlink() and f"<dc:title>{TITLE}</dc:title>".encode() in file.read_bytes()


def html(findings: Iterable[Finding]) -> str:
    """The picture for a page one folder below the book's pictures: the narrow one on a phone."""
    wide, narrow = (f"../_static/{name}" for name in FILES)
    alt = escape(described(list(findings)), quote=True)
    return (
        f'<figure class="forest"><picture><source media="screen and (max-width: 60rem)" srcset="{narrow}">'
        f'<img src="{wide}" alt="{alt}"></picture></figure>'
    )
