"""The corpus counts itself for the status page."""

import pytest
from hostile.__main__ import FAMILIES
from hostile.images import CASES as PICTURES

from book.press import publish


def test_no_two_inputs_of_a_family_are_one_and_there_are_many():
    names = {family: [case.name for case in cases] for family, cases in FAMILIES.items()}
    assert all(len(set(found)) == len(found) for found in names.values())
    assert len({case.given for case in PICTURES}) == len(PICTURES)
    assert sum(map(len, names.values())) >= 200


def test_every_input_has_one_outcome():
    assert all((case.means is None) == bool(case.refused) for cases in FAMILIES.values() for case in cases)


def test_the_status_page_says_what_the_corpus_holds():
    found = publish.hostile()
    assert found["total"] == str(sum(map(len, FAMILIES.values())))
    for family, cases in FAMILIES.items():
        refused = len([case for case in cases if case.refused])
        assert f"| {family} | {len(cases)} | {refused} | {len(cases) - refused} |" in found["table"]
    assert "{{ hostile.table }}" in (publish.ROOT / "book/status.md").read_text()


def test_a_checkout_without_the_corpus_is_told_so(tmp_path):
    with pytest.raises(publish.PublishError, match="tests: the corpus of hostile input cannot be counted"):
        publish.hostile(tmp_path)
