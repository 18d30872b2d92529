"""The mask editor without a browser: the board, presets and pictures as masks; filling a hole; what a press does."""

import base64
import io
from datetime import UTC, datetime

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image
from test_reconstruction import small_flow

from course_lib import data
from course_lib.data import make_task, observe
from course_lib.lab import widgets
from course_lib.lab.mask_editor import MaskEditor, edit_mask, fill, hidden_psnr, mask_of_picture, preset
from course_lib.operators import Mask
from course_lib.reconstruction import bayesian, map_estimate, synthesis, warm_start

SMALL = {"steps": (6, 4), "every": 2}


@pytest.fixture
def face():
    """A small face, [1, 3, 8, 8]: a block of the board is one pixel."""
    return torch.nn.functional.avg_pool2d(data.face(), 8)


@pytest.fixture
def editor(face):
    return MaskEditor(face, small_flow().float(), "eyes", **SMALL)


@pytest.fixture
def hole():
    mask = torch.ones(1, 8, 8, dtype=torch.bool)
    mask[:, 3:5, 2:6] = False
    return mask


def picture(array, mode="L", form="PNG"):
    """The bytes of an image file."""
    buffer = io.BytesIO()
    Image.frombytes(mode, array.shape[:2][::-1], array.numpy().tobytes()).save(buffer, format=form)
    return buffer.getvalue()


def uploaded(content):
    """What a browser sends of a file."""
    about = {"name": "<b>", "type": "image/png", "size": len(content), "last_modified": datetime.now(UTC)}
    return (about | {"content": memoryview(content)},)


@pytest.mark.parametrize(
    ("name", "share"),
    [("clear", 0), ("one eye", 4 / 64), ("eyes", 8 / 64), ("half", 0.5), ("checkerboard", 0.5), ("random 60 %", 0.6)],
)
def test_a_preset_hides_its_share(name, share):
    mask = preset(name)
    assert mask.shape == (1, 64, 64) and 1 - mask.float().mean().item() == pytest.approx(share, abs=1e-3)


def test_presets_are_where_their_names_say():
    assert not preset("half")[:, :, 32:].any() and preset("half")[:, :, :32].all()
    assert not preset("one eye")[:, 24:40, 32:48].any()
    assert torch.equal(preset("random 60 %"), make_task("inpainting_random").mask)


def test_dark_pixels_of_a_picture_hide():
    grey = torch.full((16, 32), 255, dtype=torch.uint8)
    grey[:8, :16] = 40
    mask = mask_of_picture(picture(grey), 8)
    assert mask.dtype == torch.bool and mask.shape == (1, 8, 8)
    assert not mask[:, :4, :4].any() and mask[:, 4:].all() and mask[:, :, 4:].all()


def test_transparent_pixels_do_not_hide():
    black = torch.zeros(8, 8, 4, dtype=torch.uint8)
    black[:4, :, 3] = 255
    mask = mask_of_picture(picture(black, "RGBA"), 8)
    assert not mask[:, :4].any() and mask[:, 4:].all()


def test_a_picture_of_16_bits_hides_where_it_is_dark():
    grey = np.full((8, 8), 48_000, np.uint16)
    grey[:, :4] = 16_000
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, "PNG")
    mask = mask_of_picture(buffer.getvalue(), 8)
    assert not mask[:, :, :4].any() and mask[:, :, 4:].all()


def test_a_turned_picture_is_set_upright():
    """EXIF's orientation 6, of a phone held upright: shown turned by 90° clockwise, left is above."""
    grey = torch.full((8, 8), 255, dtype=torch.uint8)
    grey[:, :4] = 0
    exif, buffer = Image.Exif(), io.BytesIO()
    exif[0x0112] = 6
    Image.fromarray(grey.numpy()).save(buffer, "JPEG", exif=exif)
    mask = mask_of_picture(buffer.getvalue(), 8)
    assert not mask[:, :4].any() and mask[:, 4:].all()


def test_the_score_counts_hidden_pixels_only(face, hole):
    wrong = face + 0.1 * ~hole
    assert hidden_psnr(wrong, face, hole) == pytest.approx(20, abs=0.01)
    assert hidden_psnr(face * hole + 0.1 + ~hole * (face - 0.1), face, hole) > 100


def test_filling_is_one_run_of_each_method(face, hole):
    model, A, lam = small_flow().float(), Mask(hole), bayesian(0.01)
    found = list(fill(face, hole, model, 0.01, (6, 4), 2))
    assert [name for name, _, _ in found] == ["tv", *["map"] * 2, *["recommended"] * 5]
    done = [share for _, share, _ in found]
    assert done[0] == 0 and done == sorted(done) and done[-1] == 1
    y = observe(face, A, 0.01, [0])
    start = warm_start(y, A, 0.01)
    torch.testing.assert_close(found[0][2], start)
    expected = map_estimate(y, A, model, lam, start, steps=4).x
    torch.testing.assert_close(found[2][2], expected)
    first = synthesis(y, A, model, lam, optimizer="lbfgs", steps=6).x
    torch.testing.assert_close(found[5][2], first)
    torch.testing.assert_close(found[7][2], map_estimate(y, A, model, lam, first, steps=4).x)


