"""Every page of the built book in headless Chromium, wide and narrow, light and dark; and broken pages, which the checks must find."""

import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from axe import violations
from lone_page import ICON
from playwright.sync_api import Browser, Page, sync_playwright

from book.press import publish
from book.press.pdf import FLAGS, SETTLED, opened, serving
from groundwork.errors import InputError
from groundwork.locks import alone
from groundwork.paths import BUILD

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1500)]

WIDTHS = (1280, 390)
FRONT = 2400  # px that the front page may be high in a wide window
HEAVIEST = 3e6  # bytes that a page may weigh on its own
QUIET = [
    *FLAGS,
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # A foreign host fails at once, with or without a network, and is counted below.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]

# What can only be seen from inside a settled page.
FAULTS = """() => {
  const maths = [...document.querySelectorAll('.math')];
  const pictures = [...document.images];
  const heading = node => [...document.querySelectorAll('article :is(h1, h2, h3)')]
    .findLast(h => h.compareDocumentPosition(node) & Node.DOCUMENT_POSITION_FOLLOWING)?.textContent ?? 'the top';
  const where = node => `under "${heading(node)}", ` + node.outerHTML.slice(0, 100).replace(/\\s+/g, ' ');
  const faults = [];
  for (const node of maths) if (!node.querySelector('mjx-container')) faults.push('math left as text: ' + node.textContent.slice(0, 80));
  for (const node of document.querySelectorAll('mjx-merror, [data-mml-node="merror"]')) {
    const said = node.querySelector('[data-mjx-error]') ?? node.closest('[data-mjx-error]') ?? node;
    faults.push('math in error: ' + (said.dataset.mjxError ?? node.textContent));
  }
  for (const node of document.querySelectorAll('mjx-assistive-mml mtext[mathcolor="red"]')) {
    if (node.textContent.startsWith('\\\\')) faults.push('math in error: unknown command ' + node.textContent);
  }
  for (const box of document.querySelectorAll('div.math')) {
    const formula = box.querySelector('mjx-container svg');
    const hidden = formula ? box.getBoundingClientRect().left - formula.getBoundingClientRect().left : 0;
    if (hidden > 1) faults.push(`the first ${Math.round(hidden)} px of a formula do not show: ` + where(box));
  }
  for (const image of pictures) {
    const alt = (image.getAttribute('alt') ?? '').trim();
    if (!image.naturalWidth) faults.push('picture does not load: ' + where(image));
    if (!alt || /\\.(png|svg|jpe?g|gif)$/.test(alt)) faults.push('picture without alt text: ' + where(image));
  }
  const wide = document.documentElement.scrollWidth;
  if (wide > window.innerWidth + 1) {
    const beyond = node => node.getBoundingClientRect().right > window.innerWidth + 1;
    const widest = [...document.querySelectorAll('main *')].filter(beyond).slice(0, 3).map(where);
    faults.push(`the page is ${wide} px wide in a window of ${window.innerWidth}: ` + widest.join(' | '));
  }
  return faults;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        try:
            browser = opened(playwright, QUIET)
        except InputError as error:
            pytest.fail(str(error)) if os.environ.get("CI") else pytest.skip(str(error))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def book() -> Path:
    """The folder of the smoke book's HTML, built first where it is absent or stale, by one process at a time."""
    with alone(BUILD / "smoke" / "book"):
        return publish.build("smoke").parent


@pytest.fixture(scope="module")
def address(book: Path) -> Iterator[str]:
    with serving(book) as address:
        yield address


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
        "unnamed": "<button></button>",
        "unlabelled": '<input type="range">',
        "pale": '<p style="color: #bbb; background: #fff">Hardly to be read.</p>',
        "pale-in-the-dark": '<style>[data-theme="dark"] p { color: #333; background: #000 }</style><p>Hardly to be read.</p>',
        "unreached": '<pre style="overflow: auto; width: 20rem" tabindex="-1">' + "wide " * 40 + "</pre>",
    }
    for name, body in bodies.items():
        head = f'<meta charset="utf-8"><title>{name}</title><link rel="icon" href="{ICON}">'
        html = f'<html lang="en" data-theme="light"><head>{head}</head><body>{body}</body></html>'
        (folder / f"{name}.html").write_text(f"<!doctype html>{html}")
    with serving(folder) as address:
        yield address


GIVEN_UP = "net::ERR_ABORTED"


