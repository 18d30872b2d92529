"""Versions of the notebooks for a class: without solutions, claims and outputs, and, on request, with nbgrader's
metadata.

An exercise of a notebook is a cell with a stub and the call of its check, and a later cell tagged `solution`, which
defines the same names and asserts the check. From these two everything here is made.
"""

import ast
import re
from pathlib import Path

import nbformat
from nbconvert.preprocessors import ClearOutputPreprocessor, TagRemovePreprocessor

from course_lib.common import check
from course_lib.tools.tidy import has_tag, notebooks, read_notebook, write_notebook

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
"""What nbgrader cuts out of an answer."""


def checks_of(source):
    """The names of the checks that a cell calls, `check_…`, in their order."""
    return re.findall(r"exercises\.(check_\w+)\(", source)


def called_as(name, source):
    """The call of a check in a cell, as it is written there."""
    return re.search(rf"exercises\.{name}\(.*\)", source).group()


def exercise_pairs(notebook):
    """[(stub cell, solution cell), …] of a notebook. ValueError where a solution has not exactly one stub before it."""
    pairs, stubs = [], []
    for cell in notebook.cells:
        if has_tag(cell, "solution"):
            names = set(checks_of(cell.source))
            mine = [stub for stub in stubs if names & set(checks_of(stub.source))]
            check(len(names) == 1 and len(mine) == 1, "notebook", "one stub before each solution", sorted(names))
            pairs.append((mine[0], cell))
        elif cell.cell_type == "code" and checks_of(cell.source):
            stubs.append(cell)
    return pairs


def statements(source):
    """[(node, its lines), …] of the statements of a cell, with the comments that stand in them."""
    lines = source.splitlines()
    return [(node, "\n".join(lines[node.lineno - 1 : node.end_lineno])) for node in ast.parse(source).body]


def names_of(node):
    """The names that a statement defines, each with its signature if it is a function."""
    if isinstance(node, ast.FunctionDef):
        return {node.name: ast.unparse(node.args)}
    targets = node.targets if isinstance(node, ast.Assign) else []
    return {name.id: None for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)}


def drift(stub, solution):
    """In which way a stub and its solution no longer fit, as a sentence; None where they do."""
    defined = [{k: v for node, _ in statements(cell) for k, v in names_of(node).items()} for cell in (stub, solution)]
    calls = [re.findall(r"exercises\.check_\w+\(.*\)", source) for source in (stub, solution)]
    if calls[0] != calls[1]:
        return f"the stub calls {calls[0]}, the solution {calls[1]}"
    answers = [name for name in defined[1] if re.search(rf"\b{name}\b", " ".join(calls[1]))]
    if not answers:
        return f"the solution defines {sorted(defined[1])}, none of which is checked"
    for name in answers:
        if name not in defined[0]:
            return f"the stub does not define {name}"
        if defined[0][name] != defined[1][name]:
            return f"{name} takes ({defined[0][name]}) in the stub, ({defined[1][name]}) in the solution"
    return None if "..." in stub else "the stub has no ... to replace"


def student_version(notebook):
    """The notebook of a student: no solutions and no claims, no counts, no outputs but schematics, and no widgets'
    state: a run makes them anew. The notebook itself stays as it is."""
    mine, clear = nbformat.from_dict(notebook), ClearOutputPreprocessor()
    mine, _ = TagRemovePreprocessor(remove_cell_tags={"solution", "claim"}).preprocess(mine, {})
    for i, cell in enumerate(mine.cells):
        if has_tag(cell, "schematic"):
            cell.execution_count = None
        else:
            clear.preprocess_cell(cell, {}, i)
    mine.metadata.pop("widgets", None)
    return mine


def answer_source(stub, solution):
    """The cell in which nbgrader has students answer: what the stub gives, with the solution between its two marks."""
    defined = {name for node, _ in statements(solution) for name in names_of(node)}
    heads = {node.name: lines for node, lines in statements(stub) if isinstance(node, ast.FunctionDef)}
    parts = [lines for node, lines in statements(stub) if names_of(node) and not names_of(node).keys() & defined]
    for node, lines in statements(solution):
        if isinstance(node, ast.Assert):
            continue
        if isinstance(node, ast.FunctionDef):
            lines, body = lines.splitlines(), node.body[0].lineno - node.lineno
            while lines[body - 1].lstrip().startswith("#"):  # a comment before the first statement
                body -= 1
            head = heads[node.name].splitlines() if node.name in heads else lines
            parts.append("\n".join([*head[:body], f"    {BEGIN}", *lines[body:], f"    {END}"]))
        else:
            parts.append(f"{BEGIN}\n{lines}\n{END}")
    return "\n\n\n".join(parts)


def graded(cell, name, **role):
    """The cell with nbgrader's metadata (schema 3); its role: grade, solution, locked, points."""
    about = {"schema_version": 3, "grade_id": name, "grade": False, "solution": False, "locked": False, "task": False}
    cell.metadata["nbgrader"] = about | role
    return cell


def nbgrader_version(notebook):
    """The notebook as nbgrader's source: each exercise an answer cell with its solution marked, and a locked test cell
    of one point, which asserts the check. That of an open exercise, whose solution is tagged `open`, has three points:
    its last line is their number, which nbgrader takes as partial credit. `nbgrader generate_assignment` makes the
    students' version of it."""
    mine, pairs = student_version(notebook), exercise_pairs(notebook)
    for stub, solution in pairs:
        (name,) = set(checks_of(solution.source))
        at = next(i for i, cell in enumerate(mine.cells) if name in checks_of(cell.source))
        answer = nbformat.v4.new_code_cell(answer_source(stub.source, solution.source), id=f"{name[6:40]}-answer")
        tests = [lines for node, lines in statements(solution.source) if isinstance(node, ast.Assert)]
        is_open = has_tag(solution, "open")
        if is_open:
            tests = [f"int({called_as(name, solution.source)})"]
        test = nbformat.v4.new_code_cell("\n".join(tests), id=f"{name[6:40]}-test")
        role = {"grade": True, "locked": True, "points": 3 if is_open else 1}
        mine.cells[at : at + 1] = [graded(answer, name, solution=True), graded(test, f"{name}_test", **role)]
    return mine


def write_versions(folder, out, version=student_version):
    """Write a version of every notebook of a folder into `out`, another folder, made if need be; returns the paths."""
    paths, out = notebooks(folder), Path(out)
    check(out.resolve() != Path(folder).resolve(), "out", "another folder than that of the notebooks", out)
    written = [version(read_notebook(path)) for path in paths]
    for path, notebook in zip(paths, written, strict=True):
        write_notebook(notebook, out / path.name)
    return [out / path.name for path in paths]
