"""A flow for points of the plane (or of any small dimension), and densities to learn whose truth is known.

`RealNVP` (Dinh et al. 2016, arXiv 1605.08803) is a chain of affine couplings between points x and latents z, [B, d]
both. Change of variables gives its exact density,

    log p(x) = log N(E(x); 0, I) + log|det J_E(x)|.

The densities are mixtures of Gaussians: a few blobs, or so many of them along a curve that they merge. Their log p(x)
is a formula, and a loss can be compared with their entropy.
"""

import math

import torch
from torch import nn

from course_lib.common import check, check_count, check_input, check_number, without_autocast
from course_lib.models.flow_layers import PRESERVING, log_scale

SCALES = ("bounded", "additive", "volume_preserving")


class PointCoupling(nn.Module):
    """x = (x_a, x_b) ↦ (x_a, s(x_a) ⊙ (x_b + t(x_a))), log|det J| = Σ log s(x_a); (t, log s) from a small MLP.

    x_a is the first half of the coordinates and x_b the rest, or the other way round if `swap`. The last layer of the
    MLP starts at zero: a new coupling is the identity.

    Args:
        dim: d, the number of coordinates. width: hidden units. swap: whether the last half drives the first.
        scale: `bounded`, s in [1/2, 2], or `volume_preserving`, Π s = 1 (both: `flow_layers.log_scale`), or `additive`,
            s = 1 (NICE, arXiv 1410.8516).
    """

    def __init__(self, dim, width, swap, scale):
        super().__init__()
        self.sizes, self.swap, self.scale = [dim // 2, dim - dim // 2], swap, scale
        inputs, outputs = reversed(self.sizes) if swap else self.sizes
        last = nn.Linear(width, outputs if scale == "additive" else 2 * outputs)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.net = nn.Sequential(nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), last)

    def halves(self, x):
        """(x_a, x_b) of x [B, d]."""
        first, last = x.split(self.sizes, 1)
        return (last, first) if self.swap else (first, last)

    def join(self, a, b):
        """The inverse of `halves`."""
        return torch.cat([b, a] if self.swap else [a, b], 1)

    def parameters_of(self, a):
        """(t, log s) for x_a; log s = 0 for an additive coupling."""
        h = self.net(a)
        if self.scale == "additive":
            return h, torch.zeros_like(h)
        t, h = h.chunk(2, 1)
        return t, log_scale(h, self.scale)

    def forward(self, x):
        """(y, log|det J|) of shapes [B, d] and [B]."""
        a, b = self.halves(x)
        t, log_s = self.parameters_of(a)
        logdet = x.new_zeros(len(x)) if self.scale in PRESERVING else log_s.sum(1)
        return self.join(a, log_s.exp() * (b + t)), logdet

    def inverse(self, y):
        """x with forward(x) = y; the MLP is evaluated, not inverted."""
        a, b = self.halves(y)
        t, log_s = self.parameters_of(a)
        return self.join(a, (-log_s).exp() * b - t)


