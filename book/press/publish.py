"""The book, from sources to pages: `make book` and `make read` call `main`.

Inside: `build` (stage, run the notebooks, gather the numbers, build strict HTML), `main` (the same with messages and an
exit status), `PublishError`.

Everything a profile produces lies under `_build/<profile>`, and what `make read` does under `_build/read`: `notebooks/` as executed,
`numbers/`, `execution.json`, `drawn/`, `src/` (what Sphinx reads: sources and products side by side, never in the checkout) and `html/`.
A step whose inputs have not changed is passed over; a step that fails leaves the last good pages where they were.
"""

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout, suppress
from functools import partial
from importlib.metadata import files as files_of
from importlib.util import find_spec
from pathlib import Path
from traceback import print_exc

from book.press.execute import execute, noted, tree_hash
from book.press.notebook import ExecutionError, numbers_of, output
from book.press.side_by_side import side_by_side
from groundwork.clock import clock
from groundwork.code_hash import PACKAGES, code_hash, modules
from groundwork.errors import InputError, unreadable
from groundwork.files import files_under
from groundwork.locks import alone
from groundwork.paths import BUILD, ROOT, runs_folder
from groundwork.strict_json import write_json
from trial.numbers import merge

# Copied to where Sphinx reads. The packages are there so that a page can show the line that computes its equation.
ROOMS = tuple(package for package in PACKAGES if "." not in package)
STAGED = ("_config.yml", "_toc.yml", "book", *ROOMS, "CITATION.cff", "LICENSE", "LICENSE-prose", "constraints.txt")
UNWANTED = shutil.ignore_patterns("__pycache__", ".*", "*.ipynb")


class PublishError(RuntimeError):
    """The pages could not be built: what is wrong and where the log is."""


