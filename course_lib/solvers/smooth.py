"""Solvers for objectives with a gradient: Adam, L-BFGS, conjugate gradients."""

import torch

from course_lib.common import check, check_count, check_like, check_number, check_run, column, dot
from course_lib.solvers.base import evaluate, iterate, norm, replaced


def adam(objective, x0, steps=200, lr=0.01, callback=None, disable=True):
    """Adam (Kingma & Ba 2015, arXiv 1412.6980) on `objective(x)`, [B]. It works element by element, so no image of the
    batch influences another; it runs all its steps, and `converged` stays False. lr: how far an element moves in a
    step, at most about.
    """
    check_run(steps, 0, x0=x0)
    check_number("lr", lr, positive=True)
    moving = x0.detach().clone()
    optimizer = torch.optim.Adam([moving], lr=lr)

    def step(k, x, f, g, evaluations):
        moving.grad = g
        optimizer.step()
        f, g = evaluate(objective, moving)
        return {"x": moving.clone(), "f": f, "g": g, "evaluations": evaluations + 1}

    def curves(f, **_):
        return {"objective": f}

    f, g = evaluate(objective, moving)
    evaluations = torch.ones(len(x0), dtype=torch.long, device=x0.device)
    state = {"x": moving.clone(), "f": f, "g": g, "evaluations": evaluations}
    return iterate(step, state, curves, steps, callback=callback, disable=disable)


def lbfgs(objective, x0, steps=200, memory=10, tolerance=1e-5, initial_step=None, callback=None, disable=True):
    """L-BFGS (Nocedal 1980; Liu & Nocedal 1989) on `objective(x)`, [B], with a run of its own for each image: its
    curvature pairs, line search and end. No image waits for another: a step is one evaluation of f and its gradient, in
    which some images try a step length and others move on. Steps cost as much as those of Adam.

    Args:
        memory: curvature pairs (s, y) kept; a pair with too small sᵀy is left out.
        tolerance: an image is done, and frozen, once ‖∇f(x)‖ <= tolerance · ‖∇f(x0)‖. It ends too, with `converged`
            False, if no step along −∇f decreases f.
        initial_step: length of the first trial along −∇f, relative to ‖∇f‖; by default min(1, 1/‖∇f‖).

    Raises ValueError if f or ∇f is not finite at x0 (later, that is too long a step).
    """
    check_run(steps, tolerance, x0=x0)
    check_count("memory", memory, low=1)
    if initial_step is not None:
        check_number("initial_step", initial_step, positive=True)
    run = LBFGS(objective, x0, memory, tolerance, initial_step)

    def curves(f, **_):
        return {"objective": f}

    return iterate(run.step, run.start, curves, steps, done=run.start["converged"], callback=callback, disable=disable)


