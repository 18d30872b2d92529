"""Primal-dual solvers for ½‖A x − y‖² + λ φ(x) with φ(x) = max_p ⟨K x, p⟩."""

import torch

from course_lib.common import check_batch, check_calls, check_run, column, dot, one_per_image, progress
from course_lib.solvers.base import Result, Trace, begin, check_step

DUAL = ("__call__", "gradient", "gradient_adjoint", "norm_squared", "project")
"""What φ(x) = max_p ⟨K x, p⟩ has."""


def primal_dual(y, A, phi, lam, x0=None, steps=500, tolerance=3e-5, box=None, callback=None, disable=True):
    """x̂ = argmin_x ½‖A x − y‖² + λ φ(x), x in the box, for φ(x) = max_p ⟨K x, p⟩ over a ball (TV: K = ∇), by the
    primal-dual iteration of Chambolle & Pock (2011), with a step of the data term, `A.prox`, and a projection:

        x⁺ = prox_{τ½‖A·−y‖²}(x − τ Kᵀp),    p⁺ = projection of p + σ K(2x⁺ − x) on the ball of radius λ,

    and 1.5 times the way to (x⁺, p⁺) (Condat 2013). It converges for σ τ ‖K‖² <= 1. A box is one more dual variable.
    The step τ = 0.04/λ suits images in [0, 1]: 11 to 213 steps to 1e-3 of the optimum at 64×64, λ from 1e-3 to 0.1.

    Args:
        A, y: operator with `A(x)`, `A.T(y)`, `A.prox`, `A.norm`, and data. lam: λ >= 0, a number or a tensor [B].
        phi: `TV`, or any φ with `gradient` (K), `gradient_adjoint` (Kᵀ), `norm_squared` (>= ‖K‖²) and `project`.
        x0: the start, [B, C, H, W]; by default Aᵀy/‖A‖². box: (low, high), or None.
        tolerance: an image is done, and frozen, once ‖x⁺ − x‖² + (τ/σ) ‖p⁺ − p‖² <= (tolerance · ‖x‖)².

    Raises ValueError if y or x0 is not a finite float tensor, or lam, steps, tolerance or box are out of range.
    """
    check_run(steps, tolerance, A, y=y)
    check_box(box)
    check_calls("phi", phi, *DUAL)
    check_calls("A", A, "prox")
    if x0 is None:
        x0 = A.T(y)
        x0 = x0 / max(A.norm(x0.shape) ** 2, torch.finfo(y.dtype).tiny)
    check_batch("x0", x0, 4)
    x0, _ = begin(A, y, x0)
    lam = one_per_image("lam", lam, x0)
    return iterate_primal_dual(A, y, phi, lam, x0, steps, tolerance, box, callback, disable)


def check_box(box):
    """Raise ValueError unless box is None or (low, high) with low <= high."""
    if box is not None and not (len(box) == 2 and box[0] <= box[1]):
        raise ValueError(f"box: expected (low, high) with low <= high, or None, got {box!r}")


@torch.no_grad()
def iterate_primal_dual(A, y, phi, lam, x, steps, tolerance, box, callback, disable):
    """The iteration of `primal_dual`. With a box, u is its dual variable, and the image reported is x clipped to it."""
    tau = 0.04 / lam.clamp_min(1e-4)
    sigma = 1 / (tau * (phi.norm_squared + (box is not None)))
    t, s, low, high = column(tau, x), column(sigma, x), *(box or (-torch.inf, torch.inf))
    p, u, trace = torch.zeros_like(phi.gradient(x)), torch.zeros_like(x), Trace(callback)
    active, iterations = torch.ones_like(lam, dtype=torch.bool), torch.zeros_like(lam, dtype=torch.long)
    for k in progress(range(steps + 1), disable=disable):
        image = x.clamp(low, high)
        trace(image, objective=(A(image) - y).flatten(1).square().sum(1) / 2 + lam * phi(image))
        if k == steps or not bool(active.any()):
            break
        dx = A.prox(x - t * (phi.gradient_adjoint(p) + u), y, 1 / tau) - x
        ahead = x + 2 * dx
        dp = phi.project(p + column(sigma, p) * phi.gradient(ahead), lam) - p
        du = s * (u / s + ahead - (u / s + ahead).clamp(low, high)) - u
        x, p, u = (torch.where(column(active, a), a + 1.5 * da, a) for a, da in ((x, dx), (p, dp), (u, du)))
        iterations = iterations + active
        change = dot(dx, dx) + (dot(dp, dp) + dot(du, du)) * tau / sigma
        active = active & (change > tolerance**2 * dot(x, x))
    return Result(image, trace.curves(), iterations, iterations.clone(), ~active)


