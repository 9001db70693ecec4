"""Records of runs: `given` is the content of record.json, or of a table, or what a function of the path does there.

Inside: `CASES` (record.json), `TABLES` (curves.parquet), `sound`.
"""

import json
from collections.abc import Callable
from copy import deepcopy
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hostile.case import Case, folder, gone, pickled, zipped
from hostile.configs import BASE, NAN

CUT = {"map": 0.25, "true": 3, "false": 9, "recall": 0.5, "precision": 0.25, "false_per_image": 3.0}
SOUND = {
    "schema": 1,
    "key": "0" * 64,
    "config": BASE,
    "data": {"fingerprints": {"train": "a", "val": "b"}, "train_images": 6, "val_images": 3},
    "code": "1" * 64,
    "steps": 2,
    "metrics": {"map": 0.25, "images": 3, "objects": 6, "per_class": {"dog": 0.25}, "cuts": {"0.001": CUT}},
}


def written(record: Any) -> bytes:
    return json.dumps(record).encode()


def doctored(change: Callable[[dict], object]) -> bytes:
    """SOUND after a change in place."""
    record = deepcopy(SOUND)
    change(record)
    return written(record)


def having(*path: str, **values: Any) -> bytes:
    """SOUND with other values in the dict at `path`."""

    def change(record: dict) -> None:
        for key in path:
            record = record[key]
        record.update(values)

    return doctored(change)


def without(key: str, *path: str) -> bytes:
    def change(record: dict) -> None:
        for part in path:
            record = record[part]
        del record[key]

    return doctored(change)


def unreadable(path: Path) -> None:
    """A link to itself."""
    path.unlink()
    path.symlink_to(path)


NOT_ONE, FALSE = "not a record", "which no run can have scored"
WHOLE = written(SOUND)

CASES = (
    Case("no file", gone, "not a finished run"),
    Case("a link to itself", unreadable, "not a finished run"),
    Case("a folder", folder, NOT_ONE),
    *(Case(f"torn at {share:.0%}", WHOLE[: int(share * len(WHOLE))], NOT_ONE) for share in (0, 0.01, 0.3, 0.6, 0.99)),
    Case("two records", WHOLE * 2, NOT_ONE),
    Case("a pickle with code in it", pickled(), NOT_ONE),
    Case("a zip", zipped(record=WHOLE), NOT_ONE),
    Case("zeros", b"\0" * 100, NOT_ONE),
    Case("not UTF-8", b"\xff\xfe{}", NOT_ONE),
    Case("UTF-16", WHOLE.decode().encode("utf-16"), NOT_ONE),
    Case("a byte order mark", b"\xef\xbb\xbf" + WHOLE, NOT_ONE),
    Case("deeper than Python goes", b"[" * 10**5, NOT_ONE),
    Case("a number of 10,000 digits", WHOLE.replace(b'"steps": 2', b'"steps": ' + b"9" * 10_000), NOT_ONE),
    Case("YAML", b"schema: 1\nkey: x\n", NOT_ONE),
    Case("a list", b"[]", "record of schema list"),
    Case("null", b"null", "record of schema NoneType"),
    Case("an empty object", b"{}", "record of schema None"),
    Case("an older schema", having(schema=0), "record of schema 0, this version reads 1"),
    Case("a newer schema", having(schema=2), "record of schema 2, this version reads 1"),
    Case("a schema in words", having(schema="1"), "record of schema 1"),
    *(Case(f"no {key}", without(key), f"expected '{key}'") for key in ("key", "config", "data", "code", "steps", "metrics")),
    *(Case(f"no {key} in the metrics", without(key, "metrics"), f"expected '{key}'") for key in ("map", "cuts", "images", "objects")),
    Case("no fingerprints", without("fingerprints", "data"), "expected the fingerprints"),
    *(
        Case(f"fingerprints {value!r}", having("data", fingerprints={"train": value}), "expected the fingerprints")
        for value in ([], 7, None)
    ),
    *(
        Case(f"times {value!r}"[:30], having(times=value), "expected 'times' with 'total_s' in seconds")
        for value in ([1], "long", 5, {"total_s": "abc"}, {"total_s": [1]}, {"total_s": -5}, {"total_s": None}, {"total_s": float("inf")})
    ),
    Case("a key that is a number", having(key=7), "expected 'key' to be a str"),
    Case("a configuration that is a list", having(config=[]), "expected 'config' to be a dict"),
    Case("data that are a path", having(data="/etc"), "expected 'data' to be a dict"),
    Case("metrics that are a number", having(metrics=0.9), "expected 'metrics' to be a dict"),
    *(Case(f"steps {steps!r}", having(steps=steps), "expected 'steps'") for steps in (-1, 0, 1.5, "2", True)),
    *(Case(f"mAP {value!r}", having("metrics", map=value), FALSE) for value in (NAN, float("inf"), 2, -0.1, "0.5", None, True, [])),
    Case("a class's AP of 1.5", having("metrics", "per_class", dog=1.5), FALSE),
    Case("a class's AP of nan", having("metrics", "per_class", dog=NAN), FALSE),
    Case("recall 1.2 at a cut", having("metrics", "cuts", "0.001", recall=1.2), FALSE),
    Case("precision -1 at a cut", having("metrics", "cuts", "0.001", precision=-1), FALSE),
    Case("-3 found at a cut", having("metrics", "cuts", "0.001", true=-3), FALSE),
    Case("half a mistake at a cut", having("metrics", "cuts", "0.001", false=0.5), FALSE),
    Case("-1 pictures", having("metrics", images=-1), FALSE),
    Case("objects in words", having("metrics", objects="six"), FALSE),
    Case("cuts that are a list", having("metrics", cuts=[]), FALSE),
    Case("classes that are a number", having("metrics", per_class=1), FALSE),
    Case("a configuration with an unknown key", having("config", learning_rate=1.0), "unknown key 'learning_rate'"),
    Case("a configuration with words for a number", having("config", epochs="many"), "epochs must be int"),
    Case("a configuration out of range", having("config", epochs=0), "epochs must be at least 1"),
    Case("a sound one", WHOLE, means=0.25),
    Case("a key that this version does not know", having(comment="x"), means=0.25),
    Case("a figure that this version does not know", having("metrics", brilliance=7), means=0.25),
    Case("no times", having(times=None), means=0.25),
    Case("a whole number for a share", having("metrics", map=1), means=1),
    Case("a split without objects: no mAP", having("metrics", map=NAN, objects=0, per_class={}), means=NAN),
    Case("nothing detected: no precision", having("metrics", "cuts", "0.001", precision=NAN), means=0.25),
)


