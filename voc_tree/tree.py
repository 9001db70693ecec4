"""A VOC tree on disk: `root/VOCdevkit/VOC2012` with JPEGImages, Annotations and ImageSets/Main.

Inside: `Split` (torchvision's VOCDetection over a checked split), `targets` (what it is annotated with), `read_ids`, `check` (every
fault of a tree).
"""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor
from torchvision.datasets import VisionDataset, VOCDetection
from tqdm import tqdm

from groundwork.answer import spelled
from groundwork.errors import InputError, unreadable
from groundwork.files import endless, in_utf8, visible
from voc_tree.annotation import Annotation, read_annotation, scan
from voc_tree.picture import decode, misnamed

BASE = Path("VOCdevkit") / "VOC2012"
SPLITS = Path("ImageSets") / "Main"
LONGEST = 200  # characters of an id: file systems stop at 255 bytes, suffix included


class Split(VOCDetection):
    """torchvision's `VOCDetection` over one split, refused in a sentence where torchvision would stumble later.

    Beyond torchvision: `ids`; any split file of ImageSets/Main, not three names only; blank lines and the second column
    of VOC's class files are not taken for pictures. `split[i]` gives the original PIL picture and the XML as a dict.
    """

    def __init__(self, root: Path | str, split: str):
        base = _base(Path(os.path.expanduser(root)))
        names = [path.stem for path in _split_files(base)]
        self.file = base / SPLITS / f"{split}.txt"
        if split not in names:
            raise InputError(
                f"{self.file}: there is no such split; choose one of: {', '.join(names) or '(none)'}, or write it, one image id a line."
            )
        self.ids = read_ids(self.file)
        # VOCDetection's own constructor would read the split file again, blank lines, columns and all.
        VisionDataset.__init__(self, str(root))
        self.images = [str(base / "JPEGImages" / f"{name}.jpg") for name in self.ids]
        self.targets = [str(base / "Annotations" / f"{name}.xml") for name in self.ids]
        for paths, kind in ((self.images, "images"), (self.annotations, "annotations")):
            present = _names(Path(paths[0]).parent)
            if missing := [path for path in paths if Path(path).name not in present]:
                raise InputError(
                    f"{self.file}: {len(missing)} of its {len(self)} {kind} are missing, the first is {missing[0]}; "
                    f"{misnamed(Path(missing[0]))}restore them, or take their ids out of the split file."
                )


def targets(root: Path | str, split: str) -> list[dict[str, Tensor]]:
    """One dict a picture, as `VocData.targets` has them (`boxes` xyxy in [0, 1], `labels`, `difficult`), and no picture is decoded."""
    found = [read_annotation(path) for path in Split(root, split).annotations]
    sizes = [torch.tensor([a.width, a.height, a.width, a.height]) for a in found]
    return [
        {"boxes": (a.boxes / size).clamp(0, 1), "labels": a.labels, "difficult": a.difficult} for a, size in zip(found, sizes, strict=True)
    ]


def _base(root: Path) -> Path:
    """The VOC2012 folder under `root`; raises `InputError` where `root` is not a VOC tree."""
    base = root / BASE
    if not base.is_dir():
        raise InputError(f"{root}: expected a VOC tree, but it has no folder {BASE}; {_advice(root)}.")
    for folder in ("JPEGImages", "Annotations", SPLITS):
        if not (base / folder).is_dir():
            raise InputError(f"{base}: expected a VOC tree, but it has no folder {folder}; add it with its files.")
    return base


def _names(folder: Path) -> set[str]:
    """The files in a folder, as their names are written: a disk that knows no case opens p0.jpg where p0.JPG lies."""
    try:
        return {entry.name for entry in os.scandir(folder) if entry.is_file()}
    except OSError as error:
        raise unreadable(folder, error) or error from error


def _split_files(base: Path) -> list[Path]:
    """By name."""
    return visible(base / SPLITS, "*.txt")


def _advice(root: Path) -> str:
    """What to do about a folder that is not the right one: the tree may lie around it, or as VOC 2007's does, of the same layout."""
    around = [root, *root.absolute().parents[:4], *sorted(path for path in root.glob("*") if path.is_dir())]
    for place in around:
        if (place / BASE).is_dir():
            return f"pass {spelled(place)}"
    for place in around:
        if other := next((path for path in sorted((place / BASE.parent).glob("VOC*")) if (path / "JPEGImages").is_dir()), None):
            return f"rename {other} to {BASE.name} and pass {spelled(place)}"
        if (place / BASE.name / "JPEGImages").is_dir() and place.name != BASE.parent.name:
            return f"move {place / BASE.name} into {place / BASE.parent} and pass {spelled(place)}"
    return "pass the folder that holds VOCdevkit, or fetch one with `python -m yolo_core data voc --out FOLDER`"


