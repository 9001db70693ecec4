"""In the built book each equation that code computes is on one screen with that code: fewer pixels than a window's height lie between.

That is one of the looks at a page that tests/test_pages.py opens; here it is tried on a page with equations far from their code.
"""

import pytest
from visit import HEIGHT, far, window

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1500)]


def test_an_equation_without_its_code_is_found(browser):
    code = '<div class="highlight"><pre>x  # eq-near, eq-far-off</pre></div>'
    body = '<p id="equation-eq-near">x</p>' + code + f'<p id="equation-eq-far-off" style="margin-top: {HEIGHT + 1}px">x</p>'
    with window() as page:
        page.set_content(f'<article>{body}<p id="equation-eq-bare">x</p><p id="equation-eq-a-gradient">x</p></article>')
        assert [line.split(":")[0] for line in far(page)] == ["eq-far-off", "eq-bare"]
