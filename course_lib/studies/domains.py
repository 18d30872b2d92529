"""The face prior away from home (slides 26-27): the tasks of the source on photographs that mostly show no face.

λ is that of the face table, `figures/scores.csv`: who expects a face has tuned it on faces. All images are one batch;
a cell is one (task, method) on all of them, kept in a file of its own with its pictures, so that a run that is stopped
goes on with the next cell.
"""

import csv
import io
import json
import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from course_lib.common import check, check_calls, check_count, check_images, progress, replacing
from course_lib.data import PHOTOGRAPHS, load_folder, to_float, whole_photograph
from course_lib.metrics import psnr, ssim
from course_lib.models.weights import describe, load_model
from course_lib.studies.experiments import Experiment, check_names
from course_lib.studies.methods import METHODS as ALL_METHODS
from course_lib.studies.scores import COLUMNS as SCORE_COLUMNS
from course_lib.studies.scores import FIGURES, TASKS, lines, parsed, read_scores, write_text

SIGMA = 0.01

METHODS = (
    "tv",
    "bicubic",
    "biharmonic",
    "pnp",
    "map",
    "recommended",
    "synthesis_lbfgs",
    "analysis_lbfgs",
    "synthesis",
    "analysis",
)
"""Names of `methods.METHODS`, the slowest last. The denoiser of pnp has trained on `PHOTOGRAPH_SPLITS["train"]`."""

COLUMNS = ("domain", *SCORE_COLUMNS)

LIKELIHOOD = ("domain", "png", "bits", "latent", "bits_grain", "latent_grain")
"""Columns of `likelihood.csv`: bits a value of the PNG file, then `familiarity` without and with grain of `SIGMA`."""

CELLS = FIGURES / "ood_cells"


