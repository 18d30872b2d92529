"""Greedy solvers for min ½‖A x − y‖² over the x with at most k values other than 0, each image with its own support."""

import torch

from course_lib.common import check, check_batch, check_count, check_like, column, dot
from course_lib.solvers.base import check_step, data_fit, is_small, iterate, norm, prepare, replaced, squared_norm


def keep_largest(v, k):
    """The best k-sparse approximation of each image: its k largest values, by size, and 0 elsewhere."""
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

    The history has `objective`. Raises ValueError for a step larger than 1/‖A‖².
    """
    x, _, _ = prepare(y, A, 0, x0, steps, tolerance)
    x = keep_largest(x, k)
    check_step(step, 1 / squared_norm(A, x), "1/‖A‖²")

    def threshold(i, x, Ax, evaluations):
        new, Anew, work = hard_step(A, k, x, Ax, A.T(y - Ax), step)
        done = is_small(new - x, new, tolerance)
        return {"x": new, "Ax": Anew, "evaluations": evaluations + work, "done": done}

    def curves(x, Ax, **_):
        return {"objective": data_fit(Ax, y)}

    state = {"x": x, "Ax": A(x), "evaluations": torch.zeros(len(x), dtype=torch.long, device=x.device)}
    return iterate(threshold, state, curves, steps, callback=callback, disable=disable)


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

    The history has `residual`, ‖r‖/‖y‖.
    """
    check_batch("y", y)
    check_count("k", k, low=1)
    lengths = 1
    if torch.is_tensor(A):
        check(A.dim() == 2 and A.is_floating_point(), "A", "a float tensor [m, n], or an operator", A.shape)
        check(y.shape == (len(y), len(A)), "y", f"shape [B, {len(A)}]", y.shape)
        check_like("y", y, A, "A")
        lengths, A = torch.linalg.vector_norm(A, dim=0).clamp_min(torch.finfo(A.dtype).tiny), Dictionary(A)
    x, _, _ = prepare(y, A, 0, None, 0, tolerance)
    most = min(x[0].numel(), y[0].numel())
    check(k <= most, "k", f"at most {most}, the values of x or of y", k)
    # A_S = Q R, with the atoms S that an image has chosen. The images that go on have all chosen as many: i in step i.
    Q, R = y.new_zeros(len(y), y[0].numel(), k), y.new_zeros(len(y), k, k)
    S = torch.zeros(len(y), k, dtype=torch.long, device=y.device)
    size = norm(y)

    def choose(i, x, r, iterations, converged):
        match = A.T(r).flatten(1).abs() / lengths
        j = match.scatter(1, S[:, :i], -1).argmax(1, keepdim=True)
        atom = A(torch.zeros_like(x).flatten(1).scatter(1, j, 1).reshape(x.shape)).flatten(1)
        rest, c = orthogonal_part(atom, Q[:, :, :i])
        height = norm(rest)
        S[:, i], Q[:, :, i], R[:, :i, i], R[:, i, i] = j[:, 0], rest / height[:, None], c, height
        # r loses its part along the new column; on S, x solves R x_S = Qᵀy.
        q, Qy = Q[:, :, i], Q[:, :, : i + 1].mT @ y.flatten(1)[..., None]
        r_new = r - (q * dot(q, r.flatten(1))[:, None]).reshape(r.shape)
        x_S = torch.linalg.solve_triangular(R[:, : i + 1, : i + 1], Qy, upper=True)[..., 0]
        x_new = torch.zeros_like(x).flatten(1).scatter(1, S[:, : i + 1], x_S).reshape(x.shape)
        fits, grows = norm(r_new) <= tolerance * size, height > 1e-6 * norm(atom)
        new = {"x": x_new, "r": r_new, "iterations": iterations + 1, "converged": fits}
        old = {"x": x, "r": r, "iterations": iterations, "converged": converged}
        return replaced(old, grows, new) | {"done": fits | ~grows}

    def curves(r, **_):
        return {"residual": norm(r) / torch.where(size > 0, size, 1)}

    state = {"x": x, "r": y, "iterations": torch.zeros_like(S[:, 0]), "converged": size <= tolerance * size}
    return iterate(choose, state, curves, k, done=state["converged"], callback=callback, disable=disable)


def orthogonal_part(atom, Q):
    """(a − Q c, c = Qᵀa) for atoms a [B, m] and orthonormal columns Q [B, m, i]: Gram-Schmidt, twice for precision."""
    first = Q.mT @ atom[..., None]
    second = Q.mT @ (atom[..., None] - Q @ first)
    c = first + second
    return atom - (Q @ c)[..., 0], c[..., 0]
