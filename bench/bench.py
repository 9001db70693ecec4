"""The package's work beside its peers', timed in one run on the same arrays.

Inside: `run` (everything, as a `Record`), `scenes` (EmojiVOC's row), `book` (how long its build took), `table` (to read in a terminal).

A ratio above 1 says how many times better this package is; contest.py says how it is timed, and the files beside this one
(bench_ap.py, bench_reading.py, bench_decoding.py, bench_training.py) who is compared with whom, and what makes it fair.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from bench import bench_ap, bench_decoding, bench_reading, bench_training
from bench.bench_record import PEERS, Record, circumstances
from bench.contest import Row, peer_module
from emojivoc.emoji import scenes_per_second
from groundwork.clock import clock
from groundwork.paths import BUILD

SCENES_WANTED = 60  # a second on one core: 2,000 scenes within the time a reader waits for a page
BUSY = 0.5  # load average above which a machine is not idle


def scenes(repeats: int = 3) -> Row:
    """The row of EmojiVOC: scenes a second on one core, beside the number asked for."""
    rates = [scenes_per_second() for _ in range(repeats)]
    return Row("itself", "EmojiVOC scenes of 224 px, the rate asked for", "scenes/s", rates, [SCENES_WANTED] * repeats, rate=True)


def book(build: Path = BUILD / "pocket") -> str:
    """How long the last build of the pocket book took here, and how much of it had to run, as it left it said."""
    file = build / "built.json"
    try:
        left = json.loads(file.read_text(encoding="utf-8"))
        return f"{clock(left['seconds'])}, with {left['ran']} of {left['notebooks']} notebooks run and {left['trained']} trainings made"
    except FileNotFoundError:
        return "not built here"
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):  # a line of many costs the others nothing
        return "not known here"


def run() -> Record:
    """All comparisons, some minutes of an idle machine. InputError, before anything is timed, if a peer is not installed."""
    for name in PEERS:
        peer_module(name.replace("-", "_"))
    made = circumstances()
    if made["load"] is not None and made["load"] > BUSY:
        print(f"bench: the machine is busy (load average {made['load']}); what is timed now says little", file=sys.stderr)
    # Reading comes first: it forks its workers, and is better off with a young process.
    parts: dict[str, Callable[[], list[Row]]] = {
        "reading": bench_reading.reading,
        "AP": bench_ap.average_precision,
        "AP beside torchmetrics": lambda: bench_ap.average_precision(bench_ap.FEWER, beside=["torchmetrics"]),
        "decoding": bench_decoding.decoding,
        "what training costs": lambda: [bench_training.probes(), bench_training.cached_features(), bench_training.remedied()],
        "training": bench_training.training_steps,
        "scenes": lambda: [scenes()],
    }
    rows: list[Row] = []
    for name, part in (bar := tqdm(parts.items(), "bench", leave=False)):
        bar.set_postfix_str(name)
        rows += part()
    return Record(made, rows, [*bench_ap.growth(), *bench_decoding.growth()], book())


def table(record: Record) -> str:
    """A record to read in a terminal."""
    width = max(len(row.name) for row in record.rows)
    lines = [f"{'':{width}} {'ours':>9} {'theirs':>9} {'unit':>9} {'ratio':>7}  least to greatest"]
    for row in record.rows:
        shown, (low, high) = row.to_dict(), row.interval
        numbers = f"{shown['ours']:9.3g} {shown['theirs']:9.3g} {row.unit:>9} {row.ratio:7.2f}"
        lines.append(f"{row.name:{width}} {numbers}  {low:.2f} to {high:.2f}")
    for growth in record.growth:
        low, high = growth.interval
        sizes = f"{growth.sizes[0]} to {growth.sizes[-1]} {growth.axis}"
        lines.append(f"{growth.work}, {sizes}: time grows with the power {growth.exponent:.2f} ({low:.2f} to {high:.2f})")
    return "\n".join([*lines, f"the last build of the pocket book: {record.book}"])
