"""The forest plot shows what findings say, of every sentence, where it can be read; and the committed pictures are of today's records."""

import math
import re
from dataclasses import replace
from xml.etree import ElementTree

import evidence
import pytest
from matplotlib.colors import to_hex
from test_full_disk import refused
from test_nothing_overwritten import contents

from book.press import publish
from trial.figures import forest
from trial.figures.figures import BLUE, ORANGE
from trial.figures.forest import EDGE, FILES, described, digest, distance, draw, html, mark, write
from trial.register import committed
from trial.register.claims import CLAIMS
from trial.register.verdicts import judge, least_seeds, register
from yolo_core.__main__ import main

COMMITTED = [finding for profile in committed.JUDGED for finding in evidence.findings(profile)]
STORED = [run.record for run in evidence.stored("pocket")]
# As it will be: the same records once more, under the name of the other data set.
WHOLE = [*evidence.findings("pocket"), *register(STORED, "photographs (of three sets)")]
OF = {claim.id: claim for claim in CLAIMS}
R1 = [
    {"config": {"experiment": "remedies", "arm": arm, "seed": seed}, "metrics": {"map": value}}
    for arm, values in (("base", (0.1, 0.1, 0.1)), ("decoupled", (0.2, 0.21, 0.19)))
    for seed, value in enumerate(values)
]
HOLDS = replace(judge(OF["R1"], R1), firm=True)  # at a ratio of 2, 0.82 thresholds above 1.1
OPEN = replace(HOLDS, verdict="INCONCLUSIVE", firm=False)


@pytest.mark.parametrize("name", FILES)
def test_the_committed_picture_is_of_the_committed_records(name):
    drawn = re.search(r"<dc:identifier>(\w+)</dc:identifier>", (forest.FOLDER / name).read_text())[1]
    assert drawn == digest(COMMITTED), "records or sentences have changed: draw it anew by `python -m yolo_core forest`"


def test_the_digest_changes_with_what_is_drawn_and_not_with_rounding():
    same = digest([HOLDS])
    assert digest([replace(HOLDS, effect=HOLDS.effect * (1 + 1e-12))]) == same
    others = [replace(HOLDS, firm=False), replace(HOLDS, effect=2.1), OPEN, replace(HOLDS, data="another")]
    assert len({same, *(digest([other]) for other in others)}) == 5


def test_an_effect_is_measured_in_units_of_its_threshold_with_the_claimed_side_to_the_right():
    assert distance(OF["C2b"], 5.0, 2.0) == pytest.approx(1.5)  # above 2
    assert distance(OF["C1"], 0.1, 0.5) == pytest.approx(0.8)  # below 0.5
    assert distance(OF["C1"], 0.75, 0.5) == pytest.approx(-0.5)
    assert distance(OF["C3a"], 7.0, 3.5) == pytest.approx(0.5)  # between 3.5 and 14: (7 - 3.5) / 3.5 and (14 - 7) / 14
    assert distance(OF["C3a"], 21.0, 3.5) == pytest.approx(-0.5)


def test_where_the_threshold_is_0_the_unit_is_half_the_interval():
    finding = judge(OF["R3a"], [])
    of = replace(finding, seeds=(0, 1, 2), effects=(0.1, 0.2, 0.3), effect=0.2, interval=(0.1, 0.3))
    assert (mark(of).low, mark(of).at, mark(of).high) == pytest.approx((1, 2, 3))
    assert mark(replace(of, interval=None)).note == "n = 3"


def test_a_mark_lies_right_of_the_line_where_its_sentence_holds_and_left_where_it_fails():
    seen = set()
    for finding in WHOLE:
        found = mark(finding)
        if not found.note:
            seen.add(finding.verdict)
            assert found.low <= found.at <= found.high
            sides = {"HOLDS": found.low > 0, "FAILS": found.high < 0, "INCONCLUSIVE": found.low <= 0 <= found.high}
            assert sides[finding.verdict] or len(finding.seeds) < least_seeds(finding.claim, finding.data), finding.claim.id
    assert seen == {"HOLDS", "FAILS", "INCONCLUSIVE"}


