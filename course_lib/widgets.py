"""Things to turn: a function of a few values, redrawn as a picture whenever a control moves.

The function behind a widget is a plain one that returns a matplotlib figure; `explore` only connects it to controls. The
picture of the starting values is also stored in the notebook as a plain output, for readers without a kernel.
"""

import io

import ipywidgets
import matplotlib.pyplot as plt
from IPython.display import display

from course_lib.operators import check


def png(figure, dpi=90):
    """A figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    plt.close(figure)
    return buffer.getvalue()


def choice(values, start=None, label="", format=str):
    """A slider over given values (a keyboard's arrows move it): a `SelectionSlider`."""
    values = list(values)
    start = values[0] if start is None else start
    check(start in values, "start", f"one of {values}", start)
    options = [(format(value), value) for value in values]
    layout, style = ipywidgets.Layout(width="420px"), {"description_width": "120px"}
    return ipywidgets.SelectionSlider(options=options, value=start, description=label, layout=layout, style=style)


def menu(values, start=None, label=""):
    """A drop-down menu over given values."""
    style = {"description_width": "120px"}
    return ipywidgets.Dropdown(options=list(values), value=start or next(iter(values)), description=label, style=style)


class Explorer(ipywidgets.VBox):
    """Controls above a picture: `draw(**values)` gives a figure for the controls' values. Pictures are kept, so that going
    back to a value costs nothing.

    Args:
        draw: function of the controls' values, by name, that returns a matplotlib figure.
        alt: what the picture shows, in words.
        controls: name=widget for each argument of `draw`.
    """

    def __init__(self, draw, alt, **controls):
        self.draw, self.controls, self.pictures = draw, controls, {}
        self.picture, self.message = ipywidgets.Image(format="png"), ipywidgets.HTML()
        self.picture.add_class("course-picture")
        self.picture.layout = ipywidgets.Layout(width="fit-content")
        super().__init__([*controls.values(), self.picture, self.message])
        self.alt = alt
        for control in controls.values():
            control.observe(self.redraw, "value")
        self.redraw()

    @property
    def values(self):
        """The controls' values, by name."""
        return {name: control.value for name, control in self.controls.items()}

    def redraw(self, _=None):
        """Show the picture of the current values; an error appears below the picture instead of in a log."""
        key = tuple(self.values.values())
        try:
            if key not in self.pictures:
                self.pictures[key] = png(self.draw(**self.values))
            self.picture.value, self.message.value = self.pictures[key], ""
        except Exception as error:
            self.message.value = f"<b>{type(error).__name__}</b>: {error}"
            raise


def explore(draw, alt, **controls):
    """Display an `Explorer` and, below it, the picture of its starting values as a plain output. Returns the explorer."""
    explorer = Explorer(draw, alt, **controls)
    fallback = {"image/png": explorer.picture.value, "text/plain": alt}
    bundle = explorer._repr_mimebundle_()
    display(bundle | fallback, raw=True, include=None)
    return explorer
