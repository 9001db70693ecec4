"""The register as cards, a sentence each, for its page; and the four experiments as cards, for the front page.

Inside: `cards`, `FOUR`, `four`, `length`.

A card is HTML around Markdown: complete as it stands, and the attributes `data-...` are what register.js filters by.
"""

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from trial.register.measures import MEASURES, against, bar, group_of
from trial.register.register_page import INCONCLUSIVE, by_claim, counted, html_badge, short, told
from trial.register.verdicts import Finding

NOT_RUN = "NOT-RUN"  # beside verdicts, in an attribute


def cards(findings: Iterable[Finding]) -> str:
    """The sentences one by one: the sentence, what each data set says of it, and behind a fold what was predicted, what ran, and what would
    change the verdict."""
    return "\n\n".join(_card(same) for same in by_claim(findings))


def _card(same: Sequence[Finding]) -> str:
    claim = same[0].claim
    some = [f for f in same if f.seeds] if claim.arms else same[:1]  # a prediction is the same on every data set
    verdicts = " ".join(dict.fromkeys(f.verdict if f.seeds or not claim.arms else NOT_RUN for f in same))
    answers = "".join(_answer(f) for f in (same if claim.arms else some))
    lines = [f"- *Predicted before the runs:* {claim.prediction}.", f"- *What ran:* {claim.scope}."]
    lines += [f"- *{short(f.data)}:* {said}." for f in some if (said := _further(f))]
    lines += [f"- *What would change our mind:* {claim.overturn}", f"- *Argued in* [](/{claim.page})."]
    return "\n".join(
        [
            f'<section class="claim" data-group="{html.escape(group_of(claim))}" data-whose="{claim.whose}" data-verdicts="{verdicts}">',
            f'<p class="claim-of" id="{claim.id}"><strong>{claim.id}</strong> {html.escape(group_of(claim))} · {claim.whose}</p>',
            f'<p class="claim-sentence">{html.escape(claim.sentence)}.</p>',
            f'<p class="claim-measure">Measured: {html.escape(MEASURES[claim.id])}. Claimed: {bar(claim)}.</p>',
            f"<dl>{answers}</dl>",
            "<details><summary>Prediction, scope, and what would change our mind</summary>\n",
            *lines,
            "\n</details>",
            "</section>",
        ]
    )


def _answer(finding: Finding) -> str:
    """A data set's name, its verdict and its figures, as an entry of a list."""
    if finding.claim.arms and not finding.seeds:
        return f'<div><dt>{short(finding.data)}</dt><dd><span class="not-run">not run</span></dd></div>'
    name = short(finding.data) if finding.claim.arms else "by the planner"
    seeds = counted(len(finding.seeds), "seed") if finding.seeds else ""
    figures = [told(finding), against(finding).partition(", ")[2], seeds]
    if finding.verdict != INCONCLUSIVE and finding.claim.arms:
        figures.append("firm" if finding.firm else "not firm")
    said = ", ".join(html.escape(part) for part in figures if part)
    return f"<div><dt>{name}</dt><dd>{html_badge(finding)} {said}</dd></div>"


def _further(finding: Finding) -> str:
    """Why nothing is decided, what the seeds could have told, and the interval over val pictures; empty where there is none of them."""
    parts = [finding.why]
    if finding.seeds and (resolution := finding.to_dict()["resolution"]) is not None:
        parts.append(f"these seeds could have told {resolution:.2g} from the threshold")
    if finding.over_images is not None:
        parts.append("over val pictures {:.3g} to {:.3g}".format(*finding.over_images))
    return "; ".join(part for part in parts if part)


@dataclass(frozen=True)
class Experiment:
    """An experiment of the write-up as the front page tells it: what it claimed, the sentence that stands for it, and what either verdict
    means in words."""

    title: str
    claimed: str
    id: str
    page: str
    means: Mapping[str, str]


FOUR = (
    Experiment(
        "Exp 1 · Baseline",
        "Trained from scratch it misses most objects, because its dense head was cut to a tenth.",
        "C1a",
        "baseline",
        {"HOLDS": "the full head finds many more", "FAILS": "the full head does not bring them back"},
    ),
    Experiment(
        "Exp 2 · Focal loss",
        "The focal factor on the background starves its gradient, and mAP collapses.",
        "C2c",
        "focal",
        {"HOLDS": "mAP collapses", "FAILS": "mAP does not collapse"},
    ),
    Experiment(
        "Exp 3 · Transfer",
        "A frozen ImageNet backbone gives about seven times the mAP of training from scratch.",
        "C3a",
        "transfer",
        {"HOLDS": "about seven times", "FAILS": "not about seven times"},
    ),
    Experiment(
        "Exp 4 · Fine-tuning",
        "Fine-tuning everything lowers mAP (C4a), because small micro-batches disturb BatchNorm.",
        "C4b",
        "finetune",
        {"HOLDS": "larger batches give back most of that", "FAILS": "larger batches do not give back most of that"},
    ),
)


def four(findings: Iterable[Finding]) -> str:
    """HTML, four cards: what each experiment claimed, the figure that judges it, and the verdict of every data set."""
    found = {same[0].claim.id: same for same in by_claim(findings)}
    return '<div class="four">' + "".join(_experiment(e, found[e.id]) for e in FOUR) + "</div>"


def _experiment(experiment: Experiment, same: Sequence[Finding]) -> str:
    claim = same[0].claim
    rows = "".join(f"<div><dt>{short(f.data)}</dt><dd>{_figure(f)} {_verdict(f)}<br>{_meaning(experiment, f)}</dd></div>" for f in same)
    return (
        f'<section data-claim="{claim.id}"><h2><a href="../notebooks/{experiment.page}.html">{experiment.title}</a></h2>'
        f"<p>{experiment.claimed}</p>"
        f'<p class="claim-measure">{html.escape(_capital(MEASURES[claim.id]))}; claimed: {bar(claim)}'
        f' (<a href="register.html#{claim.id}">{claim.id}</a>)</p><dl>{rows}</dl></section>'
    )


def _figure(finding: Finding) -> str:
    effect = finding.to_dict()["effect"]
    return "" if effect is None else f'<span class="four-figure">{effect:.2g}</span>'


def _verdict(finding: Finding) -> str:
    return html_badge(finding) if finding.seeds else '<span class="not-run">not run</span>'


def _meaning(experiment: Experiment, finding: Finding) -> str:
    return experiment.means.get(finding.verdict) or (finding.why if finding.seeds else "")


def _capital(text: str) -> str:
    return text if text.startswith("mAP") else text[:1].upper() + text[1:]


def length(steps: Mapping[str, Iterable[int]]) -> str:
    """How many steps the committed trainings took, least to most, by data set: "300 to 900 on EmojiVOC"."""
    said = []
    for name, some in steps.items():
        if taken := sorted(set(some)):
            said.append(f"{' to '.join(f'{step:,}' for step in dict.fromkeys((taken[0], taken[-1])))} on {name}")
    return " and ".join(said) or "none yet"