def test_pictures_on_the_way_come_between_the_ends(face, hole):
    stages = [[name for name, _, _ in fill(face, hole, small_flow().float(), 0.01, (5, 3), every)] for every in (2, 9)]
    assert [len(names) for names in stages] == [1 + 2 + 3 + 2, 1 + 1 + 1 + 1]


@pytest.mark.parametrize("value", [True, False])
def test_a_mask_of_one_kind_cannot_be_filled(face, value):
    with pytest.raises(ValueError, match=r"mask: expected some (hidden|observed) pixels"):
        next(fill(face, torch.full((1, 8, 8), value), small_flow().float()))


def test_the_board_shows_the_mask_in_words_and_icons(editor):
    hidden = [k for k, button in enumerate(editor.board) if button.value]
    assert hidden == [8 * row + column for row in (3, 4) for column in (2, 3, 4, 5)]
    assert editor.board[26].tooltip == "row 4, column 3: hidden" and editor.board[26].icon == "eye-slash"
    assert editor.board[0].tooltip == "row 1, column 1: visible" and editor.board[0].icon == ""


def test_a_toggle_changes_the_mask_the_board_and_the_picture(editor):
    before = bytes(editor.picture.value)
    editor.board[1].value = True
    assert not editor.mask[0, 0, 1] and editor.mask.sum() == 64 - 9
    assert editor.board[1].tooltip == "row 1, column 2: hidden" and bytes(editor.picture.value) != before
    editor.board[1].value = False
    assert editor.mask[0, 0, 1] and bytes(editor.picture.value) == before


def test_a_partly_hidden_block_is_hidden_by_one_press(face):
    editor = MaskEditor(torch.nn.functional.interpolate(face, scale_factor=2), None, "random 60 %")
    k = next(k for k, button in enumerate(editor.board) if button.icon == "adjust")
    assert not editor.board[k].value and "partly hidden" in editor.board[k].tooltip
    editor.board[k].value = True
    row, column = divmod(k, 8)
    assert not editor.mask[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].any()


@pytest.mark.parametrize(("k", "count"), [(0, 0), (3, 32), (4, 32)])
def test_a_press_on_a_preset_sets_the_board(editor, k, count):
    editor.presets[k].click()
    assert sum(button.value for button in editor.board) == count == int((~editor.mask).sum())


def test_an_upload_becomes_the_mask(editor):
    grey = torch.full((8, 8), 255, dtype=torch.uint8)
    grey[6:] = 0
    editor.upload.value = uploaded(picture(grey))
    assert int((~editor.mask).sum()) == 16 and not editor.mask[:, 6:].any()
    assert editor.board[63].value and editor.upload.value == () and "25%" in editor.message.value


def test_a_bad_upload_gives_a_message_and_changes_nothing(editor):
    mask, before = editor.mask.clone(), bytes(editor.picture.value)
    editor.upload.value = uploaded(b"<script>")
    assert "picture: expected a readable image file" in editor.message.value
    assert torch.equal(editor.mask, mask) and bytes(editor.picture.value) == before and editor.upload.value == ()


def test_reconstruct_draws_every_stage(editor):
    drawn = []
    editor.picture.observe(lambda change: drawn.append(bytes(change["new"])), "value")
    editor.run.click()
    assert len(set(drawn)) == len(drawn) == 1 + 2 + 3 + 2
    assert set(editor.images) == {"tv", "map", "recommended"} and editor.progress.value == 1
    assert not editor.run.disabled and "PSNR of what was hidden" in editor.message.value
    editor.board[0].value = True
    assert editor.images == {} and editor.progress.value == 0


def test_reconstruct_without_a_hole_gives_a_message(editor):
    editor.presets[0].click()
    editor.run.click()
    assert "some hidden pixels" in editor.message.value and not editor.run.disabled and editor.images == {}


def test_another_error_is_said_as_text_and_raised(editor, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("no kernel for <class 'complex'>")

    monkeypatch.setattr(editor.model, "decode", broken)
    with pytest.raises(RuntimeError, match="no kernel"):
        editor.reconstruct()
    assert "&lt;class" in editor.message.value and not editor.run.disabled and not plt.get_fignums()


def test_a_picture_that_fails_half_way_leaves_no_figure_open(editor, monkeypatch):
    monkeypatch.setattr("matplotlib.axes.Axes.imshow", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        editor.redraw()
    assert not plt.get_fignums()


def test_edit_mask_displays_the_filled_picture(face, monkeypatch):
    shown = []
    monkeypatch.setattr(widgets, "display", lambda bundle, **_: shown.append(bundle))
    editor = edit_mask(face, small_flow().float(), **SMALL)
    (bundle,) = shown
    assert base64.b64decode(bundle["image/png"]) == bytes(editor.picture.value) and "recommended" in editor.images
    assert "application/vnd.jupyter.widget-view+json" in bundle and bundle["text/plain"].startswith("observation")
