"""One VOC annotation: an XML file read into tensors, or refused in one sentence; and written.

Inside: `CLASSES` (VOC's 20), `DRAWN`, `Annotation`, `read_annotation` (the first fault raises), `scan` (all faults listed), `to_xml`.

VOC counts pixels from 1 and includes both ends; here boxes are continuous, [xmin - 1, xmax), so that a width is
xmax - xmin + 1 and IoU needs no "+ 1" (Everingham & Winn, The PASCAL VOC 2012 Development Kit).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError, SubElement, indent, tostring

import numpy as np
import torch
from defusedxml import DefusedXmlException
from defusedxml import ElementTree as SafeTree  # never plain expat: annotations come from strangers
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from groundwork.errors import InputError, unreadable
from groundwork.files import endless

DRAWN = "emojivoc.json"  # lies in a tree of scenes drawn by this project, one independently of another
CLASSES: tuple[str, ...] = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
"""VOC's 20 classes in alphabetical order: a label is an index into this."""

LARGEST = 2**24  # px: float32, which holds the boxes, counts no farther


@dataclass(frozen=True)
class Annotation:
    """What one XML file says of one picture.

    `image` is the id (the file's stem: the `filename` field inside is not trusted to name a path); `width` and `height`
    are in pixels; `boxes` are xyxy in continuous pixels of the stored picture, inside [0, width] x [0, height];
    `labels` index `CLASSES`; `difficult` objects are kept and marked.
    """

    image: str
    width: int
    height: int
    boxes: Float32[Tensor, "n 4"]
    labels: Int64[Tensor, "n"]
    difficult: Bool[Tensor, "n"]


def read_annotation(path: Path | str, content: bytes | None = None) -> Annotation:
    """Read one VOC XML file; raises `InputError` on its first fault.

    A box may reach one pixel over the edge, as rounding leaves it: it is clipped to the picture. Farther out is an error.
    Coordinates may be fractions (some of VOC's are). A missing `difficult` means 0. Only `object/bndbox` counts: the boxes
    of `part` elements (heads, hands, feet) are not objects. `content` is the file's bytes where they lie in an archive: `path` then
    only names it.
    """
    annotation, faults = scan(path, content)
    if annotation is None or faults:
        raise InputError(faults[0])
    return annotation


def scan(path: Path | str, content: bytes | None = None) -> tuple[Annotation | None, list[str]]:
    """Read one VOC XML file as far as it can be read: the sound objects, and one sentence a fault.

    The annotation is None where the file itself or its size cannot be used.
    """
    path = Path(path)
    try:
        tree = _parse(path, content)
        size = _only(tree, "size", f"{path}: the annotation")
        width, height = (_side(size, tag, path) for tag in ("width", "height"))
    except InputError as error:
        return None, [str(error)]
    objects, faults = [], []
    for number, node in enumerate(tree.findall("object"), start=1):
        try:
            objects.append(_object(node, f"{path}: object {number}", width, height))
        except InputError as error:
            faults.append(str(error))
    return Annotation(path.stem, width, height, *_tensors(objects)), faults


def to_xml(image: str, size: tuple[int, int], source: Mapping[str, str], objects: Iterable[tuple[str, Sequence[int], bool, bool]]) -> str:
    """The document of one picture, in VOC's layout, without a last newline.

    `size` is (width, height) in pixels, `source` the children of <source>. An object is its class's name, its box (xyxy, continuous
    whole pixels: written 1-based inclusive), whether it is truncated, and whether it is difficult.
    """
    root = Element("annotation")
    _add(root, folder="VOC2012", filename=f"{image}.jpg")
    _add(SubElement(root, "source"), **source)
    _add(SubElement(root, "size"), width=size[0], height=size[1], depth=3)
    _add(root, segmented=0)
    for name, (x0, y0, x1, y1), truncated, difficult in objects:
        node = SubElement(root, "object")
        _add(node, name=name, pose="Unspecified", truncated=int(truncated), difficult=int(difficult))
        _add(SubElement(node, "bndbox"), xmin=x0 + 1, ymin=y0 + 1, xmax=x1, ymax=y1)
    indent(root, "\t")
    return tostring(root, encoding="unicode")


def _add(node: Element, **children: object) -> None:
    for tag, text in children.items():
        SubElement(node, tag).text = str(text)


