"""Every reading's gradient against the confidence, for the loss page: a drawing in the page's own colours, and a slider that reads it off.

Inside: `table` (the closed forms of trial/instruments/theory.py at each hundredth of c), `html` (the figure, which book/_static/readings.js
moves).
"""

import json

import numpy as np

from trial.instruments.theory import READINGS, coupled_ratio

GAMMA, LAMBDA = 2.0, 0.5  # the write-up's
W, O = 1.0, 8.0  # sums over a batch that the coupled reading multiplies by: a few objects, all missed  # noqa: E741
AT = 10  # hundredths of c at which it opens
STYLES = {  # reading: its name, its colour in book.css, its line in CSS and in SVG
    "mse": ("squared error", "mse", "solid", "none"),
    "focal": ("focal, as derived", "focal", "dashed", "10 5"),
    "focal-detached": ("focal, factor held constant", "detached", "dotted", "2 3"),
    "focal-literal": ("focal, as printed", "literal", "dashed", "4 3"),
    "focal-coupled": ("focal, as coded", "coupled", "solid", "none"),
}
WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 640, 330, 44, 12, 628, 286
LOW, HIGH = -0.2, 2.1  # gradients that are drawn


def table() -> dict[str, list[float]]:
    """Each reading's gradient at c = 0, 0.01, ..., 1."""
    c = np.arange(101) / 100
    found = {name: reading.gradient(c, GAMMA, LAMBDA) for name, reading in READINGS.items()}
    found["focal-coupled"] = found["mse"] * coupled_ratio(W, O)
    return {name: [float(f"{value:.4g}") for value in found[name]] for name in STYLES}


def x(hundredths: float) -> float:
    return LEFT + (RIGHT - LEFT) * hundredths / 100


def y(gradient: float) -> float:
    return BOTTOM - (BOTTOM - TOP) * (gradient - LOW) / (HIGH - LOW)


def html() -> str:
    """The figure: curves, a mark at c = 0.1 and the gradients there, without JavaScript; with it, at any c."""
    gradients = table()
    curves, dots, key = [], [], []
    for name, values in gradients.items():
        title, colour, dash, dashes = STYLES[name]
        inside = [(k, value) for k, value in enumerate(values) if value <= HIGH]
        line = " ".join(f"{x(k):.1f},{y(value):.1f}" for k, value in inside)
        stroke = f'stroke="var(--flow-{colour})"'
        curves.append(f'<polyline points="{line}" fill="none" {stroke} stroke-width="2.6" stroke-dasharray="{dashes}"></polyline>')
        dots.append(f'<circle cx="{x(AT):.1f}" cy="{y(values[AT]):.1f}" r="5" fill="var(--flow-{colour})"></circle>')
        key.append(f'<li style="--colour: var(--flow-{colour}); --dash: {dash}">{title} <strong>{values[AT]:.4g}</strong></li>')
    grid = "".join(
        f'<line x1="{LEFT}" x2="{RIGHT}" y1="{y(v):.1f}" y2="{y(v):.1f}"></line><text x="{LEFT - 8}" y="{y(v) + 5:.1f}">{v:g}</text>'
        for v in (0, 0.5, 1, 1.5, 2)
    )
    ticks = "".join(f'<text x="{x(k):.1f}" y="{BOTTOM + 20}">{k / 100:g}</text>' for k in range(0, 101, 20))
    return PAGE.format(
        width=WIDTH, height=HEIGHT, top=TOP, bottom=BOTTOM, middle=(LEFT + RIGHT) // 2, below=HEIGHT - 6, at=AT, c=f"{AT / 100:.2f}",
        mark=f"{x(AT):.1f}", grid=grid, ticks=ticks, curves="".join(curves), dots="".join(dots), key="".join(key), gamma=f"{GAMMA:g}",
        lam=f"{LAMBDA:g}", ratio=f"{coupled_ratio(W, O):g}", table=json.dumps(gradients),
        axes=f"{LEFT} {RIGHT} {TOP} {BOTTOM} {LOW} {HIGH}",
    )  # fmt: skip


PAGE = """<figure class="flow readings" id="readings" data-axes="{axes}" data-gradients='{table}'>
<div class="flow-sliders"><label><span>confidence</span> <span id="readings-value" aria-hidden="true">{c}</span>
<input type="range" id="readings-c" min="0" max="100" value="{at}" aria-valuetext="{c}" disabled></label></div>
<p class="play-title">Gradient of the background loss</p>
<svg viewBox="0 0 {width} {height}" role="img" aria-label="Gradient of the background loss against the confidence from 0 to 1, a line per
reading. The squared error's is straight; both focal ones lie flat near 0; the printed one is below 0 from one half on; the coded one is
the steepest.">
<g class="readings-grid">{grid}</g><g class="readings-ticks">{ticks}<text x="{middle}" y="{below}">confidence c</text></g>
<line id="readings-mark" x1="{mark}" x2="{mark}" y1="{top}" y2="{bottom}"></line>{curves}<g id="readings-dots">{dots}</g></svg>
<ul class="flow-key" id="readings-key" aria-live="polite">{key}</ul>
<figcaption>Near 0 the focal gradients as derived and with the factor held constant are all but gone, and the coded one is the
largest; above 0.71 the derived one passes the squared error. One background predictor, by the closed
forms of this page: γ = {gamma}, λ = {lam}, and for the coded reading 2W + O = {ratio}, a small batch's. No run, no data.</figcaption>
</figure>
<script defer src="../_static/readings.js"></script>"""
