"""Guided flows in time: y pulls the path from noise to an image, x_t = (1 − t) ε + t x, towards what was observed.

All methods share the path. At time t, where x_t / t is the image with noise of standard deviation σ_t = (1 − t)/t, the
velocity knows the mean image, x̂ = E[x | x_t] = x_t + (1 − t) v(x_t, t). The data move it to x̂', and the path goes on:

    x_{t'} = t' x̂' + (1 − t') (√(1 − ζ) ε̂ + √ζ ε),      ε̂ = (x_t − t x̂') / (1 − t),                           (*)

with the noise ε̂ that x_t has if x̂' is right, and fresh noise ε ~ N(0, I) in the share ζ. ζ = 0 is Euler's step of the
equation dx/dt = v; ζ = 1 − (σ_{t'}/σ_t)² is the step of a Markov chain (DDPM, Ho et al. 2020); ζ = 1 forgets ε̂.

    dps        −ζ'∇‖A x̂ − y‖²/‖A x̂ − y‖ through the network, after (*)      Chung et al. 2023
    pigdm      x̂' = x̂ + (σ_t²/r_t²) Jᵀ(prox(x̂) − x̂),  J = ∂x̂/∂(x_t/t)      Song et al. 2023, Pokle et al. 2024
    diffpir    x̂' = prox(x̂) = argmin_x ½‖A x − y‖² + (ρ_t/2)‖x − x̂‖²        Zhu et al. 2023
    pnp_flow   a step down ½‖A x − y‖², then x̂ of it with fresh noise       Martin et al. 2025

Were x given x_t Gaussian with the covariance r_t² I, the x̂' of `pigdm` would be E[x | x_t, y], and its images samples
of p(x | y). The others are no samplers of the posterior, whatever the prior. How far each is from it where it is known:
half of the 16 pixels of an image, σ = 0.1, a Gaussian prior with standard deviations from 0.6 down to 0.09 (of
`tests/test_guided.py`), 200 steps; the error of the mean is in units of the posterior's standard deviation √tr C, the
variance tr C in units of its own.

    pigdm      s = 0.3: 0.18, 1.00      s = 1: 0.48, 1.22          diffpir    ζ = 0: 0.49, 1.16    ζ = 1: 0.06, 0.50
    dps        ζ' = 0.03: 0.17, 0.74    ζ' = 0.1: 0.34, 0.67       pnp_flow   α = 0: 0.16, 0.40    α = 1: 0.51, 0.72

A sample of the posterior has twice the mean square error of the posterior's mean, 3 dB less PSNR: to sample well is to
lose in a table of PSNR. The mean of several samples, drawn with several seeds, is what to compare with an estimate.

The model is a `models.flow_in_time.FlowInTime`, or anything with a `velocity(x, t)` of this meaning. What is counted as
an evaluation is a velocity; `dps` and `pigdm` differentiate it, too, for about twice its time.
"""

from numbers import Integral

import torch

from course_lib.common import as_generator, check, check_calls, check_count, check_like, check_number, column
from course_lib.models.flow_in_time import clock, clock_inverse
from course_lib.reconstruction.base import HALF_GREY
from course_lib.reconstruction.plug_and_play import checked_start, run
from course_lib.solvers.base import norm, squared_norm


