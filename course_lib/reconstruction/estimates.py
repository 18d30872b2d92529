"""Point estimates: synthesis (3), analysis (4), the MAP, its splitting, and the best use that the course has found."""

import torch

from course_lib.common import check_calls, check_count, check_number
from course_lib.operators import Identity
from course_lib.reconstruction.base import (
    analysis_objective,
    bayesian,
    check_flow,
    check_problem,
    descend_in_x,
    geometric,
    map_objective,
    minimize,
    origin,
    quality,
    synthesis_objective,
    warm_start,
)
from course_lib.solvers import lbfgs
from course_lib.solvers.base import iterate


def synthesis(y, A, model, lam, z0=None, *, optimizer="adam", steps=200, lr=0.1, truth=None, disable=True):
    """Regularization by synthesis (3): x̂ = D(argmin_z ½‖A D(z) − y‖² + λ‖z‖²), from z0 = 0.

    Args:
        y, A: observations [B, ...] and their operator. model: with `decode`. lam: λ >= 0, a number or a tensor [B].
        z0: the start, [B, D]. optimizer: `adam` or `lbfgs`; the source states none. lr: of Adam.
        truth: images; with them the history also holds data term, PSNR and ‖z‖²/D.
    """
    lam = check_problem(y, A, model, lam, z0, truth, start="z0")
    z0 = origin(y, model) if z0 is None else z0

    def objective(z):
        return synthesis_objective(z, y, A, model, lam)

    def image_of(z):
        return model.decode(z), z

    return minimize(objective, z0, image_of, y, A, truth, optimizer, lr, steps=steps, disable=disable)


def analysis(y, A, model, lam, x0=None, *, optimizer="adam", steps=200, lr=0.03, truth=None, disable=True):
    """Regularization by analysis (4): x̂ = argmin_x ½‖A x − y‖² + λ‖E(x)‖², from x0 = D(0). Arguments as `synthesis`;
    the E of a VAE is its mean."""
    options = {"optimizer": optimizer, "steps": steps, "lr": lr, "disable": disable}
    return descend_in_x(analysis_objective, y, A, model, lam, x0, truth, **options)


def map_estimate(y, A, model, lam, x0=None, *, optimizer="lbfgs", steps=50, lr=0.01, truth=None, disable=True):
    """Maximum a posteriori: analysis with the log-determinant, −2λ log|det J_E(x)|; λ = σ²/2 is the Bayesian choice.

    x0 is D(0) by default; a cheap estimate (`warm_start`) is a far better one. Arguments as `synthesis`; the model is a
    flow (for a VAE there are `joint_map` and `vae_analysis`).
    """
    options = {"optimizer": optimizer, "steps": steps, "lr": lr, "disable": disable}
    return descend_in_x(map_objective, y, A, model, lam, x0, truth, **options)


def splitting(y, A, model, lam, x0=None, *, sigma=0.01, start=0.1, steps=10, inner=10, truth=None, disable=True):
    """The MAP by half-quadratic splitting (Geman & Yang 1995), with an annealed noise level s:

        x ← argmin_x λ(‖E(x)‖² − 2 log|det J_E(x)|) + (ρ/2)‖x − v‖²,    v ← argmin_v ½‖A v − y‖² + (ρ/2)‖x − v‖².

    The second is `A.prox`, closed-form for the operators of the source. The first is the MAP denoiser of the flow for
    noise s = √(2λ/ρ): s falls geometrically from `start` to `sigma` over the steps, so that ρ = 2λ/s² grows. The
    estimate is v.

    Args:
        x0: the start v; by default the total-variation image (`warm_start`).
        steps, inner: turns, and evaluations of L-BFGS in the first half of each. One turn has s = σ. Other arguments as
            `synthesis`; the model is a flow.

    The history has a row for the start and one for each turn: `objective` is `map_objective` at v, and so are the
    others.
    """
    for name, value in (("sigma", sigma), ("start", start)):
        check_number(name, value, positive=True)
    check_count("steps", steps, low=1)
    check_count("inner", inner, low=1)
    check_calls("A", A, "prox")
    check_flow("model", model)
    lam = check_problem(y, A, model, lam, x0, truth)
    v = warm_start(y, A, sigma) if x0 is None else x0
    levels, positive = geometric(start, sigma, steps), lam.clamp_min(torch.finfo(lam.dtype).tiny)

    def turn(k, x, v, evaluations):
        s = levels[k]

        def denoising(x):
            """In units of ρ the first half is a MAP estimate with A = I, y = v and λ/ρ = s²/2."""
            return map_objective(x, v, Identity(), model, s**2 / 2)

        half = lbfgs(denoising, x, steps=inner)
        v = A.prox(half.x, y, 2 * positive / s**2)
        return {"x": half.x, "v": v, "evaluations": evaluations + half.evaluations}

    def curves(v, **_):
        row = {"objective": map_objective(v, y, A, model, lam)}
        return row if truth is None else row | quality(v, y, A, truth, model.encode(v))

    state = {"x": v, "v": v, "evaluations": torch.zeros_like(lam, dtype=torch.long)}
    result = iterate(turn, state, curves, steps, estimate="v", disable=disable)
    with torch.no_grad():
        result.z = model.encode(result.x)
    return result


def recommended(y, A, model, sigma, lam=None, z0=None, *, steps=75, travel=None, truth=None, disable=True):
    """The best use of a flow prior that the course has found: travel in z, finish in x.

    First `travel` steps of synthesis (L-BFGS from z0 = 0): in the coordinates z a few of them move whole faces, as no
    descent in x does. Then `steps` of `map_estimate`, from the image found, as in x the data term is simple. On a flow
    that keeps volumes this is analysis (4); on another one the log-determinant, which synthesis leaves out, keeps the
    image probable. The history is that of both, in this order: `objective` is (3) on the way in z, the MAP's in x.

    Args:
        lam: by default the Bayesian σ²/2.
        travel: by default as many as `steps`, which ends best. With travel=25 and steps=23 it makes a quarter of the
            evaluations of 200 steps of Adam, and on average ends above these in four of the source's five tasks, not
            for the random mask (on `glow_bounded`: figures/solver_costs.csv). Others as `synthesis`.
    """
    check_flow("model", model)
    check_count("steps", steps)
    travel = steps if travel is None else travel
    check_count("travel", travel)
    lam = bayesian(sigma) if lam is None else lam
    options = {"optimizer": "lbfgs", "truth": truth, "disable": disable}
    first = synthesis(y, A, model, lam, z0, steps=travel, **options)
    second = map_estimate(y, A, model, lam, first.x, steps=steps, **options)
    second.history = {name: torch.cat([curve, second.history[name]]) for name, curve in first.history.items()}
    second.evaluations = first.evaluations + second.evaluations
    second.iterations = first.iterations + second.iterations
    return second
