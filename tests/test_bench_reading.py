"""Reading: the made-up tree is sound, and all ways to read it deliver the same pictures with the same boxes."""

import os
import subprocess
import sys

import pytest
import torch
from PIL import Image

from bench import bench_reading
from bench.bench_reading import HEIGHT, SIZE, WIDTH, Albumented, torchvision_data
from voc_tree.annotation import read_annotation
from voc_tree.tree import check
from yolo_core.data.voc import VocData


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("bench") / "tree"
    bench_reading.pictures(root, 4)
    return root


def test_pictures_have_the_size_of_voc_s_and_are_a_clean_voc_tree(tree):
    assert check(tree) == []
    data = VocData(tree, "train", SIZE)
    assert {Image.open(file).size for file in data.source.images} == {(WIDTH, HEIGHT)}
    assert len(data) == 4 and sum(len(target["labels"]) for target in data.targets) >= 4


def test_boxes_are_squashed_with_their_pictures(tree, tmp_path):
    """The same scene before and after: x stays, y shrinks to three quarters, to the pixel."""
    from emojivoc.emoji import draw

    for index in range(4):
        before = torch.tensor([item.box for item in draw("train", index, WIDTH).items]).float()
        after = read_annotation(tree / f"VOCdevkit/VOC2012/Annotations/train_{index:06d}.xml").boxes
        assert after[:, ::2].equal(before[:, ::2])
        assert (after[:, 1::2] - before[:, 1::2] * HEIGHT / WIDTH).abs().max() <= 1


@pytest.mark.parametrize("peer", [torchvision_data, Albumented])
def test_a_peer_delivers_our_labels_boxes_and_pictures(tree, peer):
    """The peers keep VOC's counting from 1; torchvision counts a background class, and cuts coordinates to whole pixels. The filters round,
    and OpenCV's is narrower."""
    ours, theirs = VocData(tree, "train", SIZE), peer(tree)
    scale = SIZE / torch.tensor([WIDTH, HEIGHT, WIDTH, HEIGHT])
    assert len(theirs) == len(ours)
    for (image, target), (other, seen) in zip((ours[i] for i in range(len(ours))), (theirs[i] for i in range(len(theirs))), strict=True):
        assert other.dtype == torch.uint8 and other.shape == image.shape == (3, SIZE, SIZE)
        apart = (torch.as_tensor(other).int() - image.int()).abs().float()
        assert apart.mean() < (0.5 if peer is torchvision_data else 4), "the same picture"
        assert (seen["labels"] - int(peer is torchvision_data)).equal(target["labels"])
        from_one = torch.as_tensor(seen["boxes"]).float() - torch.tensor([1, 1, 0, 0]) * scale
        torch.testing.assert_close(from_one, target["boxes"] * SIZE, atol=1 if peer is torchvision_data else 1e-3, rtol=0)


def test_reading_gives_a_row_a_peer_and_one_for_making_the_cache():
    rows = bench_reading.reading(images=3, repeats=1, workers=(0,))
    assert [row.name.rsplit(" ", 1)[-1] for row in rows] == ["torchvision", "albumentations", "torchvision's"]
    assert [row.part for row in rows] == ["reading", "reading", "itself"]
    assert all(row.ours[0] > 0 < row.theirs[0] for row in rows)


def test_a_pass_that_loses_a_picture_is_not_timed(monkeypatch):
    monkeypatch.setattr(Albumented, "__len__", lambda self: 2)
    with pytest.raises(AssertionError, match="the passes differ"):
        bench_reading.reading(images=3, repeats=1, workers=(0,))


def test_importing_albumentations_asks_nobody_for_a_newer_version(tree):
    """In a new process, where each attempt to look up a host is counted: without the variable there is one."""
    code = f"""if True:
        import socket, sys
        asked = []
        socket.getaddrinfo = lambda *names, **_: asked.append(names) or []
        import bench.bench_reading as bench_reading
        bench_reading.Albumented({str(tree)!r})
        assert "albumentations" in sys.modules
        sys.exit(len(asked))
    """
    environment = {key: value for key, value in os.environ.items() if key != "NO_ALBUMENTATIONS_UPDATE"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
