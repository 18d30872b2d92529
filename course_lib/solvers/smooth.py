"""Solvers for objectives with a gradient: Adam, L-BFGS, conjugate gradients."""

import torch

from course_lib.common import (
    check,
    check_batch,
    check_count,
    check_like,
    check_number,
    check_run,
    column,
    dot,
    progress,
)
from course_lib.solvers.base import Result, Trace, evaluate


def adam(objective, x0, steps=200, lr=0.01, betas=(0.9, 0.999), best=False, callback=None, disable=True):
    """Adam (Kingma & Ba 2015, arXiv 1412.6980) on `objective(x)`, [B]. It works element by element, so no image of the
    batch influences another; it runs all its steps, and `converged` stays False.

    Args:
        lr: how far an element moves in a step, at most about. betas: decay of the two moments.
        best: return for each image its iterate of least objective instead of the last one.

    Raises ValueError if an argument is out of range, or the objective is not of shape [B].
    """
    check_run(steps, 0, x0=x0)
    check_number("lr", lr, positive=True)
    x = x0.detach().clone()
    optimizer, trace = torch.optim.Adam([x], lr=lr, betas=betas), Trace(callback)
    found, least = x.clone(), x.new_full((len(x),), float("inf"))
    for k in progress(range(steps + 1), disable=disable):
        f, x.grad = evaluate(objective, x, x.shape)
        trace(x, objective=f)
        if best:
            found, least = torch.where(column(f < least, x), x, found), torch.where(f < least, f, least)
        if k < steps:
            optimizer.step()
    count = torch.full((len(x),), steps, device=x.device)
    return Result(found if best else x, trace.curves(), count, count + 1, count < 0)


def lbfgs(objective, x0, steps=200, history=10, tolerance=1e-5, initial_step=None, callback=None, disable=True):
    """L-BFGS (Nocedal 1980; Liu & Nocedal 1989) on `objective(x)`, [B], with a run of its own for each image: its
    curvature pairs, line search and end. No image waits for another: a step is one evaluation of f and its gradient, in
    which some images try a step length and others move on. Steps cost as much as those of Adam.

    Args:
        history: curvature pairs (s, y) kept; a pair with too small sᵀy is left out.
        tolerance: an image is done, and frozen, once ‖∇f(x)‖ <= tolerance · ‖∇f(x0)‖. It ends too, with `converged`
            False, if no step along −∇f decreases f.
        initial_step: length of the first trial along −∇f, relative to ‖∇f‖; by default min(1, 1/‖∇f‖).

    Raises ValueError if an argument is out of range, or f or ∇f is not finite at x0 (later, that is too long a step).
    """
    check_run(steps, tolerance, x0=x0)
    check_count("history", history, low=1)
    check_number("initial_step", 1 if initial_step is None else initial_step, positive=True)
    run = BatchedLBFGS(objective, x0, history, tolerance, initial_step)
    trace = Trace(callback)
    for k in progress(range(steps + 1), disable=disable):
        trace(run.x.reshape(x0.shape), objective=run.f)
        if k == steps or not bool(run.active.any()):
            break
        run.step()
    return Result(run.x.reshape(x0.shape), trace.curves(), run.iterations, run.evaluations, run.small())


