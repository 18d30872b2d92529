"""Primal-dual solvers for ½‖A x − y‖² + λ φ(x) with φ(x) = max_p ⟨K x, p⟩."""

import torch

from course_lib.common import check, check_calls, column, dot
from course_lib.solvers.base import back_projection, check_step, data_fit, iterate, prepare, squared_norm

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
    """
    check_calls("phi", phi, *DUAL)
    check_calls("A", A, "prox")
    x, _, lam = prepare(y, A, lam, x0, steps, tolerance, back_projection, rank=4)
    low, high = bounds(box)
    tau = 0.04 / lam.clamp_min(1e-4)
    sigma = 1 / (tau * (phi.norm_squared + (box is not None)))
    t, s = column(tau, x), column(sigma, x)

    def step(k, x, p, u, image):
        """u is the dual variable of the box, and 0 without one."""
        dx = A.prox(x - t * (phi.gradient_adjoint(p) + u), y, 1 / tau) - x
        ahead = x + 2 * dx
        dp = phi.project(p + column(sigma, p) * phi.gradient(ahead), lam) - p
        du = s * (u / s + ahead - (u / s + ahead).clamp(low, high)) - u
        x, p, u = x + 1.5 * dx, p + 1.5 * dp, u + 1.5 * du
        change = dot(dx, dx) + (dot(dp, dp) + dot(du, du)) * tau / sigma
        done = change <= tolerance**2 * dot(x, x)
        return {"x": x, "p": p, "u": u, "image": x.clamp(low, high), "done": done}

    def curves(image, **_):
        return {"objective": data_fit(A(image), y) + lam * phi(image)}

    p, u = torch.zeros_like(phi.gradient(x)), torch.zeros_like(x)
    state = {"x": x, "p": p, "u": u, "image": x.clamp(low, high)}
    return iterate(step, state, curves, steps, estimate="image", callback=callback, disable=disable)


def bounds(box):
    """(low, high) of a box, infinite if it is None."""
    if box is None:
        return -torch.inf, torch.inf
    check(len(box) == 2 and box[0] <= box[1], "box", "(low, high) with low <= high, or None", box)
    return box


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

    Raises ValueError for a step of 2/‖A‖² or more.
    """
    check_calls("phi", phi, *DUAL)
    x, _, lam = prepare(y, A, lam, x0, steps, tolerance, back_projection)
    low, high = bounds(box)
    bound = squared_norm(A, x)
    check_step(step, 2 / bound, "2/‖A‖²", strict=True)
    tau = (0.04 / lam.clamp_min(1e-4)).clamp_max(1 / bound) if step is None else torch.full_like(lam, step)
    sigma = (1 / tau - bound / 2) / phi.norm_squared
    x = x.clamp(low, high)
    floor = tolerance**2 * dot(x, x)

    def move(k, x, p, residual):
        new = (x - column(tau, x) * (A.T(residual) + phi.gradient_adjoint(p))).clamp(low, high)
        dx = new - x
        dp = phi.project(p + column(sigma, p) * phi.gradient(new + dx), lam) - p
        x = x + dx
        done = dot(dx, dx) + dot(dp, dp) * tau / sigma <= tolerance**2 * torch.maximum(dot(x, x), floor)
        return {"x": x, "p": p + dp, "residual": A(x) - y, "done": done}

    def curves(x, residual, **_):
        return {"objective": dot(residual, residual) / 2 + lam * phi(x)}

    state = {"x": x, "p": torch.zeros_like(phi.gradient(x)), "residual": A(x) - y}
    return iterate(move, state, curves, steps, callback=callback, disable=disable)
