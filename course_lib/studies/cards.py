"""The cards of the trained networks, `models/trained/README.md`: what is known of each, and what it is and isn't for.

Words are written there by hand. Under each heading `### NAME`, a table says what the recipe NAME.json, the size of the
weight file, the notebooks and the methods of the score table say: `stamp` makes it.
"""

import json
import re
from pathlib import Path

from course_lib.common import check
from course_lib.models.weights import FOLDER, MODELS, describe
from course_lib.studies.methods import METHODS
from course_lib.training import DRAWN, SCORES

CARDS = FOLDER / "README.md"

CELEBA = "faces of CelebA (non-commercial research only)"
SOURCES = {
    "celeba_aligned_half": CELEBA,
    "img_align_celeba": CELEBA,
    "lfw_aligned_64": "faces of Labeled Faces in the Wild (photographs that belong to their photographers)",
}
"""Folders of training images: what is in them, and on which terms."""

MEASURES = {
    "bits_per_dim": "bits/dim",
    "bits_per_dim_bound": "bits/dim (an upper bound)",
    "velocity_error": "of the Gaussian part's mean square error",
    "rmse": "root mean square error",
    "mean_layer_error_db": "dB, the error of the codes, averaged over the layers",
}
"""What the `SCORES` of the recipes are called on the cards."""


def loading_cells(folder):
    """{file name: the cells that load weights, as one text} of a folder's notebooks; FileNotFoundError for none."""
    found = {}
    for path in sorted(Path(folder).glob("[0-9][0-9]_*.ipynb")):
        cells = ["".join(cell["source"]) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]
        found[path.name] = "\n".join(cell for cell in cells if re.search(r"\b(load_model|describe)\(", cell))
    if not found:
        raise FileNotFoundError(f"notebooks: {folder} holds no notebook of the course (NN_topic.ipynb)")
    return found


def users_of(name, cells):
    """What uses the weights: notebooks, of `loading_cells`, with links to them; and rows of the score table."""
    files = [file for file, text in cells.items() if re.search(rf"[\"']{name}[\"']", text, re.IGNORECASE)]
    links = [f"[{file[:2]}](../../../notebooks/{file})" for file in files]
    rows = [f"`{key}`" for key, method in METHODS.items() if method.network == name]
    words = f"notebook{'s' * (len(links) > 1)} {', '.join(links)}" if links else "no notebook"
    return f"{words}; in the score table {', '.join(rows)}" if rows else words


def data_of(about):
    """The training images of a recipe, and on which terms they are."""
    unknown = sorted({entry["folder"] for entry in about["data"]} - SOURCES.keys())
    check(not unknown, "SOURCES", "a line for each folder of training images", f"none for {unknown}")
    sets = [f"{entry['images']:,} {SOURCES[entry['folder']]}" for entry in about["data"]]
    if "photographs" in about:
        names, count = about["photographs"]["train"], about["training"]["photographs"]
        sets.append(f"{count:,} crops of {len(names)} photographs of scikit-image ({', '.join(names)})")
    return "; ".join(sets) or "codes drawn at random, new ones in each step; no images"


def training_of(about):
    """Steps, batch, noise, start, time and note of a recipe; the precision is in the note, where there was a choice."""
    recipe = about["training"]
    kind = "codes" if about["model"] in DRAWN else "images"
    noise = f" with noise of σ = {recipe['noise']:g}" if recipe["noise"] else ""
    start = f"the weights of {recipe['start']}" if recipe.get("start") else "random weights"
    words = f"{about['steps']:,} steps of {recipe['batch']} {kind}{noise}, from {start}"
    words += "" if hasattr(MODELS[about["model"]], "mixed_precision") else ", in float32"
    return f"{words}; {about['minutes']:.0f} minutes; {about['date']}. {about.get('note', '')}".strip()


def measured_of(about):
    """The score of a recipe, and on what it was measured: `load_validation` takes as many crops as faces."""
    measured, held_out, key = about["validation"], about.get("photographs", {}), SCORES[about["model"]]
    sets = [SOURCES[entry["folder"]].partition(" (")[0] for entry in about["data"][:1]]
    sets += [f"crops of {name}" for name in held_out.get("validation", [])]
    count = measured["images"] // len(sets) if sets else measured["examples"]
    where = " and ".join(f"{count} {words}" for words in sets or ["drawn codes"])
    more = f"; PSNR of D(μ(x)) {measured['after_alignment']['psnr']} dB" if "after_alignment" in measured else ""
    stored = f"{measured[f'{key}_float16']} as stored, in float16"
    return f"{measured[key]} {MEASURES[key]} ({stored}){more}; on {where} for validation"


def card_of(name, users, folder=FOLDER):
    """The table of the weights `name`, in Markdown."""
    about = describe(name, folder)
    config = ", ".join(f"{k}={v!r}" for k, v in about["config"].items())
    megabytes = (Path(folder) / about["file"]).stat().st_size / 1e6
    rows = {
        "network": f"`{MODELS[about['model']].__name__}({config})`",
        "size": f"{about['parameters']:,} parameters, {megabytes:.2f} MB",
        "data": data_of(about),
        "training": training_of(about),
        "measured": measured_of(about),
        "used in": users,
    }
    escaped = {key: text.replace("|", r"\|") for key, text in rows.items()}  # a bar would end the cell
    return "\n".join(["| | |", "|---|---|", *(f"| {key} | {text} |" for key, text in escaped.items()), ""])


def stamp(text, notebooks, folder=FOLDER):
    """The page `text` with the table of `card_of` in each section `### NAME`, in place of an older one.

    Raises ValueError unless it has one section for each recipe NAME.json of the folder.
    """
    names = sorted(path.stem for path in Path(folder).glob("*.json"))
    written = sorted(re.findall(r"^### ([\w-]+)$", text, re.MULTILINE))
    check(written == names, "cards", f"a section ### NAME for each of {names}", written)
    cells = loading_cells(notebooks)

    def section(found):
        return f"### {found[1]}\n\n{card_of(found[1], users_of(found[1], cells), folder)}\n"

    return re.sub(r"^### ([\w-]+)$\n*(?:\|.*\n)*\n*", section, text, flags=re.MULTILINE)
