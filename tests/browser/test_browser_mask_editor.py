"""The mask editor of notebook 15 in a real JupyterLab: a block is hidden by the keyboard, then the hole is filled."""

import nbformat
from test_browser_widgets import PATHS, all_cells_run

NAME = "mask_editor.ipynb"


def editor_alone():
    """The set-up cell of notebook 15 and the cell with the editor, without outputs."""
    notebook = nbformat.read(next(path for path in PATHS if path.stem.startswith("15")), 4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    notebook.cells = [code[0], next(cell for cell in code if "edit_mask(" in cell.source)]
    for cell in notebook.cells:
        cell.outputs, cell.execution_count = [], None
    return notebook


def press(page, button, picture):
    """Press a button by the keyboard, and wait for another picture."""
    before = picture.get_attribute("src")
    button.focus()
    page.keyboard.press("Space")
    for _ in range(600):
        if picture.get_attribute("src") != before:
            return
        page.wait_for_timeout(50)
    raise AssertionError("the picture did not change")


def test_a_block_is_hidden_and_the_hole_filled_by_the_keyboard(lab, notebooks, browser):
    nbformat.write(editor_alone(), notebooks / NAME)
    with all_cells_run(lab, notebooks, browser, NAME) as page:
        picture = page.locator("img.course-picture")
        picture.wait_for(state="attached", timeout=120_000)
        press(page, page.locator('[title="row 1, column 1: visible"]'), picture)
        page.locator('[title="row 1, column 1: hidden"]').wait_for(timeout=10_000)
        page.get_by_text("8% of the pixels are hidden").wait_for(timeout=10_000)
        press(page, page.get_by_role("button", name="reconstruct"), picture)
        page.get_by_text("of the work is done").wait_for(timeout=30_000)
        page.get_by_text("PSNR of what was hidden").wait_for(timeout=120_000)
