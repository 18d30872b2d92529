"""Regularizers whose prox is a formula for each value or for each group of values."""

import torch

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
