"""Hostile and broken input to the reader: each case ends in one sentence that names the file and a remedy."""

import re
import struct
import warnings
import zlib
from io import BytesIO
from pathlib import Path

import pytest
from helpers_voc import BASE, SIZE, annotation, image, obj, picture, split_file, write_tree, xml
from PIL import Image

from yolo_core.data import cache as cache_module
from yolo_core.data.voc import VocData, check, read_annotation, read_image
from yolo_core.errors import InputError


def assert_one_sentence(message: str, file: Path | str) -> None:
    """`FILE...: what was expected and what came; what to do.`, on one line, with no trace of Python's own."""
    assert message.startswith(str(file)), message
    assert re.search(r"; [a-z][^;]{8,}\.$", message), message
    assert "\n" not in message and "Traceback" not in message and len(message) < 700, message


def assert_refused(root: Path, file: Path, says: str) -> None:
    """VocData refuses the tree for `file` and leaves no cache behind; check tells the same fault and no other."""
    with pytest.raises(InputError, match=says) as caught:
        VocData(root, "train", 8)
    assert_one_sentence(str(caught.value), file)
    assert not list((root / ".cache").glob("*"))
    (told,) = check(root)
    assert_one_sentence(told, file)
    assert re.search(says, told)


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
BOMB = f'<!DOCTYPE a [<!ENTITY l0 "ha">{LAUGHS}]>' + xml(obj(name="&l9;"))
OUTSIDE = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + xml(obj(name="&x;"))
WHOLE = xml(obj())

ANNOTATIONS = {
    "empty file": ("", "well-formed XML"),
    "cut off": (WHOLE[:100], "well-formed XML"),
    "not XML": ("width 60 height 40", "well-formed XML"),
    "two documents": (WHOLE * 2, "well-formed XML"),
    "entity bomb": (BOMB, "XML entities"),
    "external entity": (OUTSIDE, "XML entities"),
    "undefined entity": (xml(obj("&nbsp;")), "well-formed XML"),
    "Latin-1 said to be UTF-8": (WHOLE.replace("dog", "chien\xe9").encode("latin-1"), "well-formed XML"),
    "encoding that nobody knows": ('<?xml version="1.0" encoding="klingon"?>' + WHOLE, "well-formed XML"),
    "encoding of several bytes": ('<?xml version="1.0" encoding="shift_jis"?>' + WHOLE, "well-formed XML"),
    "zero bytes": (b"\0" * 200, "well-formed XML"),
    "a picture": (b"\xff\xd8\xff\xe0" + b"x" * 99, "well-formed XML"),
    "another document": ("<html><body>404</body></html>", "expected an <annotation>"),
    "deep nesting": ("<annotation>" * 50_000 + "</annotation>" * 50_000, "no <size>"),
    "no size": (WHOLE.replace("size>", "sighs>"), "no <size>"),
    "two sizes": (xml(extra="<size><width>1</width><height>1</height></size>"), "2 <size>"),
    "no width": (WHOLE.replace("width>", "breadth>"), "no <width>"),
    "width 0": (xml(obj(), size=(0, 40)), "width 0, expected a positive"),
    "negative height": (xml(obj(), size=(60, -40)), "height -40, expected a positive"),
    "width in words": (xml(obj(), size=("sixty", 40)), "'sixty', expected a finite number"),
    "half a pixel": (xml(obj(), size=(60.5, 40)), "width 60.5, expected a positive whole"),
    "no class": (WHOLE.replace("name>", "nom>"), "no <name>"),
    "two classes": (xml(obj(extra="<name>cat</name>")), "2 <name>"),
    "unknown class": (xml(obj("unicorn")), "unknown class 'unicorn'.* aeroplane, bicycle"),
    "class in capitals": (xml(obj("Dog")), "unknown class 'Dog'"),
    "an object with nothing in it": (xml("<object/>"), "no <name>"),
    "no box": (WHOLE.replace("bndbox>", "box>"), "no <bndbox>"),
    "two boxes": (xml(obj(extra="<bndbox/>")), "2 <bndbox>"),
    "box only in a part": (xml("<object><name>dog</name><part><bndbox/></part></object>"), "no <bndbox>"),
    "no ymax": (WHOLE.replace("ymax>", "top>"), "no <ymax>"),
    "coordinate in words": (xml(obj(box=("left", 1, 9, 9))), "<xmin> 'left', expected a finite number"),
    "coordinate left empty": (xml(obj(box=("", 1, 9, 9))), "<xmin> '', expected a finite number"),
    "coordinate nan": (xml(obj(box=(1, "nan", 9, 9))), "<ymin> 'nan', expected a finite number"),
    "coordinate infinite": (xml(obj(box=(1, 1, "inf", 9))), "<xmax> 'inf', expected a finite number"),
    "coordinate too large for a float": (xml(obj(box=(1, 1, 9, "1e999"))), "<ymax> '1e999', expected a finite number"),
    "reversed in x": (xml(obj(box=(30, 1, 10, 20))), "box reversed, xmax 10 < xmin 30"),
    "reversed in y": (xml(obj(box=(1, 20, 10, 5))), "box reversed, ymax 5 < ymin 20"),
    "reversed by a fraction": (xml(obj(box=(10.5, 1, 10.25, 5))), "box reversed, xmax 10.25 < xmin 10.5"),
    "zero area": (xml(obj(box=(10, 1, 9, 20))), "box of zero area, xmax 9 < xmin 10"),
    "zero area once clipped": (xml(obj(box=(0, 1, 0, 20))), "zero area once clipped"),
    "zero area beyond the edge": (xml(obj(box=(61, 1, 61, 20))), "zero area once clipped"),
    "outside on the left": (xml(obj(box=(-5, 1, 9, 9))), "outside the image"),
    "outside at the bottom": (xml(obj(box=(1, 1, 9, 42))), "outside the image"),
    "far outside": (xml(obj(box=(1000, 1000, 2000, 2000))), "outside the image"),
    "difficult in words": (xml(obj(difficult="very")), "<difficult> 'very', expected a finite number"),
    "difficult 2": (xml(obj(difficult="2")), "<difficult> 2, expected 0 or 1"),
    "another size than the picture's": (xml(obj(), size=(40, 60)), "says 40 x 60, but the picture has 60 x 40"),
}


