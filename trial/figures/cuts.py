"""What a score cut keeps, for the baseline's page: a table of the reference runs' detections, and a slider that moves the cut.

Inside: `kept` (of some runs, at every cut), `html` (the figure, which book/_static/cuts.js moves).
"""

import json
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from yolo_core.training.records import Run

AT = "0.4"  # where it opens: the cut at which the write-up's code scores
COLUMNS = ("boxes per picture", "of them true", "objects found")


def kept(runs: Sequence[Run]) -> dict[str, list[float]]:
    """By cut: detections a picture that score at least so much, the share of them that is true, the share of the objects they find; means
    over runs. A record counts detections below and at some cuts (`metrics["cuts"]`) and in ten bins of score (`reliability`)."""
    found = [_counts(run.metrics) for run in runs]
    return {cut: [round(float(np.mean(v)), 4) for v in zip(*(of[cut] for of in found), strict=True)] for cut in found[0]}


def _counts(metrics: dict) -> dict[str, tuple[float, float, float]]:
    pairs = {cut: (counts["true"] + counts["false"], counts["true"]) for cut, counts in metrics["cuts"].items()}
    detections, true = (np.array(metrics["reliability"][key]) for key in ("detections", "true"))
    bins = len(detections)
    pairs |= {f"{k / bins:g}": (int(detections[k:].sum()), int(true[k:].sum())) for k in range(1, bins)}
    shares = {cut: (n / metrics["images"], hits / n if n else 0.0, hits / metrics["objects"]) for cut, (n, hits) in pairs.items()}
    return dict(sorted(shares.items(), key=lambda item: float(item[0])))


def html(detectors: Mapping[str, Sequence[Run]]) -> str:
    """The figure: at the write-up's cut without JavaScript, with it at any. detectors: the runs of each, by what it is called."""
    tables = {f"{name} (n = {len(runs)})": kept(runs) for name, runs in detectors.items() if runs}
    if not tables:
        return "<p><em>None of these detectors has run yet.</em></p>"
    steps = list(next(iter(tables.values())))
    rows = "".join(f'<tr><th scope="row">{escape(name)}</th>{_cells(*table[AT])}</tr>' for name, table in tables.items())
    numbers = json.dumps([[table[cut] for cut in steps] for table in tables.values()])
    head = "".join(f'<th scope="col">{word}</th>' for word in COLUMNS)
    return PAGE.format(steps=json.dumps(steps), numbers=numbers, rows=rows, head=head, last=len(steps) - 1, at=AT, first=steps.index(AT))


def _cells(boxes: float, true: float, found: float) -> str:
    return "".join(
        f'<td style="--share: {share:.4f}">{text}</td>'
        for share, text in ((0.0, f"{boxes:.2f}"), (true, f"{100 * true:.1f} %"), (found, f"{100 * found:.1f} %"))
    )


PAGE = """<figure class="flow cuts" id="cuts" data-steps='{steps}' data-kept='{numbers}'>
<div class="flow-sliders"><label><span>score at least</span> <span id="cuts-value" aria-hidden="true">{at}</span>
<input type="range" id="cuts-cut" min="0" max="{last}" value="{first}" aria-valuetext="{at}" disabled></label></div>
<table><thead><tr><th scope="col">detector, data</th>{head}</tr></thead><tbody aria-live="polite">{rows}</tbody></table>
<figcaption>The same detections under a moving cut: what scores less is thrown away. Reference runs on val, means over seeds; bars show
the printed shares. Exp 2 here is focal loss on Exp 3's frozen backbone. It opens at {at}, where the write-up's code scores.</figcaption>
</figure>
<script defer src="../_static/cuts.js"></script>"""
