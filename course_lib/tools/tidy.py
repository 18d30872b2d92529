"""What an executed notebook needs to be committed: no time stamps, outputs in one piece, smaller pictures, and the
sources folded that a reader need not see.

All tools know four tags of a cell:

    solution    of an exercise      collapsed                   not in the students' notebooks
    claim       what the text says, collapsed                   neither in the students' notebooks nor on the pages
                asserted
    schematic   code that draws     collapsed; the picture      the picture alone on the pages; in the students'
                a scheme            stays                       notebooks it stays, too
    drawing     code that draws     collapsed; the picture      folded on the pages; the students' notebooks keep it
                results, no more    stays
"""

import base64
import io
from pathlib import Path

import nbformat
from PIL import Image, ImageChops

from course_lib.common import check, write_text

LARGE = 70_000
"""Bytes from which a picture is stored in 256 colours, or in greys."""

COLLAPSED = ("solution", "claim", "schematic", "drawing")
"""Tags of the cells whose source JupyterLab shows as a bar to be opened."""


def has_tag(cell, *tags):
    """Whether a cell is of code, and has one of the tags."""
    return cell.cell_type == "code" and not set(tags).isdisjoint(cell.metadata.get("tags", []))


def collapse(cell):
    """Fold the source of a cell that has one of the tags `COLLAPSED`, and unfold that of any other."""
    view = {k: v for k, v in cell.metadata.pop("jupyter", {}).items() if k != "source_hidden"}
    if has_tag(cell, *COLLAPSED):
        view["source_hidden"] = True
    if view:
        cell.metadata["jupyter"] = view


def smaller(picture):
    """A PNG [bytes] of less size: one without colour as the same greys; any other in 256 colours of its own, dithered,
    hard to tell from the original. One that has no more colours stays as it is: to choose them again would lose a
    little each time."""
    image = Image.open(io.BytesIO(picture))
    if image.mode in ("P", "L"):
        return picture
    image = image.convert("RGB")
    grey = image.convert("L")
    colourless = ImageChops.difference(image, grey.convert("RGB")).getbbox() is None
    image = grey if colourless else image.quantize(256, dither=Image.Dither.FLOYDSTEINBERG)
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
    """Take the execution times out of a notebook, fold what is tagged, join its streams, and store large pictures in
    256 colours."""
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        collapse(cell)
        if cell.cell_type != "code":
            continue
        cell.outputs = joined(cell.outputs)
        for output in cell.outputs:
            picture = base64.b64decode(output.get("data", {}).get("image/png", ""))
            if len(picture) > LARGE:
                output.data["image/png"] = base64.b64encode(smaller(picture)).decode()


def notebooks(folder):
    """The paths of the notebooks of a folder, `NN_topic.ipynb`. FileNotFoundError where there is none."""
    paths = sorted(Path(folder).glob("[0-9][0-9]_*.ipynb"))
    if not paths:
        raise FileNotFoundError(f"folder: {folder} holds no notebook of the course (NN_topic.ipynb)")
    return paths


def read_notebook(path):
    """A notebook file; ValueError where it is none."""
    try:
        return nbformat.read(path, 4)
    except (ValueError, AttributeError, nbformat.ValidationError) as error:
        raise ValueError(f"{path}: expected a notebook in JSON ({' '.join(str(error).split())[:80]})") from error


def write_notebook(notebook, path):
    """Write a notebook file; it is replaced when it is whole."""
    write_text(path, nbformat.writes(notebook) + "\n")


def tidy_files(paths):
    """Tidy notebooks in place; returns their sizes in bytes. ValueError for a path that is no notebook."""
    for path in paths:
        check(Path(path).suffix == ".ipynb" and Path(path).is_file(), "paths", "notebooks (.ipynb) that exist", path)
    for path, notebook in [(Path(path), read_notebook(path)) for path in paths]:
        tidy(notebook)
        write_notebook(notebook, path)
    return [Path(path).stat().st_size for path in paths]
