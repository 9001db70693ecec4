"""Every number in prose is a build product: numbers.json beside _config.yml becomes the book's MyST substitutions.

Inside: `Shown`, what a page finds under a name.

`book/press/publish.py` writes the file; a page says {{ baseline.map }}. A name that is not in the file, or that of a whole group, is a
warning, and the build is strict. A number may not be a template itself: what stands between the braces is printed.
"""

import json
from pathlib import Path


class Shown:
    """A number, or a group of them by name. A template finds its names alone: of a dict or a string it would find the methods too."""

    def __init__(self, value):
        self._value = value

    def __getitem__(self, name):
        if not isinstance(self._value, dict):
            raise KeyError(name)
        return Shown(self._value[name])

    def __str__(self):
        if isinstance(self._value, dict):
            raise TypeError(f"a group of numbers, of which a page names one: {', '.join(self._value)}")
        return str(self._value)


def setup(app):
    app.connect("config-inited", load)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def load(app, config):
    """Before MyST reads its configuration (builder-inited), so that pages and notebooks see the same numbers."""
    file = Path(app.srcdir) / "numbers.json"
    if file.exists():
        found = json.loads(file.read_text(encoding="utf-8"))
        config.myst_substitutions = {**config.myst_substitutions, **{name: Shown(group) for name, group in found.items()}}
