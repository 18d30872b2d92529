"""Gradient and proximal gradient steps, accelerated or not, for ½‖A x − y‖² + λ φ(x)."""

import torch

from course_lib.common import check, check_calls, check_number, column, dot
from course_lib.solvers.base import check_step, data_fit, evaluate, is_small, iterate, prepare, squared_norm


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

    Raises ValueError for a step of 2/L or more.
    """
    check_calls("phi", phi, "__call__")
    lipschitz = getattr(phi, "lipschitz", None) if lipschitz is None else lipschitz
    check(lipschitz is not None, "lipschitz", "a number, since phi has no attribute of that name", None)
    check_number("lipschitz", lipschitz)
    x, Ax, lam = prepare(y, A, lam, x0, steps, tolerance)
    bound = (A.norm(x.shape) ** 2 + lam * lipschitz).clamp_min(torch.finfo(x.dtype).tiny)
    check_step(step, 2 / bound.max().item(), "2/(‖A‖² + λ L_φ)", strict=True)
    tau = column(1 / bound if step is None else torch.full_like(bound, step), x)

    def descend(k, x, Ax):
        _, slope = evaluate(phi, x)
        new = x - tau * (A.T(Ax - y) + column(lam, x) * slope)
        return {"x": new, "Ax": A(new), "done": is_small(new - x, new, tolerance)}

    def curves(x, Ax, **_):
        return {"objective": data_fit(Ax, y) + lam * phi(x)}

    return iterate(descend, {"x": x, "Ax": Ax}, curves, steps, callback=callback, disable=disable)


def ista(y, A, phi, lam, x0=None, step=None, steps=500, tolerance=1e-6, callback=None, disable=True):
    """x̂ = argmin_x ½‖A x − y‖² + λ φ(x) by proximal gradient steps (ISTA; Daubechies, Defrise & De Mol 2004):

        x⁺ = prox_{τλφ}(x − τ Aᵀ(A x − y)).

    The objective F falls in every step, and F(x_k) − min F <= ‖x_0 − x̂‖² / (2τk) for convex φ and τ <= 1/‖A‖².

    Args:
        y, A, lam: as for `gradient_descent`. phi: φ with `phi(x)`, [B], and `phi.prox(v, tau)`; one that is not convex
            wants τ <= 1/‖A‖².
        x0: the start, by default 0. step: τ < 2/‖A‖², by default 1/‖A‖².
        tolerance: an image is done, and frozen, once ‖x⁺ − x‖ <= tolerance · ‖x⁺‖. ISTA may crawl: that x hardly moves
            does not say that it is near x̂.

    Raises ValueError for a step of 2/‖A‖² or more.
    """
    check_calls("phi", phi, "__call__", "prox")
    x, Ax, lam = prepare(y, A, lam, x0, steps, tolerance)
    bound = squared_norm(A, x)
    check_step(step, 2 / bound, "2/‖A‖²", strict=True)
    tau = torch.full_like(lam, 1 / bound if step is None else step)

    def shrink(k, x, Ax):
        new = phi.prox(x - column(tau, x) * A.T(Ax - y), tau * lam)
        return {"x": new, "Ax": A(new), "done": is_small(new - x, new, tolerance)}

    def curves(x, Ax, **_):
        return {"objective": data_fit(Ax, y) + lam * phi(x)}

    return iterate(shrink, {"x": x, "Ax": Ax}, curves, steps, callback=callback, disable=disable)


def fista(y, A, phi, lam, x0=None, step=None, restart=True, steps=500, tolerance=1e-6, callback=None, disable=True):
    """x̂ = argmin_x ½‖A x − y‖² + λ φ(x), φ convex, by accelerated proximal gradient steps (Beck & Teboulle 2009):

        x⁺ = prox_{τλφ}(z − τ Aᵀ(A z − y)),    t⁺ = (1 + √(1 + 4t²))/2,    z⁺ = x⁺ + ((t − 1)/t⁺)(x⁺ − x).

    F(x_k) − min F <= 2‖x_0 − x̂‖² / (τ(k + 1)²). A step costs what a step of `ista` costs.

    Args:
        y, A, phi, lam, x0: as for `ista`. step: τ <= 1/‖A‖², the default.
        restart: an image's momentum starts anew (t = 1) where it points uphill, ⟨z − x⁺, x⁺ − x⟩ > 0 (O'Donoghue &
            Candès 2015): no ripples, and a linear rate where F is strongly convex near x̂.
        tolerance: an image is done, and frozen, once ‖x⁺ − z‖ <= tolerance · ‖x⁺‖.

    Raises ValueError for a step larger than 1/‖A‖².
    """
    check_calls("phi", phi, "__call__", "prox")
    x, Ax, lam = prepare(y, A, lam, x0, steps, tolerance)
    bound = squared_norm(A, x)
    check_step(step, 1 / bound, "1/‖A‖²")
    tau = torch.full_like(lam, 1 / bound if step is None else step)

    def accelerate(k, x, Ax, z, Az, t):
        new = phi.prox(z - column(tau, z) * A.T(Az - y), tau * lam)
        Anew, change = A(new), new - x
        following = (1 + (1 + 4 * t.square()).sqrt()) / 2
        uphill = (dot(z - new, change) > 0) & bool(restart)
        momentum = torch.where(uphill, 0, (t - 1) / following)
        return {
            "x": new,
            "Ax": Anew,
            "z": new + column(momentum, x) * change,
            "Az": Anew + column(momentum, y) * (Anew - Ax),  # A is linear: no further product with it
            "t": torch.where(uphill, 1, following),
            "done": is_small(new - z, new, tolerance),
        }

    def curves(x, Ax, **_):
        return {"objective": data_fit(Ax, y) + lam * phi(x)}

    state = {"x": x, "Ax": Ax, "z": x, "Az": Ax, "t": torch.ones_like(lam)}
    return iterate(accelerate, state, curves, steps, callback=callback, disable=disable)
