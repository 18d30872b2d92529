"""Point estimates: synthesis (3), analysis (4), the MAP, its splitting, and the best use that the course has found."""

import math

import torch

from course_lib.common import check_calls, check_count, check_number, progress
from course_lib.metrics import psnr
from course_lib.operators import Identity
from course_lib.reconstruction.base import (
    analysis_objective,
    bayesian,
    centre,
    check_problem,
    check_truth,
    data_term,
    map_objective,
    minimize,
    origin,
    synthesis_objective,
    warm_start,
)
from course_lib.solvers.base import Result


def synthesis(y, A, model, lam, z0=None, *, optimizer="adam", steps=200, lr=0.1, truth=None, disable=True):
    """Regularization by synthesis (3): x̂ = D(argmin_z ½‖A D(z) − y‖² + λ‖z‖²), from z0 = 0.

    Args:
        y, A: observations [B, ...] and their operator. model: with `decode`. lam: λ >= 0, a number or a tensor [B].
        z0: the start, [B, D]. optimizer: `adam` or `lbfgs`; the source states none. lr: of Adam.
        truth: images; with them the history also holds data term, PSNR and ‖z‖²/D.

    Raises:
        ValueError: λ < 0, NaN in y, or shapes and devices that don't fit.
    """
    lam = check_problem(y, A, model, lam, z0, truth, start="z0")
    z0 = origin(y, model) if z0 is None else z0

    def objective(z):
        return synthesis_objective(z, y, A, model, lam)

    def image_of(z):
        return model.decode(z), z

    result, history = minimize(objective, z0, optimizer, steps, lr, image_of, (y, A), truth, disable)
    with torch.no_grad():
        return Result(model.decode(result.x), history, result.evaluations, z=result.x)


def analysis(y, A, model, lam, x0=None, *, optimizer="adam", steps=200, lr=0.03, truth=None, disable=True):
    """Regularization by analysis (4): x̂ = argmin_x ½‖A x − y‖² + λ‖E(x)‖², from x0 = D(0). Arguments as `synthesis`."""
    objective = analysis_objective
    return descend_in_x(objective, y, A, model, lam, x0, optimizer, steps, lr, truth, disable)


def map_estimate(y, A, model, lam, x0=None, *, optimizer="lbfgs", steps=50, lr=0.01, truth=None, disable=True):
    """Maximum a posteriori: analysis with the log-determinant, −2λ log|det J_E(x)|; λ = σ²/2 is the Bayesian choice.

    x0 is D(0) by default; a cheap estimate (`warm_start`) is a far better one. Arguments as `synthesis`.
    """
    objective = map_objective
    return descend_in_x(objective, y, A, model, lam, x0, optimizer, steps, lr, truth, disable)


def descend_in_x(equation, y, A, model, lam, x0, optimizer, steps, lr, truth, disable):
    """Minimize `analysis_objective` or `map_objective` over the image."""
    check_calls("model", model, "encode")
    lam = check_problem(y, A, model, lam, x0, truth)
    x0 = centre(y, model) if x0 is None else x0

    def objective(x):
        return equation(x, y, A, model, lam)

    def image_of(x):
        return x, model.encode(x)

    result, history = minimize(objective, x0, optimizer, steps, lr, image_of, (y, A), truth, disable)
    with torch.no_grad():
        return Result(result.x, history, result.evaluations, z=model.encode(result.x))


def splitting(y, A, model, lam, x0=None, *, sigma=0.01, start=0.1, steps=10, inner=10, truth=None, disable=True):
    """The MAP by half-quadratic splitting (Geman & Yang 1995), with an annealed noise level s:

        x ← argmin_x λ(‖E(x)‖² − 2 log|det J_E(x)|) + (ρ/2)‖x − v‖²,    v ← argmin_v ½‖A v − y‖² + (ρ/2)‖x − v‖².

    The second is `A.prox`, closed-form for the operators of the source. The first is the MAP denoiser of the flow for
    noise s = √(2λ/ρ): s falls geometrically from `start` to `sigma` over the steps, so that ρ = 2λ/s² grows.

    Args:
        x0: the start v; by default the total-variation image (`warm_start`).
        steps, inner: turns, and evaluations of L-BFGS in the first half of each. Other arguments as `synthesis`.

    The history has a row a turn: `objective` is that of `map_objective` at x.
    """
    for name, value in (("sigma", sigma), ("start", start)):
        check_number(name, value, positive=True)
    check_count("steps", steps, low=1)
    check_count("inner", inner, low=1)
    check_calls("A", A, "prox")
    lam = check_problem(y, A, model, lam, x0, truth)
    x = v = warm_start(y, A, sigma) if x0 is None else x0
    check_truth(truth, x)
    evaluations, rows = torch.zeros(len(y), dtype=torch.long, device=y.device), []
    for s in progress(torch.logspace(math.log10(start), math.log10(sigma), steps).tolist(), disable=disable):
        # In units of ρ the first half is a MAP estimate with A = I, y = v and λ/ρ = s²/2.
        half = map_estimate(v, Identity(), model, s**2 / 2, v if not rows else x, optimizer="lbfgs", steps=inner)
        x, evaluations = half.x, evaluations + half.evaluations
        v = A.prox(x, y, 2 * lam.clamp_min(torch.finfo(lam.dtype).tiny) / s**2)
        rows.append(v)
    with torch.no_grad():
        history = {"objective": torch.stack([map_objective(x, y, A, model, lam) for x in rows])}
        if truth is not None:
            history["data"] = torch.stack([data_term(x, y, A) for x in rows])
            history["psnr"] = torch.stack([psnr(x.clamp(0, 1), truth) for x in rows])
            history["latent"] = torch.stack([model.encode(x).square().mean(1) for x in rows])
        return Result(v, history, evaluations, z=model.encode(v))


def recommended(y, A, model, sigma, lam=None, z0=None, *, steps=75, travel=None, truth=None, disable=True):
    """The best use of a flow prior that the course has found: travel in z, finish in x.

    First `travel` steps of synthesis (L-BFGS from z0 = 0): in the coordinates z a few of them move whole faces, as no
    descent in x does. Then `steps` of `map_estimate`, from the image found: in x the data term is simple, and the
    log-determinant, which synthesis leaves out, keeps the image probable. The history is that of both, in this order,
    but `objective` is the MAP's and starts with the second part.

    Args:
        lam: by default the Bayesian σ²/2.
        travel: by default as many as `steps`, which ends best. With travel=25 and steps=23 it makes a quarter of the
            evaluations of 200 steps of Adam, and on average ends above these in four of the source's five tasks, not
            for the random mask (figures/solver_costs.csv). Others as `synthesis`.
    """
    check_number("sigma", sigma)
    check_count("steps", steps)
    travel = steps if travel is None else travel
    check_count("travel", travel)
    lam = bayesian(sigma) if lam is None else lam
    options = {"optimizer": "lbfgs", "truth": truth, "disable": disable}
    first = synthesis(y, A, model, lam, z0, steps=travel, **options)
    second = map_estimate(y, A, model, lam, first.x, steps=steps, **options)
    for name in ("data", "psnr", "latent") if truth is not None else ():
        second.history[name] = torch.cat([first.history[name], second.history[name]])
    second.evaluations = first.evaluations + second.evaluations
    return second
