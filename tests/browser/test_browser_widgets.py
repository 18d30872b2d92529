"""Each kind of control of the course in a real JupyterLab: keyboard and mouse move it, the picture changes, no script
fails.

One notebook, made here on functions that cost nothing, is run once. That the widgets of the course's own notebooks
redraw is checked in their kernels: `tests/turning.py`.
"""

import re

import nbformat
import pytest

from course_lib.lab.mask_editor import PRESETS

ERROR = '[data-mime-type="application/vnd.jupyter.error"], [data-mime-type="application/vnd.jupyter.stderr"]'

CELLS = {
    "controls": """
from course_lib import plots
from course_lib.lab import widgets

def draw(height, kind):
    if height == 3:
        raise ValueError("<i id='injected'>no picture</i> for 3")
    return plots.curves({"a": [0 if kind == "steep" else height, height]}, "x", "y")

widgets.explore(draw, "a line", height=widgets.choice([1, 2, 3], label="height"), kind=widgets.menu(["flat", "steep"]))
""",
    "editor": """
import torch
from course_lib.lab import mask_editor
from course_lib.models.glow import Glow

torch.manual_seed(0)
x = torch.rand(1, 3, 8, 8)
editor = mask_editor.edit_mask(x, Glow(size=8, steps=1, widths=(4, 4)).freeze(), steps=(2, 2), every=1)
""",
}


@pytest.fixture(scope="module")
def cells(page, lab):
    """The outputs of the notebook's cells, by name, each with its picture there."""
    address, folder = lab
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": kernel})
    notebook.cells = [nbformat.v4.new_code_cell(source) for source in CELLS.values()]
    nbformat.write(notebook, folder / "widgets.ipynb")
    page.goto(f"{address}/doc/tree/widgets.ipynb?reset")
    page.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=120_000)
    page.get_by_text("| Idle").first.wait_for(timeout=120_000)  # before, Lab would ask for a kernel
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name=re.compile("^Run All Cells")).first.click()
    outputs = dict(zip(CELLS, page.locator(".jp-Notebook .jp-Cell").all(), strict=True))
    for output in outputs.values():
        output.locator(f"img.course-picture, {ERROR}").first.wait_for(state="attached", timeout=120_000)
        assert output.locator(ERROR).count() == 0, output.locator(ERROR).first.inner_text()
    yield outputs
    assert not page.errors


def changes(page, picture, action):
    """Do something, and wait for another picture."""
    before = picture.get_attribute("src")
    action()
    for _ in range(600):
        if picture.get_attribute("src") != before:
            return
        page.wait_for_timeout(50)
    pytest.fail("the picture does not change")


def test_arrow_keys_move_a_slider_and_stay_in_it(page, cells):
    picture, handle = cells["controls"].locator("img.course-picture"), cells["controls"].locator(".noUi-handle")
    handle.focus()
    changes(page, picture, lambda: page.keyboard.press("ArrowRight"))
    assert handle.evaluate("handle => handle === document.activeElement"), "JupyterLab has taken the key"
    cells["controls"].locator(".widget-readout", has_text="2").wait_for()
    changes(page, picture, lambda: page.keyboard.press("ArrowLeft"))


def test_buttons_are_pressed_by_keyboard_and_by_mouse(page, cells):
    picture = cells["controls"].locator("img.course-picture")
    steep, flat = (cells["controls"].get_by_role("button", name=name) for name in ("steep", "flat"))
    steep.focus()
    changes(page, picture, lambda: page.keyboard.press("Space"))
    changes(page, picture, flat.click)


def test_an_error_is_shown_as_text_below_the_picture_and_goes_away(page, cells):
    cells["controls"].locator(".noUi-handle").focus()
    page.keyboard.press("End")
    message = cells["controls"].locator(".widget-html", has_text="<i id='injected'>no picture</i> for 3")
    message.wait_for()
    assert page.locator("#injected").count() == 0
    page.keyboard.press("Home")
    message.wait_for(state="detached")


def test_a_block_is_hidden_and_the_hole_filled_by_the_keyboard(page, cells):
    editor = cells["editor"]
    picture = editor.locator("img.course-picture")
    button = editor.locator('[title="row 1, column 1: visible"]')
    button.focus()
    changes(page, picture, lambda: page.keyboard.press("Space"))
    editor.locator('[title="row 1, column 1: hidden"]').wait_for()
    editor.get_by_text("8% of the pixels are hidden").wait_for()
    editor.get_by_role("button", name="reconstruct").focus()
    changes(page, picture, lambda: page.keyboard.press("Space"))
    editor.get_by_text("PSNR of what was hidden").wait_for()


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_chosen_by_the_mouse(name, page, cells):
    editor = cells["editor"]
    changes(page, editor.locator("img.course-picture"), editor.get_by_role("button", name=name, exact=True).click)


def test_a_picture_is_uploaded_and_a_file_that_is_none_changes_nothing(page, cells, tmp_path):
    editor, path = cells["editor"], tmp_path / "text.png"
    path.write_bytes(b"no image")
    before = editor.locator("img.course-picture").get_attribute("src")
    with page.expect_file_chooser() as chooser:
        editor.get_by_role("button", name="your picture").click()
    chooser.value.set_files(path)
    editor.locator(".widget-html", has_text="picture: expected").wait_for()
    assert editor.locator("img.course-picture").get_attribute("src") == before
