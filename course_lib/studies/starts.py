"""Does it matter where a descent begins? Ten starts for synthesis, analysis and the MAP, on real faces.

A start is a latent z0: synthesis (3) begins there, analysis (4) and the MAP begin at the image x0 = D(z0). For a flow
all have the same λ = σ²/2, and (3) and (4) are one function, so that their final objectives can be compared.

One of the faces has a blue mark on the cheek, such as no training face has: how much of it does each method keep?
"""

import torch

from course_lib.common import check_count
from course_lib.data import face, load_folder, make_task, observe, to_float
from course_lib.metrics import psnr
from course_lib.models.weights import describe, load_model
from course_lib.reconstruction import analysis, bayesian, map_estimate, synthesis, warm_start
from course_lib.studies.experiments import SIGMA
from course_lib.studies.store import Store, write_table

STARTS_COLUMNS = ("face", "task", "flow", "formulation", "start", "psnr_start", "psnr", "objective", "latent", "kept")
"""`latent` is ‖E(x)‖²/D of the result, `kept` the share of the mark that it keeps, for the face that has one."""

TEMPERATURES = (0.0, 0.3, 0.5, 0.7, 1.0, 1.0, 1.0)

STARTS = ("z = 0", *(f"T = {t:g}" for t in TEMPERATURES[1:]), "E(TV)", "½ E(TV)", "E(Aᵀy)")
"""The starts: zero; T ε with ε ~ N(0, I), for several T; codes of the TV image, and of what was observed."""

STEPS = 100
"""Evaluations of L-BFGS in each descent."""

FORMULATIONS = {"synthesis": synthesis, "analysis": analysis, "map": map_estimate}

MARKED = "astronaut, marked"


def starting_latents(model, y, A, sigma=SIGMA):
    """The latents z0 of `STARTS` for one observation y [1, …], [10, D]."""
    draws = [
        t * torch.randn(1, model.dim, generator=torch.Generator().manual_seed(i)) for i, t in enumerate(TEMPERATURES)
    ]
    with torch.no_grad():
        guess, observed = model.encode(warm_start(y, A, sigma)), model.encode(A.T(y))
    return torch.cat([*draws, guess, guess / 2, observed])


def paint_mark(x):
    """Faces x [B, 3, 64, 64] with a blue square of 8×6 pixels on the cheek."""
    marked = x.clone()
    marked[:, :, 36:44, 20:26] = torch.tensor([0.1, 0.2, 0.9])[:, None, None]
    return marked


def share_kept(found, x):
    """How much of the mark the images `found` keep, [B]: 1 if it is there, 0 if the face x is as without it."""
    change = paint_mark(x) - x
    return ((found - x) * change).sum((1, 2, 3)) / change.square().sum((1, 2, 3))


def study_keys(faces):
    """The cells (face, task, flow, formulation): the random mask on all faces, the blur on the two that the course
    shows, and for comparison the other flow and the MAP on one face."""
    pair = ("synthesis", "analysis")
    keys = [(name, "inpainting_random", "glow", formulation) for name in faces for formulation in pair]
    own = ("astronaut", MARKED)
    keys += [(name, "inpainting_random", "glow_bounded", formulation) for name in own for formulation in FORMULATIONS]
    return keys + [
        (name, "deblurring", "glow", formulation) for name in ("astronaut", "admiral") for formulation in pair
    ]


def from_ten_starts(x, task, flow, formulation, steps=STEPS):
    """{column: one number a start} of the table, for one face x [1, 3, 64, 64]."""
    model, A = load_model(flow), make_task(task, x.shape[-1])
    y = observe(x, A, SIGMA, [0])
    start, count = starting_latents(model, y, A), len(STARTS)
    with torch.no_grad():
        images = model.decode(start)
    options = {"optimizer": "lbfgs", "steps": steps}
    start = start if formulation == "synthesis" else images
    run = FORMULATIONS[formulation](y.repeat(count, 1, 1, 1), A, model, bayesian(SIGMA), start, **options)
    found, truth = run.x.clamp(0, 1), x.expand(count, -1, -1, -1)
    columns = {"psnr_start": psnr(images.clamp(0, 1), truth), "psnr": psnr(found, truth)}
    columns |= {"objective": run.history["objective"][-1], "latent": run.z.square().mean(1)}
    return {name: values.tolist() for name, values in columns.items()}, found


def measure_starts(path, folder=None, cells="runs/starts", count=2):
    """Measure the cells: the faces that the course shows, and the first `count` test faces of CelebA's aligned images
    in a folder, where there is one. After each cell, `starts.csv` is written to `path`. Returns it, a DataFrame.
    """
    check_count("count", count, low=1)
    faces = {"astronaut": face(), "admiral": face("admiral"), MARKED: paint_mark(face())}
    if folder is not None:
        test = to_float(load_folder(folder, "test", limit=count))
        faces |= {f"test {i}": image[None] for i, image in enumerate(test, 1)}

    def setup(name, task, flow, formulation):
        return {"weights": describe(flow)["sha256"], "starts": list(STARTS), "steps": STEPS, "sigma": SIGMA}

    def measure(name, task, flow, formulation):
        record = {"face": name, "task": task, "flow": flow, "formulation": formulation}
        columns, found = from_ten_starts(faces[name], task, flow, formulation, STEPS)
        if name == MARKED:
            columns["kept"] = share_kept(found, face()).tolist()
        return record | columns, None

    def write(records):
        return write_table(path, [row for record in records for row in by_start(record)], STARTS_COLUMNS)

    return Store(cells, "starts").fill(study_keys(faces), setup, measure, write)


def by_start(record):
    """The rows of the table that a cell gives, one a start."""
    for i, start in enumerate(STARTS):
        row = {"start": start} | {name: record[name] for name in ("face", "task", "flow", "formulation")}
        yield row | {name: record[name][i] if name in record else None for name in STARTS_COLUMNS[5:]}
