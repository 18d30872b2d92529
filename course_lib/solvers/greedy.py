"""Greedy solvers for min ½‖A x − y‖² over the x with at most k values other than 0, each image with its own support."""

import torch

from course_lib.common import check, check_count, check_like, check_operator, check_run, column, dot, progress
from course_lib.solvers.base import Result, Trace, begin, check_step


def keep_largest(v, k):
    """The best k-sparse approximation of each image: its k largest values, by size, and 0 elsewhere. ValueError unless
    k is an integer from 1 to their number.
    """
    check(torch.is_tensor(v) and v.dim() > 1, "v", "a tensor [B, ...]", getattr(v, "shape", type(v).__name__))
    flat = v.flatten(1)
    check_count("k", k, low=1)
    check(k <= flat.shape[1], "k", f"at most {flat.shape[1]}, the values of an image", k)
    at = flat.abs().topk(k, dim=1).indices
    return torch.zeros_like(flat).scatter(1, at, flat.gather(1, at)).reshape(v.shape)


def iht(y, A, k, x0=None, step=None, steps=300, tolerance=1e-6, callback=None, disable=True):
    """A k-sparse x with small ½‖A x − y‖² by iterative hard thresholding (Blumensath & Davies 2009): with H_k keeping
    the k largest values,

        x⁺ = H_k(x + τ Aᵀ(y − A x)).

    The objective falls in every step, to a local minimum. By default τ is that of normalized IHT (Blumensath & Davies
    2010): the exact line search on the support of x, τ = ‖g_S‖²/‖A g_S‖², g = Aᵀ(y − A x), S the support (that of
    H_k(g) at x = 0); where the support changes, τ is halved until τ <= 0.99 ‖x⁺ − x‖²/‖A(x⁺ − x)‖².

    Args:
        A, y: operator with `A(x)`, `A.T(y)`, `A.norm(shape)`, and data [B, ...]. k: values kept, of all values of x.
        x0: the start, by default 0. step: a fixed τ <= 1/‖A‖² instead of the normalized one.
        tolerance: an image is done, and frozen, once ‖x⁺ − x‖ <= tolerance · ‖x⁺‖.

    The history has `objective`. Raises ValueError for a step larger than 1/‖A‖², for a y or x0 that is not finite or
    does not fit A, and for a k, steps or tolerance out of range.
    """
    check_run(steps, tolerance, A, y=y)
    x, _ = begin(A, y, x0)
    check_count("k", k, low=1)
    check(k <= x[0].numel(), "k", f"at most {x[0].numel()}, the values of an image", k)
    if step is not None:
        check_step(step, 1 / max(A.norm(x.shape) ** 2, torch.finfo(x.dtype).tiny), "1/‖A‖²")
    return iterate_iht(A, y, k, keep_largest(x, k), step, steps, tolerance, callback, disable)


@torch.no_grad()
def iterate_iht(A, y, k, x, step, steps, tolerance, callback, disable):
    """The iteration of `iht`."""
    Ax, trace = A(x), Trace(callback)
    active = torch.ones(len(x), dtype=torch.bool, device=x.device)
    iterations = evaluations = torch.zeros(len(x), dtype=torch.long, device=x.device)
    for i in progress(range(steps + 1), disable=disable):
        trace(x, objective=dot(Ax - y, Ax - y) / 2)
        if i == steps or not bool(active.any()):
            break
        new, Anew, work = hard_step(A, k, x, Ax, A.T(y - Ax), step)
        change = new - x
        x, Ax = (torch.where(column(active, a), b, a) for a, b in ((x, new), (Ax, Anew)))
        iterations, evaluations = iterations + active, evaluations + work * active
        active = active & (dot(change, change) > tolerance**2 * dot(x, x))
    return Result(x, trace.curves(), evaluations, iterations, ~active)


def hard_step(A, k, x, Ax, g, step):
    """(x⁺, A x⁺, products with A [B]) of one step of `iht`; an image whose τ is short enough keeps it."""
    work = torch.ones(len(x), dtype=torch.long, device=x.device)
    if step is not None:
        new = keep_largest(x + step * g, k)
        return new, A(new), work
    support = torch.where(column(dot(x, x) > 0, x), x, keep_largest(g, k)) != 0
    along = g * support
    tau = dot(along, along) / dot(A(along), A(along)).clamp_min(torch.finfo(x.dtype).tiny)
    for _ in range(60):
        new = keep_largest(x + column(tau, x) * g, k)
        Anew, work = A(new), work + 1
        change, moved = dot(new - x, new - x), dot(Anew - Ax, Anew - Ax)
        elsewhere = ((new != 0) != support).flatten(1).any(1)
        too_long = elsewhere & (tau * moved > 0.99 * change)
        if not bool(too_long.any()):
            break
        tau = torch.where(too_long, tau / 2, tau)
    return new, Anew, work


