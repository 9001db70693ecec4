"""Arithmetic in the plane that rounds alike on every processor.

Inside: `product` (points under a matrix), `inverse` (of a matrix).

The last bit of a product by BLAS, of `numpy.linalg`, or of numpy's exp and sin depends on the processor. Where a glyph just touches an
edge that bit decides which pose is taken: a scene would be drawn otherwise on another machine. Additions and multiplications of arrays,
and the functions of `math`, do not depend on it.
"""

import numpy as np
from jaxtyping import Float


def product(points: Float[np.ndarray, "n 2"], matrix: Float[np.ndarray, "k 2"]) -> Float[np.ndarray, "n k"]:
    """`points @ matrix.T`, the second product added to the first before it is rounded, as a fused multiply-add does it (Dekker, 1971)."""
    x, y = points[:, :1], points[:, 1:]
    first, second = x * matrix[:, 0], y * matrix[:, 1]
    (y_high, y_low), (m_high, m_low) = _halves(y), _halves(matrix[:, 1])
    missing = ((y_high * m_high - second) + y_high * m_low + y_low * m_high) + y_low * m_low  # what rounding took from the second
    total = first + second
    kept = total - first
    lost = (first - (total - kept)) + (second - kept)  # and from the sum
    return total + (lost + missing)


def _halves(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two numbers of half the digits whose sum is x."""
    high = x.astype(np.float32).astype(np.float64)
    return high, x - high


def inverse(matrix: Float[np.ndarray, "2 2"]) -> Float[np.ndarray, "2 2"]:
    """The inverse, by Cramer's rule."""
    (a, b), (c, d) = matrix
    return np.array([[d, -b], [-c, a]]) / (a * d - b * c)
