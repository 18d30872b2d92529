"""Checks of the exercises: each tells whether an answer is right, and if not, what is wrong and what to try.

`check_…(answer)` prints one line and returns True or False; it never raises, so that a notebook with an unsolved task
still runs to its end. A blank answer is `...` or None, or a function that returns one of them.
"""

import functools
import math

import torch

from course_lib.operators import Blur

BLANK = (None, ...)


class Wrong(Exception):
    """A wrong answer; its text is what the student reads."""


def expect(condition, hint):
    """Raise `Wrong(hint)` unless the condition holds."""
    if not condition:
        raise Wrong(hint)


def check(function):
    """Turn a function that raises `Wrong` into a check that prints a line and returns whether the answer is right."""

    @functools.wraps(function)
    def checked(answer, *args, **kwargs):
        try:
            expect(not any(answer is blank for blank in BLANK), "not answered yet: replace the `...`.")
            function(answer, *args, **kwargs)
        except Wrong as wrong:
            print(f"✗ {wrong}")
            return False
        except Exception as error:
            print(f"✗ your code stopped with {type(error).__name__}: {error}")
            return False
        print(f"✓ {function.__doc__.splitlines()[0]}")
        return True

    return checked


def call(function, *args):
    """function(*args); `Wrong` where it is blank."""
    expect(callable(function), f"expected a function, got {type(function).__name__}.")
    value = function(*args)
    expect(not any(value is blank for blank in BLANK), "not answered yet: your function returns nothing.")
    return value


def number(answer, name="the answer"):
    """The answer as a float; `Wrong` where it is no finite number."""
    try:
        value = float(answer)
    except (TypeError, ValueError):
        raise Wrong(f"{name} should be one number, got {type(answer).__name__}.") from None
    expect(math.isfinite(value), f"{name} should be finite, got {value}.")
    return value


def choice(answer, right, hints):
    """`Wrong` unless the answer is `right`; `hints` maps each wrong option to what to think about."""
    answer = str(answer).strip().lower()
    expect(answer == right or answer in hints, f"choose one of {sorted([right, *hints])}, got {answer!r}.")
    expect(answer == right, hints.get(answer, ""))


def close(value, reference, tolerance=1e-5):
    """Whether two tensors agree, relative to the size of the reference."""
    return bool((value - reference).norm() <= tolerance * reference.norm().clamp_min(1e-12))


def tensor_like(value, reference, name="the result"):
    """`Wrong` unless value is a tensor of the reference's shape without NaN."""
    expect(torch.is_tensor(value), f"{name} should be a tensor, got {type(value).__name__}.")
    expect(
        value.shape == reference.shape, f"{name} should have shape {list(reference.shape)}, got {list(value.shape)}."
    )
    expect(bool(value.isfinite().all()), f"{name} holds NaN or infinity.")


# 00_start_here


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


# 14_analysis


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


# 12_glow


@check
def check_actnorm_logdet(answer):
    """Right: each of the H·W pixels of channel c is multiplied by s_c, so log|det J| = H·W · Σ log s_c."""
    log_s = torch.tensor([0.4, -1.1, 0.3], dtype=torch.float64)
    height, width = 5, 7
    right, value = 35 * log_s.sum().item(), number(call(answer, log_s, height, width), "the log-determinant")
    wrong = {
        log_s.sum().item(): "s_c multiplies every pixel of its channel, not one value: how many pixels are there?",
        35 * log_s.exp().sum().item(): "the sum of s_c; the logarithm of a product is the sum of the log s_c.",
        35 * log_s.exp().sum().log().item(): "a determinant is a product: take the logarithm first, then the sum.",
        35 * log_s.mean().item(): "sum over the channels, do not average: each channel adds its own factors.",
        math.exp(right): "that is |det J| itself; in an image it over- or underflows. Keep its logarithm.",
        -right: "the sign: y = s (x + b) stretches by s where s > 1, so log s counts with a plus.",
    }
    for mistake, hint in wrong.items():
        expect(abs(value - mistake) > 1e-6 * abs(mistake), hint)
    expect(abs(value - right) < 1e-4, f"for this test the log-determinant is {right:.3f}, got {value:.3f}.")


