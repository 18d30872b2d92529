"""Figures of the course: grids of images, labelled curves and schematics, in one style that colour-blind readers can
tell apart."""

import base64
import html
import io
import math
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.colors import to_rgb
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from matplotlib.path import Path
from matplotlib.ticker import NullFormatter, ScalarFormatter

from course_lib.common import check, check_count, check_images

COLORS = {
    "analysis": "#D55E00",
    "analysis_bounded": "#9C3D00",
    "bicubic": "#56B4E9",
    "biharmonic": "#7B6FD0",
    "diffpir": "#5E3C99",
    "dps": "#5E3C99",
    "flow_denoiser_pnp": "#005F46",
    "joint_map": "#8C510A",
    "map": "#009E73",
    "map_bounded": "#009E73",
    "pigdm": "#5E3C99",
    "pnp": "#A69500",
    "pnp_flow": "#5E3C99",
    "posterior_mean": "#8C510A",
    "recommended": "#CC79A7",
    "recommended_bounded": "#8E5573",
    "srcnn": "#999999",
    "synthesis": "#0072B2",
    "synthesis_bounded": "#5A94BA",
    "time_analysis": "#5E3C99",
    "time_hqs": "#5E3C99",
    "truth": "#000000",
    "tv": "#E69F00",
    "vae_analysis": "#8C510A",
    "vae_synthesis": "#8C510A",
    "vdsr": "#666666",
}
"""One colour a method, everywhere (Okabe & Ito's palette, its yellow darker, greys for regression networks,
brown for the VAE, violet for the flow in time; on the bounded flow paler or darker)."""

