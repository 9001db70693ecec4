"""Numbers for the prose: a notebook publishes them, a page names them.

Inside: `publish` (write one named group as JSON), `merge` (collect the groups of several folders).

A cell says `numbers.publish("baseline", map="0.031", arms={"mse": "0.030"})`, the text of any page then says
{{ baseline.map }} or {{ baseline.arms.mse }}. Values are strings as they should be printed: how many digits a
number deserves is decided where it is known, not where it is read. A page that names a missing number fails the build.
"""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from groundwork.errors import InputError, unreadable
from groundwork.files import visible
from groundwork.paths import BUILD
from groundwork.strict_json import write_json

# {{ group.items }} would print a dict's method, not the number; "env" is MyST's own.
TAKEN = frozenset(dir(dict)) | {"env", "true", "false", "none", "True", "False", "None"}  # the last six are Jinja's constants


def for_a_book() -> bool:
    """Whether the book's driver runs this process, rather than a reader's own Jupyter."""
    return os.environ.get("YOLO_BOOK") == "1"


def folder() -> Path:
    """Where this process publishes: $YOLO_NUMBERS, which the book's driver sets for each notebook; what a notebook says that is run by hand
    goes to a folder that no build reads."""
    profile = os.environ.get("YOLO_PROFILE", "pocket")
    return Path(os.environ.get("YOLO_NUMBERS", BUILD / profile / "by-hand"))


def publish(name: str, **values: object) -> None:
    """Write the group `name`, replacing an earlier one. Values: strings, whole numbers, or dicts of these.

    Nothing comes back: the last line of a cell is shown, and a page has no use for a path of its builder's.
    Raises InputError for a name a page could not write after a dot, and for a float, whose digits nobody chose.
    """
    _check(name, name, values)
    file = folder() / f"{name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, values)


def merge(folders: Iterable[Path]) -> dict[str, dict]:
    """All groups in the folders, by name. InputError where a file is torn, and where two publish one name: a number has one source."""
    groups: dict[str, dict] = {}
    sources: dict[str, Path] = {}
    for file in (f for where in folders for f in visible(where, "*.json")):
        if file.stem in groups:
            both = f'numbers "{file.stem}": {sources[file.stem]} and {file} both publish them'
            raise InputError(f"{both}; remove the file that is left from elsewhere, or rename one of the two.")
        try:
            groups[file.stem] = json.loads(file.read_text(encoding="utf-8"))
            if not isinstance(groups[file.stem], dict):
                raise ValueError("expected a group of numbers")
        except (OSError, ValueError, RecursionError) as error:
            again = "`make clean` removes it, with the built pages and no run"
            raise unreadable(file, error) or InputError(f"{file}: torn ({error}); {again}.") from error
        sources[file.stem] = file
    return groups


def _check(where: str, key: str, value: object) -> None:
    if not key.isidentifier() or key in TAKEN:
        raise InputError(f'numbers "{where}": expected a name that a page can write after a dot, and {key!r} is not one; use another.')
    if isinstance(value, Mapping):
        for name, inner in value.items():
            _check(f"{where}.{name}", str(name), inner)
    elif not isinstance(value, str | int) or isinstance(value, bool):
        raise InputError(f'numbers "{where}": expected a string as it should be printed, got {value!r}; format it: f"{{x:.3f}}".')
