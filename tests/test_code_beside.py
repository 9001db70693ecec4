"""In the built book each equation that code computes is on one screen with that code: fewer pixels than a window's height lie between."""

from collections.abc import Iterator

import pytest
import test_pages
from test_equation_labels import DERIVED
from test_pages import WIDTHS

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1500)]
browser, book, address = test_pages.browser, test_pages.book, test_pages.address  # fixtures

HEIGHT = 900
APART = """() => {
  const boxes = [...document.querySelectorAll('article div.highlight pre')].map(pre => [pre.textContent, pre.getBoundingClientRect()]);
  return Object.fromEntries([...document.querySelectorAll('article [id^="equation-eq-"]')].map(equation => {
    const label = equation.id.replace('equation-', '');
    const { top, bottom } = equation.getBoundingClientRect();
    const named = boxes.filter(([text]) => text.match(/\\beq-[a-z0-9-]+/g)?.includes(label));
    const gaps = named.map(([, code]) => Math.max(0, code.top - bottom, top - code.bottom));
    return [label, gaps.length ? Math.min(...gaps) : null];
  }));
}"""


def far(page) -> Iterator[str]:
    """One line for each equation of a page, settled, whose code is more than a screen away."""
    for label, gap in page.evaluate(APART).items():
        if not label.endswith(DERIVED) and (gap is None or gap > HEIGHT):
            yield f"{label}: {'no code on the page names it' if gap is None else f'{gap:.0f} px'}"


@pytest.mark.parametrize("name", test_pages.PAGES)
def test_an_equation_and_its_code_share_a_screen(browser, address, name):
    page = browser.new_page(viewport={"width": WIDTHS[0], "height": HEIGHT})
    page.goto(f"{address}/{name}", wait_until="load")
    page.evaluate(test_pages.SETTLED)
    assert list(far(page)) == []
    page.close()


def test_an_equation_without_its_code_is_found(browser):
    page = browser.new_page(viewport={"width": WIDTHS[0], "height": HEIGHT})
    code = '<div class="highlight"><pre>x  # eq-near, eq-far-off</pre></div>'
    body = '<p id="equation-eq-near">x</p>' + code + f'<p id="equation-eq-far-off" style="margin-top: {HEIGHT + 1}px">x</p>'
    page.set_content(f'<article>{body}<p id="equation-eq-bare">x</p><p id="equation-eq-a-gradient">x</p></article>')
    assert [line.split(":")[0] for line in far(page)] == ["eq-far-off", "eq-bare"]
    page.close()
