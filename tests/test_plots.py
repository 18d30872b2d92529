"""What the figures show; the vocabulary of schematics, one example of each word."""

import io
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.patches import FancyArrowPatch
from PIL import Image

from course_lib import data, plots


def test_stretch_scales_each_picture_by_itself():
    u = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    s = plots.stretch(torch.stack([5 * u[0] - 3, 0.1 * u[1] + 7]))
    assert s.shape == u.shape and s.dtype == torch.float64
    assert s.amin((1, 2, 3)).tolist() == [0, 0] and s.amax((1, 2, 3)).tolist() == [1, 1]
    assert torch.allclose(s, plots.stretch(u))
    assert plots.stretch(torch.ones(1, 1, 2, 2)).tolist() == torch.zeros(1, 1, 2, 2).tolist()


@pytest.mark.parametrize("m, shape", [(1, (1, 1)), (9, (3, 3)), (10, (3, 4)), (17, (4, 5))])
def test_stretch_folds_a_row_of_numbers(m, shape):
    row = torch.arange(m + 0.0).reshape(1, 1, 1, m)
    s = plots.stretch(row)
    assert s.shape == (1, 1, *shape)
    assert torch.allclose(s.flatten()[:m], row.flatten() / max(m - 1, 1)) and not s.flatten()[m:].any()


def test_stretch_widens_a_tall_picture():
    u = torch.arange(20.0).reshape(1, 1, 10, 2)
    assert torch.equal(plots.stretch(u)[..., [0, 9]], u / 19) and plots.stretch(u).shape == (1, 1, 10, 10)


def extents(schematic):
    """[(words, their rectangle in inches (x0, y0, x1, y1)), …] of all texts of a schematic, as they are drawn."""
    schematic.figure.canvas.draw()
    texts = [text for axis in schematic.figure.axes for text in axis.texts]
    return [(text.get_text(), text.get_window_extent().extents / schematic.figure.dpi) for text in texts]


def overlap(a, b):
    """By how much two rectangles overlap, in inches; negative where they are apart."""
    return min(min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1]))


def rectangle(node):
    """The rectangle of a node."""
    return np.array(
        [node.x - node.width / 2, node.y - node.height / 2, node.x + node.width / 2, node.y + node.height / 2]
    )


def within(inner, outer):
    """By how much a rectangle stays within another, in inches, at its narrowest edge."""
    return min(inner[0] - outer[0], inner[1] - outer[1], outer[2] - inner[2], outer[3] - inner[3])


def arrow_path(schematic):
    """The vertices of the last arrow."""
    return [patch for patch in schematic.axis.patches if isinstance(patch, FancyArrowPatch)][-1]._path_original.vertices


def arrow_points(schematic):
    """The points [N, 2] of the last arrow; those on the way of a straight one, too."""
    path = arrow_path(schematic)
    return np.linspace(path[0], path[-1], 101) if len(path) == 2 else path


@pytest.mark.parametrize(
    "words", ["blur", "$A$", "a longer text, with\n$\\frac{1}{2}\\Vert A\\,x - y\\Vert^2$", "one\ntwo\nthree"]
)
def test_a_box_is_as_large_as_its_words(words):
    s = plots.Schematic(6, 2)
    node = s.box(words, at=(3, 1))
    ((_, drawn),) = extents(s)
    assert within(drawn, rectangle(node)) > 0.08 and (node.x, node.y) == (3, 1)
    assert abs((drawn[0] + drawn[2]) / 2 - 3) < 0.02 and abs((drawn[1] + drawn[3]) / 2 - 1) < 0.05


def test_a_picture_is_drawn_in_its_frame_with_a_label_below():
    s = plots.Schematic(3, 2)
    node = s.picture(data.face() * 0, at=(1, 1.2), size=1.0, label="image $\\hat x$")
    wide = s.picture(torch.ones(1, 2, 4), at=(2.4, 1.2), size=0.8)
    assert (node.width, node.height, wide.width, wide.height) == (1, 1, 0.8, 0.4)
    ((_, label),) = extents(s)
    assert overlap(label, rectangle(node)) < -0.02 and label[1] > 0 and abs((label[0] + label[2]) / 2 - 1) < 0.02
    pixels = np.asarray(Image.open(io.BytesIO(s.png(100))).convert("L"))
    assert pixels.shape == (200, 300) and (pixels[35:125, 55:145] == 0).all() and (pixels[:25] == 255).all()


def test_a_formula_is_a_node():
    s = plots.Schematic(3, 1)
    node = s.text("$A\\,x + n$", at=(1, 0.5))
    ((_, drawn),) = extents(s)
    assert np.allclose(drawn, rectangle(node), atol=0.02)


