"""Unrolled algorithms: K steps of a solver are K layers of a network, and what the theory fixes is learned instead.

    LISTA      K steps of ISTA for a known matrix; matrices and thresholds are learned        Gregor & LeCun 2010
    ADMMNet    K steps of ADMM for a known operator; ρ, step and shrinkage are learned        Yang et al. 2016

Before training, each of them is its solver, step for step (LISTA: without `select`).
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

from course_lib.common import check, check_batch, check_calls, check_count, check_like, check_number


def soft_threshold(v, threshold):
    """sign(v) max(|v| − θ, 0) for a tensor θ >= 0 that broadcasts, the prox of θ‖·‖₁; differentiable in both."""
    return v - torch.clamp(v, -threshold, threshold)


def gaussian_matrix(m, n, seed=0):
    """A matrix [m, n] of independent Gaussian entries whose columns are then scaled to norm 1."""
    A = torch.randn(m, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (A / A.norm(dim=0)).to(torch.get_default_dtype())


class LISTA(nn.Module):
    """K layers of ISTA for ẑ = argmin_z ½‖A z − y‖² + λ‖z‖₁, with learned matrices, thresholds (Gregor & LeCun 2010):

        z⁺ = S_θ(W y + V z),  at the start  W = τAᵀ,  V = I − τAᵀA,  θ = τλ,  τ = 1/‖A‖²,

    from z = 0, with the soft threshold S_θ, θ >= 0. `coupled` keeps V = I − W A, as layers that find the true code must
    in the limit (Chen et al. 2018): z⁺ = S_θ(z + W(y − A z)), with A known and fewer parameters. With `select`, the
    largest values pass S_θ unshrunk, a share of select · k/K in layer k (support selection, ibid.).

    Args:
        A: the matrix, a float tensor [m, n]; or its two sizes (m, n), for `gaussian_matrix(m, n, seed)`.
        layers: K >= 1. lam: λ > 0 of the start.
        coupled: learn W and θ only. shared: one W (and V) for all layers, as in the paper; else one for each.
        select: a share in [0, 1), 0 for the plain network.
        density, sigma: share of values other than 0 of the codes (`bernoulli_gaussian`), and noise, in training; the
            network does not use them.

    Data are [..., m] and codes [..., n]: the last dimension counts, all others are a batch.
    """

    def __init__(self, A, layers=10, lam=0.1, coupled=False, shared=False, select=0.0, density=0.1, sigma=0.0, seed=0):
        super().__init__()
        if not torch.is_tensor(A):
            check(isinstance(A, tuple | list) and len(A) == 2, "A", "a matrix, or its two sizes", A)
            A = gaussian_matrix(*A, seed)
        matrix = A.is_floating_point() and A.dim() == 2 and bool(A.isfinite().all())
        check(matrix, "A", "a finite float tensor [m, n]", A.shape)
        check_count("layers", layers, low=1)
        check_number("lam", lam, positive=True)
        check(0 <= select < 1, "select", "a share in [0, 1)", select)
        A = A.detach().clone()
        tau = 1 / torch.linalg.matrix_norm(A, 2) ** 2
        check(bool(tau.isfinite()), "A", "a matrix other than 0", "zeros")
        self.config = {"A": list(A.shape), "layers": layers, "lam": lam, "coupled": coupled, "shared": shared}
        self.config |= {"select": select, "density": density, "sigma": sigma, "seed": seed}
        self.layers, self.coupled = layers, coupled
        count = 1 if shared else layers
        self.register_buffer("A", A)
        self.W = nn.Parameter((tau * A.mT).repeat(count, 1, 1))
        if not coupled:
            eye = torch.eye(A.shape[1], dtype=A.dtype, device=A.device)
            self.V = nn.Parameter((eye - tau * A.mT @ A).repeat(count, 1, 1))
        self.threshold = nn.Parameter((tau * lam).repeat(count))

    def shrink(self, v, k):
        """The last half of layer k = 0, …, K − 1: the soft threshold, but for the values that are selected."""
        shrunk = soft_threshold(v, self.threshold[k % len(self.W)].abs())
        passing = round(self.config["select"] * (k + 1) / self.layers * v.shape[-1])
        if not passing:
            return shrunk
        size = v.abs()
        return torch.where(size >= size.topk(passing).values[..., -1:], v, shrunk)

    def step(self, z, y, k):
        """Layer k = 0, …, K − 1: from a code [..., n] to the next."""
        i = k % len(self.W)  # one matrix for all layers, if shared
        W = self.W[i]
        if self.coupled:
            return self.shrink(z + (y - z @ self.A.mT) @ W.mT, k)
        return self.shrink(y @ W.mT + z @ self.V[i].mT, k)

    def iterates(self, y):
        """The codes after 0, 1, …, K layers: a list of K + 1 tensors [..., n], the first of zeros."""
        fits = torch.is_tensor(y) and y.is_floating_point() and y.dim() > 1 and y.shape[-1] == len(self.A)
        check(fits, "y", f"a float tensor [..., {len(self.A)}]", getattr(y, "shape", type(y).__name__))
        check_like("y", y, self.A)
        codes = [y.new_zeros(*y.shape[:-1], self.A.shape[1])]
        for k in range(self.layers):
            codes.append(self.step(codes[-1], y, k))
        return codes

    def forward(self, y):
        return self.iterates(y)[-1]

    def freeze(self):
        """For inference: no gradients of the weights."""
        return self.requires_grad_(False).eval()


def cosine_filters(size):
    """The size² − 1 oscillating DCT atoms of size×size blocks, divided by size: [size² − 1, 1, size, size], float64.

    With the constant atom they are a tight frame of all images with periodic borders: Σ_l W_lᵀ W_l = I.
    """
    k, i = torch.arange(size, dtype=torch.float64)[:, None], torch.arange(size, dtype=torch.float64)
    C = torch.cos(math.pi * (2 * i + 1) * k / (2 * size))
    C = C / C.norm(dim=1, keepdim=True)
    atoms = torch.einsum("ai,bj->abij", C, C).reshape(size**2, 1, size, size)
    return atoms[1:] / size


def wrap(x, pad):
    """The adjoint of periodic padding: what stands in the `pad` outer rows and columns is added on the other side."""
    for dim in (2, 3):
        n = x.shape[dim] - 2 * pad
        first, inner, last = x.split([pad, n, pad], dim)
        low, middle, high = inner.split([pad, n - 2 * pad, pad], dim)
        x = torch.cat([low + last, middle, high + first], dim)
    return x


class ADMMNet(nn.Module):
    """K steps of ADMM for ½‖A x − y‖² + λ φ(x) with a learned prox, as ADMM-Net (Yang et al. 2016):

        x⁺ = argmin_x ½‖A x − y‖² + (ρ/2)‖x − z + u‖²,
        z⁺ = v − Σ_l W_lᵀ r_l(W_l v),   v = x⁺ + u,   r_l(c) = Σ_j a_lj clip(c, ±t_lj),
        u⁺ = u + η(x⁺ − z⁺),

    from z = u = 0; the estimate is z. Each layer has its own ρ, η, convolutions W_l (periodic borders) and odd
    piecewise linear functions r_l: what the shrinkage c − r_l(c) takes away. A is not learned: it acts by `A.prox`.

    At the start W_l are the `cosine_filters`, η = 1, and r_l clips at (λ/ρ)/side: z⁺ shrinks the DCT of every
    side×side block of v by λ/ρ and averages over all positions of the blocks (cycle spinning, Coifman & Donoho 1995).
    That map is the prox of a convex φ, so the untrained network is `solvers.admm` with φ, stopped after K steps.

    Args:
        layers: K >= 1. side: of the filters, odd. knots: number of breakpoints t_lj > 0 of each r_l; at the start
            the j-th is at 2^j times the first, and has a_lj = 0 but for the first, which has 1. rho, lam: ρ, λ > 0.
        fraction, sigma: of the measurements (`SubsampledTransform`), and noise, in training; the network does not use
            them.

    Channels are treated alike, one by one.
    """

    def __init__(self, layers=8, side=5, knots=2, rho=0.1, lam=0.03, fraction=0.3, sigma=0.01):
        super().__init__()
        check_count("layers", layers, low=1)
        check_count("knots", knots, low=1)
        check(side % 2 == 1 and side > 1, "side", "an odd integer > 1", side)
        check_number("rho", rho, positive=True)
        check_number("lam", lam, positive=True)
        check(0 < fraction <= 1, "fraction", "a number in (0, 1]", fraction)
        self.config = {"layers": layers, "side": side, "knots": knots, "rho": rho, "lam": lam}
        self.config |= {"fraction": fraction, "sigma": sigma}
        dtype, filters = torch.get_default_dtype(), side**2 - 1
        self.W = nn.Parameter(cosine_filters(side).to(dtype)[None, :, 0].repeat(layers, 1, 1, 1))
        self.a = nn.Parameter(torch.eye(knots, dtype=dtype)[0, :, None].repeat(layers, 1, filters))
        breaks = lam / rho / side * 2.0 ** torch.arange(knots, dtype=dtype)
        self.log_t = nn.Parameter(breaks.log()[:, None].repeat(layers, 1, filters))
        self.log_rho = nn.Parameter(torch.full((layers,), math.log(rho), dtype=dtype))
        self.eta = nn.Parameter(torch.ones(layers, dtype=dtype))

    def denoise(self, v, k):
        """The prox of layer k: v − Σ_l W_lᵀ r_l(W_l v), [B, C, H, W]."""
        side, W = self.W.shape[-1], self.W[k][:, None]
        c = F.conv2d(F.pad(v.flatten(0, 1)[:, None], [side // 2] * 4, "circular"), W)
        a, t = self.a[k][..., None, None], self.log_t[k].exp()[..., None, None]  # [J, L, 1, 1]
        removed = sum(a_j * t_j * F.hardtanh(c / t_j) for a_j, t_j in zip(a, t, strict=True))
        return v - wrap(F.conv_transpose2d(removed, W), side // 2).reshape(v.shape)

    def iterates(self, y, A):
        """The images after 0, 1, …, K layers: a list of K + 1 batches [B, C, H, W], the first of zeros."""
        check_batch("y", y, 4)
        check_calls("A", A, "__call__", "T", "prox")
        check_like("y", y, self.eta)
        z = torch.zeros_like(A.T(y))
        u, images, rho = z, [z], self.log_rho.exp()
        for k in range(len(rho)):
            x = A.prox(z - u, y, rho[k])
            z = self.denoise(x + u, k)
            u = u + self.eta[k] * (x - z)
            images.append(z)
        return images

    def forward(self, y, A):
        return self.iterates(y, A)[-1]

    def freeze(self):
        """For inference: no gradients of the weights."""
        return self.requires_grad_(False).eval()
