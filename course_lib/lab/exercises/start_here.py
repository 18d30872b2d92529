"""Checks of the exercises in notebook 00."""

import math

from course_lib.lab.exercises import normal, uniform
from course_lib.lab.exercises.checking import call, chosen, compare, exercise, number
from course_lib.operators import Blur


@exercise
def check_inversion(answer):
    """Right: A⁻¹ multiplies the noise of the frequencies that the blur almost erased, until nothing else is left."""
    hints = {
        "sharp": "noise that is invisible in y need not stay so: what does A⁻¹ do at a frequency that A made 1000 times"
        " smaller?",
        "blurred": "A⁻¹ undoes the blur exactly, A⁻¹A x = x. Look at the other term, A⁻¹n.",
    }
    chosen(answer, "noise", hints)


@exercise
def check_psnr(answer):
    """Right: −10 log₁₀ of the mean squared error."""
    truth = uniform(1, 3, 8, 8)
    estimate = truth + 0.1 * normal(1, 3, 8, 8, seed=1)
    squares = (estimate - truth).square()
    right = -10 * math.log10(squares.mean().item())
    value = number(call(answer, estimate, truth), "the PSNR")
    wrong = {
        "the sign: a smaller error has to give a larger PSNR.": -right,
        "divide the sum of squares by N: take the mean.": -10 * squares.sum().log10(),
        "10, not 5 (or no square root of the mean): the error is already squared.": right / 2,
        "the logarithm has base 10: torch.log10.": right * math.log(10),
    }
    compare(value, right, wrong, f"for this test pair the PSNR is {right:.4f} dB, got {value:.4f}.")


@exercise
def check_first_step(answer):
    """Right: the gradient of ½‖A x − y‖² is Aᵀ(A x − y)."""
    kernel = uniform(3, 3)
    A = Blur(kernel / kernel.sum())
    x, y = uniform(2, 1, 1, 8, 8, seed=1)
    right, value = A.T(A(x) - y), call(answer, x, y, A)
    wrong = {
        "the sign: Aᵀ(A x − y) points uphill, away from y.": -right,
        "that is the residual, in the space of y; Aᵀ brings it back to images.": A(x) - y,
        "A again is not Aᵀ: use A.T. (This test's kernel is not symmetric.)": A(A(x) - y),
        "the ½ cancels the 2 of the square.": 2 * right,
    }
    compare(value, right, wrong, "differentiate ½⟨A x − y, A x − y⟩ with respect to x, along a direction d.")
