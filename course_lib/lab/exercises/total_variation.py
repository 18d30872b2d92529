"""Checks of notebook 04, total variation."""

import torch

from course_lib.lab.exercises import normal, uniform
from course_lib.lab.exercises.checking import call, chosen, compare, exercise, several
from course_lib.regularizers import TV, gradient, gradient_adjoint


@exercise
def check_edge_price(answer):
    """Right: a jump over w steps of 1/w costs 1/(2w) in the squared norm, and 1 in the ℓ1 norm, however wide it is."""
    several(answer, 2, "give a pair: (½‖∇x‖², ‖∇x‖₁).")
    hints = {
        "same": "½‖∇x‖²: w differences of 1/w, each squared. Is w · (1/w)² independent of w?",
        "grows": "½‖∇x‖²: there are more differences, but each is smaller, and squaring makes small ones tiny.",
    }
    chosen(answer[0], "falls", hints)
    hints = {
        "falls": "‖∇x‖₁: w differences of 1/w, not squared. Add them up.",
        "grows": "‖∇x‖₁: there are more differences, and each is smaller in the same measure. Add them up.",
    }
    chosen(answer[1], "same", hints)


def dual_problem():
    """A field p outside of the ball, images v [2, 1, 5, 7] and τ [2], in float64."""
    v = uniform(2, 1, 5, 7)
    p = normal(2, 2, 1, 5, 7, seed=1)
    return p, v, torch.tensor([0.3, 0.9], dtype=torch.float64)


@exercise
def check_dual_step(answer):
    """Right: uphill by ∇x with x = v − ∇ᵀp, a step of 1/8, then back into the ball of radius τ."""
    tv, (p, v, tau) = TV(), dual_problem()

    def step(slope, size=8, radius=tau):
        return tv.project(p + slope / size, radius)

    slope, value = gradient(v - gradient_adjoint(p)), call(answer, p, v, tau, tv)
    wrong = {
        "that has the shape of an image; the new p is a field, [B, 2, C, H, W].": v,
        "the projection is missing: tv.project(p, tau).": p + slope / 8,
        "that goes downhill: p + ∇x/8, for a maximum.": step(-slope),
        "x is v − ∇ᵀp, not v + ∇ᵀp.": step(gradient(v + gradient_adjoint(p))),
        "∇ᵀp is missing: the slope is ∇(v − ∇ᵀp), not ∇v.": step(gradient(v)),
        "the step is 1/8, since ‖∇‖² ≤ 8: a step of 1 diverges.": step(slope, 1),
        "p is missing: the step starts where you are, at p.": tv.project(slope / 8, tau),
        "the radius of the ball is τ, not 1.": step(slope, radius=torch.ones_like(tau)),
    }
    compare(value, step(slope), wrong, "x = v − ∇ᵀp, then p + ∇x/8, then tv.project(…, tau).")


@exercise
def check_duality_gap(answer):
    """Right: the gap is τ TV(x) − ⟨∇x, p⟩ at x = v − ∇ᵀp, one number for each image, never negative."""
    tv, (p, v, tau) = TV(), dual_problem()
    p = tv.project(p, tau)
    x = v - gradient_adjoint(p)

    def sums(a):
        return a.flatten(1).sum(1)

    product = sums(gradient(x) * p)
    right, value = tau * tv(x) - product, call(answer, p, v, tau, tv)
    wrong = {
        "one number for each image: sum over all dims but the first.": right.sum(),
        "τ is missing in front of TV(x).": tv(x) - product,
        "τ multiplies TV(x) only: p already has norms up to τ.": tau * (tv(x) - product),
        "the sign of ⟨∇x, p⟩ is the other one: at the optimum the two terms cancel.": tau * tv(x) + product,
        "the other way round: τ TV(x) is the larger one.": -right,
        "insert x = v − ∇ᵀp, not v.": tau * tv(v) - sums(gradient(v) * p),
        "the second term is missing: ⟨∇x, p⟩.": tau * tv(x),
    }
    compare(value, right, wrong, "x = v − ∇ᵀp; tau * tv(x) minus the sum of ∇x times p over all dims but the first.")


@exercise
def check_rho(answer):
    """Right: ρ appears in the way, not in the problem. A bad ρ gives a bad image only because you stop too early."""
    hints = {
        "smoother": "more weight on ∇x ≈ z, not on φ: λ is what makes an image smoother. Does ρ occur in the problem?",
        "sharper": "ρ does not weigh the data against φ; λ does. At the end ∇x = z, and what is ρ/2 ‖∇x − z‖² then?",
        "depends": "the problem is convex, so there is no start or path to depend on. Does ρ occur in it?",
    }
    chosen(answer, "same", hints)
