"""Checks of the exercises in notebook 00."""

import math

import torch

from course_lib.lab.exercises.checking import call, check, choice, close, expect, number, tensor_like
from course_lib.operators import Blur


@check
def check_inversion(answer):
    """Right: A⁻¹ multiplies the noise of the frequencies that the blur almost erased, until nothing else is left."""
    hints = {
        "sharp": "noise that is invisible in y need not stay so: what does A⁻¹ do at a frequency that A made 1000 times"
        " smaller?",
        "blurred": "A⁻¹ undoes the blur exactly, A⁻¹A x = x. Look at the other term, A⁻¹n.",
    }
    choice(answer, "noise", hints)


@check
def check_psnr(answer):
    """Right: −10 log₁₀ of the mean squared error."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.rand(1, 3, 8, 8, generator=generator, dtype=torch.float64)
    estimate = truth + 0.1 * torch.randn(1, 3, 8, 8, generator=generator, dtype=torch.float64)
    squares = (estimate - truth).square()
    right = -10 * math.log10(squares.mean().item())
    value = number(call(answer, estimate, truth), "the PSNR")
    expect(abs(value + right) > 1e-6, "the sign: a smaller error has to give a larger PSNR.")
    expect(abs(value + 10 * math.log10(squares.sum().item())) > 1e-6, "divide the sum of squares by N: take the mean.")
    expect(abs(value - right / 2) > 1e-6, "10, not 5 (or no square root of the mean): the error is already squared.")
    expect(abs(value - right * math.log(10)) > 1e-6, "the logarithm has base 10: torch.log10.")
    expect(abs(value - right) < 1e-6, f"for this test pair the PSNR is {right:.4f} dB, got {value:.4f}.")


@check
def check_first_step(answer):
    """Right: the gradient of ½‖A x − y‖² is Aᵀ(A x − y)."""
    generator = torch.Generator().manual_seed(0)
    kernel = torch.rand(3, 3, generator=generator, dtype=torch.float64)
    A = Blur(kernel / kernel.sum())
    x, y = torch.rand(2, 1, 1, 8, 8, generator=generator, dtype=torch.float64)
    right, value = A.T(A(x) - y), call(answer, x, y, A)
    tensor_like(value, right, "the gradient")
    expect(not close(value, -right), "the sign: Aᵀ(A x − y) points uphill, away from y.")
    expect(not close(value, A(x) - y), "that is the residual, in the space of y; Aᵀ brings it back to images.")
    expect(not close(value, A(A(x) - y)), "A again is not Aᵀ: use A.T. (This test's kernel is not symmetric.)")
    expect(not close(value, 2 * right), "the ½ cancels the 2 of the square.")
    expect(close(value, right), "differentiate ½⟨A x − y, A x − y⟩ with respect to x, along a direction d.")
