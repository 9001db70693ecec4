"""The page on the code: docstrings, which are plain prose, as reStructuredText; their `eq-...` labels as links to the equations.

A docstring of this package marks code by single backticks, an argument by `name: what it is` with indented further lines, and uses |c|,
c^2 and * as mathematics does, none of which reStructuredText would leave alone.
"""

import re
from collections.abc import Iterator

ITEM = re.compile(r'(?P<name>[a-z_]\w*(?:(?:, | / )[a-z_]\w*)*|"[^"]+"(?:, "[^"]+")*|-)(?P<colon>:?) ')
ENDS = (".", ":", ";", "!", "?", ")")
SPAN = re.compile(r"(?P<code>`+[^`]+`+)|(?P<open>\()?(?P<label>\beq-[a-z0-9]+(?:-[a-z0-9]+)*\b)(?(open)\)?)")


def setup(app):
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-docstring", convert)
    app.connect("autodoc-skip-member", skip)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def skip(app, what, name, thing, skipped, options):
    """A named tuple's fields stand in its signature; what they are is not told again by Python's own words."""
    return True if (getattr(thing, "__doc__", None) or "").startswith("Alias for field number") else None


def convert(app, what, name, thing, options, lines):
    heading = [f".. rubric:: {name}", "   :class: api-module", ""] if what == "module" else []
    lines[:] = [*heading, *to_rst(lines)]


def to_rst(lines: list[str]) -> Iterator[str]:
    """The lines of a docstring, its common indent gone, as those of reStructuredText: paragraphs, and lists of two levels."""
    depth, before = None, ""  # depth: of the open list item; None in a paragraph
    for line in lines:
        text, indent = line.strip(), len(line) - len(line.lstrip())
        item = ITEM.match(text)
        starts = item and (item["colon"] or item["name"] == "-") and (not before or before.endswith(ENDS))
        if not text:
            depth = None
            yield ""
        elif starts:
            level = 1 if indent else 0
            if depth is None or depth != level:
                yield ""
            depth = level
            name = "" if item["name"] == "-" else f"``{item['name']}``: "
            yield f"{'  ' * level}- {name}{inline(text[item.end() :])}"
        else:
            if depth is not None and not indent:  # a list's further lines are indented
                depth = None
                yield ""
            yield f"{'  ' * (depth + 1) if depth is not None else ''}{inline(text)}"
        before = text
    yield ""


def inline(text: str) -> str:
    """Code and labels marked up, everything else to be read as it stands. An equation's number brings its parentheses."""
    out, at = "", 0
    for span in SPAN.finditer(text):
        marked = f"``{span['code'].strip('`')}``" if span["code"] else f":eq:`{span['label']}`"
        if span["open"] and not span.group().endswith(")"):  # (eq-a; a source): the parenthesis goes on
            marked = f"({marked}"
        out += f"{escaped(text[at : span.start()])}\\ {marked}\\ "
        at = span.end()
    return out + escaped(text[at:])


def escaped(text: str) -> str:
    return re.sub(r"([\\*|_`])", r"\\\1", text)
