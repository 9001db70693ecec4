"""A length of time in words.

Inside: `clock`.
"""


def clock(seconds: float) -> str:
    """ "43 s", "5 min 22 s"."""
    return f"{seconds:.0f} s" if seconds < 60 else f"{int(seconds // 60)} min {int(seconds % 60)} s"
