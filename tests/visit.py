"""One visit of a page, for every test that opens pages: Chromium once a process, a page once, all looks at it in turn.

Inside: `chromium`, `leave`; `window` and `settled` (an empty page, a settled one); `watch` (what a page says and asks for); `far`;
`faults`, a visit.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from urllib.parse import urlsplit

from axe import violations
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from test_equation_labels import DERIVED

from book.press.pdf import FLAGS, SETTLED, opened

WIDTHS, HEIGHT = (1280, 390), 900
GIVEN_UP = "net::ERR_ABORTED"
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

# A line of code that runs out of its box, folded cells opened for the while.
HIDDEN_CODE = """() => {
  const folded = [...document.querySelectorAll('article details:not([open])')];
  folded.forEach(one => { one.open = true; });
  const wide = [...document.querySelectorAll('.cell_input pre')].filter(box => box.scrollWidth > box.clientWidth + 1);
  const found = wide.map(box => 'code runs out of its box: ' + box.textContent.slice(0, 60));
  folded.forEach(one => { one.open = false; });
  return found;
}"""
# What is wider than the window and lies in no box that scrolls.
CUT = """() => [...document.querySelectorAll('article :is(img, table, mjx-container > svg)')].filter(node => {
  const wide = node.getBoundingClientRect().width > innerWidth;
  let box = node.parentElement;
  while (box && !['auto', 'scroll'].includes(getComputedStyle(box).overflowX)) box = box.parentElement;
  return wide && !(box && box.closest('article'));
}).map(node => 'a figure is cut: ' + node.outerHTML.slice(0, 80))"""
# The window has its new width once it is drawn. Plotly waits 100 ms before it follows; this timer is due later on the same thread, so
# that it waits for that one however busy the machine is.
RESIZED = """async () => {
  for (let k = 0; k < 2; k++) await new Promise(requestAnimationFrame);
  if (document.querySelector('.plotly-graph-div, .js-plotly-plot')) await new Promise(go => setTimeout(go, 300));
  for (let k = 0; k < 2; k++) await new Promise(requestAnimationFrame);
}"""
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

_OPEN = ExitStack()


@cache
def chromium() -> Browser:
    """The process's own Chromium, open until `leave`. InputError where there is none."""
    with ExitStack() as stack:
        browser = opened(stack.enter_context(sync_playwright()), QUIET)
        stack.callback(browser.close)
        _OPEN.push(stack.pop_all())
    return browser


def leave() -> None:
    """Close Chromium, if it is open: while it is, the thread has Playwright's event loop, which other tests may do without."""
    _OPEN.close()
    chromium.cache_clear()
    _context.cache_clear()


@cache
def _context(**options: object) -> BrowserContext:
    context = chromium().new_context(**options)
    context.set_default_timeout(300_000)  # ms: on a machine that is at other work as well, everything comes later
    return context


@contextmanager
def window(width: int = WIDTHS[0], **options: object) -> Iterator[Page]:
    """An empty page in a window of that width; those with the same options share what they have fetched."""
    page = _context(**options).new_page()
    try:
        page.set_viewport_size({"width": width, "height": HEIGHT})
        yield page
    finally:
        page.close()


@contextmanager
def settled(url: str, width: int = WIDTHS[0], **options: object) -> Iterator[Page]:
    """A settled page in a window of its own."""
    with window(width, **options) as page:
        page.goto(url, wait_until="load")
        if options.get("java_script_enabled", True):
            page.evaluate(SETTLED)
        yield page


def faults(url: str, widths: Sequence[int] = WIDTHS, axe: bool = True) -> list[str]:
    """Open the address once, in a window of the first width, which then takes the others; one line a fault, [] for a sound page.

    axe: accessibility as well, every rule in a wide window, in a narrow one those that a width decides.
    """
    with window(widths[0]) as page:
        found = watch(page, urlsplit(url).netloc)
        page.goto(url, wait_until="load")
        page.evaluate(SETTLED)
        for width in widths:
            if width != widths[0]:
                page.set_viewport_size({"width": width, "height": HEIGHT})
                page.evaluate(RESIZED)
            seen = page.evaluate(FAULTS) + page.evaluate(CUT)
            if width == WIDTHS[0]:
                seen += [*far(page), *page.evaluate(HIDDEN_CODE)]
            seen += violations(page, whole=width == WIDTHS[0]) if axe else []
            found += [f"{width} px: {line}" for line in seen]
    return found


def far(page: Page) -> Iterator[str]:
    """One line for each equation of a page, settled, whose code is more than a screen away."""
    for label, gap in page.evaluate(APART).items():
        if not label.endswith(DERIVED) and (gap is None or gap > HEIGHT):
            yield f"{label}: {'no code on the page names it' if gap is None else f'its code is {gap:.0f} px away'}"


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
