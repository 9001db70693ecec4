"""What a reader reads as sentences: the pages of book/ and the Markdown cells of notebooks/, less what may hold numbers of its own.

Inside: `paragraphs` (of all pages), `read` (of one text), `Paragraph`, `HOLE`. Gone from the text: mathematics, theorems, proofs and
definitions, exercises and their solutions, code, addresses, comments, the options of directives. What was inside a line, a
`{{ substitution }}` for one, leaves a `HOLE`, so that the words on its two sides do not become neighbours.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

HOLE = "§"
# Directives that hold derivations, tasks for the reader, or no sentences.
FREE = re.compile(r"math|prf:(definition|example|theorem|lemma|corollary|proposition|proof)|exercise|solution|bibliography|code.*|toctree")
FENCE = re.compile(r"\s*(?P<fence>`{3,}|~{3,}|:{3,})\s*(\{(?P<name>[^}]*)\}(?P<title>.*)|[\w+-]*)$")
OPTION = re.compile(r"\s*:[\w-]+:(\s|$)")
ALONE = ("#", "|")  # a heading, a row of a table
ITEM = re.compile(r"\A(\s*([-*+]|\d+[.)])\s+)+")
CITED = re.compile(r"\{cite(:\w+)?\}`")
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
INSIDE = [  # in this order: code may hold dollars
    re.compile(r"\{\{.*?\}\}"),
    re.compile(r"(\{[\w:-]+\})?(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`)"),  # code and roles
    re.compile(r"\$\$.+?\$\$"),
    re.compile(r"(?<!\\)\$(?!\s)[^$]+?(?<!\s)\$"),
    re.compile(r"(?<=\])\([^()\s]*\)"),  # where a link leads; what it says stays
    re.compile(r"https?://\S+"),
    re.compile(r'<(?P<tag>\w+) id="[\w-]+-value"[^<>]*>[^<]*</(?P=tag)>'),  # where a slider stands: a script writes it
    re.compile(r"</?[a-zA-Z][^<>]*>"),
]


@dataclass(frozen=True)
class Paragraph:
    """A block between blank lines, an item of a list, a row of a table or a heading, on one line; `cited` if it names a source."""

    where: str  # file:line; file, cell n (counted from 1) in a notebook
    text: str
    cited: bool


def paragraphs(root: Path) -> Iterator[Paragraph]:
    """All that is prose in book/*.md and in the Markdown cells of notebooks/*.ipynb."""
    for file in sorted((root / "book").rglob("*.md")):
        for found in read(file.read_text(encoding="utf-8")):
            yield replace(found, where=f"{file.relative_to(root).as_posix()}:{found.where}")
    for file in sorted((root / "notebooks").rglob("*.ipynb")):
        if ".ipynb_checkpoints" not in file.parts:
            for n, cell in enumerate(json.loads(file.read_text(encoding="utf-8"))["cells"], start=1):
                if cell["cell_type"] == "markdown":
                    for found in read("".join(cell["source"])):
                        yield replace(found, where=f"{file.relative_to(root).as_posix()}, cell {n}")


def read(text: str) -> Iterator[Paragraph]:
    """The paragraphs of one Markdown text; `where` is the line each begins in."""
    block: list[str] = []
    began, formula = 0, False
    for number, line in [*_sentences(COMMENT.sub(lambda m: "\n" * m.group().count("\n"), text)), (0, "")]:
        if block and not formula and _parts(line, block):
            whole = re.sub(r"\s+", " ", ITEM.sub("", "\n".join(block))).strip()
            yield Paragraph(str(began), _holed(whole), bool(CITED.search(whole)))
            block = []
        if line.strip():
            began = began if block else number
            block.append(line)
        formula ^= line.count("$$") % 2 == 1  # within one, a line that begins with a minus is no item of a list


def _parts(line: str, block: list[str]) -> bool:
    """Whether the paragraph `block` ends before `line`. A line of a sentence may begin with 12. and a full stop; a list begins with 1."""
    listed = ITEM.match(line) and (ITEM.match(block[0]) or not line.lstrip()[:1].isdigit() or re.match(r"\s*1[.)]", line))
    return bool(not line.strip() or listed or line.startswith(ALONE) or block[0].startswith(ALONE))


def _sentences(text: str) -> Iterator[tuple[int, str]]:
    """(number, line) of the lines outside of FREE directives and code; the fences themselves become blank lines."""
    open_fences: list[tuple[str, bool]] = []  # the fence, whether what it holds is read
    options = False
    for number, line in enumerate(text.splitlines(), start=1):
        match = FENCE.match(line)
        reads = all(held for _, held in open_fences)
        if match and open_fences and match["name"] is None and _closes(match["fence"], open_fences[-1][0]) and line.strip(" `~:") == "":
            open_fences.pop()
            yield number, ""
        elif match and (reads or match["name"] is not None):
            held = match["name"] is not None and not FREE.fullmatch(match["name"])
            open_fences.append((match["fence"], held))
            options = True
            yield from [(number, ""), (number, match["title"] if reads and held else ""), (number, "")]
        else:
            options = options and bool(OPTION.match(line))
            yield number, line if reads and not options else ""


def _closes(fence: str, opened: str) -> bool:
    return fence[0] == opened[0] and len(fence) >= len(opened)


def _holed(text: str) -> str:
    for pattern in INSIDE:
        text = pattern.sub(HOLE, text)
    return text