class LBFGS:
    """B runs of L-BFGS, one an image: `start` is their state, and `step(k, **state)` spends one evaluation.

    The state of an image is x, f and g = ∇f(x); its curvature pairs S and Y, [B, memory, ...], with ρ = 1/sᵀy, or 0 in
    an empty slot, and γ = sᵀy/yᵀy of the last; and its line search: from x along d, where f has the `slope` ∇fᵀd, it
    has `tried` so many t, and tries t next.

    The line search wants the weak Wolfe conditions, f(x + td) <= f + c₁ t ∇fᵀd and ∇f(x + td)ᵀd >= c₂ ∇fᵀd. Such a t is
    in [low, high], which shrinks by cubic interpolation from a step that is too long, and grows from one that is too
    short (Lewis & Overton 2013). Where f changes by its rounding error only, the slope decides (Hager & Zhang 2005).
    """

    c1, c2, trials = 1e-4, 0.9, 25

    def __init__(self, objective, x0, memory, tolerance, initial_step):
        self.objective, self.initial_step = objective, initial_step
        x = x0.detach().clone()
        f, g = evaluate(objective, x)
        bad = (~(f.isfinite() & g.flatten(1).isfinite().all(1))).nonzero()[:, 0].tolist()
        check(not bad, "x0", "a finite objective and gradient", f"NaN or infinity for images {bad}")
        self.goal = tolerance * norm(g)
        zero, count, pairs = torch.zeros_like(f), torch.zeros_like(f, dtype=torch.long), (len(x), memory)
        state = {"x": x, "f": f, "g": g, "converged": norm(g) <= self.goal, "iterations": count}
        state |= {"S": x.new_zeros(*pairs, *x.shape[1:]), "Y": x.new_zeros(*pairs, *x.shape[1:])}
        state |= {"rho": x.new_zeros(pairs), "gamma": torch.ones_like(f), "evaluations": count + 1}
        state |= dict.fromkeys(("t", "slope", "tried", "low", "high", "f_low", "slope_low"), zero)
        state["d"] = torch.zeros_like(x)
        self.start = replaced(state, ~state["converged"], self.new_search(state))

    def step(self, k, **state):
        """Try x + td. Where it is good enough, move there, and choose a new direction; elsewhere choose another t."""
        x, f, d, t, slope = (state[name] for name in ("x", "f", "d", "t", "slope"))
        trial = x + column(t, x) * d
        f_trial, g_trial = evaluate(self.objective, trial)
        slope_trial, tried = dot(g_trial, d), state["tried"] + 1
        falls = (f_trial < f) & (f_trial <= f + self.c1 * t * slope)
        level = f_trial <= f + 4 * torch.finfo(f.dtype).eps * f.abs()
        level = level & (slope_trial <= (2 * self.c1 - 1) * slope)
        finite = f_trial.isfinite() & g_trial.flatten(1).isfinite().all(1)
        short_enough, long_enough = finite & (falls | level), slope_trial >= self.c2 * slope
        last = tried > self.trials
        accept = short_enough & (long_enough | (last & falls))
        # Stuck: out of trials, or the step is lost in rounding. Without its memory an image may get on, along −∇f.
        stuck = (last & ~accept) | (accept & (trial == x).flatten(1).all(1))
        again = stuck & (state["rho"] != 0).any(1)
        converged = accept & (norm(g_trial) <= self.goal)
        done = (stuck & ~again) | converged

        state |= {"evaluations": state["evaluations"] + 1, "iterations": state["iterations"] + accept}
        state |= {"tried": tried, "converged": converged} | self.next_trial(state, short_enough, f_trial, slope_trial)
        state = self.remember(state, accept, trial - x, g_trial - state["g"])
        state = replaced(state, accept, {"x": trial, "f": f_trial, "g": g_trial})
        state = replaced(state, again, {"rho": 0.0})
        state = replaced(state, accept | again, self.new_search(state))
        return replaced(state, done, {"t": 0.0}) | {"done": done}

    def next_trial(self, state, short_enough, f_trial, slope_trial):
        """The line search after the trial t: t was too long and bounds the next one from above, or from below."""
        t, low, high, f_low, slope_low = (state[name] for name in ("t", "low", "high", "f_low", "slope_low"))
        width = t - low
        # Too long: to the minimum of the cubic with the values and slopes at both ends.
        s0, s1 = slope_low * width, slope_trial * width
        bend = s0 + s1 - 3 * (f_trial - f_low)
        root = (bend.square() - s0 * s1).sqrt()
        cubic = (1 - (s1 + root - bend) / (s1 - s0 + 2 * root)).nan_to_num(0.5).clamp(0.1, 0.5)
        shorter = low + cubic * width
        # Too short: to where the slope, a straight line, vanishes, or half the way to the upper bound.
        secant = torch.where(s1 > s0, 1 + width / t * s1 / (s0 - s1), 10.0).nan_to_num(2.0).clamp(2, 10)
        longer = torch.where(high.isinf(), secant * t, (t + high) / 2)
        bounds = {"low": low, "high": high, "f_low": f_low, "slope_low": slope_low}
        bounds = replaced(bounds, ~short_enough, {"high": t})
        bounds = replaced(bounds, short_enough, {"low": t, "f_low": f_trial, "slope_low": slope_trial})
        # Out of trials: the best step that is known to decrease f has to do.
        give_up = (state["tried"] >= self.trials) & (bounds["low"] > 0)
        return bounds | {"t": torch.where(give_up, bounds["low"], torch.where(short_enough, longer, shorter))}

    def remember(self, state, accept, s, y):
        """Keep the pair (s, y) of the images that made a step, in place of the oldest, where sᵀy is safely positive."""
        sy, info = dot(s, y), torch.finfo(s.dtype)
        kept = accept & (sy > info.tiny) & (sy > info.eps * norm(s) * norm(y))
        pairs = {"S": s, "Y": y, "rho": 1 / sy}
        new = {name: torch.cat([state[name][:, 1:], value[:, None]], 1) for name, value in pairs.items()}
        return replaced(state, kept, new | {"gamma": sy / dot(y, y)})

    def direction(self, state):
        """−H ∇f by the two-loop recursion; an empty slot has ρ = 0 and does nothing."""
        q, S, Y, rho, alphas = state["g"], state["S"], state["Y"], state["rho"], []
        pairs = [(S[:, i], Y[:, i], rho[:, i]) for i in range(S.shape[1])]
        for s, y, r in reversed(pairs):
            alphas.append(r * dot(s, q))
            q = q - column(alphas[-1], q) * y
        q = column(state["gamma"], q) * q
        for s, y, r in pairs:
            q = q + column(alphas.pop() - r * dot(y, q), q) * s
        return -q

    def new_search(self, state):
        """The start of a line search along −H ∇f, or along −∇f where there are no pairs, or no descent with them."""
        g, rho, d = state["g"], state["rho"], self.direction(state)
        rho = torch.where((dot(g, d) < 0)[:, None], rho, 0)
        first = (rho == 0).all(1)
        d = torch.where(column(first, d), -g, d)
        length = norm(g).reciprocal().clamp_max(1) if self.initial_step is None else self.initial_step
        t, slope = torch.where(first, length, 1.0).to(d), dot(g, d)
        search = {"rho": rho, "d": d, "t": t, "slope": slope, "slope_low": slope, "f_low": state["f"]}
        return search | {"low": 0.0, "high": torch.inf, "tried": 0.0}


