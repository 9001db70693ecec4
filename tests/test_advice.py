"""Advice is followed, and helps: what `data check` finds no fault in is trained on, and what a sentence says to do ends the fault."""

import re
import shutil
from pathlib import Path

import pytest
from helpers_voc import BASE, annotation, image, obj, split_file, write_tree, xml

from groundwork.errors import InputError
from groundwork.paths import ROOT
from voc_tree.tree import Split, check
from yolo_core.__main__ import main
from yolo_core.data.voc import VocData


def trains(root):
    """Whether both splits that a training needs can be read."""
    try:
        for split in ("train", "val"):
            VocData(root, split, 8, root / "cache")
    except InputError:
        return False
    return True


BROKEN = {
    "nothing": lambda root: None,
    "no val.txt": lambda root: split_file(root, "val").unlink(),
    "no train.txt": lambda root: split_file(root, "train").unlink(),
    "neither, but others": lambda root: [split_file(root, s).rename(split_file(root, f"dog_{s}")) for s in ("train", "val")],
    "no split": lambda root: [split_file(root, s).unlink() for s in ("train", "val")],
    "an empty val.txt": lambda root: split_file(root, "val").write_text("\n"),
    "val.txt a folder": lambda root: (split_file(root, "val").unlink(), split_file(root, "val").mkdir()),
    "a picture gone": lambda root: image(root, "val_000").unlink(),
    "a torn picture": lambda root: image(root, "train_001").write_bytes(image(root, "train_001").read_bytes()[:99]),
    "an annotation gone": lambda root: annotation(root, "train_001").unlink(),
    "a wrong size": lambda root: annotation(root, "train_001").write_text(xml(size=(9, 9))),
    "an unknown class": lambda root: annotation(root, "val_001").write_text(xml(obj("unicorn"))),
    "no object at all": lambda root: [file.write_text(xml()) for file in (root / BASE / "Annotations").iterdir()],
    "no pictures' folder": lambda root: shutil.rmtree(root / BASE / "JPEGImages"),
    "a split that nobody trains on": lambda root: split_file(root, "test").write_text("train_000\n"),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=list(BROKEN))
def test_a_tree_is_without_fault_exactly_where_a_training_takes_it(tmp_path, broken):
    root = write_tree(tmp_path / "tree", train=3, val=2)
    broken(root)
    assert (check(root) == []) == trains(root), check(root)


def follow(sentence):
    """Do what a sentence on a folder says; the folder to give then."""
    advice = sentence.rsplit("; ", 1)[1].removesuffix(".")
    if found := re.search(r"rename (\S+) to (\S+)", advice):
        Path(found[1]).rename(Path(found[1]).with_name(found[2]))
    if found := re.search(r"move (\S+) into (\S+)", advice):
        Path(found[2]).mkdir()
        Path(found[1]).rename(Path(found[2]) / Path(found[1]).name)
    return Path(re.search(r"pass (\S+)$", advice)[1])


LAID = {  # where the tree lies below the working folder, and what is given
    "VOC 2007": ("data/VOCdevkit/VOC2007", "data"),
    "VOC 2007, its devkit given": ("data/VOCdevkit/VOC2007", "data/VOCdevkit"),
    "VOC 2007, itself given": ("data/VOCdevkit/VOC2007", "data/VOCdevkit/VOC2007"),
    "a folder too high": ("data/unpacked/VOCdevkit/VOC2012", "data"),
    "a folder too high, VOC 2007": ("data/VOCtrainval/VOCdevkit/VOC2007", "data"),
    "the devkit": ("data/VOCdevkit/VOC2012", "data/VOCdevkit"),
    "the tree itself": ("data/VOCdevkit/VOC2012", "data/VOCdevkit/VOC2012"),
    "its pictures": ("data/VOCdevkit/VOC2012", "data/VOCdevkit/VOC2012/JPEGImages"),
    "its splits": ("data/VOCdevkit/VOC2012", "data/VOCdevkit/VOC2012/ImageSets/Main"),
    "no devkit": ("data/VOC2012", "data"),
    "no devkit, the tree given": ("data/VOC2012", "data/VOC2012"),
}


@pytest.mark.parametrize(("lies", "given"), LAID.values(), ids=list(LAID))
def test_a_folder_that_is_not_the_right_one_is_made_right_by_what_is_said(tmp_path, lies, given):
    made = write_tree(tmp_path / "made", train=2, val=1)
    (tmp_path / lies).parent.mkdir(parents=True)
    (made / BASE).rename(tmp_path / lies)
    (sentence,) = check(tmp_path / given)
    assert sentence.startswith(f"{tmp_path / given}: ")
    assert check(follow(sentence)) == []


