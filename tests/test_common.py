"""What all rooms share: checks, seeds, the environment of `torchrun`, and files that are whole at any moment."""

import ast
import os
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from course_lib import common
from course_lib.common import as_generator, check_range, processes, progress, replacing, write_text

ROOT = Path(common.__file__).parent


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("low, high", [(0.0, 1.0), (-0.9, 1.9), (0.5, 0.5)])
def test_images_that_overshoot_a_little_are_images(low, high):
    check_range("x", torch.tensor([low, high]).reshape(1, 2, 1, 1))


@pytest.mark.parametrize("low, high", [(0.0, 255.0), (-1.1, 1.0), (0.0, 2.1)])
def test_images_of_another_range_are_named(low, high):
    with pytest.raises(ValueError, match=rf"^x: expected images in \[0, 1\], got values from {low:g} to {high:g}"):
        check_range("x", torch.tensor([low, high]).reshape(1, 2, 1, 1))


@pytest.mark.parametrize("seed", [3, np.int64(3), np.uint8(3), torch.Generator().manual_seed(3)])
def test_a_seed_may_be_any_integer_or_a_generator(seed):
    expected = torch.rand(4, generator=torch.Generator().manual_seed(3))
    assert torch.equal(torch.rand(4, generator=as_generator(seed)), expected)


def test_counts_and_numbers_may_be_those_of_numpy():
    common.check_count("n", np.int32(2), low=1)
    common.check_number("sigma", np.float32(0.1))
    for value in (0, True, 1.0, np.float64(2), "2"):
        with pytest.raises(ValueError, match=r"^n: expected an integer >= 1, got"):
            common.check_count("n", value, low=1)
    for value in (-1, float("nan"), float("inf"), "1", None):
        with pytest.raises(ValueError, match=r"^sigma: expected a finite number >= 0, got"):
            common.check_number("sigma", value)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, (0, 1)),
        ({"RANK": "", "WORLD_SIZE": ""}, (0, 1)),
        ({"RANK": "1", "WORLD_SIZE": "4"}, (1, 4)),
        ({"WORLD_SIZE": "4"}, (0, 4)),
        ({"RANK": "x"}, "RANK: expected an integer in the environment"),
        ({"RANK": "-1"}, "RANK: expected an integer in the environment"),
        ({"WORLD_SIZE": "2.0"}, "WORLD_SIZE: expected an integer in the environment"),
        ({"RANK": "1"}, "RANK: expected an integer below WORLD_SIZE = 1, got 1"),
        ({"WORLD_SIZE": "0"}, "RANK: expected an integer below WORLD_SIZE = 0, got 0"),
    ],
)
def test_the_processes_of_a_run(monkeypatch, environment, expected):
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    if isinstance(expected, tuple):
        assert processes() == expected
    else:
        with pytest.raises(ValueError, match=f"^{expected}"):
            processes()


@pytest.mark.parametrize(("rank", "silent"), [("1", True), ("", None), ("0", None)])
def test_progress_is_silent_in_all_processes_but_the_first(monkeypatch, rank, silent):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setattr(common, "tqdm", lambda iterable, disable: (iterable, disable))
    assert progress([1, 2]) == ([1, 2], silent)
    assert progress([1, 2], disable=True) == ([1, 2], True)
    monkeypatch.setenv("TQDM_DISABLE", "1")
    assert progress([1, 2]) == ([1, 2], True)


@contextmanager
def full_disk(size):
    """No file can grow beyond so many bytes: the write that would do so fails half-way, as on a full disk."""
    resource = pytest.importorskip("resource", reason="limits the size of files by getrlimit, which Windows lacks")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("before", ["old", None])
@pytest.mark.parametrize("left", ["left by a killed process", None])
def test_a_file_is_replaced_at_the_end_of_the_block(tmp_path, before, left):
    path = tmp_path / "a.csv"
    for place, text in ((path, before), (Path(f"{path}.tmp"), left)):
        if text:
            place.write_text(text)
    with replacing(path) as temporary:
        assert temporary.parent == path.parent
        temporary.write_text("new")
        assert path.read_text() == before if before else not path.exists()
    assert path.read_text() == "new" and names(tmp_path) == ["a.csv"]


