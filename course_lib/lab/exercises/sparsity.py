"""Checks of the exercises in notebook 03."""

import torch

from course_lib import data, operators
from course_lib.lab.exercises import normal
from course_lib.lab.exercises.checking import (
    call,
    chosen,
    compare,
    exercise,
    expect,
    number,
    open_exercise,
    tensor_like,
)


@exercise
def check_soft_threshold(answer):
    """Right: the prox of τ|x| moves each value by τ towards 0, and stops there."""
    v, tau = torch.tensor([-3.0, -1.0, -0.4, 0.0, 0.3, 0.5, 2.0], dtype=torch.float64), 0.5
    right, value = v.sign() * (v.abs() - tau).clamp_min(0), call(answer, v, tau)
    wrong = {
        "that is a hard threshold: what survives is too large.": torch.where(v.abs() > tau, v, 0),
        "that is the prox of τ|x|₀, which counts; |x| also shrinks what survives.": (
            torch.where(v.abs() > (2 * tau) ** 0.5, v, 0)
        ),
        "small values cross 0 and change their sign; they should stop at 0.": v - tau * v.sign(),
        "right for positive values; what happens to negative ones?": (v - tau).clamp_min(0),
        "the sign is lost.": (v.abs() - tau).clamp_min(0),
        "that is the prox of τx²/2, which shrinks all and removes nothing.": v / (1 + tau),
    }
    compare(value, right, wrong, "for v > τ the derivative x − v + τ vanishes at x = v − τ. And for |v| <= τ?")


@exercise
def check_largest_lam(answer):
    """Right: at x = 0 the step of ISTA is a soft threshold of τAᵀy by τλ, and all of it is 0 where λ >= max |Aᵀy|."""
    A, y = operators.RandomProjections((1, 1, 9), 6, dtype=torch.float64), normal(1, 1, 1, 6, seed=1)
    back, value = A.T(y), call(answer, A, y)
    right = back.abs().max().item()
    expect(not torch.is_tensor(value) or value.numel() == 1, "one number: the λ from which on all values are 0.")
    wrong = {
        "a negative value of Aᵀy is cut, too: what decides is its size.": back.max().item(),
        "that is where the first value becomes 0; the last one counts.": back.abs().min().item(),
        "ask it of each value alone, not of the length of Aᵀy.": back.norm().item(),
        "the largest one decides, not the sum over all.": back.abs().sum().item(),
        "the gradient at 0 is −Aᵀy, not −y.": [y.abs().max().item(), y.norm().item()],
        "where does the step τ go? It stands on both sides.": [
            right / A.norm((1, 1, 1, 9)) ** 2,
            right * A.norm((1, 1, 1, 9)) ** 2,
        ],
    }
    compare(number(value, "λ"), right, wrong, "insert x = 0: soft(τAᵀy, τλ) = 0, in each place.")


@exercise
def check_group_threshold(answer):
    """Right: a group shrinks by τ in its norm, all its values by one factor, or goes as a whole."""
    v, tau = normal(5, 3), 1.0
    v[0], v[1] = 0, 0.2  # a group of zeros, and one that has to go
    norms = v.norm(dim=1, keepdim=True)
    right = v * torch.where(norms > tau, 1 - tau / norms, 0)
    value = call(answer, v, tau)
    expect(
        torch.is_tensor(value) and not bool(value.isnan().any()),
        "a group of zeros gives 0/0: clamp the norm from below, or treat it apart.",
    )
    columns = v.norm(dim=0, keepdim=True)
    wrong = {
        "that thresholds each value alone; use ‖v_g‖ instead.": v.sign() * (v.abs() - tau).clamp_min(0),
        "a group is a row: take the norm along dim=1.": v * (1 - tau / columns).clamp_min(0),
        "groups with ‖v_g‖ < τ change sign; their factor is 0.": v * (1 - tau / norms.clamp_min(1e-9)),
        "groups that survive have to shrink by τ as well.": torch.where(norms > tau, v, 0),
    }
    compare(value, right, wrong, "multiply row g by max(1 − τ/‖v_g‖, 0).")


@exercise
def check_frame(answer):
    """Right: synthesis searches among more coefficients than images have, analysis only among those of an image."""
    hints = {
        "same": "for an orthonormal W, yes. Now WWᵀ ≠ I: is every c the W x of some x?",
        "analysis": "put c = W x̂ into the synthesis problem: WᵀW x̂ = x̂. Which objective cannot be the larger one?",
    }
    chosen(answer, "synthesis", hints)


def hidden_signals():
    """(y, A, k, x): 40 signals of 50 values, k = 10 of them not 0, half normal, half ±1, and 25 measurements of each
    with orthonormal rows, in float64."""
    k, A = 10, operators.RandomProjections((1, 1, 50), 25, seed=5, dtype=torch.float64)
    A.matrix, A.gram_diagonal = torch.linalg.qr(A.matrix.T)[0].T.contiguous(), 1.0
    x = [data.sparse_signals(50, [k] * 20, kind, 5 + i, torch.float64) for i, kind in enumerate(("normal", "signs"))]
    x = torch.cat(x)[torch.randperm(40, generator=torch.Generator().manual_seed(5))]
    return A(x), A, k, x


@open_exercise(60, 70, 85, unit=" %")
def check_recovery(answer):
    """Of 40 signals with 10 of 50 values each; the l1 norm alone recovers 57.5 % of them."""
    y, A, k, truth = hidden_signals()
    with torch.no_grad():
        x = call(answer, y, A, k)
    tensor_like(x, truth)
    found = (x - truth).flatten(1).norm(dim=1) <= 0.01 * truth.flatten(1).norm(dim=1)
    return 100 * found.double().mean()
