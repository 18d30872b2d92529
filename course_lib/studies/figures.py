"""The pictures of README: a gallery of reconstructions, the scores beside the published ones, the map of the course.

The face is the astronaut of scikit-image, which no network here has seen; the numbers are those of the score table.
"""

import ast
import json
import re
import textwrap
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch.nn.functional as F

from course_lib.common import check, progress, replacing
from course_lib.data import TASKS, face, make_task, observe
from course_lib.metrics import psnr
from course_lib.operators import Mask
from course_lib.plots import Schematic, as_array, color_of, use_style
from course_lib.studies import PACKAGE
from course_lib.studies.experiments import SIGMA, untuned_experiment
from course_lib.studies.scores import PUBLISHED, tuned_lams
from course_lib.studies.store import FACE_CELLS, read_table

GALLERY = {"tv": "total variation", "synthesis_lbfgs": "synthesis", "analysis_from_tv": "analysis"}
GALLERY["recommended"] = "recommended"
"""The methods of the gallery, by their names in the score table, and what they are called above the pictures."""

LABELS = {
    "deblurring": "7×7 blur",
    "sr2": "resolution ×2",
    "sr4": "resolution ×4",
    "inpainting_random": "60 % missing",
    "inpainting_square": "10×10 square",
}

GROUND, WORK, COURSE = "#0072B2", "#009E73", "#CC79A7"

ROOMS = {
    "common": ("checks of arguments, arithmetic of batches, files written whole", (4.75, 0.4), GROUND),
    "metrics": ("PSNR, SSIM", (0.95, 1.35), GROUND),
    "operators": ("A and its adjoint", (5.45, 1.35), GROUND),
    "regularizers": ("φ and its prox", (2.45, 1.35), GROUND),
    "solvers": ("algorithms, λ", (3.95, 1.35), GROUND),
    "models": ("networks", (7.6, 1.35), GROUND),
    "data": ("images, tasks", (6.35, 2.4), WORK),
    "bridge": ("deepinv and back", (0.85, 3.25), WORK),
    "reconstruction": ("priors at work", (2.45, 3.25), WORK),
    "training": ("loop and recipes", (7.0, 3.25), WORK),
    "plots": ("figures", (5.0, 3.25), COURSE),
    "restore": ("own pictures", (2.95, 4.45), COURSE),
    "lab": ("for notebooks", (8.55, 4.45), COURSE),
    "studies": ("for the tables", (5.0, 4.45), COURSE),
    "tools": ("for authors", (0.95, 4.45), COURSE),
    "__main__": ("the command line", (2.9, 5.4), COURSE),
}
"""The rooms of the library, from the ground up: what each is for, and its place and colour in the drawing."""

PARTS = {
    "I. Variational methods": (1, 6),
    "II. Networks that restore": (7, 9),
    "III. Generative networks": (10, 12),
    "IV. Generative priors": (13, 20),
}
"""The parts of the course: first and last notebook of each; the map shows those that there are."""


def displayed(y, A, size):
    """A measurement as a picture of size×size: few pixels as blocks, missing ones grey."""
    if isinstance(A, Mask):
        return y + 0.5 * (~A.mask).to(y)
    return F.interpolate(y, size=(size, size), mode="nearest")


def reconstruct(experiment, tasks=TASKS):
    """{task: {column: (image, PSNR)}} for the one image of an experiment, with the λ that the table tuned on faces."""
    x, lams, found = experiment.test, tuned_lams(SIGMA), {}
    for task in progress(tasks, desc="gallery"):
        A = make_task(task, x.shape[-1]).to(x.device)
        y = observe(x, A, SIGMA, [0])
        found[task] = {"true": (x, None), "observed": (displayed(y, A, x.shape[-1]), None)}
        for name in GALLERY:
            image, _, _ = experiment.estimate(task, name, SIGMA, lams[task, name], x, 0)
            found[task][name] = image, psnr(image, x).item()
    return found