@pytest.mark.parametrize(("content", "says"), ANNOTATIONS.values(), ids=ANNOTATIONS)
def test_a_bad_annotation_gets_one_sentence(tmp_path, content, says):
    path = annotation(write_tree(tmp_path, train=3), "train_001")
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert_refused(tmp_path, path, says)


def test_a_missing_annotation_read_by_itself_gets_one_sentence(tmp_path):
    with pytest.raises(InputError, match="No such file") as caught:
        read_annotation(tmp_path / "a.xml")
    assert_one_sentence(str(caught.value), tmp_path / "a.xml")


def test_check_tells_every_fault_of_an_annotation_and_not_the_first_alone(tmp_path):
    path = annotation(write_tree(tmp_path, train=2), "train_001")
    path.write_text(xml(obj("unicorn"), obj(), obj(box=(9, 9, 1, 1)), size=(61, 40)))
    told = check(tmp_path)
    assert [re.search("object 1|object 3|61 x 40", line)[0] for line in told] == ["object 1", "object 3", "61 x 40"]
    for line in told:
        assert_one_sentence(line, path)


def encoded(kind: str, mode="RGB", **options) -> bytes:
    out = BytesIO()
    Image.effect_noise(SIZE, 50).convert(mode).save(out, kind, **options)
    return out.getvalue()


