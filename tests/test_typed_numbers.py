"""No measured number is typed into the book's prose: each is a `{{ group.name }}`, or cited, or a constant that is listed here.

The rules are strict and not clever. Told as faults are, in a paragraph without a {cite}: every number in digits other than 0 and 1; every
large number in words; a small one in words with a unit, or after "about"; shares and ratios in words; and a mAP, a recall, ... of 0 or 1.
A formula, an exercise, a theorem may hold any number (tests/prose.py), and so may the sentences of claims, which are quoted.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prose import Paragraph, paragraphs, read

from trial.register.claims import CLAIMS

ROOT = Path(__file__).resolve().parents[1]
CUT = r"0\.(001|05|1|2|4)"

# What a page may say outside of a formula, and why. Nothing that a run has measured belongs here.
ALLOWED = {
    # names and dates
    r"\bVOC 20\d\d\b": "a data set",
    r"\bmAP@\.5\b": "a metric",
    r"\bRTX 2060\b": "a card",
    r"\bExp [1-4]\b": "an experiment of the write-up",
    r'"From 0\.3"': "an arm",
    r"\b(in|of|since|before) (19|20)\d\d\b": "a year",
    # constants of the method
    rf"\b(scor(e|es|ed|e was taken)|cut)( only)?( of at least| of| at| above| below)? {CUT}\b": "the cuts at which every run is scored",
    rf"^{CUT}$": "the same, in the first column of a table",
    r"\babove 0\.001 go through\b": "the score below which nothing is kept",
    r"\bIoU (of )?0\.5\b": "the overlap at which a box counts as found",
    r"§ (is|of) 0\.5\b": "a weight of the loss, named before it: `lambda_coord` of 0.5",
    r"\b(224|448) px\b": "the sides of pictures",
    r"\b7 x 7\b": "the paper's grid",
    r"\btwenty classes\b": "those of Pascal VOC",
    r"\b[Mm]icro-batches of 2 or of 16\b": "the arms of an experiment",
    r"\beffective batch of 16\b": "the write-up's recipe",
    r"\bthe backbone at a tenth of it\b": "a recipe: two learning rates",
    r"\bfour times the scenes\b": "a recipe: two sizes of the training split",
    r"\b1024 channels\b": "the write-up's features",
    r"\b(head of 250|one of 25) million\b": "parameters of the write-up's heads, which notebooks/baseline counts",
    r"\b6 GB graphics card\b": "what the write-up was trained on",
    r"\bdownload of 2 GB\b": "the archive of Pascal VOC",
    r"\bover 25 steps\b": "how far figures.loss_curves smooths",
    r"^## Sixteen scenes$": "how many the cell below draws",
    r"\b(at least|fewer than) three seeds\b": "what a verdict asks for: verdicts.MIN_SEEDS",
    r"\b95 %( |-)(t-)?interval\b": "that of a verdict",
    r"\bnear to mAP 0\b": "where a claim refuses to divide",
    r"\b(the two trainings|two seeds of the squared error)\b": "a pair that is compared, not a count of all there are",
    # worked by hand
    r"\bat a confidence of 0\.1 it leaves a fiftieth\b": "eq-ratio, at gamma = 2",
    r"\b1 at §, and 0\.02 at §": "eq-ratio, at gamma = 2",
    r"\ba floor of 0\.02 becomes one of 0\.22\b": "eq-floor-drive, at gamma = 2",
    r"§/10\b": "a tenth of a symbol, in a caption that cannot hold a formula",
    r"\bscore 0\.3, three in ten\b": "an example of what honest means",
    r"^By hand, for one box from .*": "an example whose cell compares its output",
}

DIGITS = r"(?<![\w.])\.?\d[\d.,]*"
SMALL = r"(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|tens|dozens|hundreds|thousands)"
LARGE = r"(?:thir|four|fif|six|seven|eigh|nine)teen|(?:twen|thir|for|fif|six|seven|eigh|nine)ty|dozen|hundred|thousand|million|billion"
TIME = r"(?:ms|s|seconds?|min|minutes?|h|hours?|days?)"
UNIT = rf"(?:{TIME}|%|per ?cent|percentage points?|times|fold|[kmg]i?b|runs?|trainings?|repeats?|seeds?|epochs?|fps|\w+ (?:a|per) second)"
HEDGE = r"(?:about|around|some|roughly|nearly|almost|approximately|close to|up to|(?:more|less|fewer) than|at (?:least|most))"
PART = r"(?:thirds?|quarters?|(?:fif|six|seven|eigh|nin|ten|twentie|thirtie|fortie|fiftie|hundred|thousand)ths?)"
MEASURE = r"(?:map|ap|recall|precision|accuracy|correlation|loss|losses|confidences?|ceiling|speed|calibration)"

RULES = [
    rf"(?![01](?![\d.,]*\d)){DIGITS}",
    rf"\b(?:{LARGE})\b",
    rf"\b(?:{SMALL}|zero|[01])(?: of)?[ -]?(?:{UNIT}(?!\w)|[x×](?! ?\d))",
    rf"\bone {TIME}\b",
    rf"\b{HEDGE} (?:{SMALL}|(?:a |one )?(?:half|{PART}))\b",
    rf"\b(?:a|one|{SMALL})[ -]{PART}(?= of| as|[.,:;)]|$)",
    r"\bhalf (?:as|of|the|its|their)\b",
    r"\b(?:twice|thrice) (?:as|the|that|its|their)\b",
    r"\b(?:doubl|tripl|quadrupl|halv)(?:es|ed|ing)\b",
    rf"\b{MEASURE}(?: [a-z]+){{0,3}} (?:[01](?![.,]?\d)|zero)\b",
]
FAULT = re.compile("|".join(f"(?:{rule})" for rule in RULES), re.IGNORECASE)
QUOTED = re.compile("|".join(rf"\*{re.escape(claim.sentence)}\*" for claim in CLAIMS), re.IGNORECASE)
FREE = re.compile("|".join(f"(?:{phrase})" for phrase in ALLOWED))


def faults(found: Iterator[Paragraph]) -> Iterator[str]:
    """One line for each number that somebody has typed: where, and the words it stands among."""
    for paragraph in found:
        if not paragraph.cited:
            text = FREE.sub("§", QUOTED.sub("§", paragraph.text).replace("*", ""))
            for match in FAULT.finditer(text):
                yield f"{paragraph.where}: ...{text[max(0, match.start() - 30) : match.end() + 30]}..."


def test_no_measured_number_is_typed_into_the_prose():
    typed = list(faults(paragraphs(ROOT)))
    assert not typed, (
        "these numbers stand in the prose as typed. What a run measured: numbers.publish it in a cell, and name it, {{ group.name }}; what "
        "somebody else reports: {cite} it in the paragraph; what is derived: write it as a formula; a constant of the method: list it in "
        "ALLOWED with its reason.\n" + "\n".join(typed)
    )


@pytest.mark.parametrize(
    "typed",
    [
        "It reaches a mAP of 0.123 in the end.",
        "It reaches a mAP of **0.123** in the end.",
        "A recall of .31, no more.",
        "The mAP falls to 0 under focal.",
        "Training took 12 minutes.",
        "Training took\n12. It then stopped.",
        "Training took one hour.",
        "Over three seeds the order is the same.",
        "The ten runs agree.",
        "With 1 % of the pictures left.",
        "It is 6.8x as fast.",
        "It is seven times as fast.",
        "It is tenfold faster.",
        "It feeds them tens of times over.",
        "There are about forty objects in a batch.",
        "The batch holds forty cells.",
        "The batch holds a dozen people.",
        "There are about nine of them.",
        "It finds 31 of its objects.",
        "Nearly half is gone.",
        "A third of it is gone.",
        "Two thirds, that is.",
        "It finds half of the objects.",
        "It finds twice as many.",
        "It doubles the mAP.",
        "Left: § {{ a.b }} of the runs, the other 0.25 of them failed.",
        "- an item\n- took 12 minutes",
        "| mAP | 0.31 |\n|:--|--:|",
        "```{admonition} What took 12 minutes\n:class: takeaway\nThis.\n```",
        "```{admonition} Title\n:class: takeaway\nIt took 12 minutes.\n```",
        "````{note}\n```{math}\n:label: eq-a\nc^2\n```\nIt took 12 minutes.\n````",
        "```{list-table}\n:header-rows: 1\n\n* - arm\n  - mAP\n* - mse\n  - 0.31\n```",
        "```python\nx = 1\n```\nIt took 12 minutes.",
        "```{raw} html\n<figcaption>It took 12 minutes.</figcaption>\n```",
        "## Cited {cite}`writeup`\nIt took 12 minutes.",
        "| cited {cite}`writeup` |\n|:--|\n| 12 |",
        "Cited {cite}`writeup`.\n\nIt took 12 minutes.",
        "- Cited {cite}`writeup`.\n- It took 12 minutes.",
        "A price of $1 in 12 minutes, and $2.",
        "*A claim that nobody registered: 7 times the mAP*",
    ],
)
def test_a_typed_number_is_found(typed):
    assert list(faults(read(typed)))


@pytest.mark.parametrize(
    "free",
    [
        "The factor, $\\gamma = 2$, and $0.02$ of it, $$\n1.5\n- 2.5\n$$",
        "A mAP of {{ a.map }} in {{ a.minutes }} minutes, {{ a.faster }} times as fast. {{ a.arms[12] }}",
        "The write-up reports a mAP of 0.0049 {cite}`writeup`.",
        "The code says `sleep(12)`, see [there](../page-12.md), https://example.org/12 and {eq}`eq-ap-11` <!-- 12 minutes -->.",
        "```{figure} a.png\n:width: 50 px\n\nWords.\n```",
        "One run is an anecdote; three readings, four sums of squares, a second thing and a third thing.",
        "It lies between 0 and 1. YOLOv1, ResNet18 and EfficientNet-Lite0 (C2f).",
        "What scores below 0.4 is gone, on Pascal VOC 2012 too.",
        "The loss takes some time; nearly all of its cells are empty; the precision halts.",
        "```{math}\n:label: eq-a\n43 = 86 / 2\n```",
        "```{prf:theorem} Forty-three times\n:label: thm-a\nIt takes 43 times as long.\n```",
        "```{exercise}\n:label: exercise-a\n30 px apart.\n```\n\n```{solution} exercise-a\n:class: dropdown\n30 times in 64.\n```",
        "````{note}\n```{prf:proof}\n43 times\n```\nWords.\n````",
        "```python\nx = 12\n```",
        '```{raw} html\n<label>start <b id="start-value">12</b> <input min="12"></label>\n```',
        *(f"*{claim.sentence}*: it was said." for claim in CLAIMS),
    ],
)
def test_what_is_not_measured_is_free(free):
    assert list(faults(read(free))) == []


def test_every_page_and_every_notebook_is_read():
    seen = {paragraph.where.split(":")[0].split(",")[0] for paragraph in paragraphs(ROOT)}
    assert seen == {f.relative_to(ROOT).as_posix() for f in [*(ROOT / "book").rglob("*.md"), *(ROOT / "notebooks").glob("*.ipynb")]}


def test_a_fault_says_where_it_is(tmp_path):
    for name in ("book", "notebooks"):
        (tmp_path / name).mkdir()
    (tmp_path / "book/page.md").write_text("# Page\n\n```{math}\n12\n```\n\nIt took 12 minutes.\n")
    cells = [{"cell_type": "code", "source": ["12"]}, {"cell_type": "markdown", "source": ["# Page\n", "\n", "It took 12 minutes."]}]
    (tmp_path / "notebooks/page.ipynb").write_text(json.dumps({"cells": cells}))
    assert list(faults(paragraphs(tmp_path))) == [
        "book/page.md:7: ...It took 12 minutes....",
        "notebooks/page.ipynb, cell 2: ...It took 12 minutes....",
    ]
