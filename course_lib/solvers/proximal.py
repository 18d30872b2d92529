"""Gradient and proximal gradient steps, accelerated or not, for ½‖A x − y‖² + λ φ(x)."""

import torch

from course_lib.common import check, check_calls, check_number, check_run, column, dot, one_per_image, progress
from course_lib.solvers.base import Result, Trace, begin, check_step, evaluate


def gradient_descent(
    y, A, phi, lam, lipschitz=None, x0=None, step=None, steps=500, tolerance=1e-6, callback=None, disable=True
):
    """x̂ = argmin_x ½‖A x − y‖² + λ φ(x) for a differentiable φ, by x⁺ = x − τ (Aᵀ(A x − y) + λ ∇φ(x)).

    The objective falls in every step where τ < 2/L, L = ‖A‖² + λ L_φ, with L_φ the Lipschitz constant of ∇φ.

    Args:
        A, y: operator with `A(x)`, `A.T(y)`, `A.norm(shape)`, and data [B, ...]. lam: λ >= 0, a number or a tensor [B].
        phi: φ(x), [B], differentiable by autograd. lipschitz: L_φ; by default `phi.lipschitz`.
        x0: the start, by default 0. step: τ, by default 1/L, of each image its own.
        tolerance: an image is done, and frozen, once ‖x⁺ − x‖ <= tolerance · ‖x⁺‖.

    Raises ValueError for a step of 2/L or more, for a y or x0 that is not finite or does not fit A, and for a lam,
    lipschitz, steps or tolerance out of range.
    """
    check_run(steps, tolerance, A, y=y)
    check_calls("phi", phi, "__call__")
    lipschitz = getattr(phi, "lipschitz", None) if lipschitz is None else lipschitz
    check(lipschitz is not None, "lipschitz", "a number, since phi has no attribute of that name", None)
    check_number("lipschitz", lipschitz)
    x, Ax = begin(A, y, x0)
    lam = one_per_image("lam", lam, x)
    bound = (A.norm(x.shape) ** 2 + lam * lipschitz).clamp_min(torch.finfo(x.dtype).tiny)
    if step is not None:
        check_step(step, 2 / bound.max().item(), "2/(‖A‖² + λ L_φ)", strict=True)
    tau = 1 / bound if step is None else torch.full_like(bound, step)

    def gradient(z, residual):
        return A.T(residual) + column(lam, z) * evaluate(phi, z, z.shape)[1]

    return forward_backward(
        A, y, phi, lam, x, Ax, gradient, lambda v: v, tau, None, steps, tolerance, callback, disable
    )


def ista(y, A, phi, lam, x0=None, step=None, steps=500, tolerance=1e-6, callback=None, disable=True):
    """x̂ = argmin_x ½‖A x − y‖² + λ φ(x) by proximal gradient steps (ISTA; Daubechies, Defrise & De Mol 2004):

        x⁺ = prox_{τλφ}(x − τ Aᵀ(A x − y)).

    The objective F falls in every step, and F(x_k) − min F <= ‖x_0 − x̂‖² / (2τk) for convex φ and τ <= 1/‖A‖².

    Args:
        A, y: operator with `A(x)`, `A.T(y)`, `A.norm(shape)`, and data [B, ...]. lam: λ >= 0, a number or a tensor [B].
        phi: φ with `phi(x)`, [B], and `phi.prox(v, tau)`. A φ that is not convex wants τ <= 1/‖A‖².
        x0: the start, by default 0. step: τ < 2/‖A‖², by default 1/‖A‖².
        tolerance: an image is done, and frozen, once ‖x⁺ − x‖ <= tolerance · ‖x⁺‖. ISTA may crawl: that x hardly moves
            does not say that it is near x̂.

    Raises ValueError for a step of 2/‖A‖² or more, for a y or x0 that is not finite or does not fit A, and for a lam,
    steps or tolerance out of range.
    """
    return proximal_gradient(A, y, phi, lam, x0, step, 2, None, steps, tolerance, callback, disable)


