// The memory calculator of notebooks/memory.ipynb: reads the planner's peaks off the table that trial/figures/calculator.py has left.
{
  const figure = document.getElementById("memory");
  const peaks = JSON.parse(figure.dataset.peaks);
  const [reserve, whole] = [Number(figure.dataset.reserve), Number(figure.dataset.whole)];
  const part = (name) => document.getElementById(`memory-${name}`);
  const choices = ["head", "optimiser", "precision", "micro", "card"].map(part);

  function show() {
    const [head, optimiser, precision, micro, gib] = choices.map(({ value }) => value);
    const parts = peaks[`${head} ${optimiser} ${precision} ${micro}`].map((mib) => mib / 1024);
    const card = Number(gib);
    const total = parts.reduce((sum, size) => sum + size, 0);
    const scale = Math.max(card, total);
    parts.forEach((size, i) => {
      part("parts").children[i].style.width = `${(100 * size) / scale}%`;
      part("key").children[i].querySelector("strong").textContent = size.toFixed(2);
    });
    part("room").style.left = `${(100 * (card - reserve)) / scale}%`;
    const verdict = total <= card - reserve ? "fits" : "does not fit";
    const times = micro < whole ? `${whole / micro} times` : "once: nothing to accumulate";
    const said = `<strong>${total.toFixed(1)} GiB</strong> predicted: ${verdict} a card of ${card} GiB, of which ${reserve.toFixed(1)} are kept ` +
      `for the driver. An effective batch of ${whole} takes the step's forward and backward pass ${times}.`;
    if (part("said").innerHTML !== said) part("said").innerHTML = said;
  }
  for (const choice of choices) {
    choice.disabled = false;
    choice.addEventListener("input", show);
  }
  show();
}
