"""The comparison sheet of a restored picture: before, after, and what the prior added, with the report below."""

import matplotlib
import torch.nn.functional as F
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from course_lib.common import replacing
from course_lib.plots import STYLE, as_array

SIDE, DETAIL = 1000, 96
"""Pixels of the longer side of a whole picture on the sheet, and of a detail."""


def draw_sheet(found):
    """The figure of a `Restoration`: the picture, the result, and what of it is the prior's, or what was taken for
    noise; and of each the square in which that is most."""
    size = found.x.shape[2:]
    y = found.y if found.y.shape[2:] == size else F.interpolate(found.y, size, mode="nearest")
    changed, title = found.unseen, "what the prior added (grey: nothing)"
    if found.task == "denoising":
        changed, title = 5 * (y - found.x), "5 × what was taken for noise"
    row, column, side = detail_at(changed)
    images = {"the picture, y": y, "the result": found.x, title: 0.5 + changed}
    height = 3.0 * min(size[0] / size[1], 1.5)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.2, height + 4.7), dpi=75, layout="constrained")
        axes = figure.subplots(2, 3, height_ratios=[height, 3.0])
        for (whole, detail), (title, image) in zip(axes.T, images.items(), strict=True):
            whole.imshow(as_array(smaller(image)), vmin=0, vmax=1, extent=(0, size[1], size[0], 0))
            whole.set_title(title, fontsize=10)
            detail.imshow(as_array(image[:, :, row : row + side, column : column + side]), vmin=0, vmax=1)
        frame = Rectangle((column, row), side, side, fill=False, edgecolor="#D55E00")
        axes[0, 1].add_patch(frame)
        axes[1, 0].set_ylabel(f"{side}×{side} pixels of it")
        for axis in axes.flat:
            axis.set(xticks=[], yticks=[])
            axis.grid(False)
            axis.spines[:].set_visible(False)
        figure.supxlabel("\n".join(found.report), fontsize=10, x=0.02, ha="left")
    return figure


def smaller(image):
    """An image whose longer side is at most `SIDE`, by averages."""
    factor = max(image.shape[2:]) / SIDE
    if factor <= 1:
        return image
    return F.interpolate(image, [max(1, round(n / factor)) for n in image.shape[2:]], mode="area")


def detail_at(unseen):
    """(row, column, side) of the square in which the prior added most."""
    side = min(DETAIL, *unseen.shape[2:])
    energy = F.avg_pool2d(unseen.square().mean(1, keepdim=True), side, stride=max(1, side // 4))
    i, j = divmod(int(energy.argmax()), energy.shape[3])
    return i * max(1, side // 4), j * max(1, side // 4), side


def write_sheet(path, found):
    """Write the sheet as a PNG."""
    with replacing(path) as temporary:
        draw_sheet(found).savefig(temporary, format="png", dpi=120)