def faults(browser: Browser, url: str, width: int, axe: bool = True) -> list[str]:
    """Open the address in a window of that width; one line a fault, [] for a sound page. `axe`: accessibility as well."""
    page = browser.new_page(viewport={"width": width, "height": 900})
    found = watch(page, urlsplit(url).netloc)
    try:
        page.goto(url, wait_until="load")
        page.evaluate(SETTLED)
        found += page.evaluate(FAULTS)
        found += violations(page, whole=width == WIDTHS[0]) if axe else []
    finally:
        page.close()
    return found


def watch(page: Page, host: str) -> list[str]:
    """A list that fills with what the page says and asks for: console errors, exceptions, foreign or failed requests.

    What the browser itself gives up because the reader goes on (an icon still on its way, say) is nobody's fault.
    """
    found: list[str] = []

    def asked(request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob", "about") and parts.netloc != host:
            found.append(f"foreign request: {request.url}")

    def failed(request) -> None:
        if request.failure != GIVEN_UP:
            found.append(f"failed request: {request.url} ({request.failure})")

    page.on("console", lambda message: found.append(f"console: {message.text}") if message.type == "error" else None)
    page.on("pageerror", lambda error: found.append(f"exception: {error}"))
    page.on("request", asked)
    page.on("requestfailed", failed)
    page.on("response", lambda response: found.append(f"status {response.status}: {response.url}") if response.status >= 400 else None)
    return found


def html_pages(book: Path) -> list[str]:
    names = (file.relative_to(book).as_posix() for file in book.rglob("*.html"))
    return sorted(name for name in names if not name.startswith("_") and name != "index.html")


PAGES = [Path(page).with_suffix(".html").as_posix() for page in publish.pages()]


def test_the_pages_that_are_opened_are_those_there_are(book):
    assert sorted([*PAGES, "search.html"]) == html_pages(book)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", [*PAGES, "search.html"])
def test_a_page_opens_without_a_fault(browser, address, name, width):
    assert faults(browser, f"{address}/{name}", width) == []


def test_no_page_tells_where_it_was_built(book):
    """A path of the builder's machine in an output: a reader has no use for it, and a rebuilt page would differ."""
    telling = [name for name in html_pages(book) if str(publish.ROOT) in (book / name).read_text(encoding="utf-8")]
    assert telling == []


def test_the_index_leads_to_the_story(browser, book, address):
    page = browser.new_page()
    page.goto(f"{address}/index.html")
    page.wait_for_url(f"{address}/{PAGES[0]}")
    assert page.locator("article h1").count() == 1
    page.close()


@contextmanager
def settled(browser, url, width=WIDTHS[0], **options) -> Iterator[Page]:
    """A settled page in a window of its own."""
    page = browser.new_page(viewport={"width": width, "height": 900}, **options)
    page.goto(url, wait_until="load")
    if options.get("java_script_enabled", True):
        page.evaluate(SETTLED)
    yield page
    page.close()


def test_pages_work_from_a_folder_without_a_server(browser, book):
    for name in PAGES:
        assert faults(browser, (book / name).as_uri(), 1280, axe=False) == []


def test_the_one_search_field_finds_a_chapter_and_asks_no_other_host(browser, address):
    page = browser.new_page(viewport={"width": WIDTHS[0], "height": 900})
    found = watch(page, urlsplit(address).netloc)
    page.goto(f"{address}/{PAGES[0]}")
    field = page.locator('input[type="search"]')
    assert field.count() == 1
    page.keyboard.press("Control+k")
    field.fill("starves")
    field.press("Enter")
    page.locator('#search-results a[href*="book/focal_collapse.html"]').first.wait_for()
    page.close()
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


@pytest.mark.parametrize("width", WIDTHS)
def test_the_checker_passes_a_sound_page(browser, broken_address, width):
    assert faults(browser, f"{broken_address}/sound.html", width) == []


def test_a_request_given_up_by_going_on_is_no_fault_and_a_refused_one_is(browser, broken_address):
    page = browser.new_page()
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
    page.close()


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
        ("alt", "light: image-alt"),
        ("unnamed", "light: button-name"),
        ("unlabelled", "light: label"),
        ("pale", "light: color-contrast"),
        ("pale-in-the-dark", "dark: color-contrast"),
        ("unreached", "light: scrollable-region-focusable"),
    ],
)
def test_the_checker_finds_a_planted_fault(browser, broken_address, name, said):
    """At one width or the other: some faults show in a narrow window alone, and the whole of axe runs in a wide one."""
    assert any(said in line for width in WIDTHS for line in faults(browser, f"{broken_address}/{name}.html", width))
