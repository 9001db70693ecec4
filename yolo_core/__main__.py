"""The command line: `python -m yolo_core COMMAND ...` (also installed as `yolo-core`).

Inside: a dataclass a command, `main`. Errors that the reader can mend are one sentence and exit status 2.
"""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from groundwork.errors import REFUSALS, InputError, writing
from groundwork.paths import checkout
from groundwork.strict_json import dumps

if TYPE_CHECKING:
    from yolo_core.training.config import RunConfig
    from yolo_core.training.records import Run

# Heavy imports (torch, sphinx) wait inside the commands, so that `--help` answers at once.


@dataclass(frozen=True)
class DataEmoji:
    """Make EmojiVOC: VOC's twenty classes drawn with emoji, as a VOCdevkit tree."""

    out: Path
    """Folder to make."""
    train: int = 2400
    """Scenes to train on."""
    val: int = 600
    """Scenes to score on."""
    size: int = 224
    """Side of a scene, px."""
    seed: int = 0

    def __call__(self) -> int:
        from emojivoc import emoji

        emoji.generate(self.out, self.train, self.val, size=self.size, seed=self.seed)
        print(f"{self.out}: {self.train} + {self.val} scenes")
        return 0


@dataclass(frozen=True)
class DataVoc:
    """Download Pascal VOC 2012 (2 GB)."""

    out: Path
    """Folder to put VOCdevkit into."""

    def __call__(self) -> int:
        from yolo_core.data import voc

        print(voc.download(self.out))
        return 0


@dataclass(frozen=True)
class DataPhotographs:
    """Make the photographs, 240 px, from the archives of VOC 2007, VOC 2012 and COCO 2017 val, downloading those that lack (4 GB)."""

    out: Path
    """Folder to put VOCdevkit into."""
    archives: Path | None = None
    """Folder where archives lie and downloads go; archives in the --out folder if not given."""

    def __call__(self) -> int:
        from voc_tree import photographs

        print(photographs.make(self.out, self.archives))
        return 0


@dataclass(frozen=True)
class DataCheck:
    """Check a VOC tree: one line a fault, exit status 1 if there is any."""

    dir: tyro.conf.Positional[Path]

    def __call__(self) -> int:
        from yolo_core.data import voc

        faults = voc.check(self.dir)
        print("\n".join(faults) if faults else f"{self.dir}: no fault found")
        return 1 if faults else 0


