"""What a page shows of a figure in a wide window, in a narrow one and on paper: one of the two drawings, whole."""

import pytest
from visit import settled

SHOWN = """() => [...document.querySelectorAll('article .cell_output .text_html:has(> .for-phones)')].map(mark => {
  const width = node => Math.round(node.getBoundingClientRect().width);
  return [width(mark.previousElementSibling), width(mark.nextElementSibling)];
})"""


@pytest.mark.browser
@pytest.mark.parametrize("script", [True, False], ids=["with JavaScript", "without"])
def test_a_window_shows_the_drawing_made_for_its_width_and_no_wider_than_itself(browser, address, script):
    url = f"{address}/notebooks/baseline.html"
    with settled(url, 1280, java_script_enabled=script) as page:
        wide = page.evaluate(SHOWN)
        page.emulate_media(media="print")
        printed = page.evaluate(SHOWN)
    with settled(url, 390, java_script_enabled=script) as page:
        narrow = page.evaluate(SHOWN)
    assert len(wide) == len(narrow) >= 6
    assert all(first > 0 == second for first, second in wide + printed)
    assert all(first == 0 < second <= 390 for first, second in narrow)
