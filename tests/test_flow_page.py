"""The figure with sliders of the chapter on the collapse, alone on a page: what it plots is theory.py, wide, narrow, by keyboard, offline.

The block of HTML is the chapter's own; script, style and plotly stand where the book has them. The book need not be built.
"""

import re
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from lone_page import lone_page
from playwright.sync_api import Page
from visit import FAULTS, WIDTHS, watch, window

from book.press.pdf import SETTLED, serving
from trial.figures.figures import CYCLE
from trial.instruments.theory import READINGS, flow, time_to_fall

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[1]
DRAWN = ("mse", "focal", "focal-detached")  # in the order of the traces; the last trace holds a dot for each
SETTINGS = [(0.5, 2.0, 0.5), (0.5, 0.0, 0.5), (0.05, 4.0, 0.1), (1.0, 0.1, 2.0), (0.1, 2.0, 0.5), (0.73, 1.3, 1.15)]

PLOTTED = """id => document.getElementById(id).data.map(trace => ({
  x: Array.from(trace.x), y: Array.from(trace.y), line: trace.line?.color, dots: trace.marker?.color}))"""
OUTSIDE = """id => {
  const { data, layout } = document.getElementById(id);
  const { x, y } = data.at(-1);
  const beyond = (values, { range: [low, high] }) => values.some(value => !(Math.log10(value) > low && Math.log10(value) < high));
  return beyond(x, layout.xaxis) || beyond(y, layout.yaxis);
}"""
SET = """([name, value]) => {
  const slider = document.getElementById('flow-' + name);
  slider.value = value;
  slider.dispatchEvent(new Event('input'));
}"""


def block() -> str:
    """The one raw block of the chapter."""
    (found,) = re.findall(r"^```\{raw\} html\n(.*?)^```$", (ROOT / "book/focal_collapse.md").read_text(encoding="utf-8"), re.M | re.S)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An html root with one page, page/page.html."""
    root = tmp_path_factory.mktemp("flow")
    lone_page(root, "Flow", block())
    shutil.copy2(Path(find_spec("plotly").origin).parent / "package_data" / "plotly.min.js", root)
    return root


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with serving(folder) as address:
        yield address


@pytest.fixture(params=WIDTHS)
def page(request, browser, address) -> Iterator[Page]:
    """The page, drawn; afterwards it must have said nothing, asked no other host, and fit its window."""
    with window(request.param) as page:
        said = watch(page, urlsplit(address).netloc)
        page.goto(f"{address}/page/page.html", wait_until="load")
        page.wait_for_function("document.getElementById('flow-times').data?.length === 4")
        yield page
        page.evaluate(SETTLED)
        assert said + page.evaluate(FAULTS) == []


def plotted(page: Page) -> tuple[list[dict], list[dict]]:
    """The traces of the gradients and of the flows."""
    return page.evaluate(PLOTTED, "flow-gradients"), page.evaluate(PLOTTED, "flow-times")


def close(found: list[float], expected: np.ndarray) -> None:
    # Far down the cliff doubles run out (1e-308) and lose digits first; the axis ends at 0.003.
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-280)


def holds(page: Page, c0: float, gamma: float, lam: float) -> None:
    """Every curve and dot is the theory's for these settings, and so, to the digits it gives, is the sentence."""
    gradients, flows = plotted(page)
    assert len(gradients) == len(flows) == len(DRAWN) + 1
    falls = [time_to_fall(reading, c0, c0 / 10, gamma, lam) for reading in DRAWN]
    for reading, curve, fall in zip(DRAWN, gradients, flows, strict=False):
        close(curve["y"], READINGS[reading].gradient(np.array(curve["x"]), gamma, lam))
        close(fall["y"], flow(reading, c0, np.array(fall["x"]), gamma, lam))
        for drawn in (curve, fall):
            assert len(drawn["x"]) > 100 and all(a < b for a, b in pairwise(drawn["x"]))
    assert not page.evaluate(OUTSIDE, "flow-gradients") and not page.evaluate(OUTSIDE, "flow-times"), "a dot is off its panel"
    close(gradients[-1]["x"] + flows[-1]["y"], np.array([c0] * 3 + [c0 / 10] * 3))
    close(gradients[-1]["y"], np.array([READINGS[reading].gradient(c0, gamma, lam) for reading in DRAWN]))
    close(flows[-1]["x"], np.array(falls))
    mse, focal, detached = falls
    told = [mse, focal, focal / mse, detached, detached / mse] if gamma else [mse]
    np.testing.assert_allclose(numbers(page), told, rtol=6e-3)


