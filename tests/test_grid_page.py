"""The grid to play with, alone on a page: its numbers are `Grid`'s to the last bit, by mouse, touch and keyboard, wide, narrow, offline.

The HTML is what trial/figures/playground.py gives the notebook; script and style stand where the book has them. The book need not be built.
"""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import torch
from axe import violations
from lone_page import lone_page
from playwright.sync_api import Page
from visit import FAULTS, WIDTHS, watch, window

from book.press.pdf import serving
from trial.figures.playground import SIDE, THINGS, playground
from voc_tree.annotation import CLASSES
from yolo_core.detector.grid import Grid

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

GRID = Grid()
LABELS = torch.tensor([CLASSES.index(thing.label) for thing in THINGS])
BOXES = "[...document.querySelectorAll('.play-object')].map(({ dataset }) => dataset.box.split(' ').map(value => Math.fround(value)))"
SET = """boxes => {
  document.querySelectorAll('.play-object').forEach((object, k) => { object.dataset.box = boxes[k].join(' '); });
  document.getElementById('play').dispatchEvent(new Event('input'));
}"""
DRAWN = """() => {
  const copy = document.getElementById('play').cloneNode(true);
  copy.querySelectorAll('noscript, #play-help, #play-again').forEach(node => node.remove());
  copy.querySelectorAll('.play-object').forEach(node => ['tabindex', 'aria-describedby'].forEach(name => node.removeAttribute(name)));
  return copy.innerHTML;
}"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An html root with one page, page/page.html."""
    root = tmp_path_factory.mktemp("grid")
    lone_page(root, "Grid", playground().data)
    return root


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with serving(folder) as address:
        yield address


@pytest.fixture(params=WIDTHS)
def page(request, browser, address) -> Iterator[Page]:
    """The page, drawn; afterwards it must have said nothing, asked no other host, and fit its window."""
    with window(request.param, has_touch=request.param == WIDTHS[1]) as page:
        said = watch(page, urlsplit(address).netloc)
        page.goto(f"{address}/page/page.html", wait_until="load")
        yield page
        assert said + page.evaluate(FAULTS) == []


def boxes(page: Page) -> torch.Tensor:
    """The objects' boxes as they stand, xyxy in [0, 1]."""
    return torch.tensor(page.evaluate(BOXES), dtype=torch.float32)


def holds(page: Page) -> None:
    """Target, decoded boxes, lost objects and the words are those of `Grid` for the boxes as they stand."""
    now = boxes(page)
    target = GRID.encode([{"boxes": now, "labels": LABELS}])
    drawn = torch.tensor(page.evaluate("document.getElementById('play').target"), dtype=torch.float64)
    assert torch.equal(drawn.reshape(target[0].shape), target[0].double())
    (decoded,) = GRID.decode(GRID.perfect_outputs(target))
    found = page.evaluate("document.getElementById('play').decoded")
    assert [one["label"] for one in found] == decoded["labels"].tolist()
    np.testing.assert_allclose([one["box"] for one in found], decoded["boxes"], atol=1e-6)
    texts = page.locator("#play-list li").all_inner_texts()
    assert ["taken by" in text for text in texts] == GRID.lost(now).tolist()
    assert all(f"column {column}, row {row}," in text for text, (column, row) in zip(texts, GRID.cells(now).tolist(), strict=True))
    said = page.locator("#play-said").inner_text()
    assert f"{len(found)} decode back" in said and f"numbers {int((target != 0).sum())} are not 0" in said
    squares = page.locator("#play-squares rect")
    assert squares.count() == int((target != 0).sum())


def test_it_opens_as_python_drew_it_and_the_person_is_lost(page, browser, address):
    """Not a letter of the drawing differs with the script and without, but for what only a script can use."""
    with window(java_script_enabled=False) as plain:
        plain.goto(f"{address}/page/page.html", wait_until="load")
        still = plain.evaluate(DRAWN)
        assert not plain.locator("#play-help").is_visible() and plain.locator("#play-list").is_visible()
    assert page.evaluate(DRAWN) == still
    holds(page)
    assert GRID.lost(boxes(page)).tolist() == [False, True, False, False]


def test_encode_and_decode_are_grids_for_random_boxes(page):
    """Single precision included: crowded scenes, boxes on cells' edges, birds that suppress one another."""
    rng, lost, suppressed = np.random.default_rng(0), 0, 0
    for k in range(60):
        centres = rng.uniform(0.3, 0.5, (4, 2)) if k % 3 else rng.integers(1, 7, (4, 2)) / 7
        sizes = rng.uniform(0.05, 0.28, (4, 2))
        if k % 5 == 0:  # two birds, nearly one
            centres[3], sizes[2:] = centres[2] + rng.uniform(-0.06, 0.06, 2), 0.28
        made = torch.tensor(np.concatenate([centres - sizes / 2, centres + sizes / 2], 1), dtype=torch.float32).clamp(0, 1)
        page.evaluate(SET, made.double().tolist())
        assert torch.equal(boxes(page), made)
        holds(page)
        lost += int(GRID.lost(made).sum())
        suppressed += 4 - int(GRID.lost(made).sum()) - len(page.evaluate("document.getElementById('play').decoded"))
    assert lost > 20 and suppressed > 0, "the boxes hold none of the cases that matter"


