"""What the design promises of the code as a whole: who imports whom, and how long things are."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = [
    ["common"],
    ["models.packed"],
    ["operators", "patches", "models.conv_layers", "models.flow_layers", "models.reversible"],
    ["regularizers"],
    ["metrics", "data", "results", "spectra", "phantom"],
    ["models.denoiser", "models.flow2d", "models.glow", "models.regression", "models.unrolled", "models.vae"],
    ["weights"],
    ["solvers"],
    ["selection", "compressed_sensing"],
    ["plug_and_play"],
    ["reconstruction"],
    ["training"],
    ["plots"],
    ["widgets"],
    ["exercises"],
    ["scores"],
    ["methods"],
    ["experiments"],
    ["couplings", "coverage", "domains", "gallery", "mask_editor", "tidy"],
    ["sweeps"],
    ["student", "links"],
    ["__main__"],
]
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}
MODULES = sorted((ROOT / "course_lib").rglob("*.py"))


def name_of(path):
    return ".".join(path.relative_to(ROOT / "course_lib").with_suffix("").parts)


def module_of(name):
    """A concept that needs several files is a package: its files stand on its layer and may import one another."""
    return name if name in RANK else name.split(".")[0]


def imports(tree):
    """Names of the course's modules that a module imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("course_lib"):
            module = node.module.removeprefix("course_lib").lstrip(".")
            for alias in node.names:
                below = f"{module}.{alias.name}".lstrip(".")
                yield module_of(below if below in RANK else module)
        elif isinstance(node, ast.Import):
            yield from (
                module_of(a.name.removeprefix("course_lib.")) for a in node.names if a.name.startswith("course_lib.")
            )


@pytest.mark.parametrize("path", [p for p in MODULES if p.name != "__init__.py"], ids=name_of)
def test_a_module_imports_only_from_below(path):
    name = module_of(name_of(path))
    assert name in RANK, "a new module needs its place in LAYERS"
    for imported in imports(ast.parse(path.read_text(encoding="utf-8"))):
        assert imported == name or RANK[imported] < RANK[name], f"{name_of(path)} imports {imported}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_modules_and_functions_are_short(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 320
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            documented = ast.get_docstring(node) is not None
            length = node.end_lineno - node.body[documented].lineno + 1 if len(node.body) > documented else 0
            assert length <= 40, f"{node.name} has {length} lines"


def test_every_public_object_is_documented():
    missing = []
    for path in MODULES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            public = isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
            if public and ast.get_docstring(node) is None:
                missing.append(f"{name_of(path)}.{node.name}")
    assert [m for m in missing if not m.split(".")[-1].startswith("run_")] == []