@dataclass(frozen=True)
class Train:
    """Train one arm of an experiment."""

    experiment: tyro.conf.Positional[str]
    data: Path
    """A folder that holds VOCdevkit/VOC2012."""
    out: Path
    """Folder of the run, written when it is done."""
    arm: str | None = None
    """An arm of the experiment; the write-up's own if not given."""
    profile: str = "pocket"
    seed: int = 0
    max_steps: int | None = None
    """Stop after so many effective batches."""
    cache: Path | None = None
    """Folder for decoded pictures; .cache in the data folder if not given."""
    workers: int = 0
    """Processes that load batches."""
    weights: Path | None = None
    """The backbone's weights, a file saved from a state_dict: in the place of a download."""
    start: Path | None = None
    """The run whose weights an arm goes on from, for one that does: "finetune --arm continued" from a run of "focal --arm mse"."""
    micro_batch: str | None = None
    """Pictures a pass: a number, or "auto" for what the planner says fits the GPU; the profile's if not given."""
    checkpoint_activations: bool = False
    """Run the backbone's blocks again in the backward pass instead of keeping what they held: less memory, more time, the same weights."""
    compile: bool = False
    """Compile the net by torch.compile: minutes before the first step, faster ones from then on. Needs a C++ compiler."""
    resume: bool = True
    """Go on from the checkpoint that a killed training of the same command has left beside --out."""
    checkpoint_seconds: float = 60.0
    """How much work a kill may cost."""

    def __call__(self) -> int:
        from dataclasses import replace

        from trial.planner.memory import fitting
        from yolo_core import experiments
        from yolo_core.training.train import train

        arm = self.arm or next(iter(experiments.experiment(self.experiment).arms))
        config = experiments.resolve(self.experiment, arm, self.profile, self.seed)
        if self.out.exists() and (not self.out.is_dir() or any(self.out.iterdir())):
            raise InputError(f"{self.out}: already there; give another --out, or remove it first")
        holder = next(folder for folder in self.out.absolute().parents if folder.exists())
        if not holder.is_dir() or not os.access(holder, os.W_OK):  # told now, and not after hours of training
            raise InputError(f"{self.out}: cannot be made, {holder} is no folder that can be written to; give another --out")
        if self.max_steps is not None and self.max_steps < 1:
            raise InputError(f"--max-steps must be at least 1; got {self.max_steps}")
        if self.workers < 0 or not self.checkpoint_seconds >= 0:
            raise InputError(f"--workers and --checkpoint-seconds cannot be negative; got {self.workers} and {self.checkpoint_seconds:g}")
        if self.weights is not None:
            config = replace(config, weights=str(self.weights))
        asked = {"checkpoint_activations": self.checkpoint_activations, "compile": self.compile}
        config = replace(config, **{key: True for key, on in asked.items() if on})
        if self.micro_batch is not None:
            config = replace(config, micro_batch=fitting(config) if self.micro_batch == "auto" else _whole(self.micro_batch))
        start = self._start(config)
        splits = experiments.load_data(self.data, config.image_size, self.cache)
        options = {"max_steps": self.max_steps, "workers": self.workers, "checkpoint_seconds": self.checkpoint_seconds}
        run = train(config, *splits, self.out, code=experiments.training_code(), start=start, resume=self.resume, **options)
        if os.environ.get("RANK", "0") == "0":  # of torchrun's processes the first speaks
            most = f"; ceiling {run.metrics['ceiling']:.3f}" if "ceiling" in run.metrics else ""
            print(f"{self.out}: mAP@.5 {run.metrics['map']:.4f} after {run.record['steps']} steps{most}")
        return 0

    def _start(self, config: "RunConfig") -> "Run | None":
        """The run that the arm goes on from, if it does. InputError where none is named, or one of another arm or seed."""
        from yolo_core.training.records import read_run

        if config.start is None:
            if self.start is not None:
                raise InputError(f"--start: {config.experiment}/{config.arm} goes on from no other run; leave it out")
            return None
        before, arm = config.start.split("/")
        if self.start is None:
            first = (
                f"python -m yolo_core train {before} --arm {arm} --profile {self.profile} --data {self.data} --seed {self.seed} --out START"
            )
            wanted = f"{config.experiment}/{config.arm} goes on from a run of {config.start}"
            raise InputError(f"{wanted}; train that first, {first}, and name it: --start START")
        found = read_run(self.start)
        got = found.config
        if (got.experiment, got.arm, got.seed) != (before, arm, config.seed):
            wanted = f"expected a run of {config.start} with seed {config.seed}, got {got.experiment}/{got.arm} with seed {got.seed}"
            raise InputError(f"{self.start}: {wanted}; name another --start")
        return found


def _whole(text: str) -> int:
    """The number of pictures a pass. InputError for what is none."""
    if not text.isdecimal() or int(text) < 1:
        raise InputError(f'--micro-batch must be a whole number of at least 1, or "auto"; got {text!r}')
    return int(text)