def dps(y, A, model, sigma, x0=None, *, zeta=1.0, t0=0.001, steps=100, seed=0, truth=None, disable=True):
    """Diffusion posterior sampling (Chung et al. 2023, arXiv 2209.14687, Algorithm 1): (*) of the module with x̂' = x̂
    and the ζ of a Markov chain, then

        x_{t'} ← x_{t'} − ζ' ∇_{x_t} ‖A x̂(x_t) − y‖² / ‖A x̂ − y‖.

    The gradient goes through the network. It takes p(y | x_t) for p(y | x̂(x_t)), as if x_t left no doubt of x, and its
    length for ζ', which no model of the noise gives: the images are not samples of p(x | y).

    Args:
        y, A: observations [B, ...] and their operator. model: with `velocity`. truth: images; with them the history has
            the PSNR.
        sigma: σ of the noise in y; it plays no role here, as ζ' stands for it.
        x0: images [B, C, H, W], by default Aᵀy/‖A‖². The path starts at x_{t0} = (1 − t0) ε + t0 x0.
        zeta: ζ' >= 0, in units of the pixels, for so many steps: more steps need less. 0 samples the prior.
        t0: the first time, 0 < t0 < 1. steps: from t0 to 1, a velocity each.
        seed: an integer: image b draws with seed + b, alone as in a batch. Or a `torch.Generator` for the whole batch.
    """
    check_number("zeta", zeta)
    x0, path, times, draw = started(y, A, model, sigma, x0, t0, steps, seed, truth)

    def step(k, x, path):
        t, after = times[k], times[k + 1]
        image, pull = differentiable(model, path, t)
        residual = A(image) - y
        length = norm(residual).clamp_min(torch.finfo(y.dtype).tiny)
        shift = zeta * pull(2 * A.T(residual) / column(length, residual))
        fresh = 1 - (level(after) / level(t)) ** 2
        return {"x": image - shift, "path": moved(path, image, t, after, fresh, draw) - shift}

    return run(step, {"x": x0, "path": path}, y, A, truth, steps, disable)


def pigdm(y, A, model, sigma, x0=None, *, spread=1.0, t0=0.001, steps=50, seed=0, truth=None, disable=True):
    """Pseudoinverse guidance (ΠGDM, Song et al. 2023) of a flow (OT-ODE, Pokle et al. 2024, arXiv 2310.04432, Algorithm
    1): Euler's steps of dx/dt = v + (1 − t)/t ∇_{x_t} log p(y | x_t), their (12), with

        p(y | x_t) ≈ N(A x̂, r_t² AAᵀ + σ² I),      r_t² = s² σ_t²/(s² + σ_t²), their (13) where s = 1.

    That is (*) of the module with ζ = 0 and x̂' = x̂ + (σ_t²/r_t²) Jᵀ(prox(x̂) − x̂), with `A.prox` for ρ = σ²/r_t².

    Since σ_t² J is the covariance of x given x_t, x̂' is E[x | x_t, y] where that is r_t² I. So for a prior N(m, s² I)
    the images are samples of p(x | y), up to the error of Euler's steps. For other priors x̂' goes too far in directions
    of more variance than s², the more the earlier, and not far enough in those of less. It is stable from the start if
    s² is the largest eigenvalue of the prior's covariance; for less, as the paper's s = 1 for images, start later.

    Args:
        spread: s > 0. Others as for `dps`; σ counts as half a grey level at least, and A has a `prox`.
    """
    check_number("spread", spread, positive=True)
    check_calls("A", A, "prox")
    x0, path, times, draw = started(y, A, model, sigma, x0, t0, steps, seed, truth)
    sigma = max(sigma, HALF_GREY)

    def step(k, x, path):
        t, after = times[k], times[k + 1]
        image, pull = differentiable(model, path, t)
        share = spread**2 / (spread**2 + level(t) ** 2)  # r_t²/σ_t²
        wanted = A.prox(image, y, sigma**2 / (share * level(t) ** 2)) - image
        image = image + pull(t / share * wanted)
        return {"x": image, "path": moved(path, image, t, after, 0.0, draw)}

    return run(step, {"x": x0, "path": path}, y, A, truth, steps, disable)


def diffpir(y, A, model, sigma, x0=None, *, lam=1.0, zeta=0.3, t0=0.001, steps=50, seed=0, truth=None, disable=True):
    """DiffPIR (Zhu et al. 2023, arXiv 2305.08995, Algorithm 1): the splitting of `plug_and_play.hqs` along the path.

    It is (*) of the module with x̂' = argmin_x ½‖A x − y‖² + (ρ_t/2)‖x − x̂‖², ρ_t = λσ²/σ_t², as if x given x_t had the
    covariance (σ_t²/λ) I. What x̂' knows of y beyond that, ε̂ keeps: the images are not samples of p(x | y).

    Args:
        lam: λ > 0, which trades data for prior. zeta: ζ in [0, 1], the share of fresh noise. Others as for `pigdm`.
    """
    check_number("lam", lam, positive=True)
    check_number("zeta", zeta)
    check(zeta <= 1, "zeta", "a number from 0 to 1", zeta)
    check_calls("A", A, "prox")
    x0, path, times, draw = started(y, A, model, sigma, x0, t0, steps, seed, truth)
    sigma = max(sigma, HALF_GREY)

    def step(k, x, path):
        t, after = times[k], times[k + 1]
        image = A.prox(mean_image(model, path, t), y, lam * (sigma / level(t)) ** 2)
        return {"x": image, "path": moved(path, image, t, after, zeta, draw)}

    return run(step, {"x": x0, "path": path}, y, A, truth, steps, disable)


