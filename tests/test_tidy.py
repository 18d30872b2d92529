"""What is taken from an executed notebook, and that nothing else is."""

import base64
import io

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from course_lib.__main__ import NOTEBOOKS, main
from course_lib.tools.tidy import LARGE, smaller, tidy


def png(size):
    ramp = np.linspace(0, 255, size)
    array = np.stack([ramp[:, None] + 0 * ramp, ramp + 0 * ramp[:, None], np.random.rand(size, size) * 99], 2)
    buffer = io.BytesIO()
    Image.fromarray(array.astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def picture(content):
    return new_output("display_data", data={"image/png": base64.b64encode(content).decode(), "text/plain": "a figure"})


def test_a_notebook_is_tidied_in_place(tmp_path, capsys):
    large, small = png(300), png(20)
    assert len(large) > LARGE > len(small)
    streams = [new_output("stream", name="stdout", text=text) for text in ("one\n", "two\n")]
    streams += [new_output("stream", name="stderr", text="three\n")]
    cells = [
        new_markdown_cell("# Text"),
        new_code_cell("1", execution_count=1, outputs=[*streams, picture(large), picture(small)]),
    ]
    cells[1].metadata.execution = {"iopub.execute_input": "2026-01-01"}
    cells[1].metadata.tags = ["solution"]
    path = tmp_path / "01_some.ipynb"
    nbformat.write(new_notebook(cells=cells), path)
    assert main(["tidy", str(path)]) == 0 and "01_some" in capsys.readouterr().out
    text, code = nbformat.read(path, 4).cells
    assert text.source == "# Text" and code.source == "1" and code.execution_count == 1
    assert code.metadata == {"tags": ["solution"], "jupyter": {"source_hidden": True}}
    out, err, first, second = code.outputs
    assert (out.text, err.text) == ("one\ntwo\n", "three\n")
    stored = base64.b64decode(first.data["image/png"])
    before, after = (np.asarray(Image.open(io.BytesIO(b)).convert("RGB"), float) for b in (large, stored))
    assert len(stored) < 0.8 * len(large) and np.abs(before - after).mean() < 12
    assert base64.b64decode(second.data["image/png"]) == small and first.data["text/plain"] == "a figure"
    kept = path.read_bytes()
    assert main(["tidy", str(path)]) == 0 and path.read_bytes() == kept


@pytest.mark.parametrize("tag", ["solution", "claim", "schematic"])
def test_what_a_reader_need_not_see_is_folded(tag):
    cells = [new_code_cell("1", metadata={"tags": ["other", tag], "jupyter": {"outputs_hidden": False}})]
    cells += [
        new_code_cell("2", metadata={"jupyter": {"source_hidden": True}}),
        new_code_cell("3"),
        new_markdown_cell("4"),
    ]
    notebook = new_notebook(cells=cells)
    for _ in range(2):
        tidy(notebook)
        assert cells[0].metadata.jupyter == {"outputs_hidden": False, "source_hidden": True}
        assert [cell.metadata for cell in cells[1:]] == [{}, {}, {}]


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb")), ids=lambda path: path.stem)
def test_the_notebooks_are_tidy(path):
    notebook = nbformat.read(path, 4)
    before = nbformat.writes(notebook)
    tidy(notebook)
    assert nbformat.writes(notebook) == before


def test_a_picture_is_made_smaller_once():
    once = smaller(png(600))
    assert len(once) > LARGE and smaller(once) == once


def test_greys_stay_what_they_are():
    array = np.asarray(Image.open(io.BytesIO(png(200))).convert("L").convert("RGBA"))
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    once = smaller(buffer.getvalue())
    assert len(once) < 0.8 * len(buffer.getvalue()) and smaller(once) == once
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(once)).convert("RGBA")), array)


def test_a_picture_never_grows():
    buffer = io.BytesIO()
    Image.new("1", (50, 50)).save(buffer, "PNG", optimize=True)
    assert len(smaller(buffer.getvalue())) <= len(buffer.getvalue())


@pytest.mark.parametrize("name", ["missing.ipynb", "page.md"])
def test_what_is_no_notebook_is_refused(tmp_path, name, capsys):
    (tmp_path / "page.md").write_text("text", encoding="utf-8")
    assert main(["tidy", str(tmp_path / name)]) == 2
    assert "paths: expected notebooks (.ipynb) that exist" in capsys.readouterr().err