def boxes(name, most=1):
    """Squares of a photograph that don't overlap: that of `PHOTOGRAPHS`, and up to `most` - 1 others of its size that
    fit beside it, the nearest first; the face has one. A list of (left, top, right, bottom)."""
    check_count("most", most, low=1)
    check(name in PHOTOGRAPHS, "name", f"one of {sorted(PHOTOGRAPHS)}", repr(name))
    source, (left, top, right, bottom) = PHOTOGRAPHS[name]
    (width, height), side = whole_photograph(source).size, right - left
    columns = range(-(left // side), (width - right) // side + 1)
    rows = range(-(top // side), (height - bottom) // side + 1)
    moves = sorted(((i, j) for i in columns for j in rows), key=lambda move: (math.hypot(*move), move[1]))
    most = 1 if name == "astronaut" else most
    return [(left + i * side, top + j * side, right + i * side, bottom + j * side) for i, j in moves[:most]]


def photographs(most=1, size=64):
    """(names [N], images [N, 3, size, size]): every photograph of `PHOTOGRAPHS`, with its `boxes`."""
    check_count("size", size, low=1)
    names, images = [], []
    for name, (source, _) in PHOTOGRAPHS.items():
        for box in boxes(name, most):
            cut = whole_photograph(source).crop(box).resize((size, size), Image.Resampling.BICUBIC)
            images.append(to_float(torch.from_numpy(np.array(cut)).permute(2, 0, 1)))
            names.append(name)
    return names, torch.stack(images)


def face_lams(path=FIGURES / "scores.csv"):
    """{(task, method): λ} of the face table at σ = `SIGMA`."""
    return {(row["task"], row["method"]): row["lam"] for row in read_scores(path) if row["sigma"] == SIGMA}


def measure_cell(experiment, names, task, method, lam):
    """Scores of a method's reconstructions of all images, and the images: (row, [N, 3, H, W])."""
    found, objective, seconds = experiment.estimate(task, method, SIGMA, lam, experiment.test, 0)
    with torch.no_grad():
        latent = experiment.model.encode(found).square().mean(1)
    row = {"task": task, "method": method, "sigma": SIGMA, "lam": lam, "domains": list(names)}
    row |= {"psnr": psnr(found, experiment.test).tolist(), "ssim": ssim(found, experiment.test).tolist()}
    row |= {"objective": None if objective is None else objective.tolist(), "latent": latent.tolist()}
    return row | {"seconds_per_image": seconds, "device": found.device.type}, found


def cell(experiment, names, task, method, lam):
    """The row of a cell, read from its file or measured; then it is kept, with its `pictures`."""
    path = Path(experiment.out) / f"{task}-{method}.json"
    setup = {"weights": experiment.setup(method)["weights"], "images": len(names), "lam": lam}
    if path.exists() and (kept := json.loads(path.read_text(encoding="utf-8")))["setup"] == setup:
        return kept
    row, found = measure_cell(experiment, names, task, method, lam)
    row["setup"] = setup
    path.parent.mkdir(parents=True, exist_ok=True)
    # Strip and row belong together: neither is renamed before both are written.
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(row, indent=1), encoding="utf-8", newline="\n")
        save_strip(found, path.with_suffix(".jpg"))
    return row


def save_strip(images, path, quality=92):
    """Write images [N, 3, H, W] side by side as one JPEG; its blocks of 8×8 pixels don't cross images of 64×64."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = (torch.cat(list(images.cpu()), 2).permute(1, 2, 0) * 255).round().byte().numpy()
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format="JPEG", quality=quality, subsampling=0)
    # Through memory, as Pillow itself cuts a JPEG file short without an error where the disk is full.
    with replacing(path) as temporary:
        temporary.write_bytes(buffer.getvalue())


def pictures(task, method, folder=CELLS):
    """The reconstructions of a cell, [N, 3, H, W] in [0, 1], as JPEG has kept them: to look at, not to measure."""
    path = Path(folder) / f"{task}-{method}.jpg"
    if not path.exists():
        raise FileNotFoundError(f"task, method: {path.name} was not measured; `python -m course_lib domains` does")
    with Image.open(path) as strip:
        array = torch.from_numpy(np.array(strip)).permute(2, 0, 1)
    return to_float(torch.stack(array.split(array.shape[1], 2)))


def by_domain(row):
    """The rows of `scores.csv`'s form that a cell gives, one a domain."""
    parts = {name: torch.tensor([domain == name for domain in row["domains"]]) for name in row["domains"]}
    for name, chosen in parts.items():
        scores = {key: torch.tensor(row[key])[chosen] for key in ("psnr", "ssim", "objective") if row[key]}
        means = {f"{key}_mean": value.mean().item() for key, value in scores.items()}
        spreads = {f"{key}_std": value.std(correction=0).item() for key, value in scores.items()}
        yield row | {"domain": name, "images": int(chosen.sum()), "objective_mean": None} | means | spreads


def measure(path, cells=CELLS, tasks=TASKS, methods=METHODS, most=1, weights="glow", device="cpu"):
    """Measure cells, and after each one write `ood_scores.csv` to `path`: a row a (domain, task, method), `COLUMNS`.

    Args:
        cells: folder of finished cells. most: squares of each photograph (`boxes`). weights: name of a flow's file.
    """
    check_names(tasks, methods, METHODS)
    (names, images), lams = photographs(most), face_lams()
    model, sha = load_model(weights, device), describe(weights)["sha256"]
    experiment = Experiment(model, images.to(device), images[:0].to(device), cells, len(images), sha)
    wanted, rows = [(t, m) for m in methods for t in tasks if t in ALL_METHODS[m].tasks], []
    bar = progress(wanted)
    for task, method in bar:
        bar.set_description(f"{task} {method}")
        rows.extend(by_domain(cell(experiment, names, task, method, lams[task, method])))
        order = sorted(rows, key=lambda row: (names.index(row["domain"]), TASKS.index(row["task"])))
        write_text(path, lines(COLUMNS, *([row[name] for name in COLUMNS] for row in order)))
    return rows


def read_domains(path=FIGURES / "ood_scores.csv"):
    """The rows of `ood_scores.csv`, numbers as numbers; FileNotFoundError where there is none."""
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"path: {path} does not exist; `python -m course_lib domains` writes it")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [{name: text if name == "domain" else parsed(name, text) for name, text in row.items()} for row in rows]


def per_image(task, method, folder=CELLS):
    """A cell of the table as it was measured: `domains`, and one number an image in `psnr`, `ssim`, `objective` and
    `latent` (‖E(x̂)‖²/d)."""
    path = Path(folder) / f"{task}-{method}.json"
    if not path.exists():
        raise FileNotFoundError(f"task, method: {path.name} was not measured; `python -m course_lib domains` does")
    return json.loads(path.read_text(encoding="utf-8"))


def png_bits(images):
    """Bits a value that each image [B, 3, H, W] takes as an 8-bit PNG file: how complex it is, [B].

    Serrà et al. (2020, arXiv 1909.11480) compare a likelihood with the length of such a general code.
    """
    check_images("images", images)
    check(images.shape[1] == 3, "images", "3 channels", images.shape)
    sizes = []
    for image in (images.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy():
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, format="PNG", optimize=True)
        sizes.append(8 * len(buffer.getvalue()) / image.size)
    return torch.tensor(sizes)


@torch.no_grad()
def familiarity(model, images):
    """(bits per dimension, ‖E(x)‖²/d) of each image under a flow, each [B]."""
    check_calls("model", model, "encode", "dim")
    z, logdet = model.encode_with_logdet(images)
    latent = z.square().mean(1)
    log_p = (logdet / model.dim - 0.5 * (latent + math.log(2 * math.pi))) / math.log(2)
    return math.log2(255) - log_p, latent


def measure_likelihood(path, folder, count=50, weights="glow"):
    """Write `ood_likelihood.csv`, `LIKELIHOOD`: a row for each of the first `count` test faces of CelebA in a folder
    (domain `faces`), and for each of `photographs`; the grain is the noise of the flow's training."""
    model, (names, images) = load_model(weights), photographs(most=4)
    faces = to_float(load_folder(folder, "test", limit=count))
    names, images = ["faces"] * len(faces) + names, torch.cat([faces, images])
    grain = SIGMA * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    columns = [png_bits(images)]
    for x in (images, images + grain):
        parts = [familiarity(model, part) for part in x.split(10)]
        columns += [torch.cat(values) for values in zip(*parts, strict=True)]
    rows = zip(names, *(column.tolist() for column in columns), strict=True)
    write_text(path, lines(LIKELIHOOD, *rows))