def condat_vu(y, A, phi, lam, x0=None, step=None, steps=1000, tolerance=3e-5, box=None, callback=None, disable=True):
    """x̂ = argmin_x ½‖A x − y‖² + λ φ(x), x in the box, for φ(x) = max_p ⟨K x, p⟩ over a ball (TV: K = ∇; ‖W x‖₁: K =
    W), by the primal-dual iteration of Condat (2013) and Vũ (2013), with the gradient of the data term, for an A
    without a `prox`:

        x⁺ = projection of x − τ (Aᵀ(A x − y) + Kᵀp) on the box,    p⁺ = projection of p + σ K(2x⁺ − x) on radius λ.

    It converges for 1/τ − σ‖K‖² >= ‖A‖²/2: σ takes the room that τ leaves, (1/τ − ‖A‖²/2)/‖K‖².

    Args:
        A, y: operator with `A(x)`, `A.T(y)`, `A.norm`, and data [B, ...]. lam: λ >= 0, a number or a tensor [B].
        phi: φ with `gradient` (K), `gradient_adjoint` (Kᵀ), `norm_squared` (>= ‖K‖²) and `project`, as `TV` has.
        x0: the start; by default Aᵀy/‖A‖². step: τ < 2/‖A‖², by default min(1/‖A‖², 0.04/λ). box: (low, high), or None.
        tolerance: an image is done, and frozen, once ‖x⁺ − x‖² + (τ/σ) ‖p⁺ − p‖² <= (tolerance · s)², s = ‖x‖, or
            tolerance · ‖x0‖ if that is more: x may go to 0.

    Raises ValueError for a step of 2/‖A‖² or more, for a y or x0 that is not finite or does not fit A, and for a lam,
    steps, tolerance or box out of range.
    """
    check_run(steps, tolerance, A, y=y)
    check_box(box)
    check_calls("phi", phi, *DUAL)
    back = A.T(y)
    bound = max(A.norm(back.shape) ** 2, torch.finfo(y.dtype).tiny)
    x, _ = begin(A, y, back / bound if x0 is None else x0)
    lam = one_per_image("lam", lam, x)
    if step is not None:
        check_step(step, 2 / bound, "2/‖A‖²", strict=True)
    tau = (0.04 / lam.clamp_min(1e-4)).clamp_max(1 / bound) if step is None else torch.full_like(lam, step)
    sigma = (1 / tau - bound / 2) / phi.norm_squared
    return iterate_condat_vu(A, y, phi, lam, x, tau, sigma, steps, tolerance, box, callback, disable)


@torch.no_grad()
def iterate_condat_vu(A, y, phi, lam, x, tau, sigma, steps, tolerance, box, callback, disable):
    """The iteration of `condat_vu`."""
    low, high = box or (-torch.inf, torch.inf)
    x = x.clamp(low, high)
    floor = tolerance**2 * dot(x, x)
    p, trace = torch.zeros_like(phi.gradient(x)), Trace(callback)
    active, iterations = torch.ones_like(lam, dtype=torch.bool), torch.zeros_like(lam, dtype=torch.long)
    for k in progress(range(steps + 1), disable=disable):
        residual = A(x) - y
        trace(x, objective=dot(residual, residual) / 2 + lam * phi(x))
        if k == steps or not bool(active.any()):
            break
        new = (x - column(tau, x) * (A.T(residual) + phi.gradient_adjoint(p))).clamp(low, high)
        dx = new - x
        dp = phi.project(p + column(sigma, p) * phi.gradient(new + dx), lam) - p
        x, p = (torch.where(column(active, a), a + da, a) for a, da in ((x, dx), (p, dp)))
        iterations = iterations + active
        active = active & (dot(dx, dx) + dot(dp, dp) * tau / sigma > tolerance**2 * torch.maximum(dot(x, x), floor))
    return Result(x, trace.curves(), iterations, iterations.clone(), ~active)
