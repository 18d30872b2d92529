"""The trial: what decides how well a flow restores an image, with one thing changed at a time.

A cell is one way of using one flow, on one task with one σ: a formulation (synthesis (3), analysis (4), MAP), a start,
an optimizer. Flows that differ in the scale of their couplings alone are trained alike, by `train glow --scale …`.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from course_lib.common import check, check_count
from course_lib.data import TASKS, load_folder, make_task, observe, to_float
from course_lib.metrics import psnr
from course_lib.models.weights import describe, load_model
from course_lib.reconstruction import analysis, bayesian, map_estimate, synthesis, warm_start
from course_lib.reconstruction.base import HALF_GREY
from course_lib.regularizers import TV
from course_lib.solvers import primal_dual
from course_lib.studies.experiments import SIGMA, SIGMAS, climb
from course_lib.studies.scores import mean_and_error
from course_lib.studies.store import Store, in_order, write_table
from course_lib.training import load_average
from course_lib.training.loop import CHECKPOINT

TRIAL_COLUMNS = ("flow", "scale", "bits_per_dim", "formulation", "start", "optimizer", "task", "sigma", "lam", "factor")
TRIAL_COLUMNS += ("lr", "psnr", "psnr_bayesian", "latent", "faces", "faces_bayesian")

FORMULATIONS = {"synthesis": synthesis, "analysis": analysis, "map": map_estimate}

STARTS = ("origin", "tv", "synthesis")
"""z = 0, or D(0); the TV image, or its latent; for analysis and MAP also the image of 50 steps of synthesis."""

STEPS = {"lbfgs": 100, "adam": 300}
"""Evaluations of the objective and its gradient. Adam runs where σ is `SIGMA` only."""

CONSTANT = ("additive", "volume_preserving")
"""Scales whose log|det J_E(x)| does not depend on x: there (4) is the MAP, and no cell is measured twice."""

FACTORS = tuple(10 ** (k / 2) for k in range(-8, 9))
"""What λ is tuned over, in units of σ²/2 (of TV: of σ/10): two a decade."""

RATES = tuple(10 ** (k / 2) for k in range(-7, 0))
"""The learning rates of Adam, from 3e-4 to 0.3. One is tuned for each (flow, formulation, start), on `RATE_TASK`."""

RATE_TASK = "inpainting_random"

BASELINE = ("none", "tv", "origin", "primal_dual")
"""The first four parts of the key of a cell of total variation, which has no flow."""


@dataclass(eq=False)
class Trial:
    """Flows, {name: (model, what tells its weights apart, bits/dim)}, and the images [N, 3, H, W] in [0, 1] that they
    restore: λ and the learning rate are tuned on `validation`, results are those of `test`."""

    flows: dict
    test: torch.Tensor
    validation: torch.Tensor
    store: Store

    def keys(
        self, formulations=tuple(FORMULATIONS), starts=STARTS, optimizers=tuple(STEPS), tasks=TASKS, sigmas=(SIGMA,)
    ):
        """The cells (flow, formulation, start, optimizer, task, σ): L-BFGS before Adam, which needs its λ."""
        keys = [(*BASELINE, task, sigma) for sigma in sigmas for task in tasks]
        for sigma in sigmas:
            for optimizer in [name for name in STEPS if name in optimizers and (name == "lbfgs" or sigma == SIGMA)]:
                for name, (model, *_) in self.flows.items():
                    for formulation in formulations:
                        own = [start for start in starts if (formulation, start) != ("synthesis", "synthesis")]
                        if formulation == "map" and model.config["scale"] in CONSTANT:
                            own = []
                        keys += [(name, formulation, start, optimizer, task, sigma) for task in tasks for start in own]
        return keys

    def setup(self, *key):
        """What a cell depends on."""
        weights = None if key[:4] == BASELINE else self.flows[key[0]][1]
        return {"weights": weights, "images": len(self.test), "validation": len(self.validation), "steps": STEPS}

    def problem(self, key, images, first_seed):
        """(y, A, start): the start of the descent, None for z = 0 and D(0)."""
        flow, formulation, start, _, task, sigma = key
        A = make_task(task, images.shape[-1])
        y = observe(images, A, sigma, range(first_seed, first_seed + len(images)))
        if start == "origin":
            return y, A, None
        model = self.flows[flow][0]
        if start == "synthesis":
            return y, A, synthesis(y, A, model, bayesian(sigma), optimizer="lbfgs", steps=50).x
        x0 = warm_start(y, A, sigma)
        with torch.no_grad():
            return y, A, model.encode(x0) if formulation == "synthesis" else x0

    def restore(self, key, problem, lam, lr=None):
        """The images that a method finds, in [0, 1]."""
        flow, formulation, _, optimizer, *_ = key
        y, A, start = problem
        if formulation == "tv":
            return primal_dual(y, A, TV(), lam, steps=1000).x.clamp(0, 1)
        options = {"optimizer": optimizer, "steps": STEPS[optimizer]} | ({} if lr is None else {"lr": lr})
        return FORMULATIONS[formulation](y, A, self.flows[flow][0], lam, start, **options).x.clamp(0, 1)

    def validated(self, key):
        """(λ, lr) ↦ the mean PSNR on the validation images."""
        problem = self.problem(key, self.validation, 1_000_000)

        @cache
        def score(lam, lr=None):
            return psnr(self.restore(key, problem, lam, lr), self.validation).mean().item()

        return score

    def tuned(self, key, optimizer="lbfgs"):
        """The record of the cell of another optimizer."""
        return self.store.read(*key[:3], optimizer, *key[4:])

    @cache  # noqa: B019 - one trial lives as long as its command
    def rate(self, *key):
        """The learning rate of Adam for a (flow, formulation, start), with the λ of L-BFGS."""
        key = (*key, "adam", RATE_TASK, SIGMA)
        score, lam = self.validated(key), self.tuned(key)["lam"]
        return RATES[climb(RATES, 0.03, lambda i: score(lam, RATES[i]), [1])]

    def measure(self, *key):
        """The record of a cell: tuned, and measured on the test images; without pictures."""
        flow, formulation, _, optimizer, _, sigma = key
        unit, lr = 0.1 * max(sigma, HALF_GREY) if formulation == "tv" else bayesian(sigma), None
        if optimizer == "adam":
            factor, lr = self.tuned(key)["factor"], self.rate(*key[:3])
        else:
            score = self.validated(key)
            factor = FACTORS[climb(FACTORS, 1.0, lambda i: score(FACTORS[i] * unit), [1])]
        problem = self.problem(key, self.test, 0)
        found = self.restore(key, problem, factor * unit, lr)
        plain = found if factor == 1 else self.restore(key, problem, unit, lr)
        record = dict(zip(("flow", "formulation", "start", "optimizer", "task", "sigma"), key, strict=True))
        record |= {"scale": None, "bits_per_dim": None, "latent": None}
        if formulation != "tv":
            model, _, bits = self.flows[flow]
            with torch.no_grad():
                latent = model.encode(found).square().mean().item()
            record |= {"scale": model.config["scale"], "bits_per_dim": bits, "latent": latent}
        record |= {"lam": factor * unit, "factor": factor, "lr": lr}
        for name, images in (("", found), ("_bayesian", plain)):
            scores = psnr(images, self.test)
            record[f"psnr{name}"] = scores.mean().item()
            record[f"faces{name}"] = " ".join(f"{value:.2f}" for value in scores.tolist())
        return record, None


def paired(trial, before, after):
    """(mean, standard error) of what each face gains from one way to another, in dB, on a table of `run_trial`.

    A way is a dictionary: flow, formulation, start, optimizer, task, sigma, and lam, which is "tuned" or "bayesian".
    """
    return mean_and_error(scores(trial, **after) - scores(trial, **before))


def scores(trial, lam, **way):
    """The PSNR of each face, an array; the MAP is (4) for a scale of `CONSTANT`. ValueError for a way not measured."""
    rows = trial[trial["flow"] == way["flow"]]
    if way["formulation"] == "map" and set(rows["scale"]) <= set(CONSTANT):
        way["formulation"] = "analysis"
    for name, value in way.items():
        rows = rows[rows[name] == value]
    check(len(rows) == 1, "way", "one that the table of the trial holds", way)
    return np.array(rows["faces" if lam == "tuned" else "faces_bayesian"].item().split(), float)


def first_and_last(trial, before, after):
    """What each factor in which two ways differ is worth, in dB, if it changes first and if it changes last, which
    is not the same where factors interact. A DataFrame: factor, first, first_se, last, last_se, of `paired`."""
    rows = []
    for name in [name for name in before if before[name] != after[name]]:
        first = paired(trial, before, before | {name: after[name]})
        last = paired(trial, after | {name: before[name]}, after)
        rows.append((name, *first, *last))
    return pd.DataFrame(rows, columns=["factor", "first", "first_se", "last", "last_se"])


def load_flow(name):
    """(model, what tells its weights apart, bits/dim of noisy validation faces) of a run's folder or a weight file."""
    if not (Path(name) / CHECKPOINT).exists():
        about = describe(str(name))
        return load_model(str(name)), about["sha256"], about["validation"]["bits_per_dim"]
    model, about = load_average(name)
    weights = b"".join(value.numpy().tobytes() for value in model.state_dict().values())
    return model.freeze(), hashlib.sha256(weights).hexdigest(), about["rows"][-1]["validation"]


