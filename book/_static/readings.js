// The slider under "What focal may mean here" in book/loss.md: reads every gradient off the table that trial/figures/readings.py has left.
{
  const figure = document.getElementById("readings");
  const [left, right, top, bottom, low, high] = figure.dataset.axes.split(" ").map(Number);
  const gradients = Object.values(JSON.parse(figure.dataset.gradients));
  const [slider, value, mark, dots, key] = ["c", "value", "mark", "dots", "key"].map((name) => document.getElementById(`readings-${name}`));

  function show() {
    const k = Number(slider.value);
    const x = left + ((right - left) * k) / 100;
    value.textContent = (k / 100).toFixed(2);
    slider.setAttribute("aria-valuetext", value.textContent);
    for (const end of ["x1", "x2"]) mark.setAttribute(end, x);
    gradients.forEach((values, i) => {
      const y = bottom - ((bottom - top) * (values[k] - low)) / (high - low);
      dots.children[i].setAttribute("cx", x);
      dots.children[i].setAttribute("cy", y);
      dots.children[i].setAttribute("visibility", values[k] > high ? "hidden" : "visible"); // beyond the drawing
      key.children[i].querySelector("strong").textContent = String(values[k]);
    });
  }
  slider.disabled = false;
  slider.addEventListener("input", show);
  show();
}
