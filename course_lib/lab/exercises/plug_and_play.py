"""Checks of notebook 09, plug and play."""

import functools
import math

import torch

from course_lib.data import observe
from course_lib.data.images import photograph_crops, to_float
from course_lib.lab.exercises import uniform
from course_lib.lab.exercises.checking import (
    call,
    chosen,
    close,
    compare,
    exercise,
    expect,
    number,
    open_exercise,
    several,
    tensor_like,
)
from course_lib.metrics import psnr
from course_lib.models import load_model
from course_lib.operators import Mask, random_mask
from course_lib.reconstruction import plug_and_play as pnp
from course_lib.regularizers import TV
from course_lib.solvers import primal_dual


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


def hqs_problem():
    """y [2, 1, 6, 8] in float64, a mask A, the denoiser of TV, σ, the start z, λ, and how many steps."""
    z, truth = uniform(2, 2, 1, 6, 8)
    A = Mask(random_mask(6, 8, 0.4))
    return A(truth), A, pnp.proximal(TV(iterations=50)), 0.05, z, 0.7, 4


@exercise
def check_hqs(answer):
    """Right: s_k falls by the same factor from step to step, and ρ_k = λσ²/s_k² rises with it; the last z is it."""
    y, A, f, sigma, z, lam, steps = hqs_problem()
    value = call(answer, y, A, f, sigma, z, lam, steps)
    falling = torch.logspace(math.log10(0.2), math.log10(sigma), steps, dtype=torch.float64).tolist()

    def loop(strengths=falling, rho=lambda s: lam * sigma**2 / s**2, told=lambda s: s, last="z"):
        z = hqs_problem()[4]
        for s in strengths:
            x = A.prox(z, y, rho(s))
            z = f(x, told(s))
        return z if last == "z" else x

    ratio = (sigma / 0.2) ** (1 / steps)
    wrong = {
        "geometrically, not linearly: s_{k+1}/s_k is the same at every step.": loop(
            torch.linspace(0.2, sigma, steps, dtype=torch.float64).tolist()
        ),
        "from 0.2 at the first step to σ at the last one: n steps have n − 1 ratios between them.": [
            loop([0.2 * ratio**k for k in range(steps)]),
            loop([0.2 * ratio ** (k + 1) for k in range(steps)]),
        ],
        "the strength falls: it begins at 0.2 and ends at σ.": loop(falling[::-1]),
        "s_k is a standard deviation, and the weight is ρ_k s_k²: mind the square.": [
            loop(rho=lambda s: lam * sigma**2 / s),
            loop(rho=lambda s: lam * sigma / s),
        ],
        "ρ_k = λσ²/s_k², not its inverse: where s_k is small, x has to stay near z.": loop(
            rho=lambda s: s**2 / (lam * sigma**2)
        ),
        "λ is missing in ρ_k.": loop(rho=lambda s: sigma**2 / s**2),
        "ρ_k changes from step to step: its product with s_k² does not.": [
            loop(rho=lambda s: lam), loop(rho=lambda s: lam * sigma**2 / 0.04), loop(rho=lambda s: lam * sigma**2)
        ],
        "the denoiser is told s_k, not σ.": loop(told=lambda s: sigma),
        "return z, what the denoiser gave last, not x.": loop(last="x"),
    }  # fmt: skip
    compare(value, loop(), wrong, "in each step: ρ_k from ρ_k s_k² = λσ², x = A.prox(z, y, ρ_k), z = f(x, s_k).")


@exercise
def check_hqs_rule(answer):
    """Right: σ/(2√ρ_k) = s_k/(2√λ), which is below s_k where λ > ¼: the same bound at every step, for every σ."""
    wrong = {
        "√λ > ½; what follows for λ?": 0.5,
        "the factor 2 of 2√ρ_k is lost on the way.": 1.0,
        "the other way round: divide s_k/(2√λ) < s_k by s_k, and solve for λ.": [2.0, 4.0],
    }
    compare(number(answer), 0.25, wrong, "put ρ_k = λσ²/s_k² into σ/(2√ρ_k): σ cancels. When is the rest below s_k?")


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
    """Right: an eigenvalue μ becomes 1 − w(1 − μ). Averaging lifts what is too low; what is above 1 stays above 1."""
    several(answer, 2, "give a pair: (the largest w, the largest eigenvalue then).")
    weight, largest = number(answer[0], "w"), number(answer[1], "the largest eigenvalue")
    right = (1 / 2.4, 1 + 0.1 / 2.4)
    expect(not close(weight, 1 / 1.4, 2e-3), "w: the identity has a part in it, 1 − w of its eigenvalue, 1.")
    low = 1 - 2.4 * weight
    expect(low > -5e-3, f"w: with it the eigenvalue −1.4 becomes {low:.2g}, still below 0.")
    expect(close(weight, right[0], 2e-3), f"w: a larger one will do; with yours −1.4 becomes {low:.2g}, not 0.")
    wrong = {
        "the largest cannot fall to 1: a mean of 1 and 1.1 is above 1.": 1.0,
        "the largest: that is the one of f itself.": 1.1,
        "the largest: the identity has a part in it, 1 − w of its eigenvalue, 1.": 1.1 / 2.4,
    }
    compare(largest, right[1], wrong, "the largest: for an eigenvector with f → 1.1, the mean of x and 1.1 x.", 1e-3)


CALLS = 16
"""How often a method of the open exercise may call the denoiser, for each photograph."""


@functools.lru_cache(1)
def hidden_photographs():
    """Truth [4, 3, 64, 64], y, A, σ of the open exercise, and the mean PSNR of total variation."""
    truth = to_float(photograph_crops("test", 4, seed=9))
    A, sigma = Mask(random_mask(64, 64, missing=0.8, generator=2)), 0.02
    y = observe(truth, A, sigma, range(4))
    return truth, y, A, sigma, psnr(primal_dual(y, A, TV(), 1e-3, steps=150).x.clamp(0, 1), truth).mean().item()


@open_exercise(1.5, 2.25, 2.4, unit=" dB above TV")
def check_few_calls(answer):
    """The start counts most; how much do fifteen more calls add to one?"""
    truth, y, A, sigma, tv = hidden_photographs()
    network, calls = load_model("dncnn"), 0

    def f(v, s):
        nonlocal calls
        calls += len(v)
        expect(calls <= CALLS * len(y), f"the denoiser was called more than {CALLS} times for each photograph.")
        return network(v, s)

    images = call(answer, y, A, f, sigma)
    tensor_like(images, truth, "the images")
    return psnr(images.clamp(0, 1), truth).mean().item() - tv
