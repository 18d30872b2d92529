"""Student versions: what is taken out, what stays; stubs and solutions that fit; nbgrader's metadata."""

import ast
import contextlib
import importlib
import io
import re

import nbformat
import pytest
from cells import code_cells, names_in
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from course_lib.__main__ import NOTEBOOKS, main
from course_lib.tools.student import (
    BEGIN,
    END,
    answer_source,
    drift,
    exercise_pairs,
    nbgrader_version,
    student_version,
    write_versions,
)
from course_lib.tools.tidy import has_tag

PATHS = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
PAIRS = [
    pytest.param(path.stem, *pair, id=f"{path.stem}-{i}")
    for path in PATHS
    for i, pair in enumerate(exercise_pairs(nbformat.read(path, 4)), 1)
]
STUB = """def helper(x):
    return x


def my_answer(a, b):  # a [B], b [B]
    return ...  # one number


exercises.check_two_means(my_answer)"""
SOLUTION = """def my_answer(a, b):
    c = helper(a)
    return c + b


my_extra = 3
assert exercises.check_two_means(my_answer)
assert my_answer(1, 2) == 3"""


@pytest.fixture
def notebook():
    solution = new_code_cell(SOLUTION, metadata={"tags": ["solution"]}, execution_count=2)
    first = new_code_cell(STUB, execution_count=1, outputs=[new_output("stream", text="✗ not answered yet")])
    return new_notebook(cells=[new_markdown_cell("# One"), first, new_markdown_cell("Hint"), solution])


@pytest.mark.parametrize(("name", "stub", "solution"), PAIRS)
def test_a_stub_and_its_solution_fit(name, stub, solution):
    assert drift(stub.source, solution.source) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("my_answer(a, b)", "my_answer(a, c)"), r"my_answer takes \(a, b\) in the stub, \(a, c\) in the solution"),
        (("(my_answer)", "(my_answer, 2)"), "the stub calls"),
        (("my_answer", "other"), "the stub calls"),
    ],
)
def test_drift_is_found(change, words):
    assert drift(STUB, SOLUTION) is None
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(drift(STUB, SOLUTION.replace(*change)))
    assert "does not define my_answer" in drift(STUB.replace("def my_answer", "def mine"), SOLUTION)
    assert "none of which" in drift(STUB, SOLUTION.replace("def my_answer", "def mine"))
    assert "no ..." in drift(STUB.replace("...", "0"), SOLUTION)


def test_a_student_gets_no_solution_and_no_output(notebook):
    mine = student_version(notebook)
    assert [cell.source for cell in mine.cells] == ["# One", STUB, "Hint"]
    assert mine.cells[1].outputs == [] and mine.cells[1].execution_count is None
    assert len(notebook.cells) == 4 and notebook.cells[1].outputs, "the original is as it was"


def test_a_student_gets_no_saved_state_of_widgets(notebook):
    notebook.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": {}}}
    for version in (student_version, nbgrader_version):
        assert "widgets" not in version(notebook).metadata and "widgets" in notebook.metadata


def test_a_student_gets_no_claim_and_each_schematic_with_its_picture(notebook):
    drawing = new_output("execute_result", data={"text/html": "<img>"}, execution_count=4)
    notebook.cells += [
        new_code_cell("assert 1 < 2", metadata={"tags": ["claim"]}, execution_count=3),
        new_code_cell("s.show('x')", metadata={"tags": ["schematic"]}, execution_count=4, outputs=[drawing]),
    ]
    for version in (student_version, nbgrader_version):
        *_, last = version(notebook).cells
        assert last.source == "s.show('x')" and last.outputs == [drawing] and last.execution_count is None
        assert "assert 1 < 2" not in [cell.source for cell in version(notebook).cells]
    assert len(notebook.cells) == 6 and notebook.cells[-1].execution_count == 4, "the original is as it was"


def answers_used(notebook):
    """The answers with which a cell of the student's notebook computes, other than the cell that asks for them: what a
    check takes, and what only a solution defines."""
    cells = code_cells(student_version(notebook))
    solved, _ = names_in(solution for _, solution in exercise_pairs(notebook))
    given, _ = names_in(cells)
    answers, found = solved - given, set()
    for cell in cells:
        mine = set(re.findall(r"\bmy_\w+", " ".join(re.findall(r"exercises\.check_.*", cell.source))))
        found |= answers & names_in([cell])[1] - mine
        answers |= mine
    return found


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_notebook_runs_to_its_end_with_every_exercise_blank(path):
    """Where a later cell needs what an exercise asks for, it takes the course's own function."""
    assert answers_used(nbformat.read(path, 4)) == set()


def test_a_cell_that_needs_an_answer_is_found(notebook):
    for line in ("plot(my_answer)", "plot(my_extra)"):  # of the stub's check; of the solution alone
        later = new_notebook(cells=[*notebook.cells, new_code_cell(line)])
        assert answers_used(later) == {line[5:-1]} and answers_used(notebook) == set()


