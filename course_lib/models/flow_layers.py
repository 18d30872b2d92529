"""The layers of Glow: squeeze, actnorm, invertible 1×1 convolution, affine coupling; together, a step of flow.

Images and activations are [B, C, H, W]; each layer has `forward`, which also gives log|det| of its Jacobian where it
is not zero, and `inverse`.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

from course_lib.common import in_precision
from course_lib.models.packed import InverseStepsFunction, PackedNet, PackedStep, StepsFunction, fits, transformed


def log_scale(h, kind):
    """log s(h): `sigmoid` log sigmoid(h + 2), `bounded` log 2 · tanh(h / log 2), so that s stays in [1/2, 2]."""
    if kind == "sigmoid":
        return F.logsigmoid(h + 2)
    return math.log(2) * torch.tanh(h / math.log(2))


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
    """y = exp(log_s) ⊙ (x + b), one scale and one offset a channel; `initialize` makes y zero-mean, unit-variance."""

    def __init__(self, channels):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))
        self.log_s = nn.Parameter(torch.zeros(channels))

    @torch.no_grad()
    def initialize(self, x):
        self.bias.copy_(-x.mean((0, 2, 3)))
        self.log_s.copy_(-x.std((0, 2, 3)).clamp_min(1e-4).log())


class InvertibleConv(nn.Module):
    """1×1 convolution with W = P L (U + diag(sign ⊙ exp(log_s))): log|det W| is the sum of log_s (paper, eq. 10)."""

    def __init__(self, permutation):
        super().__init__()
        channels = len(permutation)
        self.register_buffer("P", torch.eye(channels)[permutation])
        self.register_buffer("sign", torch.ones(channels))
        self.L = nn.Parameter(torch.zeros(channels, channels))
        self.U = nn.Parameter(torch.zeros(channels, channels))
        self.log_s = nn.Parameter(torch.zeros(channels))

    def weight(self):
        """W, [C, C]."""
        lower = torch.tril(self.L, -1) + torch.eye(len(self.log_s), dtype=self.L.dtype, device=self.L.device)
        return self.P @ lower @ (torch.triu(self.U, 1) + torch.diag(self.sign * self.log_s.exp()))


class CouplingNet(nn.Sequential):
    """3×3, 1×1, 3×3 convolutions with ReLU; the last layer starts at zero, so that a coupling starts as identity."""

    def __init__(self, inputs, outputs, width):
        last = nn.Conv2d(width, outputs, 3, padding=1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        first, middle = nn.Conv2d(inputs, width, 3, padding=1), nn.Conv2d(width, width, 1)
        super().__init__(first, nn.ReLU(inplace=True), middle, nn.ReLU(inplace=True), last)
        self.precision, self.packed = None, None

    def freeze(self):
        """Keep the weights as they are now, laid out for the last two shapes of input that there will have been."""
        self.packed = {}

    def _apply(self, fn, recurse=True):
        self.packed = None if self.packed is None else {}
        return super()._apply(fn, recurse)

    def __getstate__(self):  # packed weights can be neither copied nor saved
        return self.__dict__ | {"packed": None if self.packed is None else {}}

    def packed_for(self, x):
        """The network for inputs as x [B, …, H, W], with packed weights; None where these cannot be used."""
        constant = self.packed is not None and self.precision is None and not self[0].weight.requires_grad
        if not (constant and fits(x)):
            return None
        shape = torch.Size((len(x), self[0].in_channels, *x.shape[2:]))
        key = shape, torch.get_num_threads()
        if key not in self.packed:
            convolutions = self[0], self[2], self[4]
            self.packed = dict([*self.packed.items()][-1:]) | {key: PackedNet(convolutions, shape)}
        return self.packed[key]

    def forward(self, a):
        net = self.packed_for(a)
        return in_precision(self.precision, super().forward, a) if net is None else net(a)


class FusedAffine(torch.autograd.Function):
    """(h, b) ↦ ((b + t) ⊙ s, Σ log s) with (t, h_s) = h, in fewer passes over memory than autograd's; when frozen."""

    @staticmethod
    def forward(ctx, h, b, kind):
        t, h_s = h.chunk(2, 1)
        log_s = log_scale(h_s, kind)
        s = log_s.exp()
        y = (b + t).mul_(s)
        ctx.kind = kind
        ctx.save_for_backward(log_s, s, y)
        return y, log_s.sum((1, 2, 3))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, y_grad, logdet_grad):
        log_s, s, y = ctx.saved_tensors
        s_grad = (y_grad * y).add_(logdet_grad[:, None, None, None])
        s_grad *= 1 - s if ctx.kind == "sigmoid" else 1 - (log_s / math.log(2)).square_()
        t_grad = y_grad * s
        return torch.cat([t_grad, s_grad], 1), t_grad, None


