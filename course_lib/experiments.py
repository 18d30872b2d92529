"""The score table of the source (slide 25): five tasks, several methods, three noise levels, measured on faces.

A cell is one (task, method, σ). Its λ is tuned on validation images by climbing a grid; then the cell is measured on test
images and kept in a file of its own, so that a run that is stopped goes on with the next cell.
"""

import csv
import json
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from skimage.restoration import inpaint_biharmonic
from tqdm.auto import tqdm

from course_lib.metrics import psnr, ssim
from course_lib.operators import Blur, Downsample, Mask, check, random_mask, square_mask, uniform_kernel
from course_lib.reconstruction import analysis, data_term, map_estimate, recommended, synthesis
from course_lib.regularizers import TV
from course_lib.solvers import primal_dual

SIGMAS = (0.0, 0.01, 0.05)

GRID = tuple(10 ** (k / 4) for k in range(-28, -3))
"""The λ that tuning chooses from: four a decade, from 1e-7 to 1e-1."""

PUBLISHED = {
    "deblurring": {"synthesis": (23.38, 2.04, 0.74, 0.09), "analysis": (32.16, 1.56, 0.94, 0.01)},
    "sr2": {"synthesis": (22.26, 4.21, 0.76, 0.12), "analysis": (31.19, 1.33, 0.93, 0.01)},
    "sr4": {"synthesis": (18.94, 2.81, 0.61, 0.11), "analysis": (24.12, 1.21, 0.76, 0.03)},
    "inpainting_random": {"synthesis": (21.84, 3.57, 0.71, 0.14), "analysis": (27.89, 2.24, 0.87, 0.05)},
    "inpainting_square": {"synthesis": (30.40, 2.53, 0.94, 0.02), "analysis": (27.50, 3.26, 0.91, 0.03)},
}
"""Slide 25 of the source: PSNR mean and standard deviation, SSIM mean and standard deviation, over 50 images."""


def make_task(name, size=64):
    """The operator A of one of the source's tasks (slide 22), for images size×size; the masks are always the same."""
    build = {
        "deblurring": lambda: Blur(uniform_kernel(7), "circular"),
        "sr2": lambda: Downsample(2),
        "sr4": lambda: Downsample(4),
        "inpainting_random": lambda: Mask(random_mask(size, size, missing=0.6, generator=0)),
        "inpainting_square": lambda: Mask(square_mask(size, size, side=10)),
    }
    check(name in build, "task", f"one of {sorted(build)}", repr(name))
    return build[name]()


TASKS = tuple(PUBLISHED)


def observe(x, A, sigma, seeds):
    """y = A x + n, n ~ N(0, σ² I), with a seed for each image; a mask hides the noise where it hides the image."""
    y = A(x)
    if sigma:
        noise = [torch.randn(y.shape[1:], generator=torch.Generator().manual_seed(s)) for s in seeds]
        n = torch.stack(noise).to(y)
        y = y + sigma * (A(n) if isinstance(A, Mask) else n)
    return y


@dataclass
class Method:
    """How a row of the table is computed.

    Args:
        run: (y, A, model, lam, sigma) → (image, objective [B] or None).
        start: λ where tuning starts, as a function of σ; None for a method without λ.
        tasks: tasks that it applies to.
    """

    run: callable
    start: callable = None
    tasks: tuple = TASKS


def bayesian(sigma):
    """λ = σ²/2, of a σ that is never below half a grey level of 8 bits."""
    return max(sigma, 0.5 / 255) ** 2 / 2


def flow_method(estimate, **options):
    """A `Method` of one of the functions of `reconstruction`."""

    def run(y, A, model, lam, sigma):
        result = estimate(y, A, model, lam, **options)
        return result.image, result.history["objective"][-1]

    return Method(run, bayesian)


def run_tv(y, A, model, lam, sigma):
    result = primal_dual(A, y, TV(), lam, steps=1000)
    return result.x, result.history["objective"][-1]


def run_bicubic(y, A, model, lam, sigma):
    return F.interpolate(y, scale_factor=A.factor, mode="bicubic", align_corners=False), None


def run_biharmonic(y, A, model, lam, sigma):
    missing = (A.mask[0] == 0).cpu().numpy()
    filled = [inpaint_biharmonic(image.permute(1, 2, 0).cpu().numpy(), missing, channel_axis=2) for image in y]
    return torch.stack([torch.from_numpy(image).permute(2, 0, 1) for image in filled]).to(y), None


