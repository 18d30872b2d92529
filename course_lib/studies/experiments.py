"""The score table of the source (slide 25): five tasks, several methods, three noise levels, measured on faces.

A cell of the table is one (task, method, σ): its λ is tuned on validation images by climbing a grid; then it is
measured on test images.
"""

import math
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd
import torch

from course_lib.common import check
from course_lib.data import TASKS, load_folder, make_task, observe, to_float
from course_lib.metrics import gmsd, psnr, ssim
from course_lib.models.weights import describe, load_model
from course_lib.studies.methods import GRID, METHODS
from course_lib.studies.scores import write_beside_published, write_scores, write_tuning
from course_lib.studies.store import FACE_CELLS, Store

SIGMAS = (0.0, 0.01, 0.05)
"""Standard deviations of the noise in the score table."""

SIGMA = 0.01
"""The one of the other studies."""


@dataclass
class Experiment:
    """What a table is measured on: a model, and test and validation images [N, 3, 64, 64] in [0, 1], batch by batch.

    `weights` tells the model apart from others: a cell that other weights or image counts made is not reused.
    """

    model: torch.nn.Module
    test: torch.Tensor
    validation: torch.Tensor
    batch: int = 10
    weights: str = ""

    def network(self, method):
        """The model that a method is given."""
        name = METHODS[method].network
        return load_model(name, self.test.device) if name else self.model

    def weights_of(self, method):
        """What tells the network of a method apart from others: the SHA-256 of its weights."""
        name = METHODS[method].network
        return describe(name)["sha256"] if name else self.weights

    def setup(self, task, method, sigma):
        """What a cell of the score table depends on."""
        return {"weights": self.weights_of(method), "images": len(self.test), "validation": len(self.validation)}

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
        """(λ, {λ: PSNR}) by climbing `GRID` from the method's start until no neighbour is better, on validation.

        PSNR counts to 0.001 dB: where λ plays no role, it stays inside the grid.

        Without validation images λ is the start. A method without λ has None.
        """
        if METHODS[method].start is None:
            return None, {}
        wanted = METHODS[method].start(sigma)
        if len(self.validation) == 0:
            return wanted, {}
        scores = {}

        def score(i):
            found, _, _ = self.estimate(task, method, sigma, GRID[i], self.validation, 1_000_000)
            scores[i] = round(psnr(found, self.validation).mean().item(), 3)
            return scores[i]

        best = climb(GRID, wanted, score)
        return GRID[best], {GRID[i]: scores[i] for i in sorted(scores)}

    def measure(self, task, method, sigma):
        """The record of a cell of the score table, tuned and measured; without pictures."""
        lam, tuning = self.tune(task, method, sigma)
        found, objective, seconds = self.estimate(task, method, sigma, lam, self.test, 0)
        scores, similarity = psnr(found, self.test), ssim(found, self.test)
        record = {"task": task, "method": method, "sigma": sigma, "images": len(self.test), "lam": lam}
        record |= {"psnr_mean": scores.mean().item(), "psnr_std": scores.std(correction=0).item()}
        record |= {"ssim_mean": similarity.mean().item(), "ssim_std": similarity.std(correction=0).item()}
        record |= {"gmsd_mean": gmsd(found, self.test).mean().item()}
        record |= {"objective_mean": None if objective is None else objective.mean().item()}
        record |= {"seconds_per_image": seconds, "device": self.test.device.type}
        return record | {"psnr": scores.tolist(), "tuning": tuning}, None


def climb(grid, start, score, strides=(2, 1)):
    """The index of the value of a grid of positive numbers whose score(index) is largest: from the value nearest to
    `start`, with each stride in turn, until no neighbour is better. No score is computed twice."""
    best, score = min(range(len(grid)), key=lambda i: abs(math.log(grid[i] / start))), cache(score)
    for stride in strides:
        while True:
            near = [i for i in (best, best - stride, best + stride) if 0 <= i < len(grid)]
            climbed = max(near, key=score)
            if climbed == best:
                break
            best = climbed
    return best


def applicable(tasks, methods):
    """The pairs (task, method) where a method applies, method by method. ValueError where there is none."""
    pairs = [(task, method) for method in methods for task in tasks if task in METHODS[method].tasks]
    check(pairs, "methods", f"one at least that applies to {', '.join(tasks)}", list(methods))
    return pairs


def reproduce(experiment, path, cells=FACE_CELLS.folder, tasks=TASKS, methods=tuple(METHODS), sigmas=SIGMAS):
    """Measure cells, and after each one write the tables of all cells of a folder that have the experiment's weights.

    The score table goes to `path`; `tuning.csv` and the table in Markdown beside it. Returns the rows, a DataFrame.
    """
    store = Store(cells, "reproduce")

    def write(_):
        # Cells of other weights don't count, nor do methods of another version.
        records = [record for record in store.records() if record["method"] in METHODS]
        rows = pd.DataFrame(r for r in records if r["setup"]["weights"] == experiment.weights_of(r["method"]))
        write_tuning(rows, Path(path).with_name("tuning.csv"))
        write_beside_published(rows, Path(path).with_suffix(".md"))
        return write_scores(rows, path)

    keys = [(task, method, sigma) for task, method in applicable(tasks, methods) for sigma in sigmas]
    return store.fill(keys, experiment.setup, experiment.measure, write)


def experiment_on_faces(folder, name="glow", images=50, validation=8, device="cpu", batch=10):
    """An `Experiment` on a folder of CelebA: its first test images (009751, …) and validation images (009501, …)."""
    model, sha = load_model(name, device), describe(name)["sha256"]
    test = to_float(load_folder(folder, "test", limit=images)).to(device)
    tuning = to_float(load_folder(folder, "validation", limit=validation)).to(device)
    return Experiment(model, test, tuning, batch, sha)


def untuned_experiment(images, name="glow", device="cpu"):
    """An `Experiment` on images [N, 3, 64, 64], one batch, that has no validation images: λ is given, not tuned."""
    images = images.to(device)
    return Experiment(load_model(name, device), images, images[:0], len(images), describe(name)["sha256"])
