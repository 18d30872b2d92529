"""nbgrader makes an assignment of a notebook and grades it: full marks for the solutions, none for blanks. Runs where
nbgrader is installed (`pip install nbgrader==0.9.6`); the course does not need it."""

import csv
import os
import shutil
import subprocess
import sys

import nbformat
import pytest

from course_lib.__main__ import NOTEBOOKS
from course_lib.tools.student import checks_of, nbgrader_version
from course_lib.tools.tidy import has_tag

pytest.importorskip("nbgrader", reason="nbgrader is not installed")

CONFIG = """c = get_config()
c.CourseDirectory.course_id = "priors"
c.ExecutePreprocessor.timeout = 300
"""


def nbgrader(folder, *arguments):
    environment = os.environ | {"JUPYTER_PLATFORM_DIRS": "1", "MPLBACKEND": "agg"}
    run = subprocess.run(
        [sys.executable, "-m", "nbgrader", *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr


def exercises_alone(name):
    """The set-up cell and the exercises of a notebook, quick to run."""
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", 4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    notebook.cells = [code[0], *(cell for cell in code[1:] if has_tag(cell, "solution") or checks_of(cell.source))]
    return nbgrader_version(notebook)


def test_solutions_get_all_points_and_blanks_none(tmp_path):
    source = exercises_alone("00_start_here")
    (tmp_path / "nbgrader_config.py").write_text(CONFIG, encoding="utf-8")
    (tmp_path / "source" / "lab").mkdir(parents=True)
    nbformat.write(source, tmp_path / "source" / "lab" / "lab.ipynb")
    nbgrader(tmp_path, "generate_assignment", "lab")
    released = tmp_path / "release" / "lab" / "lab.ipynb"
    assert "BEGIN SOLUTION" not in released.read_text(encoding="utf-8")
    for student, notebook in (("right", tmp_path / "source" / "lab" / "lab.ipynb"), ("blank", released)):
        (tmp_path / "submitted" / student / "lab").mkdir(parents=True)
        shutil.copy(notebook, tmp_path / "submitted" / student / "lab" / "lab.ipynb")
    nbgrader(tmp_path, "autograde", "lab")
    nbgrader(tmp_path, "export")
    with (tmp_path / "grades.csv").open(encoding="utf-8") as file:
        grades = {row["student_id"]: (float(row["score"]), float(row["max_score"])) for row in csv.DictReader(file)}
    points = float(sum(cell.metadata.get("nbgrader", {}).get("points", 0) for cell in source.cells))
    assert points >= 3 and grades == {"right": (points, points), "blank": (0.0, points)}
