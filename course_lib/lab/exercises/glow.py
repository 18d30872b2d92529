"""Checks of the exercises in notebook 12."""

import math

import torch

from course_lib.lab.exercises import normal
from course_lib.lab.exercises.checking import call, chosen, close, compare, exercise, expect, number, tensor_like


@exercise
def check_actnorm_logdet(answer):
    """Right: each of the H·W pixels of channel c is multiplied by s_c, so log|det J| = H·W · Σ log s_c."""
    log_s = torch.tensor([0.4, -1.1, 0.3], dtype=torch.float64)
    height, width = 5, 7
    right, value = 35 * log_s.sum().item(), number(call(answer, log_s, height, width), "the log-determinant")
    s = log_s.exp()
    wrong = {
        "s_c multiplies every pixel of its channel, not one value: how many pixels are there?": log_s.sum(),
        "the sum of s_c; the logarithm of a product is the sum of the log s_c.": 35 * s.sum(),
        "a determinant is a product: take the logarithm first, then the sum.": 35 * s.sum().log(),
        "sum over the channels, do not average: each channel adds its own factors.": 35 * log_s.mean(),
        "that is |det J| itself; in an image it over- or underflows. Keep its logarithm.": math.exp(right),
        "the sign: y = s (x + b) stretches by s where s > 1, so log s counts with a plus.": -right,
    }
    compare(value, right, wrong, f"for this test the log-determinant is {right:.3f}, got {value:.3f}.")


@exercise
def check_coupling_inverse(answer):
    """Right: a was copied, so the network can be asked again; then divide by s, and subtract t."""
    a, b = normal(2, 2, 3, 4, 4)

    def net(a):
        return torch.cos(2 * a) + a.roll(1, 3), torch.tanh(a + 0.3)

    (t, log_s), x = net(a), torch.cat([a, b], 1)
    y_b = log_s.exp() * (b + t)
    value = call(answer, torch.cat([a, y_b], 1), net)
    expect(not (torch.is_tensor(value) and value.shape == b.shape), "return both halves: torch.cat([a, b], 1).")
    tensor_like(value, x, "x")
    expect(close(value[:, :3], a), "the first half was copied: x_a is y_a, as it came.")
    t_y, log_s_y = net(y_b)
    wrong = {
        "ask the network about a, the half that was copied; y_b is not what it saw.": y_b * (-log_s_y).exp() - t_y,
        "the order: undo the scale first, then the shift; (y_b − t) / s does it backwards.": (y_b - t) * (-log_s).exp(),
        "the scale is still there: divide by s = exp(log s), or multiply by exp(−log s).": y_b * log_s.exp() - t,
        "the sign of t: the coupling added it, so subtract it.": y_b * (-log_s).exp() + t,
        "the network returns log s, not s: take its exponential before you divide.": y_b / log_s - t,
        "only t is undone: y_b was also multiplied by s.": y_b - t,
        "only s is undone: t was also added.": y_b * (-log_s).exp(),
    }
    compare(value[:, 3:], b, wrong, "solve y_b = s(a) (b + t(a)) for b, with (t, log s) = net(a).")


@exercise
def check_bits_per_dim(answer):
    """Right: −log₂ p / d, and log₂ 255 for the width of a grey level."""
    log_p, dim = torch.tensor([30.0, -12.0, 0.0], dtype=torch.float64), 12
    bits, width = -log_p / math.log(2), math.log2(255)
    right, value = bits / dim + width, call(answer, log_p, dim)
    wrong = {
        "the sign: a larger log p has to give fewer bits.": width - bits / dim,
        "that counts in nats: divide log p by log 2.": -log_p / dim + width,
        "that counts in nats: divide log p by log 2; and the grey levels count log₂ 255.": -log_p / dim + math.log(255),
        "a density is no probability yet: a grey level is 1/255 wide, which adds log₂ 255.": bits / dim,
        "the sign of log₂ 255: a narrower grey level has a smaller probability, hence more bits.": bits / dim - width,
        "divide by d: bits for each value, not for the image.": bits + width,
        "divide only log p by d: every value has its own grey level, of width 1/255.": (bits + width) / dim,
        "256 levels have 255 steps between 0 and 1: the width is 1/255.": right + math.log2(256 / 255),
    }
    compare(value, right, wrong, f"for log p = 30 and d = 12 it is {right[0]:.3f} bits.", 1e-6)


@exercise
def check_most_likely(answer):
    """Right: a grey square is the easiest to predict from its parts, and the density is about nothing else."""
    hints = {
        "face": "faces were what the model saw. But what it learned best holds for all images: neighbours are alike.",
        "sample": "a sample is typical, not most probable: it carries the grain that the model learned.",
        "moon": "close: it is smooth. Is another one smoother still?",
        "noise": "nothing in it can be predicted from the rest: that takes the most bits, not the fewest.",
    }
    chosen(answer, "constant", hints)