def png_bomb() -> bytes:
    """A PNG of some hundred bytes that says it has 20,000 x 20,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 999)) + chunk(b"IEND", b"")


PICTURES = {
    "zero bytes long": (b"", "an empty file"),
    "text": (b"<html>404 not found</html>", "expected a picture, got something else"),
    "truncated": (encoded("JPEG")[:900], "cannot be decoded"),
    "header alone": (encoded("JPEG")[:20], "expected a picture|cannot be decoded"),
    "a PNG by the name of a JPEG": (encoded("PNG"), "expected a JPEG as its name says, got PNG"),
    "a program for a printer": (encoded("EPS"), "expected a picture, got something else"),
    "a decompression bomb": (png_bomb(), "expected at most .* pixels"),
    "noise after the magic number": (b"\xff\xd8\xff\xe0" + bytes(range(256)) * 4, "expected a picture|cannot be decoded"),
}


@pytest.mark.parametrize(("content", "says"), PICTURES.values(), ids=PICTURES)
def test_a_bad_picture_gets_one_sentence(tmp_path, content, says):
    path = image(write_tree(tmp_path, train=3), "train_001")
    path.write_bytes(content)
    assert_refused(tmp_path, path, says)


def test_pictures_above_the_pixel_limit_are_refused_where_pillow_only_warns(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", SIZE[0] * SIZE[1] - 1)
    with warnings.catch_warnings(), pytest.raises(InputError, match="expected at most") as caught:
        warnings.simplefilter("ignore")
        read_image(picture(tmp_path / "a.jpg"), 8)
    assert_one_sentence(str(caught.value), tmp_path / "a.jpg")


def test_a_missing_picture_read_by_itself_gets_one_sentence(tmp_path):
    with pytest.raises(InputError, match="does not exist") as caught:
        read_image(tmp_path / "a.jpg", 8)
    assert_one_sentence(str(caught.value), tmp_path / "a.jpg")


def test_a_folder_by_the_name_of_a_picture_gets_one_sentence(tmp_path):
    with pytest.raises(InputError, match="cannot be decoded") as caught:
        read_image(tmp_path, 8)
    assert_one_sentence(str(caught.value), tmp_path)


SPLITS = {
    "empty": ("", "the split is empty"),
    "blank lines alone": ("\n \r\n\n", "the split is empty"),
    "an id twice": ("train_000\ntrain_001\ntrain_000\n", "line 3 repeats train_000 of line 1"),
    "an id that climbs out": ("train_000\n../../../secret\n", "line 2 has '../../../secret', which is a path"),
    "an absolute path": ("/etc/passwd\n", "line 1 has '/etc/passwd', which is a path"),
    "a path of Windows": ("train_000\nC:\\secret\n", "line 2 has .*, which is a path"),
    "dots": ("..\n", "line 1 has '..', which is a path"),
    "a zero byte": ("train_000\ntrain\0\n", "line 2 has .*, which is a path"),
    "not text": (b"\xff\xfe\x00\x01\n", "cannot be read"),
}


@pytest.mark.parametrize(("content", "says"), SPLITS.values(), ids=SPLITS)
def test_a_bad_split_file_gets_one_sentence(tmp_path, content, says):
    path = split_file(write_tree(tmp_path, train=3), "train")
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert_refused(tmp_path, path, says)


@pytest.mark.parametrize("kind", ["images", "annotations"])
def test_a_split_that_names_missing_files_tells_the_first_and_how_many(tmp_path, kind):
    write_tree(tmp_path, train=5)
    place = image if kind == "images" else annotation
    missing = [place(tmp_path, f"train_00{index}") for index in (1, 3)]
    for path in missing:
        path.unlink()
    with pytest.raises(InputError, match=f"2 of its 5 {kind} are missing, the first is .*train_001") as caught:
        VocData(tmp_path, "train", 8)
    assert_one_sentence(str(caught.value), split_file(tmp_path, "train"))
    for line, path in zip(check(tmp_path), missing, strict=True):
        assert_one_sentence(line, path)


def test_a_link_to_nowhere_is_a_missing_file(tmp_path):
    path = image(write_tree(tmp_path, train=2), "train_001")
    path.unlink()
    path.symlink_to(tmp_path / "nowhere.jpg")
    with pytest.raises(InputError, match="1 of its 2 images are missing"):
        VocData(tmp_path, "train", 8)


def test_pictures_in_both_train_and_val_are_a_fault(tmp_path):
    write_tree(tmp_path, train=3, val=1)
    split_file(tmp_path, "val").write_text("val_000\ntrain_001\n")
    (told,) = check(tmp_path)
    assert_one_sentence(told, split_file(tmp_path, "val"))
    assert "1 ids are in train.txt too" in told


@pytest.mark.parametrize("split", ["test", "", "../Main/train", "train.txt", "train\0"])
def test_an_unknown_split_is_told_the_ones_there_are(tmp_path, split):
    write_tree(tmp_path, train=1, val=1)
    with pytest.raises(InputError, match="choose one of: train, val.") as caught:
        VocData(tmp_path, split, 8)
    assert_one_sentence(str(caught.value), split_file(tmp_path, split))


@pytest.mark.parametrize("lacking", [BASE, BASE / "JPEGImages", BASE / "Annotations", BASE / "ImageSets/Main"], ids=str)
def test_a_folder_that_is_no_voc_tree_gets_one_sentence(tmp_path, lacking):
    write_tree(tmp_path, train=1)
    (tmp_path / lacking).rename(tmp_path / "away")
    assert_refused(tmp_path, tmp_path, "expected a VOC tree")


def test_a_tree_without_split_files_gets_one_sentence(tmp_path):
    (told,) = check(write_tree(tmp_path))
    assert_one_sentence(told, tmp_path)
    with pytest.raises(InputError, match="choose one of: .none."):
        VocData(tmp_path, "train", 8)


@pytest.mark.parametrize("inside", ["VOCdevkit", "VOCdevkit/VOC2012"])
def test_a_root_given_too_deep_is_told_the_right_one(tmp_path, inside):
    write_tree(tmp_path, train=1)
    assert_refused(tmp_path / inside, tmp_path / inside, f"pass {tmp_path}.$")


def test_a_size_that_is_not_positive_gets_one_sentence(tmp_path):
    with pytest.raises(InputError, match="expected a positive number of pixels, got 0") as caught:
        VocData(write_tree(tmp_path, train=1), "train", 0)
    assert_one_sentence(str(caught.value), "size")


def test_a_cache_that_cannot_be_written_gets_one_sentence(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="the cache cannot be written") as caught:
        VocData(write_tree(tmp_path, train=1), "train", 8, cache=tmp_path / "file")
    assert_one_sentence(str(caught.value), tmp_path / "file")


def test_a_disk_that_fills_up_gets_one_sentence_and_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache_module, "save_file", full)
    with pytest.raises(InputError, match="No space left on device") as caught:
        VocData(write_tree(tmp_path, train=1), "train", 8)
    assert_one_sentence(str(caught.value), tmp_path / ".cache")
    assert not list((tmp_path / ".cache").iterdir())
