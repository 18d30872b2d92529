"""Which coupling serves inverse problems best: flows that differ in their scale alone, trained alike, put to work."""

import functools

import torch

from course_lib.common import check_count, progress, write_text
from course_lib.data import load_folder, make_task, observe, to_float
from course_lib.metrics import psnr
from course_lib.operators import Identity
from course_lib.reconstruction import analysis, bayesian, map_estimate, synthesis
from course_lib.regularizers import TV
from course_lib.solvers import primal_dual
from course_lib.training import load_average, mean_loss

COLUMNS = ("scale", "steps", "minutes", "bits_per_dim", "task", "sigma", "method", "lam", "psnr", "latent", "images")

PROBLEMS = {"denoising": 0.1, "deblurring": 0.01, "inpainting_random": 0.01}
"""Tasks, and the σ of their noise."""

METHODS = {
    "synthesis": lambda y, A, model, lam, tv: synthesis(y, A, model, lam, optimizer="lbfgs", steps=50),
    "analysis": lambda y, A, model, lam, tv: analysis(y, A, model, lam, tv, optimizer="lbfgs", steps=50),
    "map": lambda y, A, model, lam, tv: map_estimate(y, A, model, lam, tv, steps=50),
}
"""All have 50 evaluations of L-BFGS; analysis and MAP start at the TV image, synthesis at z0 = 0."""


def best_by_psnr(reconstruct, lams, truth):
    """(λ, x̂) of the λ with the largest mean PSNR."""
    tried = [(lam, reconstruct(lam)) for lam in lams]
    return max(tried, key=lambda pair: psnr(pair[1].clamp(0, 1), truth).mean().item())


def measure(task, sigma, model, truth):
    """Rows (method, λ, PSNR, ‖E(x̂)‖²/d) of a flow on images; λ is the better of σ²/2 and σ²/8."""
    A = (Identity() if task == "denoising" else make_task(task, truth.shape[-1])).to(truth.device)
    y = observe(truth, A, sigma, range(1_000_000, 1_000_000 + len(truth)))
    found = {"tv": best_by_psnr(lambda lam: primal_dual(y, A, TV(), lam).x, (0.1 * sigma, 0.3 * sigma, sigma), truth)}
    start = found["tv"][1]
    for name, method in METHODS.items():
        run = functools.partial(reconstruct, method, y, A, model, start)
        found[name] = best_by_psnr(run, (bayesian(sigma), bayesian(sigma) / 4), truth)
    with torch.no_grad():
        for name, (lam, image) in found.items():
            latent = model.encode(image).square().mean().item()
            yield name, lam, psnr(image.clamp(0, 1), truth).mean().item(), latent


def reconstruct(method, y, A, model, start, lam):
    """The image of one of `METHODS`."""
    return method(y, A, model, lam, start).x


def compare(runs, folder, path, images=8):
    """Write `couplings.csv`: for each finished run, bits/dim and what its flow does on validation images of a folder.

    Args:
        runs: folders of `train glow`. folder: CelebA's aligned images. images: how many of its validation images.
    """
    check_count("images", images, low=1)
    lines = [",".join(COLUMNS)]
    for run in progress(runs):
        model, about = load_average(run)
        validation = load_folder(folder, "validation", model.config["size"])
        truth = to_float(validation[:images])
        bits, minutes = mean_loss(model, validation, about["recipe"]), about["rows"][-1]["minutes"]
        model.freeze()
        head = (model.config["scale"], about["step"], f"{minutes:.1f}", f"{bits:.3f}")
        for task, sigma in PROBLEMS.items():
            for method, lam, score, latent in measure(task, sigma, model, truth):
                row = (*head, task, sigma, method, f"{lam:.3g}", f"{score:.2f}", f"{latent:.3f}", len(truth))
                lines.append(",".join(str(value) for value in row))
    write_text(path, "\n".join(lines) + "\n")
