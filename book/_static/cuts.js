// The slider under "The same weights at several cuts" in notebooks/baseline.ipynb: what a score cut keeps, from the table that
// trial/figures/cuts.py has left.
{
  const figure = document.getElementById("cuts");
  const steps = JSON.parse(figure.dataset.steps);
  const kept = JSON.parse(figure.dataset.kept);
  const slider = document.getElementById("cuts-cut");
  const value = document.getElementById("cuts-value");
  const rows = figure.querySelectorAll("tbody tr");
  const percent = (share) => `${(100 * share).toFixed(1)} %`;

  function show() {
    const k = Number(slider.value);
    value.textContent = steps[k];
    slider.setAttribute("aria-valuetext", steps[k]);
    rows.forEach((row, i) => {
      const [boxes, right, found] = kept[i][k];
      [boxes.toFixed(2), percent(right), percent(found)].forEach((text, j) => {
        row.cells[j + 1].textContent = text;
        row.cells[j + 1].style.setProperty("--share", [0, right, found][j]);
      });
    });
  }
  slider.disabled = false;
  slider.addEventListener("input", show);
  show();
}