class Coupling(nn.Module):
    """(x_a, x_b) → (x_a, s(x_a) ⊙ (x_b + t(x_a))), with (t, log s) from a `CouplingNet`; triangular Jacobian."""

    def __init__(self, channels, width, scale):
        super().__init__()
        self.half, self.scale, self.frozen = channels // 2, scale, False
        outputs = channels - self.half
        self.net = CouplingNet(self.half, outputs if scale == "additive" else 2 * outputs, width)

    def freeze(self):
        self.frozen = True
        self.net.freeze()

    def parameters_of(self, a):
        """(t, log s), log s = None for an additive coupling."""
        h = self.net(a)
        if self.scale == "additive":
            return h, None
        t, h = h.chunk(2, 1)
        return t, log_scale(h, self.scale)

    def forward(self, a, b):
        """(y_b, log|det|) with log|det| of shape [B]."""
        if self.frozen and self.scale != "additive" and not transformed():
            return FusedAffine.apply(self.net(a), b, self.scale)
        return self.affine(b, *self.parameters_of(a))

    def inverse(self, a, y):
        return self.undo(y, *self.parameters_of(a))

    @staticmethod
    def affine(b, t, log_s):
        """(y, log|det|) = (s ⊙ (b + t), Σ log s)."""
        if log_s is None:
            return b + t, b.new_zeros(len(b))
        return (b + t) * log_s.exp(), log_s.sum((1, 2, 3))

    @staticmethod
    def undo(y, t, log_s):
        """b = y / s − t."""
        return y - t if log_s is None else y * (-log_s).exp() - t


class FlowStep(nn.Module):
    """Actnorm, invertible 1×1 convolution, coupling. The first two are one affine map a pixel, x ↦ V x + c."""

    def __init__(self, permutation, width, scale):
        super().__init__()
        self.actnorm, self.conv = ActNorm(len(permutation)), InvertibleConv(permutation)
        self.coupling = Coupling(len(permutation), width, scale)
        self.frozen = False

    def freeze(self):
        """Keep V, c, log|det V| and V⁻¹ as they are now; `linear` and `linear_inverse` compute them no more."""
        self.frozen = False
        (V, c, logdet), (V_inverse, _) = self.linear(), self.linear_inverse()
        for name, value in {"V": V, "c": c, "V_logdet": logdet, "V_inverse": V_inverse}.items():
            self.register_buffer(name, value.detach(), persistent=False)
        self.frozen = True
        self.coupling.freeze()

    def _apply(self, fn, recurse=True):
        super()._apply(fn, recurse)
        if self.frozen:  # V and V⁻¹ rounded to float32 are no inverses in float64
            self.freeze()
        return self

    def linear(self):
        """V = W diag(exp(log_s)) [C, C], c = V b [C], and log|det V|."""
        if self.frozen:
            return self.V, self.c, self.V_logdet
        V = self.conv.weight() * self.actnorm.log_s.exp()
        return V, V @ self.actnorm.bias, self.conv.log_s.sum() + self.actnorm.log_s.sum()

    def linear_inverse(self):
        """V⁻¹ [C, C] and c [C], with V⁻¹ computed in float64."""
        if self.frozen:
            return self.V_inverse, self.c
        V, c, _ = self.linear()
        return torch.linalg.inv(V.double()).to(V.dtype), c

    def forward(self, x):
        V, c, logdet = self.linear()
        a, b = F.conv2d(x, V[:, :, None, None], c).split(self.halves, 1)
        y, coupling_logdet = self.coupling(a, b)
        return torch.cat([a, y], 1), coupling_logdet + logdet * (x.shape[2] * x.shape[3])

    def inverse(self, h):
        a, y = h.split(self.halves, 1)
        h = torch.cat([a, self.coupling.inverse(a, y)], 1)
        V_inverse, c = self.linear_inverse()
        return F.conv2d(h - c[:, None, None], V_inverse[:, :, None, None])

    def packed_for(self, x):
        """This step for inputs as x [B, C, H, W], with packed weights; None where these cannot be used."""
        net = self.coupling.net.packed_for(x) if self.frozen and self.coupling.scale == "bounded" else None
        return net if net is None else PackedStep(self.V, self.c, self.V_inverse, self.V_logdet, net)

    @property
    def halves(self):
        return self.coupling.half, len(self.actnorm.bias) - self.coupling.half


def in_sequence(steps, x, logdet):
    """Steps of flow one after the other, each of which keeps what its gradient needs: (h, log|det| of all so far)."""
    packed = packed_steps(steps, x)
    if packed:
        x, packed_logdet = StepsFunction.apply(x, packed, needs_gradient(x))
        return x, logdet + packed_logdet
    for step in steps:
        x, step_logdet = step(x)
        logdet = logdet + step_logdet
    return x, logdet


def inverse_in_sequence(steps, h):
    """The inverse of `in_sequence`: x."""
    packed = packed_steps(steps, h)
    if packed:
        return InverseStepsFunction.apply(h, packed, needs_gradient(h))
    for step in reversed(steps):
        h = step.inverse(h)
    return h


def packed_steps(steps, x):
    """The steps with packed weights, for inputs as x; None where one of them has none."""
    packed = [step.packed_for(x) for step in steps]
    return packed if all(packed) else None


def needs_gradient(x):
    """Whether a gradient in x may be asked for: the activations that it needs are to be kept."""
    return x.requires_grad and torch.is_grad_enabled()