def test_why_there_is_no_mark_is_said():
    assert mark(judge(OF["R1"], [])).note == "not run"
    assert mark(replace(HOLDS, effect=math.nan)).note == "at the floor"
    assert mark(judge(OF["H2"], [])).note == "predicted"


def looks(*findings):
    """Shape, face and edge of the marks of one row, and the words of the picture."""
    axes = draw(list(findings)).axes[0]
    row = [line for line in axes.lines if line.get_marker() not in ("None", "") and line.get_ydata()[0] > 0.9]
    found = [(line.get_marker(), to_hex(line.get_markerfacecolor()), to_hex(line.get_markeredgecolor())) for line in row]
    return found, [text.get_text() for text in axes.texts]


def test_data_sets_differ_in_shape_and_colour_and_firm_verdicts_are_filled_and_open_ones_pale():
    photographs = replace(HOLDS, data="photographs (of three sets)")
    assert looks(HOLDS, photographs)[0] == [("o", BLUE, BLUE), ("s", ORANGE, ORANGE)]
    assert looks(replace(HOLDS, firm=False))[0] == [("o", "#ffffff", BLUE)]
    ((shape, face, edge),) = looks(OPEN)[0]
    assert (shape, face) == ("o", "#ffffff") and edge == forest._pale(BLUE) != BLUE


def test_a_data_set_that_is_not_run_leaves_the_other_s_mark_alone_and_two_that_are_not_are_told():
    none = judge(OF["R1"], [], "photographs")
    found, words = looks(HOLDS, none)
    assert found == [("o", BLUE, BLUE)] and "not run" not in words
    assert looks(judge(OF["R1"], []), none)[1].count("not run") == 1
    found, words = looks(replace(HOLDS, effect=math.nan), replace(HOLDS, data="photographs"))
    assert words.count("at the floor") == 1 and {shape for shape, *_ in found} == {"o", "s"}, "and whose mark is missing"


def test_what_lies_beyond_the_axis_ends_in_an_arrow_at_its_edge():
    far, wide = replace(HOLDS, effect=9.0, interval=(8.0, 10.0)), replace(HOLDS, interval=(-9.0, 13.0))
    assert {shape for shape, *_ in looks(far)[0]} == {">"}
    assert sorted(shape for shape, *_ in looks(wide)[0]) == ["<", ">", "o"]
    drawn = [x for line in draw([far, replace(wide, data="photographs")]).axes[0].lines for x in line.get_xdata()]
    assert max(drawn) <= forest.WIDE.width and forest.WIDE.x(99) == forest.WIDE.x(EDGE) == forest.WIDE.axis[1]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("findings", [COMMITTED, WHOLE, [*register([]), *register([], "photographs")]], ids=["committed", "whole", "none"])
def test_every_sentence_stands_in_the_picture_with_whose_it_is(tmp_path, name, findings):
    write(tmp_path, findings)
    words = [text.text for text in ElementTree.parse(tmp_path / name).iter("{http://www.w3.org/2000/svg}text")]
    whole = " ".join(words)
    for claim in CLAIMS:
        assert claim.sentence in whole
        assert sum(word.rstrip("†‡") == claim.id for word in words) == 1
    assert [word for word in words if word in ("write-up", "rival", "engineering")] == [claim.whose for claim in CLAIMS]


@pytest.mark.parametrize("name", FILES)
def test_no_words_run_into_others_or_out_of_the_picture(name):
    figure = draw(WHOLE, FILES[name])
    figure.canvas.draw()
    boxes = [(text.get_text(), text.get_window_extent()) for text in figure.axes[0].texts]
    assert [said for said, box in boxes if box.x0 < 0 or box.x1 > figure.bbox.x1 or box.y0 < 0 or box.y1 > figure.bbox.y1] == []
    shrunk = [(said, box.shrunk(0.98, 0.6)) for said, box in boxes]
    assert [(a, b) for i, (a, one) in enumerate(shrunk) for b, other in shrunk[i + 1 :] if one.overlaps(other)] == []
    smallest = min(text.get_fontsize() for text in figure.axes[0].texts)
    assert smallest >= 6, "points: what can be read in a column as wide as the picture"