METHODS = {
    "tv": Method(run_tv, lambda sigma: max(0.1 * sigma, 1e-4)),
    "bicubic": Method(run_bicubic, tasks=("sr2", "sr4")),
    "biharmonic": Method(run_biharmonic, tasks=("inpainting_random", "inpainting_square")),
    "recommended": flow_method(recommended),
    "map": flow_method(map_estimate),
    "synthesis_lbfgs": flow_method(synthesis, optimizer="lbfgs", steps=100),
    "analysis_lbfgs": flow_method(analysis, optimizer="lbfgs", steps=100),
    "synthesis": flow_method(synthesis),
    "analysis": flow_method(analysis),
}


@dataclass
class Experiment:
    """What a table is measured on: the model, test and validation images [N, 3, 64, 64] in [0, 1], and where cells go."""

    model: torch.nn.Module
    test: torch.Tensor
    validation: torch.Tensor
    out: Path
    batch: int = 10

    def estimate(self, task, method, sigma, lam, images, first_seed):
        """Reconstruct all images, batch by batch: (images, objectives or None, seconds an image)."""
        A = make_task(task, images.shape[-1]).to(images.device)
        found, objectives, started = [], [], time.perf_counter()
        for start in range(0, len(images), self.batch):
            x = images[start : start + self.batch]
            seeds = range(first_seed + start, first_seed + start + len(x))
            image, objective = METHODS[method].run(observe(x, A, sigma, seeds), A, self.model, lam, sigma)
            found.append(image.detach().clamp(0, 1))
            objectives.append(objective)
        seconds = (time.perf_counter() - started) / len(images)
        return torch.cat(found), None if objectives[0] is None else torch.cat(objectives), seconds

    def tune(self, task, method, sigma):
        """(λ, {λ: PSNR}) by climbing `GRID` from the method's start until both neighbours are worse, on validation."""
        if METHODS[method].start is None:
            return None, {}
        wanted = METHODS[method].start(sigma)
        best = min(range(len(GRID)), key=lambda i: abs(math.log(GRID[i] / wanted)))
        scores = {}

        def score(i):
            if i not in scores:
                found, _, _ = self.estimate(task, method, sigma, GRID[i], self.validation, 1_000_000)
                scores[i] = psnr(found, self.validation).mean().item()
            return scores[i]

        for stride in (2, 1):
            while True:
                near = [i for i in (best - stride, best, best + stride) if 0 <= i < len(GRID)]
                climbed = max(near, key=score)
                if climbed == best:
                    break
                best = climbed
        return GRID[best], {GRID[i]: round(scores[i], 3) for i in sorted(scores)}

    def cell(self, task, method, sigma):
        """The row of a cell, read from its file or measured (and then kept there)."""
        path = Path(self.out) / f"{task}-{method}-{sigma:g}.json"
        if path.exists():
            return json.loads(path.read_text())
        lam, tuning = self.tune(task, method, sigma)
        found, objective, seconds = self.estimate(task, method, sigma, lam, self.test, 0)
        scores, similarity = psnr(found, self.test), ssim(found, self.test)
        row = {"task": task, "method": method, "sigma": sigma, "images": len(self.test), "lam": lam}
        row |= {"psnr_mean": scores.mean().item(), "psnr_std": scores.std(correction=0).item()}
        row |= {"ssim_mean": similarity.mean().item(), "ssim_std": similarity.std(correction=0).item()}
        row |= {"objective_mean": None if objective is None else objective.mean().item()}
        row |= {"seconds_per_image": seconds, "device": str(self.test.device.type)}
        row |= {"psnr": scores.tolist(), "tuning": tuning}
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(row, indent=1))
        return row


COLUMNS = (
    "task,method,sigma,images,lam,psnr_mean,psnr_std,ssim_mean,ssim_std,objective_mean,seconds_per_image,device".split(",")
)


def write_text(path, text):
    """Write a text file beside its place and rename it."""
    temporary = Path(path).with_name(f"{Path(path).name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def rounded(value):
    """A number as the table prints it: four significant digits; '' for None."""
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def write_scores(rows, path):
    """The table as CSV, sorted by task, σ and method."""
    order = sorted(rows, key=lambda r: (TASKS.index(r["task"]), r["sigma"], list(METHODS).index(r["method"])))
    lines = [[rounded(row[name]) for name in COLUMNS] for row in order]
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(path).with_suffix(".csv.tmp")
    with temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *lines])
    os.replace(temporary, path)


def reproduce(experiment, path, tasks=TASKS, methods=tuple(METHODS), sigmas=SIGMAS):
    """Measure every cell and write the table after each one; returns the rows."""
    wanted = [(t, m, s) for m in methods for s in sigmas for t in tasks if t in METHODS[m].tasks]
    rows = []
    bar = tqdm(wanted, disable=None)
    for task, method, sigma in bar:
        bar.set_description(f"{task} {method} σ={sigma:g}")
        rows.append(experiment.cell(task, method, sigma))
        write_scores(rows, path)
    return rows
