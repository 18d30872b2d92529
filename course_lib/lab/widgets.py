"""Things to turn: a function of a few values, redrawn as a picture whenever a control moves.

The function behind a widget is a plain one that returns a matplotlib figure; `explore` only connects it to controls.
The picture of the starting values is also stored in the notebook as a plain output, for readers without a kernel.
"""

import base64
import html
import io
import math
from contextlib import contextmanager

import ipywidgets
import matplotlib.pyplot as plt
import torch
from IPython.display import display

from course_lib.common import check, check_calls
from course_lib.plots import COLORS


def png(figure, dpi=90):
    """A figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


@contextmanager
def closing_figures():
    """Close what pyplot has opened within the block, also where the block fails half-way through a figure."""
    before = plt.get_fignums()
    try:
        yield
    finally:
        for number in set(plt.get_fignums()) - set(before):
            plt.close(number)


class Message(ipywidgets.HTML):
    """A line that a widget says. It is told text: what looks like markup is shown, not followed."""

    def say(self, text, bold=False):
        """Show a text in place of the last one."""
        text = html.escape(text)
        self.value = f"<b>{text}</b>" if bold else text


def options_of(values, start):
    """(the values as a list, the one to start from: the first unless another is named)."""
    values = list(values)
    check(len(values) > 0, "values", "at least one value", values)
    start = values[0] if start is None else start
    check(start in values, "start", f"one of {values}", start)
    return values, start


def choice(values, start=None, label="", format=str):
    """A slider over given values (a keyboard's arrows move it): a `SelectionSlider`."""
    values, start = options_of(values, start)
    options = [(format(value), value) for value in values]
    layout, style = ipywidgets.Layout(width="420px"), {"description_width": "120px"}
    return ipywidgets.SelectionSlider(options=options, value=start, description=label, layout=layout, style=style)


def menu(values, start=None, label=""):
    """Buttons for given values, one of them pressed: Tab goes from one to the next, the space bar presses.

    Not a drop-down menu: JupyterLab takes the arrow keys away from one, to go from cell to cell.
    """
    values, start = options_of(values, start)
    style = {"description_width": "120px", "button_width": "auto"}
    return ipywidgets.ToggleButtons(options=values, value=start, description=label, style=style)


class Explorer(ipywidgets.VBox):
    """Controls above a picture: `draw(**values)` gives a figure for the controls' values. Pictures are kept, so that
    going back to a value costs nothing.

    Args:
        draw: function of the controls' values, by name, that returns a matplotlib figure.
        alt: what the picture shows, in words.
        controls: name=widget for each argument of `draw`.
    """

    def __init__(self, draw, alt, **controls):
        check_calls("draw", draw, "__call__")
        self.draw, self.controls, self.pictures = draw, controls, {}
        self.picture, self.message = ipywidgets.Image(format="png"), Message()
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
                with closing_figures():
                    self.pictures[key] = png(self.draw(**self.values))
            self.picture.value = self.pictures[key]
            self.message.say("")
        except Exception as error:
            self.message.say(f"{type(error).__name__}: {error}", bold=True)
            raise


def display_with_picture(widget, picture, alt):
    """Display a widget; a picture, the bytes of a PNG file, and its words are its plain form, for readers without a
    kernel."""
    plain = {"image/png": base64.b64encode(picture).decode(), "text/plain": alt}
    display(widget._repr_mimebundle_() | plain, raw=True, include=None)


def explore(draw, alt, **controls):
    """Display an `Explorer`, with the picture of its starting values as its plain form."""
    explorer = Explorer(draw, alt, **controls)
    display_with_picture(explorer, explorer.picture.value, alt)


class Banana:
    """A bijection of the plane for pictures: D(z) = (s₁ z₁, s₂ z₂ + a s₁² z₁²), with constant log|det J_D| = log s₁ s₂.

    Same calls as a flow, `encode`, `encode_with_logdet` and `decode`; points are [B, 2].
    """

    def __init__(self, s1=1.0, s2=0.2, a=0.7):
        self.s1, self.s2, self.a = s1, s2, a

    def encode(self, x):
        """z = E(x), [B, 2]."""
        return torch.stack([x[:, 0] / self.s1, (x[:, 1] - self.a * x[:, 0].square()) / self.s2], 1)

    def encode_with_logdet(self, x):
        """(E(x), log|det J_E(x)|), of shapes [B, 2] and [B]."""
        return self.encode(x), x.new_full((len(x),), -math.log(self.s1 * self.s2))

    def decode(self, z):
        x1 = self.s1 * z[:, 0]
        return torch.stack([x1, self.s2 * z[:, 1] + self.a * x1.square()], 1)


def descend(objective, start, step, steps):
    """Gradient descent with a fixed step from a point [1, 2]: the path [steps + 1, 2], cut where it diverges."""
    path, u = [start], start
    for _ in range(steps):
        u = u.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(objective(u).sum(), u)
        u = (u - step * gradient).detach()
        if not bool((u.abs() < 50).all()):
            break
        path.append(u)
    return torch.cat(path).detach()


def two_geometries(step_x=0.02, step_z=0.1, steps=40, lam=0.05, angle=50.0, y=1.6, start=(-1.0, 0.0)):
    """One objective, ½(aᵀx − y)² + λ‖E(x)‖², descended in x (analysis) and in z (synthesis) on the `Banana`.

    a is the unit vector at `angle` degrees. Both descents start at x = D(start). Returns (objective of x, path in x of
    the analysis, path in z of the synthesis, the banana).
    """
    banana = Banana()
    a = torch.tensor([math.cos(math.radians(angle)), math.sin(math.radians(angle))])

    def objective(x):
        return 0.5 * (x @ a - y).square() + lam * banana.encode(x).square().sum(1)

    z0 = torch.tensor([start])
    in_x = descend(objective, banana.decode(z0), step_x, steps)
    in_z = descend(lambda z: objective(banana.decode(z)), z0, step_z, steps)
    return objective, in_x, in_z, banana


def draw_two_geometries(**options):
    """The two paths of `two_geometries` over the contours of the objective, in x, in z, and against the step."""
    objective, in_x, in_z, banana = two_geometries(**options)
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.5), layout="constrained")
    grid_x = torch.cartesian_prod(torch.linspace(-3, 3, 120), torch.linspace(-1.5, 4.5, 120))
    grid_z = torch.cartesian_prod(torch.linspace(-3, 3, 120), torch.linspace(-3, 6, 120))
    panels = (
        ("in the coordinates x", grid_x, objective(grid_x), in_x, banana.decode(in_z)),
        ("in the coordinates z", grid_z, objective(banana.decode(grid_z)), banana.encode(in_x), in_z),
    )
    for axis, (title, grid, values, analysis, synthesis) in zip(axes, panels, strict=False):
        first, second = (grid[:, i].reshape(120, 120).numpy() for i in (0, 1))
        levels = values.min().item() + 0.01 * 2 ** torch.arange(0, 14, dtype=torch.float32).numpy()
        axis.contour(first, second, values.reshape(120, 120).numpy(), levels=levels, colors="#999999", linewidths=0.7)
        axis.plot(*analysis.T.numpy(), "o-", color=COLORS["analysis"], markersize=3, label="analysis: steps in x")
        axis.plot(*synthesis.T.numpy(), "s-", color=COLORS["synthesis"], markersize=3, label="synthesis: steps in z")
        axis.set(title=title, xlim=(first.min(), first.max()), ylim=(second.min(), second.max()))
    axes[0].set(xlabel="$x_1$", ylabel="$x_2$")
    axes[1].set(xlabel="$z_1$", ylabel="$z_2$")
    axes[0].legend(fontsize=8, loc="lower left", frameon=True, framealpha=0.9, edgecolor="none")
    for path, name in ((in_x, "analysis"), (banana.decode(in_z), "synthesis")):
        axes[2].semilogy(objective(path).numpy(), color=COLORS[name], label=name)
    axes[2].set(xlabel="step", ylabel="objective", title="the same function")
    axes[2].legend(fontsize=8)
    plt.close(figure)
    return figure
