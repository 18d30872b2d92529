"""Checks of the exercises in notebook 03."""

import torch

from course_lib.lab.exercises import normal
from course_lib.lab.exercises.checking import call, chosen, compare, exercise, expect, number, several


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
def check_rates(answer):
    """Right: 1/k wants 100 times the steps, 1/k² only 10 times."""
    several(answer, 2, "expected two numbers, (ISTA, FISTA).")
    ista, fista = number(answer[0], "ISTA's factor"), number(answer[1], "FISTA's factor")
    expect((ista, fista) != (10, 100), "the other way round: FISTA is the fast one.")
    expect(fista != 10000, "1/k² falls faster than 1/k: it needs fewer steps, not more.")
    expect(ista == 100, "ISTA's bound is C/k: for which k' is C/k' = C/(100 k)?")
    expect(fista == 10, "FISTA's bound is C/k²: for which k' is C/k'² = C/(100 k²)?")


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
