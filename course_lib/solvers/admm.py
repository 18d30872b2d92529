"""The alternating direction method of multipliers for ½‖A x − y‖² + λ φ(x)."""

import torch

from course_lib.common import check_calls, check_count, check_number, check_run, column, dot, one_per_image, progress
from course_lib.solvers.base import Result, Trace, begin
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
        tolerance: an image is done, and frozen, once ‖x − z‖ <= tolerance · s, s = max(‖x‖, ‖z‖), and ‖z⁺ − z‖ <=
            tolerance · ‖u‖ (§3.3 there; K x for x if split). Where s or u vanishes, tolerance times the other bounds.

    The history has the objective and the two residuals `primal`, ‖x − z‖, and `dual`, ρ‖z⁺ − z‖; `evaluations` are the
    data steps, or the steps of conjugate gradients. Raises ValueError for a y or x0 that is not finite or does not fit
    A, and for a lam, rho, steps, tolerance or balance out of range.
    """
    check_run(steps, tolerance, A, y=y)
    check_count("balance", balance)
    check_calls("phi", phi, *(("gradient", "gradient_adjoint", "project") if split else ("__call__", "prox")))
    check_calls("A", A, *(() if split else ("prox",)))
    x, _ = begin(A, y, x0)
    lam, rho = one_per_image("lam", lam, x), one_per_image("rho", rho, x)
    check_number("rho", rho.min().item(), positive=True)
    problem = (Splitting if split else Consensus)(A, y, phi, lam, tolerance)
    return iterate_admm(A, y, phi, lam, problem, x, rho, steps, tolerance, balance, callback, disable)


class Consensus:
    """The two steps of ADMM with z = x."""

    def __init__(self, A, y, phi, lam, tolerance):
        self.A, self.y, self.phi, self.lam = A, y, phi, lam

    def apply(self, x):
        return x

    def data_step(self, x, v, rho):
        return self.A.prox(v, self.y, rho), 1

    def prior_step(self, v, rho):
        return self.phi.prox(v, self.lam / rho)

    def estimate(self, x, z):
        return z


class Splitting:
    """The two steps of ADMM with z = K x."""

    def __init__(self, A, y, phi, lam, tolerance):
        self.A, self.phi, self.lam, self.Ay, self.tolerance = A, phi, lam, A.T(y), tolerance

    def apply(self, x):
        return self.phi.gradient(x)

    def data_step(self, x, v, rho):
        A, K, KT, r = self.A, self.phi.gradient, self.phi.gradient_adjoint, column(rho, x)
        right = self.Ay + r * KT(v)
        # Nearly the exact step: CG starts at the last x, and an error a tenth of what the user tolerates is harmless.
        run = conjugate_gradient(lambda x: A.T(A(x)) + r * KT(K(x)), right, x, 50, self.tolerance / 10)
        return run.x, run.iterations

    def prior_step(self, v, rho):
        return v - self.phi.project(v, self.lam / rho)

    def estimate(self, x, z):
        return x


@torch.no_grad()
def iterate_admm(A, y, phi, lam, problem, x, rho, steps, tolerance, balance, callback, disable):
    """The iteration of `admm`, the same for both splittings; u is scaled, so it changes with ρ."""
    z = problem.apply(x)
    u, primal, trace = torch.zeros_like(z), torch.zeros_like(lam), Trace(callback)
    active, dual = torch.ones_like(lam, dtype=torch.bool), primal
    iterations = evaluations = torch.zeros_like(lam, dtype=torch.long)
    for k in progress(range(steps + 1), disable=disable):
        image = problem.estimate(x, z)
        fit = A(image) - y
        trace(image, objective=dot(fit, fit) / 2 + lam * phi(image), primal=primal, dual=dual)
        if k == steps or not bool(active.any()):
            break
        new, work = problem.data_step(x, z - u, rho)
        Kx = problem.apply(new)
        zn = problem.prior_step(Kx + u, rho)
        gap, shift = Kx - zn, zn - z
        x, z, u = (torch.where(column(active, a), b, a) for a, b in ((x, new), (z, zn), (u, u + gap)))
        iterations, evaluations = iterations + active, evaluations + work * active
        primal, dual = torch.where(active, norm(gap), primal), torch.where(active, rho * norm(shift), dual)
        scale, force = torch.maximum(norm(Kx), norm(zn)), norm(u)
        apart = primal > tolerance * torch.maximum(scale, tolerance * force)
        active = active & (apart | (dual > tolerance * rho * torch.maximum(force, tolerance * scale)))
        if k < balance:
            factor = torch.where(primal > 10 * dual, 2.0, torch.where(dual > 10 * primal, 0.5, 1.0)).to(rho)
            factor = torch.where(active, factor, 1)
            rho, u = rho * factor, u / column(factor, u)
    return Result(image, trace.curves(), evaluations, iterations, ~active)


def norm(v):
    """‖v‖ of each image, [B]."""
    return dot(v, v).sqrt()
