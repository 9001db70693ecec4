"""Runs: trained, scored, looked at, exported; and planned before.

Inside: a dataclass a command. Heavy imports (torch, sphinx) wait inside the commands, so that `--help` answers at once.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from groundwork.answer import spelled
from groundwork.errors import InputError
from groundwork.strict_json import dumps

if TYPE_CHECKING:
    from yolo_core.training.config import RunConfig
    from yolo_core.training.records import Run


SHARED = Path("/dev/shm")  # as Linux has it
DIGITS = 6  # of a number of pictures that anybody takes at once


def _whole(text: str) -> int:
    """The number of pictures a pass. InputError for what is none."""
    if not text.isdecimal() or len(text) > DIGITS or int(text) < 1:
        raise InputError(f'--micro-batch must be a whole number of at least 1, or "auto"; got {text[:40]!r}')
    return int(text)


@dataclass(frozen=True)
class Train:
    """Train one arm of an experiment."""

    experiment: tyro.conf.Positional[str]
    """An experiment by its name; or exp1, exp2, exp3 or exp4 of the write-up."""
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
    """Go on from the checkpoint that a killed training of the same command has left beside --out. (What --micro-batch auto chose belongs to
    the command: on another GPU, name that number.)"""
    checkpoint_seconds: float = 60.0
    """How much work a kill may cost; inf to write no checkpoints."""

    def __call__(self) -> int:
        from dataclasses import replace

        from groundwork.checkpoint import beside
        from groundwork.files import LONGEST, filling, in_utf8
        from trial.planner.memory import fitting
        from trial.watch import train
        from voc_tree.tree import Split
        from yolo_core import experiments

        config = experiments.resolve(*experiments.named(self.experiment, self.arm), self.profile, self.seed)
        if self.out.exists() and (not self.out.is_dir() or any(self.out.iterdir())):
            raise InputError(f"{self.out}: already there; give another --out, or remove it first")
        out = in_utf8(Path(os.path.realpath(self.out)))  # where a link leads
        if Path.cwd().is_relative_to(out) or os.path.ismount(out):  # a finished run is moved to its place, which is neither
            inside = f"name a folder inside it, --out {spelled(self.out / 'run')}"
            raise InputError(f"{self.out}: is the current folder, one around it, or a disk's own; {inside}")
        holder = next(folder for folder in out.parents if folder.exists())
        if not holder.is_dir() or not os.access(holder, os.W_OK):  # told now, and not after hours of training
            raise InputError(f"{self.out}: cannot be made, {holder} is no folder that can be written to; give another --out")
        if len(os.fsencode(beside(out).name)) > LONGEST:
            raise InputError(f"{self.out}: a name so long leaves no room for what lies beside it, its checkpoints; give a shorter --out")
        cache = self.cache or self.data / ".cache"
        if Path(os.path.realpath(cache)).is_relative_to(out):
            raise InputError(f"--cache: {cache} lies inside --out, which has to be empty until the run is done; name another folder")
        if self.max_steps is not None and self.max_steps < 1:
            raise InputError(f"--max-steps must be at least 1; got {self.max_steps}")
        if self.workers < 0 or not self.checkpoint_seconds >= 0:
            raise InputError(f"--workers and --checkpoint-seconds cannot be negative; got {self.workers} and {self.checkpoint_seconds:g}")
        self._shared(config)
        if self.weights is not None:
            named = str(self.weights)  # by the word alone a configuration means the weights that are packaged
            config = replace(config, weights=f"./{named}" if named == "imagenet" and self.weights.exists() else named)
        if self.checkpoint_activations and config.freeze_weights:
            does = "computes its backbone's features once, before it trains" if config.cache_features else "holds its backbone still"
            raise InputError(f"--checkpoint-activations: {config.experiment}/{config.arm} {does}; leave it out")
        asked = {"checkpoint_activations": self.checkpoint_activations, "compile": self.compile}
        config = replace(config, **{key: True for key, on in asked.items() if on})
        if self.micro_batch is not None:
            config = replace(config, micro_batch=fitting(config) if self.micro_batch == "auto" else _whole(self.micro_batch))
        self._enough(config, len(Split(self.data, "train").ids))
        start = self._start(config)
        options = {"max_steps": self.max_steps, "workers": self.workers, "checkpoint_seconds": self.checkpoint_seconds}
        with filling(out.parent):
            splits = experiments.load_data(self.data, config.image_size, self.cache)
            run = train(config, *splits, out, code=experiments.training_code(), start=start, resume=self.resume, **options)
        if os.environ.get("WORLD_SIZE", "1") == "1" or os.environ.get("RANK") == "0":  # of torchrun's processes the first speaks
            most = f"; ceiling {run.metrics['ceiling']:.3f}" if "ceiling" in run.metrics else ""
            where = self.out if run.folder == out else run.folder  # beside it, where something has come to lie there meanwhile
            print(f"{where}: mAP@.5 {run.metrics['map']:.4f} after {run.record['steps']} steps{most}")
        return 0

    def _shared(self, config: "RunConfig") -> None:
        """InputError where the workers' batches have no room in the memory that processes share: of one that is lost there torch prints a
        word, and waits for it for ever."""
        wanted = (2 * self.workers + 1) * config.effective_batch * 3 * config.image_size**2  # two under way a worker, one in use
        if self.workers and SHARED.is_dir() and (free := shutil.disk_usage(SHARED).free) < wanted:
            holds = f"{self.workers} take up to {wanted / 2**20:.0f} MiB of shared memory, and {SHARED} has {free / 2**20:.0f} free"
            raise InputError(f"--workers: {holds}; take fewer, or allow for more: docker run --shm-size={-(-wanted // 2**30) + 1}g")

    def _enough(self, config: "RunConfig", pictures: int) -> None:
        """InputError where the arm takes more pictures under its profile than there are."""
        from yolo_core import experiments
        from yolo_core.profiles import PROFILES

        if (wanted := config.train_images or 0) > pictures:
            counts = {name: experiments.resolve(config.experiment, config.arm, name).train_images for name in PROFILES}
            other = ", ".join(name for name, count in counts.items() if (count or 0) <= pictures)
            takes = f"{config.experiment}/{config.arm} takes {wanted} pictures under --profile {self.profile}"
            instead = "name a larger tree" + (f", or another --profile: {other}" if other else "")
            instead += f" (and a run of {config.start} under it)" if other and config.start else ""
            raise InputError(f"{self.data}: {takes}, and train.txt names {pictures}; {instead}")

    def _start(self, config: "RunConfig") -> "Run | None":
        """The run that the arm goes on from, if it does. InputError where none is named, or one of another arm, seed or profile."""
        from yolo_core import experiments
        from yolo_core.training.records import read_run

        if config.start is None:
            if self.start is not None:
                raise InputError(f"--start: {config.experiment}/{config.arm} goes on from no other run; leave it out")
            return None
        before, arm = config.start.split("/")
        if self.start is None:
            words = {"--arm": arm, "--profile": self.profile, "--data": self.data, "--cache": self.cache, "--weights": self.weights}
            words |= {"--seed": self.seed, "--out": "START"}
            given = [f"{option} {spelled(word)}" for option, word in words.items() if word is not None]
            first = " ".join(["python -m yolo_core train", before, *given])
            wanted = f"{config.experiment}/{config.arm} goes on from a run of {config.start}"
            raise InputError(f"{wanted}; train that first, {first}, and name it: --start START")
        if self.weights is not None:
            raise InputError(f"--weights: {config.experiment}/{config.arm} begins with the weights of --start alone; leave --weights out")
        found = read_run(self.start)
        got = found.config
        if (got.experiment, got.arm, got.seed) != (before, arm, config.seed):
            wanted = f"expected a run of {config.start} with seed {config.seed}, got {got.experiment}/{got.arm} with seed {got.seed}"
            raise InputError(f"{self.start}: {wanted}; name another --start")
        wanted, chosen = experiments.resolve(before, arm, self.profile, self.seed).to_dict(), got.to_dict()
        free = {"weights", "micro_batch", "checkpoint_activations", "compile"}  # what a reader may choose, and no arm depends on
        if other := [name for name, value in wanted.items() if name not in free and chosen[name] != value]:
            differs = f"--profile {self.profile} has {other[0]} {wanted[other[0]]}, and it was trained with {chosen[other[0]]}"
            raise InputError(f"{self.start}: a run of {config.start} under another profile: {differs}; name another --start or --profile")
        return found


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
        from trial.inference import detect
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
        from trial.inference import detect

        if not self.images:
            raise InputError("expected at least one picture; name JPEG or PNG files after the run's folder")
        if not 0 <= self.score_threshold <= 1:
            raise InputError(f"--score-threshold must be from 0 to 1, as scores are; got {self.score_threshold:g}")
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
        from trial.inference import detect, export

        found = export.export(*detect.load(self.run), self.out)
        differences = ", ".join(f"{name} {value:.1g}" for name, value in found.items())
        print(f"{self.out}: {self.out.stat().st_size / 2**20:.1f} MiB; greatest difference from PyTorch: {differences}")
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

        if not 0 < self.effective_batch < 10**DIGITS:
            raise InputError(f"--effective-batch must be at least 1 and at most {10**DIGITS - 1:,}; got {self.effective_batch}")
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
        if self.verify and found.micro_batch is None:
            why = f"nothing was verified: no micro-batch is predicted to fit {self.vram_gib:g} GiB"
            answer |= {"unverified": why}
            lines.append(why)
        elif self.verify:
            held, reserved = (size / memory.MIB for size in memory.verify(config, found.micro_batch, self.vram_gib))
            answer |= {"verified_mib": held, "reserved_mib": reserved}
            lines.append(f"verified on this GPU at micro-batch {found.micro_batch}: {held:.0f} MiB held, {reserved:.0f} MiB reserved")
        print(dumps(answer) if self.json else "\n".join(lines))
        return 0 if found.micro_batch is not None else 1
