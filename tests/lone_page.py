"""One figure alone on a page, with the scripts and the style that the book has, so that no book need be built."""

import shutil
from pathlib import Path

STATIC = Path(__file__).resolve().parents[1] / "book" / "_static"
ICON = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
DARK = '[data-theme="dark"] { color: #ddd; background: #111; color-scheme: dark }'


def lone_page(root: Path, title: str, figure: str) -> Path:
    """Write `root`/page/page.html, one folder below its _static as the book's pages are; its path."""
    (root / "page").mkdir()
    shutil.copytree(STATIC, root / "_static")
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title><link rel="icon" href="{ICON}">'
    head += f'<link rel="stylesheet" href="../_static/book.css"><style>{DARK}</style>'
    body = f'<main><article class="bd-article"><h1>{title}</h1>{figure}</article></main>'
    page = root / "page" / "page.html"
    page.write_text(f'<!doctype html><html lang="en" data-theme="light"><head>{head}</head><body>{body}</body></html>', encoding="utf-8")
    return page
