"""Plug and play: a denoiser f(x, s), any function for noise of standard deviation s, takes the place of the prox of φ.

    admm                 x⁺ from the data, z⁺ = f(x⁺ + u, s), u⁺ = u + x⁺ − z⁺          Venkatakrishnan et al. 2013
    hqs                  x⁺ from the data, z⁺ = f(x⁺, s_k) with s_k falling            Zhang et al. 2017, 2021 (DPIR)
    proximal_gradient    x⁺ = f(x − τAᵀ(A x − y), s)                                   Kamilov et al. 2017
    red                  Aᵀ(A x − y) + λ(x − f(x, s)) = 0                              Romano, Elad & Milanfar 2017

f takes images [B, C, H, W] and s, a number or a tensor [B]: a network of `models.denoiser`, or one of

    nlm, tv, wavelet     of scikit-image, image by image on the CPU; `from_numpy` wraps any function of one array
    tweedie(flow)        f(x, s) = x + s²∇log p(x), the MMSE denoiser of the flow's own training noise
    tweedie_of(flows)    that of the flow whose training noise is nearest to s
    proximal(phi)        f(x, s) = prox_{s²φ}(x), the denoiser for which plug and play is an ordinary solver
    averaged(f, weight)  (1 − w) x + w f(x, s)

BM3D (Dabov et al. 2007), the first of the plugged denoisers, is not here: its package `bm3d` allows non-commercial use
only, which this MIT-licensed course can't pass on. Where you may use it: `from_numpy(lambda x, s: bm3d.bm3d(x, s))`.
"""

import functools
import math

import numpy as np
import torch
from skimage.restoration import denoise_nl_means, denoise_tv_chambolle, denoise_wavelet

from course_lib.common import (
    check,
    check_batch,
    check_calls,
    check_images,
    check_number,
    column,
    one_per_image,
)
from course_lib.reconstruction.base import HALF_GREY, check_truth, geometric, quality, warn_of_range
from course_lib.solvers.base import back_projection, check_step, iterate, prepare, squared_norm


def admm(y, A, denoiser, strength, rho=0.1, x0=None, *, steps=50, truth=None, disable=True):
    """Plug-and-play ADMM (Venkatakrishnan, Bouman & Wohlberg 2013), from z = x0, u = 0; the estimate is z:

        x⁺ = argmin_x ½‖A x − y‖² + (ρ/2)‖x − z + u‖²,    z⁺ = f(x⁺ + u, s),    u⁺ = u + x⁺ − z⁺.

    With f(x, s) = prox_{s²φ}(x) it is `solvers.admm` for λ = ρ s²: ρ and s together set the strength of the prior.

    Args:
        y, A: observations, and their operator with `A.prox`. denoiser: f(x, s). strength: s >= 0; rho: ρ > 0; numbers
            or tensors [B]. x0: by default Aᵀy/‖A‖². truth: images; with them the history has the PSNR.
    """
    x0 = checked_start(y, A, x0, truth, steps)
    rho = one_per_image("rho", rho, x0)
    check_number("rho", rho.min().item(), positive=True)
    check_calls("A", A, "prox")
    f = guarded(denoiser, strength, x0)

    def step(k, z, u):
        x = A.prox(z - u, y, rho)
        z = f(x + u, strength)
        return {"z": z, "u": u + x - z}

    return run(step, {"z": x0, "u": torch.zeros_like(x0)}, y, A, truth, steps, disable)


def hqs(y, A, denoiser, sigma, x0=None, *, start=0.2, end=None, lam=0.23, steps=8, truth=None, disable=True):
    """Plug-and-play half-quadratic splitting with falling strength (Zhang et al. 2021, DPIR), from z = x0:

        x⁺ = argmin_x ½‖A x − y‖² + (ρ_k/2)‖x − z‖²,    z⁺ = f(x⁺, s_k),    ρ_k = λσ²/s_k²,

    where s_k falls geometrically from `start` to `end`, by default σ; a single step is at `end`. The estimate is z.
    There is no fixed point to wait for: the number of steps belongs to the method.

    Args:
        y, A, denoiser, x0, truth: as for `admm`. sigma: σ of the noise in y; it counts as half a grey level at least.
        start, end: s_k > 0 of the first and the last step. lam: λ > 0, which trades data for prior at every s_k.
    """
    x0 = checked_start(y, A, x0, truth, steps)
    check_number("sigma", sigma)
    sigma = max(sigma, HALF_GREY)
    end = sigma if end is None else end
    for name, value in (("start", start), ("end", end), ("lam", lam)):
        check_number(name, value, positive=True)
    strengths = geometric(start, end, steps)
    f = guarded(denoiser, start, x0)

    def step(k, z):
        rho = lam * sigma**2 / strengths[k] ** 2
        return {"z": f(A.prox(z, y, rho), strengths[k])}

    return run(step, {"z": x0}, y, A, truth, steps, disable)


