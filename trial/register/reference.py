"""The committed records, made: every arm of the study over several seeds, so that a reader's one run has something to stand beside.

Inside: `PLAN`, `jobs`, `further`, `fresh`, `run_all`, `time_left`, `check`.

`make reference` goes on where it was: what is stored for today's configuration and data is passed over. Each record is stored as its
run ends, whatever it says. A claim that the first seeds leave undecided gets two more, once (`further`); then arms whose runs take minutes
get ten fresh seeds, by which their claims are judged alone (`fresh`). A change of code does not void
a record as long as its arm's canary repeats (`check`).
"""

import json
import math
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import torch
from tqdm.auto import tqdm

from groundwork.answer import answer
from groundwork.errors import InputError, writing
from groundwork.files import filling, scratch, visible
from groundwork.locks import alone
from groundwork.paths import BUILD
from groundwork.processes import end_with_caller
from groundwork.strict_json import write_json
from trial import watch
from trial.register import committed
from trial.register.canary import canary, compare
from trial.register.claims import CLAIMS
from trial.register.kept import KEPT, keeps
from trial.register.verdicts import FRESH_SEEDS, MIN_SEEDS, MORE_SEEDS, SEEDS, register
from yolo_core import experiments
from yolo_core.training.config import COARSEST
from yolo_core.training.records import AGAIN, Run, read_run
from yolo_core.training.writing import keep

# In this order, so that a stop anywhere leaves a story: the claims on focal, those on the baseline and the backbone, the study as released,
# fine-tuning, the remedies; then what takes long or decides less, and last the two arms that take hours.
PLAN: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("focal", ("mse", "focal", "mse-conv", "focal-conv", "focal-coupled")),
    ("focal", ("focal-literal-from-0.3", "focal-literal-from-0.6")),
    ("baseline", ("compressed", "conv")),
    ("transfer", ("frozen-random", "frozen-random-conv")),
    ("baseline", ("released", "released-focal")),
    ("transfer", ("released",)),
    ("finetune", ("released",)),
    ("baseline", ("focal", "focal-coupled")),
    ("finetune", ("frozen-conv", "fresh", "continued", "one-rate-conv", "continued-conv")),
    ("finetune", ("two-rates-micro-2", "two-rates-micro-2-still", "two-rates", "two-rates-still", "head-rate")),
    ("remedies", ("base", *experiments.IDEAS, "quality-gamma-0", "all", "all-bins")),
    ("remedies", ("mosaic", "all-mosaic")),
    ("baseline", ("conv-quarter",)),
    ("accumulation", ("accumulated-8x2", "batch-2")),
    ("baseline", ("low-coord-image-centres",)),
    ("focal", ("mse-sgd", "focal-sgd", "mse-unclipped", "focal-unclipped", "mse-sgd-slow-unclipped", "focal-sgd-slow-unclipped")),
    ("focal", ("focal-literal", "focal-literal-from-0.9", "qfl", "focal-detached", "mse-sgd-unclipped", "focal-sgd-unclipped")),
    ("remedies", (*(f"all-but-{idea}" for idea in experiments.IDEAS), "all-tuned")),
    ("finetune", ("continued-conv-micro-2", "continued-conv-micro-2-still", "continued-conv-still")),
    ("transfer", ("frozen-conv-half", "frozen-conv-quarter")),
    ("baseline", ("conv-half", "image-centres", "low-coord", "augmented")),
    ("transfer", ("scratch-conv",)),
    ("transfer", ("scratch",)),
    ("baseline", ("full",)),
)


def jobs(seeds: tuple[int, ...] = SEEDS) -> Iterator[tuple[str, str, int]]:
    """(experiment, arm, seed), all arms of a group before its next seed."""
    for name, arms in PLAN:
        for seed in seeds:
            yield from ((name, arm, seed) for arm in arms)


