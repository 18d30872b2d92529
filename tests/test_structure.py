"""What the design promises of the code as a whole: who imports whom, and that everything public is documented."""

import ast
from pathlib import Path

import pytest

from course_lib.studies.figures import ROOMS, imported_by

ROOT = Path(__file__).parent.parent / "course_lib"
RANK = {room: rank for rank, room in enumerate(ROOMS)}
"""From the ground up: a room imports only from those before it."""

MODULES = sorted(ROOT.rglob("*.py"))


def name_of(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


@pytest.mark.parametrize("path", [p for p in MODULES if p.name != "__init__.py"], ids=name_of)
def test_a_module_imports_only_from_rooms_above_its_own(path):
    room = name_of(path).split(".")[0]
    assert room in RANK, "a new room needs its line in ROOMS"
    for other, _ in imported_by(ast.parse(path.read_text(encoding="utf-8"))):
        assert other == room or RANK[other] < RANK[room], f"{name_of(path)} imports {other}"


def test_within_a_room_imports_have_one_direction():
    graph = {name_of(p): {m for _, m in imported_by(ast.parse(p.read_text(encoding="utf-8")))} for p in MODULES}
    graph = {name: {other for other in others if other in graph} for name, others in graph.items()}
    while graph:
        free = {name for name, others in graph.items() if not others & graph.keys()}
        assert free, f"these import one another: {sorted(graph)}"
        graph = {name: others for name, others in graph.items() if name not in free}


def test_every_public_object_is_documented():
    missing = []
    for path in MODULES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            public = isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
            if public and ast.get_docstring(node) is None:
                missing.append(f"{name_of(path)}.{node.name}")
    assert [m for m in missing if not m.split(".")[-1].startswith("run_")] == []
