"""Regularizers whose prox is a formula for each value."""

import torch

from course_lib.common import column
from course_lib.regularizers.base import Regularizer


class Box(Regularizer):
    """Indicator of the box [low, high]: φ(x) = 0 if every low <= x_i <= high, else ∞. Its prox clips, whatever τ is."""

    def __init__(self, low=0.0, high=1.0):
        if not low <= high:
            raise ValueError(f"low, high: expected low <= high, got {low}, {high}")
        self.low, self.high = low, high

    def value(self, x):
        outside = ((x < self.low) | (x > self.high)).flatten(1).any(1)
        return torch.zeros(len(x), dtype=x.dtype, device=x.device).masked_fill(outside, float("inf"))

    def prox_step(self, v, tau):
        return v.clamp(self.low, self.high)


class SquaredL2(Regularizer):
    """φ(x) = ½‖x‖², with the half: Tikhonov's simplest. prox(v) = v / (1 + τ)."""

    def value(self, x):
        return 0.5 * x.square().flatten(1).sum(1)

    def prox_step(self, v, tau):
        return v / (1 + column(tau, v))


class L1(Regularizer):
    """φ(x) = ‖x‖₁ = Σ |x_i|. prox(v) is the soft threshold, sign(v_i) max(|v_i| − τ, 0) (Donoho & Johnstone 1994)."""

    def value(self, x):
        return x.abs().flatten(1).sum(1)

    def prox_step(self, v, tau):
        tau = column(tau, v)
        # At τ = 0 nothing is taken off. Without the factor, v = 0 would be a corner there, with derivative 0, not 1.
        return torch.addcmul(v, v.clamp(-tau, tau), (tau > 0).to(v), value=-1)


class L0(Regularizer):
    """φ(x) = ‖x‖₀, the number of values that are not 0. It is not convex; prox(v) is the hard threshold, which keeps
    v_i where ½v_i² > τ and sets the others to 0 (at ½v_i² = τ both are minimizers).
    """

    def value(self, x):
        return (x != 0).flatten(1).sum(1).to(x.dtype)

    def prox_step(self, v, tau):
        tau = column(tau, v)
        # At τ = 0 all values are kept, 0 too: prox(v) = v has derivative 1 there.
        return torch.where((v.square() > 2 * tau) | (tau == 0), v, 0)
