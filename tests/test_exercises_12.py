"""The checks of notebook 12 tell right from blank from typical wrong answers, and name the mistake."""

import math

import torch

from course_lib.lab.exercises import glow as exercises
from course_lib.models import load_model
from course_lib.models.flow_layers import log_scale

BITS = math.log2(255)


def decoder(undo=lambda h, z, split: split.inverse(h, z), backwards=True, first="h", squeezed=True):
    """An answer to the exercise on the level, with some of its parts changed."""

    def answer(h, z, squeeze, steps, split):
        halves = [h, undo(h, z, split)]
        h = torch.cat(halves if first == "h" else halves[::-1], 1)
        for step in reversed(steps) if backwards else steps:
            h = step.inverse(h)
        return squeeze.inverse(h) if squeezed else h

    return answer


def forward(h, z, squeeze, steps, split):
    h = torch.cat([h, split.inverse(h, z)], 1)
    for step in steps:
        h, _ = step(h)
    return squeeze.inverse(h)


def grain(sigma, rho):
    return 0.5 * math.log2(2 * math.pi * sigma**2) + rho**2 / (2 * sigma**2 * math.log(2)) + BITS


def volume_preserving(h):
    return log_scale(h, "volume_preserving")


def measured(x, keep=614, probes=4, factor=1.0):
    """The numbers of the latent with the largest z² ‖∂D/∂z‖², estimated by random probes."""
    glow = load_model("glow")
    z = glow.encode(x).requires_grad_()
    image, generator, importance = glow.decode(z), torch.Generator().manual_seed(0), 0
    for _ in range(probes):
        v = torch.randn(image.shape, generator=generator)
        (slope,) = torch.autograd.grad(image, z, v, retain_graph=True)
        importance = importance + (z * slope).square().detach()
    mask = torch.zeros_like(z).index_fill_(1, importance[0].topk(keep).indices, factor)
    return z.detach() * mask


def largest(x):
    z = load_model("glow").encode(x)
    return z * (z.abs() >= z.abs()[0].topk(614).values.min())


CASES = {
    "check_decode_level": (
        decoder(),
        [
            (decoder(backwards=False), "order of the steps"),
            (decoder(undo=lambda h, z, split: z), "split is a coupling"),
            (decoder(undo=lambda h, z, split: split.inverse(z, h)), "network sees"),
            (decoder(first="z"), "comes first"),
            (decoder(squeezed=False), "squeeze is not undone"),
            (forward, "once more"),
            (decoder(undo=lambda h, z, split: 2 * z), "the last layer of the encoder first"),
            (lambda h, z, squeeze, steps, split: steps[0].inverse(h), "stopped with"),
            (lambda h, z, squeeze, steps, split: h, "half that left"),
        ],
    ),
    "check_most_likely": (
        "centre",
        [
            ("constant", "its volume"),
            ("face", "write down"),
            ("sample", "shorter latent"),
            ("moon", "write down"),
            ("noise", "long"),
            ("D(0)", "choose"),
        ],
    ),
    "check_grain_bits": (
        grain,
        [
            (lambda s, r: grain(s, r) - BITS, "adds log₂ 255"),
            (lambda s, r: (grain(s, r) - BITS) * math.log(2), "without the grey levels"),
            (lambda s, r: (grain(s, r) - BITS) * math.log(2) + BITS, "divide it by log 2"),
            (lambda s, r: grain(s, 0), "variance ρ²"),
            (lambda s, r: grain(s, s), "for ρ = σ only"),
            (lambda s, r: 2 * grain(s, r) - grain(s, 0), "mind the ½ of ε²"),
            (lambda s, r: 2 * BITS - grain(s, r), "more bits"),
            (lambda s, r: 2 * grain(s, 0) - grain(s, r), "more bits"),
            (lambda s, r: grain(s, r) - 2 * BITS, "sign of log₂ 255"),
            (lambda s, r: grain(s, r) + math.log2(s), "mind the ½ in front"),
            (lambda s, r: grain(s, r) + 8 - BITS, "255 steps"),
            (lambda s, r: grain(r, s) if r else 1.0, "take the mean"),
            (lambda s, r: 5.0, "take the mean"),
            (lambda s, r: "many", "one number"),
        ],
    ),
    "check_few_latents": (
        measured,
        [
            (largest, "the first point is at 13 dB"),
            (lambda x: load_model("glow").encode(x), "there are 12288"),
            (lambda x: load_model("glow").encode(x)[:, :614], "shape"),
            (lambda x: measured(x, factor=math.nan), "NaN"),
        ],
    ),
    "check_constant_volume": (
        volume_preserving,
        [
            (torch.zeros_like, "additive"),
            (lambda h: log_scale(h, "bounded"), "log|det| is the sum"),
            (lambda h: h - h.mean(1, keepdim=True), "start from the bounded"),
            (lambda h: log_scale(h, "bounded") - log_scale(h, "bounded").mean(), "never over the batch"),
            (lambda h: torch.linspace(-1, 1, 6, dtype=h.dtype)[:, None, None].expand_as(h), "same ones"),
            (lambda h: log_scale(h, "bounded").log_softmax(1), "log|det| is the sum"),
            (lambda h: h.mean(1), "shape"),
        ],
    ),
    "check_most_likely_sister": (
        "constant",
        [
            ("face", "neighbours"),
            ("sample", "typical"),
            ("centre", "volume counts"),
            ("moon", "smoother"),
            ("noise", "most bits"),
            ("cat", "choose"),
        ],
    ),
}


def test_another_mean_than_that_of_the_channels_preserves_the_volume_too(capsys):
    assert exercises.check_constant_volume(lambda h: torch.tanh(h) - torch.tanh(h).mean((1, 2, 3), keepdim=True))
    assert exercises.check_constant_volume(lambda h: torch.tanh(h - h.flip(1)))


def test_answers_in_float32_and_plain_numbers_count(capsys):
    assert exercises.check_grain_bits(lambda s, r: torch.tensor(grain(s, r), dtype=torch.float64))
    assert exercises.check_most_likely(" Centre ")