def numbers(page: Page) -> list[float]:
    """The bold numbers of the sentence."""
    words = {"million": 1e6, "billion": 1e9}
    found = [text.replace(",", "").split() for text in page.locator("#flow-said strong").all_inner_texts()]
    return [float(number) * np.prod([words[word] for word in rest]) for number, *rest in found]


def test_it_opens_on_the_theorem(page):
    """43 and 86 times, as the text above it says, before anything is touched."""
    holds(page, 0.5, 2.0, 0.5)
    assert [round(number) for number in numbers(page)] == [2, 99, 43, 198, 86]
    assert page.locator("#flow-said").get_attribute("aria-live") == "polite"


def test_the_curves_the_dots_and_the_sentence_are_the_theorys(page):
    for setting in SETTINGS:
        for name, value in zip(("c0", "gamma", "lambda"), setting, strict=True):
            page.evaluate(SET, [name, str(value)])
        holds(page, *setting)


def test_each_slider_moves_both_panels_by_keyboard(page):
    """Tab from one to the next; the ends and one step each way."""
    set_to = {"c0": 0.5, "gamma": 2.0, "lambda": 0.5}
    ends = {"c0": (0.05, 0.06, 1.0, 0.99), "gamma": (0.0, 0.1, 4.0, 3.9), "lambda": (0.1, 0.15, 2.0, 1.95)}
    for name, values in ends.items():
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == f"flow-{name}"
        for key, value in zip(("Home", "ArrowRight", "End", "ArrowLeft"), values, strict=True):
            before = plotted(page)
            page.keyboard.press(key)
            after = plotted(page)
            assert before[0] != after[0] and before[1] != after[1], f"{key} on {name} moved nothing"
            holds(page, **{"c0" if k == "c0" else "lam" if k == "lambda" else k: v for k, v in (set_to | {name: value}).items()})
            assert float(page.locator(f"#flow-{name}-value").inner_text()) == value
        set_to[name] = values[-1]


def test_without_gamma_the_three_readings_are_one(page):
    page.evaluate(SET, ["gamma", "0"])
    for traces in plotted(page):
        for other in traces[1:3]:
            close(other["y"], np.array(traces[0]["y"]))
        assert len(set(traces[-1]["x"])) == len(set(traces[-1]["y"])) == 1
    assert "all three take" in page.locator("#flow-said").inner_text()


def test_lambda_changes_every_time_and_no_ratio(page):
    _, focal, ratio, detached, other_ratio = numbers(page)
    page.evaluate(SET, ["lambda", "1"])
    np.testing.assert_allclose(numbers(page)[1:], [focal / 2, ratio, detached / 2, other_ratio], rtol=6e-3)


def test_the_panels_stand_side_by_side_or_one_above_the_other(page):
    left, right = (page.locator(f"#{name}").bounding_box() for name in ("flow-gradients", "flow-times"))
    if page.viewport_size["width"] == 390:
        assert left["x"] == right["x"] and left["y"] + left["height"] <= right["y"]
    else:
        assert left["y"] == right["y"] and left["x"] + left["width"] <= right["x"]


def test_colours_are_the_books_and_follow_the_pages_light(page):
    def colours() -> set[tuple[str, ...]]:
        return {tuple(drawn) for traces in plotted(page) for drawn in ([trace["line"] for trace in traces[:3]], traces[-1]["dots"])}

    assert colours() == {CYCLE[:3]}
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    page.wait_for_function(f"document.getElementById('flow-times').data[0].line.color !== {CYCLE[0]!r}")
    (dark,) = colours()
    assert not set(dark) & set(CYCLE[:3]) and all(dark)


def test_it_works_from_a_folder_without_a_server(browser, folder):
    with window() as page:
        said = watch(page, "")
        page.goto((folder / "page/page.html").as_uri(), wait_until="load")
        holds(page, 0.5, 2.0, 0.5)
    assert said == []
