"""Sampling the posterior of the latent, p(z | y) ∝ exp(−‖A D(z) − y‖²/(2σ²) − ‖z‖²/2), and what samples are worth.

Holden, Pereyra & Zygalakis (2022, arXiv 2103.10182) sample it for the decoder of a VAE or a GAN: the image is on the
manifold x = D(z). For a flow it is the exact posterior of x, since x = D(z) has density p(x).

All samplers use a reference Gaussian N(m, C), C = L Lᵀ, by default the prior N(0, I); `laplace` finds a better one.

    pCN    z' = m + √(1 − β²)(z − m) + β L ξ             Cotter et al. 2013, arXiv 1202.0709
    HMC    leapfrog steps of length ε of the motion ż = L p, ṗ = −Lᵀ∇U(z) from p = ξ,   U = −log p(z | y)
                                                         Duane et al. 1987; Neal 2011, arXiv 1206.1901
           (ε is drawn within 30 % of the step: else a whole turn of a Gaussian would lead back to where it began)
    MALA   z' = z − τ C ∇U(z) + √(2τ) L ξ: one leapfrog step, ε = √(2τ)     Roberts & Tweedie 1996

with ξ ~ N(0, I), each followed by the accept-reject step that makes p(z | y) exact.

    ULA    the proposal of MALA, never refused: Langevin's equation dz = −C ∇U dt + √2 L dW, by Euler's steps

ULA is biased by its step. Where p(z | y) = N(μ, P⁻¹), u = L⁻¹(z − μ) follows u' = (I − τH) u + √(2τ) ξ with H = LᵀPL,
whose covariance Σ settles where Σ = (I − τH) Σ (I − τH) + 2τ I: at Σ = (H (I − τH/2))⁻¹ instead of H⁻¹, if τ is
less than 2 over the largest eigenvalue h of H; with more it grows without end. A width is too large by 1/√(1 − τh/2).

A VAE's image is not D(z) but x ~ N(D(z), ηI). Then y given z is N(A D(z), σ²I + ηAAᵀ), and x given z and y is Gaussian
too, with the mean argmin_x ‖A x − y‖²/(2σ²) + ‖x − D(z)‖²/(2η), which is `A.prox`. The argument `eta` asks for it.
"""

import math
from dataclasses import dataclass
from numbers import Integral

import torch
from torch import nn

from course_lib.common import (
    as_generator,
    check,
    check_batch,
    check_calls,
    check_count,
    check_number,
    column,
    progress,
)
from course_lib.reconstruction.base import check_problem, data_term, origin

TARGETS = {"pcn": 0.3, "mala": 0.57, "hmc": 0.65, "ula": 1.0}
"""The acceptance that the burn-in steers to (Roberts & Rosenthal 1998 for MALA, Beskos et al. 2013 for HMC). ULA has it
from the start, so that its step stays."""

STARTS = {"pcn": 0.3, "mala": 0.5, "hmc": 0.5}
"""The step with which the burn-in starts."""


@dataclass
class Posterior:
    """What a sampler has found for images [B, C, H, W] with latents of dimension D.

    Args:
        mean, std: of x, pixel by pixel, [B, C, H, W]. samples: the latents kept, [S, chains, B, D].
        acceptance: share of accepted proposals after the burn-in, [B]. step: β, τ or ε, [B].
        rhat: the largest split R̂ of the coordinates of z, [B]. ess: their least effective sample size, [B].
    """

    mean: torch.Tensor
    std: torch.Tensor
    samples: torch.Tensor
    acceptance: torch.Tensor
    step: torch.Tensor
    rhat: torch.Tensor
    ess: torch.Tensor


class InPixels(nn.Module):
    """A prior whose latent is the image itself, z = x, for chains that move in x: −log p(z) is −log p(x), not ½‖z‖².

    Args:
        model: a density, with `log_prob` of images. shape: (C, H, W) of an image.

    Raises ValueError for another model or shape.
    """

    def __init__(self, model, shape):
        super().__init__()
        check_calls("model", model, "log_prob", "parameters")
        sides = isinstance(shape, tuple | list | torch.Size) and [isinstance(n, Integral) and n > 0 for n in shape]
        check(sides and len(sides) == 3 and all(sides), "shape", "(C, H, W), positive integers", shape)
        self.model, self.shape = model, tuple(shape)

    @property
    def dim(self):
        """D = CHW."""
        return math.prod(self.shape)

    def decode(self, z):
        """x = z, [B, C, H, W]."""
        return z.unflatten(1, self.shape)

    def encode(self, x):
        """z = x, [B, D]."""
        return x.flatten(1)

    def energy(self, z):
        """−log p(x), [B]."""
        return -self.model.log_prob(self.decode(z))


