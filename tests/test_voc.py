"""The reader of VOC trees on good input: boxes, pictures, splits, the cache."""

import json
import pickle
from pathlib import Path

import defusedxml.ElementTree
import numpy as np
import pytest
import torch
import torchvision.datasets.voc
from helpers_voc import SIZE, annotation, image, obj, picture, split_file, write_tree, xml
from PIL import Image
from torchvision.datasets import VOCDetection
from torchvision.transforms import v2

from groundwork.errors import InputError
from voc_tree import cache as cache_module
from voc_tree import tree as tree_module
from voc_tree.annotation import CLASSES, read_annotation
from voc_tree.picture import read_image
from voc_tree.tree import check
from yolo_core.data.voc import VocData, loader

PHOTOS = Path(__file__).resolve().parents[1] / "../shared/photos"
needs_photos = pytest.mark.skipif(not PHOTOS.is_dir(), reason="the folder of real photographs is not beside this checkout")


def read(tmp_path: Path, text: str):
    path = tmp_path / "a.xml"
    path.write_text(text)
    return read_annotation(path)


def same(a: VocData, b: VocData) -> bool:
    targets = zip(a.targets, b.targets, strict=True)
    return a.ids == b.ids and torch.equal(a.images, b.images) and all(torch.equal(s[k], t[k]) for s, t in targets for k in s)


# Annotations


def test_the_twenty_classes_are_alphabetical():
    assert len(CLASSES) == 20 and list(CLASSES) == sorted(CLASSES)


@pytest.mark.parametrize(
    ("inclusive", "continuous"),
    [
        ((1, 1, 10, 20), (0, 0, 10, 20)),
        ((5, 5, 5, 5), (4, 4, 5, 5)),
        ((1, 1, 60, 40), (0, 0, 60, 40)),
        ((45.5, 2.25, 50.75, 8), (44.5, 1.25, 50.75, 8)),
        ((0, 0, 61, 41), (0, 0, 60, 40)),
    ],
    ids=["from the first pixel", "a single pixel", "the whole picture", "fractions", "one pixel over is clipped"],
)
def test_inclusive_pixels_become_continuous_boxes(tmp_path, inclusive, continuous):
    assert read(tmp_path, xml(obj(box=inclusive))).boxes.tolist() == [list(continuous)]


def test_an_annotation_holds_its_id_size_labels_and_difficult_flags(tmp_path):
    found = read(tmp_path, xml(obj("tvmonitor", difficult="1"), obj("aeroplane", difficult=None)))
    assert (found.image, found.width, found.height) == ("a", *SIZE)
    assert found.labels.tolist() == [19, 0] and found.difficult.tolist() == [True, False]


def test_an_annotation_without_objects_is_background(tmp_path):
    found = read(tmp_path, xml())
    assert found.boxes.shape == (0, 4) and found.labels.dtype == torch.int64 and found.difficult.dtype == torch.bool


def test_boxes_of_parts_are_not_objects(tmp_path):
    head = "<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>4</xmax><ymax>4</ymax></bndbox></part>"
    assert read(tmp_path, xml(obj("person", extra=head))).boxes.tolist() == [[10, 5, 30, 25]]


def test_objects_buried_in_other_elements_are_not_objects(tmp_path):
    assert read(tmp_path, xml(obj("dog"), extra=f"<history>{obj('cat')}</history>")).labels.tolist() == [CLASSES.index("dog")]


def test_depth_beside_what_is_read_does_no_harm(tmp_path):
    assert len(read(tmp_path, xml(obj(), extra="<a>" * 20_000 + "</a>" * 20_000)).labels) == 1


def test_torchvision_parses_with_defusedxml():
    assert torchvision.datasets.voc.ET_parse is defusedxml.ElementTree.parse


# Pictures


