"""The layers of Glow: squeeze, actnorm and invertible 1×1 convolution, affine coupling; together, a step of flow.

Activations are [B, C, H, W]. `forward` of a layer also gives log|det| of its Jacobian, [B], where it is not zero;
`inverse` undoes it. What follows from the weights (W, its inverse, …) is computed whenever it is used, and never kept:
beside the convolutions of the coupling networks it costs a few per cent, and so the weights may change at any time.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

from course_lib.common import in_precision

SCALES = ("sigmoid", "bounded", "additive", "volume_preserving")
PRESERVING = ("additive", "volume_preserving")
"""The scales with Σ log s = 0: such a coupling has log|det J| = 0 at every x."""


def log_scale(h, kind):
    """log s of a coupling, for the output h of its network, [B, C, …], one number a free variable:

        sigmoid              log sigmoid(h + 2),                                s in (0, 1)
        bounded              b(h) = log 2 · tanh(h / log 2),                    s in (1/2, 2)
        volume_preserving    b(h) − the mean of b(h) over the C channels,       Π s = 1, s in (1/4, 4)

    The last is the scale of GIN (Sorrenson, Rother & Köthe 2020, arXiv 2001.04872); `additive` has none, s = 1.
    """
    if kind == "sigmoid":
        return F.logsigmoid(h + 2)
    log_s = math.log(2) * torch.tanh(h / math.log(2))
    return log_s - log_s.mean(1, keepdim=True) if kind == "volume_preserving" else log_s


class HaarSqueeze(nn.Module):
    """Orthonormal Haar transform, [B, C, H, W] → [B, 4C, H/2, W/2]; the low-pass band comes first, |det| = 1."""

    def __init__(self, channels):
        super().__init__()
        signs = torch.tensor([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]) / 2
        kernel = torch.zeros(4, channels, channels, 4)
        for c in range(channels):
            kernel[:, c, c] = signs
        self.register_buffer("kernel", kernel.reshape(4 * channels, channels, 2, 2), persistent=False)

    def forward(self, x):
        return F.conv2d(x, self.kernel, stride=2)

    def inverse(self, h):
        return F.conv_transpose2d(h, self.kernel, stride=2)


class ActNorm(nn.Module):
    """The parameters of x ↦ exp(log_s) ⊙ (x + b), one scale and one offset a channel; `FlowStep` applies them."""

    def __init__(self, channels):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))
        self.log_s = nn.Parameter(torch.zeros(channels))

    @torch.no_grad()
    def initialize(self, x):
        """From x on, the channels have mean 0 and standard deviation 1. One that is constant, up to 1e-4, keeps its
        scale: it says nothing about its spread, and one over it would blow up whatever differs from x."""
        std = x.std((0, 2, 3))
        self.bias.copy_(-x.mean((0, 2, 3)))
        self.log_s.copy_(torch.where(std > 1e-4, -std.log(), 0))


class InvertibleConv(nn.Module):
    """The parameters of a 1×1 convolution with W = P L (U + diag(sign ⊙ exp(log_s))), with P a permutation, L and U
    triangular and L with ones on its diagonal: log|det W| is the sum of log_s (paper, eq. 10)."""

    def __init__(self, permutation):
        super().__init__()
        channels = len(permutation)
        self.register_buffer("P", torch.eye(channels)[permutation])
        self.register_buffer("sign", torch.ones(channels))
        self.L = nn.Parameter(torch.zeros(channels, channels))
        self.U = nn.Parameter(torch.zeros(channels, channels))
        self.log_s = nn.Parameter(torch.zeros(channels))

    def factors(self):
        """(P, L, U, sign, log_s), of which `lu_weight` and `lu_inverse` are functions."""
        return self.P, self.L, self.U, self.sign, self.log_s

    def weight(self):
        """W, [C, C]."""
        return lu_weight(*self.factors())


def upper_factor(U, sign, log_s):
    """U + diag(sign ⊙ exp(log_s)), [..., C, C]."""
    return torch.triu(U, 1) + torch.diag_embed(sign * log_s.exp())


def lu_weight(P, L, U, sign, log_s):
    """W, [..., C, C], of one 1×1 convolution or of several."""
    upper = upper_factor(U, sign, log_s)
    return P @ (upper + torch.tril(L, -1) @ upper)


def lu_inverse(P, L, U, sign, log_s):
    """W⁻¹, [..., C, C]: L⁻¹ Pᵀ, then U⁻¹ times that, by two triangular systems."""
    right = torch.linalg.solve_triangular(L, P.mT, upper=False, unitriangular=True)
    return torch.linalg.solve_triangular(upper_factor(U, sign, log_s), right, upper=True)


class CouplingNet(nn.Sequential):
    """3×3, 1×1, 3×3 convolutions with ReLU; the last layer starts at zero, so that a coupling starts as identity."""

    def __init__(self, inputs, outputs, width):
        last = nn.Conv2d(width, outputs, 3, padding=1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        first, middle = nn.Conv2d(inputs, width, 3, padding=1), nn.Conv2d(width, width, 1)
        super().__init__(first, nn.ReLU(inplace=True), middle, nn.ReLU(inplace=True), last)
        self.precision = None

    def forward(self, a):
        return in_precision(self.precision, super().forward, a)


class Coupling(nn.Module):
    """(a, b) ↦ (a, y) with y = s(a) ⊙ (b + t(a)), and (t, log s) from a `CouplingNet`; its Jacobian is triangular.

    a has half of the channels, rounded down; b and y, [B, C, H, W], the others.
    """

    def __init__(self, channels, width, scale):
        super().__init__()
        self.sizes, self.scale = (channels // 2, channels - channels // 2), scale
        half, outputs = self.sizes
        self.net = CouplingNet(half, outputs if scale == "additive" else 2 * outputs, width)

    def parameters_of(self, a):
        """(t, log s), each of the shape of b; log s = None for an additive coupling."""
        h = self.net(a)
        if self.scale == "additive":
            return h, None
        t, h = h.chunk(2, 1)
        return t, log_scale(h, self.scale)

    def forward(self, a, b):
        """(y, log|det|), with log|det| = Σ log s of shape [B]."""
        return self.affine(b, *self.parameters_of(a))

    def inverse(self, a, y):
        """b."""
        return self.affine_inverse(y, *self.parameters_of(a))

    def affine(self, b, t, log_s):
        """(y, log|det|) = (s ⊙ (b + t), Σ log s)."""
        y = b + t if log_s is None else (b + t) * log_s.exp()
        return y, b.new_zeros(len(b)) if self.scale in PRESERVING else log_s.sum((1, 2, 3))

    def affine_inverse(self, y, t, log_s):
        """b = y / s − t."""
        return y - t if log_s is None else y * (-log_s).exp() - t


class FlowStep(nn.Module):
    """x ↦ h: actnorm and 1×1 convolution, together one affine map a pixel, x ↦ V (x + b); then a coupling of its
    channels."""

    def __init__(self, permutation, width, scale):
        super().__init__()
        self.actnorm, self.conv = ActNorm(len(permutation)), InvertibleConv(permutation)
        self.coupling = Coupling(len(permutation), width, scale)

    def mix(self, x):
        """(V (x + b), log|det|): actnorm and convolution."""
        V, shift, logdet = linear_maps([self])
        return pointwise(x, V[0], shift[0]), logdet * (x.shape[2] * x.shape[3])

    def unmix(self, h):
        """x = V⁻¹ h − b, the inverse of `mix`."""
        V, shift = inverse_linear_maps([self])
        return pointwise(h, V[0], shift[0])

    def couple(self, h):
        """(h, log|det|) after the coupling."""
        a, b = h.split(self.coupling.sizes, 1)
        y, logdet = self.coupling(a, b)
        return torch.cat([a, y], 1), logdet

    def uncouple(self, h):
        """The inverse of `couple`."""
        a, y = h.split(self.coupling.sizes, 1)
        return torch.cat([a, self.coupling.inverse(a, y)], 1)

    def forward(self, x):
        """(h, log|det|) of shapes [B, C, H, W] and [B]."""
        h, logdet = self.mix(x)
        h, coupling_logdet = self.couple(h)
        return h, logdet + coupling_logdet

    def inverse(self, h):
        """x."""
        return self.unmix(self.uncouple(h))


class FlowLevel(nn.ModuleList):
    """`FlowStep`s one after the other. Their small matrices are computed together: one by one, at batch 1, they cost a
    fifth of what the flow costs beside its networks."""

    def forward(self, h):
        """(h, log|det|) of shapes [B, C, H, W] and [B]."""
        *maps, logdet = linear_maps(self)
        logdet = logdet * (h.shape[2] * h.shape[3])
        for step, V, shift in zip(self, *maps, strict=True):
            h, more = step.couple(pointwise(h, V, shift))
            logdet = logdet + more
        return h, logdet

    def inverse(self, h):
        """x."""
        for step, V, shift in reversed(list(zip(self, *inverse_linear_maps(self), strict=True))):
            h = pointwise(step.uncouple(h), V, shift)
        return h


def pointwise(x, V, shift):
    """V x + shift in each pixel."""
    return F.conv2d(x, V[:, :, None, None], shift)


def stacked(factors):
    """From K tuples of tensors, one tensor [K, …] for each place."""
    return [torch.stack(same) for same in zip(*factors, strict=True)]


def linear_maps(steps):
    """(V, V b, log|det V|) of K steps, [K, C, C], [K, C] and, summed over them, [], with V = W diag(exp(log_s))."""
    factors = stacked(step.conv.factors() for step in steps)
    bias, log_s = stacked((step.actnorm.bias, step.actnorm.log_s) for step in steps)
    V = lu_weight(*factors) * log_s.exp()[:, None]
    return V, (V @ bias[..., None])[..., 0], (factors[-1] + log_s).sum()


def inverse_linear_maps(steps):
    """(V⁻¹, −b) of K steps, with V⁻¹ = diag(exp(−log_s)) W⁻¹."""
    inverse = lu_inverse(*stacked(step.conv.factors() for step in steps))
    bias, log_s = stacked((step.actnorm.bias, step.actnorm.log_s) for step in steps)
    return (-log_s).exp()[..., None] * inverse, -bias
