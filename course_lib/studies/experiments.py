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

from course_lib.common import check, check_count, check_images, check_number, progress, write_text
from course_lib.data import TASKS, face, load_folder, make_task, observe, to_float
from course_lib.metrics import psnr, ssim
from course_lib.models.weights import describe, load_model
from course_lib.studies.methods import METHODS
from course_lib.studies.scores import write_scores, write_table, write_tuning

SIGMAS = (0.0, 0.01, 0.05)


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

    def __post_init__(self):
        check_images("test", self.test)
        check_count("batch", self.batch, low=1)

    def check_cell(self, task, method):
        """Raise ValueError unless the method is known, and applies to the task."""
        known = method in METHODS and task in METHODS[method].tasks
        check(known, "method", f"one of {list(METHODS)} that applies to {task}", repr(method))

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
        self.check_cell(task, method)
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
        """All rows that these weights have in the folder, by method (in the order of `METHODS`; others don't count)."""
        rows = [json.loads(path.read_text()) for path in sorted(Path(self.out).glob("*.json"))]
        rows = [row for row in rows if row["method"] in METHODS]
        rows = [row for row in rows if row["setup"]["weights"] == self.setup(row["method"])["weights"]]
        return sorted(rows, key=lambda row: list(METHODS).index(row["method"]))

    def cell(self, task, method, sigma):
        """The row of a cell, read from its file or measured (and then kept there)."""
        self.check_cell(task, method)
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


def check_names(tasks, methods, known=tuple(METHODS)):
    """Raise ValueError for a task of no table, or a method that is not one of `known`."""
    for name, values, allowed in (("tasks", tasks, TASKS), ("methods", methods, known)):
        check(set(values) <= set(allowed), name, f"some of {list(allowed)}", list(values))


def reproduce(experiment, path, tasks=TASKS, methods=tuple(METHODS), sigmas=SIGMAS):
    """Measure cells, and after each one write the tables of all cells in the experiment's folder; returns the rows."""
    check_names(tasks, methods)
    for sigma in sigmas:
        check_number("sigmas", sigma)
    wanted = [(t, m, s) for m in methods for s in sigmas for t in tasks if t in METHODS[m].tasks]
    check(wanted, "methods", f"one at least that solves {', '.join(tasks)}, and a noise level", list(methods))
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