class RealNVP(nn.Module):
    """A flow for points x [B, d]: couplings whose halves alternate, with a latent z [B, d], z ~ N(0, I).

    Args:
        dim: d, at least 2. couplings: their number. width: hidden units of each coupling's MLP.
        scale: `bounded`, `additive` or, from d = 4 on, `volume_preserving` (see `PointCoupling`). Where a coupling
            changes one coordinate, the latter would leave it s = 1, as `additive` does.
    """

    def __init__(self, dim=2, couplings=8, width=32, scale="bounded"):
        super().__init__()
        for name, value, low in (("dim", dim, 2), ("couplings", couplings, 1), ("width", width, 1)):
            check_count(name, value, low)
        check(scale in SCALES, "scale", f"one of {SCALES}", repr(scale))
        if scale == "volume_preserving":
            check(dim >= 4, "dim", "at least 4 with a volume-preserving scale (below, take 'additive')", dim)
        self.config = {"dim": dim, "couplings": couplings, "width": width, "scale": scale}
        self.couplings = nn.ModuleList(PointCoupling(dim, width, k % 2 == 1, scale) for k in range(couplings))

    @property
    def dim(self):
        """d, the dimension of point and latent."""
        return self.config["dim"]

    def encode(self, x):
        """z = E(x), [B, d], for points x [B, d]."""
        return self.encode_with_logdet(x)[0]

    def encode_with_logdet(self, x):
        """(E(x), log|det J_E(x)|), of shapes [B, d] and [B], for points x [B, d]."""
        check_input("x", x, (self.dim,), next(self.parameters()))
        with without_autocast(x):
            logdet = x.new_zeros(len(x))
            for coupling in self.couplings:
                x, more = coupling(x)
                logdet = logdet + more
            return x, logdet

    def decode(self, z):
        """x = D(z), [B, d], for latents z [B, d]."""
        check_input("z", z, (self.dim,), next(self.parameters()))
        with without_autocast(z):
            for coupling in reversed(self.couplings):
                z = coupling.inverse(z)
            return z

    def log_prob(self, x):
        """log p(x) = log N(E(x); 0, I) + log|det J_E(x)| in nats, [B]."""
        z, logdet = self.encode_with_logdet(x)
        return logdet - 0.5 * (z.square().sum(1) + self.dim * math.log(2 * math.pi))

    def sample(self, count, temperature=1.0, generator=None):
        """x = D(T ε), ε ~ N(0, I): `count` points, [count, d]."""
        check_count("count", count)
        check_number("temperature", temperature)
        parameter = next(self.parameters())
        z = torch.randn(count, self.dim, generator=generator, dtype=parameter.dtype).to(parameter.device)
        return self.decode(temperature * z)


class Mixture:
    """p(x) = 1/K Σ_k N(x; m_k, σ² I): a mixture of equal Gaussians, with the calls of a flow that need no latent.

    Args:
        means: the m_k, a float tensor [K, d]. sigma: σ > 0.
    """

    def __init__(self, means, sigma):
        check(torch.is_tensor(means) and means.dim() == 2 and len(means) > 0, "means", "a tensor [K, d]", means)
        check_number("sigma", sigma, positive=True)
        self.means, self.sigma = means, sigma

    @property
    def dim(self):
        """d, the dimension of a point."""
        return self.means.shape[1]

    def log_prob(self, x):
        """log p(x) in nats, [B], for points x [B, d]."""
        fits = torch.is_tensor(x) and x.dim() == 2 and x.shape[1] == self.dim
        check(fits, "x", f"points of shape [B, {self.dim}]", getattr(x, "shape", type(x).__name__))
        distance = (x[:, None] - self.means.to(x)).square().sum(2)  # [B, K]
        constant = self.dim * math.log(self.sigma * math.sqrt(2 * math.pi)) + math.log(len(self.means))
        return torch.logsumexp(-0.5 / self.sigma**2 * distance, 1) - constant

    def sample(self, count, generator=None):
        """`count` points, [count, d]."""
        chosen = torch.randint(len(self.means), (count,), generator=generator)
        noise = torch.randn(count, self.dim, generator=generator, dtype=self.means.dtype)
        return self.means[chosen] + self.sigma * noise


def two_moons(sigma=0.1, points=100):
    """Two interleaved half circles of radius 1, each a `Mixture` of `points` Gaussians: (cos u, sin u) and
    (1 − cos u, ½ − sin u)."""
    u = math.pi * (torch.arange(points) + 0.5) / points
    upper = torch.stack([u.cos(), u.sin()], 1)
    return Mixture(torch.cat([upper, torch.tensor([1.0, 0.5]) - upper]), sigma)


def ring(radius=1.5, sigma=0.15, points=100):
    """A circle around 0, a `Mixture` of `points` Gaussians; with few points, so many separate blobs."""
    u = 2 * math.pi * torch.arange(points) / points
    return Mixture(radius * torch.stack([u.cos(), u.sin()], 1), sigma)


def spiral(sigma=0.1, turns=1.5, points=200):
    """A spiral from 0 to radius 2, a `Mixture` of `points` Gaussians at equal distances along it."""
    u = 2 * math.pi * turns * ((torch.arange(points) + 0.5) / points).sqrt()
    return Mixture(2 / (2 * math.pi * turns) * u[:, None] * torch.stack([u.cos(), u.sin()], 1), sigma)


def blobs(separation=4.0, sigma=1.0):
    """Two Gaussian blobs on the first axis, `separation` apart: a `Mixture` of two."""
    return Mixture(torch.tensor([[-separation / 2, 0.0], [separation / 2, 0.0]]), sigma)
