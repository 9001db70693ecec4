"""A browser for the tests that open pages: looked for, fetched where it may be, and said where it lacks.

    python -m book.press.browser --fetch    # before the tests: Playwright's own, unless there is one
    python -m book.press.browser            # after them: a line where there is still none

Inside: `found`, `fetch`, `main`.
"""

import subprocess
import sys

from playwright.sync_api import sync_playwright

from book.press.pdf import opened
from groundwork.errors import InputError

PATIENCE = 600  # s that a download of some 170 MB may take


def found() -> str:
    """Why no browser opens here; "" where one does."""
    with sync_playwright() as playwright:
        try:
            opened(playwright).close()
        except InputError as error:
            return str(error)
    return ""


def fetch() -> bool:
    """Have Playwright fetch its own Chromium; whether it could, in a sentence where it could not."""
    print("no Chromium opens here: fetching Playwright's own, about 170 MB", flush=True)
    try:
        command = [sys.executable, "-m", "playwright", "install", "--no-shell", "chromium"]
        return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=PATIENCE).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def main(words: list[str]) -> int:
    """0, whatever was found: pages are tested where they can be."""
    why = found()
    if why and "--fetch" in words:
        if not fetch():
            print("it could not be fetched; is there a network?")
    elif why:
        print(f"SKIPPED: every test that opens the book's pages in a browser. {why}; then `make pages` runs them")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