def run_trial(flows, folder, path, cells="runs/trial_cells", images=8, validation=4, **factors):
    """Measure cells, and after each one write all of the folder to `path`, a CSV file. Returns its rows, a DataFrame.

    Args:
        flows: folders of `train glow`, or names of weight files. folder: CelebA's aligned images. images, validation:
            how many of its test and validation images. factors: of `Trial.keys`.
    """
    check_count("images", images, low=2)
    check_count("validation", validation, low=1)
    flows = {Path(flow).name: load_flow(flow) for flow in flows}
    size = next(iter(flows.values()))[0].config["size"]
    test = to_float(load_folder(folder, "test", size, limit=images))
    tuning = to_float(load_folder(folder, "validation", size, limit=validation))
    trial = Trial(flows, test, tuning, Store(cells, "trial"))
    counts = {"images": images, "validation": validation, "steps": STEPS}

    def write(_):
        rows = pd.DataFrame(record for record in trial.store.records() if record["setup"].items() >= counts.items())
        order = {"sigma": SIGMAS, "task": TASKS, "formulation": ("tv", *FORMULATIONS), "start": STARTS}
        return write_table(path, in_order(rows, **order), TRIAL_COLUMNS)

    return trial.store.fill(trial.keys(**factors), trial.setup, trial.measure, write)
