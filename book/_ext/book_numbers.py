"""Every number in prose is a build product: numbers.json beside _config.yml becomes the book's MyST substitutions.

`book/press/publish.py` writes the file; a page says {{ baseline.map }}. A name that is not in the file is a
warning, and the build is strict. A number may not be a template itself: what stands between the braces is printed.
"""

import json
from pathlib import Path


def setup(app):
    app.connect("config-inited", load)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def load(app, config):
    """Before MyST reads its configuration (builder-inited), so that pages and notebooks see the same numbers."""
    file = Path(app.srcdir) / "numbers.json"
    if file.exists():
        config.myst_substitutions = {**config.myst_substitutions, **json.loads(file.read_text(encoding="utf-8"))}