@check
def check_coupling_inverse(answer):
    """Right: a was copied, so the network can be asked again; then divide by s, and subtract t."""
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 2, 3, 4, 4, generator=generator, dtype=torch.float64)

    def net(a):
        return torch.cos(2 * a) + a.roll(1, 3), torch.tanh(a + 0.3)

    (t, log_s), x = net(a), torch.cat([a, b], 1)
    y_b = log_s.exp() * (b + t)
    value = call(answer, torch.cat([a, y_b], 1), net)
    expect(not (torch.is_tensor(value) and value.shape == b.shape), "return both halves: torch.cat([a, b], 1).")
    tensor_like(value, x, "x")
    expect(close(value[:, :3], a), "the first half was copied: x_a is y_a, as it came.")
    t_y, log_s_y = net(y_b)
    wrong = {
        "ask the network about a, the half that was copied; y_b is not what it saw.": y_b * (-log_s_y).exp() - t_y,
        "the order: undo the scale first, then the shift; (y_b − t) / s does it backwards.": (y_b - t) * (-log_s).exp(),
        "the scale is still there: divide by s = exp(log s), or multiply by exp(−log s).": y_b * log_s.exp() - t,
        "the sign of t: the coupling added it, so subtract it.": y_b * (-log_s).exp() + t,
        "the network returns log s, not s: take its exponential before you divide.": y_b / log_s - t,
        "only t is undone: y_b was also multiplied by s.": y_b - t,
        "only s is undone: t was also added.": y_b * (-log_s).exp(),
    }
    for hint, mistake in wrong.items():
        expect(not close(value[:, 3:], mistake), hint)
    expect(close(value, x), "solve y_b = s(a) (b + t(a)) for b, with (t, log s) = net(a).")


@check
def check_bits_per_dim(answer):
    """Right: −log₂ p / d, and log₂ 255 for the width of a grey level."""
    log_p, dim = torch.tensor([30.0, -12.0, 0.0], dtype=torch.float64), 12
    right, value = -log_p / (dim * math.log(2)) + math.log2(255), call(answer, log_p, dim)
    tensor_like(value, right, "the result")
    wrong = {
        "the sign: a larger log p has to give fewer bits.": log_p / (dim * math.log(2)) + math.log2(255),
        "that counts in nats: divide log p by log 2.": -log_p / dim + math.log2(255),
        "that counts in nats: divide log p by log 2; and the grey levels count log₂ 255.": -log_p / dim + math.log(255),
        "a density is no probability yet: a grey level is 1/255 wide, which adds log₂ 255.": -log_p / math.log(2) / dim,
        "the sign of log₂ 255: a narrower grey level has a smaller probability, hence more bits.": right
        - 2 * math.log2(255),
        "divide by d: bits for each value, not for the image.": -log_p / math.log(2) + math.log2(255),
        "divide only log p by d: every value has its own grey level, of width 1/255.": (
            -log_p / math.log(2) + math.log2(255)
        )
        / dim,
        "256 levels have 255 steps between 0 and 1: the width is 1/255.": right + math.log2(256 / 255),
    }
    for hint, mistake in wrong.items():
        expect(not close(value, mistake, 1e-6), hint)
    expect(close(value, right), f"for log p = 30 and d = 12 it is {right[0]:.3f} bits, got {value[0]:.3f}.")


@check
def check_most_likely(answer):
    """Right: a grey square is the easiest to predict from its parts, and the density is about nothing else."""
    hints = {
        "face": "faces were what the model saw. But what it learned best holds for all images: neighbours are alike.",
        "sample": "a sample is typical, not most probable: it carries the grain that the model learned.",
        "moon": "close: it is smooth. Is another one smoother still?",
        "noise": "nothing in it can be predicted from the rest: that takes the most bits, not the fewest.",
    }
    choice(answer, "constant", hints)
