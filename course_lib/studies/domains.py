"""The face prior away from home (slides 26-27): the tasks of the source on photographs that mostly show no face.

λ is that of the face table, `figures/scores.csv`: who expects a face has tuned it on faces. (A control, `LAM_OF`, has
that of the method that it is held against, so that one thing differs.) A cell is one (task,
method) on all photographs, with its reconstructions.
"""

import io
import math

import numpy as np
import pandas as pd
import torch
from PIL import Image

from course_lib.common import check_count
from course_lib.data import PHOTOGRAPHS, TASKS, load_folder, to_float, whole_photograph
from course_lib.metrics import psnr, ssim
from course_lib.models.weights import load_model
from course_lib.studies.experiments import SIGMA, applicable, untuned_experiment
from course_lib.studies.scores import SCORE_COLUMNS, tuned_lams
from course_lib.studies.store import PHOTOGRAPH_CELLS, Store, in_order, write_table

DOMAIN_METHODS = (
    "tv",
    "bicubic",
    "biharmonic",
    "pnp",
    "recommended",
    "analysis_from_tv",
    "map_bounded",
    "analysis_from_tv_bounded",
    "analysis_lbfgs_bounded",
    "synthesis_lbfgs",
    "analysis_lbfgs",
)
"""Names of `METHODS`, the slowest last. The denoiser of pnp has trained on `PHOTOGRAPH_SPLITS["train"]`."""

LAM_OF = {"analysis_from_tv_bounded": "map_bounded"}
"""The method whose λ a control takes."""

DOMAIN_COLUMNS = ("domain", *SCORE_COLUMNS)

LIKELIHOOD_COLUMNS = ("domain", "png", "bits", "latent", "bits_grain", "latent_grain")
"""Of `ood_likelihood.csv`: bits a value of the PNG file, then `familiarity` without and with grain of `SIGMA`."""


def boxes(name, most=1):
    """Squares of a photograph that don't overlap: that of `PHOTOGRAPHS`, and up to `most` - 1 others of its size that
    fit beside it, the nearest first; the face has one. A list of (left, top, right, bottom)."""
    check_count("most", most, low=1)
    source, (left, top, right, bottom) = PHOTOGRAPHS[name]
    (width, height), side = whole_photograph(source).size, right - left
    columns = range(-(left // side), (width - right) // side + 1)
    rows = range(-(top // side), (height - bottom) // side + 1)
    moves = sorted(((i, j) for i in columns for j in rows), key=lambda move: (math.hypot(*move), move[1]))
    most = 1 if name == "astronaut" else most
    return [(left + i * side, top + j * side, right + i * side, bottom + j * side) for i, j in moves[:most]]


def photographs(most=1):
    """(names [N], images [N, 3, 64, 64]): every photograph of `PHOTOGRAPHS`, with its `boxes`."""
    names, images = [], []
    for name, (source, _) in PHOTOGRAPHS.items():
        for box in boxes(name, most):
            cut = whole_photograph(source).crop(box).resize((64, 64), Image.Resampling.BICUBIC)
            images.append(to_float(torch.from_numpy(np.array(cut)).permute(2, 0, 1)))
            names.append(name)
    return names, torch.stack(images)


def measure_domains(path, cells=PHOTOGRAPH_CELLS.folder, tasks=TASKS, methods=DOMAIN_METHODS, most=1, device="cpu"):
    """Measure cells, and after each one write `ood_scores.csv` to `path`: a row a (domain, task, method), a DataFrame.

    Args:
        cells: folder of the cells. most: squares of each photograph (`boxes`).
    """
    pairs, tuned, (names, images) = applicable(tasks, methods), tuned_lams(SIGMA), photographs(most)
    lams = tuned | {(task, name): tuned[task, of] for name, of in LAM_OF.items() for task in TASKS}
    experiment = untuned_experiment(images, device=device)

    def setup(task, method):
        return {"weights": experiment.weights_of(method), "images": len(names), "lam": lams[task, method]}

    def measure(task, method):
        return measure_photographs(experiment, names, task, method, lams[task, method])

    def write(records):
        rows = pd.DataFrame(row for record in records for row in by_domain(record))
        rows = in_order(rows, domain=dict.fromkeys(names), task=TASKS, method=DOMAIN_METHODS)
        return write_table(path, rows, DOMAIN_COLUMNS)

    return Store(cells, "domains").fill(pairs, setup, measure, write, applicable(TASKS, DOMAIN_METHODS))


def measure_photographs(experiment, names, task, method, lam):
    """The record of a cell, one number an image in `psnr`, `ssim` and `objective`, and the x̂."""
    found, objective, seconds = experiment.estimate(task, method, SIGMA, lam, experiment.test, 0)
    record = {"task": task, "method": method, "sigma": SIGMA, "lam": lam, "domains": list(names)}
    record |= {"psnr": psnr(found, experiment.test).tolist(), "ssim": ssim(found, experiment.test).tolist()}
    record |= {"objective": None if objective is None else objective.tolist()}
    return record | {"seconds_per_image": seconds, "device": found.device.type}, found


def by_domain(record):
    """The rows of `scores.csv`'s form that a cell gives, one a domain."""
    columns = {"psnr": record["psnr"], "ssim": record["ssim"], "objective": record["objective"] or math.nan}
    for name, images in pd.DataFrame(columns).groupby(record["domains"], sort=False):
        means, spreads = images.mean().add_suffix("_mean"), images.std(ddof=0).add_suffix("_std")
        yield record | {"domain": name, "images": len(images)} | means.to_dict() | spreads.to_dict()


def png_bits(images):
    """Bits a value that each image [B, 3, H, W] takes as an 8-bit PNG file: how complex it is, [B].

    Serrà et al. (2020, arXiv 1909.11480) compare a likelihood with the length of such a general code.
    """
    sizes = []
    for image in (images.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy():
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, format="PNG", optimize=True)
        sizes.append(8 * len(buffer.getvalue()) / image.size)
    return torch.tensor(sizes)


@torch.no_grad()
def familiarity(model, images):
    """(bits per dimension, ‖E(x)‖²/d) of each image under a flow, each [B]."""
    z, logdet = model.encode_with_logdet(images)
    latent = z.square().mean(1)
    log_p = (logdet / model.dim - 0.5 * (latent + math.log(2 * math.pi))) / math.log(2)
    return math.log2(255) - log_p, latent


def measure_likelihood(path, folder, count=50):
    """Write `ood_likelihood.csv`, a row for each of the first `count` test faces of CelebA in a folder
    (domain `faces`), and for each of `photographs`; the grain is the noise of the flow's training."""
    model, (names, images) = load_model("glow"), photographs(most=4)
    faces = to_float(load_folder(folder, "test", limit=count))
    names, images = ["faces"] * len(faces) + names, torch.cat([faces, images])
    grain = SIGMA * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    columns = [png_bits(images)]
    for x in (images, images + grain):
        parts = [familiarity(model, part) for part in x.split(10)]
        columns += [torch.cat(values) for values in zip(*parts, strict=True)]
    write_table(path, zip(names, *(column.tolist() for column in columns), strict=True), LIKELIHOOD_COLUMNS)