def proximal_gradient(y, A, denoiser, strength, x0=None, *, step=None, steps=100, truth=None, disable=True):
    """Plug-and-play proximal gradient (Kamilov, Mansour & Wohlberg 2017): x⁺ = f(x − τAᵀ(A x − y), s).

    With f(x, s) = prox_{s²φ}(x) it is `solvers.ista` for λ = s²/τ. It needs no `A.prox`, and more steps than `admm`.

    Args:
        y, A, denoiser, strength, x0, truth: as for `admm`. step: τ < 2/‖A‖², by default 1/‖A‖².

    Raises ValueError for a step of 2/‖A‖² or more.
    """
    x0 = checked_start(y, A, x0, truth, steps)
    bound = 1 / squared_norm(A, x0)
    tau = bound if step is None else step
    check_step(tau, 2 * bound, "2/‖A‖²", strict=True)
    f = guarded(denoiser, strength, x0)

    def descend(k, x):
        return {"x": f(x - tau * A.T(A(x) - y), strength)}

    return run(descend, {"x": x0}, y, A, truth, steps, disable)


def red(y, A, denoiser, strength, lam, x0=None, *, method="fixed point", steps=100, truth=None, disable=True):
    """Regularization by denoising (RED; Romano, Elad & Milanfar 2017): Aᵀ(A x − y) + λ(x − f(x, s)) = 0, by

        gradient       x⁺ = x − τ(Aᵀ(A x − y) + λ(x − f(x, s))),  τ = 1/(‖A‖² + λ),
        fixed point    x⁺ = argmin_x ½‖A x − y‖² + (λ/2)‖x − f(x_k, s)‖², which is `A.prox`.

    It is the gradient of ½‖A x − y‖² + (λ/2)⟨x, x − f(x, s)⟩ where f is locally homogeneous and has a symmetric
    Jacobian; few denoisers have (Reehorst & Schniter 2019). For others it is an equilibrium, without an objective.

    Args:
        y, A, denoiser, strength, x0, truth: as for `admm`. lam: λ > 0, a number or a tensor [B].
    """
    x0 = checked_start(y, A, x0, truth, steps)
    check(method in ("fixed point", "gradient"), "method", "'fixed point' or 'gradient'", repr(method))
    lam = one_per_image("lam", lam, x0)
    check_number("lam", lam.min().item(), positive=True)
    f, weight = guarded(denoiser, strength, x0), column(lam, x0)
    tau = 1 / (A.norm(x0.shape) ** 2 + weight)

    def gradient(k, x):
        return {"x": x - tau * (A.T(A(x) - y) + weight * (x - f(x, strength)))}

    def fixed_point(k, x):
        return {"x": A.prox(f(x, strength), y, lam)}

    step = gradient if method == "gradient" else fixed_point
    return run(step, {"x": x0}, y, A, truth, steps, disable)


def checked_start(y, A, x0, truth, steps):
    """The start, Aᵀy/‖A‖² by default; ValueError where y, x0, truth and A don't fit one another."""
    x0, _, _ = prepare(y, A, 0, x0, steps, 0, back_projection, rank=4)
    check_truth(truth, x0)
    warn_of_range(y, A)
    return x0


def guarded(denoiser, strength, x0):
    """The denoiser, checked: ValueError for a strength below 0, and for a result of another shape."""
    check(callable(denoiser), "denoiser", "a function f(x, sigma)", type(denoiser).__name__)
    one_per_image("strength", strength, x0)

    def f(x, s):
        image = denoiser(x, s)
        fits = torch.is_tensor(image) and image.shape == x.shape
        check(fits, "denoiser", f"a result of the shape of x, {list(x.shape)}", getattr(image, "shape", type(image)))
        return image

    return f


def run(step, state, y, A, truth, steps, disable):
    """The Result of the steps, whose estimate is the first entry of the state, with the curves of these methods: their
    `quality`, and how far the estimate moved, `change`."""
    name = next(iter(state))

    def with_previous(k, previous, **state):
        return step(k, **state) | {"previous": state[name]}

    def curves(previous, **state):
        change = (state[name] - previous).square().mean((1, 2, 3)).sqrt()
        return quality(state[name], y, A, truth) | {"change": change}

    state = state | {"previous": torch.zeros_like(state[name])}
    return iterate(with_previous, state, curves, steps, estimate=name, disable=disable)