@pytest.mark.parametrize("tags", [("claim",), ("claim", "drawing")], ids="-".join)
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_no_other_cell_needs_what_a_claim_or_a_drawing_defines(path, tags):
    cells = code_cells(nbformat.read(path, 4))
    defined, _ = names_in(cell for cell in cells if has_tag(cell, *tags))
    given, used = names_in(cell for cell in cells if not has_tag(cell, *tags))
    assert not (defined - given) & used


def test_an_answer_of_nbgrader_is_the_stub_with_the_solution_marked():
    source = answer_source(STUB, SOLUTION)
    assert source.startswith("def helper(x):\n    return x\n\n\ndef my_answer(a, b):  # a [B], b [B]\n    " + BEGIN)
    assert f"    {BEGIN}\n    c = helper(a)\n    return c + b\n    {END}" in source
    assert f"{BEGIN}\nmy_extra = 3\n{END}" in source and "assert" not in source and "..." not in source


def test_nbgrader_cells_have_their_roles(notebook):
    mine = nbgrader_version(notebook)
    nbformat.validate(mine)
    _, answer, test, _ = mine.cells
    assert answer.metadata.nbgrader.solution and not answer.metadata.nbgrader.grade
    assert test.metadata.nbgrader == {
        "schema_version": 3,
        "grade_id": "check_two_means_test",
        "grade": True,
        "solution": False,
        "locked": True,
        "task": False,
        "points": 1,
    }
    assert test.source == "assert exercises.check_two_means(my_answer)\nassert my_answer(1, 2) == 3"


def test_an_open_exercise_has_three_points_and_partial_credit(notebook):
    """nbgrader gives as many points as the last line of a test cell says."""
    notebook.cells[-1].metadata["tags"].append("open")
    notebook.cells[-1].source = SOLUTION.replace("(my_answer)", "(my_answer) >= 2")
    _, _, test, *_ = nbgrader_version(notebook).cells
    assert test.source == "int(exercises.check_two_means(my_answer))" and test.metadata.nbgrader.points == 3


def test_a_comment_at_the_top_of_a_solution_belongs_to_it():
    source = answer_source(STUB, SOLUTION.replace("    c =", "    # why\n    c ="))
    assert f"    {BEGIN}\n    # why\n    c = helper(a)" in source and "..." not in source


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_each_notebook_has_its_versions(path):
    notebook = nbformat.read(path, 4)
    mine, source = student_version(notebook), nbgrader_version(notebook)
    for version in (mine, source):
        nbformat.validate(version)
        assert not [cell for cell in version.cells if has_tag(cell, "solution", "claim")]
        assert all(has_tag(cell, "schematic") for cell in version.cells if cell.get("outputs"))
    count, claims = len(exercise_pairs(notebook)), sum(has_tag(cell, "claim") for cell in notebook.cells)
    assert count >= 3 and len(mine.cells) == len(notebook.cells) - count - claims
    marked = [cell for cell in source.cells if "nbgrader" in cell.metadata]
    assert len(marked) == 2 * count == len({cell.metadata.nbgrader.grade_id for cell in marked})
    for cell in marked:
        ast.parse(cell.source)
        assert (BEGIN in cell.source) == (END in cell.source) == cell.metadata.nbgrader.solution
        assert not re.search(r"(=|return) \.\.\.", cell.source), "a stub above its solution"


@pytest.mark.parametrize(("name", "stub", "solution"), PAIRS)
def test_a_stub_fails_its_check(name, stub, solution):
    """The stub alone, in a namespace with what its signature may need, gets ✗ and no error."""
    import torch

    exercises = importlib.import_module(f"course_lib.lab.exercises.{name[3:]}")
    printed, space = io.StringIO(), {"exercises": exercises, "torch": torch}
    with contextlib.redirect_stdout(printed):
        exec(compile(stub.source, "stub", "exec"), space)
    assert printed.getvalue().startswith("✗ ") and "not answered yet" in printed.getvalue()


def test_the_command_writes_all_notebooks(tmp_path, capsys):
    assert main(["student", str(tmp_path / "class")]) == 0
    assert f"{len(PATHS)} notebooks, 00_start_here" in capsys.readouterr().out
    assert [path.name for path in sorted((tmp_path / "class").iterdir())] == [path.name for path in PATHS]
    assert main(["student", str(tmp_path / "source"), "--nbgrader"]) == 0
    assert BEGIN in (tmp_path / "source" / PATHS[0].name).read_text(encoding="utf-8")


def test_bad_folders_are_named(tmp_path, capsys):
    assert main(["student", str(tmp_path / "out"), "--notebooks", str(tmp_path)]) == 2
    assert "holds no notebook" in capsys.readouterr().err and not (tmp_path / "out").exists()
    with pytest.raises(ValueError, match="out: expected another folder"):
        write_versions(NOTEBOOKS, NOTEBOOKS)
    with pytest.raises(ValueError, match="one stub before each solution"):
        exercise_pairs(new_notebook(cells=[new_code_cell(SOLUTION, metadata={"tags": ["solution"]})]))
