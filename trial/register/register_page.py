"""The register in words: what the pages, the front page and the command line say of findings (`verdicts.py`), in Markdown.

Inside: `told`, `badge`, `answer` (one finding), `markdown`, `plain`, `summary` (sentence by sentence), `own`, `counts`, `tally`,
`agreement`, `progress`, `images`, `listed` (over all of them), `numbers` (the whole group `claims` of a book's numbers).

Findings come from one data set or from several, one after another: whatever they say of a sentence stands side by side.
"""

import math
import re
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from trial.register.measures import against
from trial.register.verdicts import (
    FIRST_LOOK,
    FRESH_SEEDS,
    MORE_SEEDS,
    SECOND_LOOK,
    SEEDS,
    Finding,
    chance_of_a_verdict,
    interval_95,
    least_seeds,
    verdict_of,
)

INCONCLUSIVE = "INCONCLUSIVE"


def short(data: str) -> str:
    """What a data set is called where there is little room: its name without what stands in parentheses."""
    return data.partition(" (")[0]


def by_claim(findings: Iterable[Finding]) -> list[list[Finding]]:
    """All that is said of a sentence, sentence by sentence, in the order in which they come."""
    found: dict[str, list[Finding]] = {}
    for finding in findings:
        found.setdefault(finding.claim.id, []).append(finding)
    return list(found.values())


def by_data(findings: Iterable[Finding]) -> dict[str, list[Finding]]:
    """All that a data set says, by its short name."""
    found: dict[str, list[Finding]] = {}
    for finding in findings:
        found.setdefault(short(finding.data), []).append(finding)
    return found


def _range(interval: tuple[float, float]) -> str:
    return f"{interval[0]:.3g} to {interval[1]:.3g}"


def told(finding: Finding) -> str:
    """The effect with its interval in words, "0.54 (0.41 to 0.67)", and its level where it is not 95 %; or why there is none."""
    if not finding.claim.arms:
        return f"{finding.effect:.2g}, " + (f"measured on {finding.card}" if finding.card else "predicted")
    if not finding.seeds:
        return "not run"
    if math.isnan(finding.effect):
        return "at the floor"
    if finding.interval is None:
        return f"{finding.effect:.3g}"
    level = "" if finding.level == 1 - FIRST_LOOK else f" at {percent(finding.level)}"
    return f"{finding.effect:.3g} ({_range(finding.interval)}{level})"


def percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def badge(finding: Finding) -> str:
    """The verdict as the page's style sheet draws it."""
    return f"[{finding.verdict}]{{.verdict-{finding.verdict.lower()}}}"


def html_badge(finding: Finding) -> str:
    """The same where a notebook writes HTML."""
    return f'<span class="verdict-{finding.verdict.lower()}">{finding.verdict}</span>'


def answer(finding: Finding, badge: Callable[[Finding], str] = badge) -> str:
    """What a data set says of a sentence: the verdict and whether it is firm, the effect with its intervals, the seeds; or "not run"."""
    if not finding.claim.arms:
        return f"{badge(finding)} {told(finding)}"
    if not finding.seeds:
        return "not run"
    firm = "" if finding.verdict == INCONCLUSIVE else ", firm" if finding.firm else ", not firm"
    over = "" if finding.over_images is None else f"; over val pictures {_range(finding.over_images)}"
    return f"{badge(finding)}{firm}: {told(finding)}, {counted(len(finding.seeds), 'seed')}; {against(finding)}{over}"


def counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def markdown(findings: Iterable[Finding]) -> str:
    """A table, a row a sentence: whose it is, its prediction, and the answer of each data set."""
    rows = by_claim(findings)
    names = [short(f.data) for f in rows[0]]
    lines = [f"| id | sentence | predicted | {' | '.join(names)} |", "|:--" * (3 + len(names)) + "|"]
    for same in rows:
        c = same[0].claim
        lines.append(f"| [{c.id}](/{c.page}) | {c.sentence} ({c.whose}) | {c.prediction} | {' | '.join(map(answer, same))} |")
    return "\n".join(lines)


def plain(findings: Iterable[Finding], width: int = 80) -> str:
    """The register for a terminal, in lines of at most `width` characters (40 or more): whose sentence it is, what was predicted, and the
    answer of each data set, whose names and verdicts stand one below the other."""
    rows, lines = by_claim(findings), []
    inner = max(width, 40) - INDENT
    for same in rows:
        claim = same[0].claim
        lines += _hung(f"{claim.id:<{INDENT}}", f"{claim.sentence} ({claim.whose})", inner)
        lines += _hung(" " * INDENT, f"predicted: {claim.prediction}", inner)
        for f in same:
            name = f"{short(f.data)}: " if len(same) > 1 else ""
            lines += _hung(" " * INDENT, name + answer(f, lambda one: one.verdict), inner)
        lines.append("")
    return "\n".join(lines[:-1])


