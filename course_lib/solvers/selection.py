"""Choosing λ without the truth: discrepancy principle, L-curve, SURE, each for any solver.

A solver is handed over as `solve(y, lam)`, a function of the data y [B, ...] and of λ, a tensor [B] with one value for
each image, that returns the estimates x_λ [B, C, H, W]:

    phi = regularizers.TV()
    chosen = selection.discrepancy(y, A, lambda y, lam: solvers.primal_dual(y, A, phi, lam).x, sigma)

Noise n ~ N(0, σ²I) on m measurements an image. Each image gets a λ of its own.
"""

from dataclasses import dataclass

import torch

from course_lib.common import as_generator, check, check_batch, check_calls, check_count, check_number, dot


@dataclass
class Selection:
    """A rule's choice: lam [B], the estimates x [B, C, H, W] there, the λ that were tried, lams [K, B], and what the
    rule looked at for each of them, values [K, B]; after `l_curve` also the curve: residuals and penalties, [K, B].
    """

    lam: torch.Tensor
    lams: torch.Tensor
    values: torch.Tensor
    x: torch.Tensor
    residuals: torch.Tensor | None = None
    penalties: torch.Tensor | None = None


def check_rule(y, A, solve):
    """Raise ValueError unless y is data, and A and solve can be called."""
    check_batch("y", y)
    check_calls("A", A, "__call__")
    check_calls("solve", solve, "__call__")


def estimate(solve, y, lam):
    """x_λ; ValueError unless it is finite, with as many images as y."""
    x = solve(y, lam)
    check_batch("solve(y, lam)", x)
    check(len(x) == len(y), "solve(y, lam)", f"{len(y)} images, as many as y", x.shape)
    return x


def squared_residual(A, x, y):
    """‖A x − y‖², [B]."""
    Ax = A(x)
    check(Ax.shape == y.shape, "y", f"the shape of A(x), {list(Ax.shape)}", y.shape)
    return dot(Ax - y, Ax - y)


def grid(lams, y, least, name="lams"):
    """The λ of a grid as a tensor [K] beside y; ValueError unless there are `least`, positive and increasing."""
    lams = torch.as_tensor(lams).to(y)
    check(lams.dim() == 1 and len(lams) >= least, name, f"at least {least} values in one row", lams.shape)
    fine = bool((lams.isfinite() & (lams > 0)).all() and (lams.diff() > 0).all())
    check(fine, name, "positive, increasing, finite values", lams)
    return lams


def noise_energy(y, sigma, measurements):
    """m σ², the expected ‖n‖² of one image; m is the number of values of y for one image, if not given."""
    check_number("sigma", sigma, positive=True)
    if measurements is not None:
        check_count("measurements", measurements, low=1)
    return (measurements or y[0].numel()) * sigma**2


def choose(lams, values, index, solve, y, **curve):
    """The Selection of the λ number `index` [B] of a grid [K]."""
    lam = lams[index]
    return Selection(lam, lams[:, None].expand(-1, len(y)), values, estimate(solve, y, lam), **curve)


def discrepancy(y, A, solve, sigma, bounds=(1e-6, 1e2), measurements=None, steps=30, tolerance=1e-3):
    """Morozov's discrepancy principle (1966): the λ whose residual is what the noise would leave,

        ‖A x_λ − y‖² = m σ²,

    by bisection in log λ: the residual grows with λ. `values` are the residuals ‖A x_λ − y‖².

    Args:
        solve: (y, λ [B]) → x_λ. y: data, [B, ...]. A: the operator. sigma: σ > 0. bounds: λ between which to look.
        measurements: m; needed where y holds values that were not measured, as behind a `Mask`.
        steps: most bisections. tolerance: an image is done once its residual is m σ² to this relative precision.

    Raises ValueError if the residuals at the bounds don't enclose m σ²: then no λ between them will do, σ or m is
    wrong, or the solver stops too early.
    """
    check_rule(y, A, solve)
    target = noise_energy(y, sigma, measurements)
    check_count("steps", steps, low=1)
    check_number("tolerance", tolerance, positive=True)
    check(len(bounds) == 2, "bounds", "(low, high)", bounds)
    low, high = (b.expand(len(y)) for b in grid(bounds, y, 2, "bounds").log())
    ends = [squared_residual(A, estimate(solve, y, end.exp()), y) for end in (low, high)]
    enclosed = bool(((ends[0] <= target) & (ends[1] >= target)).all())
    check(enclosed, "bounds", f"residuals around m σ² = {target:.6g}", [end.tolist() for end in ends])
    lams, values = [low.exp(), high.exp()], ends
    middle, active = (low + high) / 2, torch.ones_like(low, dtype=torch.bool)
    for _ in range(steps):
        x = estimate(solve, y, middle.exp())
        residual = squared_residual(A, x, y)
        lams, values = [*lams, middle.exp()], [*values, residual]
        active = active & ((residual - target).abs() > tolerance * target)
        if not bool(active.any()):
            break
        low = torch.where(active & (residual < target), middle, low)
        high = torch.where(active & (residual >= target), middle, high)
        middle = torch.where(active, (low + high) / 2, middle)
    return Selection(lams[-1], torch.stack(lams), torch.stack(values), x)


