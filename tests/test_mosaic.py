"""Mosaics: every pixel and every box comes from its picture, is cut where that picture is cut, and the last pictures come plain."""

import copy
import pickle

import numpy as np
import pytest
import torch
from helpers_voc import write_tree

from groundwork.errors import InputError
from trial.watch import train
from yolo_core.data.augment import LEAST, LEAST_SHARE, Augmented, Mosaic, mosaic
from yolo_core.data.voc import VocData, loader
from yolo_core.training.config import RunConfig
from yolo_core.training.step import Training
from yolo_core.training.train import mosaics

SIDE, PICTURES = 64, 40
FIELDS = ("boxes", "labels", "difficult")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Ten pictures of noise with 0 to 2 objects each."""
    return VocData(write_tree(tmp_path_factory.mktemp("tree"), train=10, val=4), "train", 224)


@pytest.fixture(scope="module")
def painted(data):
    """Pictures with 0 to 3 rectangles each, one below the other. Red is a rectangle's number (0: none), which is its label as well, green
    the picture's number; odd numbers are difficult."""
    rng = np.random.default_rng(0)
    images, targets, number = torch.zeros(PICTURES, 3, SIDE, SIDE, dtype=torch.uint8), [], 0
    for picture in range(PICTURES):
        images[picture, 1], boxes, labels = picture + 1, [], []
        for band in range(picture % 4):
            number += 1
            (left, right), top = sorted(rng.choice(SIDE + 1, 2, replace=False).tolist()), 21 * band + rng.integers(1, 12).item()
            bottom = top + rng.integers(1, 10).item()
            images[picture, 0, top:bottom, left:right] = number
            boxes.append([left, top, right, bottom])
            labels.append(number)
        targets.append(target(boxes, labels, [label % 2 == 1 for label in labels]))
    return holding(data, images, targets)


def target(boxes, labels, difficult):
    """A target of boxes in px."""
    return {
        "boxes": torch.tensor(boxes).float().view(-1, 4) / SIDE,
        "labels": torch.tensor(labels, dtype=torch.long),
        "difficult": torch.tensor(difficult, dtype=torch.bool),
    }


def holding(data, images, targets):
    """A split of other pictures."""
    made = copy.copy(data)
    made.ids, made.images, made.targets, made.size = [str(i) for i in range(len(images))], images, targets, images.shape[-1]
    return made


def parts(*boxes):
    """Four pictures with boxes (px): red is the picture's number, green the row, blue the column."""
    rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    images = [torch.stack([torch.full_like(rows, i), rows, columns]).to(torch.uint8) for i in range(4)]
    return [(image, target(b, [i] * len(b), [i == 2] * len(b))) for i, (image, b) in enumerate(zip(images, boxes, strict=True))]


def test_four_pictures_meet_with_a_corner_each_at_the_centre():
    image, _ = mosaic(parts([], [], [], []), 20, 40)
    whole = torch.stack([picture for picture, _ in parts([], [], [], [])])
    assert torch.equal(image[:, :40, :20], whole[0, :, 24:, 44:]), "the first, by its lower right corner"
    assert torch.equal(image[:, :40, 20:], whole[1, :, 24:, :44]), "the second, by its lower left corner"
    assert torch.equal(image[:, 40:, :20], whole[2, :, :24, 44:]), "the third, by its upper right corner"
    assert torch.equal(image[:, 40:, 20:], whole[3, :, :24, :44]), "the fourth, by its upper left corner"


def test_boxes_move_with_their_pictures_and_are_cut_with_them_by_hand():
    _, found = mosaic(parts([[40, 20, 60, 50]], [[0, 30, 64, 64]], [[50, 4, 60, 14], [2, 30, 12, 40]], [[30, 10, 64, 60]]), 20, 40)
    assert (found["boxes"] * SIDE).tolist() == [
        [0, 0, 16, 26],  # moved by (-44, -24), cut left and above
        [20, 6, 64, 40],  # moved by (20, -24), cut right
        [6, 44, 16, 54],  # moved by (-44, 40), whole; the one beside it has left the picture
        [50, 50, 64, 64],  # moved by (20, 40), cut right and below
    ]
    assert found["labels"].tolist() == [0, 1, 2, 3] and found["difficult"].tolist() == [False, False, True, False]


@pytest.mark.parametrize(
    ("box", "kept"),
    [
        ([42, 22, 46, 26], True),  # 2 x 2 px of 4 x 4 are left
        ([41, 22, 45, 26], False),  # 1 px wide
        ([42, 21, 46, 25], False),  # 1 px high
        ([26, 30, 46, 34], True),  # 2 of 20 px: a tenth
        ([25, 30, 46, 34], False),  # 2 of 21 px
    ],
)
def test_what_is_left_of_a_box_is_kept_from_two_pixels_and_a_tenth_of_its_area_on(box, kept):
    _, found = mosaic(parts([box], [], [], []), 20, 40)
    assert len(found["boxes"]) == kept


