"""The alternating direction method of multipliers for ½‖A x − y‖² + λ φ(x)."""

import torch

from course_lib.common import check_calls, check_count, check_number, column, one_per_image
from course_lib.solvers.base import data_fit, iterate, norm, prepare
from course_lib.solvers.smooth import conjugate_gradient


def admm(
    y, A, phi, lam, rho=1.0, split=False, x0=None, steps=200, tolerance=1e-4, balance=50, callback=None, disable=True
):
    """x̂ = argmin_x ½‖A x − y‖² + λ φ(x) by ADMM (Boyd et al. 2011, in scaled form): x fits the data, z the prior, and u
    collects how far they disagree,

        x⁺ = argmin_x ½‖A x − y‖² + (ρ/2)‖x − z + u‖²,    z⁺ = prox_{(λ/ρ)φ}(x⁺ + u),    u⁺ = u + x⁺ − z⁺,

    the first by `A.prox`, the second by `phi.prox`; the estimate is z. With `split`, for φ(x) = ‖K x‖ as TV, z stands
    for K x: then z⁺ = v − (projection of v = K x⁺ + u on the dual ball of radius λ/ρ), without inner iteration, and x⁺
    solves (AᵀA + ρKᵀK) x⁺ = Aᵀy + ρKᵀ(z − u) by conjugate gradients from x; the estimate is x.

    Args:
        A, y: operator with `A(x)`, `A.T(y)`, `A.prox(v, y, rho)` (not for `split`), and data [B, ...].
        phi: φ with `phi(x)`, [B], and `phi.prox(v, tau)`; for `split` with `gradient`, `gradient_adjoint`, `project`.
        lam, rho: λ >= 0 and ρ > 0, numbers or tensors [B]. ρ changes the way, not the end.
        x0: the start, by default 0. balance: so many steps may double or halve an image's ρ where its primal and dual
            residuals differ tenfold (§3.4.1 there).
        tolerance: ε; an image is done, and frozen, once x, or K x, and z agree and z is at rest (§3.3 there):

                ‖x − z‖ <= ε max(s, ε‖u‖)  and  ‖z⁺ − z‖ <= ε max(‖u‖, ε s),    s = max(‖x‖, ‖z‖).

    The history has the objective and the two residuals `primal`, ‖x − z‖, and `dual`, ρ‖z⁺ − z‖; `evaluations` are the
    data steps, or the steps of conjugate gradients.
    """
    check_count("balance", balance)
    check_calls("phi", phi, *(("gradient", "gradient_adjoint", "project") if split else ("__call__", "prox")))
    check_calls("A", A, *(() if split else ("prox",)))
    x, _, lam = prepare(y, A, lam, x0, steps, tolerance)
    rho = one_per_image("rho", rho, x)
    check_number("rho", rho.min().item(), positive=True)
    K, data_step, prior_step = split_steps(y, A, phi, lam, tolerance) if split else consensus_steps(y, A, phi, lam)

    def alternate(k, x, z, u, rho, primal, dual, evaluations):
        x, work = data_step(x, z - u, rho)
        Kx, before = K(x), z
        z = prior_step(Kx + u, rho)
        u = u + Kx - z
        primal, dual = norm(Kx - z), rho * norm(z - before)
        size, force = torch.maximum(norm(Kx), norm(z)), norm(u)
        agree = primal <= tolerance * torch.maximum(size, tolerance * force)
        at_rest = dual <= rho * tolerance * torch.maximum(force, tolerance * size)
        if k < balance:
            rho, u = balanced(rho, u, primal, dual)
        new = {"x": x, "z": z, "u": u, "rho": rho, "primal": primal, "dual": dual, "evaluations": evaluations + work}
        return new | {"done": agree & at_rest}

    def curves(x, z, primal, dual, **_):
        image = x if split else z
        return {"objective": data_fit(A(image), y) + lam * phi(image), "primal": primal, "dual": dual}

    z, zero = K(x), torch.zeros_like(lam)
    state = {"x": x, "z": z, "u": torch.zeros_like(z), "rho": rho, "primal": zero, "dual": zero}
    state["evaluations"] = torch.zeros_like(lam, dtype=torch.long)
    estimate = "x" if split else "z"
    return iterate(alternate, state, curves, steps, estimate=estimate, callback=callback, disable=disable)


def consensus_steps(y, A, phi, lam):
    """K = I, and the two halves of a step where z stands for x."""

    def data_step(x, v, rho):
        return A.prox(v, y, rho), 1

    def prior_step(v, rho):
        return phi.prox(v, lam / rho)

    return (lambda x: x), data_step, prior_step


def split_steps(y, A, phi, lam, tolerance):
    """K, and the two halves of a step where z stands for K x."""
    K, KT, Ay = phi.gradient, phi.gradient_adjoint, A.T(y)

    def data_step(x, v, rho):
        r = column(rho, x)
        # Nearly the exact step: CG starts at the last x, and an error a tenth of what the user tolerates is harmless.
        system, right = lambda x: A.T(A(x)) + r * KT(K(x)), Ay + r * KT(v)
        run = conjugate_gradient(system, right, x, steps=50, tolerance=tolerance / 10)
        return run.x, run.iterations

    def prior_step(v, rho):
        return v - phi.project(v, lam / rho)

    return K, data_step, prior_step


def balanced(rho, u, primal, dual):
    """(ρ, u) with ρ doubled or halved where the residuals differ tenfold; u is in units of 1/ρ, so it changes along."""
    factor = torch.where(primal > 10 * dual, 2.0, torch.where(dual > 10 * primal, 0.5, 1.0)).to(rho)
    return rho * factor, u / column(factor, u)