class BatchedLBFGS:
    """The state of B runs of L-BFGS, each image in a row of x [B, D]; `step` spends one evaluation.

    The line search wants the weak Wolfe conditions, f(x + td) <= f + c₁ t ∇fᵀd and ∇f(x + td)ᵀd >= c₂ ∇fᵀd. Such a t is
    in [low, high], which shrinks by cubic interpolation from a step that is too long, and grows from one that is too
    short (Lewis & Overton 2013). Where f changes by its rounding error only, the slope decides (Hager & Zhang 2005).
    """

    c1, c2, trials = 1e-4, 0.9, 25

    def __init__(self, objective, x0, pairs, tolerance, initial_step):
        self.objective, self.shape, self.initial_step = objective, x0.shape, initial_step
        self.x = x0.detach().reshape(len(x0), -1).clone()
        self.f, self.g = evaluate(objective, self.x, self.shape)
        bad = (~(self.f.isfinite() & self.g.isfinite().all(1))).nonzero()[:, 0].tolist()
        if bad:
            raise ValueError(f"x0: expected a finite objective and gradient, got NaN or infinity for images {bad}")
        self.goal = tolerance * self.g.norm(dim=1)
        self.active = ~self.small()
        self.S, self.Y = (self.x.new_zeros(pairs, *self.x.shape) for _ in range(2))
        self.rho, self.gamma = self.x.new_zeros(pairs, len(x0), 1), torch.ones_like(self.f)
        self.iterations = torch.zeros_like(self.f, dtype=torch.long)
        self.evaluations = torch.ones_like(self.iterations)
        self.d, self.t = torch.zeros_like(self.g), torch.zeros_like(self.f)
        self.low = self.high = self.f_low = self.slope_low = self.slope = self.tried = self.t
        self.aim(self.active)

    def small(self):
        return self.g.norm(dim=1) <= self.goal

    def put(self, images, **values):
        """Replace some of the state, for some images ([B], bool)."""
        for name, value in values.items():
            old = getattr(self, name)
            setattr(self, name, torch.where(images if old.dim() == 1 else images[:, None], value, old))

    def direction(self):
        """−H ∇f by the two-loop recursion; an empty slot has ρ = 0 and does nothing."""
        q, alphas = self.g, []
        for s, y, rho in reversed(list(zip(self.S, self.Y, self.rho, strict=True))):
            alphas.append(rho * dot(s, q)[:, None])
            q = q - alphas[-1] * y
        q = self.gamma[:, None] * q
        for s, y, rho in zip(self.S, self.Y, self.rho, strict=True):
            q = q + (alphas.pop() - rho * dot(y, q)[:, None]) * s
        return -q

    def remember(self, images, s, y):
        """Keep the pair (s, y) of the images that made a step, where sᵀy is safely positive."""
        sy, info = dot(s, y), torch.finfo(s.dtype)
        images = images & (sy > info.tiny) & (sy > info.eps * s.norm(dim=1) * y.norm(dim=1))
        self.put(images, gamma=sy / dot(y, y))
        for name, new in (("S", s), ("Y", y), ("rho", 1 / sy[:, None])):
            self.put(images, **{name: torch.cat([getattr(self, name)[1:], new[None]])})

    def aim(self, images):
        """Choose a new direction for some images, and open their line search."""
        d = self.direction()
        self.put(images & ~(dot(self.g, d) < 0), rho=0.0)
        first = (self.rho[:, :, 0] == 0).all(0)
        d = torch.where(first[:, None], -self.g, d)
        length = self.g.norm(dim=1).reciprocal().clamp_max(1) if self.initial_step is None else self.initial_step
        self.put(images, d=d, t=torch.where(first, length, 1.0), slope=dot(self.g, d), slope_low=dot(self.g, d))
        self.put(images, f_low=self.f, low=0.0, high=torch.inf, tried=0.0)

    def step(self):
        """Try x + td for every active image; move those that like it, and change t for the others."""
        x = torch.where(self.active[:, None], self.x + self.t[:, None] * self.d, self.x)
        f, g = evaluate(self.objective, x, self.shape)
        self.evaluations, self.tried = self.evaluations + self.active, self.tried + 1
        slope, rounding = dot(g, self.d), 4 * torch.finfo(f.dtype).eps * self.f.abs()
        lower = (f < self.f) & (f <= self.f + self.c1 * self.t * self.slope)
        level = (f <= self.f + rounding) & (slope <= (2 * self.c1 - 1) * self.slope)
        fine = f.isfinite() & g.isfinite().all(1) & (lower | level)
        last = self.tried > self.trials
        accept = self.active & fine & ((slope >= self.c2 * self.slope) | (last & lower))
        stuck = (self.active & last & ~accept) | (accept & (x == self.x).all(1))
        again = stuck & (self.rho[:, :, 0] != 0).any(0)
        self.resize(fine, f, slope)
        self.remember(accept, x - self.x, g - self.g)
        self.put(accept, x=x, f=f, g=g)
        self.iterations = self.iterations + accept
        self.active = self.active & ~(stuck & ~again) & ~(accept & self.small())
        self.put(again, rho=0.0)
        self.aim(self.active & (accept | again))

    def resize(self, fine, f, slope):
        """The next trial t, given what the current one has brought: it was too long, or, if `fine`, too short."""
        width = self.t - self.low
        s0, s1 = self.slope_low * width, slope * width
        bend = s0 + s1 - 3 * (f - self.f_low)
        root = (bend.square() - s0 * s1).sqrt()
        cubic = (1 - (s1 + root - bend) / (s1 - s0 + 2 * root)).nan_to_num(0.5).clamp(0.1, 0.5)
        secant = torch.where(s1 > s0, 1 + width / self.t * s1 / (s0 - s1), 10.0).nan_to_num(2.0).clamp(2, 10)
        longer = torch.where(self.high.isinf(), secant * self.t, (self.t + self.high) / 2)
        following = torch.where(fine, longer, self.low + cubic * width)
        self.put(~fine, high=self.t)
        self.put(fine, low=self.t, f_low=f, slope_low=slope)
        # Out of trials: the best step that is known to decrease f has to do.
        self.t = torch.where((self.tried >= self.trials) & (self.low > 0), self.low, following)


