"""What every page with runs needs: its own runs, and the committed runs of both data sets beside them.

Inside: `Page`, `READ`, `say`.

A page's own runs are trained here, or loaded. In a book that is read (`make read`: $YOLO_READ is 1) nothing is trained: the committed
reference runs of the page's seed stand in their place, and what needs a net's weights comes from the tables kept with them.
"""

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

import pandas as pd
import torch
from IPython.display import HTML, Markdown, display
from matplotlib.figure import Figure
from torch import Tensor

from groundwork.errors import InputError
from groundwork.paths import data_folder
from trial import numbers, watch
from trial.figures import conclusions, cuts, figures, remedy_figures
from trial.figures.live import Live
from trial.looks import LOOKS
from trial.register import committed, comparisons, replication, verdicts
from trial.register.comparisons import NOT_RUN, Arm
from trial.register.verdicts import Finding
from voc_tree.photographs import listed
from voc_tree.picture import read_image
from voc_tree.tree import BASE, Split, targets
from yolo_core import experiments
from yolo_core.data.voc import VocData
from yolo_core.training.records import Run

READ = "YOLO_READ"  # 1 for the kernels of a book that is read
NOT_KEPT = "(not kept)"
BOX = ["xmin", "ymin", "xmax", "ymax"]
DETECTION = ["image", *BOX, "score", "label"]  # the columns of `scored.shown`
SETS = {"EmojiVOC": "pocket", "photographs": "photographs"}  # what a figure calls a data set, and the profile of its runs


