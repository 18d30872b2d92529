"""Checks of the exercises in notebook 02."""

import itertools

import torch

from course_lib.data import photograph
from course_lib.lab.exercises import normal, uniform
from course_lib.lab.exercises.checking import call, chosen, compare, exercise, expect, number, open_exercise, several
from course_lib.metrics import psnr
from course_lib.operators import Blur, gaussian_kernel


@exercise
def check_limits(answer):
    """Right: λ → 0 trusts the data alone, noise and all; λ → ∞ trusts φ alone, and ‖∇x‖ = 0 leaves the mean grey."""
    several(answer, 2, "give a pair: (for λ → 0, for λ → ∞).")
    hints = {
        "observation": "λ → 0: is A y close to y? The data term is 0 for an image that explains y, not for y itself.",
        "grey": "λ → 0: a grey image has φ = 0, but φ no longer counts. Which image makes the data term smallest?",
        "black": "λ → 0: a black image does not explain y at all, and the data term is all that counts.",
    }
    chosen(answer[0], "noise", hints)
    hints = {
        "noise": "λ → ∞: noise has a large gradient at every pixel, and ∇x is all that counts.",
        "observation": "λ → ∞: y is smoother than x, but ‖∇y‖ is not 0. Which images have ‖∇x‖ = 0?",
        "black": "λ → ∞: that is right for φ = ½‖x‖². Here a grey image has φ = 0 too; which grey do the data prefer?",
    }
    chosen(answer[1], "grey", hints)


@exercise
def check_tikhonov(answer):
    """Right: each frequency by itself, x̂ = k̄ ŷ / (|k|² + λ q)."""
    lam = 0.1
    y, kernel = uniform(2, 1, 1, 6, 9)
    k = torch.fft.rfft2(kernel / kernel.sum())
    q = 0.5 + uniform(*k.shape, seed=1)
    Y, power = torch.fft.rfft2(y), k.abs().square()

    def image(spectrum):
        return torch.fft.irfft2(spectrum, s=y.shape[-2:])

    right, value = image(k.conj() * Y / (power + lam * q)), call(answer, y, k, q, lam)
    expect(not (torch.is_tensor(value) and value.is_complex()), "that is the spectrum; go back with torch.fft.irfft2.")
    wrong = {
        "Aᵀ does not multiply by k: what does a transpose do to a complex eigenvalue?": k * Y / (power + lam * q),
        "q is missing: λ multiplies the spectrum of ∇ᵀ∇, not 1.": k.conj() * Y / (power + lam),
        "λ is missing in front of q.": k.conj() * Y / (power + q),
        "AᵀA is |k|², not |k|.": k.conj() * Y / (k.abs() + lam * q),
        "AᵀA is |k|², not k² (k is complex).": k.conj() * Y / (k * k + lam * q),
        "that is the plain inversion y/k, as if λ were 0.": Y / k,
        "the right-hand side is Aᵀy, so the numerator is k̄ ŷ.": Y / (power + lam * q),
    }
    wrong = {hint: image(spectrum) for hint, spectrum in wrong.items()}
    wrong["rfft2 does not remember whether the width was odd: irfft2(…, s=y.shape[-2:])."] = right[..., :-1]
    hint = "one equation for each frequency: the eigenvalue of AᵀA + λ∇ᵀ∇ times x̂'s unknown is that of Aᵀ times y's."
    compare(value, right, wrong, hint)


@exercise
def check_divergence(answer):
    """Right: the trace is the sum of the eigenvalues of y ↦ A x̂, Σ |k|² / (|k|² + λ q), over all frequencies."""
    k = torch.fft.fft2(uniform(6, 9))
    k, q, lam = k / k[0, 0], 0.5 + uniform(6, 9, seed=1), 0.1
    power = k.abs().square()
    right, value = (power / (power + lam * q)).sum(), call(answer, k, q, lam)
    wrong = {
        "a trace sums the eigenvalues; it does not average them.": right / k.numel(),
        "that is the divergence of x̂. SURE asks for that of A x̂: A comes on top.": [
            (k.conj() / (power + lam * q)).sum().real,
            (k.abs() / (power + lam * q)).sum(),
        ],
        "that is what is missing of m. Count what the estimate follows, not what it leaves.": k.numel() - right,
        "those are the squares of the eigenvalues; the trace sums the eigenvalues themselves.": (
            (power / (power + lam * q)).square().sum()
        ),
        "q is missing: λ multiplies the spectrum of ∇ᵀ∇.": (power / (power + lam)).sum(),
        "AᵀA is |k|², not |k|.": (k.abs() / (k.abs() + lam * q)).sum(),
    }
    value = value.real if torch.is_tensor(value) and value.is_complex() else value
    hint = "y ↦ A x̂ multiplies each frequency by k · k̄ / (|k|² + λ q); the trace is the sum of these numbers."
    compare(number(value, "the divergence"), right.item(), wrong, hint)


LAMS = torch.logspace(-5, 1, 31, dtype=torch.float64)
"""The λ that the rules of `check_rule` may choose from, though they need not."""