@torch.no_grad()
def conjugate_gradient(apply, b, x0=None, steps=100, tolerance=1e-6, callback=None, disable=True):
    """x̂ = M⁻¹ b for symmetric positive definite M, given as `apply(x)` = M x (Hestenes & Stiefel 1952), each image with
    its own step lengths. The history holds `residual`, ‖b − M x‖ / ‖b‖.

    Args:
        b: right-hand sides, [B, ...]. x0: the start, by default 0.
        tolerance: an image is done, and frozen, once ‖b − M x‖ <= tolerance · ‖b‖.

    Raises ValueError if an argument is out of range, a shape differs from that of b, or M is not positive definite.
    """
    check_run(steps, tolerance, b=b, x0=b if x0 is None else x0)
    check(callable(apply), "apply", "a function of x, M x", type(apply).__name__)
    x = torch.zeros_like(b) if x0 is None else x0
    check(x.shape == b.shape, "x0", f"the shape of b, {list(b.shape)}", x.shape)
    check_like("x0", x, b, "b")
    Mx = apply(x)
    check(Mx.shape == b.shape, "apply(x0)", f"the shape of b, {list(b.shape)}", Mx.shape)
    check_batch("apply(x0)", Mx)
    d = r = b - Mx
    rr, bb = dot(r, r), dot(b, b)
    scale, iterations = torch.where(bb > 0, bb, 1), torch.zeros(len(b), dtype=torch.long, device=b.device)
    active, trace = rr > tolerance**2 * bb, Trace(callback)
    for k in progress(range(steps + 1), disable=disable):
        trace(x, residual=(rr / scale).sqrt())
        if k == steps or not bool(active.any()):
            break
        q = apply(d)
        curvature = dot(d, q)
        if bool((active & ~(curvature > 0)).any()):
            raise ValueError("apply: expected a positive definite matrix M, got a direction d with ⟨d, M d⟩ <= 0")
        alpha = torch.where(active, rr / curvature, 0)
        x, r = x + column(alpha, x) * d, r - column(alpha, x) * q
        rr, previous = dot(r, r), rr
        d = r + column(torch.where(active, rr / previous, 0), x) * d
        iterations = iterations + active
        active = active & (rr > tolerance**2 * bb)
    return Result(x, trace.curves(), iterations + 1, iterations, ~active)
