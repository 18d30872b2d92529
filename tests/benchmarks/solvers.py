"""What each descent costs: gradient evaluations and seconds on test faces, five tasks, σ = 0.01, λ of the score table.

An image has arrived after the first evaluation from which on its PSNR is within 0.1 dB of its last one, or above. It
has reached the protocol of the score table at the first within 0.1 dB of the better of 200 steps of Adam in x
(analysis) and in z (synthesis). Seconds are those of the evaluations, timed apart, and of the start. Writes
`solver_costs.csv`, and a few rows a task for `benchmarks.csv`.
"""

import statistics
import time

import torch
from timing import machine, row, seconds, threads

from course_lib.data import TASKS, load_folder, make_task, observe, to_float
from course_lib.models.weights import load_model
from course_lib.reconstruction import analysis, map_estimate, recommended, synthesis, warm_start
from course_lib.studies.scores import tuned_lams
from course_lib.studies.store import write_table

SIGMA, STEPS, CLOSE, CHUNK = 0.01, 200, 0.1, 5

COLUMNS = (
    "task",
    "method",
    "geometry",
    "optimizer",
    "start",
    "lam",
    "images",
    "psnr",
    "evaluations",
    "evaluations_max",
)
COLUMNS += ("seconds", "reached_protocol", "evaluations_to_protocol", "seconds_to_protocol", "machine")


def descend(method, optimizer):
    def run(y, A, model, lam, start, steps, truth=None):
        return method(y, A, model, lam, start, optimizer=optimizer, steps=steps, truth=truth)

    return run


def recommend(y, A, model, lam, start, steps, truth=None):
    z0 = None if start is None else model.encode(start).detach()
    return recommended(y, A, model, SIGMA, lam, z0, steps=min(steps, 75), truth=truth)


def recommend_quickly(y, A, model, lam, start, steps, truth=None):
    """26 evaluations in z, 24 in x: a quarter of the protocol's; divided on validation faces."""
    return recommended(y, A, model, SIGMA, lam, steps=min(steps, 23), travel=min(steps, 25), truth=truth)


METHODS = {
    "synthesis": ("z", "adam", "z = 0", descend(synthesis, "adam")),
    "analysis": ("x", "adam", "D(0)", descend(analysis, "adam")),
    "synthesis_lbfgs": ("z", "lbfgs", "z = 0", descend(synthesis, "lbfgs")),
    "analysis_lbfgs": ("x", "lbfgs", "D(0)", descend(analysis, "lbfgs")),
    "map": ("x", "lbfgs", "TV", descend(map_estimate, "lbfgs")),
    "recommended": ("z then x", "lbfgs", "z = 0", recommend),
    "recommended_quick": ("z then x", "lbfgs", "z = 0", recommend_quickly),
    "recommended_warm": ("z then x", "lbfgs", "TV", recommend),
}
"""Row of the score table that gives λ, geometry, optimizer, start, and how it runs."""

PROTOCOL = ("synthesis", "analysis")


def tuned(task, method):
    """λ of a cell of the score table, of the flow with bounded scales: the one whose rows have both optimizers."""
    return tuned_lams(SIGMA)[task, f"{method.removesuffix('_warm').removesuffix('_quick')}_bounded"]


def first_from(curve, level):
    """Evaluations until a PSNR curve has `level`, for good; infinity if it ends below it."""
    below = (curve < level).nonzero()
    if len(below) and below[-1] == len(curve) - 1:
        return float("inf")
    return float(below[-1] + 2 if len(below) else 1)  # row k of a curve has cost k + 1 evaluations


def measure(x, first_seed, task, model):
    """{method: (PSNR curves [B, k], seconds an evaluation and image, seconds of the start and image)}."""
    A, found = make_task(task), {}
    y = observe(x, A, SIGMA, range(first_seed, first_seed + len(x)))
    for name, (_, _, start, run) in METHODS.items():
        lam, begun = tuned(task, name), time.perf_counter()
        start = warm_start(y, A, SIGMA) if start == "TV" else None
        starting = (time.perf_counter() - begun) / len(x)
        result = run(y, A, model, lam, start, STEPS, x)
        each = seconds(lambda: run(y, A, model, lam, start, 10)) / len(x)  # noqa: B023
        # Eleven evaluations; the recommended method makes eleven in each of its two halves.
        each = each / (22 if name.startswith("recommended") else 11)
        found[name] = result.history["psnr"].T, each, starting
    return found


def summarize(task, name, parts, protocols):
    """The row of a method from the curves of all chunks."""
    curves = [curve for part in parts for curve in part[0]]
    each, starting = (statistics.mean(part[i] for part in parts) for i in (1, 2))
    arrived = [first_from(curve, curve[-1] - CLOSE) for curve in curves]
    reached = [first_passing(curve, level - CLOSE) for curve, level in zip(curves, protocols, strict=True)]
    share, typical = sum(r < float("inf") for r in reached) / len(reached), statistics.median(reached)
    known = typical < float("inf")
    geometry, optimizer, start, _ = METHODS[name]
    cells = [task, name, geometry, optimizer, start, tuned(task, name), len(curves)]
    cells += [statistics.mean(curve[-1].item() for curve in curves), statistics.mean(arrived), max(arrived)]
    cells += [statistics.mean(arrived) * each + starting, share]
    cells += [typical if known else None, typical * each + starting if known else None, machine()]
    return dict(zip(COLUMNS, cells, strict=True))


def first_passing(curve, level):
    """Evaluations until a PSNR curve first has `level`; infinity if it never does."""
    there = (curve >= level).nonzero()
    return float(there[0] + 1) if len(there) else float("inf")


def run(options):
    """The rows of this part; writes `solver_costs.csv` beside the table after each chunk of faces."""
    if options.data is None:
        raise SystemExit("solvers: expected --data FOLDER with CelebA's aligned images, got none")
    images, model = to_float(load_folder(options.data, "test", limit=options.images)), load_model("glow_bounded")
    parts, began = {task: [] for task in TASKS}, time.perf_counter()
    with threads(1):
        for i in range(0, len(images), CHUNK):
            for task in TASKS:
                parts[task].append(measure(images[i : i + CHUNK], i, task, model))
            table = [r for task in TASKS for r in table_of(task, parts[task])]
            write_table(options.out.with_name("solver_costs.csv"), table, COLUMNS)
            if time.perf_counter() - began > 60 * options.minutes:
                break
        for task in TASKS:
            yield from summary(task, [r for r in table if r["task"] == task])


def table_of(task, found):
    """A row for each method of a task."""
    last = [torch.cat([part[name][0][:, -1] for part in found]) for name in PROTOCOL]
    protocols = torch.stack(last).amax(0)
    return [summarize(task, name, [part[name] for part in found], protocols) for name in METHODS]


def summary(task, rows):
    """The recommended method, long and quick, and the MAP from the TV image against 200 steps of the protocol."""
    for method in ("recommended", "recommended_quick", "map"):
        found = next(r for r in rows if r["method"] == method)
        setting, against = f"{task}; {found['images']} faces", "200 steps of Adam"
        for what, name in (("its last PSNR", "evaluations"), ("the protocol's PSNR", "evaluations_to_protocol")):
            count = found[name]
            measure = f"{method}; within {CLOSE} dB of {what}"
            ratio = "" if count is None else count / STEPS
            aim = 0.25 if method.startswith("recommended") else ""
            yield row(__name__, measure, setting, count, STEPS, "evaluations", against, ratio, aim)
