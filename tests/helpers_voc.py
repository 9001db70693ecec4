"""A maker of small VOC trees for tests: noise pictures, annotations as text, split files."""

from pathlib import Path

import numpy as np
from PIL import Image

BASE = Path("VOCdevkit/VOC2012")
SIZE = (60, 40)  # width, height


def obj(name="dog", box=(11, 6, 30, 25), difficult="0", extra="") -> str:
    """One <object>; `difficult` None leaves the field out."""
    corners = "".join(f"<{tag}>{value}</{tag}>" for tag, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
    flag = "" if difficult is None else f"<difficult>{difficult}</difficult>"
    return f"<object><name>{name}</name>{flag}<bndbox>{corners}</bndbox>{extra}</object>"


def xml(*objects: str, size=SIZE, extra="") -> str:
    """One <annotation> document."""
    sides = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
    return f"<annotation><filename>../../elsewhere.jpg</filename>{sides}{''.join(objects)}{extra}</annotation>"


def picture(path: Path, size=SIZE, seed=0) -> Path:
    """A JPEG of noise."""
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).save(path, "JPEG")
    return path


def annotation(root: Path, name: str) -> Path:
    return root / BASE / "Annotations" / f"{name}.xml"


def image(root: Path, name: str) -> Path:
    return root / BASE / "JPEGImages" / f"{name}.jpg"


def split_file(root: Path, split: str) -> Path:
    return root / BASE / "ImageSets" / "Main" / f"{split}.txt"


def write_tree(root: Path, **splits: int) -> Path:
    """A clean tree under `root` with so many pictures in each split; picture i has i % 3 objects."""
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / BASE / folder).mkdir(parents=True, exist_ok=True)
    for split, count in splits.items():
        names = [f"{split}_{index:03}" for index in range(count)]
        for index, name in enumerate(names):
            picture(image(root, name), seed=index)
            objects = [obj(box=(1 + index % 40, 1, 20 + index % 40, 20)), obj("cat", (31, 1, 60, 40), difficult="1")]
            annotation(root, name).write_text(xml(*objects[: index % 3]))
        split_file(root, split).write_text("".join(f"{name}\n" for name in names))
    return root