def proximal(phi):
    """The denoiser f(x, s) = prox_{s²φ}(x) = argmin_u ½‖u − x‖² + s² φ(u) of a regularizer φ: its MAP denoiser, where
    the prior is p(u) ∝ exp(−φ(u)).
    """
    check_calls("phi", phi, "prox")
    return lambda x, sigma: phi.prox(x, one_per_image("sigma", sigma, x).square())


def tweedie(flow):
    """The denoiser f(x, s) = x + s²∇log p(x) of a flow with `log_prob`, one gradient a call (Robbins 1956; Efron 2011,
    doi:10.1198/jasa.2011.tm11181). A flow that was trained on images with noise σ knows their density p = p_σ, and then
    Tweedie's formula says f(x, σ) = E[x₀ | x = x₀ + σ ε]: the posterior mean, not its mode. Other s are a guess.

    With it RED's x − f(x, s) is −s²∇log p: `red` descends on the MAP objective with λ s² in place of 2λ.
    """
    check_calls("flow", flow, "log_prob")

    def f(x, sigma):
        check_images("x", x)
        variance = column(one_per_image("sigma", sigma, x).square(), x)
        with torch.enable_grad():
            u = x.detach().requires_grad_()
            (score,) = torch.autograd.grad(flow.log_prob(u).sum(), u)
        return x + variance * score

    return f


def tweedie_of(flows):
    """`tweedie` of several flows {σ_k: flow}, each trained on images with noise σ_k: f(x, s) takes the flow whose σ_k
    is nearest to s (in ratio), at its own σ_k. With falling s, the first take long steps, the last ones fine ones.
    """
    check(len(flows) > 0, "flows", "a flow for each noise level, {σ: flow}", flows)
    for level in flows:
        check_number("flows", level, positive=True)
    denoisers = {level: tweedie(flow) for level, flow in flows.items()}

    def f(x, sigma):
        check_number("sigma", sigma, positive=True)
        level = min(denoisers, key=lambda at: abs(math.log(at / sigma)))
        return denoisers[level](x, level)

    return f


def averaged(denoiser, weight):
    """x ↦ (1 − w) x + w f(x, s), 0 < w <= 1: its fixed points are those of f, its Lipschitz constant is nearer to 1."""
    check(0 < weight <= 1, "weight", "a number in (0, 1]", weight)
    check_calls("denoiser", denoiser, "__call__")
    return lambda x, sigma: x + weight * (denoiser(x, sigma) - x)


def from_numpy(function):
    """A denoiser f(x, s, **options) from `function(image, sigma, **options)` on one array [H, W, C] of float64."""
    check_calls("function", function, "__call__")

    @functools.wraps(function)
    def denoise(x, sigma, **options):
        check_batch("x", x, 4)
        strengths = one_per_image("sigma", sigma, x).tolist()
        arrays = x.detach().cpu().double().permute(0, 2, 3, 1).numpy()
        # No noise, nothing to do; the functions of scikit-image divide by sigma.
        pairs = zip(arrays, strengths, strict=True)
        denoised = [function(image, s, **options) if s > 0 else image for image, s in pairs]
        return torch.from_numpy(np.stack(denoised)).permute(0, 3, 1, 2).to(x)

    return denoise


@from_numpy
def nlm(image, sigma, h=0.8):
    """Non-local means (Buades, Coll & Morel 2005) by scikit-image: patches of 5×5 pixels, searched up to 6 pixels away,
    with filter strength h·σ."""
    options = dict(patch_size=5, patch_distance=6, h=h * sigma, sigma=sigma)
    # scikit-image drops the channel axis of a grey image here, and only here.
    return denoise_nl_means(image, channel_axis=-1, **options).reshape(image.shape)


@from_numpy
def tv(image, sigma, weight=1.0):
    """Total variation by scikit-image (Chambolle 2004): argmin_u ½‖u − x‖² + wσ TV(u), channel by channel. The weight
    grows as σ, not σ²: that is what denoises best; `proximal(TV())` is the prox."""
    return denoise_tv_chambolle(image, weight=weight * sigma, channel_axis=-1, eps=1e-5, max_num_iter=300)


@from_numpy
def wavelet(image, sigma, name="db2"):
    """Soft thresholds for each wavelet band, chosen by BayesShrink (Chang, Yu & Vetterli 2000), by scikit-image."""
    return denoise_wavelet(image, sigma=sigma, wavelet=name, rescale_sigma=False, channel_axis=-1)
