"""The built book as one PDF, printed by Chromium: the same pages, in the order of the table of contents, with their titles as outline.

Inside: `write_pdf`, `print_pages`; and, for whoever opens pages, `chromium`, `opened`, `FLAGS`, `serving`, `SETTLED`.
"""

import io
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from playwright.sync_api import Browser, Error, Page, Playwright, sync_playwright
from pypdf import PdfWriter

from book.press import publish
from book.press.notebook import command
from groundwork.errors import InputError, writing
from groundwork.locks import alone
from groundwork.paths import BUILD, ROOT
from yolo_core.profiles import profile_of

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
HELP = "`python -m playwright install --with-deps chromium` or `apt-get install chromium` gets one, CHROMIUM=PATH names one"
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu")

# Maths and pictures are there: those below the fold are told to load now.
SETTLED = """async () => {
  if (document.querySelector('.math') && window.MathJax?.startup?.promise) await window.MathJax.startup.promise;
  const pictures = [...document.images];
  pictures.forEach(image => { image.loading = 'eager'; });
  await Promise.all(pictures.map(image => image.decode().catch(() => null)));
}"""
# A link to another page would lead to the server that printed it, which is gone. Returns the page's title.
UNLINKED = """() => {
  for (const link of document.querySelectorAll('a[href]')) {
    if (link.origin === location.origin && link.pathname !== location.pathname) link.removeAttribute('href');
  }
  return document.querySelector('article h1')?.firstChild?.textContent ?? document.title;
}"""
PAPER = """
  .bd-sidebar-primary, .bd-sidebar-secondary, .bd-header, .bd-header-article, .prev-next-footer, .bd-footer, .copybtn, .headerlink {
    display: none !important;
  }
  .bd-main, .bd-content, .bd-article-container, .bd-page-width { max-width: none !important; width: 100% !important; }
"""


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The address at which a folder's pages are served to this machine alone, as long as the context lasts."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=folder))
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def chromium(playwright: Playwright) -> str:
    """A Chromium on this machine: the one named in the variable CHROMIUM, one on the PATH, or Playwright's own. InputError if there is
    none."""
    own, named = playwright.chromium.executable_path, os.environ.get("CHROMIUM")
    if named and not shutil.which(named):
        raise InputError(f"CHROMIUM: expected a program, and {named} is none; {HELP}")
    found = next((path for path in map(shutil.which, (named or "", *NAMES)) if path), None)
    if found is None and not Path(own).exists():
        raise InputError(f"no Chromium here; {HELP}")
    return found or own


def opened(playwright: Playwright, flags: Sequence[str] = FLAGS) -> Browser:
    """Chromium, started. InputError where there is none, or one that does not start, for want of a library perhaps."""
    place, temporary = chromium(playwright), os.environ.get("TMPDIR", "")
    if temporary and not os.access(temporary, os.W_OK):
        raise InputError(f"TMPDIR: expected a folder that can be written to, got {temporary}; unset it, or name one")
    try:
        return playwright.chromium.launch(executable_path=place, args=flags)
    except Error as error:
        lines = [line.strip() for line in error.message.splitlines() if "error" in line.lower()] or error.message.splitlines()
        raise InputError(f"{place} does not start ({lines[-1][:200]}); {HELP}") from error


def write_pdf(profile: str) -> Path:
    """Print the built book of a profile, or the one that is `read`, to `_build/<profile>/book.pdf`. InputError if it has not been built."""
    html = BUILD / profile / "html"
    if not (html / "index.html").exists():
        if profile != "read":
            profile_of(profile)  # there is none of that name: to build it is no advice
        raise InputError(f"{html}: the book is not there; run `{command(profile, profile == 'read')}` first")
    with alone(html.parent, busy=f"{html.parent}: a build is at work there; this waits for it"):
        return print_pages(html, [Path(page).with_suffix(".html").as_posix() for page in publish.pages(ROOT)], html.parent / "book.pdf")


def print_pages(html: Path, pages: Sequence[str], out: Path) -> Path:
    """Print pages of a folder of HTML, one after another, into one PDF on A4, an entry of its outline a page. InputError where Chromium
    ends before it is through."""
    writer = PdfWriter()
    with serving(html) as address, sync_playwright() as playwright:
        browser = opened(playwright)
        try:
            page = browser.new_page(color_scheme="light")
            for name in pages:
                title, printed = _printed(page, f"{address}/{name}")
                writer.append(io.BytesIO(printed), outline_item=title)
            browser.close()
        except Error as error:
            said = error.message.splitlines()[0][:200]
            raise InputError(f"Chromium stopped while it printed ({said}); is there memory for it? Run this again") from error
    draft = out.with_name(f".{out.name}.draft")
    try:
        with writing(out):
            writer.write(draft)
            draft.replace(out)
    finally:
        with suppress(OSError):  # gone, or never there
            draft.unlink()
    return out


def _printed(page: Page, address: str) -> tuple[str, bytes]:
    """A page's title and its PDF. InputError if it is not there."""
    answer = page.goto(address)
    if answer is None or not answer.ok:
        raise InputError(f"{address.split('/', 3)[-1]}: the built book has no such page; build it again")
    page.evaluate(SETTLED)
    title = page.evaluate(UNLINKED).strip()
    page.add_style_tag(content=PAPER)
    margin = {"top": "16mm", "bottom": "16mm", "left": "14mm", "right": "14mm"}
    return title, page.pdf(format="A4", print_background=True, margin=margin)
