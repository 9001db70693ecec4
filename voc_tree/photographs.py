"""Photographs with VOC's twenty classes, made from the official archives of VOC 2007, VOC 2012 and COCO 2017 val.

Inside: `make` (the VOC tree), `listed` (its pictures), `ARCHIVES` (what it is made from).

Which pictures, and the split of each, is a list that lies beside this module, in a random fixed order: the first so many names of a
split are a fair sample of it. Pictures are shrunk so that the longer side has `SIDE` pixels, none is enlarged. The boxes are the
official ones, scaled: VOC's difficult objects and COCO's crowds are `difficult`, COCO's classes go by VOC's names, and what would be
less than two pixels wide or high is left out. Poses and truncations are not taken over.

The official hosts have not been tried: the tests fetch small archives of their own making from a host of their own.
"""

import gzip
import json
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from groundwork.archives import Archive, Contents, fetch
from groundwork.errors import InputError
from groundwork.files import in_place_of
from voc_tree.annotation import CLASSES, read_annotation, to_xml
from voc_tree.download import voc_archive
from voc_tree.picture import decode
from voc_tree.tree import BASE, SPLITS, Split

LIST = Path(__file__).with_name("photographs.tsv.gz")
SIDE = 240  # px
QUALITY = 82  # of the JPEGs
COCO = "coco_val2017"
INSTANCES = "annotations/instances_val2017.json"

# COCO publishes no checksums: these md5 and sizes are those that projects which fetch the archives agree on.
ARCHIVES = {
    "voc2007_trainval": voc_archive("2007"),
    "voc2007_test": voc_archive("2007-test"),
    "voc2012_trainval": voc_archive("2012"),
    COCO: Archive("http://images.cocodataset.org/zips/val2017.zip", 815_585_330, "442b8da7639aecaf257c1dceb8ba8c80"),
    "coco_annotations": Archive(
        "http://images.cocodataset.org/annotations/annotations_trainval2017.zip", 252_907_541, "f4bbac642086de4f52a3fdda2de5fa2c"
    ),
}

VOC_NAMES = {
    "airplane": "aeroplane", "motorcycle": "motorbike", "couch": "sofa", "potted plant": "pottedplant",
    "dining table": "diningtable", "tv": "tvmonitor",
}  # fmt: skip
"""COCO's names of VOC's classes, where the two differ."""

Object = tuple[str, Sequence[float], bool]
"""The name of a class, a box (xyxy, continuous pixels), whether it is difficult."""


@dataclass(frozen=True)
class Photograph:
    """A picture of the list: the id that VOC or COCO gave it, the set that it is from, and "train" or "val"."""

    name: str
    origin: str
    split: str


def listed() -> list[Photograph]:
    """The committed list, in its order (scripts/photographs.py made it). A handful is of none of the archives: COCO's, and not of val."""
    return [Photograph(*line.split("\t")) for line in gzip.decompress(LIST.read_bytes()).decode().splitlines()]


def make(out: Path | str, archives: Path | str | None = None, progress: bool = True) -> str:
    """Write the tree out/VOCdevkit/VOC2012; returns a sentence that says what is there. Says first what it will fetch.

    Archives that lie in the folder `archives` or in out/archives are used, the others fetched into `archives`, or out/archives where
    it is not given; all of them stay. A tree that exists is left alone. Raises `InputError` for what cannot be fetched, read or written;
    of the tree nothing is there then, of the archives all that came.
    """
    out = Path(os.path.expanduser(out))
    tree, folders = out / BASE, [out / "archives"]
    if archives is not None:
        folders.insert(0, Path(os.path.expanduser(archives)))
    every = listed()
    chosen = [photo for photo in every if photo.origin in ARCHIVES]
    count = Counter(photo.split for photo in chosen)
    if tree.exists() and (not tree.is_dir() or any(tree.iterdir())):  # an empty folder is filled
        counts = ", ".join(f"{len(Split(out, split))} in {split}" for split in ("train", "val"))  # speaks up if broken
        wanted = f"the list has {count['train']} and {count['val']}"
        return f"{tree} is there already ({counts} pictures; {wanted}): nothing was fetched or made."
    files = _gather(folders, progress)
    try:
        with in_place_of(tree) as base, ExitStack() as opened:
            _write(base, chosen, {origin: opened.enter_context(Contents(file)) for origin, file in files.items()}, progress)
    except OSError as error:
        raise InputError(
            f"{tree}: could not be written ({error.strerror or error}), the archives are kept; make room, or name another folder, and run "
            "this again."
        ) from error
    left = f"; {len(every) - len(chosen)} more of the list are in none of the archives" if len(every) > len(chosen) else ""
    return f"{tree} holds {count['train']} + {count['val']} photographs now{left}. The archives are no longer needed."


