"""A figure that grows while a notebook trains.

Inside: `Live`.
"""

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import HTML, DisplayHandle, display
from matplotlib.figure import Figure

from trial import numbers
from trial.figures import figures, remedy_figures
from trial.figures.narrow import MARK, narrow


class Live:
    """Gradient norms as they are felt, redrawn in place at every look of the probe: of each loss term, beside the background gradient of
    each cell; or, of a detector at points, of boxes and of scores on the layers they share, beside the cosine between the two.

    Pass it to `watch.run(..., live=Live("focal"))`. A run that is loaded instead of trained is drawn once, as it ended.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self._handles: list[DisplayHandle] = []

    def __call__(self, tables: Mapping[str, pd.DataFrame]) -> None:
        """tables: `GradientProbe.tables()` or `{"conflict": ConflictProbe.table()}` so far."""
        if "conflict" in tables:
            figure = remedy_figures.live_conflict(tables["conflict"], self.title)
            words = "gradient norms of boxes and of scores on the neck by step, and the cosine between the two."
        else:
            figure = figures.live_gradients(tables["terms"], tables["cells"], self.title)
            words = "gradient norm of each loss term by step, and the background gradient of each cell at the last recorded step."
        options = {"metadata": {"image/png": {"alt": f"{self.title}: {words}"}}}
        self._draw(0, figure, **options)
        if numbers.for_a_book() and narrow(figure):
            if len(self._handles) == 1:
                display(HTML(MARK))
            self._draw(1, figure)
        plt.close(figure)

    def _draw(self, which: int, figure: Figure, **options: Any) -> None:
        """The wide drawing (0) or the narrow one (1): displayed where there is none yet, else in the place of the one before."""
        if which < len(self._handles):
            self._handles[which].update(figure, **options)
        else:
            self._handles.append(display(figure, display_id=True, **options))