@pytest.mark.parametrize("epoch", range(8))
def test_a_box_lies_exactly_around_what_is_seen_of_its_object_with_its_label_and_mark(painted, epoch):
    whole = {label: box for t in painted.targets for label, box in zip(t["labels"].tolist(), (t["boxes"] * SIDE).tolist(), strict=True)}
    drawn = Mosaic(painted, seed=1)
    tested = 0
    for index in range(PICTURES):
        image, found = drawn.at(epoch, index)
        if len(shown := image[1].unique().tolist()) < 4:
            continue  # one picture twice: its objects have two boxes
        assert index + 1 in shown
        boxes = dict(zip(found["labels"].tolist(), (found["boxes"] * SIDE).tolist(), strict=True))
        assert len(boxes) == len(found["labels"]) and found["difficult"].tolist() == [label % 2 == 1 for label in boxes]
        for number in set(image[0].unique().tolist()) - {0}:
            seen = (image[0] == number).nonzero()
            (top, left), (bottom, right) = seen.amin(0).tolist(), (seen.amax(0) + 1).tolist()
            x0, y0, x1, y1 = whole[number]
            enough = min(right - left, bottom - top) >= LEAST and len(seen) >= LEAST_SHARE * (x1 - x0) * (y1 - y0) - 1e-3
            assert (number in boxes) == enough
            if enough:
                assert boxes.pop(number) == pytest.approx([left, top, right, bottom], abs=1e-4)
                tested += 1
        assert not boxes, "a box of something that is not to be seen"
    assert tested > PICTURES


def test_every_pixel_of_the_asked_picture_is_seen_one_time_in_four(data):
    side, draws = 24, 1500
    images = torch.zeros(50, 3, side, side, dtype=torch.uint8)
    images[0, 0] = 1
    images[0, 1], images[0, 2] = torch.meshgrid(*[torch.arange(side, dtype=torch.uint8)] * 2, indexing="ij")
    drawn = Mosaic(holding(data, images, [target([], [], [])] * 50), seed=0)
    seen = torch.zeros(side, side)
    for epoch in range(draws):
        image = drawn.at(epoch, 0)[0].long()
        place = image[1:, image[0] == 1]
        seen[place[0], place[1]] += 1
    assert (seen / draws - 1 / 4).abs().max() < 0.06


def test_the_centre_is_anywhere_at_least_a_fifth_from_every_edge(data):
    picture, held = parts([], [], [], [])[0]
    drawn = Mosaic(holding(data, picture.expand(10, 3, SIDE, SIDE), [held] * 10), 0)
    corners = torch.stack([drawn[key][0][1:, 0, 0] for key in range(500)]).long()  # row and column that the first picture starts with
    for found in SIDE - corners.T:
        assert sorted(set(found.tolist())) == list(range(13, 52))


def test_boxes_are_inside_and_upright_whatever_the_picture_holds(data):
    rng = np.random.default_rng(3)
    corners = np.sort(rng.random((10, 5, 2, 2)), axis=2).reshape(10, 5, 4)
    corners[:, 0] = [0, 0, 1, 1]
    boxes = torch.tensor(corners).float()
    held = {"labels": torch.zeros(5, dtype=torch.long), "difficult": torch.zeros(5, dtype=torch.bool)}
    drawn = Mosaic(holding(data, data.images[:, :, :63, :63], [{"boxes": b, **held} for b in boxes]), 0)
    for _, found in (drawn[key] for key in range(200)):
        assert ((found["boxes"] >= 0) & (found["boxes"] <= 1)).all()
        assert ((found["boxes"][:, 2:] - found["boxes"][:, :2]) * 63 >= LEAST - 1e-3).all()


def test_pictures_without_objects_give_a_mosaic_without_objects(data):
    empty = target([], [], [])
    images, targets = Mosaic(holding(data, data.images, [empty] * 10), 0).__getitems__([0, 13])
    assert images.shape == (2, 3, 224, 224) and images.dtype == torch.uint8
    for found in targets:
        for name in FIELDS:
            assert found[name].shape == empty[name].shape and found[name].dtype == empty[name].dtype


def test_a_mosaic_is_the_same_for_the_same_seed_and_epoch_and_another_for_others(data):
    drawn = Mosaic(data, 0)
    drawn.__getitems__([7, 3, 25])
    assert torch.equal(Mosaic(data, 0)[14][0], drawn[14][0]), "whatever was drawn before"
    others = [drawn[4], drawn[24], drawn[15], Mosaic(data, 1)[14]]
    assert not any(torch.equal(drawn[14][0], image) for image, _ in others), "another epoch, picture, or seed"


