"""The paper of a figure: white for a plot, which a dark page inverts; none around pictures, which keep their colours there.

Inside: `without_paper`.
"""

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.text import Text

EITHER = "#767b88"  # legible on white and on black


def without_paper(figure: Figure, ink: str) -> None:
    """Take the paper away around pictures (a cell that shows them has the tag `pictures`), and make letters in `ink` grey. A plot stays."""
    if any(image.get_array().ndim == 3 for image in figure.findobj(AxesImage)):
        figure.set_facecolor("none")
        for text in figure.findobj(Text):
            if mpl.colors.same_color(text.get_color(), ink):
                text.set_color(EITHER)