def further(profile: str, records: Path | None = None) -> Iterator[tuple[str, str, int]]:
    """The jobs of `MORE_SEEDS`: every arm of the claims whose interval over `SEEDS` holds the threshold, whichever way they lean.

    What the further seeds say has no part in who gets them, so that nobody goes on until a verdict pleases. An effect at the floor has no
    interval, and more seeds would give it none.
    """
    first = register(run.record for run in committed.stored(profile, records) if run.config.seed in SEEDS)
    wide = {arm for finding in first if finding.undecided for arm in finding.claim.arms}
    yield from ((name, arm, seed) for name, arm, seed in jobs(MORE_SEEDS) if (name, arm) in wide)


def fresh(profile: str) -> Iterator[tuple[str, str, int]]:
    """The jobs of `FRESH_SEEDS`: all of them for the claims' arms of a small head on one kept map of features, a run of which takes
    minutes; and the first few for every arm of a claim that only fresh seeds may judge on this data."""
    asked = {arm for claim in CLAIMS for arm in claim.arms}
    known = {arm for claim in CLAIMS if claim.known == experiments.profile_of(profile).data[0] for arm in claim.arms}
    for name, arm, seed in jobs(FRESH_SEEDS):
        config = experiments.resolve(name, arm, profile)
        cheap = config.cache_features and config.head not in ("full", "compressed") and config.finest_stride == COARSEST
        if (cheap and (name, arm) in asked) or ((name, arm) in known and seed in FRESH_SEEDS[:MIN_SEEDS]):
            yield name, arm, seed


def run_all(profile: str, most: int | None = None, workers: int = 1, records: Path | None = None, arms: Sequence[str] | None = None) -> int:
    """Train and store what is missing, at most so many runs a worker; returns how many were trained by this process.

    Several workers share the processor's cores and never train the same run. records: the folder that holds the profile's records, the
    project's own if not given. arms: "experiment/arm", these alone, and in this order.
    """
    experiments.prepare_data(profile)  # once, before there are several to ask for it
    options = (profile, most, workers, records, arms)
    processes = [get_context("spawn").Process(target=_help, args=options) for _ in range(workers - 1)]
    with filling(committed.records_folder(profile, records)):  # told now if it cannot be made, and not after the first run
        try:
            for process in processes:
                process.start()
            trained = _work(*options, speaks=True)
            for process in processes:
                process.join()
        except BaseException:
            for process in (process for process in processes if process.pid):  # they would go on alone, for hours
                process.terminate()
            raise
    if ended := [process.exitcode for process in processes if process.exitcode]:
        raise InputError(
            f"a process that trained beside this one ended with status {ended[0]} (was there too little memory?); the same command goes on "
            f"with what is missing, after {trained} runs by this process"
        )
    return trained


def _help(*options: Any) -> None:
    """`_work` in a process beside: what stops it is told as the command's own is, in a sentence."""
    end_with_caller()

    def work() -> int:
        _work(*options)
        return 0

    sys.exit(answer(work))


