"""Generative priors at work: x̂ from y = A x + n and a model with `encode` (E) and `decode` (D).

    synthesis (3)   x̂ = D(argmin_z ½‖A D(z) − y‖² + λ‖z‖²)                         Bora et al. 2017, Asim et al. 2020
    analysis (4)    x̂ = argmin_x ½‖A x − y‖² + λ‖E(x)‖²                            Oberlin & Verm 2021
    MAP             x̂ = argmin_x ½‖A x − y‖² + λ(‖E(x)‖² − 2 log|det J_E(x)|)

With λ = σ²/2 the last is −σ² log p(x | y) up to a constant, for n ~ N(0, σ² I) and a flow's density p(x). The first two
are one function of x = D(z) where D is a bijection; the last differs from them by the log-determinant. `splitting`
solves the MAP by turns, data term and prior, while the noise that it assumes is annealed. `plug_and_play` is a module
of its own: there the prior is a denoiser.
"""

import math

import torch

from course_lib import plug_and_play
from course_lib.common import check, check_count, check_number, per_image, progress
from course_lib.metrics import psnr
from course_lib.operators import Identity
from course_lib.regularizers import TV
from course_lib.results import Reconstruction, data_term
from course_lib.solvers import adam, lbfgs, primal_dual

__all__ = [
    "Reconstruction",
    "analysis",
    "analysis_objective",
    "bayesian",
    "data_term",
    "map_estimate",
    "map_objective",
    "plug_and_play",
    "recommended",
    "splitting",
    "synthesis",
    "synthesis_objective",
    "warm_start",
]

OPTIMIZERS = {"adam": adam, "lbfgs": lbfgs}


def synthesis_objective(z, y, A, model, lam):
    """½‖A D(z) − y‖² + λ‖z‖² (3), [B]."""
    return data_term(model.decode(z), y, A) + lam * z.square().sum(1)


def analysis_objective(x, y, A, model, lam):
    """½‖A x − y‖² + λ‖E(x)‖² (4), [B]; E(x) is the mean for a model that encodes to a mean and a variance."""
    return data_term(x, y, A) + lam * model.encode(x)[0].square().sum(1)


def map_objective(x, y, A, model, lam):
    """½‖A x − y‖² + λ(‖E(x)‖² − 2 log|det J_E(x)|), [B], for a flow."""
    z, logdet = model.encode(x)
    return data_term(x, y, A) + lam * (z.square().sum(1) - 2 * logdet)


def check_problem(y, A, model, lam, x0, truth):
    """λ as a tensor [B]; ValueError for a NaN in y, a λ < 0, or images that don't fit."""
    check(torch.is_tensor(y) and y.dim() == 4 and len(y) > 0, "y", "images [B, C, H, W], B > 0", getattr(y, "shape", y))
    check(bool(y.isfinite().all()), "y", "finite values", "NaN or infinity")
    parameter = next(model.parameters())
    check(parameter.device == y.device, "y", f"a tensor on {parameter.device}, where the model is", y.device)
    for name, image in (("x0", x0), ("truth", truth)):
        check(image is None or len(image) == len(y), name, f"{len(y)} images, as y", getattr(image, "shape", image))
    return per_image("lam", lam, y)


def minimize(objective, start, optimizer, steps, lr, image_of, problem, truth, disable):
    """Run one of `OPTIMIZERS` and record the curves of `Reconstruction`, which cost a `decode` a step in z."""
    check(optimizer in OPTIMIZERS, "optimizer", f"one of {sorted(OPTIMIZERS)}", repr(optimizer))
    (y, A), curves = problem, {"data": [], "psnr": [], "latent": []}

    @torch.no_grad()
    def record(k, u):
        x, z = image_of(u)
        curves["data"].append(data_term(x, y, A))
        curves["psnr"].append(psnr(x.clamp(0, 1), truth))
        curves["latent"].append(z.square().mean(1))

    options = {"lr": lr} if optimizer == "adam" else {}
    callback = record if truth is not None else None
    result = OPTIMIZERS[optimizer](objective, start, steps, callback=callback, disable=disable, **options)
    curves = {name: torch.stack(rows) for name, rows in curves.items() if rows}
    return result, result.history | curves