def test_a_picture_is_squashed_as_torchvision_resizes_with_antialias(tmp_path):
    path = picture(tmp_path / "a.jpg", (97, 61))
    pixels, original = read_image(path, 32)
    reference = v2.functional.resize(v2.functional.pil_to_tensor(Image.open(path)), [32, 32], antialias=True)
    assert original == (97, 61) and pixels.shape == (3, 32, 32) and pixels.dtype == torch.uint8
    assert (pixels.int() - reference.int()).abs().max() <= 1


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
def test_pictures_of_any_jpeg_mode_become_rgb(tmp_path, mode):
    Image.new("RGB", (20, 10), (200, 200, 200)).convert(mode).save(tmp_path / "a.jpg")
    pixels, _ = read_image(tmp_path / "a.jpg", 8)
    assert (pixels.int() - 200).abs().max() <= 2


def test_sixteen_bit_grey_is_scaled_and_not_clipped(tmp_path):
    Image.fromarray(np.full((10, 10), 128 << 8, dtype=np.uint16)).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png", 4)[0].unique().tolist() == [128]


def test_a_picture_of_one_pixel_is_a_picture(tmp_path):
    pixels, original = read_image(picture(tmp_path / "a.jpg", (1, 1)), 4)
    assert original == (1, 1) and pixels.shape == (3, 4, 4)


