"""Every picture of the book, in one style: Matplotlib's own defaults below it, not what the reader's matplotlibrc says."""

import os

from groundwork.errors import InputError

try:
    import matplotlib
except ValueError as error:  # before anything is drawn
    raise InputError(f"MPLBACKEND={os.environ.get('MPLBACKEND')}: Matplotlib refuses it ({error}); unset the variable") from None
matplotlib.rcdefaults()
