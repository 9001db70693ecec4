"""What a graphics card said of what this book predicts: the records in records/card, as scripts/on_a_card.py writes them.

Inside: `FOLDER`, `part` (what was found of one), `margin` (claim H2's evidence), `told` (for the pages, beside what was predicted).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from groundwork.errors import InputError, unreadable
from groundwork.paths import ROOT

FOLDER = ROOT / "records" / "card"
NONE = "Predicted alone: no card has been asked. `make card`, on a machine that has one, writes the record that this page then shows."
GIB = 2**30


def part(name: str, folder: Path | None = None) -> Mapping[str, Any] | None:
    """What a card said of a part ("memory", "correctness", "speed", "processes"): `card`, `host`, and by name what was `found`; None
    where none was asked, or it had no time. folder: the project's own if not given.

    InputError for a file that is no such record, and for a rehearsal.
    """
    file = (folder or FOLDER) / {"processes": "study.json"}.get(name, f"{name}.json")
    if not file.exists():
        return None
    with _as_written(file):
        said = json.loads(file.read_text(encoding="utf-8"))["parts"].get(name)
        if said is None or not said["found"]:
            return None
        rehearsal, _ = said["rehearsal"], said["card"]["name"]
    if rehearsal:
        raise InputError(f"{file}: a rehearsal on a CPU says nothing of a card; remove it, or run `make card` where there is one")
    return said


@contextmanager
def _as_written(place: Path) -> Iterator[None]:
    """InputError where what a card said is not as the script writes it."""
    try:
        yield
    except InputError:
        raise
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise unreadable(place, error) or InputError(
            f"{place}: expected what scripts/on_a_card.py writes ({error!r}); remove it, or run `make card` again"
        ) from error


def margin(folder: Path | None = None) -> tuple[float, str] | None:
    """(GiB, the card's name): by how much the full head's step oversteps six gigabytes or the compressed one's stays below, whichever is
    less, one picture at a time, the driver's context included; below 0 where one of the two does not. None where no card said."""
    with _as_written((folder or FOLDER) / "memory.json"):
        said = part("memory", folder)
        six = said and said["found"].get("six_gib")
        if not six or not {"full", "compressed"} <= set(six["heads"]):
            return None
        full, compressed = (six["heads"][head]["needs_gib"] for head in ("full", "compressed"))
        return min(full - six["card_gib"], six["card_gib"] - compressed), said["card"]["name"]


def told(folder: Path | None = None) -> dict[str, str]:
    """For the pages, in Markdown: `name` of the card; `memory`, `speed` and `correctness`, measured beside predicted where there is a
    record, and else that it is predicted alone."""
    asked = {name: part(name, folder) for name in ("memory", "correctness", "speed", "processes")}
    found = {name: said["found"] if said else {} for name, said in asked.items()}
    with _as_written(folder or FOLDER):
        names = " and ".join(dict.fromkeys(said["card"]["name"] for said in asked.values() if said))
        memory = (_memory(found["memory"].get("peaks", {})), _six(found["memory"].get("six_gib", {})))
        speed = (_speed(found["speed"].get("loops", {})), _waiting(found["speed"].get("waiting", {})))
        speed += (_processes(found["processes"].get("steps_a_second", {})),)
        said = {"memory": memory, "speed": speed, "correctness": (_correctness(found["correctness"]),)}
    on = f"Measured on {names}."
    return {"name": names or "none"} | {
        name: "\n\n".join([on, *filter(None, parts)]) if any(parts) else NONE for name, parts in said.items()
    }


def _table(rows: Sequence[Mapping[str, str]]) -> str:
    """Rows of the same columns; the first is text, the others are numbers."""
    head = list(rows[0])
    return "\n".join([f"| {' | '.join(head)} |", "|:--" + "|--:" * (len(head) - 1) + "|", *(f"| {' | '.join(r.values())} |" for r in rows)])


def _memory(peaks: Mapping[str, Mapping[str, Any]]) -> str:
    """Predicted, beside what the allocator held of the same steps on real tensors, of a training with its own loss, and had reserved."""

    def row(title: str, peak: Mapping[str, Any]) -> dict[str, str]:
        sizes = {name: f"{peak[name] / GIB:.2f}" for name in ("predicted", "allocated", "training", "reserved")}
        return {"peak, GiB": title, **sizes, "predicted / allocated": f"{peak['predicted'] / peak['allocated']:.2f}"}

    if not peaks:
        return ""
    return _table([row(*each) for each in peaks.items()]) + (
        "\n\n*Allocated*: by the same steps on real tensors; *training*: by steps with the real loss; *reserved*: of the card, for those."
    )


def _six(six: Mapping[str, Any]) -> str:
    """What each head's step needs, and whether a card of six gigabytes has it."""
    heads = [
        f"with the {name} head {head['needs_gib']:.2f} GiB, and it {'trains' if head['trains'] else 'does not train'}"
        for name, head in six.get("heads", {}).items()
    ]
    if not heads:
        return ""
    context = f"{six['context_gib']:.2f} of them the driver's"
    return f"One picture at a time, on a card held to {six['card_gib']:g} GiB, a step needs {'; '.join(heads)} ({context})."


def _correctness(checks: Mapping[str, Mapping[str, Any]]) -> str:
    """Each check, and whether it passed."""
    return "; ".join(f"{name}: {'yes' if check['passed'] else '**no**'}" for name, check in checks.items()) + "." if checks else ""


def _speed(loops: Mapping[str, Mapping[str, Any]]) -> str:
    """Pictures a second of the plain loop and of ours, beside the cost model and the sheet."""

    def row(way: str, loop: Mapping[str, Any]) -> dict[str, str]:
        ends = loop.get("predicted")
        return {
            "training ResNet18": way,
            "pictures a second": f"{median(loop['pictures_a_second']):.0f}",
            "predicted": f"{ends[0]:.0f} to {ends[1]:.0f}" if ends else "",
            "TFLOP/s": f"{loop['flops'] / 1e12:.1f}",
            "of the sheet's": f"{loop['flops'] / loop['peak']:.1%}" if "peak" in loop else "",
        }

    if not loops:
        return ""
    return _table([row(*each) for each in loops.items()]) + (
        "\n\nIn all rows the pictures lie on the card, as uint8. The plain loop keeps the default memory layout and starts a kernel of the "
        "optimiser for each tensor; *predicted* is the cost model's range; the last column compares with the vendor's sheet."
    )


def _waiting(shares: Mapping[str, float]) -> str:
    """The share of a training that waits for data, by where the pictures lie."""
    return "Of a training's time it waits for data: " + ", ".join(f"{s:.1%} {w}" for w, s in shares.items()) + "." if shares else ""


def _processes(rates: Mapping[str, float]) -> str:
    """How much more several trainings do together."""
    listed = ", ".join(f"{rate:.0f} with {number}" for number, rate in rates.items())
    return f"Steps a second of all trainings side by side, by their number: {listed}." if rates else ""