def grip(page: Page, name: str, part: str) -> tuple[float, float]:
    """Where an object is caught: the middle of one of its parts, which nothing may cover."""
    box = page.locator(f'.play-object[data-name="{name}"] {part}').bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_a_mouse_moves_an_object_and_its_corner_resizes_it(page):
    page.locator("#play").scroll_into_view_if_needed()
    side = page.locator("#play-picture").bounding_box()["width"]
    before = boxes(page)
    for name, part, index in (("horse", ".play-corner", 0), ("person", "circle", 1)):
        x, y = grip(page, name, part)
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + side / 5, y + side / 8, steps=4)
        page.mouse.up()
        page.mouse.move(x, y)  # let go: nothing follows any more
        ends = slice(2, 4) if part == ".play-corner" else slice(None)
        before[index, ends] += torch.tensor([1 / 5, 1 / 8] * 2)[ends]
        torch.testing.assert_close(boxes(page), before, atol=2e-3, rtol=0)
        holds(page)
    assert not GRID.lost(boxes(page))[1], "the person has left the horse's cell"
    page.get_by_role("button", name="Start again").click()
    torch.testing.assert_close(boxes(page), torch.tensor([thing.box for thing in THINGS]) / SIDE)
    holds(page)


def test_a_box_stays_in_the_picture_and_can_be_caught_again(page):
    page.locator("#play").scroll_into_view_if_needed()
    for part, to in (("circle", (-2000, -2000)), ("circle", (4000, 4000)), (".play-corner", (-4000, -4000))):
        x, y = grip(page, "other bird", part)
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + to[0], y + to[1], steps=3)
        page.mouse.up()
        now = boxes(page)[3]
        assert now.min() >= 0 and now.max() <= 1 and (now[2:] - now[:2]).min() > 0.05
        holds(page)


def test_a_finger_moves_an_object(browser, address):
    context = browser.new_context(viewport={"width": 390, "height": 900}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(f"{address}/page/page.html", wait_until="load")
    before, side = boxes(page), page.locator("#play-picture").bounding_box()["width"]
    x, y = grip(page, "bird", "circle")
    finger = context.new_cdp_session(page)
    for kind, points in (("Start", [(x, y)]), ("Move", [(x, y + side / 8)]), ("Move", [(x, y + side / 4)]), ("End", [])):
        finger.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": [{"x": a, "y": b} for a, b in points]})
    page.wait_for_function(f"before => {BOXES}[2][1] > before + 0.24", arg=before[2, 1].item())
    before[2] += torch.tensor([0, 1 / 4, 0, 1 / 4])
    torch.testing.assert_close(boxes(page), before, atol=5e-3, rtol=0)
    assert page.evaluate("window.scrollY") == 0, "the page was dragged along"
    holds(page)
    context.close()


def test_the_keyboard_reaches_each_object_moves_it_and_resizes_it(page):
    step = 8 / SIDE
    for index, thing in enumerate(THINGS):
        page.keyboard.press("Tab")
        focused = page.locator(".play-object:focus")
        assert focused.get_attribute("data-name") == thing.name
        for key, change in (
            ("ArrowRight", (1, 0, 1, 0)),
            ("ArrowUp", (0, -1, 0, -1)),
            ("Shift+ArrowDown", (0, 0, 0, 1)),
            ("Shift+ArrowLeft", (0, 0, -1, 0)),
        ):
            before = boxes(page)
            page.keyboard.press(key)
            before[index] += step * torch.tensor(change)
            torch.testing.assert_close(boxes(page), before, atol=1e-6, rtol=0)
            holds(page)
        column, row = GRID.cells(boxes(page))[index].tolist()
        assert f"column {column}, row {row}" in focused.get_attribute("aria-valuetext")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    torch.testing.assert_close(boxes(page), torch.tensor([thing.box for thing in THINGS]) / SIDE)


def test_nothing_grave_bars_the_way_to_it(page):
    assert violations(page, whole=True) == []


def test_it_works_from_a_folder_without_a_server(browser, folder):
    with window() as page:
        said = watch(page, "")
        page.goto((folder / "page/page.html").as_uri(), wait_until="load")
        holds(page)
    assert said == []
