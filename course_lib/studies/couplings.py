"""Which coupling serves inverse problems best: flows that differ in their scale alone, trained alike, put to work.

A cell is one run of `train glow`, on all `PROBLEMS`.
"""

import hashlib
from pathlib import Path

import torch

from course_lib.common import check_count
from course_lib.data import load_folder, make_task, observe, to_float
from course_lib.metrics import psnr
from course_lib.operators import Identity
from course_lib.reconstruction import analysis, bayesian, map_estimate, synthesis
from course_lib.regularizers import TV
from course_lib.solvers import primal_dual
from course_lib.studies.store import Store, write_table
from course_lib.training import load_average, mean_loss

COUPLING_COLUMNS = ("scale", "steps", "minutes", "bits_per_dim", "task", "sigma", "method", "lam", "psnr", "latent")
COUPLING_COLUMNS += ("images",)

PROBLEMS = {"denoising": 0.1, "deblurring": 0.01, "inpainting_random": 0.01}
"""Tasks, and the σ of their noise."""

COUPLING_METHODS = {
    "synthesis": lambda y, A, model, lam, tv: synthesis(y, A, model, lam, optimizer="lbfgs", steps=50),
    "analysis": lambda y, A, model, lam, tv: analysis(y, A, model, lam, tv, optimizer="lbfgs", steps=50),
    "map": lambda y, A, model, lam, tv: map_estimate(y, A, model, lam, tv, steps=50),
}
"""All have 50 evaluations of L-BFGS; analysis and MAP start at the TV image, synthesis at z0 = 0."""


def score(image, truth):
    """The mean PSNR."""
    return psnr(image.clamp(0, 1), truth).mean().item()


def measure_problem(task, sigma, model, truth):
    """Rows (method, λ, PSNR, ‖E(x̂)‖²/d) of a flow on images; of σ²/2 and σ²/8, λ is the one of the larger PSNR."""
    A = (Identity() if task == "denoising" else make_task(task, truth.shape[-1])).to(truth.device)
    y = observe(truth, A, sigma, range(1_000_000, 1_000_000 + len(truth)))
    tried = {"tv": {lam: primal_dual(y, A, TV(), lam).x for lam in (0.1 * sigma, 0.3 * sigma, sigma)}}
    tv = max(tried["tv"].values(), key=lambda image: score(image, truth))
    for name, method in COUPLING_METHODS.items():
        tried[name] = {lam: method(y, A, model, lam, tv).x for lam in (bayesian(sigma), bayesian(sigma) / 4)}
    rows = []
    for name, images in tried.items():
        lam, image = max(images.items(), key=lambda pair: score(pair[1], truth))
        with torch.no_grad():
            rows.append((name, lam, score(image, truth), model.encode(image).square().mean().item()))
    return rows


def compare_couplings(runs, folder, path, cells="runs/couplings", images=8):
    """For each finished run, bits/dim and what its flow does on validation images of a folder; after each one, write
    `couplings.csv` to `path`. Returns its rows, a DataFrame.

    Args:
        runs: folders of `train glow`. folder: CelebA's aligned images. images: how many of its validation images.
    """
    check_count("images", images, low=1)
    flows = {Path(run).name: load_average(run) for run in runs}

    def setup(run):
        weights = b"".join(value.numpy().tobytes() for value in flows[run][0].state_dict().values())
        return {"weights": hashlib.sha256(weights).hexdigest(), "images": images, "problems": PROBLEMS}

    def measure(run):
        model, about = flows[run]
        validation = load_folder(folder, "validation", model.config["size"])
        truth = to_float(validation[:images])
        bits, minutes = mean_loss(model, validation, about["recipe"]), about["rows"][-1]["minutes"]
        model.freeze()
        head, rows = (model.config["scale"], about["step"], f"{minutes:.1f}", f"{bits:.3f}"), []
        for task, sigma in PROBLEMS.items():
            for method, lam, score, latent in measure_problem(task, sigma, model, truth):
                rows.append((*head, task, sigma, method, f"{lam:.3g}", f"{score:.2f}", f"{latent:.3f}", len(truth)))
        return {"rows": rows}, None

    def write(records):
        return write_table(path, [row for record in records for row in record["rows"]], COUPLING_COLUMNS)

    return Store(cells, "couplings").fill([(run,) for run in flows], setup, measure, write)
