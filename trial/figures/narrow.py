"""A figure drawn anew for a narrow screen: its panels below one another, at a width at which type can be read.

Inside: `narrow`, `MARK` (what a page's style sheet knows such a figure by).
"""

from textwrap import fill

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec

NARROW, TALL = 3.6, 3.0  # inches: the width, and the most that a panel without rows of its own is high
LINE = 0.135  # inches: of a row's label
LABEL, LONG = 17, 24  # characters: of a row's label in a line; of a key, so that two stand beside one another
MARK = '<span class="for-phones"></span>'


def narrow(figure: Figure) -> bool:
    """Rearrange a figure for a narrow screen. False, and the figure as it was, for pictures whose rows or columns have names."""
    panels = [axes for axes in figure.axes if axes.get_subplotspec() is not None]
    specs = [axes.get_subplotspec() for axes in panels]
    rows, pictures = max(spec.rowspan.stop for spec in specs), any(image.get_array().ndim == 3 for axes in panels for image in axes.images)
    if pictures and (any(_has_rows(axes) for axes in panels) or rows > 1 and any(axes.get_title("left") for axes in panels)):
        return False
    columns = 2 if pictures and rows > 1 else 1
    lines, high = -(-len(panels) // columns), figure.get_figheight() / rows
    if not any(_has_rows(axes) for axes in panels):
        high = NARROW / columns * high / (figure.get_figwidth() / (len(panels) / rows)) if pictures else min(high, TALL)
    grid = GridSpec(lines, columns, figure=figure)
    for i, axes in enumerate(panels):
        axes.set_subplotspec(grid[i // columns, i % columns])
        if not pictures:
            axes.tick_params(labelleft=True)
        if _has_rows(axes):
            labels = [fill(label.get_text(), LABEL) for label in axes.get_yticklabels()]
            axes.set_yticks(axes.get_yticks(), labels, fontsize=8)
            high = max(high, LINE * len(labels) * (1.5 + max(label.count("\n") for label in labels)))
    for legend in list(figure.legends):
        words = [text.get_text() for text in legend.get_texts()]
        legend.remove()
        beside = 1 if max(map(len, words)) > LONG else 2
        figure.legend(legend.legend_handles, words, loc="outside lower center", ncols=beside, fontsize=8.5)
    figure.set_size_inches(NARROW, high * lines)
    return True


def _has_rows(axes: Axes) -> bool:
    """Whether a panel's rows are things with a name, so that it is as high as they are many."""
    words = [label.get_text() for label in axes.get_yticklabels()]
    return any(word.strip("−-.,0123456789 %") and not word.startswith("$") for word in words)