def main(profile: str = "pocket", reading: bool = False) -> int:
    """Build the book, say where it is and how long it took; 0, or 1 after one sentence on what went wrong. InputError is the caller's.

    reading: from committed records, without training."""
    started, folder = time.monotonic(), BUILD / _name(profile, reading)
    before = _so_far(folder)
    try:
        index = build(profile, reading=reading)
    except (ExecutionError, PublishError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    seconds = time.monotonic() - started
    print(f"{index}\n{clock(seconds)}")
    with suppress(OSError):  # a note for bench.py alone
        _leave(folder, seconds, before)
    return 0


def _name(profile: str, reading: bool) -> str:
    """What the folder of a book is called in _build."""
    return "read" if reading else profile


def _so_far(folder: Path) -> tuple[dict[str, dict], int]:
    """What execute.py has noted of each notebook, and how many runs are finished."""
    return noted(folder), len(list(runs_folder().glob("*/record.json")))


def _leave(folder: Path, seconds: float, before: tuple[dict[str, dict], int]) -> None:
    """Note how long a build took in which anything ran, and how much that was, in `built.json`: bench.py tells it."""
    journal, runs = _so_far(folder)
    ran = sum(entry != before[0].get(name) for name, entry in journal.items())
    if ran:
        left = {"seconds": round(seconds, 1), "notebooks": len(journal), "ran": ran, "trained": runs - before[1]}
        write_json(folder / "built.json", left)


# The next two import torch, which takes seconds that a build of what has not changed can do without.


def prepare(profile: str) -> None:
    """Say what the profile will take and see to its data, made and decoded before several ask for them. InputError for a profile that
    does not exist, and for a disk too small."""
    from trial.planner import estimate
    from yolo_core import experiments

    estimate.announce(profile)
    experiments.profile_data(profile)


def conclude(profile: str, reading: bool = False) -> dict[str, dict]:
    """Groups of numbers that no single notebook owns: the register of claims, judged by the committed runs and, unless they are all that is
    read, by those of this build. Its picture is drawn into the book's folder `drawn`."""
    from trial.figures import forest, readings
    from trial.register import card, committed, register_cards, register_page, released
    from yolo_core import experiments

    judged = [finding for name in committed.JUDGED for finding in committed.findings(name)]
    ours = [] if reading else committed.finished(profile)
    own = committed.judged(profile, ours)
    runs = {register_page.short(experiments.profile_of(name).data[0]): committed.stored(name) for name in committed.JUDGED}
    steps = {name: [run.record["steps"] for run in some if run.metrics] for name, some in runs.items()}
    forest.write(_made(BUILD / _name(profile, reading) / "drawn"), judged)
    return {
        "claims": register_page.numbers(judged, own, {name: len(some) for name, some in runs.items()})
        | {"forest": forest.html(judged), "released": released.table(runs), "cards": register_cards.cards(judged)}
        | {"four": register_cards.four(judged), "length": register_cards.length(steps)},
        "readings": {"figure": readings.html()},
        "verdicts": register_page.summary(judged),
        "hostile": hostile(),
        "card": card.told(),
    }


def hostile(root: Path = ROOT) -> dict[str, str]:
    """How much hostile input the tests hold, as their corpus counts itself: `table`, `total`, `refused`. PublishError if it is gone."""
    tests = root / "tests"
    code = "import runpy, sys; sys.path.insert(0, sys.argv[1]); runpy.run_module('hostile', run_name='__main__')"  # any path, safe or not
    try:
        return json.loads(subprocess.run([sys.executable, "-c", code, str(tests)], capture_output=True, text=True, check=True).stdout)
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        raise PublishError(f"{tests}: the corpus of hostile input cannot be counted ({error}); build from a whole checkout.") from error


def build(
    profile: str,
    out: Path | None = None,
    root: Path = ROOT,
    prepare: Callable[[str], object] = prepare,
    conclude: Callable[..., dict[str, dict]] = conclude,
    reading: bool = False,
) -> Path:
    """Bring the profile's book up to date under `out` (default `_build/<profile>`); return the path of its index.html. `reading`: from
    committed records, without training (under `_build/read`).

    Raises InputError for a profile that does not exist or a table of contents that names missing pages, ExecutionError for a notebook
    that fails, PublishError for pages that Sphinx has a warning about. Of several builds of a profile at once one works and the others
    wait.
    """
    out = out or root / "_build" / _name(profile, reading)
    conclude = partial(conclude, reading=True) if reading else conclude
    notebooks = [page for page in pages(root) if page.endswith(".ipynb")]
    if not out.exists():  # a first build: nothing is made, a lock's file neither, for a profile that there is none of
        from yolo_core.experiments import profile_of

        profile_of(profile)
    for made in (out / "src", out / "html"):
        if made.is_symlink():  # a build replaces what it has made, and what a link leads to it has not
            raise InputError(
                f"{made}: expected a folder of this build's, found a link; remove the link, and copy the pages once they are built"
            )
    with alone(out, busy=f"{out}: another build is at work there; this one waits for it"):
        record = execute(notebooks, profile, out, prepare, root, reading)
        _conclude(profile, record, out, root, conclude, reading)
        _stage(notebooks, out, root)
        return _html(out)


def _conclude(
    profile: str, record: dict[str, dict], out: Path, root: Path, conclude: Callable[[str], dict[str, dict]], reading: bool = False
) -> None:
    """Write the numbers of the whole build: about itself, and, where runs or code have changed, what `conclude` has to say."""
    folder, stamp = _made(out / "numbers"), out / "concluded.sha256"
    write_json(folder / "build.json", _report(profile, record, reading))
    code = code_hash(modules("book.press.publish"))
    judged = [*(root / "_build" / "runs").glob("*/record.json"), *(f for f in files_under(root / "records") if f.name == "record.json")]
    judged += (root / "records" / "card").glob("*.json")
    key = tree_hash([*judged, *(root / "tests" / "hostile").glob("*.py")], root) + code
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != key:
        for name, group in conclude(profile).items():
            write_json(folder / f"{name}.json", group)
        stamp.write_text(key, encoding="utf-8")


def pages(root: Path = ROOT) -> list[str]:
    """The files of the table of contents in reading order, relative to `root`, with their suffix."""
    import yaml

    toc = root / "_toc.yml"
    if not toc.exists():
        raise InputError(f"{toc}: expected the book's table of contents, and it is not there; run from a checkout of the project.")
    try:
        listed = list(_entries(yaml.safe_load(toc.read_text(encoding="utf-8"))))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        where = getattr(error, "problem_mark", None)  # its own words take three lines
        said = f"line {where.line + 1}: {error.problem}" if where else str(error)
        raise unreadable(toc, error) or InputError(
            f"{toc}: the table of contents cannot be read ({said}); mend it, or take it back: git checkout _toc.yml"
        ) from error
    found = []
    for entry in listed:
        file = next((f"{entry}{suffix}" for suffix in (".md", ".ipynb", "") if (root / f"{entry}{suffix}").is_file()), None)
        if file is None:
            raise InputError(f"{toc}: {entry} is listed, and there is neither {entry}.md nor {entry}.ipynb; add it or take it out.")
        if file in found:
            raise InputError(f"{toc}: {entry} is listed twice; take one of the two out.")
        if Path(file).parts[0] not in ("book", "notebooks"):
            raise InputError(f"{toc}: {entry} lies where no page is looked for; move it into the folder book or notebooks.")
        found.append(file)
    return found


def _entries(node: object) -> Iterator[str]:
    """Every `root:` and `file:` of the parsed table, in order."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from [value] if key in ("root", "file") else _entries(value)
    elif isinstance(node, list):
        for item in node:
            yield from _entries(item)


def _stage(notebooks: list[str], out: Path, root: Path) -> None:
    """Lay out `out/src` anew: sources, executed notebooks, numbers.json, and the two scripts that pages load."""
    source = out / "src"
    if source.exists():
        shutil.rmtree(source)
    source.mkdir()
    for name in STAGED:
        if (root / name).is_dir():
            shutil.copytree(root / name, source / name, ignore=UNWANTED)
        elif (root / name).exists():
            shutil.copy2(root / name, source / name)
    if (root / "notebooks").exists():  # pictures beside the notebooks
        shutil.copytree(root / "notebooks", source / "notebooks", ignore=UNWANTED)
    for name in notebooks:
        shutil.copy2(output(out, name), _made((source / name).parent))
    write_json(source / "numbers.json", merge([out / "numbers", *(numbers_of(out, name) for name in notebooks)]))
    for picture in (out / "drawn").glob("*"):  # by this build, in the place of those that were committed
        shutil.copy2(picture, source / "book" / "_static")
    extra = _made(source / "_extra" / "mathjax")
    shutil.copy2(_mathjax(), extra)
    shutil.copy2(Path(find_spec("plotly").origin).parent / "package_data" / "plotly.min.js", extra.parent)


def _mathjax() -> Path:
    """MathJax 3.2.2 in one file: TeX in, SVG out, nothing fetched."""
    for file in files_of("django-static-mathjax") or ():
        if str(file).endswith("es5/tex-svg-full.js"):
            return Path(file.locate())
    raise InputError("django-static-mathjax: expected es5/tex-svg-full.js in the installed package; install the pinned version again.")


def _html(out: Path) -> Path:
    """Build strict HTML from `out/src` if anything there has changed; move it into place only when it is whole."""
    source, html, stamp = out / "src", out / "html", out / "html.sha256"
    key = tree_hash(source.rglob("*"), source)
    index = html / "index.html"
    if index.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == key:
        return index
    print("building the pages", flush=True)
    work, log = out / "sphinx", out / "sphinx.log"
    shutil.rmtree(work, ignore_errors=True)
    log.write_text("", encoding="utf-8")
    ((_, status),) = side_by_side([("Sphinx", partial(_sphinx, source, work, log))], 1)
    if status != 0:  # an exit status, or why there is none
        said = _complaints(log.read_text(encoding="utf-8"), source) or status
        raise PublishError(f"the strict build has complaints; the whole log is {log}.\n{said}")
    stamp.unlink(missing_ok=True)
    if html.exists():
        html.replace(work / "before")  # two moves: to remove a book takes long enough to be killed half way
    (work / "_build" / "html").replace(html)
    shutil.rmtree(work)
    stamp.write_text(key, encoding="utf-8")
    return index


def _sphinx(source: Path, work: Path, log: Path) -> int:
    """The strict build itself, for a process of its own, which ends with the driver; what it says goes to `log`. Its exit status."""
    from jupyter_book.cli.main import main

    with open(log, "w", encoding="utf-8") as said, redirect_stdout(said), redirect_stderr(said):
        try:
            main(["build", str(source), "--path-output", str(work), "-W", "-n", "--keep-going", "--all"])
        except SystemExit as ended:
            return int(ended.code or 0)
        except Exception:
            print_exc()
        return 1


def _complaints(log: str, source: Path) -> str:
    """The warnings of a Sphinx log, without colours, named by their path in the sources; its end where it has none."""
    lines = re.sub(r"\x1b\[[0-9;]*m", "", log).replace(f"{source}/", "").splitlines()
    return "\n".join([line for line in lines if re.search(r"\b(WARNING|ERROR|CRITICAL)\b", line)] or lines[-15:])


def _report(profile: str, record: dict[str, dict], reading: bool = False) -> dict[str, object]:
    """What the status page says of this build, ready to print: {{ build.profile }}, {{ build.notebooks }} (a table), ..."""
    rows = [f"| [](/{name}) | {entry['executed']} | {clock(entry['seconds'])} |" for name, entry in record.items()]
    latest = max(record.values(), key=lambda entry: entry["executed"], default={"python": "", "system": "", "packages": {}})
    how = "read from the committed records: nothing was trained, and `make book` replicates it" if reading else "its own runs trained here"
    return {
        "profile": profile,
        "how": how,
        "python": latest["python"],
        "system": latest["system"],
        "time": clock(sum(entry["seconds"] for entry in record.values())),
        "notebooks": "\n".join(["| page | run | time |", "|:--|:--|--:|", *rows]),
        "packages": "\n".join(["| package | version |", "|:--|:--|", *(f"| {n} | {v} |" for n, v in sorted(latest["packages"].items()))]),
    }


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