class Broken(BaseException):
    """Neither an Exception nor expected by anybody, as KeyboardInterrupt."""


@pytest.mark.parametrize("before", ["old", None])
@pytest.mark.parametrize("moment", ["at once", "half-way", "at the end", "at the rename", "full disk"])
def test_a_write_that_fails_leaves_what_was_there_and_nothing_else(tmp_path, monkeypatch, before, moment):
    path = tmp_path / "a.csv"
    if before:
        path.write_text(before)

    def broken(*_):
        raise Broken

    def write(temporary):
        steps = {"at once": 0, "half-way": 1, "at the end": 2}.get(moment, 3)
        with temporary.open("w") as file:
            for _ in range(min(steps, 2)):
                file.write("new" * 500)
            if steps < 3:
                broken()

    if moment == "full disk":
        with full_disk(1000), pytest.raises(OSError), replacing(path) as temporary:
            write(temporary)
    else:
        with monkeypatch.context() as patch, pytest.raises(Broken):
            if moment == "at the rename":
                patch.setattr(os, "replace", broken)
            with replacing(path) as temporary:
                write(temporary)
    assert names(tmp_path) == (["a.csv"] if before else []) and (not before or path.read_text() == before)


def test_text_is_written_in_utf8_with_its_folder(tmp_path):
    write_text(tmp_path / "new" / "a.md", "λ = ½\n")
    assert (tmp_path / "new" / "a.md").read_bytes() == "λ = ½\n".encode()


WRITERS = {"write_text", "write_bytes", "savefig", "save", "save_file", "savez", "to_csv", "imwrite", "dump", "touch"}


def written(function):
    """(line, name or None) of what a function writes to: the receiver of a method, or the first argument."""
    for node in ast.walk(function):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        call, of_receiver = node.func.attr, node.func.attr in ("write_text", "write_bytes", "touch", "open")
        mode = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else "r"
        if call in WRITERS or (call == "open" and isinstance(mode, str) and set(mode) & set("wax+")):
            target = node.func.value if of_receiver else node.args[0] if node.args else None
            target = target.target if isinstance(target, ast.NamedExpr) else target
            if target is not None:
                yield node.lineno, getattr(target, "id", None)


def allowed(function):
    """The names that a function may write to: what `replacing` gives, and buffers in memory."""
    for node in ast.walk(function):
        if isinstance(node, ast.withitem) and isinstance(node.context_expr, ast.Call):
            called = node.context_expr.func
            if getattr(called, "id", "") == "replacing" and isinstance(node.optional_vars, ast.Name):
                yield node.optional_vars.id
        value, targets = getattr(node, "value", None), getattr(node, "targets", [getattr(node, "target", None)])
        if isinstance(value, ast.Call) and getattr(value.func, "attr", "") == "BytesIO":
            yield from (target.id for target in targets if isinstance(target, ast.Name))


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_file_is_written_through_replacing(path):
    """So the laws above, of `replacing`, are those of everything that the library saves."""
    for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(function, ast.FunctionDef):
            names = set(allowed(function))
            for line, name in written(function):
                assert name in names, f"{path.name}:{line} writes to a file without `replacing`"


def test_the_law_of_writing_sees_what_it_should_see():
    source = """
def f(path, image):
    with replacing(path) as temporary:
        temporary.write_text("a")
    image.save(buffer := io.BytesIO(), "PNG")
    path.write_text("b")
    path.open("w")
    path.open("rb")
    image.save(path)
"""
    (function,) = ast.parse(source).body
    assert set(allowed(function)) == {"temporary", "buffer"}
    assert [line for line, name in written(function) if name not in allowed(function)] == [6, 7, 9]


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_device_that_is_not_there_is_named():
    assert common.choose_device("auto") == common.choose_device("cpu") == torch.device("cpu")
    with pytest.raises(ValueError, match=r"^device: expected auto or cpu, got cuda"):
        common.choose_device("cuda")