def draw_gallery(found):
    """One row a task: True / Observed / the methods of `GALLERY`, with their PSNR. Returns a figure."""
    names = {"true": "true", "observed": "observed"} | GALLERY
    size = (1.65 * len(names), 1.82 * len(found) + 0.2)
    figure, axes = plt.subplots(len(found), len(names), figsize=size, squeeze=False, layout="constrained")
    for i, (row, (task, images)) in enumerate(zip(axes, found.items(), strict=True)):
        best = max(score for _, score in images.values() if score is not None)
        for axis, (name, (image, score)) in zip(row, images.items(), strict=True):
            axis.imshow(as_array(image), vmin=0, vmax=1)
            axis.set(xticks=[], yticks=[])
            axis.grid(False)
            axis.spines[:].set_visible(False)
            if i == 0:
                axis.set_title(names[name], fontsize=10)
            if score is not None:
                axis.set_xlabel(f"{score:.1f} dB", fontsize=9, fontweight="bold" if score == best else "normal")
        row[0].set_ylabel(LABELS[task], fontsize=10)
    plt.close(figure)
    return figure


SHOWN = {"tv": "tv", "pnp": "plug and play", "time_hqs": "plug and play, flow in time", "recommended": "recommended"}
SHOWN |= {"synthesis_lbfgs": "synthesis", "analysis_lbfgs": "analysis, from D(0)"}
SHOWN |= {"analysis_from_tv": "analysis, from TV", "analysis_lbfgs_bounded": "analysis from D(0), bounded flow"}
"""The methods of the picture of the scores, by their names in the table, and what they are called there."""


def draw_scores(store=FACE_CELLS, methods=tuple(SHOWN)):
    """Mean PSNR of each task and method, ± a standard deviation over the test faces that all methods have restored,
    beside slide 25's. Returns a figure. `store` has the cells of the score table."""
    faces = {name: [store.read(task, name, SIGMA)["psnr"] for task in TASKS] for name in methods}
    count = min(len(scores) for rows in faces.values() for scores in rows)
    figure, axis = plt.subplots(figsize=(11, 3.9), layout="constrained")
    names, at = [*methods, "published synthesis", "published analysis"], np.arange(len(TASKS))
    for i, name in enumerate(names):
        kind = name.removeprefix("published ")
        if kind == name:
            mean, std = zip(*((np.mean(row[:count]), np.std(row[:count])) for row in faces[name]), strict=True)
        else:
            mean, std = zip(*(PUBLISHED[task][kind][:2] for task in TASKS), strict=True)
        style = {"fmt": "s" if kind == "analysis_from_tv" else "o"} if kind == name else {"fmt": "D", "mfc": "white"}
        style |= {"label": SHOWN.get(name, name), "color": color_of(kind), "elinewidth": 1, "markersize": 6.5}
        axis.errorbar(at + (i - (len(names) - 1) / 2) * 0.095, mean, std, **style)
    axis.set_xticks(at, [LABELS[task] for task in TASKS])
    axis.set_xticks(at[:-1] + 0.5, minor=True)
    axis.grid(False, axis="x")
    axis.grid(True, axis="x", which="minor")
    axis.set(ylabel="PSNR in dB", title=f"{count} faces, σ = {SIGMA:g}; hollow: published, 50 faces, σ not stated")
    axis.legend(ncols=3, fontsize=9, loc="upper left")
    plt.close(figure)
    return figure


def titles(folder):
    """{number: title} of the notebooks of a folder, from their first cells."""
    found = {}
    for path in sorted(Path(folder).glob("[0-9][0-9]_*.ipynb")):
        first = "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"]).splitlines()[0]
        found[int(path.stem[:2])] = first[2:].split(". ", 1)[-1]
    return found


def draw_map(names):
    """The course as a map: a column a part, a box a notebook. names: {number: title}. Returns a figure."""
    boxes = max(sum(first <= n <= last for n in names) for first, last in PARTS.values())
    figure, axis = plt.subplots(figsize=(11, 0.972 + 0.538 * boxes), layout="constrained")
    axis.set(xlim=(0, 4), ylim=(-0.35 - boxes, 1.45))
    axis.axis("off")
    palette = ["#0072B2", "#E69F00", "#009E73", "#CC79A7"]
    for column, ((part, (first, last)), color) in enumerate(zip(PARTS.items(), palette, strict=True)):
        axis.text(column + 0.5, 0.62, part, ha="center", fontsize=11, fontweight="bold", color="#222222")
        for row, number in enumerate(n for n in range(first, last + 1) if n in names):
            box = plt.Rectangle((column + 0.03, -row - 0.42), 0.94, 0.84, facecolor=color, alpha=0.18, edgecolor=color)
            axis.add_patch(box)
            head, _, rest = names[number].partition(":")
            axis.text(column + 0.07, -row + 0.2, f"{number:02d}  {head}", fontsize=9, va="center", fontweight="bold")
            rest = textwrap.fill(rest.strip(), 41)
            axis.text(column + 0.07, -row - 0.19, rest, fontsize=7.4, va="center", color="#333333", linespacing=1)
    axis.text(
        2, 1.2, r"$\hat x = \arg\min_x\ \frac{1}{2}\|A x - y\|^2 + \lambda\,\varphi(x)$", ha="center", fontsize=13
    )
    plt.close(figure)
    return figure