def _a_file(out: Path, keys: set[str]) -> Path:
    """Where a record can be written, known before minutes are spent. InputError for a folder, a place in none, and a file other than an
    earlier record: JSON with these `keys`."""
    if out.is_dir() or not out.parent.is_dir():
        raise InputError(f"{out}: expected a file in a folder that is there; name another --out")
    try:
        renewed = not out.exists() or keys <= set(json.loads(out.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        renewed = False
    if not renewed:
        raise InputError(f"{out}: already there, and no earlier record that this one renews; name another --out")
    return out


@dataclass(frozen=True)
class Eval:
    """Score a run on a split: mAP@.5 at score 0.001 and 0.4, per class, counts."""

    run: tyro.conf.Positional[Path]
    data: Path
    split: str = "val"
    cache: Path | None = None
    """Folder for decoded pictures; .cache in the data folder if not given."""
    json: bool = False
    """Print one JSON object."""

    def __call__(self) -> int:
        from inference import detect
        from yolo_core.data.voc import VocData

        detector, config = detect.load(self.run)
        metrics = detect.evaluate(detector, config, VocData(self.data, self.split, config.image_size, self.cache))
        print(dumps(metrics) if self.json else detect.table(metrics))
        return 0


@dataclass(frozen=True)
class Predict:
    """Draw what a run sees in pictures, and write the boxes as JSON."""

    run: tyro.conf.Positional[Path]
    images: tyro.conf.Positional[tuple[Path, ...]]
    out: Path
    score_threshold: float = 0.1
    """Show boxes of at least this score."""
    force: bool = False
    """Write over earlier drawings in --out."""

    def __call__(self) -> int:
        from inference import detect

        if not self.images:
            raise InputError("expected at least one picture; name JPEG or PNG files after the run's folder")
        detector, config = detect.load(self.run)
        found = detect.predict_files(detector, config, self.images, self.out, self.score_threshold, self.force)
        print(f"{self.out}: {len(self.images)} pictures, {sum(len(f['boxes']) for f in found)} boxes at score >= {self.score_threshold}")
        return 0


@dataclass(frozen=True)
class Export:
    """Write a run's detector as ONNX: pictures in, boxes and scores out, checked against PyTorch."""

    run: tyro.conf.Positional[Path]
    out: Path
    """The file to write, model.onnx for instance."""

    def __call__(self) -> int:
        from inference import detect, export

        found = export.export(*detect.load(self.run), self.out)
        differences = ", ".join(f"{name} {value:.1g}" for name, value in found.items())
        print(f"{self.out}: {self.out.stat().st_size / 2**20:.1f} MiB; greatest difference from PyTorch: {differences}")
        return 0


@dataclass(frozen=True)
class Claims:
    """The register of claims with the verdicts of the committed reference runs, or of the runs made here."""

    profile: str = "pocket"
    own: bool = False
    """Judge by the runs made on this machine instead."""
    json: bool = False

    def __call__(self) -> int:
        from trial.register import reference, register_page, verdicts
        from yolo_core import experiments

        data = experiments.profile_of(self.profile).data[0]
        if self.own:
            findings = verdicts.register((run.record for run in experiments.finished(self.profile)), data)
        else:
            findings = reference.findings(self.profile)
            for name, why in reference.foreign(self.profile).items():
                print(f"{reference.records_folder(self.profile) / name}: passed over, {why}", file=sys.stderr)
        print(dumps([f.to_dict() for f in findings]) if self.json else register_page.markdown(findings))
        return 0


@dataclass(frozen=True)
class Forest:
    """Draw the register as one picture, wide and narrow, from the committed records: what the README shows."""

    out: Path | None = None
    """Folder of forest.svg and forest-narrow.svg; that of the book's pictures if not given."""

    def __call__(self) -> int:
        from trial.figures import forest
        from trial.register import reference

        out = self.out or forest.FOLDER
        if not out.is_dir():
            raise InputError(f"{out}: expected a folder to draw into, and there is none; name another --out")
        findings = [finding for profile in reference.JUDGED for finding in reference.findings(profile)]
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
    arms: tuple[str, ...] = ()
    """Train these alone and in this order, each as EXPERIMENT/ARM."""
    check: bool = False
    """Train nothing: does today's code still repeat the first steps of every stored arm? Exit status 1 if one has changed."""

    def __call__(self) -> int:
        from trial.register import reference

        if self.check:
            found = reference.check(self.profile, self.records)
            print("\n".join(f"{verdict:9} {arm}" for arm, verdict in found.items()) or "no canary is stored")
            return int("changed" in found.values())
        if self.workers < 1:
            raise InputError(f"--workers must be at least 1; got {self.workers}")
        known = {f"{name}/{arm}" for name, arm, _ in reference.jobs()}
        if unknown := [arm for arm in self.arms if arm not in known]:
            raise InputError(f"--arms: there is no arm {unknown[0]!r}; name some of {', '.join(sorted(known))}")
        trained = reference.run_all(self.profile, self.most, self.workers, self.records, self.arms)
        print(f"{trained} runs trained by this process; records in {reference.records_folder(self.profile, self.records)}")
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
        from book.press.numbers import write_json
        from trial.register import established

        out = _a_file(self.out or established.place(self.profile), {"detector", "metrics"})
        record = established.train_fcos(self.profile, self.seed)
        print(f"{out}: mAP@.5 {record['metrics']['map']:.4f}, on training scenes {record['train_split']['map']:.4f}")
        with writing(out):
            write_json(out, record)
        return 0


@dataclass(frozen=True)
class Plan:
    """Predict the peak memory of a training step, by part, for every micro-batch: what fits, and what would make room."""

    vram_gib: float = 6.0
    """Memory of the card."""
    image_size: int = 448
    backbone: str = "resnet18"
    head: Literal["full", "compressed", "conv"] = "compressed"
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] = "32-true"
    optimiser: Literal["adam", "adamw", "sgd"] = "adam"
    effective_batch: int = 16
    freeze: bool = False
    """Hold the backbone still."""
    checkpoint_activations: bool = False
    """Run the backbone's blocks again in the backward pass instead of keeping what they held."""
    levers: bool = False
    """Say as well how much each change would free."""
    verify: bool = False
    """Take the chosen step on this machine's GPU, capped at --vram-gib, and compare."""
    json: bool = False
    """Print one JSON object."""

    def __call__(self) -> int:
        from trial.planner import memory
        from yolo_core.training.config import RunConfig

        if self.effective_batch < 1:
            raise InputError(f"--effective-batch must be at least 1; got {self.effective_batch}")
        config = RunConfig(
            backbone=self.backbone,
            head=self.head,
            image_size=self.image_size,
            precision=self.precision,
            optimiser=self.optimiser,
            effective_batch=self.effective_batch,
            micro_batch=self.effective_batch,
            freeze_weights=self.freeze,
            batchnorm="frozen" if self.freeze else "train",
            checkpoint_activations=self.checkpoint_activations,
        )
        found = memory.plan(config, self.vram_gib, self.levers)
        answer, lines = found.to_dict(), [found.table()]
        if self.verify and found.micro_batch is not None:
            held, reserved = (size / memory.MIB for size in memory.verify(config, found.micro_batch, self.vram_gib))
            answer |= {"verified_mib": held, "reserved_mib": reserved}
            lines.append(f"verified on this GPU at micro-batch {found.micro_batch}: {held:.0f} MiB held, {reserved:.0f} MiB reserved")
        print(dumps(answer) if self.json else "\n".join(lines))
        return 0 if found.micro_batch is not None else 1


@dataclass(frozen=True)
class Bench:
    """Time this code against its peers, in one run, as ratios. On an idle machine."""

    out: Path | None = None
    """A file to keep the record in, every time of every repeat: the page on speed shows records/bench.json."""
    json: bool = False
    """Print the rows as a JSON list."""

    def __call__(self) -> int:
        if self.out is not None:
            _a_file(self.out, {"schema", "made", "rows"})
        from bench import bench, bench_record

        record = bench.run()
        print(dumps([row.to_dict() for row in record.rows]) if self.json else bench.table(record))
        if self.out is not None:
            bench_record.write(record, self.out)
        return 0


@dataclass(frozen=True)
class Book:
    """Run the notebooks of a profile and render the book."""

    profile: str = "pocket"

    def __call__(self) -> int:
        from book.press import publish

        return publish.main(self.profile)


@dataclass(frozen=True)
class Read:
    """Render the pocket book from the committed records, without training."""

    def __call__(self) -> int:
        from book.press import publish

        return publish.main("pocket", reading=True)


@dataclass(frozen=True)
class Exercises:
    """Write the exercises as notebooks without their solutions, or grade those of a folder."""

    out: Path = Path("my-exercises")
    """Folder of the notebooks; those that are there are kept."""
    check: bool = False
    """Write nothing: grade the notebooks. Exit status 1 if one that is filled in is wrong; those not yet done do not count against."""

    def __call__(self) -> int:
        from book.press import exercises

        if not self.check:
            written = exercises.write(self.out)
            print(f"{self.out}: {sum(written.values())} notebooks written, {len(written) - sum(written.values())} kept as they were")
            return 0
        grades = exercises.grade_all(self.out)
        width = max(len(grade.name) for grade in grades)
        print("\n".join(f"{g.name:{width}}  {g.verdict}{': ' if g.said else ''}{g.said}" for g in grades))
        count = {verdict: sum(g.verdict == verdict for g in grades) for verdict in ("right", "wrong", "not yet done")}
        print(", ".join(f"{n} {verdict}" for verdict, n in count.items()))
        return int(count["wrong"] > 0)


@dataclass(frozen=True)
class Pdf:
    """Print the built book of a profile as one PDF, by Chromium."""

    profile: str = "pocket"

    def __call__(self) -> int:
        from book.press import pdf

        print(pdf.write_pdf(self.profile))
        return 0


@dataclass(frozen=True)
class Links:
    """Ask every address that the book cites whether it still answers; exit status 1 if one does not."""

    def __call__(self) -> int:
        from book.press import links

        cited = links.addresses()
        faults = list(links.check(cited))
        print(
            "\n".join(f"{address}: {fault} ({', '.join(cited[address])})" for address, fault in faults) or f"{len(cited)} addresses answer"
        )
        return 1 if faults else 0


Data = (
    Annotated[DataEmoji, tyro.conf.subcommand("emoji")]
    | Annotated[DataVoc, tyro.conf.subcommand("voc")]
    | Annotated[DataPhotographs, tyro.conf.subcommand("photographs")]
    | Annotated[DataCheck, tyro.conf.subcommand("check")]
)


@dataclass(frozen=True)
class DataCommand:
    """Make, fetch or check data."""

    action: tyro.conf.OmitSubcommandPrefixes[Data]

    def __call__(self) -> int:
        return self.action()


Command = (
    Annotated[DataCommand, tyro.conf.subcommand("data")]
    | Annotated[Train, tyro.conf.subcommand("train")]
    | Annotated[Eval, tyro.conf.subcommand("eval")]
    | Annotated[Predict, tyro.conf.subcommand("predict")]
    | Annotated[Export, tyro.conf.subcommand("export")]
    | Annotated[Claims, tyro.conf.subcommand("claims")]
    | Annotated[Forest, tyro.conf.subcommand("forest")]
    | Annotated[Reference, tyro.conf.subcommand("reference")]
    | Annotated[Established, tyro.conf.subcommand("established")]
    | Annotated[Plan, tyro.conf.subcommand("plan")]
    | Annotated[Bench, tyro.conf.subcommand("bench")]
    | Annotated[Book, tyro.conf.subcommand("book")]
    | Annotated[Read, tyro.conf.subcommand("read")]
    | Annotated[Pdf, tyro.conf.subcommand("pdf")]
    | Annotated[Links, tyro.conf.subcommand("links")]
    | Annotated[Exercises, tyro.conf.subcommand("exercises")]
)

IN_A_CHECKOUT = (Claims, Forest, Reference, Established, Book, Read, Pdf, Links, Exercises)  # they work on the project's files


def main(args: list[str] | None = None) -> int:
    """Run a command; the exit status."""
    command = tyro.cli(Command, prog="yolo-core", args=args, description="YOLOv1 on trial.")
    try:
        if isinstance(command, IN_A_CHECKOUT):
            checkout()
        return command()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:  # where a command had nothing better to say of it
        if error.errno not in REFUSALS:
            raise
        print(
            f"error: {error.filename or 'the disk'}: cannot be read or written ({error.strerror}); free some space or ask for the right",
            file=sys.stderr,
        )
        return 2
    except ArithmeticError as error:  # a loss that is no number: train.NonFiniteLoss
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