def deblurring_problems(names, seed):
    """Problems to choose λ for, each (x, y, A, solve, phi, sigma): photographs of 64×64 pixels, blurred by Gaussians of
    1 or 1.5 pixels, with noise of σ = 0.01 and 0.04, and each with φ = ½‖∇x‖² and ½‖x‖². `solve(y, lam)` gives the
    minimizer, for one λ or for one an image."""
    point = torch.zeros(1, 1, 64, 64, dtype=torch.float64)
    point[..., 0, 0] = 1
    waves = 4 * point - sum(point.roll(shift, axis) for shift in (-1, 1) for axis in (2, 3))
    for i, name in enumerate(names):
        x = photograph(name)[:, :1].double()
        A = Blur(gaussian_kernel(1 + i % 2 / 2, dtype=x.dtype))
        k = torch.fft.rfft2(A(point))
        for j, (sigma, q) in enumerate(
            itertools.product((0.01, 0.04), (torch.fft.rfft2(waves).real, k.new_ones(1).real))
        ):

            def solve(y, lam, k=k, q=q):
                lam = torch.as_tensor(lam).to(y).reshape(-1, 1, 1, 1)
                return torch.fft.irfft2(k.conj() * torch.fft.rfft2(y) / (k.abs() ** 2 + lam * q), s=y.shape[-2:])

            def phi(x, q=q):
                return 0.5 * (x * torch.fft.irfft2(q * torch.fft.rfft2(x), s=x.shape[-2:])).sum((1, 2, 3))

            yield x, A(x) + sigma * normal(*x.shape, seed=seed + 10 * i + j), A, solve, phi, sigma


def mean_loss(rule, problems):
    """How far the λ of a rule stays behind the best λ, in dB of PSNR, on average over problems."""
    losses = []
    for x, y, A, solve, phi, sigma in problems:
        lam = number(call(rule, y, A, solve, phi, sigma), "λ")
        expect(lam > 0, f"λ should be positive, got {lam}.")
        lams = torch.cat([LAMS, LAMS.new_tensor([lam])])
        x, copies = (u.expand(len(lams), -1, -1, -1) for u in (x, y))
        scores = psnr(solve(copies, lams).clamp(0, 1), x)
        losses.append((scores.max() - scores[-1]).item())
    return sum(losses) / len(losses)


def practice(rule):
    """The mean loss (dB) of a rule on four photographs that its check does not use, about as hard as those it does."""
    return mean_loss(rule, deblurring_problems(("camera", "retina", "coffee", "astronaut"), seed=0))


@open_exercise(0.4, 0.3, 0.22, unit=" dB lost")
def check_rule(answer):
    """The three classical rules lose 0.4 dB (discrepancy), 1.5 dB (SURE) and 4 dB (L-curve) on the same problems."""
    expect(callable(answer), f"expected a function, got {type(answer).__name__}.")
    return mean_loss(answer, deblurring_problems(("cat", "brick", "moon", "rocket"), seed=100))


@exercise
def check_map_lambda(answer):
    """Right: −log p(z) = ‖z‖²/(2s²) + const, times σ²: λ = σ²/(2s²) = 0.125."""
    value = number(answer, "λ")
    wrong = {
        "that would be right for s = 1. What is −log p(z) for another s?": 0.005,
        "that is σ²/s², which goes with a penalty ½‖z‖². Here it is ‖z‖², without the ½.": 0.25,
        "the ½ of −log p(z) = ½‖z‖²/s² goes the other way: λ‖z‖² = σ² · ½‖z‖²/s².": 0.5,
        "s enters squared: −log p(z) = ‖z‖²/(2s²) + const.": 0.025,
        "multiply the whole objective by σ², so that the data term becomes ½‖y − A x‖²; the prior gets it too.": 12.5,
        "multiply by σ², do not divide: the data term has 1/(2σ²) in front, and should have ½.": [1250.0, 2500.0],
        "σ enters squared: the density of the noise is exp(−‖n‖²/(2σ²)).": [1.25, 2.5],
        "the other way round: noise makes you trust the prior, and a wide prior makes you trust the data.": [2.0, 4.0],
    }
    hint = "σ² (−log p(z)) = λ‖z‖² + const: insert −log p(z) = ‖z‖²/(2s²) + const, σ = 0.1 and s = 0.2."
    compare(value, 0.125, wrong, hint)


@exercise
def check_posterior_mean(answer):
    """Right: the mean of t under the weights p(y | t) p(t), divided by their sum."""
    t, y, sigma = torch.linspace(-6, 6, 241, dtype=torch.float64), torch.tensor([-2.0, 0.3, 1.5]).double(), 0.8
    log_prior = 2.0 - (t - 0.4).abs()

    def weights(scale):
        return (log_prior - (y[:, None] - t).square() / scale).exp()

    def mean(w):
        return (w * t).sum(1) / w.sum(1)

    w = weights(2 * sigma**2)
    likelihood = w / log_prior.exp()
    right, value = mean(w), call(answer, y, t, log_prior, sigma)
    wrong = {
        "divide by the sum of the weights: they are not normalized.": (w * t).sum(1),
        "that is the MAP, where the posterior is largest; average t instead.": t[w.argmax(1)],
        "the prior is missing: the weight of t is p(y | t) p(t).": mean(likelihood),
        "the likelihood is exp(−(y − t)²/(2σ²)): σ enters squared.": mean(weights(2 * sigma)),
        "the likelihood is exp(−(y − t)²/(2σ²)): the 2 is missing.": mean(weights(sigma**2)),
        "the likelihood is missing: that is the mean of the prior.": mean(log_prior.exp().expand_as(w)),
        "log_prior is a logarithm: take its exponential, or add it in the exponent.": mean(likelihood * log_prior),
    }
    compare(value, right, wrong, "weights [N, M] from y[:, None] − t, then Σ w t / Σ w over the grid (dim 1).")
