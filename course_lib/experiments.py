"""The score table of the source (slide 25): five tasks, several methods, three noise levels, measured on faces.

A cell is one (task, method, σ). Its λ is tuned on validation images by climbing a grid; then the cell is measured on
test images and kept in a file of its own, so that a run that is stopped goes on with the next cell.
"""

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from skimage.restoration import inpaint_biharmonic

from course_lib import plug_and_play
from course_lib.common import check, progress
from course_lib.data import face, load_folder, to_float
from course_lib.metrics import psnr, ssim
from course_lib.models.regression import upscale
from course_lib.operators import Blur, Downsample, Mask, random_mask, square_mask, uniform_kernel
from course_lib.reconstruction import analysis, bayesian, map_estimate, recommended, synthesis, warm_start
from course_lib.regularizers import TV
from course_lib.scores import TASKS, write_scores, write_table, write_text, write_tuning
from course_lib.solvers import primal_dual
from course_lib.weights import describe, load_model

SIGMAS = (0.0, 0.01, 0.05)

GRID = tuple(10 ** (k / 4) for k in range(-28, -3))
"""The λ that tuning chooses from: four a decade, from 1e-7 to 1e-1."""

PNP_GRID = tuple(10 ** (k / 4) for k in range(-24, 9))
"""The λ of plug and play, a number without units: four a decade, from 1e-6 to 1e2."""

