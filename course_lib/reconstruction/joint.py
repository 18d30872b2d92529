"""Image and latent of a VAE together: the joint MAP of x and z, and analysis with an encoder that inverts nothing.

A VAE says x ~ N(D(z), ηI): the image need not be in the range of D. With y = A x + n the joint posterior gives

    J(x, z) = ½‖A x − y‖² + λ(‖x − D(z)‖²/η + ‖z‖²),    −σ² log p(x, z | y) for λ = σ²/2 up to a constant

(González, Almansa & Tan 2022, arXiv 2103.01648). For η → 0 it is synthesis (3); where z is set to μ(x), analysis.
"""

import torch

from course_lib.common import as_generator, check, check_calls, check_count, check_number, column
from course_lib.reconstruction.base import check_problem, data_term, descend_in_x, geometric, origin, quality
from course_lib.solvers import lbfgs
from course_lib.solvers.base import iterate


def joint_penalty(x, z, model, eta):
    """‖x − D(z)‖²/η + ‖z‖², [B]."""
    return (x - model.decode(z)).flatten(1).square().sum(1) / eta + z.square().sum(1)


def joint_objective(x, z, y, A, model, lam, eta=None):
    """J(x, z) = ½‖A x − y‖² + λ(‖x − D(z)‖²/η + ‖z‖²), [B]; η is the model's unless it is given."""
    return data_term(x, y, A) + lam * joint_penalty(x, z, model, model.eta if eta is None else eta)


def best_image(z, y, A, model, lam, eta):
    """argmin_x J(x, z), which is `A.prox` of D(z) with ρ = 2λ/η."""
    return A.prox(model.decode(z), y, 2 * lam.clamp_min(torch.finfo(lam.dtype).tiny) / eta)


@torch.no_grad()
def best_start(x, z, model, eta):
    """For each image, z or the encoder's μ(x), whichever makes J(x, ·) smaller."""
    encoded = model.encode(x)
    return torch.where(column(joint_penalty(x, encoded, model, eta) < joint_penalty(x, z, model, eta), z), encoded, z)


def joint_map(
    y, A, model, lam, z0=None, *, start=None, method="alternate", steps=20, inner=10, truth=None, disable=True
):
    """argmin J(x, z) for a VAE, from z0 = 0, and with continuation: η_k falls from `start` to the model's η.

    `alternate` (González et al.): z⁺ = argmin_z J(x, z) by L-BFGS from the better of z and μ(x); x⁺ = argmin_x J(x, z⁺)
    in closed form. For a fixed η, J never rises, but the smaller η, the slower it falls: x hardly leaves D(z), and z
    stays where x is. `reduced`: x in closed form is put into J, and L-BFGS works on z ↦ min_x J(x, z), for small η no
    slower than for large.

    Args:
        y, A, model, lam, truth: as for `synthesis`; A with `prox`, the model with `encode`, `decode` and `eta`.
        start: the first η_k >= η; by default η, no continuation. steps: values of η_k, the last (or only one) of which
            is η. inner: evaluations at each.

    The history has a row for the start and one for each step: `objective` is J at the model's η.
    """
    check(method in ("alternate", "reduced"), "method", "'alternate' or 'reduced'", repr(method))
    check_count("steps", steps, low=1)
    check_count("inner", inner, low=1)
    check_calls("A", A, "prox")
    check_calls("model", model, "encode", "eta")
    lam, eta = check_problem(y, A, model, lam, z0, truth, start="z0"), float(model.eta)
    start = eta if start is None else start
    check_number("start", start, positive=True)
    etas = geometric(start, eta, steps)

    def step(k, x, z, evaluations):
        eta = etas[k]

        def objective(z):
            if method == "alternate":
                return joint_penalty(x, z, model, eta)
            # At the minimum the derivative of J in x is zero, so that x may count as a constant.
            with torch.no_grad():
                best = best_image(z, y, A, model, lam, eta)
            return joint_objective(best, z, y, A, model, lam, eta)

        half = lbfgs(objective, best_start(x, z, model, eta), steps=inner)
        new = best_image(half.x, y, A, model, lam, eta)
        return {"x": new, "z": half.x, "evaluations": evaluations + half.evaluations}

    def curves(x, z, **_):
        return {"objective": joint_objective(x, z, y, A, model, lam)} | quality(x, y, A, truth, z)

    z = origin(y, model) if z0 is None else z0
    with torch.no_grad():
        x = best_image(z, y, A, model, lam, etas[0])
    state = {"x": x, "z": z, "evaluations": torch.zeros_like(lam, dtype=torch.long)}
    return iterate(step, state, curves, steps, latent="z", disable=disable)


PENALTIES = ("mean", "joint", "elbo")


def vae_penalty(x, model, penalty, noise=None):
    """φ(x) of `vae_analysis`, [B]. noise: ε of the one sample of q(z|x) that "elbo" takes, [B, D]."""
    mean, logvar = model.encode_distribution(x)
    if penalty == "mean":
        return mean.square().sum(1)
    if penalty == "joint":
        return joint_penalty(x, mean, model, model.eta)
    sample = mean + (0.5 * logvar).exp() * noise
    divergence = (mean.square() + logvar.exp() - 1 - logvar).sum(1)
    return (x - model.decode(sample)).flatten(1).square().sum(1) / model.eta + divergence


def vae_analysis(
    y,
    A,
    model,
    lam,
    x0=None,
    *,
    penalty="joint",
    optimizer="lbfgs",
    steps=100,
    lr=0.01,
    seed=0,
    truth=None,
    disable=True,
):
    """Analysis with a VAE: x̂ = argmin_x ½‖A x − y‖² + λφ(x), from x0 = D(0), where φ is

        "mean"    ‖μ(x)‖²                              (4) to the letter: whatever the encoder ignores is free
        "joint"   ‖μ(x)‖² + ‖x − D(μ(x))‖²/η           J(x, μ(x)): leaving the range of D has its price
        "elbo"    −2 ELBO(x) + const                   an upper bound on −2 log p(x), by one fixed sample of q(z|x)

    With λ = σ²/2 the last is the MAP with the bound in place of log p. Arguments as `analysis`; seed: of the sample.
    """
    check(penalty in PENALTIES, "penalty", f"one of {PENALTIES}", repr(penalty))
    check_calls("model", model, "encode", "eta", "dim")
    # The same ε for every image: none depends on its place in the batch.
    noise = torch.randn(model.dim, generator=as_generator(seed), dtype=torch.float64)

    def equation(x, y, A, model, lam):
        return data_term(x, y, A) + lam * vae_penalty(x, model, penalty, noise.to(x))

    options = {"optimizer": optimizer, "steps": steps, "lr": lr, "disable": disable}
    return descend_in_x(equation, y, A, model, lam, x0, truth, **options)
