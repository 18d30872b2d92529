"""What all solvers share: their `Result`, the trace of a run, checks of start and step, a gradient by autograd."""

from dataclasses import dataclass

import torch

from course_lib.common import check, check_batch, check_like, check_number


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


class Trace:
    """The curves of a run: `trace(x, objective=f)` adds a row and tells the callback, `curves()` is the history."""

    def __init__(self, callback):
        self.callback, self.rows = callback, []

    def __call__(self, x, **values):
        if self.callback is not None:
            self.callback(len(self.rows), x.clone())
        self.rows.append(values)

    def curves(self):
        return {name: torch.stack([row[name] for row in self.rows]) for name in self.rows[0]}


def evaluate(objective, x, shape):
    """(f, ∇f) of x, seen in `shape`: [B], and the shape of x. By autograd of the sum: image b touches f_b alone."""
    check(callable(objective), "objective", "a function f(x), [B]", type(objective).__name__)
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        f = objective(x.reshape(shape))
        if getattr(f, "shape", None) != (len(x),):
            given = list(getattr(f, "shape", [type(f).__name__]))
            raise ValueError(f"objective: expected one value for each image, shape [{len(x)}], got {given}")
        check(f.requires_grad, "objective", "a differentiable function of x", "one without a gradient")
        (g,) = torch.autograd.grad(f.sum(), x)
    return f.detach().to(x.dtype), g


def begin(A, y, x0):
    """(x, A x) at the start x0, by default 0 of the shape of Aᵀy. ValueError unless A x has the shape of y."""
    x = torch.zeros_like(A.T(y)) if x0 is None else x0
    check_batch("x0", x)
    check_like("x0", x, y, "y")
    Ax = A(x)
    check(Ax.shape == y.shape, "y", f"the shape of A(x0), {list(Ax.shape)}", y.shape)
    return x, Ax


def check_step(step, largest, rule, strict=False):
    """Raise ValueError unless 0 < step <= largest (< if strict), which is named by its `rule`. An estimate of ‖A‖ that
    moves with the rounding must not forbid the step that it allowed before: 1e-6 of slack.
    """
    check_number("step", step, positive=True)
    fits = step < largest if strict else step <= largest * (1 + 1e-6)
    check(fits, "step", f"{'less than' if strict else 'at most'} {rule} = {largest:.6g}", f"{step:.6g}")
