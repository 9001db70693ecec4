"""Every page of the built book in headless Chromium, wide and narrow, light and dark; and broken pages, which the checks must find."""

import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from lone_page import ICON
from visit import GIVEN_UP, WIDTHS, faults, watch, window

from book.press import publish
from book.press.pdf import serving

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1500)]

FRONT = 2400  # px that the front page may be high in a wide window
HEAVIEST = 3e6  # bytes that a page may weigh on its own
LONG = "wide_" * 40


@pytest.fixture(scope="module")
def broken_address(tmp_path_factory: pytest.TempPathFactory, book: Path) -> Iterator[str]:
    """Pages with one fault each, and a sound one, beside the book's own MathJax."""
    folder = tmp_path_factory.mktemp("broken")
    shutil.copytree(book / "mathjax", folder / "mathjax")
    mathjax = '<script>window.MathJax = {tex: {}}</script><script defer src="mathjax/tex-svg-full.js"></script>'
    maths = '<div class="math">\\[ {} \\]</div>'
    bodies = {
        "sound": mathjax + maths.format("x^2") + "<p>Text.</p>",
        "console": "<script>console.error('something broke')</script>",
        "syntax": "<script>const a = 1; const a = 2;</script>",
        "foreign": '<script src="https://example.org/script.js"></script>',
        "missing": '<link rel="stylesheet" href="missing.css">',
        "untypeset": maths.format("x^2"),
        "maths": mathjax + maths.format("x^2^3"),
        "command": mathjax + maths.format("\\nonsense{x}"),
        "backwards": mathjax + '<div class="math" style="display: flex; flex-direction: row-reverse; width: 9rem; overflow: auto">'
        "<span>(1)</span>\\[ a + b + c + d + e + f + g + h + i + j + k + l + m + n \\]</div>",
        "alt": f'<img src="{ICON}">',
        "filename": f'<img src="{ICON}" alt="../_images/1234.png">',
        "picture": '<img src="data:image/png;base64,AAAA" alt="a picture">',
        "overflow": '<main><div style="width: 900px">wide</div></main>',
        "code": f'<article><div class="cell_input"><pre style="overflow: auto; width: 9rem">{LONG}</pre></div></article>',
        "folded": f'<article><details><div class="cell_input"><pre style="width: 9rem">{LONG}</pre></div></details></article>',
        "cut": '<div style="overflow: hidden"><article><table style="width: 900px"><tr><th>A</th></tr></table></article></div>',
        "far": '<article><div class="highlight"><pre># eq-x</pre></div><p id="equation-eq-x" style="margin-top: 901px">x</p></article>',
        "unnamed": "<button></button>",
        "unlabelled": '<input type="range">',
        "pale": '<p style="color: #bbb; background: #fff">Hardly to be read.</p>',
        "pale-on-another-ground": "<style>p { color: #555 } div { background: #fff }</style><div><p>Read.</p></div>"
        '<div style="background: #666"><p>Hardly to be read.</p></div>',
        "pale-in-the-dark": '<style>[data-theme="dark"] p { color: #333; background: #000 }</style><p>Hardly to be read.</p>',
        "one-word": f'<pre style="background: #fff"><span>one</span> <span>two</span> <span style="color: #bbb">{LONG}</span></pre>',
        "one-word-in-the-dark": '<style>pre { background: #fff } [data-theme="dark"] .late { color: #ccc }</style>'
        '<pre><span>one</span> <span>two</span> <span class="late">three</span></pre>',
        "unreached": '<pre style="overflow: auto; width: 20rem" tabindex="-1">' + "wide " * 40 + "</pre>",
    }
    for name, body in bodies.items():
        head = f'<meta charset="utf-8"><title>{name}</title><link rel="icon" href="{ICON}">'
        html = f'<html lang="en" data-theme="light"><head>{head}</head><body>{body}</body></html>'
        (folder / f"{name}.html").write_text(f"<!doctype html>{html}")
    with serving(folder) as address:
        yield address


def html_pages(book: Path) -> list[str]:
    names = (file.relative_to(book).as_posix() for file in book.rglob("*.html"))
    return sorted(name for name in names if not name.startswith("_") and name != "index.html")


PAGES = [Path(page).with_suffix(".html").as_posix() for page in publish.pages()]


def test_the_pages_that_are_opened_are_those_there_are(book):
    assert sorted([*PAGES, "search.html"]) == html_pages(book)


@pytest.mark.parametrize("name", [*PAGES, "search.html"])
def test_a_page_opens_without_a_fault_wide_and_narrow_and_its_equations_stand_by_their_code(browser, address, name):
    assert faults(f"{address}/{name}") == []


def test_no_page_tells_where_it_was_built(book):
    """A path of the builder's machine in an output: a reader has no use for it, and a rebuilt page would differ."""
    telling = [name for name in html_pages(book) if str(publish.ROOT) in (book / name).read_text(encoding="utf-8")]
    assert telling == []


def test_the_index_leads_to_the_story(browser, book, address):
    with window() as page:
        page.goto(f"{address}/index.html")
        page.wait_for_url(f"{address}/{PAGES[0]}")
        assert page.locator("article h1").count() == 1


