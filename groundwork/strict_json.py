"""JSON as every program reads it: Python's own writer puts NaN and Infinity, which no other takes.

Inside: `dumps`, `nan_for_null`.
"""

import json
import math
from typing import Any


def dumps(value: Any, **options: Any) -> str:
    """`value` as JSON of one space's indent, null in the place of NaN and of what is infinite. options: those of `json.dumps`."""
    return json.dumps(_finite(value), indent=1, allow_nan=False, **options)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def nan_for_null(value: Any) -> Any:
    """Figures as they were before `dumps`: NaN in the place of null, at any depth."""
    if isinstance(value, dict):
        return {key: nan_for_null(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [nan_for_null(inner) for inner in value]
    return math.nan if value is None else value
