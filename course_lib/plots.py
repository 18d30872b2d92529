"""Figures of the course: grids of images and labelled curves, in one style that colour-blind readers can tell apart."""

import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.ticker import NullFormatter, ScalarFormatter

from course_lib.common import check, check_count, check_images

COLORS = {
    "analysis": "#D55E00",
    "bicubic": "#56B4E9",
    "biharmonic": "#56B4E9",
    "flow_denoiser_pnp": "#005F46",
    "joint_map": "#8C510A",
    "map": "#009E73",
    "pnp": "#A69500",
    "posterior_mean": "#8C510A",
    "recommended": "#CC79A7",
    "srcnn": "#999999",
    "synthesis": "#0072B2",
    "truth": "#000000",
    "tv": "#E69F00",
    "vae_analysis": "#8C510A",
    "vae_synthesis": "#8C510A",
    "vdsr": "#666666",
}
"""One colour a method, everywhere (Okabe & Ito's palette, its yellow darker, greys for regression networks,
brown for the VAE)."""

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

    Raises ValueError for another shape.
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
    check(set(log) <= {"x", "y"}, "log", "axes of 'x', 'y'", log)
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
    check(name in ("x", "y"), "name", "'x' or 'y'", repr(name))
    ticks = getattr(axis, f"{name}axis")
    ticks.set_major_formatter(ScalarFormatter())
    ticks.set_minor_formatter(NullFormatter())