def synthesis(y, A, model, lam, z0=None, *, optimizer="adam", steps=200, lr=0.1, truth=None, disable=True):
    """Regularization by synthesis (3): x̂ = D(argmin_z ½‖A D(z) − y‖² + λ‖z‖²), from z0 = 0.

    Args:
        y, A: observations [B, ...] and their operator. model: with `decode`. lam: λ >= 0, a number or a tensor [B].
        z0: the start, [B, D]. optimizer: `adam` (the source's) or `lbfgs`. lr: of Adam.
        truth: images; with them the history also holds data term, PSNR and ‖z‖²/D.

    Raises:
        ValueError: λ < 0, NaN in y, or shapes and devices that don't fit.
    """
    lam = check_problem(y, A, model, lam, z0, truth)
    z0 = torch.zeros(len(y), model.dim, dtype=y.dtype, device=y.device) if z0 is None else z0

    def objective(z):
        return synthesis_objective(z, y, A, model, lam)

    def image_of(z):
        return model.decode(z), z

    result, history = minimize(objective, z0, optimizer, steps, lr, image_of, (y, A), truth, disable)
    with torch.no_grad():
        return Reconstruction(model.decode(result.x), result.x, history, lam, result.evaluations)


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
    lam = check_problem(y, A, model, lam, x0, truth)
    if x0 is None:
        with torch.no_grad():
            x0 = model.decode(torch.zeros(len(y), model.dim, dtype=y.dtype, device=y.device))

    def objective(x):
        return equation(x, y, A, model, lam)

    def image_of(x):
        return x, model.encode(x)[0]

    result, history = minimize(objective, x0, optimizer, steps, lr, image_of, (y, A), truth, disable)
    with torch.no_grad():
        return Reconstruction(result.x, model.encode(result.x)[0], history, lam, result.evaluations)


def bayesian(sigma):
    """λ = σ²/2, which makes `map_objective` the negative log-posterior; σ counts as half a grey level at least."""
    return max(sigma, 0.5 / 255) ** 2 / 2


def warm_start(y, A, sigma=0.01):
    """A cheap start: x0 = argmin_x ½‖A x − y‖² + λ TV(x), λ = σ/10, where σ counts as half a grey level at least."""
    return primal_dual(A, y, TV(), 0.1 * max(sigma, 0.5 / 255), steps=300).x


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
    lam = check_problem(y, A, model, lam, x0, truth)
    x = v = warm_start(y, A, sigma) if x0 is None else x0
    evaluations, rows = torch.zeros(len(y), dtype=torch.long, device=y.device), []
    for s in progress(torch.logspace(math.log10(start), math.log10(sigma), steps).tolist(), disable=disable):
        # In units of ρ the first half is a MAP estimate with A = I, y = v and λ/ρ = s²/2.
        half = map_estimate(v, Identity(), model, s**2 / 2, v if not rows else x, optimizer="lbfgs", steps=inner)
        x, evaluations = half.image, evaluations + half.evaluations
        v = A.prox(x, y, 2 * lam.clamp_min(torch.finfo(lam.dtype).tiny) / s**2)
        rows.append(v)
    with torch.no_grad():
        history = {"objective": torch.stack([map_objective(x, y, A, model, lam) for x in rows])}
        if truth is not None:
            history["data"] = torch.stack([data_term(x, y, A) for x in rows])
            history["psnr"] = torch.stack([psnr(x.clamp(0, 1), truth) for x in rows])
            history["latent"] = torch.stack([model.encode(x)[0].square().mean(1) for x in rows])
        return Reconstruction(v, model.encode(v)[0], history, lam, evaluations)


def recommended(y, A, model, sigma, lam=None, z0=None, *, steps=75, truth=None, disable=True):
    """The best use of a flow prior that the course has found: travel in z, finish in x.

    First `steps` evaluations of synthesis (L-BFGS from z0 = 0): in the coordinates z a few steps move whole faces, as
    no descent in x does. Then as many of `map_estimate`, from the image found: in x the data term is simple, and the
    log-determinant, which synthesis leaves out, keeps the image probable. The history is that of both, in this order,
    but `objective` is the MAP's and starts with the second part.

    lam: by default the Bayesian σ²/2. Arguments as `synthesis`.
    """
    check(sigma >= 0, "sigma", "a number >= 0", sigma)
    lam = bayesian(sigma) if lam is None else lam
    options = {"optimizer": "lbfgs", "steps": steps, "truth": truth, "disable": disable}
    first = synthesis(y, A, model, lam, z0, **options)
    second = map_estimate(y, A, model, lam, first.image, **options)
    for name in ("data", "psnr", "latent") if truth is not None else ():
        second.history[name] = torch.cat([first.history[name], second.history[name]])
    second.evaluations = first.evaluations + second.evaluations
    return second
