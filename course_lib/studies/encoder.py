"""The encoder of a flow in time, an equation run backwards: two questions, answered on real faces.

1. How exact is it? ‖D(E(x)) − x‖∞ of faces and photographs, for each scheme and number of steps: `time_round_trip.csv`.
2. Is the missing Jacobian a danger? Analysis (4) is the MAP without −2λ log|det J_E|, and a flow in time has a Jacobian
   that depends on the image. Both start at the image of plug and play, with the flow's velocity as denoiser, with λ =
   σ²/2 and the same number of evaluations, few and many: `time_jacobian.csv`.
"""

from pathlib import Path

import pandas as pd
import torch

from course_lib.common import check_count
from course_lib.data import load_folder, make_task, observe, photograph, to_float
from course_lib.metrics import psnr
from course_lib.models.flow_in_time import SCHEMES
from course_lib.models.weights import describe, load_model
from course_lib.reconstruction import analysis, bayesian, map_estimate, plug_and_play, warm_start
from course_lib.studies.experiments import SIGMA
from course_lib.studies.methods import PNP_LAM, PNP_START, PNP_STEPS
from course_lib.studies.store import Store, write_table

ROUND_TRIP_COLUMNS = ("images_of", "images", "scheme", "steps", "velocities", "mean", "largest")
"""`velocities` is what D and E take together, `mean` and `largest` are of ‖D(E(x)) − x‖∞ over the images, in float32;
empty where a step has no inverse that is found."""

JACOBIAN_COLUMNS = ("task", "face", "image", "evaluations", "psnr", "latent", "logdet")
"""`image` is the true face, a start, or what a formulation makes of the last start in so many evaluations; `latent` is
‖E(x)‖²/D, `logdet` is log|det J_E(x)|/D by Hutchinson's estimate, with the same probes for all."""

STEPS = (8, 20, 50)
"""Numbers of steps of the round trip."""

PHOTOGRAPHS = ("cat", "text")
"""What makes the round trip beside as many faces."""

JACOBIAN_TASKS = ("inpainting_random", "deblurring", "inpainting_square")

FORMULATIONS = {"analysis": analysis, "map": map_estimate}

FEW, MANY, LONG = 10, 50, 10
"""Evaluations of the objective by L-BFGS, few and many; on how many of the faces there are many."""

ENCODER_STEPS, PROBES = 4, 2
"""Steps of the midpoint rule in E; probes of the log-determinant in the table (the descent has one)."""


def round_trip(model, x):
    """(‖D(E(x)) − x‖∞ of each image, [B] as a list, or None where E finds no inverse; the velocities it took)."""
    calls = []
    hook = model.net.register_forward_hook(lambda *_: calls.append(1))
    try:
        with torch.no_grad():
            error = (model.decode(model.encode(x)) - x).flatten(1).abs().amax(1).tolist()
    except RuntimeError:  # as `encode` documents it
        error = None
    finally:
        hook.remove()
    return error, len(calls)


def from_plug_and_play(x, task, model, evaluations):
    """{image: [1, 3, 64, 64]} for one face x [1, 3, 64, 64]: itself, the starts, and what the formulations make of the
    last of these in so many evaluations."""
    A = make_task(task, x.shape[-1])
    y = observe(x, A, SIGMA, [0])
    start = warm_start(y, A, SIGMA)
    options = {"start": PNP_START, "lam": PNP_LAM, "steps": PNP_STEPS}
    found = {"truth": x, "tv": start, "hqs": plug_and_play.hqs(y, A, model.denoise, SIGMA, start, **options).x}
    options = {"optimizer": "lbfgs", "steps": evaluations}
    for name, formulation in FORMULATIONS.items():
        found[name] = formulation(y, A, model, bayesian(SIGMA), found["hqs"], **options).x
    return found


@torch.no_grad()
def scores_of(images, x, model):
    """A row for each of `from_plug_and_play`'s images: its PSNR, and what E makes of it."""
    z, logdet = model.encode_with_logdet(torch.cat(list(images.values())), probes=PROBES)
    columns = [psnr(torch.cat(list(images.values())).clamp(0, 1), x.expand(len(images), -1, -1, -1))]
    columns += [z.square().mean(1), logdet / model.dim]
    return [
        dict(zip(("image", "psnr", "latent", "logdet"), row, strict=True))
        for row in zip(images, *(column.tolist() for column in columns), strict=True)
    ]


def measure_encoder(path, folder, cells="runs/encoder", count=20, name="flow_in_time"):
    """Measure the cells, on the first `count` test faces of CelebA's aligned images in a folder. `time_jacobian.csv` is
    written to `path` after each, then `time_round_trip.csv` beside it. Returns the rows of the former, a DataFrame.
    """
    check_count("count", count, low=1)
    model, weights = load_model(name), describe(name)["sha256"]
    model.recompute = False  # faster, and there is memory for one face
    faces = to_float(load_folder(folder, "test", limit=max(count, len(PHOTOGRAPHS))))
    photographs = torch.cat([photograph(name) for name in PHOTOGRAPHS])
    images = {"faces": faces[: len(photographs)], "photographs": photographs}
    trips = [("round_trip", kind, scheme, n) for n in STEPS for scheme in SCHEMES for kind in images]

    def setup(*key):
        return {"weights": weights, "photographs": list(PHOTOGRAPHS), "encoder": [ENCODER_STEPS, PROBES]}

    def measure(kind, *key):
        if kind != "round_trip":
            number, evaluations = key
            x = faces[number - 1 : number]
            found = from_plug_and_play(x, kind, model.discretize(ENCODER_STEPS), evaluations)
            rows = scores_of(found, x, model)
            return {"task": kind, "face": number, "evaluations": evaluations, "rows": rows}, None
        images_of, scheme, steps = key
        errors, velocities = round_trip(model.discretize(steps, scheme), images[images_of])
        record = {"images_of": images_of, "images": len(photographs), "scheme": scheme, "steps": steps}
        return record | {"velocities": velocities, "errors": errors}, None

    def write_trips(records):
        rows = [row | ends_of(row["errors"]) for row in records]
        return write_table(Path(path).with_name("time_round_trip.csv"), rows, ROUND_TRIP_COLUMNS)

    def write(records):
        rows = pd.DataFrame(row for record in records for row in with_key(record)).drop_duplicates()
        return write_table(path, rows, JACOBIAN_COLUMNS)

    store = Store(cells, "encoder")
    lengths = [(k, FEW) for k in range(1, count + 1)] + [(k, MANY) for k in range(1, min(count, LONG) + 1)]
    keys = [(task, *length) for task in JACOBIAN_TASKS for length in lengths]
    table = store.fill(keys, setup, measure, write)
    store.fill(trips, setup, measure, write_trips)
    return table


def with_key(record):
    """The rows that a cell gives; the true face and the starts took no evaluation."""
    for row in record["rows"]:
        evaluations = record["evaluations"] if row["image"] in FORMULATIONS else 0
        yield {"task": record["task"], "face": record["face"], "evaluations": evaluations} | row


def ends_of(errors):
    """{mean, largest} of a list, both None without one."""
    return {"mean": errors and sum(errors) / len(errors), "largest": errors and max(errors)}