def l_curve(y, A, solve, phi, lams):
    """The corner of the L-curve (Hansen & O'Leary 1993): the λ at which

        (ρ, η) = (log ‖A x_λ − y‖², log φ(x_λ))

    bends most, κ = (ρ'η'' − η'ρ'') / (ρ'² + η'²)^(3/2), with derivatives in log λ by finite differences on the grid.
    It needs no σ. `values` are the κ; the two λ at each end of the grid can't be corners. A solver that stops early
    makes a noisy κ.

    Args:
        solve: (y, λ [B]) → x_λ. y: data, [B, ...]. A: the operator. phi: φ(x) → [B]. lams: λ > 0, increasing, >= 7.

    Raises ValueError if a residual or φ(x_λ) is 0, where the logarithm ends.
    """
    check_rule(y, A, solve)
    check_calls("phi", phi, "__call__")
    lams = grid(lams, y, 7)
    residuals, penalties = [], []
    for lam in lams:
        x = estimate(solve, y, lam.expand(len(y)))
        residuals.append(squared_residual(A, x, y))
        penalties.append(phi(x))
        fine = bool(((residuals[-1] > 0) & (penalties[-1] > 0)).all())
        check(fine, "lams", "λ with ‖A x_λ − y‖ > 0 and φ(x_λ) > 0", f"one of them is 0 at λ = {lam:.3g}")
    residuals, penalties = torch.stack(residuals), torch.stack(penalties)
    curvature = bend(lams.log(), residuals.log(), penalties.log())
    corner = 2 + curvature[2:-2].argmax(0)
    return choose(lams, curvature, corner, solve, y, residuals=residuals, penalties=penalties)


def bend(t, rho, eta):
    """Curvature of the curves (ρ, η)(t), [K, B], at the points t [K]; positive where a curve turns left."""
    d_rho, d_eta = slope(t, rho), slope(t, eta)
    dd_rho, dd_eta = slope(t, d_rho), slope(t, d_eta)
    speed = (d_rho.square() + d_eta.square()).clamp_min(torch.finfo(t.dtype).tiny)
    return (d_rho * dd_eta - d_eta * dd_rho) / speed**1.5


def slope(t, values):
    """d values / d t at the points t [K], of values [K, B]."""
    return torch.gradient(values, spacing=(t,), dim=0)[0]


def sure(y, A, solve, sigma, lams, measurements=None, seed=0, epsilon=None):
    """The λ with the least Monte Carlo SURE (Stein 1981; Ramani, Blu & Unser 2008),

        SURE(λ) = ‖A x_λ − y‖² − m σ² + 2σ² div_y(A x_λ(y)),   div ≈ ⟨b, A x_λ(y + εb) − A x_λ(y)⟩ / ε,

    an unbiased estimate of the *predicted* risk ‖A x_λ − A x*‖²: the error that A sees. For denoising, A = I, that is
    the error of the image; where A forgets much, the best image may want another λ. `values` are SURE(λ).

    Args:
        solve: (y, λ [B]) → x_λ, called twice for each λ. y: data, [B, ...]. A: the operator. sigma: σ > 0.
        lams: λ > 0, increasing. measurements: m; needed where y holds values that were not measured.
        seed: of the probe b, random signs, the same for all λ (a smooth curve) and all images.
        epsilon: ε > 0, by default σ/10.
    """
    check_rule(y, A, solve)
    energy, lams = noise_energy(y, sigma, measurements), grid(lams, y, 1)
    epsilon = sigma / 10 if epsilon is None else epsilon
    check_number("epsilon", epsilon, positive=True)
    signs = torch.randint(0, 2, y.shape[1:], generator=as_generator(seed))
    b = (2 * signs - 1).to(y).expand_as(y)
    risks = []
    for lam in lams:
        lam = lam.expand(len(y))
        x = estimate(solve, y, lam)
        divergence = dot(b, A(estimate(solve, y + epsilon * b, lam)) - A(x)) / epsilon
        risks.append(squared_residual(A, x, y) - energy + 2 * sigma**2 * divergence)
    risks = torch.stack(risks)
    return choose(lams, risks, risks.argmin(0), solve, y)