def pnp_flow(y, A, model, sigma, x0=None, *, decay=1.0, draws=1, t0=0.001, steps=50, seed=0, truth=None, disable=True):
    """PnP-Flow (Martin et al. 2025, arXiv 2410.02423, Algorithm 3): from x = x0, at times t that grow evenly from t0,

        z = x − γ_t Aᵀ(A x − y),    x_t = (1 − t) ε + t z,    x⁺ = E[x | x_t],    γ_t = (1 − t)^α / ‖A‖²:

    a gradient step on the data term, back to the path with fresh noise, and the denoiser. It estimates one image.

    Args:
        decay: α >= 0. draws: of ε in each step, a velocity each; x⁺ is the mean over them. sigma: plays no role, as α
            stands for it. Others as for `dps`; there is no step at t = 1, where the denoiser does nothing.
    """
    check_number("decay", decay)
    check_count("draws", draws, low=1)
    x0, _, _, draw = started(y, A, model, sigma, x0, t0, steps, seed, truth)
    largest = 1 / squared_norm(A, x0)

    def step(k, x):
        t = t0 + (1 - t0) * k / steps
        z = x - largest * (1 - t) ** decay * A.T(A(x) - y)
        return {"x": sum(mean_image(model, (1 - t) * draw() + t * z, t) for _ in range(draws)) / draws}

    result = run(step, {"x": x0}, y, A, truth, steps, disable)
    result.evaluations = result.evaluations * draws
    return result


def started(y, A, model, sigma, x0, t0, steps, seed, truth):
    """(x0, x_{t0}, the times from t0 to 1, a function that draws ε like x0): what a method begins with. The one check
    of a problem: ValueError for what can't be right."""
    check_number("sigma", sigma)
    check_number("t0", t0, positive=True)
    check(t0 < 1, "t0", "a time below 1", t0)
    check(isinstance(seed, torch.Generator | Integral), "seed", "an integer or a torch.Generator", repr(seed))
    x0 = checked_start(y, A, x0, truth, steps)
    check_calls("model", model, "velocity", "parameters")
    check_like("y", y, next(model.parameters()))
    parts = x0.split(1) if isinstance(seed, Integral) else [x0]
    generators = [as_generator(seed + b, x0.device) if isinstance(seed, Integral) else seed for b in range(len(parts))]

    def draw():
        pairs = zip(parts, generators, strict=True)
        return torch.cat([torch.randn(p.shape, generator=g, dtype=p.dtype, device=p.device) for p, g in pairs])

    start = clock_inverse(torch.tensor(t0, dtype=torch.float64)).item()
    times = clock(torch.linspace(start, 1, steps + 1, dtype=torch.float64)).tolist()
    return x0, (1 - t0) * draw() + t0 * x0, times, draw


def level(t):
    """σ_t = (1 − t)/t, the noise of x_t/t."""
    return (1 - t) / t


def mean_image(model, x, t):
    """x̂ = E[x | x_t] = x_t + (1 − t) v(x_t, t) at x_t = x, [B, C, H, W]."""
    return x + (1 - t) * model.velocity(x, t)


def differentiable(model, x, t):
    """(x̂, u ↦ (∂x̂/∂x_t)ᵀ u) at x_t = x: the mean image, and the product of its Jacobian that guidance takes."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        image = mean_image(model, x, t)
    return image.detach(), lambda u: torch.autograd.grad(image, x, u)[0]


def moved(x, image, t, after, fresh, draw):
    """x_{t'} for t' = `after` by (*), from x_t = x and the image x̂', with the share ζ = `fresh` of new noise."""
    noise = (x - t * image) / (1 - t)
    if fresh > 0:
        noise = (1 - fresh) ** 0.5 * noise + fresh**0.5 * draw()
    return after * image + (1 - after) * noise
