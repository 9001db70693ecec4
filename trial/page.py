"""What every page with runs needs: the committed runs of both data sets beside the fresh ones of this build.

Inside: `Page`.
"""

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import pandas as pd
import torch
from IPython.display import HTML, Markdown, display
from torch import Tensor

from groundwork.paths import data_folder
from trial.figures import conclusions, figures, remedy_figures
from trial.register import comparisons, reference, replication, verdicts
from trial.register.comparisons import Arm
from trial.register.verdicts import Finding
from voc_tree.tree import BASE
from yolo_core import experiments
from yolo_core.training.records import Run

SETS = {"EmojiVOC": "pocket", "photographs": "photographs"}  # what a figure calls a data set, and the profile of its runs


class Page:
    """A page of the book, the `profile` and `seed` of its fresh runs, and the committed runs: `sets` by data set, `stored` of the one that
    the fresh runs compare with."""

    def __init__(self, name: str, profile: str, seed: int = 0) -> None:
        self.name, self.profile, self.seed = name, profile, seed
        self.sets = {name: reference.stored(of) for name, of in SETS.items()}
        self.stored = self.sets["photographs" if profile == "photographs" else "EmojiVOC"]

    def by_arm(self, data: str = "EmojiVOC") -> dict[Arm, list[Run]]:
        """The committed runs of a data set by (experiment, arm), in order of seed."""
        return comparisons.by_arm(self.sets[data])

    def dots(
        self, rows: Mapping[str, Arm], values: Mapping[str, Callable[[dict[str, Any]], float]], about: str, fresh: Iterable[Run] = ()
    ) -> None:
        """Show `comparisons.arm_dots` of both data sets, and below it what it says; `about` says in words what it shows."""
        own = "photographs" if self.profile == "photographs" else "EmojiVOC"
        figures.show(comparisons.arm_dots(rows, self.sets, values, fresh, own), about)
        display(Markdown(conclusions.extremes(rows, self.sets, values)))

    def band(self, run: Run, value: Callable[[dict[str, Any]], float] = lambda m: m["map"], what: str = "mAP") -> str:
        """Whether a fresh run repeats its reference runs, in a sentence."""
        return replication.band_of(run, self.stored, value, what)[0].sentence

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
            found[name] = f"{pd.Series(ratios).mean():.{digits}f} (n = {len(ratios)})" if ratios else "not run yet"
        return found

    def mean(self, arm: Arm, value: Callable[[dict[str, Any]], float] = lambda m: m["map"], digits: int = 3) -> dict[str, str]:
        """A figure of an arm, averaged over its seeds, with how many they are, ready to print: {"emoji": ..., "photographs": ...}."""
        found = {name: [value(run.metrics) for run in self.by_arm(data).get(arm, ())] for name, data in WORDS.items()}
        return {name: f"{pd.Series(v).mean():.{digits}f} (n = {len(v)})" if v else "not run yet" for name, v in found.items()}

    def photographs(self, detectors: Mapping[str, Arm], about: str, count: int = 6) -> None:
        """Show val photographs with what the reference runs of some arms detect in them (seed 0, score 0.2 or more), where photographs lie
        on this disk and $YOLO_SHOW_PHOTOGRAPHS is not 0. A published page holds none: photographs are their makers'."""
        stored = {name: run for name, arm in detectors.items() for run in self.by_arm("photographs").get(arm, ()) if run.config.seed == 0}
        if os.environ.get("YOLO_SHOW_PHOTOGRAPHS") == "0" or not stored or not (data_folder("photographs") / BASE).exists():
            print("no photographs here: they lie on the disk of whoever has made them (python -m yolo_core data photographs)")
            return
        val = experiments.profile_data("photographs", progress=False)[1]
        truth = figures.in_pixels(val.targets[:count], val.size)
        found = {name: figures.in_pixels(_detections(run, count), val.size) for name, run in stored.items()}
        figures.show(remedy_figures.side_by_side(list(val.images[:count]), truth, found), about)

    @property
    def words(self) -> dict[str, str]:
        """What the prose of every page names: the profile, the seed, this build's own run, and what the dots are."""
        own = f"this build's own run (profile {self.profile}, seed {self.seed})"
        marks = "circles: EmojiVOC; squares: photographs"
        if not self.sets["photographs"]:
            marks = "EmojiVOC; photographs are not run yet"
        dots = f"A mark: a reference run, a seed each ({marks}); bar: their mean; diamond: {own}."
        return {"profile": self.profile, "seed": str(self.seed), "own": own, "dots": dots}


WORDS = {"emoji": "EmojiVOC", "photographs": "photographs"}


def _detections(run: Run, count: int, least: float = 0.2) -> list[dict[str, Tensor]]:
    """The stored detections of a run on the first pictures, boxes xyxy in [0, 1]."""
    table = run.table("detections") if (run.folder / "detections.parquet").exists() else pd.DataFrame({"image": [], "score": []})
    rows = [table[(table["image"] == image) & (table["score"] >= least)] for image in range(count)]
    return [
        {
            "boxes": torch.tensor(some.reindex(columns=["xmin", "ymin", "xmax", "ymax"]).to_numpy(dtype="float32")),
            "scores": torch.tensor(some["score"].to_numpy(dtype="float32")),
            "labels": torch.tensor(some.reindex(columns=["label"])["label"].to_numpy(dtype="int64")),
        }
        for some in rows
    ]


def _data(profile: str) -> str:
    return experiments.profile_of(profile).data[0]
