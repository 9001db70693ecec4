"""A figure that grows while a notebook trains.

Inside: `Live`.
"""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import display

from trial.figures import figures, remedy_figures


class Live:
    """Gradient norms as they are felt, redrawn in place at every look of the probe: of each loss term, beside the background gradient of
    each cell; or, of a detector at points, of boxes and of scores on the layers they share, beside the cosine between the two.

    Pass it to `watch.run(..., live=Live("focal"))`. A run that is loaded instead of trained is drawn once, as it ended.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self._handle = None

    def __call__(self, tables: Mapping[str, pd.DataFrame]) -> None:
        """tables: `GradientProbe.tables()` or `{"conflict": ConflictProbe.table()}` so far."""
        if "conflict" in tables:
            figure = remedy_figures.live_conflict(tables["conflict"], self.title)
            words = "gradient norms of boxes and of scores on the neck by step, and the cosine between the two."
        else:
            figure = figures.live_gradients(tables["terms"], tables["cells"], self.title)
            words = "gradient norm of each loss term by step, and the background gradient of each cell at the last recorded step."
        options = {"metadata": {"image/png": {"alt": f"{self.title}: {words}"}}}
        if self._handle is None:
            self._handle = display(figure, display_id=True, **options)
        else:
            self._handle.update(figure, **options)
        plt.close(figure)
