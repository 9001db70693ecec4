"""A memory calculator: what a training step holds at its peak, by head, optimiser, precision and micro-batch.

Inside: `compute` (every combination by trial/planner/memory.py, in minutes), `read` (the same as committed beside this file), `calculator`
(the figure, which book/_static/memory.js moves). After a change of the planner: `python -m trial.figures.calculator` writes the table anew.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

from IPython.display import HTML

from trial.planner import memory
from yolo_core.experiments import resolve
from yolo_core.training.config import RunConfig

FILE = Path(__file__).with_name("memory.json")
CHOICES = {
    "head": {"full": "full, 4,096 wide", "compressed": "compressed, 1,024 wide", "conv": "convolutional"},
    "optimiser": {"adam": "Adam", "sgd": "SGD with momentum"},
    "precision": {"32-true": "single", "16-mixed": "half (mixed)"},
    "micro": {micro: str(micro) for micro in (1, 2, 4, 8, 16)},
    "card": {gib: f"{gib} GiB" for gib in (4, 6, 8, 12)},
}
OPENS = {"head": "full", "optimiser": "adam", "precision": "32-true", "micro": 1, "card": 6}
NAMES = {"head": "head", "optimiser": "optimiser", "precision": "precision", "micro": "micro-batch", "card": "card"}
PARTS = {"weights": "#0072b2", "gradients": "#d55e00", "optimiser": "#009e73", "activations": "#e69f00", "temporary": "#cc79a7"}
WHOLE = 16  # pictures of an effective batch


def combinations() -> Iterator[tuple[str, str, str, int]]:
    """Every head, optimiser, precision and micro-batch that the table holds."""
    return product(*(CHOICES[name] for name in ("head", "optimiser", "precision", "micro")))


def config(head: str, optimiser: str, precision: str) -> RunConfig:
    """ResNet18 at 448 px, all of it trained."""
    return replace(resolve("baseline", "full", "rtx2060"), backbone="resnet18", head=head, optimiser=optimiser, precision=precision)


def predicted(head: str, optimiser: str, precision: str, micro: int) -> list[int]:
    """MiB at the peak, in the order of PARTS; what is left over counts as temporary."""
    peak = memory.predict(config(head, optimiser, precision), micro)
    parts = [peak.parts[name] for name in PARTS]
    parts[-1] += peak.total - sum(parts)
    return [round(size / memory.MIB) for size in parts]


def key(*combination: object) -> str:
    return " ".join(map(str, combination))


def compute() -> dict[str, list[int]]:
    """MiB by part of every combination."""
    return {key(*combination): predicted(*combination) for combination in combinations()}


def read() -> dict[str, list[int]]:
    """The committed table."""
    return json.loads(FILE.read_text(encoding="utf-8"))


def told(parts: list[int], micro: int, card: int) -> str:
    """The sentence: book/_static/memory.js says the same."""
    total = sum(parts) / 1024
    room = card - memory.RESERVE_GIB
    verdict = "fits" if total <= room else "does not fit"
    times = f"{WHOLE // micro} times" if micro < WHOLE else "once: nothing to accumulate"
    return (
        f"<strong>{total:.1f} GiB</strong> predicted: {verdict} a card of {card} GiB, of which {memory.RESERVE_GIB:.1f} are kept for the "
        f"driver. An effective batch of {WHOLE} takes the step's forward and backward pass {times}."
    )


def calculator() -> HTML:
    """The figure as it opens; with JavaScript its choices are the reader's."""
    table = read()
    parts = table[key(*list(OPENS.values())[:-1])]
    card = OPENS["card"]
    scale = max(card, sum(parts) / 1024)
    controls = "".join(
        f'<label>{NAMES[name]} <select id="memory-{name}" disabled>'
        + "".join(f'<option value="{value}"{" selected" * (value == OPENS[name])}>{text}</option>' for value, text in options.items())
        + "</select></label>"
        for name, options in CHOICES.items()
    )
    bars = "".join(
        f'<span style="width: {size / 10.24 / scale:.2f}%; background: {colour}"></span>'
        for size, colour in zip(parts, PARTS.values(), strict=True)
    )
    legend = "".join(
        f'<li style="--colour: {colour}; --dash: solid">{name} <strong>{size / 1024:.2f}</strong></li>'
        for (name, colour), size in zip(PARTS.items(), parts, strict=True)
    )
    return HTML(
        PAGE.format(
            table=json.dumps(table),
            reserve=memory.RESERVE_GIB,
            whole=WHOLE,
            controls=controls,
            bars=bars,
            legend=legend,
            at=f"{100 * (card - memory.RESERVE_GIB) / scale:.2f}",
            said=told(parts, OPENS["micro"], card),
        )  # fmt: skip
    )


PAGE = """<figure class="flow memory" id="memory" data-reserve="{reserve}" data-whole="{whole}" data-peaks='{table}'>
<noscript><p>Choosing needs JavaScript; this is the full head in single precision, one picture at a time.</p></noscript>
<div class="memory-controls">{controls}</div>
<div class="memory-bar" aria-hidden="true"><div id="memory-parts">{bars}</div><div id="memory-room" style="left: {at}%"></div></div>
<ul class="flow-key" id="memory-key">{legend}</ul>
<p id="memory-said" aria-live="polite">{said}</p>
<figcaption>GiB at the peak of a training step of ResNet18 at 448 px, all of it trained: predicted by the planner, a lower bound. The line
is what the card has for it.</figcaption>
</figure>
<script defer src="../_static/memory.js"></script>"""


if __name__ == "__main__":
    rows = ",\n".join(f" {json.dumps(name)}: {json.dumps(parts)}" for name, parts in compute().items())
    FILE.write_text(f"{{\n{rows}\n}}\n", encoding="utf-8")
