"""That `turning`, which moves every control of the notebooks' widgets, finds what is broken, and pytest says so."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import torch
from turning import turn

from course_lib import plots
from course_lib.lab.mask_editor import MaskEditor
from course_lib.lab.widgets import Explorer, choice, menu
from course_lib.models.glow import Glow


def line(height, kind="flat"):
    return plots.curves({"a": [0 if kind == "steep" else height, height]}, "x", "y")


def broken(height):
    if height == 2:
        raise ValueError("no picture for 2")
    return line(height)


def test_a_widget_is_turned_and_ends_as_it_was():
    explorer = Explorer(line, "a line", height=choice([1, 2], 2), kind=menu(["flat", "steep"]))
    turn(explorer)
    assert explorer.values == {"height": 2, "kind": "flat"} and len(explorer.pictures) == 3


@pytest.mark.parametrize(
    ("draw", "found"),
    [(broken, "no picture for 2"), (lambda height: line(1), "the picture does not change")],
    ids=["an error", "a picture that stays"],
)
def test_a_broken_widget_is_found(draw, found):
    with pytest.raises((AssertionError, ValueError), match=found):
        turn(Explorer(draw, "a line", height=choice([1, 2])))


def test_a_mask_editor_is_turned_and_a_dead_board_is_found():
    editor = MaskEditor(torch.rand(1, 3, 8, 8), Glow(size=8, steps=1, widths=(4, 4)).freeze())
    turn(editor)
    editor.board[0].unobserve_all()
    with pytest.raises(AssertionError, match="the picture does not change"):
        turn(editor)


SETUP = """
from course_lib import plots
from course_lib.lab import widgets

def draw(height):
    return plots.curves({"a": [0, height]}, "x", "y")

def broken(height):
    return draw(1 / (height - 2))
"""


def test_pytest_fails_the_cell_of_a_broken_widget(tmp_path):
    cells = [SETUP, *(f"widgets.explore({name}, '', height=widgets.choice([1, 2]));" for name in ("draw", "broken"))]
    cells = [nbformat.v4.new_code_cell(f"# NBVAL_IGNORE_OUTPUT\n{cell}") for cell in cells]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "a.ipynb")
    root = Path(__file__).parent.parent
    options = ["-p", "conftest", "-p", "no:cacheprovider", "--nbval", "--nbval-current-env", "-n0", "--color=no", "-q"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--rootdir", tmp_path, tmp_path / "a.ipynb"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        encoding="utf-8",
    )
    assert "1 failed, 2 passed" in run.stdout and "ZeroDivisionError" in run.stdout, run.stdout
