// What is wider than the column scrolls inside its own box (book.css); this lets the keyboard reach such a box. The theme does so for code and
// outputs, and only after the window has changed; here also for tables and mathematics, and from the start. Each box is looked at whenever
// its size changes, which includes its mathematics being typeset.
{
  const fade = (box) => // its right edge: book.css
    box.classList.toggle("more-right", getComputedStyle(box).overflowX !== "visible" && box.scrollLeft + box.clientWidth < box.scrollWidth - 1);
  const look = (box) => {
    const scrolls = box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight;
    if (scrolls) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
    fade(box);
  };
  // A figure scrolls by itself: what an output says below it stays where it is.
  document.querySelectorAll("article .cell_output > img").forEach((image) => {
    const box = document.createElement("div");
    box.className = "figure-box";
    image.replaceWith(box);
    box.append(image);
  });
  const sizes = new ResizeObserver((changed) => changed.forEach(({ target }) => look(target)));
  document.querySelectorAll("article :is(pre, .figure-box, .cell_output, .output, .pst-scrollable-table-container, div.math)").forEach((box) => {
    sizes.observe(box);
    box.addEventListener("scroll", () => fade(box), { passive: true });
  });
}
