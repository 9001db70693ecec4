"""Whether the addresses that the book cites still answer. Not part of the tests, which need no network.

Inside: `addresses`, `check`.
"""

import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

from groundwork.errors import InputError
from groundwork.files import visible
from groundwork.paths import ROOT

WHERE = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "book/*.md", "book/references.bib", "notebooks/*.ipynb")
ADDRESS = re.compile(r"https?://[^\s\"'<>\\`{}|)\]]+")
AGENT = {"User-Agent": "Mozilla/5.0 (link check)"}  # some hosts answer nobody without one
REFUSES_ROBOTS = (401, 403, 405, 429)  # there, but not for a program


def addresses(root: Path = ROOT) -> dict[str, list[str]]:
    """Every address in the prose and the bibliography, with the files that name it."""
    found: dict[str, list[str]] = {}
    for file in visible(root, *WHERE):
        for match in ADDRESS.finditer(file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""):
            files = found.setdefault(match[0].rstrip(".,;:"), [])
            if (name := file.relative_to(root).as_posix()) not in files:
                files.append(name)
    return found


def check(asked: Iterable[str], timeout: float = 20.0) -> Iterator[tuple[str, str]]:
    """(address, fault) for each that does not answer. InputError if none of them does: then it is the network."""
    asked = list(asked)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda address: _fault(address, timeout), asked))
    if asked and all(fault.startswith("no answer") for fault in answers):
        raise InputError(f"none of {len(asked)} addresses answers; connect to a network and check again")
    yield from ((address, fault) for address, fault in zip(asked, answers, strict=True) if fault)


def _fault(address: str, timeout: float) -> str:
    """What is wrong with an address; nothing for one that answers, or that turns programs away."""
    try:
        plain = quote(address, safe="".join(map(chr, range(33, 127))))  # letters beyond ASCII, as a browser asks for them
        with urlopen(Request(plain, headers=AGENT), timeout=timeout):
            return ""
    except HTTPError as error:
        return "" if error.code in REFUSES_ROBOTS else f"status {error.code}"
    except (OSError, HTTPException, ValueError) as error:  # URLError and timeouts are OSErrors
        return f"no answer ({error})"
