"""Algorithms of deepinv and of the course on the five tasks, with one network each: PSNR and seconds, in one run.

    python tests/benchmarks/bridge.py [--tasks deblurring sr2 …] [--groups "total variation" MAP …]

The image is the astronaut's face, σ = 0.01, one seed; so the table compares algorithms on equal objectives, and says
nothing of faces in general. Seconds are those of one run, theirs and ours by turns on the same machine: read them as
ratios. The rows that are run replace their old ones in figures/deepinv.csv, which is also the table of docs/deepinv.md.

    total variation   argmin ½‖A x − y‖² + (σ/10) TV(x), channel by channel, from Aᵀy
    plug and play     DPIR (Zhang et al. 2021) with the course's DnCNN, from the total-variation image, 8 steps
    MAP               argmin ‖A x − y‖²/(2σ²) − log p(x) with the course's Glow, from the total-variation image, with
                      about 25 gradients of the flow: a quick estimate, and not the minimum
    posterior         chains that visit exp(−‖A x − y‖²/(2σ²)) p(x) with this Glow, from such a MAP: the mean of their
                      second half, after 200 gradients, far too few to forget where they began. `sample_posterior` of
                      the course is not among them: it begins with chains far apart
"""

import argparse
import re
import time
from pathlib import Path

import deepinv
import torch
from timing import kept, machine, threads

from course_lib import bridge, data, reconstruction, solvers
from course_lib.common import write_text
from course_lib.metrics import psnr
from course_lib.models.weights import load_model
from course_lib.reconstruction import plug_and_play
from course_lib.regularizers import TV
from course_lib.studies import FIGURES
from course_lib.studies.store import write_table

SIGMA, TURNS, INNER, LEVELS = 0.01, 5, 5, (0.05, 0.01)
STEP = SIGMA**2 / 10
"""Of the Langevin samplers of deepinv."""

PAGE = Path(__file__).parents[2] / "docs" / "deepinv.md"
COLUMNS = ("task", "group", "algorithm", "of", "psnr", "objective", "gradients", "seconds", "machine")


class Metered(torch.nn.Module):
    """A flow that counts its gradients: for how many images a value was computed while derivatives were recorded."""

    def __init__(self, flow):
        super().__init__()
        self.flow, self.gradients, self.dim = flow, 0, flow.dim

    def encode_with_logdet(self, x):
        self.gradients += len(x) * torch.is_grad_enabled()
        return self.flow.encode_with_logdet(x)

    def log_prob(self, x):
        self.gradients += len(x) * torch.is_grad_enabled()
        return self.flow.log_prob(x)

    def encode(self, x):
        return self.flow.encode(x)

    def decode(self, z):
        self.gradients += len(z) * torch.is_grad_enabled()
        return self.flow.decode(z)


class Problem:
    """A task with its observation, in both forms, and what the groups share."""

    def __init__(self, task, flow, network):
        self.task, self.flow, self.network = task, flow, network
        self.x = data.face()
        self.A = data.make_task(task, self.x.shape[-1])
        self.y = data.observe(self.x, self.A, SIGMA, [0])
        self.physics = bridge.CoursePhysics(self.A)
        self.phi = TV(coupled=False)
        self.start = reconstruction.warm_start(self.y, self.A, SIGMA)

    def tv(self, x):
        return solvers.base.data_fit(self.A(x), self.y) + SIGMA / 10 * self.phi(x)

    def posterior(self, x):
        """−log p(x | y) up to a constant, as `map_objective` has it, in nats."""
        value = reconstruction.map_objective(x, self.y, self.A, self.flow, reconstruction.bayesian(SIGMA))
        return value / SIGMA**2


def tv_theirs(p):
    prior = deepinv.optim.TVPrior(n_it_max=100)
    step = 1 / p.A.norm(p.x.shape) ** 2
    run = deepinv.optim.FISTA(
        data_fidelity=deepinv.optim.L2(), prior=prior, lambda_reg=SIGMA / 10, stepsize=step, max_iter=100
    )
    return run(p.y, p.physics)