def imported_by(tree):
    """(room, module) of the course for each import of a module, anywhere in its syntax `tree`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "course_lib":
            yield from ((alias.name, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("course_lib."):
            module = node.module.removeprefix("course_lib.")
            yield module.split(".")[0], module
            yield from ((module.split(".")[0], f"{module}.{alias.name}") for alias in node.names)


def imports(folder=PACKAGE):
    """{room: the other rooms that it imports} of `ROOMS`."""
    found = {}
    for room in ROOMS:
        paths = [*(folder / room).rglob("*.py"), *folder.glob(f"{room}.py")]
        trees = [ast.parse(path.read_text(encoding="utf-8")) for path in paths]
        found[room] = {other for tree in trees for other, _ in imported_by(tree)} - {room}
    return found


def draw_rooms(graph):
    """The rooms of the library, each above those that it imports; `graph` is {room: the rooms that it imports}.

    An arrow is left out where others lead there, too; and all stand on `common`. Returns a figure.
    """
    below = {}  # of each room, all that it stands on
    while len(below) < len(graph):
        free = [room for room in graph if room not in below and graph[room] <= below.keys()]
        below |= {room: graph[room].union(*(below[other] for other in graph[room])) for room in free}
    s, nodes = Schematic(9.5, 5.8), {}
    for room, (words, at, color) in ROOMS.items():
        nodes[room] = s.box(f"{room}\n{words}", at, 9.1 if room == "common" else 1.4, 0.58, color, size=9.5)
    for room, others in graph.items():
        for other in others - {"common"} - set().union(*(below[another] for another in others)):
            s.arrow(nodes[room], nodes[other])
    return s.figure


def read_runs():
    """{notebook: (seconds, peak MB)} of `figures/notebooks.csv`."""
    return {row.notebook: (row.seconds, row.peak_mb) for row in read_table("notebooks").itertuples()}


def stamp_runs(text, runs):
    """README's text with the seconds and the memory of each notebook in the last column of its map."""
    lines = text.splitlines()
    for i, line in enumerate(lines):
        if found := re.match(r"\| \[(\d\d_\w+)\]", line):
            expected = f"the row that `python tests/benchmarks/notebooks.py {found[1][:2]}` writes"
            check(found[1] in runs, "figures/notebooks.csv", expected, f"none of {found[1]}")
            seconds, memory = runs[found[1]]
            lines[i] = f"{line.rpartition(' | ')[0]} | {seconds:.0f} s, {memory:.0f} MB |"
    return "\n".join(lines) + "\n"


NAMES = "gallery", "scores", "map", "rooms"
"""The pictures that `write_figures` makes. The gallery takes minutes, the others seconds."""


def write_figures(out, folder, device="cpu", names=NAMES):
    """Write the pictures of some of `NAMES`, `gallery.png` and so on, to a folder; returns their paths.

    `folder` has the notebooks, whose titles make the map.
    """
    use_style()
    draw = {
        "gallery": lambda: draw_gallery(reconstruct(untuned_experiment(face(), device=device))),
        "scores": draw_scores,
        "map": lambda: draw_map(titles(folder)),
        "rooms": lambda: draw_rooms(imports()),
    }
    paths = {name: Path(out) / f"{name}.png" for name in names}
    Path(out).mkdir(parents=True, exist_ok=True)
    for name, path in paths.items():
        figure = draw[name]()
        with replacing(path) as temporary:
            figure.savefig(temporary, format="png", dpi=100)
    return list(paths.values())
