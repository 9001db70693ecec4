"""What is carried to a bare machine with a graphics card, and what stays on the card there."""

import argparse
import json
import os
import sys
import tarfile
from pathlib import Path

import pytest
import torch
from helpers_voc import write_tree

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
import on_a_card  # noqa: E402
import pack_for_a_card  # noqa: E402

from groundwork.errors import InputError  # noqa: E402
from trial import watch  # noqa: E402
from yolo_core.data.voc import VocData  # noqa: E402
from yolo_core.training import resident  # noqa: E402
from yolo_core.training.config import RunConfig  # noqa: E402


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    root = write_tree(tmp_path_factory.mktemp("tree"), train=10, val=4)
    return VocData(root, "train", 224), VocData(root, "val", 224)


@pytest.fixture
def packed(splits, tmp_path, monkeypatch):
    """Packs the splits, with an empty archive for the packages, which come from a registry."""

    def pack(limit_mib=64.0):
        monkeypatch.setattr(pack_for_a_card, "site", lambda file, python: tarfile.open(file, "w:xz").close())
        pack_for_a_card.pack(tmp_path / "package", splits, 60, "3.12", limit_mib)
        return tmp_path / "package"

    return pack


def test_a_package_goes_where_a_link_leads(packed, tmp_path):
    (tmp_path / "larger").mkdir()
    (tmp_path / "package").symlink_to(tmp_path / "larger")
    assert packed().is_symlink() and {file.name for file in (tmp_path / "larger").iterdir()} == {
        pack_for_a_card.SITE,
        pack_for_a_card.PICTURES,
    }


def test_packages_that_were_unpacked_half_way_or_are_of_another_package_are_not_taken(tmp_path):
    given = argparse.Namespace(work=tmp_path / "work", package=tmp_path)
    (tmp_path / "work/site").mkdir(parents=True)
    for content in ("one", "two"):
        (tmp_path / "content").write_text(content)
        with tarfile.open(tmp_path / pack_for_a_card.SITE, "w:xz") as archive:
            archive.add(tmp_path / "content", "content")
        for _ in range(2):
            site = Path(on_a_card.prepare(given)["PYTHONPATH"].split(os.pathsep)[2])
            assert (site / "content").read_text() == content


def test_what_a_card_says_is_json_whatever_it_computes(tmp_path):
    on_a_card.note(tmp_path / "memory.json", "memory", {"found": {"losses_apart": [float("nan")]}})
    text = (tmp_path / "memory.json").read_text()
    found = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert found["parts"]["memory"]["found"] == {"losses_apart": [None]}


@pytest.mark.parametrize("option", ["--out", "--work"])
def test_a_place_that_cannot_be_made_is_told_and_nothing_is_left(tmp_path, capsys, option):
    (tmp_path / "file").touch()
    places = {"--out": tmp_path / "out", "--work": tmp_path / "work"} | {option: tmp_path / "file/x"}
    assert on_a_card.main(["--rehearse", *(str(word) for pair in places.items() for word in pair)]) == 2
    assert "cannot be made" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_package_takes_the_place_of_an_earlier_one_and_of_nothing_else(packed, tmp_path):
    assert packed() == packed()
    (tmp_path / "package/thesis.tex").write_text("mine")
    with pytest.raises(InputError, match="package: already there, and no package that this one renews; name another --out"):
        packed()
    assert (tmp_path / "package/thesis.tex").read_text() == "mine" and (tmp_path / "package" / pack_for_a_card.PICTURES).exists()


def test_photographs_arrive_with_their_targets_and_fingerprint_and_say_how_far_they_are_off(splits, packed, tmp_path):
    pack_for_a_card.unpack_pictures(packed(), tmp_path / "there")
    for split in splits:
        there = VocData(tmp_path / "there", split.source.file.stem, 224)
        assert there.ids == split.ids and there.fingerprint == split.fingerprint
        for found, wanted in zip(there.targets, split.targets, strict=True):
            assert all(torch.equal(found[key], wanted[key]) for key in wanted)
        assert "WebP of quality 60, on average" in there.reencoded and split.reencoded == ""
        off = (there.images.int() - split.images.int()).abs().float().mean().item()
        assert 0 < off < 8
    said = float(there.reencoded.split("average ")[1].split(" of")[0])
    assert said == pytest.approx(off, abs=0.2), "of both splits together"


def test_a_record_made_of_pictures_that_were_brought_along_says_so(splits, packed, tmp_path):
    pack_for_a_card.unpack_pictures(packed(), tmp_path / "there")
    there = [VocData(tmp_path / "there", name, 224) for name in ("train", "val")]
    config = RunConfig(backbone="scratch", width=0.05, head="conv", epochs=1, effective_batch=4, micro_batch=4)
    run = watch.train(config, *there, tmp_path / "run", code="test", progress=False, max_steps=1)
    assert run.record["data"]["reencoded"] == there[0].reencoded
    plain = watch.train(config, *splits, tmp_path / "plain", code="test", progress=False, max_steps=1)
    assert "reencoded" not in plain.record["data"]


def test_a_package_that_is_too_large_is_refused_in_a_sentence_and_leaves_nothing(packed, tmp_path):
    with pytest.raises(InputError, match=r"MiB .*git's files .*and 1 may travel; choose a lower --quality, or leave out records") as caught:
        packed(limit_mib=1.0)
    assert "\n" not in str(caught.value) and not (tmp_path / "package").exists()


def test_a_package_that_was_there_stays_when_the_new_one_is_refused(packed, tmp_path):
    before = packed()
    with pytest.raises(InputError):
        packed(limit_mib=1.0)
    assert (before / pack_for_a_card.PICTURES).exists()


# Pictures that stay on the card


def test_pictures_kept_on_the_device_train_the_same_net_bit_for_bit(splits, tmp_path, monkeypatch):
    config = RunConfig(backbone="scratch", width=0.05, head="conv", epochs=2, effective_batch=4, micro_batch=4, train_images=8)
    plain = watch.train(config, *splits, tmp_path / "plain", code="test", progress=False)
    held = []
    monkeypatch.setattr(resident, "room", lambda *_: float("inf"))
    monkeypatch.setattr(VocData, "held_on", lambda self, device, whole=VocData.held_on: held.append(whole(self, device)) or held[-1])
    kept = watch.train(config, *splits, tmp_path / "kept", code="test", progress=False)
    assert [len(data) for data in held] == [8, 4] and held[0].images.data_ptr() != splits[0].images.data_ptr()
    weights = plain.weights()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in kept.weights().items())
    assert json.dumps(kept.metrics, sort_keys=True) == json.dumps(plain.metrics, sort_keys=True)


def test_a_card_keeps_pictures_while_a_quarter_of_its_room_is_enough(splits, monkeypatch):
    detector = RunConfig(backbone="scratch", width=0.05, head="conv").detector()
    learning = sum(4 * p.numel() for p in detector.parameters())
    size = sum(data.images.nbytes for data in splits)
    for free, kept in ((4 * size + 3 * learning, True), (4 * size + 3 * learning - 4, False)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, 2**40))
        assert (size <= resident.room(detector, torch.device("cuda"))) is kept
    assert resident.room(detector, torch.device("cpu")) == 0
