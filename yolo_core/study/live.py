"""A figure that grows while a notebook trains.

Inside: `Live`.
"""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import display

from yolo_core.study import figures


class Live:
    """Gradient norms by loss term and the background gradient of each cell, redrawn in place at every look of the probe.

    Pass it to `experiments.run(..., watch=Live("focal"))`. A run that is loaded instead of trained is drawn once, as it ended.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self._handle = None

    def __call__(self, tables: Mapping[str, pd.DataFrame]) -> None:
        """tables: `GradientProbe.tables()` so far."""
        figure = figures.live_gradients(tables["terms"], tables["cells"], self.title)
        words = (
            f"{self.title}: gradient norm of each loss term by step, and the background gradient of each cell at the last recorded step."
        )
        options = {"metadata": {"image/png": {"alt": words}}}
        if self._handle is None:
            self._handle = display(figure, display_id=True, **options)
        else:
            self._handle.update(figure, **options)
        plt.close(figure)
