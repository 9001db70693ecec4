// The figure under "How long it takes" in book/focal_collapse.md: the closed forms of trial/instruments/theory.py behind three sliders.
//
// Inside: the mathematics (READINGS, gradient, flow, timeToFall), the two panels (draw), the sentence (tell).
// tests/test_flow_page.py holds what is plotted to theory.py. Loaded after plotly.min.js; no kernel, and nothing is fetched.
// One block, so that no name meets another script's; not a module, which browsers refuse to pages opened from a folder.
{
  // Each reading's gradient is k c^(p + 1). The style of a line tells as well as its colour, and where lines coincide all are seen.
  const READINGS = [
    { name: "squared error", colour: "--flow-mse", dash: "solid", law: (gamma, lambda) => ({ k: 2 * lambda, p: 0 }) },
    { name: "focal", colour: "--flow-focal", dash: "10px,5px", law: (gamma, lambda) => ({ k: (gamma + 2) * lambda, p: gamma }) },
    { name: "focal, factor detached", colour: "--flow-detached", dash: "2px,3px", law: (gamma, lambda) => ({ k: 2 * lambda, p: gamma }) },
  ];
  const gradient = ({ k, p }, c) => k * c ** (p + 1); // eq-background-gradient, eq-focal-gradient, eq-detached-gradient
  const flow = ({ k, p }, c0, t) => (p ? (c0 ** -p + p * k * t) ** (-1 / p) : c0 * Math.exp(-k * t)); // eq-flow-focal, eq-flow-mse
  const timeToFall = ({ k, p }, c0, c1) => (p ? (c1 ** -p - c0 ** -p) / (p * k) : Math.log(c0 / c1) / k); // eq-time

  const CONFIDENCE = [-2.5, 0.08]; // log10: room below the lowest c0 / 10, and for the dot at c0 = 1
  const PLAIN = { exponentformat: "none", tickfont: { size: 13 } }; // 0.01, not a power of ten
  const SLOPE = [-8, 1.3]; // log10: every dot is on it; fixed, as the confidence is, so that what a slider changes is seen to move
  const START = -2; // log10 of the first time drawn; 0 itself has no place on a logarithmic axis

  const spread = ([from, to], count = 301) => Array.from({ length: count }, (_, i) => 10 ** (from + ((to - from) * i) / (count - 1)));
  const figure = document.getElementById("flow");
  const sliders = Object.fromEntries(["c0", "gamma", "lambda"].map((name) => [name, document.getElementById(`flow-${name}`)]));

  // Three digits are enough below a hundred, whole numbers below a million, and words above.
  const said = (x) =>
    x.toLocaleString("en", x < 100 ? { maximumSignificantDigits: 3 } : x < 1e6 ? { maximumFractionDigits: 0 } : {
      notation: "compact", compactDisplay: "long", maximumSignificantDigits: 3, // 1.98 billion
    });

  function panel(id, title, shapes, x, y, curves, dots) {
    const style = getComputedStyle(figure); // the page's own type and ink, in either colour mode
    const grey = (share) => `rgba(128, 136, 150, ${share})`;
    const axis = (more) => ({ // powers of ten are set a quarter larger than the font says; hence the 11 below
      type: "log", fixedrange: true, exponentformat: "power", dtick: 1, gridcolor: grey(0.22), linecolor: grey(0.6), ticks: "outside",
      tickcolor: grey(0.6), ticklen: 4, zeroline: false, ...more, title: { text: more.title, standoff: 10, font: { size: 13 } },
    });
    const colours = READINGS.map(({ colour }) => style.getPropertyValue(colour).trim());
    const lines = READINGS.map(({ name, dash }, i) => ({
      ...curves[i], name, mode: "lines", line: { color: colours[i], dash, width: 2.6 }, hovertemplate: `${name}: %{y:.3g}<extra></extra>`,
    }));
    const rim = { color: "white", width: 1.5 };
    const marks = { ...dots, mode: "markers", hoverinfo: "skip", marker: { color: colours, size: 10, line: rim } };
    const layout = {
      title: { text: title, x: 0, xref: "container", font: { size: 14 }, y: 0.98, yanchor: "top" },
      font: { family: style.fontFamily, size: 11, color: style.color }, showlegend: false, dragmode: false,
      paper_bgcolor: "rgba(0, 0, 0, 0)", plot_bgcolor: "rgba(0, 0, 0, 0)", margin: { l: 52, r: 14, t: 34, b: 48 },
      shapes: shapes.map((shape) => ({ type: "rect", layer: "below", fillcolor: grey(0.16), line: { width: 0 }, ...shape })),
      xaxis: axis(x), yaxis: axis(y),
    };
    Plotly.react(id, [...lines, marks], layout, { displayModeBar: false, responsive: true });
  }

  function draw(c0, gamma, lambda) {
    const laws = READINGS.map(({ law }) => law(gamma, lambda));
    const c1 = c0 / 10;
    const falls = laws.map((law) => timeToFall(law, c0, c1));
    // The right end grows by whole decades with the slowest reading, which takes from one unit to two billion.
    const time = [START, Math.max(2, Math.ceil(Math.log10(Math.max(...falls)) + 0.3))];
    const c = spread(CONFIDENCE);
    const t = spread(time);
    panel(
      "flow-gradients", "Gradient of the background loss", [{ x0: c1, x1: c0, yref: "paper", y0: 0, y1: 1 }],
      { range: CONFIDENCE, title: "confidence c", ...PLAIN }, { range: SLOPE, dtick: 2 },
      laws.map((law) => ({ x: c, y: c.map((at) => gradient(law, at)) })),
      { x: laws.map(() => c0), y: laws.map((law) => gradient(law, c0)) },
    );
    panel(
      "flow-times", "Confidence over time", [{ y0: c1, y1: c0, xref: "paper", x0: 0, x1: 1 }],
      { range: time, title: "time, in units of 1 / rate", dtick: Math.ceil((time[1] - time[0]) / 6) }, { range: CONFIDENCE, ...PLAIN },
      laws.map((law) => ({ x: t, y: t.map((at) => flow(law, c0, at)) })),
      { x: falls, y: laws.map(() => c1) },
    );
    return falls;
  }

  function tell(c0, gamma, [mse, focal, detached]) {
    const fall = `From ${said(c0)} down to ${said(c0 / 10)}`;
    const bold = (x) => `<strong>${said(x)}</strong>`;
    document.getElementById("flow-said").innerHTML = gamma
      ? `${fall} the squared error takes ${bold(mse)} units of time, focal ${bold(focal)} (${bold(focal / mse)} times as long),
         focal with its factor detached ${bold(detached)} (${bold(detached / mse)} times).`
      : `${fall} all three take ${bold(mse)} units of time: at <var>γ</var> = 0 the factor is 1, and the readings are one.`;
  }

  function show() {
    const [c0, gamma, lambda] = Object.values(sliders).map((slider) => Number(slider.value));
    for (const [name, slider] of Object.entries(sliders)) {
      document.getElementById(`flow-${name}-value`).textContent = Number(slider.value).toFixed(slider.step.split(".")[1].length);
    }
    tell(c0, gamma, draw(c0, gamma, lambda));
  }

  for (const slider of Object.values(sliders)) slider.addEventListener("input", show);
  new MutationObserver(show).observe(document.documentElement, { attributeFilter: ["data-theme"] }); // the page's light switch
  show();
}
