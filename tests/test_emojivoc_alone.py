"""EmojiVOC as a package of its own: `python -m emojivoc`, and COCO's form of its annotations."""

import contextlib
import io
import json

import pytest
import torch
from pycocotools.coco import COCO
from torchvision.datasets import VOCDetection
from torchvision.ops import box_convert

from emojivoc.__main__ import main
from voc_tree.annotation import CLASSES, read_annotation
from voc_tree.tree import Split


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("emojivoc") / "scenes"
    assert main(["--out", str(out), "--train", "6", "--val", "3", "--size", "64", "--coco-json"]) == 0
    return out


def test_torchvision_reads_the_tree(made):
    assert [len(VOCDetection(str(made), year="2012", image_set=split)) for split in ("train", "val")] == [6, 3]


@pytest.mark.parametrize("split", ["train", "val"])
def test_pycocotools_finds_the_boxes_classes_and_difficult_objects_of_the_tree(made, split):
    with contextlib.redirect_stdout(io.StringIO()):
        found = COCO(str(made / "annotations" / f"instances_{split}.json"))
    assert [c["name"] for c in found.loadCats(sorted(found.getCatIds()))] == list(CLASSES)
    listed = Split(made, split)
    assert len(found.imgs) == len(listed.annotations)
    for number, xml in enumerate(listed.annotations, start=1):
        wanted, got = read_annotation(xml), found.loadAnns(found.getAnnIds(imgIds=number))
        boxes = torch.tensor([one["bbox"] for one in got]).reshape(-1, 4)
        torch.testing.assert_close(box_convert(boxes, "xywh", "xyxy"), wanted.boxes)
        assert [one["category_id"] - 1 for one in got] == wanted.labels.tolist()
        assert [bool(one["iscrowd"]) for one in got] == wanted.difficult.tolist()


def test_asking_for_no_scene_is_one_sentence(tmp_path, capsys):
    assert main(["--out", str(tmp_path / "none"), "--train", "0"]) == 2
    assert capsys.readouterr().err.count("\n") == 1 and not (tmp_path / "none").exists()


def test_the_same_seed_gives_the_same_instances(made, tmp_path):
    assert main(["--out", str(tmp_path / "again"), "--train", "6", "--val", "3", "--size", "64", "--coco-json"]) == 0
    files = [folder / "annotations/instances_val.json" for folder in (made, tmp_path / "again")]
    assert json.loads(files[0].read_text()) == json.loads(files[1].read_text())


def test_instances_of_the_users_are_kept_and_the_same_ones_are_left_alone(made, tmp_path, capsys):
    words = ["--out", str(tmp_path / "again"), "--train", "6", "--val", "3", "--size", "64"]
    assert main(words) == 0
    mine, other = (tmp_path / "again/annotations" / f"instances_{split}.json" for split in ("val", "train"))
    mine.parent.mkdir()
    capsys.readouterr()
    for lay in (lambda: mine.write_text('{"images": []}'), lambda: mine.write_text("notes"), lambda: mine.symlink_to(tmp_path / "nowhere")):
        lay()
        before = mine.is_symlink() or mine.read_text()
        assert main([*words, "--coco-json"]) == 2
        assert f"error: {mine}: already there" in (said := capsys.readouterr().err) and said.count("\n") == 1
        assert (mine.is_symlink() or mine.read_text()) == before and not other.exists(), "neither of the two is written"
        mine.unlink()
    mine.write_text(json.dumps(json.loads((made / "annotations/instances_val.json").read_text())))
    before = mine.read_bytes()
    assert main([*words, "--coco-json"]) == 0 and main([*words, "--coco-json"]) == 0
    assert mine.read_bytes() == before and other.read_bytes() == (made / "annotations/instances_train.json").read_bytes()
