"""Everything that only a graphics card can confirm, most valuable first, in the time that there is.

    python scripts/on_a_card.py --seconds 560 --out OUT [--package _build/card] [--rehearse] [--parts memory ...]

Inside: `PARTS`, `main`, `run_part` (one part in a process of its own, ended when its time is up), `bundle` (the records of runs).

Parts (scripts/card) share nothing but the card: one that fails or is ended leaves what it has found so far, and the others. OUT gets at
most eight files: four of results, JSON, written as they are found, and an archive of records for each profile that was trained. Nothing
has to be installed but PyTorch with what pack_for_a_card.py names; `--rehearse` runs every part on a CPU, with tiny numbers.
"""

import argparse
import contextlib
import hashlib
import io
import itertools
import json
import lzma
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pack_for_a_card

from groundwork.drafts import drafted  # these two need no package
from groundwork.strict_json import dumps

ROOT = Path(__file__).resolve().parents[1]
# Each part, the file of its result, and the share of the time left that it may take: no part starves those after it.
PARTS = {
    "memory": ("memory.json", 0.25),
    "correctness": ("correctness.json", 0.3),
    "speed": ("speed.json", 0.35),
    "processes": ("study.json", 0.3),
    "photographs": ("study.json", 1.0),
    "long": ("study.json", 1.0),
    "pocket": ("study.json", 1.0),
}
CLOSING = 3.0  # s kept for archives and the summary
LEAST = 2.0  # s without which no part is started
LARGEST = 15 * 2**20  # bytes of the files in an archive


def command(part: str, given: argparse.Namespace, seconds: float) -> list[str]:
    """What runs a part."""
    words = [sys.executable, "-m", "card", part, "--out", str(given.out), "--work", str(given.work)]
    words += ["--package", str(given.package)]
    return [*words, "--seconds", f"{seconds:.0f}", *(["--rehearse"] if given.rehearse else [])]


def run_part(part: str, given: argparse.Namespace, seconds: float, environment: dict[str, str]) -> dict:
    """Run a part, and end it and all that it has started after so many seconds; its result, with how it ended, is in its file."""
    began, log, file = time.monotonic(), given.work / f"{part}.log", given.out / PARTS[part][0]
    note(file, part, {"status": "running", "found": {}, "says": []})
    with open(log, "wb") as written:
        words = command(part, given, seconds)
        process = subprocess.Popen(words, stdout=written, stderr=subprocess.STDOUT, env=environment, start_new_session=True)
        try:
            ended = "failed" if process.wait(seconds) else "done"
        except subprocess.TimeoutExpired:
            ended = "out of time"
        finally:
            with contextlib.suppress(ProcessLookupError):  # what a part has started may be there still
                os.killpg(process.pid, signal.SIGKILL)
            status = process.wait()
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    error = {"error": (lines or [f"exit status {status}"])[-1], "log": lines[-30:]} if ended == "failed" else {}
    return note(file, part, {"status": ended, "seconds": round(time.monotonic() - began, 1), **error})


def note(file: Path, part: str, values: dict) -> dict:
    """Add to what a file says of a part, whole or not at all; all that it then says of it."""
    content = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {"parts": {}}
    content["parts"][part] = {"found": {}, "says": [], **content["parts"].get(part, {}), **values}
    with drafted(file) as draft:
        draft.write_text(dumps(content) + "\n", encoding="utf-8")
    return content["parts"][part]


def bundle(records: Path, out: Path) -> list[str]:
    """An archive for each profile's records, oldest first, up to a size that can travel; what there is, and what had no room, in words."""
    said = []
    for folder in sorted(path for path in records.glob("*") if path.is_dir()):
        runs = sorted((file.parent for file in folder.glob("*/record.json")), key=lambda run: (run / "record.json").stat().st_mtime)
        content, packed, size = io.BytesIO(), 0, 0
        with tarfile.open(fileobj=content, mode="w:gz") as archive:
            for run in runs:
                size += sum(file.stat().st_size for file in run.iterdir())
                if size > LARGEST:
                    break
                archive.add(run, f"{folder.name}/{run.name}")
                packed += 1
        if packed:
            with drafted(out / f"{folder.name}.tar.gz") as draft:
                draft.write_bytes(content.getvalue())
            left = f", {len(runs) - packed} had no room" if packed < len(runs) else ""
            said.append(f"{folder.name}.tar.gz: {packed} records{left}; tar xzf {folder.name}.tar.gz -C records")
    return said