def prior_energy(z, model):
    """−log p(z) up to a constant, [B]: ½‖z‖², unless the latent is the image."""
    return model.energy(z) if isinstance(model, InPixels) else 0.5 * z.square().sum(1)


def energy(z, y, A, model, sigma, eta=None):
    """U(z) = ½ rᵀ(σ²I + ηAAᵀ)⁻¹ r + ½‖z‖² with r = y − A D(z), [B]; sigma: a tensor [B]; eta: by default 0. In pixels
    −log p(x) stands for ½‖z‖²."""
    v, prior = model.decode(z), prior_energy(z, model)
    if eta is None:
        return data_term(v, y, A) / sigma.square() + prior
    # The quadratic form is the least of ‖A x − y‖²/(2σ²) + ‖x − v‖²/(2η). At the least x counts as a constant.
    x = A.prox(v.detach(), y, sigma.square() / eta)
    return data_term(x, y, A) / sigma.square() + (x - v).flatten(1).square().sum(1) / (2 * eta) + prior


def laplace(z, y, A, model, sigma, eta=None):
    """The Gaussian N(z, C) that fits the posterior at z, as L with C = L Lᵀ, [B, D, D]:

        C = (I + Jᵀ(σ²I + ηAAᵀ)⁻¹J)⁻¹,   J the Jacobian of A D at z (Gauss-Newton: no second derivatives of D).

    It takes D tangents through the decoder and D × D matrices: for latents of some hundred dimensions.
    """
    variance = check_problem(y, A, model, sigma, z, None, name="sigma", start="z").square()
    check_number("sigma", variance.min().item(), positive=True)
    check_number("eta", 1.0 if eta is None else eta, positive=True)
    eye, columns, weighted = torch.eye(z.shape[1], dtype=z.dtype, device=z.device), [], []
    for e in eye:
        tangent = torch.func.jvp(lambda v: A(model.decode(v)), (z,), (e.expand_as(z),))[1]
        columns.append(tangent.flatten(1))
        if eta is not None:
            # (σ²I + ηAAᵀ)⁻¹ t = (t − A x)/σ² with x = argmin_x ‖A x − t‖²/σ² + ‖x‖²/η.
            tangent = tangent - A(A.prox(torch.zeros_like(A.T(tangent)), tangent, variance / eta))
        weighted.append(tangent.flatten(1))
    J, W = torch.stack(columns, 2), torch.stack(weighted, 2)  # [B, N, D]
    precision = eye + J.mT @ W / variance[:, None, None]
    # precision = R Rᵀ, hence C = R⁻ᵀ R⁻¹ and L = R⁻ᵀ.
    R = torch.linalg.cholesky(precision)
    return torch.linalg.solve_triangular(R, eye.expand_as(R), upper=False).mT


