"""The figures a reader can move: plotly for the page, its script served beside it, nothing fetched.

Inside: `replay` (a recorded training, step by step).
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from IPython.display import HTML
from plotly.subplots import make_subplots

from trial.figures.figures import CYCLE, background_grid
from trial.figures.paper import EITHER

SCRIPT = "../plotly.min.js"  # beside the pages, one folder up from each
BINS = np.linspace(-0.5, 1.3, 61)
POWERS = {-6: "10⁻⁶", -4: "10⁻⁴", -2: "10⁻²", 0: "1"}
BAR = {"len": 0.55, "y": 1, "yanchor": "top", "thickness": 12, "tickvals": list(POWERS), "ticktext": list(POWERS.values())}
LAYOUT = {
    "font": {"family": "sans-serif", "size": 12, "color": EITHER},
    "paper_bgcolor": "rgba(0,0,0,0)",
    "plot_bgcolor": "rgba(0,0,0,0)",
    "margin": {"l": 40, "r": 10, "t": 50, "b": 40},
}


# Plain controls above the drawing instead of plotly's own, which are pictures: the keyboard cannot reach them.
CONTROLS = """<figure class="replay">
<div class="replay-controls">
<button type="button" id="{name}-play">Play</button>
<label for="{name}-step">step <output id="{name}-at">{first}</output></label>
<input type="range" id="{name}-step" min="0" max="{last}" value="0">
</div>
<div role="img" aria-label="{words}">{drawing}</div>
</figure>"""
BEHAVIOUR = """{
  const [play, slider, at] = ["play", "step", "at"].map((part) => document.getElementById(`{plot_id}-${part}`));
  const steps = STEPS;
  const show = () => {
    at.value = steps[slider.value];
    slider.setAttribute("aria-valuetext", `step ${at.value}`);
    Plotly.animate("{plot_id}", [at.value], { mode: "immediate", frame: { duration: 0, redraw: true }, transition: { duration: 0 } });
  };
  let clock;
  const run = (runs) => {
    clearInterval(clock);
    play.textContent = runs ? "Pause" : "Play";
    if (!runs) return;
    if (slider.value === slider.max) { slider.value = 0; show(); }
    clock = setInterval(() => { slider.stepUp(); show(); if (slider.value === slider.max) run(false); }, 350);
  };
  play.addEventListener("click", () => run(play.textContent === "Play"));
  slider.addEventListener("input", () => { run(false); show(); });
}"""


def replay(recorded: Mapping[str, pd.DataFrame], name: str) -> HTML:
    """Background gradients on the grid and a histogram of background confidences, an arm a column, with a slider over the recorded steps.

    recorded: `GradientProbe.tables()["cells"]` by arm. Gradients are drawn as log10, since they fall over orders of magnitude.
    """
    arms = list(recorded)
    steps = sorted(set.intersection(*(set(table["step"]) for table in recorded.values())))
    titles = [f"{arm}, gradient" for arm in arms] + [f"{arm}, confidence" for arm in arms]
    figure = make_subplots(rows=2, cols=len(arms), subplot_titles=titles, vertical_spacing=0.16, row_heights=[0.62, 0.38])

    def traces(step: int) -> list:
        now = [table[table["step"] == step] for table in recorded.values()]
        last = len(now) - 1
        maps = [
            go.Heatmap(
                z=np.log10(np.maximum(background_grid(t), 1e-8)), zmin=-6, zmax=0, colorscale="Cividis", showscale=k == last, colorbar=BAR
            )
            for k, t in enumerate(now)
        ]
        shares = [np.histogram(t.loc[t["background"], "confidence"].clip(BINS[0], BINS[-1]), BINS)[0] for t in now]
        middle = (BINS[1:] + BINS[:-1]) / 2
        return maps + [
            go.Bar(x=middle, y=s, marker_color=c, marker_line_width=0, showlegend=False) for s, c in zip(shares, CYCLE, strict=False)
        ]

    for k, trace in enumerate(traces(steps[0])):
        figure.add_trace(trace, row=1 + k // len(arms), col=1 + k % len(arms))
    figure.frames = [go.Frame(data=traces(step), name=str(step), traces=list(range(2 * len(arms)))) for step in steps]
    for k in range(len(arms)):  # square cells
        figure.update_yaxes(autorange="reversed", scaleanchor=f"x{k + 1}" if k else "x", row=1, col=1 + k)
    for bare in (figure.update_xaxes, figure.update_yaxes):
        bare(row=1, showticklabels=False, showgrid=False, zeroline=False, constrain="domain")
    figure.update_yaxes(row=2, gridcolor=f"{EITHER}40", zerolinecolor=EITHER)
    figure.update_xaxes(row=2, ticks="outside", ticklen=6)  # else the first labels of both axes meet
    figure.update_annotations(font_size=13)  # the titles stand apart on a phone, in a wide font too
    figure.update_layout(**LAYOUT, height=480, bargap=0)
    drawing = figure.to_html(
        full_html=False,
        include_plotlyjs=SCRIPT,
        include_mathjax=False,
        auto_play=False,
        div_id=name,
        post_script=BEHAVIOUR.replace("STEPS", str([str(step) for step in steps])),
        config={"displayModeBar": False, "responsive": True},
    )
    words = f"{' and '.join(arms)}: above, the background gradient of each cell; below, a histogram of background confidences."
    return HTML(CONTROLS.format(name=name, first=steps[0], last=len(steps) - 1, words=words, drawing=drawing))