def prepare(given: argparse.Namespace) -> dict[str, str]:
    """Unpack what was carried along; the environment of the parts."""
    packed, path = given.package / pack_for_a_card.SITE, [str(ROOT), str(ROOT / "scripts")]
    if packed.exists():
        site = given.work / f"site-{hashlib.sha256(packed.read_bytes()).hexdigest()[:12]}"
        path.append(str(site))
        if not site.exists():
            with tempfile.TemporaryDirectory(dir=given.work) as scratch:
                pack_for_a_card.unpack_site(given.package, Path(scratch) / "site")
                try:
                    (Path(scratch) / "site").rename(site)
                except OSError:
                    if not site.exists():  # where it does, a run beside this one was faster
                        raise
    path = [*path, *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(path), "PYTHONUNBUFFERED": "1"}


def _places(rehearse: bool) -> Iterator[Path]:
    """on-a-card, on-a-card-2 and so on, in the checkout."""
    name = "on-a-card-rehearsed" if rehearse else "on-a-card"
    yield ROOT / name
    yield from (ROOT / f"{name}-{number}" for number in itertools.count(2))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seconds", type=float, default=560, help="all that it may take")
    parser.add_argument("--out", type=Path, help="folder of the results; on-a-card, or on-a-card-2 and so on, where nothing lies yet")
    parser.add_argument("--work", type=Path, default=ROOT / "_build" / "on-a-card", help="folder of what is needed on the way")
    parser.add_argument("--package", type=Path, default=ROOT / "_build" / "card", help="what pack_for_a_card.py made, if it did")
    parser.add_argument("--parts", nargs="+", choices=PARTS, help="these alone")
    parser.add_argument("--rehearse", action="store_true", help="on a CPU, with tiny numbers")
    given = parser.parse_args(arguments)
    if not given.seconds > CLOSING + LEAST:  # NaN is no number of seconds either
        parser.error(f"--seconds: expected more than {CLOSING + LEAST:g}, in which a part can run; got {given.seconds:g}")
    if odd := next((place for place in (ROOT, given.work) if os.pathsep in str(place)), None):
        parser.error(f"{odd}: Python finds no modules under a path with {os.pathsep} in it; move the checkout, or name another --work")
    if given.package != parser.get_default("package") and not given.package.is_dir():
        parser.error(f"--package: expected the folder that pack_for_a_card.py made, and {given.package} is none")
    # In a rehearsal the three profiles are one.
    parts = given.parts or [part for part in PARTS if not (given.rehearse and part in ("long", "pocket"))]
    given.out = given.out or next(place for place in _places(given.rehearse) if not place.exists())
    if given.out.exists() and (not given.out.is_dir() or any(given.out.iterdir())):  # what a card has said is not written over
        print(f"error: {given.out}: expected a new or empty folder; name another --out", file=sys.stderr)
        return 2
    ends = time.monotonic() + given.seconds - CLOSING
    try:
        for folder in (given.work, given.out):
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(f"error: {error.filename}: cannot be made ({error.strerror}); name another --out or --work", file=sys.stderr)
        return 2
    try:
        environment, results = prepare(given), {}
    except (OSError, EOFError, tarfile.TarError, lzma.LZMAError) as error:
        if isinstance(error, OSError) and error.errno:  # the system's word, and not an archive's, some of whose errors are OSErrors
            said = f"{error.filename or given.work}: cannot be read or written ({error.strerror}); make room, or name another --work"
        else:
            said = f"{given.package}: what was carried along cannot be unpacked ({error}); carry it once more"
        print(f"error: {said}", file=sys.stderr)
        with contextlib.suppress(OSError):
            given.out.rmdir()  # it holds nothing
        return 2
    archives, refused = [], None
    try:
        _ask(given, parts, ends, environment, results)
    except OSError as error:  # the disk, which costs nothing of what has been found
        refused = error
    try:
        archives = bundle(given.work / "records", given.out)
    except OSError as error:
        refused = refused or error
    print(f"\nsummary, in {given.out}")
    for part, result in results.items():
        print(f"{part}: {result['status']}" + (f": {result['error']}" if "error" in result else ""))
        print("".join(f"  {sentence}\n" for sentence in result["says"]), end="")
    print("\n".join(archives))
    if refused is not None:
        with contextlib.suppress(OSError):
            given.out.rmdir()  # it holds nothing
        place = refused.filename or given.out
        print(f"error: {place}: cannot be written ({refused.strerror}); make room, what has been found stays", file=sys.stderr)
        return 2
    return int(any(result["status"] == "failed" for result in results.values()))


def _ask(given: argparse.Namespace, parts: Sequence[str], ends: float, environment: dict[str, str], results: dict) -> None:
    """Run the parts, one after another, and fill `results` as they end: what has been found is told, whatever comes after it."""
    for part in parts:
        left = ends - time.monotonic()
        seconds = min(left, max(left * PARTS[part][1], LEAST))
        if seconds < LEAST:
            results[part] = note(given.out / PARTS[part][0], part, {"status": "no time left", "seconds": 0})
            continue
        results[part] = run_part(part, given, seconds, environment)
        print(f"{part}: {results[part]['status']} after {results[part]['seconds']} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
