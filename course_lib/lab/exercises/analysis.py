"""Checks of the exercises in notebook 14."""

import torch

from course_lib.lab.exercises.checking import call, check, choice, close, expect, tensor_like


@check
def check_same_minimizers(answer):
    """Right: F(D(z)) is the function in (3), and every image is D of exactly one z; they share their minimizers."""
    hints = {
        "analysis": "analysis may choose any image, but so may synthesis: which images are D(z) for some z, if D is a"
        " bijection?",
        "synthesis": "the range of a bijection is the whole space. Compare both functions at x and z = E(x).",
    }
    choice(answer, "same", hints)


@check
def check_step_in_z(answer):
    """Right: a gradient step in z moves the image by −τ J_D J_Dᵀ ∇F, to first order."""
    generator = torch.Generator().manual_seed(0)
    M = torch.randn(4, 4, generator=generator, dtype=torch.float64)
    z, g = torch.randn(2, 4, generator=generator, dtype=torch.float64)

    def D(z):
        return torch.tanh(M @ z)

    J, tau = torch.autograd.functional.jacobian(D, z), 0.1
    right, value = -tau * J @ J.T @ g, call(answer, D, z, g, tau)
    tensor_like(value, right, "the change of x")
    expect(not close(value, -right), "the sign: descent goes against the gradient.")
    expect(not close(value, -tau * J.T @ g), "that is the step in z; push it to the image with J_D.")
    expect(not close(value, -tau * J.T @ J @ g), "the order: first J_Dᵀ (vjp), then J_D (jvp).")
    expect(not close(value, -tau * g), "that is the step in x that analysis makes.")
    expect(not close(value, right / tau), "the step length τ is missing.")
    expect(close(value, right), "v = J_Dᵀ g by vjp, then J_D v by jvp, times −τ.")


@check
def check_map_penalty(answer):
    """Right: −2 log p(x) = E(x)² − 2 log|E'(x)|, up to a constant."""
    x = torch.linspace(-2, 2, 9, dtype=torch.float64)

    def E(x):
        return 2 * x + torch.sin(3 * x)

    slope = 2 + 3 * torch.cos(3 * x)
    right, value = E(x) ** 2 - 2 * slope.abs().log(), call(answer, E, x)
    tensor_like(value, right, "the penalty")
    value = value.detach()
    expect(
        not close(value, E(x) ** 2 + 2 * slope.abs().log()), "the sign: log|E'| is subtracted; stretching is likely."
    )
    expect(not close(value, E(x) ** 2 - slope.abs().log()), "twice the logarithm: the penalty is −2 log p, not −log p.")
    expect(not close(value, E(x) ** 2), "that is (4)'s penalty: the log-determinant, here log|E'(x)|, is missing.")
    expect(
        bool(value.isfinite().all()) and close(value, right), "E'(x) by autograd: grad of E(x).sum(), then abs, log."
    )
