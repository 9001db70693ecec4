"""The register, and the reference runs and the established detector that it judges by.

Inside: a dataclass a command. Heavy imports (torch, sphinx) wait inside the commands, so that `--help` answers at once.
"""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from groundwork.errors import InputError, unreadable, writing
from groundwork.files import elsewhere
from groundwork.paths import runs_folder
from groundwork.strict_json import dumps


def _a_file(out: Path, keys: set[str]) -> Path:
    """Where a record can be written, known before minutes are spent. InputError for a folder, a device or a pipe, for a place in no
    folder, and for a file other than an earlier record: JSON with these `keys`."""
    if (out.exists() and not out.is_file()) or not out.parent.is_dir():
        raise InputError(f"{out}: expected a file in a folder that is there; name another --out")
    try:
        renewed = not os.path.lexists(out) or keys <= set(json.loads(out.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        if refused := unreadable(out, error):
            raise refused from error
        renewed = False
    if not renewed:
        raise InputError(f"{out}: already there, and no earlier record that this one renews; name another --out")
    with writing(out), tempfile.NamedTemporaryFile(dir=out.parent, prefix=f".{out.name}."):
        return out


def _keep(out: Path, keys: set[str], write: Callable[[Path], None]) -> None:
    """Write what took long: to `out` or, where that is refused by now, among the temporary files. InputError that says where it lies."""

    def into(folder: Path) -> Path:
        write(folder / out.name)
        return folder / out.name

    try:
        with writing(_a_file(out, keys)):
            write(out)
    except InputError as error:
        lies = elsewhere(into)
        raise InputError(f"{error}; what was found lies in {lies}" if lies else str(error)) from error


@dataclass(frozen=True)
class Claims:
    """The register of claims with the verdicts of the committed reference runs, or of the runs made here."""

    profile: str = "pocket"
    own: bool = False
    """Judge by the runs made on this machine instead."""
    json: bool = False
    """Print a JSON list."""
    markdown: bool = False
    """Print a table in Markdown."""

    def __call__(self) -> int:
        from trial.register import committed, register_page, verdicts
        from yolo_core import experiments

        data = experiments.profile_of(self.profile).data[0]
        if self.json and self.markdown:
            raise InputError("--json and --markdown: one or the other; leave one out")
        if self.own:
            findings = verdicts.register((run.record for run in committed.finished(self.profile)), data)
            folder, others = runs_folder(), committed.set_aside(self.profile)
        else:
            findings = committed.findings(self.profile)
            folder, others = committed.records_folder(self.profile), committed.foreign(self.profile)
        for name, why in others.items():
            print(f"{folder / name}: passed over, {why}", file=sys.stderr)
        if self.json or self.markdown:
            print(dumps([f.to_dict() for f in findings]) if self.json else register_page.markdown(findings))
            return 0
        text = register_page.plain(findings, shutil.get_terminal_size().columns)
        print(register_page.coloured(text) if sys.stdout.isatty() and "NO_COLOR" not in os.environ else text)
        return 0


@dataclass(frozen=True)
class Forest:
    """Draw the register as one picture, wide and narrow, from the committed records: what the README shows."""

    out: Path | None = None
    """Folder of forest.svg and forest-narrow.svg; that of the book's pictures if not given."""

    def __call__(self) -> int:
        from trial.figures import forest
        from trial.register import committed

        out = self.out or forest.FOLDER
        if not out.is_dir():
            raise InputError(f"{out}: expected a folder to draw into, and there is none; name another --out")
        findings = [finding for profile in committed.JUDGED for finding in committed.findings(profile)]
        print("\n".join(map(str, forest.write(out, findings))))
        return 0


@dataclass(frozen=True)
class Reference:
    """Train every arm of the study over its seeds and store the records; goes on where it was."""

    profile: str = "pocket"
    most: int | None = None
    """Stop after so many runs (a worker)."""
    workers: int = 1
    """Processes that train side by side, the cores shared between them."""
    records: Path | None = None
    """Folder of the records, one folder a profile in it; the project's own if not given."""
    arms: tuple[str, ...] | None = None
    """Train these alone and in this order, each as EXPERIMENT/ARM."""
    check: bool = False
    """Train nothing: does today's code still repeat the first steps of every stored arm? Exit status 1 if one has changed."""

    def __call__(self) -> int:
        from trial.register import committed, reference

        if self.workers < 1:
            raise InputError(f"--workers must be at least 1; got {self.workers}")
        if self.most is not None and self.most < 0:
            raise InputError(f"--most must be at least 0; got {self.most}")
        if self.arms == ():
            raise InputError("--arms: expected an arm or more, each as EXPERIMENT/ARM; leave the option out for all of them")
        known = {f"{name}/{arm}" for name, arm, _ in reference.jobs()}
        if unknown := [arm for arm in self.arms or () if arm not in known]:
            raise InputError(f"--arms: there is no arm {unknown[0]!r}; name some of {', '.join(sorted(known))}")
        if self.check:
            if (self.most, self.workers, self.arms) != (None, 1, None):
                raise InputError("--check repeats every stored arm, in this process; leave --arms, --workers and --most out")
            found = reference.check(self.profile, self.records)
            print("\n".join(f"{verdict:9} {arm}" for arm, verdict in found.items()))
            return int("changed" in found.values())
        trained = reference.run_all(self.profile, self.most, self.workers, self.records, self.arms)
        print(f"{trained} runs trained by this process; records in {committed.records_folder(self.profile, self.records)}")
        return 0


@dataclass(frozen=True)
class Established:
    """Train an established detector, torchvision's FCOS, on a profile's scenes as the remedies are, and store its score."""

    profile: str = "pocket"
    seed: int = 97
    """One that no verdict is drawn from."""
    out: Path | None = None
    """Where the score goes; among the profile's reference records if not given."""

    def __call__(self) -> int:
        from groundwork.strict_json import write_json
        from trial.register import established

        keys = {"detector", "metrics", "train_split"}
        out = _a_file(self.out or established.place(self.profile), keys)
        record = established.train_fcos(self.profile, self.seed)
        try:  # kept before it is told, since who listens may have gone, and told though it cannot be kept
            _keep(out, keys, lambda place: write_json(place, record))
        finally:
            print(f"{out}: mAP@.5 {record['metrics']['map']:.4f}, on training scenes {record['train_split']['map']:.4f}")
        return 0


@dataclass(frozen=True)
class Bench:
    """Time this code against its peers, in one run, as ratios. On an idle machine."""

    out: Path | None = None
    """A file to keep the record in, every time of every repeat: the page on speed shows records/bench.json."""
    json: bool = False
    """Print the rows as a JSON list."""

    def __call__(self) -> int:
        keys = {"schema", "made", "rows"}
        if self.out is not None:
            _a_file(self.out, keys)
        from bench import bench, bench_record

        record = bench.run()
        try:
            if self.out is not None:
                _keep(self.out, keys, lambda place: bench_record.write(record, place))
        finally:
            print(dumps([row.to_dict() for row in record.rows]) if self.json else bench.table(record))
        return 0
