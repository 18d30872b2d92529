"""The functions behind the widgets, and what a control does to the picture."""

import base64

import matplotlib.pyplot as plt
import pytest
import torch

from course_lib import plots
from course_lib.lab import widgets
from course_lib.lab.widgets import Banana, Explorer, Message, choice, draw_two_geometries, explore, menu, two_geometries


def draw(height, kind="flat"):
    return plots.curves({kind: [height, height]}, "x", "y")


def test_a_control_changes_the_picture_and_pictures_are_kept():
    explorer = Explorer(draw, "a line", height=choice([1, 2], label="height"), kind=menu(["flat", "steep"]))
    before = bytes(explorer.picture.value)
    assert before.startswith(b"\x89PNG")
    explorer.controls["height"].value = 2
    assert bytes(explorer.picture.value) != before and explorer.values == {"height": 2, "kind": "flat"}
    explorer.draw = None
    explorer.controls["height"].value = 1
    assert bytes(explorer.picture.value) == before
    assert not plt.get_fignums(), "figures are closed"


def test_an_error_is_shown_as_text_and_its_figure_is_closed():
    kept = plt.figure()

    def broken(height):
        figure = plt.figure()
        if height > 1:
            raise ValueError("height: expected an integer, got <class 'str'>")
        return figure

    explorer = Explorer(broken, "a line", height=choice([1, 2, 1.5]))
    before = bytes(explorer.picture.value)
    with pytest.raises(ValueError, match="expected an integer"):
        explorer.controls["height"].value = 2
    assert explorer.message.value == "<b>ValueError: height: expected an integer, got &lt;class &#x27;str&#x27;&gt;</b>"
    assert plt.get_fignums() == [kept.number] and bytes(explorer.picture.value) == before
    explorer.controls["height"].value = 1
    assert explorer.message.value == "" and plt.get_fignums() == [kept.number]
    plt.close(kept)


def test_a_message_is_text():
    message = Message()
    message.say("a < b & <b>c</b>")
    assert message.value == "a &lt; b &amp; &lt;b&gt;c&lt;/b&gt;"


def test_explore_displays_a_widget_with_a_plain_picture(monkeypatch):
    shown = []
    monkeypatch.setattr(widgets, "display", lambda bundle, **_: shown.append(bundle))
    explore(draw, "a line", height=choice([1, 2]))
    (bundle,) = shown
    assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG")
    assert bundle["text/plain"] == "a line" and "application/vnd.jupyter.widget-view+json" in bundle


def test_the_banana_is_a_bijection_with_its_log_determinant():
    banana = Banana()
    z = torch.randn(5, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = banana.decode(z)
    back, logdet = banana.encode_with_logdet(x)
    torch.testing.assert_close(back, z)
    for point, value in zip(x, logdet, strict=True):
        J = torch.autograd.functional.jacobian(lambda p: banana.encode(p[None])[0], point)
        torch.testing.assert_close(torch.linalg.slogdet(J)[1], value)


def test_two_geometries_start_together_descend_and_end_apart():
    objective, in_x, in_z, banana = two_geometries()
    torch.testing.assert_close(in_x[:1], banana.decode(in_z[:1]))
    for path in (in_x, banana.decode(in_z)):
        assert (objective(path).diff() <= 1e-6).all()
    assert (in_x[-1] - banana.decode(in_z[-1:])[0]).norm() > 0.5


def test_the_two_geometries_show_both_paths_to_their_ends():
    for axis in draw_two_geometries(steps=80).axes[:2]:
        (left, right), (low, high) = axis.get_xlim(), axis.get_ylim()
        for line in axis.lines:
            first, second = line.get_data()
            assert left < min(first) and max(first) < right
            assert low < min(second) and max(second) < high