def table(columns: dict[str, list]) -> bytes:
    out = BytesIO()
    pd.DataFrame(columns).to_parquet(out, index=False)
    return out.getvalue()


def marked(metadata: dict[bytes, bytes]) -> bytes:
    """A sound table with other metadata in its schema."""
    out = BytesIO()
    pq.write_table(pa.table(CURVES).replace_schema_metadata(metadata), out)
    return out.getvalue()


CURVES = {"step": [0, 1], "epoch": [0, 0], "gradient_norm": [1.0, 0.5]}
PARQUET = table(CURVES)
TORN = "not a table"

TABLES = (
    Case("no table", gone, "holds no table 'curves'"),
    Case("a folder for a table", folder, f"{TORN}|has no column"),
    Case("an empty table file", b"", TORN),
    *(Case(f"a table torn at {share:.0%}", PARQUET[: int(share * len(PARQUET))], TORN) for share in (0.01, 0.5, 0.99)),
    Case("a table without its head", b"XXXX" + PARQUET[4:-4] + b"XXXX", TORN),
    Case("a table whose footer lies about its length", PARQUET[:-8] + b"\xff\xff\xff\x7fPAR1", TORN),
    Case("a table with noise in its footer", PARQUET[:-60] + b"\xff" * 40 + PARQUET[-20:], TORN),
    Case("words for a table", b"step,epoch\n0,0\n", TORN),
    Case("a pickle for a table", pickled(), TORN),
    Case("a zip for a table", zipped(curves=PARQUET), TORN),
    *(Case(f"a table without {c}", table({k: v for k, v in CURVES.items() if k != c}), f"has no column '{c}'") for c in CURVES),
    Case("a table without columns", table({}), "has no column 'epoch'"),
    Case("a table whose pandas metadata are broken", marked({b"pandas": b"{"}), TORN),
    Case("a pickle in the metadata: never read", marked({b"pickle": pickled()}), means=[0, 1]),
    Case("a sound table", PARQUET, means=[0, 1]),
    Case("a column more", table(CURVES | {"extra": ["a", "b"]}), means=[0, 1]),
)