@pytest.mark.parametrize("bend", [0.0, 0.3, -0.3])
@pytest.mark.parametrize("end", [(4, 1.5), (1, 3), (4, 3), (0.9, 0.3)])
def test_an_arrow_runs_from_edge_to_edge_with_its_label_beside_it(end, bend):
    s = plots.Schematic(5, 3.5)
    a, b = s.box("a", at=(1, 1.5)), s.box("b", at=end)
    s.arrow(a, b, "$A\\,x + n$", bend=bend, side=1 if bend >= 0 else -1)
    points = arrow_points(s)
    assert not a.holds(points, 0.04).any() and not b.holds(points, 0.04).any()
    assert a.holds(points[:1], 0.15).all() and b.holds(points[-1:], 0.15).all()
    label = extents(s)[-1][1]
    inside = ((points > label[:2]) & (points < label[2:])).all(1)
    assert not inside.any()
    middle = np.array([label[0] + label[2], label[1] + label[3]]) / 2
    assert np.linalg.norm(points - middle, axis=1).min() < 0.6


def test_an_arrow_bends_to_the_side_that_it_is_told():
    s = plots.Schematic(5, 3)
    a, b = s.box("a", at=(1, 1.5)), s.box("b", at=(4, 1.5))
    for bend in (0.2, -0.2):
        s.arrow(a, b, bend=bend)
        middle = arrow_points(s)[len(arrow_points(s)) // 2]
        assert np.allclose(middle, (2.5, 1.5 + 3 * bend), atol=0.02)


def test_a_straight_arrow_is_one_line_and_a_bent_one_is_not():
    s = plots.Schematic(5, 3)
    a, b = s.box("a", at=(1, 1.5)), s.box("b", at=(4, 1.5))
    s.arrow(a, b)
    assert len(arrow_path(s)) == 2
    s.arrow(a, b, bend=0.1)
    assert len(arrow_path(s)) > 50


def test_a_loop_stands_on_its_node():
    s = plots.Schematic(3, 2)
    node = s.box("solver", at=(1.5, 0.6))
    s.arrow(node, node, "again")
    points = arrow_points(s)
    assert not node.holds(points, 0.04).any() and node.holds(points[[0, -1]], 0.15).all()
    assert points[0, 0] < node.x < points[-1, 0] and points[:, 1].max() > 1.1
    assert extents(s)[-1][1][1] > points[:, 1].max()


def test_a_panel_has_axes_of_its_own():
    s = plots.Schematic(4, 3)
    node, axis = s.panel(at=(2, 1.7), width=2, height=1.5, label="coordinates $z$")
    axis.plot([0, 1], [0, 1])
    assert np.allclose(axis.get_position().extents * [4, 3, 4, 3], rectangle(node))
    assert overlap(extents(s)[0][1], rectangle(node)) < 0


def whole():
    """Every word of the vocabulary in one drawing."""
    s = plots.Schematic(7, 2.6)
    x = s.picture(data.face(), at=(0.8, 1.4), label="image $x$")
    A = s.box("blur $A$", at=(2.4, 1.4), color="synthesis")
    y = s.text("$y$", at=(3.7, 1.4), size=13)
    solve = s.box("fit $y$, and\nbe plausible", at=(5.4, 1.2), color="analysis")
    s.arrow(x, A)
    s.arrow(A, y, "$+ n$")
    s.arrow(y, solve, "$\\Vert A\\,x - y\\Vert^2$", bend=0.25)
    s.arrow(solve, solve, "again")
    return s.show(alt="An image <x> is blurred & found again.", caption="What goes where: λ < 1.")


def test_nothing_overlaps_in_a_whole_drawing():
    s = whole()
    found = extents(s)
    for i, (words, drawn) in enumerate(found):
        assert within(drawn, (0, 0, s.width, s.height)) > 0, words
        assert all(overlap(drawn, other) < 0 for _, other in found[:i]), words
    assert all(text.get_fontsize() >= 9 for text in s.axis.texts)
    assert not plt.get_fignums()


def test_a_schematic_is_html_with_its_alternative_text():
    s = whole()
    shown = s._repr_html_()
    assert re.search(r'<img alt="An image &lt;x&gt; is blurred &amp; found again." width="672" ', shown)
    assert ">What goes where: λ &lt; 1.</figcaption>" in shown and repr(s) == s.alt
    assert Image.open(io.BytesIO(s.png())).size == (2 * 672, round(2 * 96 * 2.6))
    assert "figcaption" not in plots.Schematic(1, 1).show("a blank")._repr_html_()


def test_a_schematic_names_what_is_wrong():
    s = plots.Schematic(3, 1)
    with pytest.raises(ValueError, match="size: expected at least 9 points"):
        s.text("small", at=(1, 0.5), size=8)
    with pytest.raises(ValueError, match="alt: expected a sentence"):
        s.show(alt=" ")
    with pytest.raises(ValueError, match="end: expected a node apart from the start"):
        s.arrow(s.box("a", at=(1, 0.5)), s.box("b", at=(1.1, 0.5)))