def _work(profile: str, most: int | None, workers: int, records: Path | None, arms: Sequence[str] | None, speaks: bool = False) -> int:
    if workers > 1:
        torch.set_num_threads(max(1, torch.get_num_threads() // workers))
    trained, data = 0, _fingerprints(profile)
    for wanted in (jobs(), further(profile, records), fresh(profile)):  # one is asked for once the one before is through
        missing = [job for job in wanted if not is_stored(profile, *job, data, records) and (not arms or "/".join(job[:2]) in arms)]
        if arms:
            missing.sort(key=lambda job: arms.index("/".join(job[:2])))
        if speaks and missing:
            tqdm.write(time_left(profile, missing, workers, records))
        for name, arm, seed in tqdm(missing[: None if workers > 1 else most], desc="reference runs", unit="run", disable=not speaks):
            with alone(_out(profile, name, arm, seed), wait=False) as mine:
                if not mine and workers == 1:  # of several, the others are this one's own
                    tqdm.write(f"{name}/{arm}, seed {seed}: another process trains it; give this command again afterwards")
                if mine and trained != most and not is_stored(profile, name, arm, seed, data, records):
                    _run(profile, name, arm, seed, records)
                    trained += 1
                    if speaks:
                        left = [job for job in missing if not is_stored(profile, *job, data, records)]
                        tqdm.write(f"{name}/{arm}, seed {seed}, is stored. {time_left(profile, left, workers, records)}")
    return trained


def time_left(profile: str, missing: Sequence[tuple[str, str, int]], workers: int, records: Path | None = None) -> str:
    """How long the missing runs will take, in words: from the times of the stored runs of each arm, or, for an arm without one, from
    pocket's, stretched as the other arms are."""
    here, there = committed.seconds_by_arm(profile, records), committed.seconds_by_arm("pocket")
    both = [here[arm] / there[arm] for arm in here.keys() & there.keys()]
    stretch = median(both) if both else 1.0
    known = [here.get(job[:2], there.get(job[:2], math.nan) * stretch) for job in missing]
    hours = sum(seconds for seconds in known if not math.isnan(seconds)) / 3600 / workers
    unknown = sum(map(math.isnan, known))
    return f"{len(missing)} runs are missing: about {hours:.1f} hours" + (f" and {unknown} runs of arms never timed" if unknown else "")


def _run(profile: str, name: str, arm: str, seed: int, records: Path | None = None) -> None:
    out, place = _out(profile, name, arm, seed), committed.place(profile, name, arm, seed, records)
    _require_ours(place, name, arm, seed)
    # A run that others start from stays where they look for its weights.
    keep = f"{name}/{arm}" in {a.changes.get("start") for e in experiments.EXPERIMENTS.values() for a in e.arms.values()}
    try:
        run = watch.run(name, arm, profile, seed, progress=False, out=None if keep else out)
    except ArithmeticError as error:
        run = _failed(out, name, arm, profile, seed, error)
    _require_ours(place, name, arm, seed)
    _store(run, place, profile)
    if run.folder.parent == out.parent:
        shutil.rmtree(run.folder, ignore_errors=True)
    at_smokes_size = experiments.resolve(name, arm, profile).image_size == experiments.resolve(name, arm, "smoke").image_size
    if at_smokes_size and not torch.cuda.is_available():  # a canary sings of smoke's scenes; a GPU's steps tell nothing of a later CPU's
        _keep_canary(canary_file(profile, name, arm, records), profile, name, arm)


def _require_ours(folder: Path, name: str, arm: str, seed: int) -> None:
    """InputError where a record would take the place of anything but an earlier one of the same arm and seed, or what is left of one."""
    kept = {"record.json", *(f"{table}.parquet" for table in KEPT)}
    if not os.path.lexists(folder):
        return
    if folder.is_dir() and not folder.is_symlink() and (files := {file.name for file in folder.iterdir()}) <= kept:
        config = read_run(folder).config if "record.json" in files else None
        if config is None or (config.experiment, config.arm, config.seed) == (name, arm, seed):
            return
    raise InputError(f"{folder}: expected the record of {name}/{arm} with seed {seed}, or nothing; move it away, or name other --records")


def _out(profile: str, name: str, arm: str, seed: int) -> Path:
    """Where a run is trained before its record is stored."""
    return BUILD / "reference" / f"{profile}-{name}-{arm}-{seed}"


def _failed(out: Path, name: str, arm: str, profile: str, seed: int, error: ArithmeticError) -> Run:
    """A training that burst is a result as well: a record that says at which step, and that no claim can draw a figure from."""
    record = {
        "key": experiments.key_of(name, arm, profile, seed),
        "config": experiments.resolve(name, arm, profile, seed).to_dict(),
        "data": {"fingerprints": _fingerprints(profile)},
        "code": experiments.training_code(),
        "metrics": {},
        "failed": str(error),
        "observer": watch.Instruments.code(),
    }
    return keep(out, record, {}, {})


def canary_file(profile: str, name: str, arm: str, records: Path | None = None) -> Path:
    """Where an arm's canary lies."""
    return committed.records_folder(profile, records) / "canaries" / f"{name}-{arm}.json"


def arm_of(file: Path) -> tuple[str, str]:
    """The (experiment, arm) whose canary lies in a file. InputError where the study has none of that name."""
    for name, arm, _ in jobs():
        if file.stem == f"{name}-{arm}":
            return name, arm
    raise InputError(f"{file}: expected a canary, named EXPERIMENT-ARM.json, and there is no such arm; move it to another folder")


def _read_canary(file: Path) -> dict[str, Any]:
    """InputError for a file that is torn, or no canary."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        kinds = {"code": str, "digest": str, "losses": list}
        whole = all(isinstance(found[name], kind) for name, kind in kinds.items()) and all(map(math.isfinite, found["losses"]))
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        whole = False
    if not whole:
        raise InputError(
            f"{file}: expected a whole canary, got something else; restore it (git checkout, if it is the project's), or remove it: the "
            "next run of its arm stores another"
        )
    return found


def _keep_canary(file: Path, profile: str, name: str, arm: str) -> None:
    """Store the arm's canary, or renew it under code that has changed since: unless it differs, since the arm's earlier records
    are then out of date, and `check` has to say so."""
    code, stored = experiments.training_code(), _read_canary(file) if file.exists() else None
    if stored is not None and stored["code"] == code:
        return
    found = {"code": code, **canary(name, arm, profile)}
    if stored is None or compare(stored, found) != "changed":
        with writing(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            write_json(file, found)


def _fingerprints(profile: str) -> dict[str, str]:
    """What the profile's splits hold today, as records name it."""
    train_data, val_data = experiments.profile_data(profile, progress=False)
    return {"train": train_data.fingerprint, "val": val_data.fingerprint}


def is_stored(profile: str, name: str, arm: str, seed: int, data: dict[str, str] | None = None, records: Path | None = None) -> bool:
    """Whether there is a record of this arm and seed under today's configuration and data (`data`: their fingerprints, if known). A key
    that the configuration has gained since counts as its default."""
    folder = committed.place(profile, name, arm, seed, records)
    if not (folder / "record.json").exists():
        return False
    run = read_run(folder)
    try:
        same_config = run.config == experiments.resolve(name, arm, profile, seed)
    except InputError as error:
        raise InputError(f"{error}; {AGAIN}") from error
    return same_config and committed.same_scenes(run.record["data"]["fingerprints"], data or _fingerprints(profile))


def _store(run: Run, folder: Path, profile: str) -> None:
    """Copy what `kept.py` names beside its place, and move it there."""
    with writing(folder), scratch(folder.parent, f".{folder.name}-") as around:
        draft = around / "record"
        draft.mkdir()
        _copy(run, draft, profile)
        if folder.exists():
            folder.rename(around / "before")  # at once: another process may be reading
        draft.rename(folder)


def _copy(run: Run, draft: Path, profile: str) -> None:
    for name in ("record.json", *(f"{table}.parquet" for table in KEPT if keeps(table, profile, run.config))):
        if (run.folder / name).exists():
            shutil.copyfile(run.folder / name, draft / name)


def check(profile: str, records: Path | None = None) -> dict[str, str]:
    """Every stored arm's canary against that of today's code: "same" bit for bit, "rounding", or "changed". InputError where none is, and
    for a file that is none, before the first sings."""
    folder = committed.records_folder(profile, records) / "canaries"
    if not (files := visible(folder, "*.json")):
        never = "none ever is on a GPU, or of pictures larger than smoke's"
        said = f"{folder}: no canary is stored there ({never}); name the folder of records that you mean, or train some: reference"
        raise InputError(said)
    stored = {arm_of(file): _read_canary(file) for file in files}
    sung = tqdm(stored.items(), desc="canaries", unit="arm")
    return {f"{name}/{arm}": compare(before, canary(name, arm, profile)) for (name, arm), before in sung}
