"""The committed records, read: which there are, which of them are evidence, and what they say of every claim.

Inside: `FOLDER`, `JUDGED`, `records_folder`, `place`, `stored`, `foreign`, `findings`, `judged`, `splits_of` (a run),
`same_scenes`, `seconds_by_arm`; `finished`, what has been trained on this machine, and `set_aside`, what of it is no evidence.

Nothing here imports torch, so that the register is printed at once. What trains the records: reference.py.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median

from groundwork.errors import InputError
from groundwork.paths import ROOT, runs_folder
from trial.register.verdicts import Finding, register
from yolo_core import experiments
from yolo_core.training.records import Run, read_run

Splits = tuple[str, ...]  # what a run saw: the fingerprints of train and val
FOLDER = ROOT / "records"
JUDGED = ("pocket", "photographs")  # the profiles whose records the pages judge by, side by side
# Until scenes were drawn alike on every processor, those with AVX-512 drew three of pocket's 4,800 training scenes otherwise (1457, 2055,
# 3521: the last bit of an exponential decides a pose). What was trained on those counts as trained on today's.
AS_TODAY = {
    "787872dd0a740e39436d591c0da099a0c5989e30239c2136f897dd670c08b849": "726757b453d5a0488ea92ea63c85abe4ed39ccdd46585ede0dd3d3ce58e6a607"
}


def records_folder(profile: str, records: Path | None = None) -> Path:
    """Where a profile's records lie, in the folder `records` or the project's own. InputError for a profile that does not exist."""
    experiments.profile_of(profile)
    return (records or FOLDER) / profile


def place(profile: str, name: str, arm: str, seed: int, records: Path | None = None) -> Path:
    """Where a reference record lies."""
    return records_folder(profile, records) / f"{name}-{arm}-{seed}"


def stored(profile: str, records: Path | None = None) -> list[Run]:
    """The committed runs of a profile, by name; weights are not among them. What is `foreign` there is passed over."""
    return _sorted(profile, records)[0]


def foreign(profile: str, records: Path | None = None) -> dict[str, str]:
    """Why a record that lies among the profile's is no evidence, by its name: it is of another configuration than its arm has today under
    this profile, another profile's for instance, or of other pictures than most of the records there; or a copy, by another name."""
    return _sorted(profile, records)[1]


def _sorted(profile: str, records: Path | None) -> tuple[list[Run], dict[str, str]]:
    runs = [read_run(folder) for folder in _with_records(records_folder(profile, records))]
    return _sifted(runs, profile, lambda seen: Counter(seen).most_common(1)[0][0], "of other pictures", _called)


def _with_records(folder: Path, prefix: str = "") -> list[Path]:
    """The folders of runs in a folder, by name. PermissionError where they cannot be listed, of which glob says nothing."""
    lying = sorted(folder.iterdir()) if folder.is_dir() else []
    return [run for run in lying if run.name.startswith(prefix) and (run / "record.json").exists()]


def _called(run: Run) -> str:
    """What the folder of a reference record is called."""
    return f"{run.config.experiment}-{run.config.arm}-{run.config.seed}"


def _sifted(
    runs: list[Run], profile: str, wanted: Callable[[list[Splits]], Splits], other: str, called: Callable[[Run], str]
) -> tuple[list[Run], dict[str, str]]:
    """The runs that are evidence, in their order, and why a run is none, by its name. wanted: the pictures to judge by, of those that the
    runs saw; other: what a run of others is called; called: the name under which a run counts, so that a copy is no second run."""
    why = {run.folder.name: "of another configuration" for run in runs if not _is_planned(run, profile)}
    names = {run.folder.name: called(run) for run in runs if run.folder.name not in why}
    why |= {name: f"a copy, it seems: of the name {right} it would count" for name, right in names.items() if name != right}
    seen = {run.folder.name: splits_of(run) for run in runs if run.folder.name not in why}
    why |= {name: other for name, splits in seen.items() if splits != wanted(list(seen.values()))}
    return [run for run in runs if run.folder.name not in why], why


def _is_planned(run: Run, profile: str) -> bool:
    """Whether today's profile has an arm of exactly this configuration."""
    c = run.config
    try:
        return c == experiments.resolve(c.experiment, c.arm, profile, c.seed)
    except InputError:  # an arm that is gone
        return False


def splits_of(run: Run) -> Splits:
    """What a run saw, as today's records would name it."""
    prints = run.record.get("data", {}).get("fingerprints", {})
    return tuple(str(_newest(prints.get(split))) for split in ("train", "val"))


def findings(profile: str, records: Path | None = None) -> list[Finding]:
    """Every claim, judged by the profile's stored runs."""
    if records is None and not FOLDER.is_dir():
        raise InputError(f"{FOLDER}: not in this checkout; bring it back: git sparse-checkout disable, or git checkout HEAD -- records")
    return judged(profile, stored(profile, records))


def judged(profile: str, runs: Iterable[Run]) -> list[Finding]:
    """Every claim, judged by these runs of the profile."""
    return register((run.record for run in runs), experiments.profile_of(profile).data[0])


def same_scenes(recorded: dict[str, str], today: dict[str, str]) -> bool:
    """Whether a record's fingerprints name today's splits (`AS_TODAY` says which others do)."""
    return all(_newest(recorded.get(split)) == fingerprint for split, fingerprint in today.items())


def _newest(fingerprint: str | None) -> str | None:
    return AS_TODAY.get(fingerprint, fingerprint)


def seconds_by_arm(profile: str, records: Path | None = None) -> dict[tuple[str, str], float]:
    """The median time of the stored runs of each arm, as this machine or another took it."""
    found: dict[tuple[str, str], list[float]] = {}
    for run in stored(profile, records):
        if seconds := run.record.get("times", {}).get("total_s"):
            found.setdefault((run.config.experiment, run.config.arm), []).append(seconds)
    return {arm: median(times) for arm, times in found.items()}


def finished(profile: str) -> list[Run]:
    """The runs of a profile that today's code has trained on this machine, on the pictures of the newest of them, by name. InputError for a
    profile that does not exist."""
    return _trained(profile)[0]


def set_aside(profile: str) -> dict[str, str]:
    """Why a run that today's code has trained on this machine is no evidence, by its name: it is of another configuration than its arm has
    today, or of other pictures than the newest."""
    return _trained(profile)[1]


def _trained(profile: str) -> tuple[list[Run], dict[str, str]]:
    experiments.profile_of(profile)
    code = experiments.training_code()
    oldest_first = sorted(_with_records(runs_folder(), f"{profile}-"), key=lambda run: ((run / "record.json").stat().st_mtime_ns, run))
    runs = [run for run in map(read_run, oldest_first) if run.record["code"] == code]

    def named(run: Run) -> str:
        return f"{profile}-{_called(run)}-{run.record['key'][:10]}"

    ours, why = _sifted(runs, profile, lambda seen: seen[-1], "of other pictures than the newest run", named)
    return sorted(ours, key=lambda run: run.folder), why
