"""The study on one card: how many trainings side by side pay, and the reference runs.

Inside: `processes_part`, `records_part`, `longest_first`.
"""

import json
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pack_for_a_card
import torch
from card.report import DEVICE, Report
from card.steps import epoch_of, scenes, training

from book.press.side_by_side import side_by_side
from groundwork.paths import BUILD, data_folder
from trial.register import claims, committed, reference
from yolo_core import experiments
from yolo_core.data.voc import VocData
from yolo_core.training.config import RunConfig


def _steps(config: RunConfig, data: VocData, seconds: float, name: str, together: int, folder: Path) -> int:
    """In a process of its own: steps taken in so many seconds, from when as many processes are warm."""
    torch.set_num_threads(1)
    run, data = training(config, steps=10**6), data.held_on(DEVICE)
    epoch_of(run, data, 0)
    (folder / name).touch()
    while len(list(folder.iterdir())) < together:
        time.sleep(0.01)
    ends, epochs = time.monotonic() + seconds, 0
    while time.monotonic() < ends:
        epochs += 1
        epoch_of(run, data, epochs)
    return epochs * -(-len(data) // config.effective_batch)


def processes_part(report: Report) -> None:
    """Steps a second of several trainings side by side on one card, and how many of them pay."""
    config = replace(experiments.resolve("baseline", "compressed", "smoke" if report.rehearse else "pocket"), probe_steps=0)
    (data, _), found = scenes(report.rehearse), {}
    seconds = 0.5 if report.rehearse else 5.0
    for together in (2,) if report.rehearse else (1, 4, 8, 12):
        with tempfile.TemporaryDirectory() as folder:
            calls = [(str(i), partial(_steps, config, data, seconds, str(i), together, Path(folder))) for i in range(together)]
            counts = [count for _, count in side_by_side(calls, together)]
        if failed := [count for count in counts if isinstance(count, Exception)]:
            report.says(f"{together} processes: {failed[0]}")
            continue
        found[together] = sum(counts) / seconds
        report.add("steps_a_second", found)
        report.says(f"{together} processes: {found[together]:.0f} steps a second in all")
        report.add("pays", min(number for number, rate in found.items() if rate > 0.95 * max(found.values())))


def longest_first(profile: str) -> list[str]:
    """The arms of all claims, those of the claim first whose runs took longest on a CPU; for "long", of the write-up's own of C1 to C3."""
    took = committed.seconds_by_arm("pocket")
    wanted = [c for c in claims.CLAIMS if profile != "long" or (c.whose == "write-up" and c.id[:2] in ("C1", "C2", "C3"))]
    by_time = sorted(wanted, key=lambda claim: -sum(took.get(arm, 0.0) for arm in claim.arms))
    return list(dict.fromkeys("/".join(arm) for claim in by_time for arm in claim.arms))


def records_part(profile: str, report: Report) -> None:
    """The reference runs of a profile, as many at once as pay, each stored as it ends. In a rehearsal, one of smoke's."""
    study = json.loads(report.file.read_text(encoding="utf-8"))["parts"]
    workers = study.get("processes", {}).get("found", {}).get("pays", 4)
    arms, most = longest_first(profile), None
    if report.rehearse:
        profile, workers, arms, most = "smoke", 1, ["focal/mse-conv"], 1
    tree = data_folder(experiments.PROFILES[profile].on or profile)
    ours = profile in ("photographs", "long") and tree.is_relative_to(BUILD)  # a folder that a variable names is the reader's
    if ours and not tree.exists() and (report.package / pack_for_a_card.PICTURES).exists():
        pack_for_a_card.unpack_pictures(report.package, tree)
    train_split, val_split = experiments.profile_data(profile)
    report.add("data", {"train": train_split.fingerprint, "val": val_split.fingerprint, "reencoded": train_split.reencoded})
    report.add("plan", {"arms": arms, "workers": workers})
    reference.run_all(profile, most, workers, report.work / "records", arms)
    report.says(f"every run of {profile} that was asked for is stored")