def tv_theirs_dual(p):
    """As `solvers.primal_dual`, with its τ and σ, and without its over-relaxation."""
    K, tau = deepinv.models.TVDenoiser, 0.04 / (SIGMA / 10)
    start = p.A.T(p.y)
    run = deepinv.optim.PDCP(
        K=K.nabla,
        K_adjoint=K.nabla_adjoint,
        data_fidelity=deepinv.optim.L2(),
        prior=deepinv.optim.L12Prior(l2_axis=-1),
        lambda_reg=SIGMA / 10,
        stepsize=tau,
        stepsize_dual=1 / (8 * tau),
        max_iter=300,
        g_first=True,
    )
    return run(p.y, p.physics, init=(start, start, torch.zeros_like(K.nabla(start))))


def tv_ours(p):
    return solvers.fista(p.y, p.A, p.phi, SIGMA / 10, p.A.T(p.y), steps=100).x


def tv_ours_dual(p):
    return solvers.primal_dual(p.y, p.A, p.phi, SIGMA / 10, steps=300).x


def dpir_theirs(p):
    return deepinv.optim.DPIR(sigma=SIGMA, denoiser=bridge.CourseDenoiser(p.network))(p.y, p.physics, init=p.start)


def dpir_ours(p):
    return plug_and_play.hqs(p.y, p.A, p.network, SIGMA, p.start, start=49 / 255, steps=8).x


def descent_theirs(p):
    run = deepinv.optim.GD(
        data_fidelity=deepinv.optim.L2(sigma=SIGMA),
        prior=bridge.FlowPrior(p.flow),
        stepsize=SIGMA**2 / 2,
        backtracking=True,
        has_cost=True,
        max_iter=25,
    )
    return run(p.y, p.physics, init=p.start)


def splitting_theirs(p):
    levels = reconstruction.base.geometric(*LEVELS, TURNS)
    prior = bridge.FlowPrior(p.flow)
    prior.prox = lambda x, *parameters, gamma, prox=prior.prox: prox(x, gamma=gamma, steps=INNER)
    run = deepinv.optim.HQS(
        data_fidelity=deepinv.optim.L2(sigma=SIGMA),
        prior=prior,
        stepsize=[s**2 for s in levels],
        max_iter=TURNS,
        g_first=True,
    )
    return run(p.y, p.physics, init=p.start)


def splitting_ours(p):
    options = {"sigma": LEVELS[1], "start": LEVELS[0], "steps": TURNS, "inner": INNER}
    return reconstruction.splitting(p.y, p.A, p.flow, reconstruction.bayesian(SIGMA), p.start, **options).x


def map_ours(p):
    return reconstruction.map_estimate(p.y, p.A, p.flow, reconstruction.bayesian(SIGMA), p.start, steps=25).x


def sampler_theirs(name, steps, **options):
    def run(p):
        sampler = deepinv.sampling.sampling_builder(
            name,
            data_fidelity=deepinv.optim.L2(sigma=SIGMA),
            prior=bridge.FlowPrior(p.flow),
            params_algo={"step_size": STEP, "alpha": 1.0, "sigma": 0.0} | options,
            max_iter=steps,
            burnin_ratio=0.5,
            thinning=1,
            history_size=False,
        )
        return sampler.sample(p.y, p.physics, x_init=p.mode, seed=0)[0]

    return run


