// The grid to play with in notebooks/grid.ipynb: Grid.encode and Grid.decode of yolo_core/detector/grid.py under the reader's hand.
//
// Inside: the arithmetic (centre, cellOf, encode, decode), the drawing (draw), the hand (mouse and touch, keyboard). The page opens as
// trial/figures/playground.py has drawn it; tests/test_grid_page.py holds every number and the first drawing to Python's.
// One block, so that no name meets another script's; not a module, which browsers refuse to pages opened from a folder.
{
  const figure = document.getElementById("play");
  const S = Number(figure.dataset.s);
  const SIDE = Number(figure.dataset.side);
  const CLASSES = figure.dataset.classes.split(" ");
  const SUPPRESSED_ABOVE = 0.5; // nms_iou of Grid.decode
  const STEP = 8 / SIDE; // of an arrow key: an eighth of a cell
  const LEAST = 24 / SIDE; // width and height, so that a box can be caught again
  const f = Math.fround; // torch counts in single precision, and so does this, step by step
  const objects = [...document.querySelectorAll(".play-object")];
  const part = (name) => document.getElementById(`play-${name}`);

  // ---- The arithmetic. A box is [x0, y0, x1, y1] in units of the picture; a cell of the target is [flag, x, y, width, height, ...class].
  const centre = ([x0, y0, x1, y1]) => [f(f(x0 + x1) / 2), f(f(y0 + y1) / 2)];
  const cellOf = (box) => centre(box).map((at) => Math.min(S - 1, Math.max(0, Math.trunc(f(at * S))))); // column, row

  function encode(things) {
    const target = Array.from({ length: S * S }, () => new Array(5 + CLASSES.length).fill(0));
    const owner = new Array(S * S).fill(null);
    things.forEach(({ box, label }, k) => {
      const [column, row] = cellOf(box);
      const cell = row * S + column;
      if (owner[cell] !== null) return; // the first listed stays
      owner[cell] = k;
      const [x, y] = centre(box);
      const oneHot = CLASSES.map((_, i) => Number(i === label));
      target[cell] = [1, f(f(x * S) - column), f(f(y * S) - row), f(box[2] - box[0]), f(box[3] - box[1]), ...oneHot];
    });
    return { target, owner };
  }

  const rooted = (size) => f(f(Math.sqrt(size)) ** 2); // what a perfect output's root stands for
  const boxOf = ([, x, y, width, height], cell) => {
    const middle = [f(f(x + (cell % S)) / S), f(f(y + Math.floor(cell / S)) / S)];
    const half = [width, height].map((size) => f(0.5 * rooted(size)));
    const ends = [f(middle[0] - half[0]), f(middle[1] - half[1]), f(middle[0] + half[0]), f(middle[1] + half[1])];
    return ends.map((end) => Math.min(1, Math.max(0, end)));
  };
  const overlap = (a, b) => {
    const area = ([x0, y0, x1, y1]) => Math.max(0, x1 - x0) * Math.max(0, y1 - y0);
    const both = area([Math.max(a[0], b[0]), Math.max(a[1], b[1]), Math.min(a[2], b[2]), Math.min(a[3], b[3])]);
    return both / (area(a) + area(b) - both);
  };

  // All score 1, so that the first cell of those that overlap is kept.
  function decode(target) {
    const kept = [];
    target.forEach((numbers, cell) => {
      if (!numbers[0]) return;
      const found = { box: boxOf(numbers, cell), label: numbers.indexOf(1, 5) - 5, cell };
      if (!kept.some(({ box, label }) => label === found.label && overlap(box, found.box) > SUPPRESSED_ABOVE)) kept.push(found);
    });
    return kept;
  }

  // ---- The drawing.
  const read = (object) => object.dataset.box.split(" ").map((value) => f(Number(value)));
  const short = (value) => (typeof value === "number" ? Number(value.toFixed(2)) : value);
  const set = (node, values) => Object.entries(values).forEach(([name, value]) => node.setAttribute(name, short(value)));
  const place = ([x0, y0, x1, y1]) => ({ x: SIDE * x0, y: SIDE * y0, width: SIDE * (x1 - x0), height: SIDE * (y1 - y0) });
  const rect = (x, y, side, colour, more = "") => `<rect x="${x}" y="${y}" width="${side}" height="${side}" fill="${colour}"${more}></rect>`;

  function draw() {
    const things = objects.map((object) => ({
      object, box: read(object), label: Number(object.dataset.label), name: object.dataset.name, colour: object.dataset.colour,
    }));
    const { target, owner } = encode(things);
    const decoded = decode(target);
    Object.assign(figure, { target, decoded }); // for whoever asks: the tests do
    const status = things.map(({ box }, k) => {
      const [column, row] = cellOf(box);
      const cell = row * S + column;
      const where = `column ${column}, row ${row}, `;
      if (owner[cell] !== k) return { lost: true, text: `${where}taken by the ${things[owner[cell]].name}: lost` };
      const numbers = target[cell].slice(1, 5).map((value) => value.toFixed(2)).join(", ");
      const text = `${where}taught 1, ${numbers}, ${CLASSES[things[k].label]}`;
      return decoded.some((found) => found.cell === cell) ? { lost: false, text } : { lost: true, text: `${text}; suppressed when decoded` };
    });
    things.forEach(({ object, box, colour, name }, k) => {
      const { lost, text } = status[k];
      const [x, y] = centre(box);
      const [outline, dot, corner, label] = object.children;
      const [again, word] = part("decoded").children[k].children;
      for (const node of [outline, again, part("glyphs").children[k]]) set(node, place(box));
      set(dot, { cx: SIDE * x, cy: SIDE * y });
      set(corner, { x: SIDE * box[2] - 10, y: SIDE * box[3] - 10 });
      for (const node of [label, word]) set(node, { x: SIDE * box[0] + 4, y: Math.max(18, SIDE * box[1] - 6) });
      set(object, { "aria-valuenow": Math.round(100 * x), "aria-valuetext": text });
      for (const node of [object, part("decoded").children[k]]) node.classList.toggle("play-lost", lost);
      word.textContent = lost ? "lost" : name;
      part("list").children[k].innerHTML = `<strong>${name}</strong>: ${text}`;
    });
    const size = SIDE / S;
    const held = owner.map((k, cell) => ({ k, cell })).filter(({ k }) => k !== null);
    part("cells").innerHTML = [...held].sort((a, b) => a.k - b.k)
      .map(({ k, cell }) => rect((cell % S) * size, Math.floor(cell / S) * size, size, things[k].colour)).join("");
    part("squares").innerHTML = held.flatMap(({ k, cell }) => target[cell].map((value, i) => value &&
      rect(5 * (cell % S) + (i % 5), 5 * Math.floor(cell / S) + Math.floor(i / 5), 1, things[k].colour, ` fill-opacity="${(0.2 + 0.8 * value).toFixed(2)}"`)))
      .filter(Boolean).join("");
    const all = target.flat();
    const said = `${held.length} of ${things.length} objects are in the target, and ${decoded.length} decode back. Of the target's ` +
      `${all.length.toLocaleString("en")} numbers ${all.filter(Boolean).length} are not 0.`;
    if (part("said").textContent !== said) part("said").textContent = said; // read out when it changes
  }

  // ---- The hand. A box stays in the picture.
  const between = (low, value, high) => Math.min(high, Math.max(low, value));
  function move(object, [x0, y0, x1, y1], dx, dy, resizes) {
    const [right, down] = [between(resizes ? x0 + LEAST - x1 : -x0, dx, 1 - x1), between(resizes ? y0 + LEAST - y1 : -y0, dy, 1 - y1)];
    object.dataset.box = (resizes ? [x0, y0, x1 + right, y1 + down] : [x0 + right, y0 + down, x1 + right, y1 + down]).join(" ");
    draw();
  }
  const first = objects.map((object) => object.dataset.box);
  for (const object of objects) {
    let from = null;
    object.tabIndex = 0;
    object.setAttribute("aria-describedby", "play-help");
    object.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false }); // a finger moves the object, not the page
    object.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      from = { x: event.clientX, y: event.clientY, box: read(object), resizes: event.target.classList.contains("play-corner") };
      object.setPointerCapture(event.pointerId);
      object.focus({ preventScroll: true });
      event.preventDefault();
    });
    object.addEventListener("pointermove", (event) => {
      if (!from) return;
      const { width } = object.ownerSVGElement.getBoundingClientRect();
      move(object, from.box, (event.clientX - from.x) / width, (event.clientY - from.y) / width, from.resizes);
    });
    for (const end of ["pointerup", "pointercancel"]) object.addEventListener(end, () => (from = null));
    object.addEventListener("keydown", (event) => {
      const [dx, dy] = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] }[event.key] ?? [];
      if (dx === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      move(object, read(object), dx, dy, event.shiftKey);
    });
  }
  part("again").addEventListener("click", () => {
    objects.forEach((object, k) => (object.dataset.box = first[k]));
    draw();
  });
  figure.addEventListener("input", draw); // after somebody else has set a data-box
  for (const name of ["help", "again"]) part(name).hidden = false;
  draw();
}
