"""A phone stores a picture lying and says so in EXIF: `predict` sees it upright; a VOC tree, whose boxes are in stored pixels, does not."""

import json
import struct

import numpy as np
import pytest
import torch
from helpers_voc import write_tree
from PIL import Image

from trial.figures import figures
from trial.inference import detect
from voc_tree.picture import decode, read_image
from yolo_core.training.config import RunConfig

ORIENTATION = 0x0112
# What brings the upright picture to the stored one, as EXIF 2.3 numbers the eight ways to hold a camera.
STORED = {
    1: lambda upright: upright,
    2: np.fliplr,
    3: lambda upright: np.rot90(upright, 2),
    4: np.flipud,
    5: lambda upright: upright.transpose(1, 0, 2),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: np.rot90(upright, 2).transpose(1, 0, 2),
    8: lambda upright: np.rot90(upright, -1),
}
UPRIGHT = np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8)


def held(path, orientation, **options):
    """A picture file that shows UPRIGHT to whoever heeds its orientation."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(np.ascontiguousarray(STORED[orientation](UPRIGHT))).save(path, exif=exif, **options)
    return path


@pytest.mark.parametrize("suffix", ["png", "webp"])
@pytest.mark.parametrize("orientation", STORED)
def test_a_picture_is_turned_upright_where_asked_and_left_as_stored_otherwise(tmp_path, orientation, suffix):
    path = held(tmp_path / f"a.{suffix}", orientation, **({"lossless": True} if suffix == "webp" else {}))
    assert np.array_equal(decode(path, upright=True), UPRIGHT)
    assert np.array_equal(decode(path), STORED[orientation](UPRIGHT))
    pixels, size = read_image(path, 20, upright=True)
    assert size == (50, 30) and torch.equal(pixels, read_image(held(tmp_path / "b.png", 1), 20)[0])
    assert read_image(path, 20)[1] == Image.open(path).size


@pytest.mark.parametrize(
    "exif", [b"", b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0" + b"\xff" * 64, b"MM\0*\0\0\0\x08\xff\xff"]
)
def test_an_orientation_that_cannot_be_read_leaves_a_picture_as_it_is_stored(tmp_path, exif):
    path = tmp_path / "a.jpg"
    Image.fromarray(UPRIGHT).save(path, exif=exif)
    assert np.array_equal(decode(path, upright=True), decode(path))


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_nobody_knows_leaves_a_picture_as_it_is_stored(tmp_path, orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(UPRIGHT).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(decode(tmp_path / "a.png", upright=True), UPRIGHT)


def test_predict_sees_draws_and_measures_the_upright_picture(tmp_path, monkeypatch):
    """All eight at once: the same detections, in boxes of the upright picture, over the upright picture."""
    drawn = []
    stand_in = type("Figure", (), {"savefig": lambda self, file: None})()
    monkeypatch.setattr(figures, "detections", lambda picture, found: drawn.append(np.asarray(picture)) or stand_in)
    config = RunConfig(backbone="scratch", width=0.05, head="conv")
    torch.manual_seed(0)
    pictures = [held(tmp_path / f"{orientation}.png", orientation) for orientation in STORED]
    found = detect.predict_files(config.detector().eval(), config, pictures, tmp_path / "seen", 0.0)
    first = {key: found[0][key] for key in ("width", "height", "boxes", "scores", "labels")}
    assert (first["width"], first["height"]) == (50, 30) and first["boxes"]
    assert all({key: each[key] for key in first} == first for each in found)
    assert all(np.array_equal(picture, UPRIGHT) for picture in drawn)
    assert json.loads((tmp_path / "seen/boxes.json").read_text()) == found


def test_a_split_stays_as_it_is_stored(tmp_path):
    """torchvision's reader leaves the orientation alone, and the annotations were made beside it."""
    from helpers_voc import image, xml

    from voc_tree.tree import check
    from yolo_core.data.voc import VocData

    root = write_tree(tmp_path / "tree", train=1, val=1)
    held(image(root, "train_000"), 6, format="JPEG")
    (root / "VOCdevkit/VOC2012/Annotations/train_000.xml").write_text(xml(size=(30, 50)))
    assert check(root) == []
    assert torch.equal(VocData(root, "train", 20).images[0], read_image(image(root, "train_000"), 20)[0])


@pytest.mark.parametrize("orientation", range(2, 9))
def test_an_orientation_is_heeded_beside_a_field_that_cannot_be_written_back(tmp_path, orientation):
    """A resolution stored as text: Pillow reads it and, asked to write the fields anew, fails."""
    fields = struct.pack("<HHHIHH", 2, ORIENTATION, 3, 1, orientation, 0) + struct.pack("<HHI4sI", 0x011A, 2, 3, b"72\0\0", 0)
    stored = np.ascontiguousarray(STORED[orientation](UPRIGHT))
    Image.fromarray(stored).save(tmp_path / "a.webp", lossless=True, exif=b"Exif\0\0II*\0\x08\0\0\0" + fields)
    assert np.array_equal(decode(tmp_path / "a.webp", upright=True), UPRIGHT)
    assert np.array_equal(decode(tmp_path / "a.webp"), stored)
