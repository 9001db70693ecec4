"""The corpus of hostile input: no input twice, one outcome each, and a checkout that lacks it is told so."""

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


def test_a_checkout_without_the_corpus_is_told_so(tmp_path):
    with pytest.raises(publish.PublishError, match="tests: the corpus of hostile input cannot be counted"):
        publish.hostile(tmp_path)