def read_ids(file: Path | str) -> list[str]:
    """The ids of a split file, one a line, in order; raises `InputError` on its first fault.

    The first column counts (VOC's class files have a second one); blank lines and CRLF are accepted.
    """
    ids, faults = _scan_ids(Path(file))
    if faults:
        raise InputError(faults[0])
    return ids


def _scan_ids(file: Path) -> tuple[list[str], list[str]]:
    """The usable ids of a split file, each once, and one sentence a fault."""
    if endless(file):
        return [], [f"{file}: expected a file, found a pipe or a device; move it away, and write one image id a line."]
    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        if refused := unreadable(file, error):
            return [], [str(refused)]
        return [], [f"{file}: the split cannot be read ({error}); write it as UTF-8 text, one image id a line."]
    faults, ids = [], {}
    for number, line in enumerate(lines, start=1):
        name, *rest = line.split() or [None]
        if name is None:
            continue
        if rest not in ([], ["-1"], ["0"], ["1"]):  # what VOC's class files say of a picture
            faults.append(f"{file}: line {number} has {line.strip()[:80]!r}; an id holds no space: rename the picture and its annotation.")
        elif name in (".", "..") or set(name) & set("/\\:") or len(name) > LONGEST or not name.isprintable():
            said = f"which is a path or no name of at most {LONGEST} characters; write the bare id of a picture"
            faults.append(f"{file}: line {number} has {name[:80]!r}, {said}.")
        elif name in ids:
            faults.append(f"{file}: line {number} repeats {name} of line {ids[name]}; remove one of them.")
        else:
            ids[name] = number
    if not ids and not faults:
        faults.append(f"{file}: the split is empty; write one image id a line.")
    return list(ids), faults


def size_fault(path: Path | str, annotation: Annotation, size: tuple[int, int]) -> str | None:
    """The sentence to say where an annotation's size is not the picture's `size` (width, height), else None."""
    if size == (annotation.width, annotation.height):
        return None
    said = f"{annotation.width} x {annotation.height}"
    return f"{path}: <size> says {said}, but the picture has {size[0]} x {size[1]} pixels; mend the size and its boxes."


def check(root: Path | str) -> list[str]:
    """Every fault of the VOC tree under `root`, one sentence each, beginning with the file; [] where it is clean.

    Reads all split files, and each picture and annotation that they name (files that no split names are no fault).
    """
    try:
        base = _base(in_utf8(Path(os.path.expanduser(root))))
        written = {kind: _names(base / kind) for kind in ("JPEGImages", "Annotations")}
    except InputError as error:
        return [str(error)]
    splits = {path.stem: _scan_ids(path) for path in _split_files(base)}
    faults = [fault for _, found in splits.values() for fault in found]
    for split in ("train", "val"):
        if split not in splits:
            faults.append(f"{base / SPLITS / split}.txt: there is no such split, which a training needs; write it, one image id a line.")
    if shared := set(splits.get("train", [[]])[0]) & set(splits.get("val", [[]])[0]):
        faults.append(f"{base / SPLITS / 'val.txt'}: {len(shared)} ids are in train.txt too; keep each in one of them.")
    names = list(dict.fromkeys(name for ids, _ in splits.values() for name in ids))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        pairs = pool.map(lambda name: _pair_faults(base, name, written), names)
        for found in tqdm(pairs, "checking", len(names), delay=2, leave=False):
            faults += found
    return faults


def _pair_faults(base: Path, name: str, written: dict[str, set[str]]) -> list[str]:
    xml, image = base / "Annotations" / f"{name}.xml", base / "JPEGImages" / f"{name}.jpg"
    annotation, faults = scan(xml)
    try:
        size = decode(image).size
    except InputError as error:
        return [*faults, str(error)]
    for path in (xml, image):
        if path.name not in written[path.parent.name] and path.is_file():
            faults.append(f"{path}: the file is there, but its name is written otherwise, which other disks tell apart; rename it.")
    mismatch = annotation and size_fault(xml, annotation, size)
    return [*faults, mismatch] if mismatch else faults