GROUPS = {
    "total variation": {
        ("FISTA, its own TV prior", "deepinv"): tv_theirs,
        ("PDCP, L12Prior of the gradient", "deepinv"): tv_theirs_dual,
        ("fista", "course"): tv_ours,
        ("primal_dual", "course"): tv_ours_dual,
    },
    "plug and play": {("DPIR, DnCNN of the course", "deepinv"): dpir_theirs, ("hqs", "course"): dpir_ours},
    "MAP": {
        ("gradient descent, FlowPrior", "deepinv"): descent_theirs,
        ("HQS, FlowPrior", "deepinv"): splitting_theirs,
        ("splitting", "course"): splitting_ours,
        ("map_estimate", "course"): map_ours,
    },
    "posterior": {
        ("ULA, FlowPrior", "deepinv"): sampler_theirs("ULA", 200),
        ("SK-ROCK, FlowPrior", "deepinv"): sampler_theirs("SKRock", 20, inner_iter=10, eta=0.05),
    },
}


def rows_of(task, groups):
    """The rows of a task."""
    flow = Metered(load_model("glow"))
    p = Problem(task, flow, load_model("dncnn"))
    objectives = {"total variation": p.tv, "MAP": p.posterior}
    for group in groups:
        if group == "posterior":
            p.mode = map_ours(p)
        for (algorithm, of), run in GROUPS[group].items():
            flow.gradients, started = 0, time.perf_counter()
            x = run(p)
            seconds, gradients = time.perf_counter() - started, flow.gradients
            with torch.no_grad():
                objective = objectives[group](x).item() if group in objectives else ""
            found = (psnr(x.clamp(0, 1), p.x).item(), objective, gradients or "", seconds)
            versions = f"{machine()}; deepinv {deepinv.__version__}"
            yield dict(zip(COLUMNS, (task, group, algorithm, of, *found, versions), strict=True))


def as_markdown(rows):
    """The table of the page: a row an algorithm; PSNR for each task; gradients and seconds, means over the tasks."""
    found = {(row["algorithm"], row["of"], row["task"]): row for row in rows}
    lines = [f"| | algorithm | of | {' | '.join(data.TASKS)} | gradients | seconds |"]
    lines.append("|---" * (len(data.TASKS) + 5) + "|")
    for group, algorithms in GROUPS.items():
        for i, (algorithm, of) in enumerate(algorithms):
            mine = {task: found[algorithm, of, task] for task in data.TASKS if (algorithm, of, task) in found}
            if not mine:
                continue
            quality = " | ".join(f"{float(mine[task]['psnr']):.2f}" if task in mine else "" for task in data.TASKS)
            gradients = [float(row["gradients"]) for row in mine.values() if row["gradients"] != ""]
            count = f"{sum(gradients) / len(gradients):.0f}" if gradients else ""
            mean = sum(float(row["seconds"]) for row in mine.values()) / len(mine)
            seconds = f"{mean:.1f}" if mean < 10 else f"{mean:.0f}"
            lines.append(f"| {group if i == 0 else ''} | {algorithm} | {of} | {quality} | {count} | {seconds} |")
    return "\n".join(lines)


def stamped(page, rows):
    """The page with this table."""
    return re.sub(r"(?s)(<!-- table -->\n\n).*?(\n\n<!-- end -->)", lambda m: m[1] + as_markdown(rows) + m[2], page)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tasks", nargs="+", choices=data.TASKS, default=list(data.TASKS))
    parser.add_argument("--groups", nargs="+", choices=list(GROUPS), default=list(GROUPS))
    options, out, names = parser.parse_args(), FIGURES / "deepinv.csv", list(GROUPS)
    rows = kept(out, "task", [])
    with threads(1):
        for task in options.tasks:
            rows = [row for row in rows if row["task"] != task or row["group"] not in options.groups]
            for row in rows_of(task, options.groups):
                rows.append(row)
                shown = [row[name] for name in COLUMNS[:-1]]
                print(*(f"{value:.4g}" if isinstance(value, float) else value for value in shown), flush=True)
            rows.sort(key=lambda row: (data.TASKS.index(row["task"]), names.index(row["group"])))
            write_table(out, rows, COLUMNS)
            write_text(PAGE, stamped(PAGE.read_text(encoding="utf-8"), rows))


if __name__ == "__main__":
    main()