def test_the_same_findings_give_the_same_bytes(tmp_path):
    first = [file.read_bytes() for file in write(tmp_path, WHOLE)]
    assert [file.read_bytes() for file in write(tmp_path, WHOLE)] == first


def test_the_picture_is_described_in_words_and_a_phone_gets_the_narrow_one():
    said = described(WHOLE)
    for claim in CLAIMS:
        assert len(re.findall(rf"\b{claim.id}\b", said)) == 2
    assert described([HOLDS, judge(OF["R1"], [], "photographs")]).endswith("photographs: not run yet.")
    page = ElementTree.fromstring(_closed(html(WHOLE)))
    source, image = page.find("picture/source"), page.find("picture/img")
    assert image.get("alt") == said and image.get("src").endswith("/forest.svg")
    assert source.get("srcset").endswith("/forest-narrow.svg") and source.get("media") == "screen and (max-width: 60rem)"


def _closed(page):
    """HTML's void elements as XML has them."""
    return re.sub(r"<(source|img)([^>]*)>", r"<\1\2/>", page)


def test_the_command_draws_into_a_folder_and_refuses_one_that_is_not_there(tmp_path, capsys):
    assert main(["forest", "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / name) for name in FILES]
    assert main(["forest", "--out", str(tmp_path / "none")]) == 2
    assert "expected a folder to draw into" in capsys.readouterr().err


def test_a_build_shows_the_picture_that_it_has_drawn_itself(tmp_path):
    (tmp_path / "drawn").mkdir()
    (tmp_path / "drawn/forest.svg").write_text("<svg>of this build</svg>")
    publish._stage([], tmp_path, publish.ROOT)
    assert (tmp_path / "src/book/_static/forest.svg").read_text() == "<svg>of this build</svg>"
    assert (tmp_path / "src/book/_static/forest-narrow.svg").read_bytes() == (forest.FOLDER / "forest-narrow.svg").read_bytes()


def test_an_earlier_picture_is_drawn_anew_and_all_else_of_its_name_is_kept(tmp_path, monkeypatch, capsys):
    """A file of the user's, a link to one, a link to nothing, a folder, and a linked earlier picture: nothing is written at all."""
    monkeypatch.setattr(committed, "findings", lambda profile: [replace(OPEN, data=profile)])
    (tmp_path / "mine.svg").write_text("<svg><title>The register</title>mine</svg>")
    write(tmp_path, [HOLDS])
    earlier = (tmp_path / "forest.svg").read_bytes()
    wide, narrow = (tmp_path / name for name in FILES)
    kinds = {
        "a file": lambda: narrow.write_bytes((tmp_path / "mine.svg").read_bytes()),
        "an empty file": lambda: narrow.write_bytes(b""),
        "a link": lambda: narrow.symlink_to(tmp_path / "mine.svg"),
        "a link to an earlier one": lambda: narrow.symlink_to(wide),
        "a link to nothing": lambda: narrow.symlink_to(tmp_path / "nowhere"),
        "a folder": narrow.mkdir,
    }
    for kind, lay in kinds.items():
        narrow.rmdir() if narrow.is_dir() else narrow.unlink()
        lay()
        before = {file: (file.is_symlink(), file.is_file() and file.read_bytes()) for file in tmp_path.iterdir()}
        assert main(["forest", "--out", str(tmp_path)]) == 2, kind
        assert f"{narrow}: already there, and is not written over" in capsys.readouterr().err
        assert {file: (file.is_symlink(), file.is_file() and file.read_bytes()) for file in tmp_path.iterdir()} == before, kind
    narrow.rmdir()
    assert main(["forest", "--out", str(tmp_path)]) == 0 and wide.read_bytes() != earlier


def test_a_picture_without_room_leaves_the_earlier_ones_and_names_its_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(committed, "findings", lambda profile: [replace(OPEN, data=profile)])
    write(tmp_path, [HOLDS])
    before = contents(tmp_path)
    assert f"{tmp_path}: cannot be written" in refused(capsys, ["forest", "--out", tmp_path])
    assert contents(tmp_path) == before