class Chains:
    """`chains` runs for each of B images, at z [chains, B, D], with a step size for each image, and their proposals."""

    def __init__(self, problem, z0, reference, method, chains, seeds, leaps, step=None):
        y, self.A, self.model, sigma, self.eta = problem
        self.y, self.sigma = y.repeat(chains, 1, 1, 1), sigma.repeat(chains)
        self.m, self.L = reference
        self.method, self.chains, self.leaps = method, chains, leaps
        self.generators = [as_generator(seed, z0.device) for seed in seeds]
        self.z = z0 + self.colour(self.noise(z0.shape[1]))
        self.log_step = torch.full_like(z0[:, 0], math.log(step or STARTS[method]))
        self.U, self.g = self.evaluate(self.z)
        self.accepted = torch.zeros_like(self.log_step)

    def noise(self, *shape):
        """N(0, I), [chains, B, *shape]: each image has its own generator, and draws alone what it draws in a batch."""
        shape, dtype = (self.chains, *shape), self.m.dtype
        return torch.stack([torch.randn(shape, generator=g, device=g.device, dtype=dtype) for g in self.generators], 1)

    def uniform(self):
        """Numbers in (0, 1), [chains, B]."""
        n, dtype = self.chains, self.m.dtype
        return torch.stack([torch.rand(n, generator=g, device=g.device, dtype=dtype) for g in self.generators], 1)

    def colour(self, v):
        """L v."""
        return v if self.L is None else torch.einsum("bij,cbj->cbi", self.L, v)

    def colour_transposed(self, v):
        """Lᵀ v."""
        return v if self.L is None else torch.einsum("bji,cbj->cbi", self.L, v)

    def whiten(self, v):
        """L⁻¹ v."""
        if self.L is None:
            return v
        return torch.linalg.solve_triangular(self.L, v.permute(1, 2, 0), upper=True).permute(2, 0, 1)

    @property
    def step(self):
        """β (at most 1), τ or ε, [B]."""
        return self.log_step.exp().clamp_max(1 if self.method == "pcn" else torch.inf)

    def evaluate(self, z):
        """U(z), [chains, B], and ∇U(z), which pCN doesn't need."""
        problem = self.y, self.A, self.model, self.sigma, self.eta
        if self.method == "pcn":
            return energy(z.flatten(0, 1), *problem).reshape(self.chains, -1), None
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            U = energy(z.flatten(0, 1), *problem).reshape(self.chains, -1)
            return U.detach(), torch.autograd.grad(U.sum(), z)[0]

    def images(self):
        """D(z), or a sample of x given z and y: the optimum of a problem with noise on both of its terms."""
        v, y = self.model.decode(self.z.flatten(0, 1)), self.y
        if self.eta is not None:
            v = v + math.sqrt(self.eta) * self.noise(*v.shape[1:]).flatten(0, 1)
            y = y + column(self.sigma, y) * self.noise(*y.shape[1:]).flatten(0, 1)
            v = self.A.prox(v, y, self.sigma.square() / self.eta)
        return v.unflatten(0, (self.chains, -1))

    def propose(self):
        """(z', U(z'), ∇U(z'), log of the Hastings ratio)."""
        step, xi = self.step[:, None], self.noise(self.m.shape[1])
        if self.method == "pcn":
            return self.crank_nicolson(step, xi)
        if self.method == "mala":
            return self.leapfrog((2 * step).sqrt(), xi)
        if self.method == "ula":
            z, U, g, _ = self.leapfrog((2 * step).sqrt(), xi)
            return z, U, g, torch.zeros_like(U)
        return self.leapfrog(step * (0.7 + 0.6 * self.uniform()[..., None]), xi)

    def crank_nicolson(self, beta, xi):
        """z' = m + √(1 − β²)(z − m) + β L ξ leaves N(m, C) as it is: what remains is the posterior's ratio to it."""
        z = self.m + (1 - beta.square()).sqrt() * (self.z - self.m) + beta * self.colour(xi)
        U, g = self.evaluate(z)
        before, after = (0.5 * self.whiten(v - self.m).square().sum(-1) for v in (self.z, z))
        return z, U, g, self.U - U + after - before

    def leapfrog(self, epsilon, p):
        """The motion of a particle at z with momentum p; its steps lose energy only by their length."""
        z, kinetic = self.z, p.square()
        p = p - epsilon / 2 * self.colour_transposed(self.g)
        for k in range(self.leaps):
            z = z + epsilon * self.colour(p)
            U, g = self.evaluate(z)
            p = p - (epsilon if k < self.leaps - 1 else epsilon / 2) * self.colour_transposed(g)
        return z, U, g, self.U - U + 0.5 * (kinetic - p.square()).sum(-1)

    def advance(self, adapt):
        """One step of every chain; `adapt` is the gain with which the step size follows the acceptance, or 0."""
        z, U, g, log_ratio = self.propose()
        accept = self.uniform().log() < log_ratio.nan_to_num(-torch.inf)
        self.z, self.U = torch.where(accept[..., None], z, self.z), torch.where(accept, U, self.U)
        self.g = None if g is None else torch.where(accept[..., None], g, self.g)
        share = accept.to(z.dtype).mean(0)
        self.accepted = self.accepted + share
        self.log_step = self.log_step + adapt * (share - TARGETS[self.method])


