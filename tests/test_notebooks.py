"""Conventions of the notebooks that a program can see; that they run and print what is stored is checked by nbval, that
their widgets turn by `turning`."""

import ast
import json
import re
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("[0-9][0-9]_*.ipynb"))
pytestmark = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
HIDDEN = {"claim", "solution"}
"""Tags of cells that a reader need not see: what the text claims, asserted; the answers."""

TAGS = {*HIDDEN, "open", "schematic", "drawing", "nbval-ignore-output"}


def load(path):
    """(cells, code cells) of a notebook, each cell's source as one string."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    for cell in cells:
        cell["source"] = "".join(cell["source"])
    return cells, [cell for cell in cells if cell["cell_type"] == "code" and cell["source"].strip()]


def tags(cell):
    return set(cell["metadata"].get("tags", []))


def test_it_was_run_from_top_to_bottom(path):
    _, code = load(path)
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not [output for output in outputs if output.get("name") == "stderr"], "a warning or a bar is stored"
    assert not re.search(r"/root/|/home/|/tmp/|[A-Z]:\\\\", json.dumps(outputs)), "a path of a machine is stored"


def test_it_is_small_and_readable(path):
    cells, code = load(path)
    assert path.stat().st_size < 1_500_000
    assert max(len(cell["source"].splitlines()) for cell in code if not tags(cell) & HIDDEN) <= 40
    assert sum("nbval-ignore-output" in tags(cell) for cell in code) <= len(code) / 3
    assert set().union(*map(tags, cells)) <= TAGS, "a tag that no tool knows"


def test_its_parts_are_there(path):
    cells, code = load(path)
    prose = "\n".join(cell["source"] for cell in cells if cell["cell_type"] == "markdown")
    for part in ("You will learn", "You need", "Time", "Slides", "Summary", "Quiz", "References", "Next"):
        assert part in prose, f"no {part}"
    assert prose.count("<details>") >= 6, "three hints and three quiz answers, folded"
    assert prose.count("<details>") == prose.count("</details>")
    assert any("widgets.explore" in cell["source"] for cell in code)


def test_sections_and_exercises_are_numbered_without_a_gap(path):
    text = "\n".join(cell["source"] for cell in load(path)[0] if cell["cell_type"] == "markdown")
    for heading in (r"^## (\d+)\. ", r"^#+ Exercise (\d+)"):
        found = [int(number) for number in re.findall(heading, text, re.MULTILINE)]
        assert found == list(range(1, len(found) + 1)) and len(found) > 1, heading


def test_each_exercise_has_its_solution_and_check(path):
    _, code = load(path)
    solutions = [cell for cell in code if "solution" in tags(cell)]
    assert len(solutions) >= 3
    for cell in solutions:
        (name,) = set(re.findall(r"exercises\.(check_\w+)", cell["source"]))
        assert f"assert exercises.{name}(" in cell["source"]
        stubs = [c for c in code if f"exercises.{name}(" in c["source"] and c is not cell]
        assert len(stubs) == 1 and "..." in stubs[0]["source"], f"no stub for {name}"
        assert "✗" in "".join(stubs[0]["outputs"][0]["text"])
        assert "✓" in "".join(cell["outputs"][0]["text"])


def test_claims_are_asserted(path):
    _, code = load(path)
    trees = [ast.parse(cell["source"]) for cell in code if "solution" not in tags(cell)]
    claims = [n for tree in trees for n in ast.walk(tree) if isinstance(n, ast.Assert)]
    assert len([n for n in claims if not isinstance(n.test, ast.Constant)]) >= 3
