"""Checks of the exercises in notebook 14."""

import torch

from course_lib.lab.exercises import normal
from course_lib.lab.exercises.checking import call, chosen, compare, exercise


@exercise
def check_same_minimizers(answer):
    """Right: F(D(z)) is the function in (3), and every image is D of exactly one z; they share their minimizers."""
    hints = {
        "analysis": "analysis may choose any image, but so may synthesis: which images are D(z) for some z, if D is a"
        " bijection?",
        "synthesis": "the range of a bijection is the whole space. Compare both functions at x and z = E(x).",
    }
    chosen(answer, "same", hints)


@exercise
def check_step_in_z(answer):
    """Right: a gradient step in z moves the image by −τ J_D J_Dᵀ ∇F, to first order."""
    M = normal(4, 4)
    z, g = normal(2, 4, seed=1)

    def D(z):
        return torch.tanh(M @ z)

    J, tau = torch.autograd.functional.jacobian(D, z), 0.1
    right, value = -tau * J @ J.T @ g, call(answer, D, z, g, tau)
    wrong = {
        "the sign: descent goes against the gradient.": -right,
        "that is the step in z; push it to the image with J_D.": -tau * J.T @ g,
        "the order: first J_Dᵀ (vjp), then J_D (jvp).": -tau * J.T @ J @ g,
        "that is the step in x that analysis makes.": -tau * g,
        "the step length τ is missing.": right / tau,
    }
    compare(value, right, wrong, "v = J_Dᵀ g by vjp, then J_D v by jvp, times −τ.")


@exercise
def check_map_penalty(answer):
    """Right: −2 log p(x) = E(x)² − 2 log|E'(x)|, up to a constant."""
    x = torch.linspace(-2, 2, 9, dtype=torch.float64)

    def E(x):
        return 2 * x + torch.sin(3 * x)

    slope = 2 + 3 * torch.cos(3 * x)
    right, value = E(x) ** 2 - 2 * slope.abs().log(), call(answer, E, x)
    wrong = {
        "the sign: log|E'| is subtracted; stretching is likely.": E(x) ** 2 + 2 * slope.abs().log(),
        "twice the logarithm: the penalty is −2 log p, not −log p.": E(x) ** 2 - slope.abs().log(),
        "that is (4)'s penalty: the log-determinant, here log|E'(x)|, is missing.": E(x) ** 2,
    }
    compare(value, right, wrong, "E'(x) by autograd: grad of E(x).sum(), then abs, log.")
