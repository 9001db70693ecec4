"""The photographs' data set: made from small archives that the tests make, fetched from a host that they start themselves.

The official hosts are never asked. What is compared with ../shared/photographs skips where that folder is absent.
"""

import errno
import gzip
import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from helpers_archives import Host, contents, instances, pack, serving
from helpers_voc import BASE, annotation, image, split_file, write_tree
from PIL import Image
from torchvision.datasets import VOCDetection

from emojivoc import statistics
from groundwork import archives
from groundwork.archives import Archive
from groundwork.errors import InputError
from voc_tree import photographs
from voc_tree.annotation import CLASSES, read_annotation, to_xml
from voc_tree.photographs import COCO, INSTANCES, make
from voc_tree.tree import check
from yolo_core.__main__ import main

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT / "../shared/photographs"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the folder of photographs is not beside this checkout")

LISTED = (
    ("2008_000002", "voc2012_trainval", "val"),
    ("000000000139", "coco_val2017", "train"),
    ("000005", "voc2007_trainval", "train"),
    ("000000444010", "coco_other", "train"),
    ("000001", "voc2007_test", "val"),
    ("000000000632", "coco_val2017", "train"),
)
NAMES = [name for name, origin, _ in LISTED if origin != "coco_other"]


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A maker of small archives in tmp_path/lying, in the place of the official ones, and a small list. `small(**changes)` replaces the
    files of an archive; every host is one that nobody answers for."""

    def build(**changes: dict[str, bytes]) -> Path:
        lying = tmp_path / "lying"
        lying.mkdir(exist_ok=True)
        for origin, members in (contents() | changes).items():
            known = photographs.ARCHIVES[origin]
            pack(lying / known.name, members)
            content = (lying / known.name).read_bytes()
            made = Archive(f"http://127.0.0.1:9/{known.name}", len(content), hashlib.md5(content).hexdigest())
            monkeypatch.setitem(photographs.ARCHIVES, origin, made)
        return lying

    rows = "".join("\t".join(row) + "\n" for row in LISTED)
    (tmp_path / "list.gz").write_bytes(gzip.compress(rows.encode()))
    monkeypatch.setattr(photographs, "LIST", tmp_path / "list.gz")
    return build


@contextmanager
def hosted(monkeypatch, folder: Path) -> Iterator[Host]:
    """A host of the small archives, at which `ARCHIVES` points while it runs."""
    with serving(folder) as host, monkeypatch.context() as patch:
        for origin, known in photographs.ARCHIVES.items():
            patch.setitem(photographs.ARCHIVES, origin, Archive(f"{host.address}/{known.name}", known.size, known.md5))
        yield host


def digests(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()}


def refused(out: Path, lying: Path, says: str) -> str:
    """`make` refuses in one sentence, leaves no tree and every archive as it was. The sentence."""
    before = digests(lying)
    with pytest.raises(InputError, match=says) as caught:
        make(out, lying, progress=False)
    message = str(caught.value)
    assert "\n" not in message and "Traceback" not in message and message.endswith(".")
    assert not (out / BASE).exists() and [path for path in out.rglob("*") if path.is_file()] == []
    assert digests(lying) == before
    return message


def objects(out: Path, name: str) -> list[tuple[str, list[int], str]]:
    """Class, corners as they are written and `difficult` of each object."""
    nodes = ElementTree.parse(annotation(out, name)).findall("object")
    corners = ("xmin", "ymin", "xmax", "ymax")
    return [(n.findtext("name"), [int(n.findtext(f"bndbox/{c}")) for c in corners], n.findtext("difficult")) for n in nodes]


# The tree


def test_the_tree_is_clean_and_holds_the_pictures_of_the_list_in_its_order(tmp_path, small, capsys):
    said = make(tmp_path / "out", small())
    assert capsys.readouterr().out == "5 of 5 archives are there\n"
    assert check(tmp_path / "out") == []
    lines = {split: split_file(tmp_path / "out", split).read_text().split() for split in ("train", "val", "trainval")}
    assert lines["trainval"] == NAMES and lines["val"] == [NAMES[0], NAMES[3]] and lines["train"] == [NAMES[1], NAMES[2], NAMES[4]]
    for folder in ("JPEGImages", "Annotations"):
        assert sorted(path.stem for path in (tmp_path / "out" / BASE / folder).iterdir()) == sorted(NAMES)
    assert [len(VOCDetection(tmp_path / "out", image_set=split)) for split in ("train", "val")] == [3, 2]
    assert "holds 3 + 2 photographs now; 1 more of the list are in none of the archives" in said
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["VOCdevkit"]


def test_pictures_are_shrunk_to_a_longer_side_of_240_and_none_is_enlarged(tmp_path, small):
    make(tmp_path / "out", small(), progress=False)
    found = {name: Image.open(image(tmp_path / "out", name)) for name in NAMES}
    sizes = {"000005": (240, 180), "000001": (180, 240), "2008_000002": (240, 192)}
    assert {name: one.size for name, one in found.items()} == sizes | {"000000000139": (240, 180), "000000000632": (200, 145)}
    assert {(one.format, one.mode) for one in found.values()} == {("JPEG", "RGB")}
    original = Image.open(io.BytesIO(contents()["voc2007_trainval"]["VOCdevkit/VOC2007/JPEGImages/000005.jpg"]))
    reference = np.asarray(original.resize((240, 180), Image.Resampling.BOX), int)
    assert np.abs(np.asarray(found["000005"], int) - reference).mean() < 30  # another picture of noise is 80 away


def test_boxes_are_the_official_ones_scaled_in_1_based_inclusive_pixels(tmp_path, small):
    make(tmp_path / "out", small(), progress=False)
    # By hand, at 240 / 500 = 0.48: (52, 86, 471, 400) is (24.96, 41.28, 226.08, 192); (44.5, 1, 50, 80) is (21.36, 0.48, 24, 38.4).
    assert objects(tmp_path / "out", "2008_000002") == [("horse", [26, 42, 226, 192], "0"), ("person", [22, 1, 24, 38], "0")]
    assert objects(tmp_path / "out", "000005") == [("dog", [1, 1, 240, 180], "0")]
    assert objects(tmp_path / "out", "000001") == [("cat", [24, 116, 94, 178], "1")]  # (22.56, 114.72, 93.6, 178.08)


def test_coco_objects_go_by_vocs_names_crowds_are_difficult_and_specks_are_left_out(tmp_path, small):
    make(tmp_path / "out", small(), progress=False)
    # (33.6, 20.25, 100.1, 120.25) is (33, 20, 100, 120) in whole pixels and (12.4, 7.5, 37.5, 45) at 0.375; halves go to the even.
    assert objects(tmp_path / "out", "000000000139") == [(name, [13, 9, 38, 45], "0") for name in CLASSES]
    assert objects(tmp_path / "out", "000000000632") == [("person", [11, 21, 40, 60], "1")]


def test_a_tree_that_is_there_is_left_alone_and_nothing_is_fetched(tmp_path, small, monkeypatch):
    small()
    write_tree(tmp_path / "out", train=2, val=1)
    before = digests(tmp_path / "out")
    monkeypatch.setattr(photographs, "fetch", None)
    assert "is there already (2 in train, 1 in val pictures; the list has 3 and 2): nothing" in make(tmp_path / "out")
    assert digests(tmp_path / "out") == before


def test_what_else_lies_in_the_folder_stays(tmp_path, small):
    other = tmp_path / "out" / "VOCdevkit" / "VOC2007" / "mine.txt"
    other.parent.mkdir(parents=True)
    other.write_text("mine")
    make(tmp_path / "out", small(), progress=False)
    assert other.read_text() == "mine" and check(tmp_path / "out") == []


# What is fetched


def test_it_says_first_how_much_it_will_fetch_and_uses_what_lies_there(tmp_path, small, monkeypatch, capsys):
    lying, out = small(), tmp_path / "out"
    (out / "archives").mkdir(parents=True)
    name = photographs.ARCHIVES["voc2007_test"].name
    (out / "archives" / name).write_bytes((lying / name).read_bytes())
    with hosted(monkeypatch, lying) as host:
        size = sum(one.size for origin, one in photographs.ARCHIVES.items() if origin != "voc2007_test")
        make(out)
    assert capsys.readouterr().out == f"1 of 5 archives are there, {size / 1e9:.2f} GB will be fetched into {out / 'archives'}\n"
    assert sorted(path for path, _ in host.asked) == sorted(one.name for one in photographs.ARCHIVES.values() if one.name != name)
    assert digests(out / "archives") == digests(lying) and check(out) == []


def test_the_official_archives_are_those_of_voc_and_coco_and_weigh_four_gigabytes():
    found = photographs.ARCHIVES
    assert found["voc2007_test"].name == "VOCtest_06-Nov-2007.tar" and found["voc2012_trainval"].name == "VOCtrainval_11-May-2012.tar"
    assert found[COCO].name == "val2017.zip" and found["coco_annotations"].name == "annotations_trainval2017.zip"
    assert len({one.md5 for one in found.values()}) == 5 and all(len(one.md5) == 32 for one in found.values())
    assert sum(one.size for one in found.values()) == pytest.approx(3.98e9, rel=0.005)


def test_archives_go_where_they_are_told_to_and_those_of_the_folder_itself_are_used_too(tmp_path, small, monkeypatch):
    lying, own = small(), tmp_path / "out" / "archives" / photographs.ARCHIVES[COCO].name
    own.parent.mkdir(parents=True)
    own.write_bytes((lying / own.name).read_bytes())
    with hosted(monkeypatch, lying):
        make(tmp_path / "out", tmp_path / "elsewhere", progress=False)
    assert list(own.parent.iterdir()) == [own] and check(tmp_path / "out") == []
    assert digests(tmp_path / "elsewhere") == {name: digest for name, digest in digests(lying).items() if name != own.name}


def test_a_host_that_is_down_is_told_and_the_other_archives_are_kept(tmp_path, small):
    lying = small()
    (lying / photographs.ARCHIVES[COCO].name).unlink()
    refused(tmp_path / "out", lying, "val2017.zip: could not be fetched .*refused.*by other means")


# Archives that cannot be used


@pytest.mark.parametrize("origin", ["voc2007_trainval", COCO])
def test_a_torn_archive_is_told_before_anything_is_fetched(tmp_path, small, monkeypatch, origin):
    lying = small()
    path = lying / photographs.ARCHIVES[origin].name
    path.write_bytes(path.read_bytes()[:-2000])
    (lying / photographs.ARCHIVES["voc2012_trainval"].name).unlink()
    monkeypatch.setattr(archives, "urlopen", None)
    refused(tmp_path / "out", lying, f"{path.name}: expected md5 .*; delete it and run this again, or fetch http")


@pytest.mark.parametrize(
    ("origin", "member"),
    [
        ("voc2007_test", "VOCdevkit/VOC2007/JPEGImages/000001.jpg"),
        ("voc2012_trainval", "VOCdevkit/VOC2012/Annotations/2008_000002.xml"),
        (COCO, "val2017/000000000632.jpg"),
        ("coco_annotations", INSTANCES),
    ],
)
def test_a_missing_member_is_told_and_the_archives_are_kept(tmp_path, small, origin, member):
    members = {name: content for name, content in contents()[origin].items() if name != member}
    refused(
        tmp_path / "out", small(**{origin: members}), f"{photographs.ARCHIVES[origin].name}: expected {member} in it, found no such file"
    )


def test_a_name_that_cocos_annotations_lack_is_told(tmp_path, small):
    found = instances(annotations=[])
    found["images"] = found["images"][:1]
    lying = small(coco_annotations={INSTANCES: json.dumps(found).encode()})
    refused(tmp_path / "out", lying, f"annotations_trainval2017.zip: {INSTANCES} has no picture 000000000632; fetch")


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"images": [], "categories": [], "annotations": [{"category_id": 1}]}'])
def test_annotations_that_are_not_cocos_are_told(tmp_path, small, text):
    refused(tmp_path / "out", small(coco_annotations={INSTANCES: text.encode()}), f"expected COCO's annotations in {INSTANCES}, got ")


@pytest.mark.parametrize(
    ("ending", "content", "says"),
    [
        ("JPEGImages/000001.jpg", b"", "expected a picture, got an empty file"),
        ("Annotations/000001.xml", b"<a/>", "expected an <annotation>"),
    ],
)
def test_a_bad_file_in_an_archive_is_told_by_archive_and_name(tmp_path, small, ending, content, says):
    member = f"VOCdevkit/VOC2007/{ending}"
    lying = small(voc2007_test=contents()["voc2007_test"] | {member: content})
    refused(tmp_path / "out", lying, f"VOCtest_06-Nov-2007.tar/{member}: {says}")


def test_a_disk_that_fills_while_writing_leaves_no_tree_and_every_archive(tmp_path, small, monkeypatch):
    save, written = Image.Image.save, []

    def full(picture, path, *rest, **options):
        if len(written) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(path)
        save(picture, path, *rest, **options)

    lying = small()
    monkeypatch.setattr(Image.Image, "save", full)
    refused(tmp_path / "out", lying, "could not be written .No space left on device., the archives are kept; make room")
    assert len(written) == 3 and not (tmp_path / "out" / "VOCdevkit").exists()


def test_the_command_makes_the_tree_and_refuses_in_one_sentence(tmp_path, small, capsys):
    lying = small()
    arguments = ["data", "photographs", "--out", str(tmp_path / "out"), "--archives", str(lying)]
    (lying / photographs.ARCHIVES[COCO].name).rename(tmp_path / "kept.zip")
    assert main(arguments) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"error: {lying / 'val2017.zip'}: could not be fetched")
    (tmp_path / "kept.zip").rename(lying / "val2017.zip")
    assert main(arguments) == 0
    assert "holds 3 + 2 photographs now" in capsys.readouterr().out and main(["data", "check", str(tmp_path / "out")]) == 0


# What is committed


def test_the_list_is_small_names_each_picture_once_and_its_first_thousand_are_a_fair_sample():
    found = photographs.listed()
    assert photographs.LIST.stat().st_size < 40_000
    assert len({one.name for one in found}) == len(found) and {one.split for one in found} == {"train", "val"}
    counts, first = (Counter(one.origin for one in part) for part in (found, found[:1000]))
    assert set(counts) == {*photographs.ARCHIVES, "coco_other"} - {"coco_annotations"} and counts["coco_other"] < 10
    assert all(abs(first[origin] / 1000 - count / len(found)) < 0.04 for origin, count in counts.items())


def test_the_shipped_statistics_are_aggregates_of_the_lists_pictures():
    counts = Counter(one.split for one in photographs.listed())
    found = {split: statistics.photographs(split) for split in ("train", "val")}
    assert {split: one.images for split, one in found.items()} == counts
    assert all(sum(one.classes) == one.objects and sum(one.per_cell) == 49 * one.images for one in found.values())
    assert all(0 < statistics.photographs_ceiling(split) < 1 - found[split].cells_lost / 2 for split in found)
    assert set(json.loads(statistics.PHOTOGRAPHS.read_text())) == {"source", "statistics", "ceiling"}
    assert statistics.PHOTOGRAPHS.stat().st_size < 20_000


@needs_shared
def test_the_list_and_the_statistics_are_what_the_script_makes_of_the_shared_folder(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import photographs as script  # scripts/photographs.py, not the module of that name

    lines = {split: split_file(SHARED, split).read_text().split() for split in ("train", "val")}
    assert {split: [one.name for one in photographs.listed() if one.split == split] for split in lines} == lines
    shipped, listed = json.loads(statistics.PHOTOGRAPHS.read_text()), photographs.listed()
    monkeypatch.setattr(statistics, "PHOTOGRAPHS", tmp_path / "made.json")
    monkeypatch.setattr(photographs, "LIST", tmp_path / "made.gz")
    script.main(str(SHARED))
    assert photographs.listed() == listed
    made = json.loads(statistics.PHOTOGRAPHS.read_text())
    assert made["statistics"] == shipped["statistics"] and made["ceiling"] == pytest.approx(shipped["ceiling"], abs=1e-6)
    assert {split: statistics.photographs_ceiling(split) for split in lines} == made["ceiling"]


@needs_shared
def test_annotations_are_written_as_those_of_the_shared_folder_are_to_the_byte():
    for photo in photographs.listed()[:300]:
        text = annotation(SHARED, photo.name).read_text()
        found, database = read_annotation(annotation(SHARED, photo.name)), ElementTree.fromstring(text).findtext("source/database")
        rows = zip(found.labels.tolist(), found.boxes.int().tolist(), found.difficult.tolist(), strict=True)
        source = {"database": database, "annotation": photo.origin, "image": "flickr"}
        written = to_xml(photo.name, (found.width, found.height), source, [(CLASSES[label], box, False, hard) for label, box, hard in rows])
        assert written == text


@needs_shared
def test_boxes_are_scaled_as_those_of_the_shared_folder_are(monkeypatch):
    official = ROOT / "../shared/voc2012"
    if not official.is_dir():
        pytest.skip("../shared/voc2012, VOC 2012's annotations, is not here")
    boxes = {}
    for split in ("train", "val"):
        text = gzip.decompress((official / f"{split}.json.gz").read_bytes())
        boxes |= {name: ((width, height), rows) for name, width, height, rows in json.loads(text)["images"]}
    chosen = [one.name for one in photographs.listed() if one.origin == "voc2012_trainval"]
    for name in chosen:
        size, rows = boxes[name]
        found = read_annotation(annotation(SHARED, name))
        given = [(label, (x0 - 1, y0 - 1, x1, y1), False) for label, x0, y0, x1, y1 in rows]
        scaled = photographs._scaled(given, size, (found.width, found.height))
        assert [list(box) for _, box, _, _ in scaled] == found.boxes.int().tolist(), name
    assert len(chosen) == 3227