STYLE = {
    "axes.grid": True,
    "axes.prop_cycle": plt.cycler(color=["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.dpi": 100,
    "font.size": 10,
    "grid.alpha": 0.3,
    "image.cmap": "gray",
    "image.interpolation": "nearest",
    "legend.frameon": False,
    "savefig.dpi": 100,
}


def color_of(method):
    """The colour of a row of the score table: that of its method, whatever its optimizer and start."""
    return COLORS[method.replace("_lbfgs", "").replace("_from_tv", "")]


def use_style():
    """Set matplotlib's defaults to the course's; called in the set-up cell of each notebook."""
    plt.rcParams.update(STYLE)


def as_array(image):
    """An image [C, H, W] or [1, C, H, W], clipped to [0, 1], as an array [H, W] or [H, W, 3]."""
    image = torch.as_tensor(image).detach().cpu().float()
    image = image[0] if image.dim() == 4 and len(image) == 1 else image
    check(image.dim() == 3 and image.shape[0] in (1, 3), "image", "shape [C, H, W], C = 1 or 3", image.shape)
    array = image.clamp(0, 1).permute(1, 2, 0).numpy()
    return array[..., 0] if array.shape[2] == 1 else array


def stretch(u):
    """A measurement or an image [B, C, H, W] of any range, each shifted and scaled to [0, 1] for display. A row of m
    numbers (H = 1) is folded into ⌈√m⌉ columns, the last ones of the rectangle 0; the columns of a tall picture are
    repeated, as often as fits.
    """
    check_images("u", u)
    low, high = u.amin((1, 2, 3), keepdim=True), u.amax((1, 2, 3), keepdim=True)
    u = (u - low) / (high - low).clamp_min(torch.finfo(u.dtype).tiny)
    if u.shape[2] > 1:
        return u.repeat_interleave(max(1, u.shape[2] // u.shape[3]), 3)
    width = math.isqrt(u.shape[3] - 1) + 1
    return torch.nn.functional.pad(u, (0, -u.shape[3] % width)).unflatten(3, (-1, width)).squeeze(2)


def show(images, titles=None, columns=None, size=1.7, rows=None, title=None):
    """A grid of images. Returns the figure, closed to further drawing by pyplot.

    Args:
        images: a batch [B, C, H, W], or a list of images of any sizes, drawn row by row.
        titles: one text above each image; fewer than images: above the first row only.
        columns: images in a row (default: all, at most 8). size: inches an image. rows: labels at the left of the rows.
    """
    images, titles = [as_array(image) for image in images], list(titles or [])
    check(len(images) > 0, "images", "at least one image", images)
    columns = min(len(images), 8) if columns is None else columns
    check_count("columns", columns, low=1)
    count = -(-len(images) // columns)
    height = size * count + (0.25 if titles else 0) * (count if len(titles) > columns else 1) + (0.3 if title else 0)
    figure, axes = plt.subplots(count, columns, figsize=(size * columns, height), squeeze=False, layout="constrained")
    for i, axis in enumerate(axes.flat):
        axis.set(xticks=[], yticks=[])
        axis.grid(False)
        axis.spines[:].set_visible(False)
        if i < len(images):
            axis.imshow(images[i], vmin=0, vmax=1)
        if i < len(titles):
            axis.set_title(titles[i], fontsize=9)
    for row, label in zip(axes, rows or [], strict=False):
        row[0].set_ylabel(label, fontsize=9)
    if title:
        figure.suptitle(title, fontsize=11)
    plt.close(figure)
    return figure


def curves(series, xlabel, ylabel, x=None, log=(), colors=None, size=(6, 3.4), title=None, levels=None):
    """Labelled curves on one pair of axes. Returns the figure, closed to further drawing by pyplot.

    Args:
        series: {label: values} or {label: (x, values)}. x: shared abscissa of the former (default: 0, 1, 2, …).
        log: axes on a logarithmic scale, of "x", "y". colors: {label: colour}; else `COLORS` by label, else the cycle.
        levels: {label: value}, horizontal dashed lines.
    """
    figure, axis = plt.subplots(figsize=size, layout="constrained")
    colors = COLORS | (colors or {})
    for label, values in series.items():
        at, values = values if isinstance(values, tuple) else (x, values)
        at = np.arange(len(values)) if at is None else np.asarray(at)
        axis.plot(at, np.asarray(values), label=label, color=colors.get(label))
    for label, value in (levels or {}).items():
        axis.axhline(value, label=label, color=colors.get(label, "#777777"), linestyle="--", linewidth=1)
    axis.set(xlabel=xlabel, ylabel=ylabel, title=title or "")
    for name in log:
        getattr(axis, f"set_{name}scale")("log")
    if len(series) + len(levels or {}) > 1:
        axis.legend(fontsize=9)
    plt.close(figure)
    return figure


def plain_ticks(axis, name="x"):
    """Write the ticks of a logarithmic axis as plain numbers."""
    ticks = getattr(axis, f"{name}axis")
    ticks.set_major_formatter(ScalarFormatter())
    ticks.set_minor_formatter(NullFormatter())


@dataclass
class Node:
    """A rectangle of a schematic that arrows can start from and end at: centre, width and height in inches."""

    x: float
    y: float
    width: float
    height: float

    def holds(self, points, gap=0.0):
        """For each point [N, 2], whether it lies within the rectangle, or less than `gap` away from it."""
        size = np.array([self.width, self.height])
        return (abs(points - np.array([self.x, self.y])) <= size / 2 + gap).all(1)


class Schematic:
    """A drawing of what goes where: boxes, pictures, formulas and panels, and arrows between them.

    Places and sizes are inches from the lower left corner; a place is the centre of what is put there. Words may hold
    mathematics, "$A x + n$". A colour is a method's name in `COLORS`, or any of matplotlib's.

        s = Schematic(6, 1.5)
        x = s.picture(image, at=(0.8, 0.8), label="$x$")
        A = s.box("blur\\n$A$", at=(3, 0.8))
        s.arrow(x, A)
        s.arrow(A, A, "again")
        s.show(alt="An image goes into a blur, whose result goes into it again.")
    """

    def __init__(self, width, height):
        self.width, self.height, self.alt, self.caption = width, height, "", ""
        self.figure = plt.figure(figsize=(width, height), facecolor="white")
        self.axis = self.figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(0, height))
        self.axis.set_axis_off()
        plt.close(self.figure)

    def text(self, words, at, size=11, color="#222222"):
        """Words, or a formula. Returns its `Node`."""
        return self.write(words, at, size, color)[1]

    def write(self, words, at, size, color):
        """Write words; returns what matplotlib has drawn, so that it can be moved, and its `Node`."""
        check(size >= 9, "size", "at least 9 points, to be legible", size)
        options = {"ha": "center", "va": "center", "linespacing": 1.35, "math_fontfamily": "cm", "zorder": 4}
        drawn = self.axis.text(*at, words, fontsize=size, color=COLORS.get(color, color), **options)
        low, high = self.axis.transData.inverted().transform(drawn.get_window_extent())
        return drawn, Node(*at, *(high - low))

    def box(self, words, at, width=None, height=None, color="#555555", size=11):
        """A box with words in it, as large as they need, or of a width and a height. Returns its `Node`."""
        color = COLORS.get(color, color)
        words = self.text(words, at, size)
        node = Node(*at, width or max(words.width + 0.3, 0.6), height or max(words.height + 0.24, 0.46))
        corner = (node.x - node.width / 2, node.y - node.height / 2)
        tint = 1 - 0.12 * (1 - np.array(to_rgb(color)))
        style = {"boxstyle": "round,pad=0,rounding_size=0.08", "facecolor": tint, "edgecolor": color, "linewidth": 1.5}
        self.axis.add_patch(FancyBboxPatch(corner, node.width, node.height, zorder=2, **style))
        return node

    def picture(self, image, at, size=0.9, label="", color="#555555"):
        """An image [C, H, W], `size` inches wide, in a frame, its label below it. Returns its `Node`."""
        array, (x, y) = as_array(image), at
        node = Node(x, y, size, size * array.shape[0] / array.shape[1])
        left, low = x - node.width / 2, y - node.height / 2
        extent = (left, left + node.width, low, low + node.height)
        self.axis.imshow(array, vmin=0, vmax=1, extent=extent, aspect="auto", zorder=2, cmap="gray")
        edge = {"edgecolor": COLORS.get(color, color), "linewidth": 1.2}
        self.axis.add_patch(Rectangle((left, low), node.width, node.height, fill=False, zorder=3, **edge))
        self.axis.set(xlim=(0, self.width), ylim=(0, self.height))  # imshow moves the limits
        self.below(node, label)
        return node

    def panel(self, at, width, height, label=""):
        """Axes to draw in, without ticks, in a frame, with a label below. Returns (its `Node`, the axes)."""
        (x, y), node = at, Node(*at, width, height)
        place = ((x - width / 2) / self.width, (y - height / 2) / self.height)
        axis = self.figure.add_axes((*place, width / self.width, height / self.height), xticks=[], yticks=[])
        axis.grid(False)
        axis.spines[:].set(visible=True, color="#555555", linewidth=1.2)
        self.below(node, label)
        return node, axis

    def below(self, node, label):
        """Write the label of a node, one line, below it; neighbouring labels share their baseline."""
        if label:
            self.write(label, (node.x, 0), 11, "#222222")[0].set(va="baseline", y=node.y - node.height / 2 - 0.21)

    def arrow(self, start, end, label="", bend=0.0, side=1, color="#555555", size=11, loop=0.26):
        """An arrow from node to node, with a label beside its middle.

        Args:
            bend: how far the arrow curves to its left, as a share of its length; < 0: to its right.
            side: 1 for a label on the left of the arrow, seen in its direction, -1 for one on the right.
            loop: the radius of an arrow from a node to itself, above it.
        """
        points = loop_above(start, loop) if start is end else curve(start, end, bend)
        outside = ~(start.holds(points, 0.05) | end.holds(points, 0.05))
        check(outside.sum() > 1, "end", "a node apart from the start", end)
        points, color = points[outside], COLORS.get(color, color)
        style = {"arrowstyle": "-|>,head_length=0.5,head_width=0.22", "mutation_scale": 12, "shrinkA": 0, "shrinkB": 0}
        line = {"linewidth": 1.6, "color": color, "joinstyle": "miter", "zorder": 1}
        path = points if bend or start is end else points[[0, -1]]  # along many points a straight line gets specks
        self.axis.add_patch(FancyArrowPatch(path=Path(path), **style, **line))
        if not label:
            return
        middle = len(points) // 2
        along = points[min(middle + 1, len(points) - 1)] - points[middle - 1]
        away = side * np.array([-along[1], along[0]]) / np.hypot(*along)
        drawn, words = self.write(label, (0, 0), size, color)
        reach = 0.07 + abs(away) @ [words.width / 2, words.height / 2]
        drawn.set_position(points[middle] + reach * away)

    def show(self, alt, caption=""):
        """Say what the drawing shows: `alt` for readers who do not see it, `caption` in a line below it. Returns the
        schematic, which a notebook displays at the end of a cell.

        The notebook gets HTML: an image with its alternative text. JupyterLab and the pages that MyST makes show it;
        of a plain PNG neither reads one.
        """
        check(bool(alt.strip()), "alt", "a sentence on what the drawing shows", repr(alt))
        self.alt, self.caption = alt, caption
        return self

    def png(self, dpi=192):
        """The drawing as the bytes of a PNG file; the default has two pixels for one of the screen's."""
        buffer = io.BytesIO()
        self.figure.savefig(buffer, format="png", dpi=dpi, pil_kwargs={"optimize": True})
        return buffer.getvalue()

    def _repr_html_(self):
        picture = base64.b64encode(self.png()).decode()
        below = f'<figcaption style="color: #555">{html.escape(self.caption)}</figcaption>' if self.caption else ""
        return (
            f'<figure style="margin: 0"><img alt="{html.escape(self.alt)}" width="{96 * self.width:.0f}" '
            f'style="max-width: 100%" src="data:image/png;base64,{picture}">{below}</figure>'
        )

    def __repr__(self):
        return self.alt or f"Schematic({self.width}, {self.height})"


def curve(start, end, bend=0.0):
    """Points [201, 2] of a parabola from the centre of a node to that of another, which leaves the straight line by
    `bend` of its length, to the left."""
    a, b = np.array([start.x, start.y]), np.array([end.x, end.y])
    t = np.linspace(0, 1, 201)[:, None]
    left = np.array([a[1] - b[1], b[0] - a[0]])
    return (1 - t) * a + t * b + 4 * t * (1 - t) * bend * left


def loop_above(node, radius):
    """Points [201, 2] of a circle that stands in the upper edge of a node, clockwise from the left."""
    angle = np.radians(np.linspace(230, -50, 201))
    centre = np.array([node.x, node.y + node.height / 2 + 0.7 * radius])
    return centre + radius * np.stack([np.cos(angle), np.sin(angle)], 1)
