"""Checks of notebook 10, variational autoencoders."""

import functools
import math

import torch

from course_lib.lab.exercises import normal
from course_lib.lab.exercises.checking import call, chosen, compare, exercise, expect, number, open_exercise, several
from course_lib.models.vae import kl_divergence


@exercise
def check_naive_likelihood(answer):
    """Right: E[p̂] = p(x), and log is concave, so E[log p̂] ≤ log E[p̂] = log p(x): few draws miss the z that count."""
    several(answer, 2, "give a pair: (the average of p̂, the average of log p̂).")
    hints = {
        "above": "p̂: each p(x|z_i) with z_i from the prior has the average ∫ p(x|z) p(z) dz. And their mean?",
        "below": "p̂: each p(x|z_i) with z_i from the prior has the average ∫ p(x|z) p(z) dz. And their mean?",
    }
    chosen(answer[0], "equal", hints)
    hints = {
        "above": "log p̂: the logarithm is concave; draw it with two values of p̂, and the mean of the two.",
        "equal": "log p̂: a mean and a logarithm can't be exchanged. What does Jensen's inequality say?",
    }
    chosen(answer[1], "below", hints)


NOISE = 0.1
"""√η of the images with two bumps."""


def two_bumps(z):
    """The decoder of the open exercise: latents [S, 2] to images [S, 32], a bump at z_1 and a lower one at z_2."""
    pixels = torch.linspace(-4, 4, 32, dtype=z.dtype)
    bumps = torch.exp(-0.5 * ((pixels - z[..., None]) / 0.7) ** 2)  # [S, 2, 32]
    return bumps[:, 0] + 0.6 * bumps[:, 1]


def log_joint_of_two(x, z):
    """log p(x|z) + log p(z), [S], of an image [32] and latents [S, 2]."""
    fit = -0.5 * ((x - two_bumps(z)) / NOISE).square().sum(1) - 16 * math.log(2 * math.pi * NOISE**2)
    return fit - 0.5 * z.square().sum(1) - math.log(2 * math.pi)


def posterior():
    """Means and log σ² [3, 5] in float64."""
    mean, logvar = normal(2, 3, 5)
    return mean, logvar - 0.5


@exercise
def check_kl(answer):
    """Right: ½ Σ (μ² + σ² − 1 − log σ²), zero for μ = 0, σ = 1, and one number for each image."""
    mean, logvar = posterior()
    variance = logvar.exp()
    right, value = kl_divergence(mean, logvar).sum(1), call(answer, mean, logvar)
    backwards = 0.5 * ((mean.square() + 1) / variance - 1 + logvar).sum(1)
    wrong = {
        "add up the latents: one number for each image.": mean,
        "one number for each image: sum over the latents only.": right.sum(),
        "the factor ½ is missing.": 2 * right,
        "the latents are independent: their KLs add up, so take the sum, not the mean.": right / mean.shape[1],
        "the sign is the other one: a KL is never negative.": -right,
        "the −1 is missing: for μ = 0, σ = 1 the KL must be 0.": right + mean.shape[1] / 2,
        "`logvar` is log σ²; σ² is its exponential.": 0.5 * (mean.square() + logvar - 1 - logvar.abs().log()).sum(1),
        "`logvar` is log σ², not log σ.": 0.5 * (mean.square() + (2 * logvar).exp() - 1 - 2 * logvar).sum(1),
        "the sign of log σ² is the other one: σ → 0 must cost a lot.": right + logvar.sum(1),
        "the term μ² is missing.": right - 0.5 * mean.square().sum(1),
        "that is KL(p ‖ q); wanted is KL(q ‖ p), the average under q.": backwards,
    }
    compare(value, right, wrong, "½ (μ² + σ² − 1 − log σ²), with σ² = exp(logvar), summed over the latents.")


@exercise
def check_reparametrize(answer):
    """Right: z = μ + σ ⊙ ε with σ = exp(½ log σ²); the noise is drawn outside, and gradients reach μ and σ."""
    mean, logvar = (part.requires_grad_() for part in posterior())
    noise = normal(*mean.shape, seed=1)
    right, value = mean + (0.5 * logvar).exp() * noise, call(answer, mean, logvar, noise)
    wrong = {
        "exp(logvar) is the variance σ²; the noise is multiplied by σ.": mean + logvar.exp() * noise,
        "`logvar` is a logarithm: take its exponential to get σ.": mean + logvar * noise,
        "½ log σ² is log σ: take its exponential.": mean + 0.5 * logvar * noise,
        "the mean μ is missing.": (0.5 * logvar).exp() * noise,
        "the noise ε is missing: that is the mean of q, not a sample.": mean,
        "σ is missing: the noise has to be scaled.": mean + noise,
    }
    compare(value, right, wrong, "z = mean + σ * noise with σ = exp(logvar / 2).")
    gradients = torch.autograd.grad(value.sum(), (mean, logvar), allow_unused=True) if value.requires_grad else (None,)
    reached = all(gradient is not None for gradient in gradients)
    expect(reached, "the value is right, but no gradient reaches μ or log σ²: no `.data`, `detach` or `no_grad` here.")


