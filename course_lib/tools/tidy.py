"""What an executed notebook needs to be committed: no time stamps, outputs in one piece, smaller pictures."""

import base64
import io
from pathlib import Path

import nbformat
from PIL import Image

from course_lib.common import check, replacing

LARGE = 90_000
"""Bytes from which a picture is stored in 256 colours."""


def smaller(picture):
    """A PNG [bytes] in 256 colours of its own, dithered: a third of the size, and hard to tell from the original."""
    image = Image.open(io.BytesIO(picture)).convert("RGB").quantize(256, dither=Image.Dither.FLOYDSTEINBERG)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return min(picture, buffer.getvalue(), key=len)


def joined(outputs):
    """Outputs where consecutive pieces of one stream are one: how a kernel cuts them is chance."""
    found = []
    for output in outputs:
        last = found[-1] if found else None
        if last and output.output_type == last.output_type == "stream" and output.name == last.name:
            last.text += output.text
        else:
            found.append(output)
    return found


def tidy(notebook):
    """Take the execution times out of a notebook, join its streams, and store large pictures in 256 colours."""
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type != "code":
            continue
        cell.outputs = joined(cell.outputs)
        for output in cell.outputs:
            picture = base64.b64decode(output.get("data", {}).get("image/png", ""))
            if len(picture) > LARGE:
                output.data["image/png"] = base64.b64encode(smaller(picture)).decode()


def read_notebook(path):
    """A notebook file; ValueError where it is none."""
    try:
        return nbformat.read(path, 4)
    except (ValueError, AttributeError, nbformat.ValidationError) as error:
        raise ValueError(f"{path}: expected a notebook in JSON ({' '.join(str(error).split())[:80]})") from error


def tidy_files(paths):
    """Tidy notebooks in place; returns their sizes in bytes. ValueError for a path that is no notebook."""
    for path in paths:
        check(Path(path).suffix == ".ipynb" and Path(path).is_file(), "paths", "notebooks (.ipynb) that exist", path)
    for path, notebook in [(Path(path), read_notebook(path)) for path in paths]:
        tidy(notebook)
        with replacing(path) as temporary:
            temporary.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8", newline="\n")
    return [Path(path).stat().st_size for path in paths]