@torch.no_grad()
def conjugate_gradient(apply, b, x0=None, steps=100, tolerance=1e-6, callback=None, disable=True):
    """x̂ = M⁻¹ b for symmetric positive definite M, given as `apply(x)` = M x (Hestenes & Stiefel 1952), each image with
    its own step lengths. The history holds `residual`, ‖b − M x‖ / ‖b‖.

    Args:
        b: right-hand sides, [B, ...]. x0: the start, by default 0.
        tolerance: an image is done, and frozen, once ‖b − M x‖ <= tolerance · ‖b‖.

    Raises ValueError if M is not positive definite.
    """
    check(callable(apply), "apply", "a function of x, M x", type(apply).__name__)
    check_run(steps, tolerance, b=b, x0=b if x0 is None else x0)
    x = torch.zeros_like(b) if x0 is None else x0
    check(x.shape == b.shape, "x0", f"the shape of b, {list(b.shape)}", x.shape)
    check_like("x0", x, b, "b")
    Mx = apply(x)
    check(Mx.shape == b.shape, "apply(x0)", f"the shape of b, {list(b.shape)}", Mx.shape)
    bb = dot(b, b)
    goal, scale = tolerance**2 * bb, torch.where(bb > 0, bb, 1)

    def step(k, x, r, d, rr, evaluations):
        q = apply(d)
        curvature = dot(d, q)
        if bool(((rr > goal) & ~(curvature > 0)).any()):
            raise ValueError("apply: expected a positive definite matrix M, got a direction d with ⟨d, M d⟩ <= 0")
        alpha = column(rr / curvature, x)
        x, r = x + alpha * d, r - alpha * q
        rr, previous = dot(r, r), rr
        d = r + column(rr / previous, x) * d
        return {"x": x, "r": r, "d": d, "rr": rr, "evaluations": evaluations + 1, "done": rr <= goal}

    def curves(rr, **_):
        return {"residual": (rr / scale).sqrt()}

    r = b - Mx
    state = {"x": x, "r": r, "d": r, "rr": dot(r, r), "evaluations": torch.ones_like(bb, dtype=torch.long)}
    return iterate(step, state, curves, steps, done=state["rr"] <= goal, callback=callback, disable=disable)