def test_exif_orientation_is_left_alone_because_boxes_are_in_stored_pixels(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn me by 90 degrees"
    Image.new("RGB", (20, 10)).save(tmp_path / "a.jpg", exif=exif)
    assert read_image(tmp_path / "a.jpg", 4)[1] == (20, 10)


# Splits


@pytest.mark.parametrize(
    "text",
    ["train_000\ntrain_001", "\n train_000\r\n\r\ntrain_001 \r\n\n", "train_000  1\ntrain_001 -1\n", "\ufefftrain_000\ntrain_001\n"],
    ids=["no last newline", "blank lines and CRLF", "second column", "byte order mark"],
)
def test_split_files_are_read_leniently(tmp_path, text):
    split_file(write_tree(tmp_path, train=3, val=1), "train").write_bytes(text.encode())
    assert VocData(tmp_path, "train", 8).ids == ["train_000", "train_001"] and check(tmp_path) == []


def test_a_split_of_any_name_is_read(tmp_path):
    assert len(VocData(write_tree(tmp_path, train=1, test=3), "test", 8)) == 3


def test_what_no_split_names_is_no_fault(tmp_path):
    write_tree(tmp_path, train=2, val=1)
    annotation(tmp_path, "stray").write_text("not even XML")
    assert check(tmp_path) == []


# The data and their cache


def test_targets_are_normalised_and_keep_difficult_objects(tmp_path):
    data = VocData(write_tree(tmp_path, train=3), "train", 8)
    image, target = data[2]
    assert data.images.shape == (3, 3, 8, 8) and image.dtype == torch.uint8
    torch.testing.assert_close(target["boxes"], torch.tensor([[2 / 60, 0, 22 / 60, 0.5], [0.5, 0, 1, 1]]))
    assert target["labels"].tolist() == [CLASSES.index("dog"), CLASSES.index("cat")]
    assert target["difficult"].tolist() == [False, True]
    assert [len(t["labels"]) for t in data.targets] == [0, 1, 2]


def test_targets_read_without_pictures_are_those_read_with_them(tmp_path):
    found, reference = tree_module.targets(write_tree(tmp_path, train=4), "train"), VocData(tmp_path, "train", 8).targets
    assert [set(target) for target in found] == [set(target) for target in reference]
    assert all(torch.equal(a[key], b[key]) for a, b in zip(found, reference, strict=True) for key in a)


def test_a_split_without_any_object_is_read(tmp_path):
    assert VocData(write_tree(tmp_path, train=1), "train", 8).targets[0]["boxes"].shape == (0, 4)


def test_a_batch_holds_the_single_items_and_changing_it_changes_nothing(tmp_path):
    data = VocData(write_tree(tmp_path, train=4), "train", 8)
    images, targets = data.__getitems__([3, 1])
    assert torch.equal(images, torch.stack([data[3][0], data[1][0]]))
    images.zero_()
    targets[1].clear()
    assert data[3][0].any() and set(data.targets[1]) == {"boxes", "labels", "difficult"}


def test_the_second_opening_reads_the_cache_alone_and_is_equal_bit_for_bit(tmp_path, monkeypatch):
    first = VocData(write_tree(tmp_path, train=5), "train", 8)

    def refuse(*_):
        raise AssertionError("the tree was read again")

    monkeypatch.setattr(cache_module, "read_image", refuse)
    monkeypatch.setattr(cache_module, "read_annotation", refuse)
    second = VocData(tmp_path, "train", 8)
    assert same(first, second) and first.fingerprint == second.fingerprint
    assert len(list(loader(second, 2, shuffle=True, seed=0))) == 3
    with pytest.raises(AssertionError):
        VocData(tmp_path, "train", 9)


def test_changed_data_get_a_new_cache_and_a_new_fingerprint(tmp_path):
    first = VocData(write_tree(tmp_path, train=3), "train", 8)
    annotation(tmp_path, "train_000").write_text(xml(obj("cow")))
    second = VocData(tmp_path, "train", 8)
    assert second.targets[0]["labels"].tolist() == [CLASSES.index("cow")] and first.fingerprint != second.fingerprint


def test_a_changed_picture_changes_the_fingerprint(tmp_path):
    first = VocData(write_tree(tmp_path, train=3), "train", 8)
    picture(image(tmp_path, "train_000"), seed=99)
    second = VocData(tmp_path, "train", 8)
    assert first.fingerprint != second.fingerprint and not torch.equal(first.images[0], second.images[0])


def test_caches_of_two_sizes_live_side_by_side(tmp_path, recwarn):
    write_tree(tmp_path, train=3)
    assert [VocData(tmp_path, "train", size).images.shape[-1] for size in (8, 9, 8)] == [8, 9, 8]
    assert len(list((tmp_path / ".cache").iterdir())) == 2 and not recwarn.list


def test_the_fingerprint_tells_contents_and_size_and_not_places_or_times(tmp_path):
    here, there = (VocData(write_tree(tmp_path / name, train=3), "train", 8) for name in ("here", "there"))
    assert here.fingerprint == there.fingerprint != VocData(tmp_path / "here", "train", 9).fingerprint


@pytest.mark.parametrize(
    ("name", "tear"),
    [
        pytest.param("images.npy", lambda content: content[:-1], id="images one byte short"),
        pytest.param("images.npy", lambda content: b"", id="images empty"),
        pytest.param("targets.safetensors", lambda content: content[:40], id="targets cut off"),
        pytest.param("meta.json", lambda content: content[:-5], id="meta cut off"),
        pytest.param("meta.json", lambda content: b"[]", id="meta of another kind"),
        pytest.param("images.npy", None, id="no images"),
        pytest.param("targets.safetensors", None, id="no targets"),
        pytest.param("meta.json", None, id="no meta"),
    ],
)
def test_a_torn_cache_is_built_again_and_says_so(tmp_path, name, tear):
    first = VocData(write_tree(tmp_path, train=3), "train", 8)
    images = first.images.clone()
    (place,) = (tmp_path / ".cache").iterdir()
    content = (place / name).read_bytes()
    (place / name).unlink()
    if tear:
        (place / name).write_bytes(tear(content))
    with pytest.warns(UserWarning, match="the cache is torn"):
        second = VocData(tmp_path, "train", 8)
    assert torch.equal(second.images, images) and (place / name).read_bytes() == content


def test_a_failed_build_leaves_nothing_behind(tmp_path):
    write_tree(tmp_path, train=3)
    image(tmp_path, "train_002").write_bytes(b"")
    with pytest.raises(InputError):
        VocData(tmp_path, "train", 8)
    assert not (tmp_path / ".cache").exists()


def test_a_build_that_loses_a_race_uses_the_winner_s_cache(tmp_path, monkeypatch):
    write_tree(tmp_path, train=3)
    build = cache_module._build
    monkeypatch.setattr(cache_module, "_build", lambda *inputs: (build(*inputs), build(*inputs)))
    assert len(VocData(tmp_path, "train", 8)) == 3 and len(list((tmp_path / ".cache").iterdir())) == 1


def test_the_cache_goes_where_it_is_told(tmp_path):
    VocData(write_tree(tmp_path / "data", train=2), "train", 8, cache=tmp_path / "elsewhere")
    (place,) = (tmp_path / "elsewhere").iterdir()
    assert not (tmp_path / "data" / ".cache").exists()
    assert len(json.loads((place / "meta.json").read_text())["fingerprint"]) == 64


def test_data_cross_to_a_worker_without_their_pictures(tmp_path):
    data = VocData(write_tree(tmp_path, train=3), "train", 64)
    sent = pickle.dumps(data)
    assert len(sent) < 5_000 and same(pickle.loads(sent), data)


# The loader


def test_a_sample_of_a_list_sorted_by_name_is_drawn_from_all_of_it_the_same_each_time(tmp_path):
    data = VocData(write_tree(tmp_path, train=40, val=1), "train", 8)
    assert data.ids == sorted(data.ids) and not data.in_fair_order
    small, large = data.sample(10), data.sample(20)
    assert small.ids == data.sample(10).ids == large.ids[:10], "a smaller sample is part of a larger one"
    assert small.ids != data.ids[:10] and len(set(small.ids)) == 10 and max(map(data.ids.index, small.ids)) >= 20
    for i, name in enumerate(small.ids):
        whole = data.ids.index(name)
        assert torch.equal(small.images[i], data.images[whole]) and torch.equal(small.targets[i]["boxes"], data.targets[whole]["boxes"])
    crossed = pickle.loads(pickle.dumps(small.sample(5)))
    assert crossed.ids == small.ids[:5] and torch.equal(crossed.images, small.images[:5]) and same(crossed, small.sample(5))


def test_a_sample_of_a_list_in_no_order_and_of_emojivoc_is_its_first_pictures(tmp_path):
    root = write_tree(tmp_path / "shuffled", train=12, val=1)
    file = root / "VOCdevkit/VOC2012/ImageSets/Main/train.txt"
    file.write_text("\n".join(reversed(file.read_text().split())))
    data = VocData(root, "train", 8)
    assert data.in_fair_order and data.sample(4).ids == data.ids[:4]
    drawn = write_tree(tmp_path / "drawn", train=12, val=1)
    (drawn / "emojivoc.json").write_text("{}")
    assert VocData(drawn, "train", 8).sample(4).ids == data.ids[::-1][:4]


# Real photographs


@needs_photos
def test_the_real_photographs_are_clean():
    assert check(PHOTOS) == []


@needs_photos
def test_all_real_photographs_are_read_and_the_cache_gives_them_back_bit_for_bit(tmp_path):
    first, second = (VocData(PHOTOS, "trainval", 64, cache=tmp_path) for _ in range(2))
    assert first.images.shape == (64, 3, 64, 64) and same(first, second)
    for index in (0, 40, 63):
        assert torch.equal(first.images[index], read_image(first.source.images[index], 64)[0])
    boxes = torch.cat([target["boxes"] for target in first.targets])
    assert ((boxes >= 0) & (boxes <= 1)).all() and (boxes[:, 2:] > boxes[:, :2]).all()


@needs_photos
def test_every_object_of_the_real_photographs_is_as_torchvision_reads_it(tmp_path):
    data, reference = VocData(PHOTOS, "val", 32, cache=tmp_path), VOCDetection(PHOTOS, image_set="val")
    assert (data.source.images, data.source.annotations) == (reference.images, reference.annotations)
    difficult = 0
    for index in range(len(reference)):
        picture, parsed = reference[index]
        objects = parsed["annotation"]["object"]
        corners = [[float(thing["bndbox"][key]) for key in ("xmin", "ymin", "xmax", "ymax")] for thing in objects]
        expected = (torch.tensor(corners) - torch.tensor([1, 1, 0, 0])) / torch.tensor(picture.size).repeat(2)
        torch.testing.assert_close(data.targets[index]["boxes"], expected)
        assert [CLASSES[label] for label in data.targets[index]["labels"]] == [thing["name"] for thing in objects]
        assert data.targets[index]["difficult"].tolist() == [thing["difficult"] == "1" for thing in objects]
        difficult += int(data.targets[index]["difficult"].sum())
    assert difficult == sum(Path(path).read_text().count("<difficult>1<") for path in reference.annotations)