def coloured(text: str) -> str:
    """The verdicts of `plain` in the colours of a terminal: green, red, yellow."""
    return re.sub(r"\b(HOLDS|FAILS|INCONCLUSIVE)\b", lambda found: f"\x1b[{COLOURS[found[1]]}m{found[1]}\x1b[0m", text)


COLOURS = {"HOLDS": 32, "FAILS": 31, "INCONCLUSIVE": 33}  # of ANSI
INDENT = 6  # columns that the id takes


def _hung(first: str, text: str, width: int) -> list[str]:
    """Text in lines of `width`, the first behind `first`, the others below it."""
    return [(first if k == 0 else " " * INDENT) + line for k, line in enumerate(textwrap.wrap(text, width))]


def own(findings: Iterable[Finding]) -> str:
    """A table of what a reader's own runs say: only sentences whose arms all ran, with the side of the bar on which the effect lies."""
    ran = [f for f in findings if f.seeds]
    if not ran:
        return "No sentence has a run in each of its arms here."
    lines = ["| id | sentence | effect | against the bar | seeds | verdict |", "|:--|:--|--:|:--|--:|:--|"]
    for f in ran:
        c = f.claim
        lines.append(f"| [{c.id}](/{c.page}) | {c.sentence} | {told(f)} | {against(f)} | {len(f.seeds)} | {badge(f)} |")
    return "\n".join(lines)


def summary(findings: Iterable[Finding]) -> dict[str, dict[str, Any]]:
    """By the id of a claim, ready to print: its sentence; verdict, effect and number of seeds of the first data set; the `answer` of each
    data set that comes after it, under its short name; `both`, all answers in one line; and `badges`, all verdicts."""
    found = {}
    for same in by_claim(findings):
        first, both = same[0], "; ".join(f"{short(f.data)} {answer(f)}" for f in same)
        found[first.claim.id] = {
            "sentence": first.claim.sentence,
            "verdict": badge(first),
            "effect": told(first),
            "seeds": str(len(first.seeds)),
            "both": both,
            "badges": ", ".join(f"{short(f.data)} {badge(f) if f.seeds or not f.claim.arms else 'not run'}" for f in same),
        } | {short(f.data): answer(f) for f in same[1:]}
    return found


def counts(findings: Iterable[Finding], whose: str = "") -> str:
    """How many sentences hold, fail and are not decided, by data set, in a sentence; of all, or of those of one side."""
    said = []
    for name, some in by_data(f for f in findings if whose in ("", f.claim.whose)).items():
        n = Counter(f.verdict for f in some)
        of = f"{n['HOLDS']} hold, {n['FAILS']} fail and {n[INCONCLUSIVE]} are not decided"
        said.append(f"on {name} {of}" if any(f.seeds for f in some) else f"on {name} nothing has been run yet")
    return f"Of {len(some)} sentences {f'of the {whose}' if whose else 'on trial'}, {'; '.join(said)}."


def tally(findings: Iterable[Finding]) -> str:
    """A table of how many sentences hold, fail, are undecided and are not run, by whose they are and by data set."""
    lines = ["| whose | judged by | hold | fail | undecided | not run |", "|:--|:--|--:|--:|--:|--:|"]
    sets = by_data(findings)
    for whose in dict.fromkeys(f.claim.whose for some in sets.values() for f in some):
        for name, some in sets.items():
            tallied = Counter(f.verdict if f.seeds or f.card else "not run" for f in some if f.claim.whose == whose)
            figures = " | ".join(str(tallied[said]) for said in ("HOLDS", "FAILS", INCONCLUSIVE, "not run"))
            lines.append(f"| {whose} | {name} | {figures} |")
    return "\n".join(lines)


def agreement(findings: Iterable[Finding]) -> str:
    """In a sentence: how many claims all data sets decide, on how many they agree, and on which they do not."""
    rows = by_claim(findings)
    if missing := [name for name, some in by_data(f for same in rows for f in same).items() if not any(f.seeds for f in some)]:
        return f"On {' and '.join(missing)} nothing has been run yet, so that there is nothing to compare."
    decided = [same for same in rows if all(f.verdict != INCONCLUSIVE for f in same)]
    differ = [same for same in decided if len({f.verdict for f in same}) > 1]
    names = " and ".join(short(f.data) for f in rows[0])
    if not decided:
        return f"There is no sentence yet that {names} both decide."
    agreed = len(decided) - len(differ) if differ else "all"
    said = f"{names} both decide {counted(len(decided), 'sentence')}, and agree on {agreed} of them."
    if not differ:
        return said
    each = "; ".join(
        f"[{same[0].claim.id}](/{same[0].claim.page}), *{same[0].claim.sentence}*: "
        + ", ".join(f"{badge(f)} on {short(f.data)}" for f in same)
        for same in differ
    )
    return f"{said} They differ on {len(differ)}: {each}."