def _gather(folders: list[Path], progress: bool) -> dict[str, Path]:
    """The archives as files, fetched where no folder has them. Those that lie there are checked first, before hours go by."""
    places = {origin: next((f for f in folders if os.path.lexists(f / a.name)), folders[0]) for origin, a in ARCHIVES.items()}
    missing = {origin: ARCHIVES[origin].missing(folder) for origin, folder in places.items()}
    if progress:
        number, gigabytes = sum(size > 0 for size in missing.values()), sum(missing.values()) / 1e9
        lying = f"{len(ARCHIVES) - number} of {len(ARCHIVES)} archives are there"
        print(f"{lying}, {gigabytes:.2f} GB will be fetched into {folders[0]}" if number else lying, flush=True)
    return {origin: fetch(ARCHIVES[origin], places[origin], progress) for origin in sorted(places, key=missing.get)}


def _write(base: Path, chosen: list[Photograph], contents: Mapping[str, Contents], progress: bool) -> None:
    """Write the pictures, annotations and split files into the folder `base`."""
    for name in ("JPEGImages", "Annotations", SPLITS):
        (base / name).mkdir(parents=True)
    instances = _instances(contents["coco_annotations"])
    for photo in tqdm(chosen, "photographs", disable=not progress):
        archive = contents[photo.origin]
        if photo.origin == COCO:
            place, database = f"val2017/{photo.name}.jpg", "MS COCO"
            if photo.name not in instances:
                raise InputError(f"{contents['coco_annotations'].path}: {INSTANCES} has no picture {photo.name}; fetch the archive again.")
            objects = instances[photo.name]
        else:
            year = photo.origin[3:7]
            place, database = f"VOCdevkit/VOC{year}/JPEGImages/{photo.name}.jpg", f"The VOC{year} Database"
            objects = _voc_objects(archive, f"VOCdevkit/VOC{year}/Annotations/{photo.name}.xml")
        picture = decode(archive.path / place, archive.read(place))
        small = _shrunk(picture)
        small.save(base / "JPEGImages" / f"{photo.name}.jpg", "JPEG", quality=QUALITY)
        source = {"database": database, "annotation": photo.origin, "image": "flickr"}
        xml = to_xml(photo.name, small.size, source, _scaled(objects, picture.size, small.size))
        (base / "Annotations" / f"{photo.name}.xml").write_text(xml, encoding="utf-8", newline="\n")
    for split, parts in {"train": ["train"], "val": ["val"], "trainval": ["train", "val"]}.items():
        names = [photo.name for photo in chosen if photo.split in parts]
        (base / SPLITS / f"{split}.txt").write_text("".join(f"{name}\n" for name in names), encoding="utf-8", newline="\n")
    (base / "README.txt").write_text(README, encoding="utf-8")


def _voc_objects(archive: Contents, place: str) -> list[Object]:
    found = read_annotation(archive.path / place, archive.read(place))
    rows = zip(found.labels.tolist(), found.boxes.tolist(), found.difficult.tolist(), strict=True)
    return [(CLASSES[label], box, difficult) for label, box, difficult in rows]


def _instances(archive: Contents) -> dict[str, list[Object]]:
    """The objects of VOC's classes in each picture of COCO 2017 val, by its id as a name."""
    text = archive.read(INSTANCES)
    try:
        found = json.loads(text)
        objects = {image["id"]: (Path(image["file_name"]).stem, []) for image in found["images"]}
        names = {category["id"]: VOC_NAMES.get(category["name"], category["name"]) for category in found["categories"]}
        for one in found["annotations"]:
            if names[one["category_id"]] in CLASSES:
                x, y, width, height = one["bbox"]
                box = [math.floor(edge) for edge in (x, y, x + width, y + height)]  # in whole pixels, as VOC's are
                objects[one["image_id"]][1].append((names[one["category_id"]], box, bool(one["iscrowd"])))
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{archive.path}: expected COCO's annotations in {INSTANCES}, got {error!r}; fetch the archive again.") from error
    return dict(objects.values())


def _shrunk(picture: Image.Image) -> Image.Image:
    """The picture with a longer side of at most `SIDE` pixels."""
    share = min(SIDE / max(picture.size), 1)
    return picture.resize([max(round(side * share), 1) for side in picture.size], Image.Resampling.LANCZOS)


def _scaled(
    objects: list[Object], before: tuple[int, int], after: tuple[int, int]
) -> list[tuple[str, tuple[int, int, int, int], bool, bool]]:
    """The objects of a picture of (width, height) `before`, for `to_xml`, once it has `after`; those of at least 2 x 2 pixels."""
    scale = [new / old for new, old in zip(after, before, strict=True)] * 2
    scaled = [(name, tuple(round(edge * s) for edge, s in zip(box, scale, strict=True)), hard) for name, box, hard in objects]
    return [(name, box, False, hard) for name, box, hard in scaled if box[2] - box[0] >= 2 and box[3] - box[1] >= 2]


README = f"""Photographs with Pascal VOC's twenty classes, from VOC 2007, VOC 2012 and COCO 2017 val, the longer side {SIDE} pixels.

Made by voc_tree.photographs from the official archives. The split is a hash of the names, not VOC's own. Not a benchmark:
never quote a score on these beside a published one.

Annotations: Pascal VOC (Everingham et al.); COCO (Lin et al.), CC BY 4.0; boxes scaled, COCO's classes renamed.
Photographs: Flickr users, under the terms that each chose; for research and teaching.
"""