PNP_START, PNP_STEPS = 0.2, 16
"""The strength with which plug and play starts, and its number of steps."""


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
        network: the weight file of the `model` that it is given; by default the experiment's flow.
        grid: the λ that tuning chooses from.
    """

    run: callable
    start: callable = None
    tasks: tuple = TASKS
    network: str = ""
    grid: tuple = GRID


def flow_method(estimate, least=0.0, **options):
    """A `Method` of one of the functions of `reconstruction`; tuning starts at σ²/2, or `least` if more."""

    def run(y, A, model, lam, sigma):
        result = estimate(y, A, model, lam, **options)
        return result.image, result.history["objective"][-1]

    return Method(run, lambda sigma: max(bayesian(sigma), least))


def run_tv(y, A, model, lam, sigma):
    result = primal_dual(A, y, TV(), lam, steps=1000)
    return result.x, result.history["objective"][-1]


def run_map(y, A, model, lam, sigma):
    result = map_estimate(y, A, model, lam, warm_start(y, A, sigma))
    return result.image, result.history["objective"][-1]


def run_recommended(y, A, model, lam, sigma):
    result = recommended(y, A, model, sigma, lam)
    return result.image, result.history["objective"][-1]


def run_bicubic(y, A, model, lam, sigma):
    return F.interpolate(y, scale_factor=A.factor, mode="bicubic", align_corners=False), None


def run_biharmonic(y, A, model, lam, sigma):
    missing = (A.mask[0] == 0).cpu().numpy()
    filled = [inpaint_biharmonic(image.permute(1, 2, 0).cpu().numpy(), missing, channel_axis=2) for image in y]
    return torch.stack([torch.from_numpy(image).permute(2, 0, 1) for image in filled]).to(y), None


def run_regression(y, A, model, lam, sigma):
    return model(upscale(y, A.factor)), None


def run_plug_and_play(y, A, model, lam, sigma):
    result = plug_and_play.hqs(y, A, model, sigma, warm_start(y, A, sigma), start=PNP_START, lam=lam, steps=PNP_STEPS)
    return result.image, None


METHODS = {
    "tv": Method(run_tv, lambda sigma: max(0.1 * sigma, 1e-4)),
    "bicubic": Method(run_bicubic, tasks=("sr2", "sr4")),
    "biharmonic": Method(run_biharmonic, tasks=("inpainting_random", "inpainting_square")),
    "srcnn": Method(run_regression, tasks=("sr2",), network="srcnn"),
    "vdsr": Method(run_regression, tasks=("sr2", "sr4"), network="vdsr"),
    "pnp": Method(run_plug_and_play, lambda sigma: 0.23, network="dncnn", grid=PNP_GRID),
    "recommended": Method(run_recommended, bayesian),
    "map": Method(run_map, bayesian),
    "synthesis_lbfgs": flow_method(synthesis, optimizer="lbfgs", steps=100),
    "analysis_lbfgs": flow_method(analysis, 5e-4, optimizer="lbfgs", steps=100),
    "synthesis": flow_method(synthesis, 5e-4),
    "analysis": flow_method(analysis, 5e-4),
}


@dataclass
class Experiment:
    """What a table is measured on: a model, test and validation images [N, 3, 64, 64] in [0, 1]; and where cells go.

    `weights` tells the model apart from others: a cell that other weights or image counts made is not reused.
    """

    model: torch.nn.Module
    test: torch.Tensor
    validation: torch.Tensor
    out: Path
    batch: int = 10
    weights: str = ""

    def network(self, method):
        """The model that a method is given."""
        name = METHODS[method].network
        return load_model(name, self.test.device) if name else self.model

    def setup(self, method):
        """What a kept cell must have been measured with."""
        name = METHODS[method].network
        weights = describe(name)["sha256"] if name else self.weights
        return {"weights": weights, "images": len(self.test), "validation": len(self.validation)}

    def estimate(self, task, method, sigma, lam, images, first_seed):
        """Reconstruct all images, batch by batch: (images, objectives or None, seconds an image)."""
        A, model = make_task(task, images.shape[-1]).to(images.device), self.network(method)
        found, objectives, started = [], [], time.perf_counter()
        for start in range(0, len(images), self.batch):
            x = images[start : start + self.batch]
            seeds = range(first_seed + start, first_seed + start + len(x))
            image, objective = METHODS[method].run(observe(x, A, sigma, seeds), A, model, lam, sigma)
            found.append(image.detach().clamp(0, 1))
            objectives.append(objective)
        seconds = (time.perf_counter() - started) / len(images)
        return torch.cat(found), None if objectives[0] is None else torch.cat(objectives), seconds

    def tune(self, task, method, sigma):
        """(λ, {λ: PSNR}) by climbing the method's grid from its start until both neighbours are worse, on validation.

        Without validation images λ is the start. A method without λ has None.
        """
        if METHODS[method].start is None:
            return None, {}
        wanted, grid = METHODS[method].start(sigma), METHODS[method].grid
        if len(self.validation) == 0:
            return wanted, {}
        best = min(range(len(grid)), key=lambda i: abs(math.log(grid[i] / wanted)))
        scores = {}

        def score(i):
            if i not in scores:
                found, _, _ = self.estimate(task, method, sigma, grid[i], self.validation, 1_000_000)
                scores[i] = psnr(found, self.validation).mean().item()
            return scores[i]

        for stride in (2, 1):
            while True:
                near = [i for i in (best - stride, best, best + stride) if 0 <= i < len(grid)]
                climbed = max(near, key=score)
                if climbed == best:
                    break
                best = climbed
        return grid[best], {grid[i]: round(scores[i], 3) for i in sorted(scores)}

    def rows(self):
        """All rows that these weights have in the folder, by method (in the order of `METHODS`)."""
        rows = [json.loads(path.read_text()) for path in sorted(Path(self.out).glob("*.json"))]
        rows = [row for row in rows if row["setup"]["weights"] == self.setup(row["method"])["weights"]]
        return sorted(rows, key=lambda row: list(METHODS).index(row["method"]))

    def cell(self, task, method, sigma):
        """The row of a cell, read from its file or measured (and then kept there)."""
        path = Path(self.out) / f"{task}-{method}-{sigma:g}.json"
        setup = self.setup(method)
        if path.exists() and (kept := json.loads(path.read_text()))["setup"] == setup:
            return kept
        lam, tuning = self.tune(task, method, sigma)
        found, objective, seconds = self.estimate(task, method, sigma, lam, self.test, 0)
        scores, similarity = psnr(found, self.test), ssim(found, self.test)
        row = {"task": task, "method": method, "sigma": sigma, "images": len(self.test), "lam": lam}
        row |= {"psnr_mean": scores.mean().item(), "psnr_std": scores.std(correction=0).item()}
        row |= {"ssim_mean": similarity.mean().item(), "ssim_std": similarity.std(correction=0).item()}
        row |= {"objective_mean": None if objective is None else objective.mean().item()}
        row |= {"seconds_per_image": seconds, "device": self.test.device.type}
        row |= {"psnr": scores.tolist(), "tuning": tuning, "setup": setup}
        write_text(path, json.dumps(row, indent=1))
        return row


def reproduce(experiment, path, tasks=TASKS, methods=tuple(METHODS), sigmas=SIGMAS):
    """Measure cells, and after each one write the tables of all cells in the experiment's folder; returns the rows."""
    wanted = [(t, m, s) for m in methods for s in sigmas for t in tasks if t in METHODS[m].tasks]
    bar, rows = progress(wanted), []
    for task, method, sigma in bar:
        bar.set_description(f"{task} {method} σ={sigma:g}")
        experiment.cell(task, method, sigma)
        rows = experiment.rows()
        write_scores(rows, path)
        write_tuning(rows, Path(path).with_name("tuning.csv"))
        write_table(rows, Path(path).with_suffix(".md"))
    return rows


def experiment_on_faces(folder, out, name="glow", images=50, validation=8, device="cpu", batch=10):
    """An `Experiment` on a folder of CelebA: its first test images (009751, …) and validation images (009501, …)."""
    model, sha = load_model(name, device), describe(name)["sha256"]
    test = to_float(load_folder(folder, "test", limit=images)).to(device)
    return Experiment(
        model, test, to_float(load_folder(folder, "validation", limit=validation)).to(device), out, batch, sha
    )


def experiment_on_the_astronaut(out, name="glow", device="cpu"):
    """An `Experiment` that needs no data: the astronaut's face, and no validation, so that λ is not tuned."""
    x = face().to(device)
    return Experiment(load_model(name, device), x, x[:0], out, 1, describe(name)["sha256"])
