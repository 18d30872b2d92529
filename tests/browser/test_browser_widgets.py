"""Every widget in a real JupyterLab: the notebook runs, a control moves by the keyboard, the picture changes, and no
script fails.

A notebook is run up to its last widget; what follows is nbval's business.
"""

import json
import re
import urllib.request
from contextlib import contextmanager

import nbformat
import pytest

from course_lib.tools.links import ROOT

PATHS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


def is_widget(cell):
    return cell.cell_type == "code" and "widgets.explore(" in cell.source


def up_to_the_last_widget(path):
    """A notebook, cut after its last widget, without outputs; and its number of widgets."""
    notebook = nbformat.read(path, 4)
    last = max(i for i, cell in enumerate(notebook.cells) if is_widget(cell))
    notebook.cells = notebook.cells[: last + 1]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook, sum(map(is_widget, notebook.cells))


@contextmanager
def all_cells_run(lab, notebooks, browser, name):
    """A page with a notebook of the lab whose cells have been started. At the end no script may have failed."""
    page, errors = browser.new_page(viewport={"width": 1400, "height": 1000}), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if is_error(message) else None)
    try:
        page.goto(f"{lab}/doc/tree/{name}?reset")
        page.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=60_000)
        page.get_by_text("| Idle").first.wait_for(timeout=60_000)  # before, Lab would ask for a kernel
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name=re.compile("^Run All Cells")).first.click()
        yield page
        assert not errors
    finally:
        page.screenshot(path=notebooks.parent / f"{name.removesuffix('.ipynb')}.png")
        page.close()
        end_kernels(lab)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_control_moves_the_picture(path, lab, notebooks, browser):
    notebook, count = up_to_the_last_widget(path)
    nbformat.write(notebook, notebooks / path.name)
    with all_cells_run(lab, notebooks, browser, path.name) as page:
        pictures = page.locator("img.course-picture")
        pictures.nth(count - 1).wait_for(state="attached", timeout=600_000)
        for i in range(count):
            turn(page, page.locator(".widget-vbox").filter(has=page.locator("img.course-picture")).nth(i))


def is_error(message):
    """Whether a line of the console is an error. Pictures of badges, which need the internet, are none."""
    return message.type == "error" and not re.search(r"Failed to load resource|net::ERR", message.text)


def turn(page, explorer):
    """Move the first control of an explorer by the keyboard, there and, at an end, back; wait for another picture."""
    picture = explorer.locator("img.course-picture")
    picture.scroll_into_view_if_needed()
    before, handle = picture.get_attribute("src"), explorer.locator(".noUi-handle")
    other = explorer.locator(".widget-toggle-button:not(.mod-active)")
    for key in ("ArrowRight", "ArrowLeft", "ArrowLeft") if handle.count() else ("Space",):
        (handle if handle.count() else other).first.focus()
        page.keyboard.press(key)
        for _ in range(100):
            if picture.get_attribute("src") != before:
                return
            page.wait_for_timeout(50)
    pytest.fail("the picture did not change")


def end_kernels(lab):
    """End the kernels that run, so that the next notebook has the memory."""
    with urllib.request.urlopen(f"{lab}/api/sessions") as answer:
        sessions = json.load(answer)
    for session in sessions:
        urllib.request.urlopen(urllib.request.Request(f"{lab}/api/sessions/{session['id']}", method="DELETE"))