@pytest.mark.parametrize("what", ["nothing", "an empty folder", "a file"])
def test_a_place_without_a_tree_gets_no_advice_to_give_that_very_place(tmp_path, what):
    root = tmp_path / "data"
    if what != "nothing":
        root.write_text("") if what == "a file" else root.mkdir()
    (sentence,) = check(root)
    assert "data voc --out" in sentence and f"pass {root}." not in sentence


def test_to_build_a_book_is_no_advice_where_there_is_no_such_profile(capsys):
    assert main(["pdf", "--profile", "nope"]) == 2
    assert "unknown profile 'nope'; choose one of" in capsys.readouterr().err


@pytest.mark.parametrize("empty", ["VOCdevkit/VOC2006", "VOC2012"])
def test_a_folder_without_pictures_is_not_taken_for_the_tree(tmp_path, empty):
    made = write_tree(tmp_path / "made", train=2, val=1)
    (tmp_path / "data/VOCdevkit").mkdir(parents=True)
    (made / BASE).rename(tmp_path / "data/VOCdevkit/VOC2007")
    (tmp_path / "data" / empty).mkdir()
    (sentence,) = check(tmp_path / "data")
    assert check(follow(sentence)) == []


def test_an_empty_folder_of_the_trees_name_is_not_worth_a_move(tmp_path):
    (tmp_path / "data/VOC2012").mkdir(parents=True)
    (sentence,) = check(tmp_path / "data")
    assert "move" not in sentence and "data voc --out" in sentence


def test_what_a_system_keeps_beside_the_splits_is_no_fault_and_no_split_to_choose(tmp_path):
    """macOS lays its ._train.txt, which is no text, beside train.txt on disks of other systems."""
    root = write_tree(tmp_path / "tree", train=3, val=2)
    for split in ("train", "val"):
        split_file(root, split).with_name(f"._{split}.txt").write_bytes(b"\0\x05\x16\x07\xff")
    assert check(root) == [] and trains(root)
    with pytest.raises(InputError, match="choose one of: train, val, or write it"):
        VocData(root, "test", 8)


def test_ids_with_a_space_or_an_ending_are_told_as_that(tmp_path):
    """As of one's own photographs: "remove one of them" and "replace it by a sound copy" led nowhere."""
    root = write_tree(tmp_path, train=2, val=1)
    file = split_file(root, "train")
    names = file.read_text().split()
    file.write_text("".join(f"{name} 00{number}\n" for number, name in enumerate(names)))
    assert [fault for fault in check(root) if "an id holds no space: rename the picture and its annotation" in fault] == check(root)
    file.write_text("".join(f"{name}.jpg\n" for name in names))
    found = [fault for fault in check(root) if "jpg.jpg" in fault]
    assert len(found) == 2 and all(
        f"{name}.jpg lies there, write its id without .jpg" in fault for name, fault in zip(names, found, strict=True)
    )
    with pytest.raises(InputError, match="lies there, write its id without .jpg"):
        Split(root, "train")
    file.write_text("".join(f"{name}  {there}\n" for name, there in zip(names, (-1, 1), strict=True)))
    assert check(root) == []


@pytest.mark.parametrize("gib", [0.6, 2.0, 2.6, 3.0, 3.5])
@pytest.mark.parametrize("head", ["full", "compressed"])
def test_what_a_plan_advises_ends_the_fault_or_is_said_not_to(head, gib, capsys):
    if main(["plan", "--head", head, "--vram-gib", str(gib)]) != 2:
        return
    error = capsys.readouterr().err
    tried = {
        "the compressed": ["--head", "compressed"],
        "the convolutional": ["--head", "conv"],
        "a frozen": ["--head", head, "--freeze"],
        "SGD": ["--head", head, "--optimiser", "sgd"],
    }
    ends = {
        way: main(["plan", "--vram-gib", str(gib), *words]) == 0
        for way, words in tried.items()
        if way in error.replace("or the conv", "the conv")
    }
    assert any(ends.values()) != ("none of these ends that alone" in error)
    if any(ends.values()):
        assert all(fits for way, fits in ends.items() if way in ("a frozen", "SGD")), ends


def test_of_a_committed_record_it_is_said_that_it_keeps_no_weights(tmp_path, capsys):
    lies = tmp_path / "focal-mse-0"
    shutil.copytree(ROOT / "records/pocket/focal-mse-0", lies)
    assert main(["eval", str(lies), "--data", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "committed records keep none: train this arm into another folder" in error and "moved away" not in error
