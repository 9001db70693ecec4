"""What a tree can lack, or the machine deny the reader: each ends in one sentence that names the file and a remedy. The corpus of
hostile files is in tests/hostile."""

import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from helpers_voc import BASE, SIZE, annotation, image, obj, picture, split_file, write_tree, xml
from PIL import Image

from groundwork.errors import InputError
from voc_tree import cache as cache_module
from voc_tree.annotation import read_annotation
from voc_tree.picture import decode, read_image
from voc_tree.tree import check
from yolo_core.data.voc import VocData


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


def test_a_missing_annotation_read_by_itself_gets_one_sentence(tmp_path):
    with pytest.raises(InputError, match="No such file") as caught:
        read_annotation(tmp_path / "a.xml")
    assert_one_sentence(str(caught.value), tmp_path / "a.xml")


def test_check_tells_every_fault_of_an_annotation_and_not_the_first_alone(tmp_path):
    path = annotation(write_tree(tmp_path, train=2, val=1), "train_001")
    path.write_text(xml(obj("unicorn"), obj(), obj(box=(9, 9, 1, 1)), size=(61, 40)))
    told = check(tmp_path)
    assert [re.search("object 1|object 3|61 x 40", line)[0] for line in told] == ["object 1", "object 3", "61 x 40"]
    for line in told:
        assert_one_sentence(line, path)


def test_pictures_above_the_pixel_limit_are_refused_where_pillow_only_warns(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", SIZE[0] * SIZE[1] - 1)
    with warnings.catch_warnings(), pytest.raises(InputError, match="expected at most") as caught:
        warnings.simplefilter("ignore")
        read_image(picture(tmp_path / "a.jpg"), 8)
    assert_one_sentence(str(caught.value), tmp_path / "a.jpg")


def test_a_picture_of_floats_is_refused_where_pillow_would_clip_it_to_black(tmp_path):
    Image.fromarray(np.full((4, 4), 0.5, np.float32)).save(tmp_path / "light.pfm")
    with pytest.raises(InputError, match="light.pfm: expected 8 or 16 bits a channel, got floats, of no known range; convert it to PNG"):
        decode(tmp_path / "light.pfm")


def test_a_missing_picture_read_by_itself_gets_one_sentence(tmp_path):
    with pytest.raises(InputError, match="does not exist") as caught:
        read_image(tmp_path / "a.jpg", 8)
    assert_one_sentence(str(caught.value), tmp_path / "a.jpg")


def test_a_folder_by_the_name_of_a_picture_gets_one_sentence(tmp_path):
    with pytest.raises(InputError, match="cannot be decoded") as caught:
        read_image(tmp_path, 8)
    assert_one_sentence(str(caught.value), tmp_path)


@pytest.mark.parametrize("kind", ["images", "annotations"])
def test_a_split_that_names_missing_files_tells_the_first_and_how_many(tmp_path, kind):
    write_tree(tmp_path, train=5, val=1)
    place = image if kind == "images" else annotation
    missing = [place(tmp_path, f"train_00{index}") for index in (1, 3)]
    for path in missing:
        path.unlink()
    with pytest.raises(InputError, match=f"2 of its 5 {kind} are missing, the first is .*train_001") as caught:
        VocData(tmp_path, "train", 8)
    assert_one_sentence(str(caught.value), split_file(tmp_path, "train"))
    for line, path in zip(check(tmp_path), missing, strict=True):
        assert_one_sentence(line, path)


@pytest.mark.parametrize("ending", [".JPG", ".jpeg", ".JPEG"])
def test_a_picture_under_another_ending_is_told_to_be_renamed(tmp_path, ending):
    path = image(write_tree(tmp_path, train=2, val=1), "train_001")
    path.rename(path.with_suffix(ending))
    with pytest.raises(InputError, match=f"train_001{ending} lies there, rename it and its like to end in .jpg"):
        VocData(tmp_path, "train", 8)
    (line,) = check(tmp_path)
    assert f"train_001{ending} lies there, rename it" in line
    path.with_suffix(ending).rename(path)
    assert check(tmp_path) == []


@pytest.mark.parametrize("name", ["photo", "photo.png", "photo.jpg"])
def test_a_picture_outside_a_tree_is_not_told_to_be_renamed(tmp_path, name):
    (tmp_path / "photo.JPG").write_bytes(b"any")
    with pytest.raises(InputError, match="the picture does not exist") as caught:
        decode(tmp_path / name)
    assert "rename" not in str(caught.value)


def test_a_link_to_nowhere_is_a_missing_file(tmp_path):
    path = image(write_tree(tmp_path, train=2, val=1), "train_001")
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
    with pytest.raises(InputError, match="choose one of: train, val, or write it") as caught:
        VocData(tmp_path, split, 8)
    assert_one_sentence(str(caught.value), split_file(tmp_path, split))


@pytest.mark.parametrize("lacking", [BASE, BASE / "JPEGImages", BASE / "Annotations", BASE / "ImageSets/Main"], ids=str)
def test_a_folder_that_is_no_voc_tree_gets_one_sentence(tmp_path, lacking):
    write_tree(tmp_path, train=1, val=1)
    (tmp_path / lacking).rename(tmp_path / "away")
    assert_refused(tmp_path, tmp_path, "expected a VOC tree")


def test_a_tree_without_split_files_gets_one_sentence(tmp_path):
    for told, split in zip(check(write_tree(tmp_path)), ("train", "val"), strict=True):
        assert_one_sentence(told, split_file(tmp_path, split))
    with pytest.raises(InputError, match="choose one of: .none."):
        VocData(tmp_path, "train", 8)


@pytest.mark.parametrize("inside", ["VOCdevkit", "VOCdevkit/VOC2012"])
def test_a_root_given_too_deep_is_told_the_right_one(tmp_path, inside):
    write_tree(tmp_path, train=1, val=1)
    assert_refused(tmp_path / inside, tmp_path / inside, f"pass {tmp_path}.$")


def test_a_size_that_is_not_positive_gets_one_sentence(tmp_path):
    with pytest.raises(InputError, match="expected a positive number of pixels, got 0") as caught:
        VocData(write_tree(tmp_path, train=1, val=1), "train", 0)
    assert_one_sentence(str(caught.value), "size")


def test_a_cache_in_the_making_that_another_process_finishes_meanwhile_is_passed_over(tmp_path, monkeypatch):
    draft, glob = tmp_path / f"{cache_module.SCRATCH}other", Path.glob
    draft.mkdir()

    def finished(folder, pattern):
        found = list(glob(folder, pattern))
        if folder == draft:
            draft.rmdir()
        return found

    monkeypatch.setattr(Path, "glob", finished)
    cache_module._sweep(tmp_path)
    assert not draft.exists()


def test_a_cache_that_cannot_be_written_gets_one_sentence(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="file: cannot be made .*; name a folder that can be written to") as caught:
        VocData(write_tree(tmp_path, train=1, val=1), "train", 8, cache=tmp_path / "file")
    assert_one_sentence(str(caught.value), tmp_path / "file")


def test_a_disk_that_fills_up_gets_one_sentence_and_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache_module, "save_file", full)
    with pytest.raises(InputError, match="No space left on device") as caught:
        VocData(write_tree(tmp_path, train=1, val=1), "train", 8)
    assert_one_sentence(str(caught.value), tmp_path / ".cache")
    assert not (tmp_path / ".cache").exists()