def fista(y, A, phi, lam, x0=None, step=None, restart=True, steps=500, tolerance=1e-6, callback=None, disable=True):
    """x̂ = argmin_x ½‖A x − y‖² + λ φ(x), φ convex, by accelerated proximal gradient steps (Beck & Teboulle 2009):

        x⁺ = prox_{τλφ}(z − τ Aᵀ(A z − y)),    t⁺ = (1 + √(1 + 4t²))/2,    z⁺ = x⁺ + ((t − 1)/t⁺)(x⁺ − x).

    F(x_k) − min F <= 2‖x_0 − x̂‖² / (τ(k + 1)²). A step costs what a step of `ista` costs.

    Args:
        A, y, phi, lam, x0: as for `ista`. step: τ <= 1/‖A‖², the default.
        restart: an image's momentum starts anew (t = 1) where it points uphill, ⟨z − x⁺, x⁺ − x⟩ > 0 (O'Donoghue &
            Candès 2015): no ripples, and a linear rate where F is strongly convex near x̂.
        tolerance: an image is done, and frozen, once ‖x⁺ − z‖ <= tolerance · ‖x⁺‖.

    Raises ValueError for a step larger than 1/‖A‖², for a y or x0 that is not finite or does not fit A, and for a lam,
    steps or tolerance out of range.
    """
    return proximal_gradient(A, y, phi, lam, x0, step, 1, bool(restart), steps, tolerance, callback, disable)


def proximal_gradient(A, y, phi, lam, x0, step, limit, restart, steps, tolerance, callback, disable):
    """`ista` (restart is None; limit = 2) and `fista` (restart a bool; limit = 1) with τ < or <= limit/‖A‖²."""
    check_run(steps, tolerance, A, y=y)
    check_calls("phi", phi, "__call__", "prox")
    x, Ax = begin(A, y, x0)
    lam = one_per_image("lam", lam, x)
    bound = max(A.norm(x.shape) ** 2, torch.finfo(x.dtype).tiny)
    if step is not None:
        check_step(step, limit / bound, f"{limit}/‖A‖²", strict=restart is None)
    tau = torch.full_like(lam, 1 / bound if step is None else step)
    prox, gradient = (lambda v: phi.prox(v, tau * lam)), (lambda z, residual: A.T(residual))
    return forward_backward(A, y, phi, lam, x, Ax, gradient, prox, tau, restart, steps, tolerance, callback, disable)


@torch.no_grad()
def forward_backward(A, y, phi, lam, x, Ax, gradient, prox, tau, restart, steps, tolerance, callback, disable):
    """x⁺ = prox(z − τ gradient(z, A z − y)); z = x without momentum (restart None). A z comes from A x by linearity."""
    z, Az, t, trace = x, Ax, torch.ones_like(lam), Trace(callback)
    active, iterations = torch.ones_like(lam, dtype=torch.bool), torch.zeros_like(lam, dtype=torch.long)
    for k in progress(range(steps + 1), disable=disable):
        trace(x, objective=dot(Ax - y, Ax - y) / 2 + lam * phi(x))
        if k == steps or not bool(active.any()):
            break
        new = prox(z - column(tau, z) * gradient(z, Az - y))
        new = torch.where(column(active, x), new, x)
        Anew, move, change = A(new), new - x, new - z
        momentum = torch.zeros_like(t)
        if restart is not None:
            following = (1 + (1 + 4 * t.square()).sqrt()) / 2
            uphill = (dot(-change, move) > 0) & restart
            momentum, t = torch.where(uphill, 0, (t - 1) / following), torch.where(uphill, 1, following)
        z, Az = new + column(momentum, x) * move, Anew + column(momentum, y) * (Anew - Ax)
        x, Ax, iterations = new, Anew, iterations + active
        active = active & (dot(change, change) > tolerance**2 * dot(x, x))
    return Result(x, trace.curves(), iterations, iterations.clone(), ~active)
