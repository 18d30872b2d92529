"""Checks of notebook 09, plug and play."""

import math

from course_lib.lab.exercises import uniform
from course_lib.lab.exercises.checking import (
    call,
    chosen,
    close,
    compare,
    exercise,
    expect,
    number,
    several,
    tensor_like,
)
from course_lib.operators import Mask, random_mask
from course_lib.reconstruction import plug_and_play as pnp
from course_lib.regularizers import TV


def step_problem():
    """z, u, y [2, 1, 6, 8] in float64, a mask A, the denoiser of TV, s and ρ."""
    z, u, y = uniform(3, 2, 1, 6, 8)
    A = Mask(random_mask(6, 8, 0.4))
    return z, 0.3 * u, A(y), A, pnp.proximal(TV(iterations=50)), 0.4, 0.3


@exercise
def check_pnp_step(answer):
    """Right: the data step near z − u, the denoiser on x + u, and u keeps the difference of x and z."""
    z, u, y, A, f, s, rho = step_problem()
    value = call(answer, z, u, y, A, f, s, rho)
    several(value, 2, "return a pair: (z⁺, u⁺).")

    def step(start=1, into=1, order=1):
        x = A.prox(z - start * u, y, rho)
        new = f(x + into * u, s)
        return new, u + order * (x - new)

    right = step()
    for part, reference, name in zip(value, right, ("z⁺", "u⁺"), strict=True):
        tensor_like(part, reference, name)
    wrong = {
        "the data step stays near z − u, not z + u.": step(start=-1),
        "the data step stays near z − u, not z.": step(start=0),
        "the denoiser gets x⁺ + u, not x⁺ − u.": step(into=-1),
        "the denoiser gets x⁺ + u, not x⁺: u is its memory of what was not agreed on.": step(into=0),
        "u grows by x⁺ − z⁺, not by z⁺ − x⁺.": step(order=-1),
        "u⁺ = u + …: it is a running sum.": (right[0], right[1] - u),
        "u grows by x⁺ − z⁺ with the new z, not with the old one.": (right[0], u + A.prox(z - u, y, rho) - z),
        "first z⁺, then u⁺: the pair is the wrong way round.": right[::-1],
    }
    at = "u⁺ = u + x⁺ − z⁺." if close(value[0], right[0]) else "z⁺: x = A.prox(z - u, y, rho), then f(x + u, s)."
    compare(value, right, wrong, at)


@exercise
def check_pnp_strength(answer):
    """Right: prox_{(λ/ρ)φ} is the denoiser for noise of variance s² = λ/ρ, so λ = ρ s²."""
    for lam, rho in ((0.01, 0.25), (2.0, 0.5)):
        value, ratio = number(call(answer, lam, rho), "s"), lam / rho
        wrong = {
            "that is the variance s²; the denoiser is told the standard deviation.": ratio,
            "the other way round: a large ρ means small steps, hence little noise.": 1 / math.sqrt(ratio),
            "λ is divided by ρ, not multiplied.": math.sqrt(lam * rho),
            "the variance is λ/ρ, without a factor of 2: compare ½‖u − v‖²/s² + φ(u) with ρ/λ · ½‖u − v‖² + φ(u).": (
                math.sqrt(2 * ratio)
            ),
        }
        compare(value, math.sqrt(ratio), wrong, "write prox_{(λ/ρ)φ} as ½‖u − v‖² + s² φ(u): what is s?")


@exercise
def check_rescaled(answer):
    """Right: the factors cancel, (s/σ₀) f(σ₀x/s) = f(x). A bias-free network has no knob; it reads σ off the image."""
    hints = {
        "smoother": "write (s/σ₀) f(σ₀x/s) and pull the factor σ₀/s out of f. What is left of s?",
        "sharper": "write (s/σ₀) f(σ₀x/s) and pull the factor σ₀/s out of f. What is left of s?",
        "darker": "the image is scaled down before and up again behind the network. What is left of the two factors?",
    }
    chosen(answer, "same", hints)


@exercise
def check_averaged(answer):
    """Right: an eigenvalue μ becomes 1 − w(1 − μ). Averaging tames what is below −1, never what is above 1."""
    several(answer, 2, "give a pair: (smallest, largest).")
    low, high = number(answer[0], "the smallest"), number(answer[1], "the largest")
    expect(low <= high, f"the smallest, {low:g}, is above the largest, {high:g}.")
    wrong = {
        "the identity has a part in it: 1 − w of its eigenvalue, 1, not only w times those of f.": (-0.7, 0.55),
        "those are the eigenvalues of f itself.": (-1.4, 1.1),
        "the largest cannot fall to 1: the mean of 1 and 1.1 is above 1.": (-0.2, 1.0),
    }
    part, image = ("largest", "1.1") if close(low, -0.2, 1e-3) else ("smallest", "−1.4")
    hint = f"the {part}: for an eigenvector with f → {image}, the mean of x and {image} x."
    compare((low, high), (-0.2, 1.05), wrong, hint, 1e-3)
