"""What all solvers share: their `Result`, the driver of their steps, the checks of a start, a gradient by autograd.

An algorithm is a start and a step. The start is a state: a dict of tensors with an entry for each of the B images, one
of them the estimate. `step(k, **state)` returns new values for some of them, and `iterate` does the rest.
"""

from dataclasses import dataclass

import torch

from course_lib.common import (
    check,
    check_batch,
    check_like,
    check_number,
    check_run,
    column,
    dot,
    one_per_image,
    progress,
)


@dataclass
class Result:
    """What everything that solves returns.

    Args:
        x: x̂, the estimates [B, ...], not clipped. z: ẑ, the latents [B, D], where there is an encoder, else None.
        history: curves [k + 1, B]; row i is that of the iterate after i steps.
        evaluations: how often the objective, the prox, the matrix or the denoiser was used for each image, [B].
        iterations: how often each image moved, [B]. converged: whether it met the tolerance, [B].
    """

    x: torch.Tensor
    history: dict
    evaluations: torch.Tensor
    iterations: torch.Tensor | None = None
    converged: torch.Tensor | None = None
    z: torch.Tensor | None = None


def replaced(state, images, new):
    """The state with the `new` values for those images for which `images` [B] is true."""
    changed = {name: torch.where(column(images, state[name]), value, state[name]) for name, value in new.items()}
    return state | changed


def states(step, state, steps, done=None):
    """Yield the state at the start and after each step, until all images are done, with two more entries: `done`, [B],
    and `moves`, the steps that each image has made, [B].

    Args:
        step: (k, **state) → new values for some entries of the state, for the whole batch, and perhaps for `done`: the
            images that need no further step. They keep their state from then on, whatever the others do.
        state: {name: tensor with an entry for each image}. steps: at most so many. done: images done at the start.
    """
    batch = next(iter(state.values()))
    done = torch.zeros(len(batch), dtype=torch.bool, device=batch.device) if done is None else done
    moves = torch.zeros_like(done, dtype=torch.long)
    yield state | {"done": done, "moves": moves}
    for k in range(steps):
        if bool(done.all()):
            return
        new = {"done": done} | step(k, **state)
        moves, finished = moves + ~done, done | new.pop("done")
        state, done = replaced(state, ~done, new), finished
        yield state | {"done": done, "moves": moves}


@torch.no_grad()
def iterate(step, state, curves, steps, *, estimate="x", latent=None, done=None, callback=None, disable=True):
    """The `Result` of an algorithm: run its `states`, record a row of the history for each, tell the callback.

    Args:
        step, state, steps, done: as for `states`. A state may count for itself: its entries `evaluations`, `iterations`
            and `converged` are those of the result. Otherwise every step counts, and who is done has converged.
        curves: (**state) → a row of the history, {name: values [B]}.
        estimate, latent: the names of the entries that are x and z of the result.
        callback: see `course_lib.solvers`. disable: no progress bar.
    """
    rows = []
    run = progress(states(step, state, steps, done), total=steps + 1, disable=disable)
    for k, state in enumerate(run):
        row = curves(**state)
        told = None if callback is None else callback(k, state[estimate].clone())
        rows.append(row | told if isinstance(told, dict) else row)
    history = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
    moves, done = state["moves"], state["done"]
    counts = state.get("evaluations", moves.clone()), state.get("iterations", moves), state.get("converged", done)
    return Result(state[estimate], history, *counts, z=None if latent is None else state[latent])


def evaluate(objective, x):
    """(f, ∇f) at x: [B], and the shape of x. By autograd of the sum: image b touches f_b alone."""
    check(callable(objective), "objective", "a function f(x), [B]", type(objective).__name__)
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        f = objective(x)
        given = list(getattr(f, "shape", [type(f).__name__]))
        check(given == [len(x)], "objective", f"one value for each image, shape [{len(x)}]", given)
        check(f.requires_grad, "objective", "a differentiable function of x", "one without a gradient")
        (g,) = torch.autograd.grad(f.sum(), x)
    return f.detach().to(x.dtype), g


def squared_norm(A, x):
    """‖A‖² for images like x, positive: one may divide by it."""
    return max(A.norm(x.shape) ** 2, torch.finfo(x.dtype).tiny)


def zero(y, A):
    """0, a start."""
    return torch.zeros_like(A.T(y))


def back_projection(y, A):
    """Aᵀy/‖A‖², a start that costs nearly nothing."""
    x = A.T(y)
    return x / squared_norm(A, x)


def prepare(y, A, lam, x0, steps, tolerance, default=zero, rank=None):
    """(x, A x, λ [B]) with which an algorithm starts, at x0 or by default at default(y, A). The one check of a problem:
    ValueError for what can't be right; `rank` is the number of dimensions of x, if it matters."""
    check_run(steps, tolerance, A, y=y)
    x = default(y, A) if x0 is None else x0
    check_batch("x0", x, rank)
    check_like("x0", x, y, "y")
    Ax = A(x)
    check(Ax.shape == y.shape, "y", f"the shape of A(x0), {list(Ax.shape)}", y.shape)
    return x, Ax, one_per_image("lam", lam, x)


def check_step(step, largest, rule, strict=False):
    """Raise ValueError unless a step that is given is in (0, largest], or (0, largest) if strict; the bound is named by
    its `rule`. An estimate of ‖A‖ that moves with the rounding must not forbid what it allowed before: 1e-6 of slack.
    """
    if step is None:
        return
    check_number("step", step, positive=True)
    fits = step < largest if strict else step <= largest * (1 + 1e-6)
    check(fits, "step", f"{'less than' if strict else 'at most'} {rule} = {largest:.6g}", f"{step:.6g}")


def data_fit(Ax, y):
    """½‖A x − y‖² of each image, [B]."""
    return dot(Ax - y, Ax - y) / 2


def norm(v):
    """‖v‖ of each image, [B]."""
    return v.flatten(1).norm(dim=1)


def is_small(change, x, tolerance):
    """Whether ‖change‖ <= tolerance · ‖x‖, [B]."""
    return dot(change, change) <= tolerance**2 * dot(x, x)
