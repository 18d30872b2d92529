"""nbgrader makes an assignment of each notebook and grades it: every solution gets its points, a blank none.

Runs where nbgrader is installed (`pip install nbgrader==0.9.6`); the course does not need it. `-k 13_synthesis` tries
one notebook; only its exercises run, and the cells that they need.
"""

import re
import shutil

import nbformat
import pytest
from cells import exercises_alone

from course_lib.__main__ import NOTEBOOKS
from course_lib.tools.student import checks_of, exercise_pairs, nbgrader_version
from course_lib.tools.tidy import has_tag

pytest.importorskip("nbgrader", reason="nbgrader is not installed")

PATHS = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))


def graded(folder, source):
    """{student: {exercise: its points}} of a source that two students hand in: `right` with its solutions, `blank` as
    it was released."""
    from nbgrader.apps import NbGraderAPI
    from traitlets.config import Config

    course = {"course_id": "priors", "root": str(folder)}
    nbgrader = NbGraderAPI(config=Config(CourseDirectory=course, ExecutePreprocessor={"timeout": 1800}))
    (folder / "source" / "lab").mkdir(parents=True)
    nbformat.write(source, folder / "source" / "lab" / "lab.ipynb")
    done, grades = nbgrader.generate_assignment("lab"), {}
    assert done["success"], done["log"]
    for student, origin in (("right", "source"), ("blank", "release")):
        (folder / "submitted" / student / "lab").mkdir(parents=True)
        shutil.copy(folder / origin / "lab" / "lab.ipynb", folder / "submitted" / student / "lab" / "lab.ipynb")
        done = nbgrader.autograde("lab", student)
        assert done["success"], done["log"]
        with nbgrader.gradebook as book:
            found = book.find_submission_notebook("lab", "lab", student).grades
            grades[student] = {grade.cell.name.removesuffix("_test"): grade.score for grade in found}
    return grades


def worth(solution):
    """(least, most) points of a solution: 1 if it is right; of an open one what it asserts, `… >= 2`, and 3."""
    if not has_tag(solution, "open"):
        return 1, 1
    return int(re.search(r"assert exercises\.check_\w+\(.*\) >= (\d)", solution.source).group(1)), 3


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_solutions_get_their_points_and_blanks_none(tmp_path, path):
    notebook = exercises_alone(nbformat.read(path, 4))
    points = {checks_of(solution.source)[0]: worth(solution) for _, solution in exercise_pairs(notebook)}
    grades = graded(tmp_path, nbgrader_version(notebook))
    assert "BEGIN SOLUTION" not in (tmp_path / "release" / "lab" / "lab.ipynb").read_text(encoding="utf-8")
    assert len(points) >= 3 and grades["blank"] == dict.fromkeys(points, 0)
    assert grades["right"].keys() == points.keys()
    assert not {name: got for name, got in grades["right"].items() if not points[name][0] <= got <= points[name][1]}
