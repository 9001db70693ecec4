"""JSON as every program reads it: Python's own writer puts NaN and Infinity, which no other takes.

Inside: `dumps`, `write_json`, `nan_for_null`.
"""

import json
import math
from pathlib import Path
from typing import Any

from groundwork.drafts import drafted


def dumps(value: Any, **options: Any) -> str:
    """`value` as JSON of one space's indent, null in the place of NaN and of what is infinite. A byte in a file's name that is no UTF-8 is
    written as \\udc and its two digits. options: those of `json.dumps`."""
    return json.dumps(_plain(value), indent=1, allow_nan=False, **options)


def write_json(file: Path, value: object) -> None:
    """Written whole or not at all: to a temporary name, then moved. Keys sorted, so that equal content is equal bytes."""
    with drafted(file) as draft:
        draft.write_text(dumps(value, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {_plain(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    return None if isinstance(value, float) and not math.isfinite(value) else value


def nan_for_null(value: Any) -> Any:
    """Figures as they were before `dumps`: NaN in the place of null, at any depth."""
    if isinstance(value, dict):
        return dict(zip(value, nan_for_null(list(value.values())), strict=True))
    if isinstance(value, list):  # a call for a list, none for a figure: the register reads 170,000 of them
        return [nan_for_null(v) if isinstance(v, dict | list) else math.nan if v is None else v for v in value]
    return math.nan if value is None else value
