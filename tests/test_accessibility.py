"""What a reader moves, opens or points at works by keyboard alone, wide and narrow: the replay, folded solutions, terms, wide boxes.

That nothing on a page breaks a grave rule of axe-core is held in tests/test_pages.py, which opens every page anyway.
"""

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import test_pages
from playwright.sync_api import Page
from visit import WIDTHS, watch, window

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1500)]

MAPS = "JSON.stringify(document.getElementById('focal-replay').data.map(trace => trace.z ?? trace.y))"
PANELS = """() => {
  const figure = document.getElementById('focal-replay');
  const { left: x0, top: y0 } = figure.getBoundingClientRect();
  const panels = Object.values(figure._fullLayout._plots).map(({ xaxis: x, yaxis: y }) => (
    { left: x0 + x._offset, right: x0 + x._offset + x._length, top: y0 + y._offset, bottom: y0 + y._offset + y._length }));
  const titles = [...figure.querySelectorAll('.annotation-text')].map(node => node.getBoundingClientRect());
  return [...panels, ...titles.map(({ left, right, top, bottom }) => ({ left, right, top, bottom }))];
}"""

# What the button and the step say, kept by the page itself at each change: a busy machine looks too late to see the first.
SAYS = """() => {
  const parts = ['play', 'at'].map(part => document.getElementById('focal-replay-' + part));
  window.said = [];
  const keep = new MutationObserver(() => window.said.push(parts.map(part => part.textContent)));
  parts.forEach(part => keep.observe(part, { childList: true, characterData: true, subtree: true }));
}"""

RIGHT = """() => [...document.querySelectorAll('.pst-scrollable-table-container')].every(
  box => (box.tabIndex === 0) === (box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight))"""


@pytest.fixture(params=WIDTHS)
def page(request, browser, address) -> Iterator[Page]:
    """An empty page of that width; whatever it opens must say nothing and ask no other host."""
    with window(request.param, reduced_motion="reduce") as page:
        said = watch(page, urlsplit(address).netloc)
        yield page
    assert said == []


def focused(page: Page) -> str:
    return page.evaluate("document.activeElement.id")


def test_the_replay_is_played_and_moved_by_keyboard_and_nothing_in_it_overlaps(page, address):
    page.goto(f"{address}/notebooks/focal.html", wait_until="load")
    page.wait_for_function("document.getElementById('focal-replay')?.data?.length >= 4")
    slider, play, at = (page.locator(f"#focal-replay-{part}") for part in ("step", "play", "at"))
    first, shown = at.inner_text(), page.evaluate(MAPS)
    play.focus()
    page.keyboard.press("Tab")
    assert focused(page) == "focal-replay-step"
    page.keyboard.press("End")
    page.wait_for_function(f"before => {MAPS} !== before", arg=shown)
    assert at.inner_text() != first and slider.get_attribute("aria-valuetext") == f"step {at.inner_text()}"
    page.evaluate(SAYS)
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    page.wait_for_function("window.said.at(-1)?.[0] === 'Play'")
    said = page.evaluate("window.said")
    assert said[0] == ["Pause", first] and len(said) > 2 and said[-1] == ["Play", at.inner_text()]
    assert slider.input_value() == slider.get_attribute("max")
    boxes = page.evaluate(PANELS)
    assert len(boxes) >= 8
    for i, one in enumerate(boxes):
        for other in boxes[:i]:
            apart = one["left"] >= other["right"] - 1 or other["left"] >= one["right"] - 1
            assert apart or one["top"] >= other["bottom"] - 1 or other["top"] >= one["bottom"] - 1, (one, other)


def test_a_solution_is_folded_and_opened_by_keyboard(page, address):
    page.goto(f"{address}/book/focal_collapse.html", wait_until="load")
    solutions = page.locator("div.solution")
    assert solutions.count() >= 1
    for i in range(solutions.count()):
        answer, button = solutions.nth(i).locator("#solution-content"), solutions.nth(i).get_by_role("button")
        assert not answer.is_visible() and button.get_attribute("aria-expanded") == "false"
        button.focus()
        page.keyboard.press("Enter")
        answer.wait_for(state="visible")
        assert button.get_attribute("aria-expanded") == "true"
        page.keyboard.press("Space")
        answer.wait_for(state="hidden")


def test_every_solution_in_the_book_is_folded(book):
    """Not one page prints an answer below its question."""
    pages = [(book / name).read_text(encoding="utf-8") for name in test_pages.html_pages(book)]
    found = [text.count('<div class="solution') for text in pages]
    assert sum(found) > 5
    assert found == [text.count('<div class="solution dropdown admonition"') for text in pages]


def test_a_term_shows_its_definition_to_keyboard_and_mouse(page, address):
    page.goto(f"{address}/book/glossary.html", wait_until="load")
    definition = page.locator("dt#term-ceiling + dd > p").first.inner_text()
    page.goto(f"{address}/book/loss.html", wait_until="load")
    term = page.locator('article a[href$="glossary.html#term-ceiling"]').first
    told = page.locator(".tooltip-inner")
    term.focus()
    told.wait_for()
    assert told.inner_text() == definition
    assert term.get_attribute("aria-describedby") == page.locator(".tooltip").get_attribute("id")
    term.blur()
    told.wait_for(state="detached")
    term.hover()
    told.wait_for()
    assert told.inner_text() == definition


def test_what_scrolls_is_reached_by_keyboard_and_what_does_not_is_passed_over(page, address):
    page.goto(f"{address}/book/write_up.html", wait_until="load")
    table = page.locator(".pst-scrollable-table-container").first
    page.wait_for_function(RIGHT)
    if page.viewport_size["width"] == WIDTHS[1]:
        table.focus()
        page.keyboard.press("ArrowRight")
        page.wait_for_function("document.querySelector('.pst-scrollable-table-container').scrollLeft > 0")