def test_a_page_of_every_kind_opens_on_a_phone_from_a_folder_without_a_server(browser, book):
    """One for each set of scripts: these, and what they fetch, are what a browser may withhold there."""
    kinds = {}
    for name in PAGES:
        scripts = re.findall(r"<script.*?</script>", (book / name).read_text(encoding="utf-8"), re.DOTALL)
        kinds.setdefault(frozenset(script.replace(name.removesuffix(".html"), "") for script in scripts), name)
    assert len(kinds) > 5
    assert {name: found for name in kinds.values() if (found := faults((book / name).as_uri(), WIDTHS[1:], axe=False))} == {}


def test_the_one_search_field_finds_a_chapter_and_asks_no_other_host(browser, address):
    with window() as page:
        found = watch(page, urlsplit(address).netloc)
        page.goto(f"{address}/{PAGES[0]}")
        field = page.locator('input[type="search"]')
        assert field.count() == 1
        page.keyboard.press("Control+k")
        field.fill("starves")
        field.press("Enter")
        page.locator('#search-results a[href*="book/focal_collapse.html"]').first.wait_for()
    assert found == []


def test_a_page_is_light_and_loads_each_large_script_once_where_it_is_used(book):
    """Its own weight: its HTML and the pictures that no other page shows."""
    texts = {name: (book / name).read_text(encoding="utf-8") for name in html_pages(book)}
    shown = {name: set(re.findall(r"_images/([^\"?]+)", text)) for name, text in texts.items()}
    users = Counter(picture for pictures in shown.values() for picture in pictures)
    for name, text in texts.items():
        own = [book / "_images" / picture for picture in shown[name] if users[picture] == 1]
        weight = len(text.encode()) + sum(file.stat().st_size for file in own)
        assert weight < HEAVIEST, f"{name} weighs {weight / 1e6:.1f} MB"
        drawn = 'class="plotly-graph-div"' in text or "flow.js" in text
        typeset = bool(re.search(r'class="(\w+ )*math[ "]', text))
        for script, used in (("plotly.min.js", drawn), ("tex-svg-full.js", typeset)):
            assert len(re.findall(rf'<script[^>]*src="[^"]*{script}', text)) == used, f"{name}: {script}"


def test_a_page_says_first_what_to_take_away(book):
    """Right below its title; the bibliography alone has nothing to say."""
    for name in PAGES:
        after = (book / name).read_text(encoding="utf-8").split("<article")[1].partition("</h1>")[2].lstrip()
        assert re.match(r'<div class="[\w -]*takeaway', after) or name == "book/bibliography.html", name


def test_the_checker_passes_a_sound_page(browser, broken_address):
    assert faults(f"{broken_address}/sound.html") == []


def test_a_request_given_up_by_going_on_is_no_fault_and_a_refused_one_is(browser, broken_address):
    with window() as page:
        found = watch(page, urlsplit(broken_address).netloc)
        page.route("**/slow.gif", lambda route: None)  # never answered
        page.route("**/refused.gif", lambda route: route.abort("connectionrefused"))
        ask = "name => { const picture = new Image(); document.body.append(picture); picture.src = name; }"
        page.goto(f"{broken_address}/sound.html", wait_until="load")
        with page.expect_event("requestfailed") as given_up:
            page.evaluate(ask, "slow.gif")
            page.goto(f"{broken_address}/filename.html", wait_until="load")
        assert given_up.value.failure == GIVEN_UP and found == []
        with page.expect_event("requestfailed"):
            page.evaluate(ask, "refused.gif")
        assert found == [f"failed request: {broken_address}/refused.gif (net::ERR_CONNECTION_REFUSED)"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("console", "console: something broke"),
        ("syntax", "exception: Identifier 'a' has already been declared"),
        ("foreign", "foreign request: https://example.org/script.js"),
        ("missing", "status 404"),
        ("untypeset", "math left as text"),
        ("maths", "math in error: Double exponent"),
        ("command", "math in error: unknown command \\nonsense"),
        ("backwards", "of a formula do not show"),
        ("alt", "picture without alt text"),
        ("filename", "picture without alt text"),
        ("picture", "picture does not load"),
        ("overflow", "px wide in a window of 390"),
        ("code", "1280 px: code runs out of its box"),
        ("folded", "1280 px: code runs out of its box"),
        ("cut", "390 px: a figure is cut"),
        ("far", "eq-x: its code is"),
        ("alt", "light: image-alt"),
        ("unnamed", "light: button-name"),
        ("unlabelled", "light: label"),
        ("pale", "light: color-contrast"),
        ("pale-on-another-ground", "light: color-contrast"),
        ("pale-in-the-dark", "dark: color-contrast"),
        ("one-word", "light: color-contrast"),
        ("one-word-in-the-dark", "dark: color-contrast"),
        ("unreached", "light: scrollable-region-focusable"),
    ],
)
def test_the_checker_finds_a_planted_fault(browser, broken_address, name, said):
    """In one window or the other: some faults show in a narrow one alone, and the whole of axe runs in a wide one."""
    assert any(said in line for line in faults(f"{broken_address}/{name}.html"))
