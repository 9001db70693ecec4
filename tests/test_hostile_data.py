"""The corpus of hostile pictures, annotations and split files: each is read as is stated, or refused in one sentence."""

import numpy as np
import pytest
from helpers_voc import annotation, image, split_file, write_tree
from hostile import annotations, images, splits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_bad_input_data import assert_one_sentence, assert_refused

from groundwork.errors import InputError
from voc_tree.annotation import CLASSES, read_annotation
from voc_tree.picture import decode, read_image
from voc_tree.tree import check
from yolo_core.data.voc import VocData

NEAR = 4  # of 255: what JPEG may lose on flat quarters


def by_name(cases):
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.name)


def assert_nothing_made(folder, *expected):
    """The folder holds what was laid there and nothing else: nothing half-written, no code run."""
    assert sorted(path.name for path in folder.iterdir()) == sorted(expected)


@by_name(images.CASES)
def test_a_picture_is_read_as_stated_or_refused(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name, content = case.given
    path = tmp_path / name
    path.write_bytes(content)
    if case.refused and path.suffix == ".jpg":
        at = image(write_tree(tmp_path / "tree", train=2, val=1), "train_001")
        path.rename(at)
        assert_refused(tmp_path / "tree", at, case.refused)
        assert_nothing_made(tmp_path, "tree")
        return
    if case.refused:
        with pytest.raises(InputError, match=case.refused) as caught:
            read_image(path, 8)
        assert_one_sentence(str(caught.value), path)
    else:
        found = np.asarray(decode(path))
        assert found.shape == case.means.shape
        assert np.abs(found.astype(int) - case.means).max() <= (NEAR if path.suffix == ".jpg" or content[:2] == b"\xff\xd8" else 0)
        assert read_image(path, 8)[1] == case.means.shape[1::-1]
    assert_nothing_made(tmp_path, name)


@by_name(annotations.CASES)
def test_an_annotation_is_read_as_stated_or_refused(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = case.put(annotation(write_tree(tmp_path / "tree", train=2, val=1), "train_001"))
    if case.refused:
        assert_refused(tmp_path / "tree", path, case.refused)
    else:
        found = read_annotation(path)
        assert [CLASSES[label] for label in found.labels] == [name for name, _ in case.means]
        expected = np.array([box for _, box in case.means], np.float32).reshape(-1, 4) - [1, 1, 0, 0]
        assert (found.boxes.numpy() == expected.clip(0, [60, 40, 60, 40])).all()
        assert check(tmp_path / "tree") == []
    assert_nothing_made(tmp_path, "tree")


@by_name(splits.CASES)
def test_a_split_file_is_read_as_stated_or_refused(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tree = write_tree(tmp_path / "tree", train=3, val=1)
    path = case.put(split_file(tree, "train"))
    if case.refused:
        with pytest.raises(InputError, match=case.refused) as caught:
            VocData(tree, "train", 8)
        assert_one_sentence(str(caught.value), path)
        faults = check(tree)
        assert faults and not any("\n" in fault for fault in faults)
        assert not (tree / ".cache").exists()
    else:
        assert VocData(tree, "train", 8).ids == case.means and check(tree) == []
    assert_nothing_made(tmp_path, "tree")


WHOLE = annotations.WHOLE.encode()
PIECES = st.one_of(st.binary(max_size=8), st.sampled_from([b"<", b">", b"&x;", b"<!DOCTYPE a [", b"</object>", b"nan", b"-1", b"\xff\xfe"]))


@given(st.lists(st.tuples(st.integers(0, len(WHOLE)), st.integers(0, 40), PIECES), max_size=4))
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_mutated_annotation_is_read_or_refused_and_never_anything_else(tmp_path, changes):
    content = WHOLE
    for at, length, piece in changes:
        content = content[:at] + piece + content[at + length :]
    assert_read_or_refused(tmp_path / "a.xml", content)


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: f"<annotation>{text}</annotation>".encode()))
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_arbitrary_bytes_are_no_annotation_or_a_sound_one(tmp_path, content):
    assert_read_or_refused(tmp_path / "a.xml", content)


def assert_read_or_refused(path, content):
    path.write_bytes(content)
    try:
        found = read_annotation(path)
    except InputError as error:
        assert_one_sentence(str(error), path)
    else:
        assert (found.boxes[:, :2] < found.boxes[:, 2:]).all() and (found.boxes >= 0).all()
        assert (found.boxes[:, 2] <= found.width).all() and (found.boxes[:, 3] <= found.height).all()