class Dictionary:
    """A matrix [m, n], its columns the atoms, as an operator from [B, n] to [B, m]."""

    def __init__(self, matrix):
        self.matrix = matrix

    def __call__(self, x):
        return x @ self.matrix.mT

    def T(self, y):
        return y @ self.matrix


def omp(y, A, k, tolerance=1e-6, callback=None, disable=True):
    """A k-sparse x with A x near y by orthogonal matching pursuit (Pati, Rezaiifar & Krishnaprasad 1993; Tropp &
    Gilbert 2007): with the residual r = y − A x, x = 0 at first, repeat

        j = argmax_j |⟨a_j, r⟩| / ‖a_j‖,    S ← S ∪ {j},    x = argmin ‖A x − y‖ over the x with support S,

    with a QR factorization of the chosen atoms that grows by a column a step. The images take their steps together,
    each with its own atoms: a step is one product with Aᵀ and one with A.

    Args:
        A: a dictionary, a float tensor [m, n] for y [B, m] and x [B, n]; or an operator with `A(x)` and `A.T(y)`, whose
            columns are then taken to have equal norms.
        y: data, [B, m] or [B, ...]. k: at most so many atoms.
        tolerance: an image is done once ‖r‖ <= tolerance · ‖y‖. It ends too, with `converged` False, after k atoms, or
            where its best atom is a combination of those that it has.

    The history has `residual`, ‖r‖/‖y‖. Raises ValueError for a y that is not finite or does not fit A, and for a k (at
    most the values of x and of y) or tolerance out of range.
    """
    check_run(0, tolerance, y=y)
    check_count("k", k, low=1)
    lengths = 1
    if not torch.is_tensor(A):
        check_operator("A", A)
    if torch.is_tensor(A):
        check(A.dim() == 2 and A.is_floating_point(), "A", "a float tensor [m, n], or an operator", A.shape)
        check(y.shape == (len(y), len(A)), "y", f"shape [B, {len(A)}]", y.shape)
        check_like("y", y, A, "A")
        lengths, A = torch.linalg.vector_norm(A, dim=0).clamp_min(torch.finfo(A.dtype).tiny), Dictionary(A)
    x, _ = begin(A, y, None)
    most = min(x[0].numel(), y[0].numel())
    check(k <= most, "k", f"at most {most}, the values of x or of y", k)
    return iterate_omp(A, y, k, x, lengths, tolerance, callback, disable)


@torch.no_grad()
def iterate_omp(A, y, k, x, lengths, tolerance, callback, disable):
    """The iteration of `omp`: A_S = Q R for each image; an unused slot has a zero column in Q, one of I in R."""
    B, n, flat = len(y), x[0].numel(), y.flatten(1)
    Q, R = y.new_zeros(B, flat.shape[1], k), torch.eye(k, dtype=y.dtype, device=y.device).repeat(B, 1, 1)
    chosen, atoms = torch.zeros(B, n, dtype=torch.bool, device=y.device), torch.zeros(B, k, 1).to(y.device).long()
    r, size, trace = flat, flat.norm(dim=1), Trace(callback)
    active, iterations = size > 0, torch.zeros(B, dtype=torch.long, device=y.device)
    for i in progress(range(k + 1), disable=disable):
        trace(x, residual=r.norm(dim=1) / torch.where(size > 0, size, 1))
        if i == k or not bool(active.any()):
            break
        match = A.T(r.reshape(y.shape)).flatten(1).abs() / lengths
        j = match.masked_fill(chosen, -1).argmax(1, keepdim=True)
        atom = A(torch.zeros_like(x).flatten(1).scatter(1, j, 1).reshape(x.shape)).flatten(1)[..., None]
        # Gram-Schmidt twice is enough for an orthogonal Q.
        first = Q.mT @ atom
        second = Q.mT @ (atom - Q @ first)
        rest = atom - Q @ (first + second)
        height = rest.norm(dim=1)[:, 0]
        active = active & (height > 1e-6 * atom.norm(dim=1)[:, 0])
        on = active[:, None]
        Q[:, :, i] = torch.where(on, rest[..., 0] / torch.where(active, height, 1)[:, None], 0)
        R[:, :i, i] = torch.where(on, (first + second)[:, :i, 0], 0)
        R[:, i, i] = torch.where(active, height, 1)
        chosen, atoms[:, i] = chosen | (on & (torch.arange(n, device=y.device) == j)), torch.where(on, j, atoms[:, i])
        r = r - Q[:, :, i] * (Q[:, :, i] * r).sum(1, keepdim=True)
        c = torch.linalg.solve_triangular(R, Q.mT @ flat[..., None], upper=True)
        # Added, not written: the unused slots point at atom 0, with coefficient 0.
        x = torch.zeros(B, n, dtype=y.dtype, device=y.device).scatter_add(1, atoms[..., 0], c[..., 0]).reshape(x.shape)
        iterations = iterations + active
        active = active & (r.norm(dim=1) > tolerance * size)
    return Result(x, trace.curves(), iterations, iterations.clone(), r.norm(dim=1) <= tolerance * size)
