"""What all solvers share: their `Result`, the trace of a run, and a gradient by autograd."""

from dataclasses import dataclass

import torch


@dataclass
class Result:
    """What every solver returns: the estimates x [B, ...] and how it went. A curve of `history` is a tensor [k + 1, B],
    its row i that of the iterate after i steps. An image moved `iterations` times, [B], used the objective, the prox or
    the matrix `evaluations` times, [B], and met the tolerance if `converged`, [B].
    """

    x: torch.Tensor
    history: dict
    iterations: torch.Tensor
    evaluations: torch.Tensor
    converged: torch.Tensor


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
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        f = objective(x.reshape(shape))
        if getattr(f, "shape", None) != (len(x),):
            given = list(getattr(f, "shape", [type(f).__name__]))
            raise ValueError(f"objective: expected one value for each image, shape [{len(x)}], got {given}")
        (g,) = torch.autograd.grad(f.sum(), x)
    return f.detach().to(x.dtype), g