def _tensors(objects: Iterable[tuple[list[float], int, bool]]) -> tuple[Tensor, Tensor, Tensor]:
    boxes, labels, difficult = zip(*objects, strict=True) if objects else ((), (), ())
    return (
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        torch.tensor(labels, dtype=torch.int64),
        torch.tensor(difficult, dtype=torch.bool),
    )


def _parse(path: Path, content: bytes | None) -> Element:
    """The root of the document, which must be `annotation`. Walked with find, never by recursion: depth is harmless."""
    restore = "restore the file from its source, or take its id out of the split files"
    if content is None and endless(path):
        raise InputError(f"{path}: expected an annotation's file, found a pipe or a device; {restore}.")
    try:
        root = SafeTree.parse(path if content is None else BytesIO(content)).getroot()
    except DefusedXmlException:  # a ValueError too, so it comes first
        raise InputError(f"{path}: declares XML entities, which no VOC annotation needs and attacks use; remove the DOCTYPE.") from None
    except OSError as error:
        raise unreadable(path, error) or InputError(f"{path}: the annotation cannot be read ({error.strerror}); {restore}.") from error
    except (ParseError, ValueError, LookupError) as error:  # the last two: encodings unknown to Python or to expat
        raise InputError(f"{path}: expected well-formed XML, got an error ({error}); {restore}.") from error
    if root.tag != "annotation":
        raise InputError(f"{path}: expected an <annotation> document, got <{root.tag[:40]}>; {restore}.")
    return root


def _only(node: Element, tag: str, where: str) -> Element:
    found = node.findall(tag)
    if len(found) != 1:
        raise InputError(f"{where} has {len(found) or 'no'} <{tag}>, expected exactly one; mend the XML.")
    return found[0]


def _number(node: Element, tag: str, where: str) -> float:
    text = (_only(node, tag, where).text or "").strip()
    try:
        value = float(text) if text.isascii() and "_" not in text else math.nan  # Python alone reads 1_0, and other scripts' digits
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{where} has <{tag}> {text[:40]!r}, expected a finite number; mend the XML.")
    return value


def _side(size: Element, tag: str, path: Path) -> int:
    value = _number(size, tag, f"{path}: <size>")
    if not 1 <= value <= LARGEST or value != int(value):
        raise InputError(
            f"{path}: <size> has {tag} {value:g}, expected a positive whole number, at most {LARGEST}; write the picture's size in pixels."
        )
    return int(value)


def _object(node: Element, where: str, width: int, height: int) -> tuple[list[float], int, bool]:
    """One object's clipped box (xyxy, continuous pixels), label and difficult flag."""
    name = (_only(node, "name", where).text or "").strip()
    if name not in CLASSES:
        raise InputError(f"{where} is of unknown class {name[:40]!r}; remove it, or rename it to one of {', '.join(CLASSES)}.")
    where = f"{where} ({name})"
    difficult = _number(node, "difficult", where) if node.find("difficult") is not None else 0
    if difficult not in (0, 1):
        raise InputError(f"{where} has <difficult> {difficult:g}, expected 0 or 1; mend the XML.")
    corners = _only(node, "bndbox", where)
    x1, y1, x2, y2 = (_number(corners, tag, where) for tag in ("xmin", "ymin", "xmax", "ymax"))
    for axis, low, high in (("x", x1, x2), ("y", y1, y2)):
        if high < low:
            kind = "of zero area" if high == low - 1 else "reversed"
            raise InputError(f"{where} has a box {kind}, {axis}max {high:g} < {axis}min {low:g}; swap the corners, or remove the object.")
    if min(x1, y1) < 0 or x2 > width + 1 or y2 > height + 1:
        raise InputError(
            f"{where} has a box outside the image, ({x1:g}, {y1:g}, {x2:g}, {y2:g}) "
            f"in 1-based pixels of {width} x {height}; mend the box or the <size>."
        )
    box = [max(x1 - 1, 0.0), max(y1 - 1, 0.0), min(x2, float(width)), min(y2, float(height))]
    # As boxes are kept and scaled: one that a converter left a hair wide may be a point by then.
    sides = [np.float32(high / size) - np.float32(low / size) for low, high, size in ((*box[::2], width), (*box[1::2], height))]
    if not sides[0] * sides[1] > 0:
        raise InputError(f"{where} has a box of zero area once clipped to the image; remove the object.")
    return box, CLASSES.index(name), bool(difficult)