def progress(findings: Iterable[Finding]) -> str:
    """How far a data set has been run, in words: "run", "not run yet", or so many sentences of those that ask for runs."""
    asked = [f for f in findings if f.claim.arms]
    ready = sum(len(f.seeds) >= least_seeds(f.claim, f.data) for f in asked)
    if not any(f.seeds for f in asked):
        return "not run yet"
    return "run" if ready == len(asked) else f"run so far: {ready} of {len(asked)} sentences have their seeds"


def images(findings: Iterable[Finding]) -> str:
    """What drawing the val pictures anew adds to drawing seeds: where its interval is the wider, and where it alone would leave undecided
    what the seeds decide."""
    both = [f for f in findings if f.over_images is not None and f.interval is not None]
    if not both:
        return "No stored record holds such draws yet."
    wider = sum(f.over_images[1] - f.over_images[0] > f.interval[1] - f.interval[0] for f in both)
    spans = listed(both, lambda f: f.verdict != INCONCLUSIVE and any(f.over_images[0] <= b <= f.over_images[1] for b in f.claim.bounds))
    return (
        f"Of {counted(len(both), 'effect')} with both intervals the one over pictures is the wider in {wider}. "
        f"Decided by seeds, while the interval over pictures holds the threshold: {spans}."
    )


def listed(findings: Iterable[Finding], chosen: Callable[[Finding], bool], verdict: bool = False) -> str:
    """The claims of each data set for which something is so, by id: "EmojiVOC: C1, C2; photographs: none"."""
    return "; ".join(
        f"{name}: " + (", ".join(f"{f.claim.id} {f.verdict}" if verdict else f.claim.id for f in some if chosen(f)) or "none")
        for name, some in by_data(findings).items()
    )


def _turns_on_logs(finding: Finding) -> bool:
    """Whether the verdict would be another if logarithms were judged, which suits ratios: of effects that are above 0 in every seed."""
    claim, effects = finding.claim, finding.effects
    if len(effects) < least_seeds(claim, finding.data) or not all(effect > 0 for effect in effects) or min(claim.bounds) <= 0:
        return False
    bounds = [math.log(bound) for bound in claim.bounds]
    on_logs = replace(claim, threshold=bounds[0], upper=bounds[1] if claim.upper is not None else None)
    return verdict_of(on_logs, *interval_95(map(math.log, effects), 1 - finding.level)) != finding.verdict


def _was_decided(finding: Finding) -> bool:
    """Whether a second look left undecided what it would have decided at the level of a first one."""
    once = interval_95(finding.effects)
    return finding.level != 1 - FIRST_LOOK and finding.undecided and verdict_of(finding.claim, *once) != finding.verdict


def _decided_before(finding: Finding) -> bool:
    """Whether a claim that is judged by further seeds was decided without them: its arms got them for another claim's sake."""
    first = [effect for seed, effect in zip(finding.seeds, finding.effects, strict=True) if seed in SEEDS]
    again = finding.level != 1 - FIRST_LOOK and len(first) == len(SEEDS)
    return again and verdict_of(finding.claim, *interval_95(first)) != INCONCLUSIVE


def numbers(findings: Sequence[Finding], ours: Sequence[Finding], runs: dict[str, int]) -> dict[str, str]:
    """The group `claims`, ready to print. `ours`: the findings of the reader's build; `runs`: how many records each data set has."""
    first, more = len(SEEDS), len(MORE_SEEDS)
    return {
        "own": own(ours),
        "counts": counts(findings),
        "write_up": counts(findings, "write-up"),
        "tally": tally(findings),
        "agreement": agreement(findings),
        "images": images(findings),
        "total": str(len(by_claim(findings))),
        "runs": " and ".join(f"{count} on {name}" for name, count in runs.items()),
        "progress": "; ".join(f"{name}, {progress(some)}" for name, some in by_data(findings).items()),
        "first_seeds": str(first),
        "all_seeds": str(first + more),
        "fresh_seeds": str(len(FRESH_SEEDS)),
        "waiting": listed(findings, lambda f: f.undecided and len(f.seeds) < first + more),
        "second_look": listed(findings, lambda f: f.level != 1 - FIRST_LOOK, verdict=True),
        "decided_before": listed(findings, _decided_before, verdict=True),
        "was_decided": listed(findings, _was_decided),
        "known": ", ".join(dict.fromkeys(f"{f.claim.id} on {f.claim.known}" for f in findings if f.claim.known)),
        "fresh": listed(findings, lambda f: f.seeds == FRESH_SEEDS, verdict=True),
        "firm": listed(findings, lambda f: f.firm),
        "not_firm": listed(findings, lambda f: f.verdict != INCONCLUSIVE and not f.firm),
        "on_logs": listed(findings, _turns_on_logs),
        "level": percent(1 - FIRST_LOOK),
        "second_level": percent(1 - SECOND_LOOK),
        "chance_once": f"{100 * chance_of_a_verdict(first):.0f} %",
        "chance": f"{100 * chance_of_a_verdict(first, more):.0f} %",
    }