def test_drawing_leaves_the_global_random_state_and_the_pictures_as_they_were(data):
    drawn, before, state = Mosaic(data, 0), data.images.clone(), torch.get_rng_state()
    boxes = [t["boxes"].clone() for t in data.targets]
    drawn.__getitems__(list(range(20)))
    assert torch.equal(torch.get_rng_state(), state) and torch.equal(data.images, before)
    assert all(torch.equal(t["boxes"], b) for t, b in zip(data.targets, boxes, strict=True))
    assert torch.equal(drawn.images, before)


@pytest.mark.parametrize("wrap", [Mosaic, lambda data, seed: Augmented(Mosaic(data, seed, 14), seed)], ids=["mosaic", "augmented"])
def test_batches_do_not_depend_on_the_number_of_loading_processes(data, wrap):
    def batches(workers):
        found = loader(wrap(data, 0), 4, shuffle=True, seed=0, workers=workers)
        for epoch in range(2):
            found.set_epoch(epoch)
            yield from found

    for (a, targets_a), (b, targets_b) in zip(batches(0), batches(2), strict=True):
        assert torch.equal(a, b)
        assert all(torch.equal(x[name], y[name]) for x, y in zip(targets_a, targets_b, strict=True) for name in FIELDS)


def test_it_crosses_to_a_worker_without_the_pictures(data):
    sent = pickle.dumps(Mosaic(data, 0))
    assert len(sent) < data.images.nbytes / 10
    there = pickle.loads(sent)
    assert torch.equal(there[3][0], Mosaic(data, 0)[3][0]) and torch.equal(there.images, data.images)


def is_plain(image, data):
    return (data.images == image).all((1, 2, 3)).any().item()


@pytest.mark.parametrize("count", [0, 8, 10, 18, 30])
def test_pictures_come_plain_after_the_last_mosaic_inside_an_epoch_too(data, count):
    batches = loader(Mosaic(data, 5, count), 4, shuffle=True, seed=5)
    drawn = []
    for epoch in range(3):
        batches.set_epoch(epoch)
        drawn += [is_plain(image, data) for images, _ in batches for image in images]
    assert drawn == [False] * count + [True] * (30 - count)


def test_a_plain_picture_has_its_own_boxes(data):
    image, found = Mosaic(data, 0, count=0)[12]
    assert torch.equal(image, data.images[2]) and all(torch.equal(found[name], data.targets[2][name]) for name in FIELDS)


def test_mosaics_are_those_of_all_but_the_last_steps_by_hand():
    config = RunConfig(mosaic=True, close_mosaic=0.25, effective_batch=4, micro_batch=4)
    assert mosaics(config, length=10, steps=12) == 30  # nine steps of 4, 4 and 2 pictures are three epochs
    assert mosaics(config, length=10, steps=8) == 20  # six steps: two epochs
    assert mosaics(config, length=10, steps=7) == 18  # five steps: an epoch and two batches
    assert mosaics(RunConfig(mosaic=True, close_mosaic=0), length=160, steps=30) == 480
    assert mosaics(RunConfig(mosaic=True, close_mosaic=1), length=160, steps=30) == 0


def test_a_training_sees_mosaics_until_its_last_steps(data, tmp_path, monkeypatch):
    config = RunConfig(
        backbone="scratch", width=0.05, head="conv", dropout=0.0, epochs=2, effective_batch=4, micro_batch=4,
        mosaic=True, close_mosaic=1 / 3, seed=2,
    )  # fmt: skip
    seen, step = [], Training.step

    def watched(self, images, *rest):
        seen.append({is_plain(image, data) for image in images})
        return step(self, images, *rest)

    monkeypatch.setattr(Training, "step", watched)
    val = VocData(data.source.file.parents[4], "val", 224)
    run = train(config, data, val, tmp_path / "run", code="test", progress=False)
    assert seen == [{False}] * 4 + [{True}] * 2  # the second epoch is closed after its first batch of three
    assert run.config == config


def test_augmentation_changes_mosaics_and_goes_on_when_they_are_closed(data):
    closed, open_ = Augmented(Mosaic(data, 0, count=0), 0), Augmented(Mosaic(data, 0), 0)
    assert torch.equal(closed[12][0], Augmented(data, 0)[12][0])
    assert not torch.equal(open_[12][0], closed[12][0]) and not torch.equal(open_[12][0], Mosaic(data, 0)[12][0])


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(InputError, match="close_mosaic must be a share of the steps, 0 to 1"):
        RunConfig(mosaic=True, close_mosaic=share)
