"""Numbers that notebooks publish for the pages: whole files, refused where a page could not print them, one source a name."""

import json

import pytest

from groundwork.errors import InputError
from trial import numbers


def test_published_numbers_are_whole_files_in_the_folder_of_the_process(tmp_path, monkeypatch):
    monkeypatch.setenv("YOLO_NUMBERS", str(tmp_path / "here"))
    assert numbers.publish("baseline", map="0.03", count=12, arms={"mse": "0.1"}) is None, "a cell would show it"
    file = tmp_path / "here/baseline.json"
    assert json.loads(file.read_text()) == {"map": "0.03", "count": 12, "arms": {"mse": "0.1"}}
    assert [f.name for f in file.parent.iterdir()] == ["baseline.json"]
    monkeypatch.delenv("YOLO_NUMBERS")
    monkeypatch.setenv("YOLO_PROFILE", "smoke")
    assert numbers.folder().parts[-3:] == ("_build", "smoke", "by-hand"), "a build would read them as its own"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"map": 0.1 + 0.2}, r"expected a string as it should be printed, got 0\.30000000000000004"),
        ({"held": True}, "expected a string"),
        ({"arms": {"focal-detached": "1"}}, r"baseline\.arms\.focal-detached"),
        ({"items": "1"}, "a page can write after a dot"),
        ({"arms": {"with 0.5": "1"}}, "a page can write after a dot"),
        ({"true": "1"}, "a page can write after a dot"),
    ],
)
def test_a_number_that_a_page_could_not_print_is_refused(tmp_path, monkeypatch, values, said):
    monkeypatch.setenv("YOLO_NUMBERS", str(tmp_path))
    with pytest.raises(InputError, match=said):
        numbers.publish("baseline", **values)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["study.two", "../up", "", "none"])
def test_a_group_of_a_name_that_a_page_could_not_write_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.setenv("YOLO_NUMBERS", str(tmp_path / "numbers"))
    with pytest.raises(InputError, match="expected a name that a page can write"):
        numbers.publish(name, map="1")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", "[]", "3", "null", "[" * 10**5, None], ids=["empty", "list", "number", "null", "deep", "folder"])
def test_numbers_that_are_torn_are_told_by_name_with_the_remedy(tmp_path, content):
    (tmp_path / "baseline.json").mkdir() if content is None else (tmp_path / "baseline.json").write_text(content)
    with pytest.raises(InputError, match="baseline.json: torn .*; `make clean` removes it, with the built pages and no run"):
        numbers.merge([tmp_path])


def test_what_a_system_keeps_beside_a_file_is_no_group_of_numbers(tmp_path):
    (tmp_path / "a.json").write_text('{"map": "1"}')
    (tmp_path / "._a.json").write_bytes(b"\0\5\x16\7")
    assert numbers.merge([tmp_path]) == {"a": {"map": "1"}}


def test_one_name_has_one_source(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "baseline.json").write_text('{"map": "1"}')
    assert numbers.merge([tmp_path / "a", tmp_path / "missing"]) == {"baseline": {"map": "1"}}
    with pytest.raises(InputError, match='numbers "baseline": .* both publish them'):
        numbers.merge([tmp_path / "a", tmp_path / "b"])