@exercise
def check_linear_elbo(answer):
    """Right: the average of ‖x − D(z)‖² under q is that at the mean plus Σ σ_k²‖W_k‖²; the rest needs no average."""
    mean, logvar = posterior()
    x, W = normal(3, 7, seed=2), normal(7, 5, seed=3)
    b, log_eta = torch.linspace(-1, 1, 7, dtype=torch.float64), torch.tensor(-1.5, dtype=torch.float64)
    at_mean = (x - mean @ W.T - b).square().sum(1)
    spread = (logvar.exp() * W.square().sum(0)).sum(1)
    kl, eta, norm = kl_divergence(mean, logvar).sum(1), log_eta.exp(), 3.5 * (math.log(2 * math.pi) + log_eta)
    sigma = (0.5 * logvar).exp()

    def bound(squared, kl=kl):
        return -0.5 * squared / eta - norm - kl

    right, value = bound(at_mean + spread), call(answer, x, W, b, log_eta, mean, logvar)
    wrong = {
        "one number for each image: sum over all dims but the first.": right.sum(),
        "the spread of q is missing: E‖x − D(z)‖² is not ‖x − D(E z)‖²; add Σ_k σ_k²‖W_k‖².": bound(at_mean),
        "‖W_k‖² is the squared norm of a *column* of W.": bound(at_mean + logvar.exp().sum(1) * W.square().sum()),
        "the sign of the KL is the other one: it is a price.": bound(at_mean + spread, -kl),
        "the KL is missing.": bound(at_mean + spread, 0 * kl),
        "the normalizer (d/2) log(2πη) is missing: without it the number is no log-density.": right + norm,
        "that is the negative ELBO.": -right,
        "the factor ½ in front of ‖·‖²/η is missing.": bound(2 * (at_mean + spread)),
        "σ_k², not σ_k: the variance of z_k counts.": bound(at_mean + (sigma * W.square().sum(0)).sum(1)),
    }
    compare(value, right, wrong, "−½(‖x − Wμ − b‖² + Σ σ_k²‖W_k‖²)/η − (d/2) log(2πη) − KL.")


@exercise
def check_large_beta(answer):
    """Right: the price drives the KL almost to zero; the decoder knows nothing of x, and η grows to the variance."""
    several(answer, 2, "give a pair: (KL, η).")
    price = "KL: β is its price. What do you do with a thing whose price goes up?"
    chosen(answer[0], "falls", {"same": price, "grows": price})
    hints = {
        "same": "η: the learned η is the mean squared error. Does that stay when z tells the decoder less?",
        "falls": "η: the learned η is the mean squared error. Does that fall when z tells the decoder less?",
    }
    chosen(answer[1], "grows", hints)


EVALUATIONS = 200
"""How many latents a method of the open exercise may try, for each image."""


@functools.lru_cache(1)
def hidden_images():
    """The images [6, 32] of the open exercise and their log p(x) [6], by a fine grid over both latents."""
    z = normal(6, 2, seed=11)
    images = two_bumps(z) + NOISE * normal(6, 32, seed=12)
    line = torch.arange(-5, 5, 0.01, dtype=torch.float64)
    first = two_bumps(torch.stack([line, torch.full_like(line, 99)], 1))  # the other bump is out of sight
    second = two_bumps(torch.stack([torch.full_like(line, 99), line], 1))
    logs = []
    for x in images:
        rest = x - first
        squared = rest.square().sum(1)[:, None] - 2 * rest @ second.T + second.square().sum(1)
        joint = -0.5 * squared / NOISE**2 - 0.5 * (line[:, None].square() + line.square())
        constant = math.log(2 * math.pi) + 16 * math.log(2 * math.pi * NOISE**2)
        logs.append(joint.flatten().logsumexp(0) + 2 * math.log(0.01) - constant)
    return images, torch.stack(logs)


@open_exercise(2.0, 0.5, 0.02, unit=" nats of error")
def check_few_evaluations(answer):
    """Find the posterior first, then draw where it is, from something a little wider."""
    images, logs = hidden_images()
    errors = []
    for k, x in enumerate(images):
        tried = 0

        def log_joint(z, x=x):
            nonlocal tried
            expect(z.dim() == 2 and z.shape[1] == 2, f"log_joint takes latents [S, 2], got {list(z.shape)}.")
            tried += len(z)
            expect(tried <= EVALUATIONS, f"more than {EVALUATIONS} latents were tried for one image.")
            return log_joint_of_two(x, z)

        value = number(call(answer, log_joint, torch.Generator().manual_seed(k)), "log p(x)")
        errors.append(value - logs[k].item())
    return math.sqrt(sum(error**2 for error in errors) / len(errors))