class Page:
    """A page of the book, the `profile` and `seed` of its own runs, and the committed runs: `sets` by data set, `stored` of the one that
    its own runs compare with. `reading`: whether nothing is trained."""

    def __init__(self, name: str, profile: str, seed: int = 0) -> None:
        self.name, self.profile, self.seed = name, profile, seed
        self.reading = os.environ.get(READ) == "1"
        self.sets = {name: committed.stored(of) for name, of in SETS.items()}
        drawn = experiments.profile_of(profile).train_images is not None
        self.own = "EmojiVOC" if drawn else "photographs"
        self.stored = self.sets[self.own]

    @cached_property
    def data(self) -> tuple[VocData, VocData]:
        """The profile's train and val splits."""
        return experiments.profile_data(self.profile)

    def rows(self, *arms: str) -> dict[str, Arm]:
        """Arms, each "experiment/arm", by their titles (`experiments.py`). InputError for one that is none."""
        return {experiments.the_arm(*arm).title: arm for arm in (_split(name) for name in arms)}

    def run(self, experiment: str, arm: str, live: watch.Live | Literal[True] | None = None) -> Run:
        """The page's own run of an arm: trained, or loaded if it has been; in a book that is read, the committed run of the page's seed.

        live: called with the probe's tables, as by `watch.run`; of a committed run once, if they are kept; True: drawn, under the arm's
        title. InputError where a book that is read has no record of the arm.
        """
        live = Live(experiments.the_arm(experiment, arm).title) if live is True else live
        if not self.reading:
            return watch.run(experiment, arm, self.profile, self.seed, live=live)
        found = next((run for run in self.by_arm(self.own).get((experiment, arm), ()) if run.config.seed == self.seed), None)
        if found is None:
            what = f"no committed run of {experiment}/{arm} with seed {self.seed}"
            raise InputError(f"records/{SETS[self.own]}: {what}; `make book` trains this page's own runs")
        if live is not None:
            tables = {name: self.table(found, name) for name in watch.looked_at(found.config)}
            if all(table is not None for table in tables.values()):
                live(tables)
        return found

    def runs(self, arms: Mapping[str, Arm], live: Literal[True] | None = None) -> dict[str, Run]:
        """`run` of each arm, by name; in a book that is read, without those that have no record yet, which it says."""
        found = {}
        for name, arm in arms.items():
            try:
                found[name] = self.run(*arm, live)
            except InputError as error:
                if not self.reading:
                    raise
                display(Markdown(f"*{error}*"))
        return found

    def table(self, run: Run, name: str) -> pd.DataFrame | None:
        """A table of a run; of a committed one without it None, and a sentence that says so."""
        if (run.folder / f"{name}.parquet").exists() or not self.reading:
            return run.table(name)
        arm = f"{run.config.experiment}/{run.config.arm}"
        display(Markdown(f"*Left out: the table {name!r} of {arm} is not kept with its record; `make book` trains the run, and shows it.*"))
        return None

    def look(self, run: Run, name: str) -> pd.DataFrame | None:
        """What `looks.py` sees in a trained detector: looked up now, or, in a book that is read, as kept with the record (`table`)."""
        return self.table(run, name) if self.reading else LOOKS[name](run, *self.data)

    def found(self, run: Run, pictures: Sequence[int], least: float) -> list[dict[str, Tensor]] | None:
        """A run's detections of a score of at least `least` in some of the first pictures of val, boxes xyxy in pixels; None where they are
        not kept (`table`)."""
        kept = (run.folder / "detections.parquet").exists()
        table = self.table(run, "detections") if kept or self.reading else pd.DataFrame(columns=DETECTION)  # of a run that detects nothing
        return None if table is None else figures.in_pixels(_detections(table, pictures, least), self.data[1].size)

    @staticmethod
    def show(figure: Figure, about: str) -> None:
        """Display a figure, with what it shows in words for who cannot see it."""
        figures.show(figure, about)

    def publish(self, **values: object) -> None:
        """`numbers.publish` the page's own group, `words` among it."""
        numbers.publish(self.name, **self.words, **values)

    def gallery(self, run: Run, about: str, count: int = 8, least: float = 0.1) -> dict[str, int | str]:
        """Show what a run detects in the first pictures of val, beside the annotation; how many boxes it has `reported` there, and how many
        objects are `annotated`."""
        pictures, val = range(count), self.data[1]
        found = self.found(run, pictures, least)
        figures.show(figures.gallery(list(val.images[:count]), figures.in_pixels(val.targets[:count], val.size), found), about)
        reported = NOT_KEPT if found is None else sum(len(some["scores"]) for some in found)
        return {"reported": reported, "annotated": sum(len(some["labels"]) for some in val.targets[:count])}

    def curves(self, runs: Mapping[str, Run], about: str) -> None:
        """Show mAP by epoch of the page's own runs over what their reference runs span."""
        same = {name: replication.band_of(run, self.stored, lambda m: m["map"], "mAP")[1] for name, run in runs.items()}
        figures.show(comparisons.band_curve(runs, same, own=f"seed {self.seed}" if self.reading else "this build"), about)

    def told(self, runs: Mapping[str, Run], names: Iterable[str] = ()) -> dict[str, str]:
        """What the text says of the page's own runs: `map_NAME` and `band_NAME` of each, and of those of `names` that have not run."""
        found = {name: runs.get(name) for name in (*runs, *names)}
        maps = {f"map_{name}": f"{run.metrics['map']:.3f}" if run else NOT_RUN for name, run in found.items()}
        return maps | {f"band_{name}": self.band(run) if run else f"{NOT_RUN.capitalize()}." for name, run in found.items()}

    def by_arm(self, data: str = "EmojiVOC") -> dict[Arm, list[Run]]:
        """The committed runs of a data set by (experiment, arm), in order of seed."""
        return comparisons.by_arm(self.sets[data])

    def dots(
        self, rows: Mapping[str, Arm], values: Mapping[str, Callable[[dict[str, Any]], float]], about: str, fresh: Iterable[Run] = ()
    ) -> None:
        """Show `comparisons.arm_dots` of both data sets, and below it what it says; `about` says in words what it shows."""
        figures.show(comparisons.arm_dots(rows, self.sets, values, fresh, self.own), about)
        display(Markdown(conclusions.extremes(rows, self.sets, values)))

    def steps(self, rows: Mapping[str, Arm], about: str) -> str:
        """Show the mean mAP of the arms of EmojiVOC as a road, each bar from the one before it; the largest step, in words."""
        seeds = {name: [run.metrics["map"] for run in self.by_arm().get(arm, ())] for name, arm in rows.items()}
        figures.show(remedy_figures.steps(seeds), about)
        return conclusions.largest_step(seeds)

    def replay(self, cells: Mapping[str, pd.DataFrame]) -> HTML:
        """The background gradients of several runs (tables of `GradientProbe`), the step on a slider."""
        from trial.figures import interactive  # Plotly, which only this asks for

        return interactive.replay(cells, f"{self.name}-replay")

    def cuts(self, rows: Mapping[str, Arm]) -> HTML:
        """What a score cut keeps of the reference runs of some arms, the cut on a slider; a row an arm and data set that has run."""
        return HTML(cuts.html({f"{title}, {name}": self.by_arm(name).get(arm, ()) for title, arm in rows.items() for name in SETS}))

    def reliability(self, runs: Mapping[str, Sequence[Run]], about: str) -> dict[str, str]:
        """Show what the scores of some runs are worth, pooled by name; by how much each exceeds what is true, as `over_NAME`."""
        figures.show(comparisons.reliability_curves(runs), about)
        return {f"over_{name}": conclusions.overconfidence(some) for name, some in runs.items()}

    def side_by_side(self, runs: Mapping[str, Run], pictures: Sequence[int], about: str, least: float = 0.2) -> dict[str, list]:
        """Show some of the first pictures of val under several detectors, annotation first; the detections of each that has any kept."""
        found = {name: self.found(run, pictures, least) for name, run in runs.items()}
        found, val = {name: boxes for name, boxes in found.items() if boxes is not None}, self.data[1]
        truth = figures.in_pixels([val.targets[i] for i in pictures], val.size)
        figures.show(remedy_figures.side_by_side([val.images[i] for i in pictures], truth, found), about)
        return found

    def band(self, run: Run, value: Callable[[dict[str, Any]], float] = lambda m: m["map"], what: str = "mAP") -> str:
        """Whether the page's own run repeats its reference runs, in a sentence; in a book that is read, where the next would lie."""
        band = replication.band_of(run, self.stored, value, what)[0]
        if not self.reading:
            return band.sentence
        said = f"The committed reference run of seed {self.seed} has a {what} of {band.fresh:.3f}."
        if band.low is not None:
            said += f" {len(band.values)} reference runs let one expect the next between {band.low:.3f} and {band.high:.3f}"
            said += " (95 % prediction interval)."
        return said + " Nothing was trained here: `make book` trains your own and says whether it repeats them."

    def verdicts(self, ids: Collection[str] = ()) -> HTML:
        """The verdicts of the sentences argued on this page, or of those named, on both data sets."""
        both = [finding for name in SETS for finding in self.findings(name)]
        return figures.claims_table(f for f in both if f.claim.id in ids or f.claim.page == f"notebooks/{self.name}")

    def findings(self, data: str = "EmojiVOC") -> list[Finding]:
        """Every sentence as the runs on a data set judge it."""
        return verdicts.register((run.record for run in self.sets[data]), _data(SETS[data]))

    def ratio(self, arm: Arm, to: Arm, digits: int = 2) -> dict[str, str]:
        """The mAP of one arm over that of another, seed by seed, averaged, ready to print as in `mean`."""
        found = {}
        for name, data in WORDS.items():
            one, other = ({run.config.seed: run.metrics["map"] for run in self.by_arm(data).get(a, ())} for a in (arm, to))
            ratios = [one[seed] / other[seed] for seed in one.keys() & other.keys()]
            found[name] = comparisons.averaged(ratios, digits)
        return found

    def mean(self, arm: Arm, value: Callable[[dict[str, Any]], float] = lambda m: m["map"], digits: int = 3) -> dict[str, str]:
        """A figure of an arm, averaged over its seeds, with how many they are, ready to print: {"emoji": ..., "photographs": ...}."""
        return {
            name: comparisons.averaged([value(run.metrics) for run in self.by_arm(data).get(arm, ())], digits)
            for name, data in WORDS.items()
        }

    def photographs(self, detectors: Mapping[str, Arm], about: str, count: int = 6) -> None:
        """Show val photographs with what the reference runs of some arms detect in them (seed 0, score 0.2 or more), where photographs lie
        on this disk, those that the runs saw, and $YOLO_SHOW_PHOTOGRAPHS is not 0. A published page holds none: photographs are their
        makers'."""
        stored = {name: run for name, arm in detectors.items() for run in self.by_arm("photographs").get(arm, ()) if run.config.seed == 0}
        root = data_folder("photographs")
        if os.environ.get("YOLO_SHOW_PHOTOGRAPHS") == "0" or not stored or not (root / BASE).exists():
            print("no photographs here: they lie on the disk of whoever has made them (python -m yolo_core data photographs)")
            return
        size = next(iter(stored.values())).config.image_size
        try:
            split = Split(root, "val")
            if split.ids[:count] != [photo.name for photo in listed() if photo.split == "val"][:count]:
                raise InputError(f"{split.file}: its first pictures are not those that the runs were scored on")
            pictures = [read_image(file, size)[0] for file in split.images[:count]]  # these alone, and not 7,591 for a cache
        except InputError as error:  # a page says all it has to say without them
            print(f"no photographs here: {error}")
            return
        truth = figures.in_pixels(targets(root, "val")[:count], size)
        tables = {name: run.table("detections") for name, run in stored.items() if (run.folder / "detections.parquet").exists()}
        found = {name: figures.in_pixels(_detections(table, range(count), 0.2), size) for name, table in tables.items()}
        figures.show(remedy_figures.side_by_side(pictures, truth, found), about)

    @property
    def words(self) -> dict[str, str]:
        """What the prose of every page names: the profile, the seed, the page's own run or runs (within a sentence, and at its beginning),
        and what the dots are."""
        own, runs = f"this build's own run (profile {self.profile}, seed {self.seed})", "This build's own runs"
        runs = f"{runs} (profile {self.profile}, seed {self.seed}, n = 1 per arm)"
        if self.reading:
            own, trains = f"the committed reference run of seed {self.seed}", "`make book` trains your own"
            runs = f"The committed reference runs of seed {self.seed} (profile {self.profile}, n = 1 per arm; {trains})"
        marks = "circles: EmojiVOC; squares: photographs"
        if not self.sets["photographs"]:
            marks = "EmojiVOC; photographs are not run yet"
        dots = f"A mark: a reference run, a seed each ({marks}); bar: their mean; diamond: {own}."
        alike = {"profile": self.profile, "seed": str(self.seed), "dots": dots}
        return alike | {"own": own, "own_run": own[0].upper() + own[1:], "own_runs": runs}


WORDS = {"emoji": "EmojiVOC", "photographs": "photographs"}


def say(table: pd.DataFrame | None, column: str, digits: int = 2, row: Any = 0) -> str:
    """A number of a table as the text prints it; where there is none, that it is not kept."""
    return NOT_KEPT if table is None else f"{table.loc[row, column]:,.{digits}f}"


def _split(name: str) -> Arm:
    experiment, _, arm = name.partition("/")
    return experiment, arm


def _detections(table: pd.DataFrame, pictures: Iterable[int], least: float) -> list[dict[str, Tensor]]:
    """The rows of a table of detections (`scored.shown`) by picture, boxes xyxy in [0, 1]."""
    rows = [table[(table["image"] == image) & (table["score"] >= least)] for image in pictures]
    return [
        {
            "boxes": torch.tensor(some[BOX].to_numpy(dtype="float32")),
            "scores": torch.tensor(some["score"].to_numpy(dtype="float32")),
            "labels": torch.tensor(some["label"].to_numpy(dtype="int64")),
        }
        for some in rows
    ]


def _data(profile: str) -> str:
    return experiments.profile_of(profile).data[0]