@torch.no_grad()
def sample_posterior(
    y,
    A,
    model,
    sigma,
    z0=None,
    reference=None,
    *,
    eta=None,
    method="mala",
    step=None,
    leaps=5,
    chains=4,
    steps=1000,
    burn=500,
    thin=10,
    seeds=0,
    disable=True,
):
    """Samples of p(z | y) by pCN, MALA or HMC, or with a bias by ULA; the mean and standard deviation of x given y.

    Args:
        y, A, model: observations [B, ...], their operator, and a model with `decode` and `dim`. Chains move in its
            latent space; `InPixels(model, shape)` lets them move in the image.
        sigma: σ > 0 of the noise in y, a number or a tensor [B].
        z0: starts [B, D], around which the chains spread as the reference does; by default its mean.
        eta: η > 0 of p(x|z) = N(D(z), ηI), for a VAE; by default x = D(z). It takes an A with a `prox`.
        reference: (m, L) of the Gaussian N(m, L Lᵀ), [B, D] and [B, D, D] or None for L = I; by default the prior.
        step: τ > 0 of ULA, and only of ULA: the others find their step in the burn-in, by what is refused.
        leaps: leapfrog steps of HMC, a gradient each, to one proposal; the others have one.
        chains: at least 2. steps: kept after `burn` others, in which the step size adapts. thin: of `samples`.
        seeds: one for each image, or the first of them.
    """
    check(method in TARGETS, "method", f"one of {sorted(TARGETS)}", repr(method))
    check((step is not None) == (method == "ula"), "step", "τ for ULA, and None for the others", step)
    check_number("step", 1.0 if step is None else step, positive=True)
    counts = {"chains": (chains, 2), "steps": (steps, 4), "burn": (burn, 0), "thin": (thin, 1), "leaps": (leaps, 1)}
    for name, (value, low) in counts.items():
        check_count(name, value, low)
    check(thin <= steps // 4, "thin", f"at most steps/4 = {steps // 4}", thin)
    sigma = check_problem(y, A, model, sigma, z0, None, name="sigma", start="z0")
    check_number("sigma", sigma.min().item(), positive=True)
    eta = None if eta is None else float(eta)
    check_number("eta", 1.0 if eta is None else eta, positive=True)
    seeds = range(seeds, seeds + len(y)) if isinstance(seeds, Integral) else list(seeds)
    check(len(seeds) == len(y), "seeds", f"one integer, or one for each of {len(y)} images", seeds)
    zeros = origin(y, model)
    m, L = reference or (zeros, None)
    check(m.shape == zeros.shape, "reference", f"m of shape {list(zeros.shape)}", m.shape)
    square = (*zeros.shape, model.dim)
    check(L is None or L.shape == square, "reference", f"L of shape {list(square)}, or None", getattr(L, "shape", L))
    start, leaps = m if z0 is None else z0, leaps if method == "hmc" else 1
    run = Chains((y, A, model, sigma, eta), start, (m, L), method, chains, seeds, leaps, step)
    kept, images, squares, count = [], 0.0, 0.0, 0
    for k in progress(range(burn + steps), desc=method, disable=disable):
        if k == burn:
            run.accepted.zero_()
        run.advance(1 / (1 + k) ** 0.6 if k < burn else 0.0)
        if k >= burn and (k - burn) % thin == thin - 1:
            x = run.images().double()
            kept.append(run.z)
            images, squares, count = images + x.sum(0), squares + x.square().sum(0), count + chains
    samples, mean = torch.stack(kept), images / count
    std = ((squares / count - mean.square()) * (count / (count - 1))).clamp_min(0).sqrt()
    return Posterior(
        mean=mean.to(y.dtype),
        std=std.to(y.dtype),
        samples=samples,
        acceptance=run.accepted / steps,
        step=run.step,
        rhat=split_rhat(samples).amax(-1),
        ess=effective_size(samples).amin(-1),
    )


def check_samples(samples):
    """Raise ValueError unless samples are finite, [n, chains, ...] with n >= 4."""
    check_batch("samples", samples)
    check(len(samples) >= 4, "samples", "at least 4 samples, [n, chains, ...]", samples.shape)


def split_rhat(samples):
    """R̂ (Gelman & Rubin 1992), each chain cut in halves: √(((n − 1)/n W + B/n) / W), for samples [n, chains, ...].

    W is the mean variance within the half chains of length n, B/n the variance of their means. 1 where they agree.
    """
    check_samples(samples)
    n = len(samples) // 2
    halves = torch.cat([samples[:n], samples[n : 2 * n]], 1)
    within, between = halves.var(0).mean(0), halves.mean(0).var(0)
    # Chains that never move: 1 where they are at one place, ∞ where they are at several.
    ratio = torch.where(between > 0, between / within, 0)
    return ((n - 1) / n * (within > 0) + (within == 0) + ratio).sqrt()


def effective_size(samples):
    """The number of independent samples that are worth as much: n·chains/(1 + 2 Σ_t ρ_t), for samples [n, chains, ...].

    The autocorrelations ρ_t of all chains together are summed as long as ρ_{2t} + ρ_{2t+1} stays positive (Geyer 1992).
    """
    check_samples(samples)
    n, chains = samples.shape[:2]
    centred = samples - samples.mean(0)
    spectrum = torch.fft.rfft(centred, 2 * n, dim=0).abs().square()
    autocovariance = torch.fft.irfft(spectrum, 2 * n, dim=0)[:n].mean(1) / n
    within = autocovariance[0] * n / (n - 1)
    total = within * (n - 1) / n + samples.mean(0).var(0)
    rho = 1 - (within - autocovariance * n / (n - 1)) / torch.where(total > 0, total, 1)
    pairs = rho[: n // 2 * 2].unflatten(0, (-1, 2)).sum(1)
    positive = (pairs > 0).long().cumprod(0)
    time = (2 * (pairs * positive).sum(0) - 1).clamp_min(1 / math.log10(max(10, n * chains)))
    return n * chains / time
