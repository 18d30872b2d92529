"""Checks of the exercises in notebook 12."""

import math

import torch

from course_lib.data import face
from course_lib.lab.exercises import normal
from course_lib.lab.exercises.checking import (
    call,
    chosen,
    compare,
    exercise,
    expect,
    number,
    open_exercise,
    tensor_like,
)
from course_lib.metrics import psnr
from course_lib.models.flow_layers import Coupling, FlowStep, HaarSqueeze
from course_lib.models.weights import load_model


@exercise
def check_constant_volume(answer):
    """Right: the logarithms of the scales add up to zero for every image, and they still depend on the image."""
    r = 3 * normal(3, 6, 4, 5)
    log_s = call(answer, r)
    tensor_like(log_s, r, "log s")
    log_s = log_s.detach()
    expect(log_s.abs().max() > 1e-9, "that is the additive coupling, s = 1: the scales should depend on r.")
    total = log_s.sum((1, 2, 3))
    over_all = (
        "take the mean within each image, never over the batch: what an image's code is must not depend on others."
    )
    expect(abs(total.sum()) > 1e-6 or total.abs().max() < 1e-6, over_all)
    expect(
        total.abs().max() < 1e-6, f"log|det| is the sum of log s over channels and pixels: here {total[0]:.3g}, not 0."
    )
    alone = call(answer, r[:1])
    expect(torch.allclose(alone.detach(), log_s[:1]), over_all)
    expect(
        not torch.allclose(log_s[:1], log_s[1:2]), "the scales should depend on r: here each image has the same ones."
    )
    wild = call(answer, 100 * r).detach().abs().max().item()
    expect(
        wild < math.log(100), f"for large r a scale becomes e^{wild:.0f}: start from the bounded logarithm, not from r."
    )


def small_level():
    """(squeeze, steps, split) for 2 channels, in float64, with random weights."""
    steps = [
        FlowStep(torch.tensor(order), 6, "bounded") for order in ([3, 0, 6, 1, 7, 2, 5, 4], [1, 5, 0, 3, 7, 6, 4, 2])
    ]
    level = [HaarSqueeze(2), *steps, Coupling(8, 6, "bounded")]
    generator = torch.Generator().manual_seed(0)
    for layer in level:
        layer.double().requires_grad_(False)
        for p in layer.parameters():
            p.copy_(0.4 * torch.randn(p.shape, generator=generator, dtype=p.dtype))
    return level[0], steps, level[3]


@exercise
def check_decode_level(answer):
    """Right: the half that left is undone and put back, then the steps, the last one first, and then the squeeze."""
    squeeze, steps, split = small_level()
    h, z = normal(2, 2, 4, 3, 3)
    right_z = split.inverse(h, z)

    def through(h, order=(1, 0), squeezed=True):
        for k in order:
            h = steps[k].inverse(h)
        return squeeze.inverse(h) if squeezed else h

    def joined(first, second):
        return torch.cat([first, second], 1)

    right = through(joined(h, right_z))
    value = call(answer, h, z, squeeze, steps, split)
    wrong = {
        "the squeeze is not undone yet: there are four times as many channels as in an image.": through(
            joined(h, right_z), squeezed=False
        ),
        "the half that left is not in there: put it beside h first, torch.cat([h, …], 1).": h,
        "the split is a coupling, too: undo it, with split.inverse(h, z), before you put the halves together.": through(
            joined(h, z)
        ),
        "the order of the steps: what was done last is undone first.": [
            through(joined(h, right_z), (0, 1)),
            through(joined(h, z), (0, 1)),
        ],
        "the half that stayed comes first: torch.cat([h, …], 1).": [
            through(joined(right_z, h)),
            through(joined(z, h)),
        ],
        "of a split, h is the half that its network sees, and z the one that it has changed: split.inverse(h, z).": (
            through(joined(h, split.inverse(z, h)))
        ),
        "a step is undone by step.inverse; step(h) does it once more.": [
            squeeze.inverse(steps[0](steps[1](joined(h, right_z))[0])[0]),
            squeeze.inverse(steps[1](steps[0](joined(h, right_z))[0])[0]),
        ],
    }
    compare(value, right, wrong, "undo split, steps and squeeze, in this order: the last layer of the encoder first.")


@open_exercise(13, 18, 21, unit=" dB")
def check_few_latents(answer):
    """That is the PSNR of the other face of the course, the admiral, from 614 of her 12,288 numbers."""
    x, glow = face("admiral"), load_model("glow")
    z = call(answer, x)
    tensor_like(z, x.flatten(1), "z")
    used = int((z != 0).sum())
    expect(used <= 614, f"at most 614 of the numbers may differ from zero; there are {used}.")
    with torch.no_grad():
        score = psnr(glow.decode(z.detach().float()).clamp(0, 1), x).item()
    return math.floor(10 * score) / 10  # what is printed never looks like a point that is not reached


@exercise
def check_most_likely(answer):
    """Right: with a constant volume, log p = −½‖E(x)‖² + const, and D(0) is the one image with ‖E(x)‖ = 0."""
    hints = {
        "constant": "what could make a grey square more likely than all else is its volume; here all images have one.",
        "face": "write down log p(x) when log|det J_E| is a constant: which x maximizes it?",
        "sample": "a sample has ‖z‖² ≈ d. Is there an image with a shorter latent?",
        "moon": "write down log p(x) when log|det J_E| is a constant: which x maximizes it?",
        "noise": "noise is as unlike the training data as can be: its latent is long.",
    }
    chosen(answer, "centre", hints)


@exercise
def check_most_likely_sister(answer):
    """Right: a grey square is the easiest to predict from its parts, so E stretches most there: the volume decides."""
    hints = {
        "face": "faces were what the model saw. But what it learned best holds for all images: neighbours are alike.",
        "sample": "a sample is typical, not most probable: it carries the grain that the model learned.",
        "centre": "its latent is short, but now the volume counts, too: where can E stretch the most?",
        "moon": "close: it is smooth. Is another one smoother still?",
        "noise": "nothing in it can be predicted from the rest: that takes the most bits, not the fewest.",
    }
    chosen(answer, "constant", hints)


@exercise
def check_grain_bits(answer):
    """Right: ½ log₂(2π σ²) + ½ (ρ/σ)² log₂ e for the grain, and log₂ 255 for the width of a grey level."""
    pairs = (0.02, 0.03), (0.3, 0.1), (0.2, 0.0)
    value = torch.tensor([number(call(answer, *pair), "the bits") for pair in pairs], dtype=torch.float64)
    sigmas, rhos = torch.tensor(pairs, dtype=torch.float64).T
    constant, spread, nat = 0.5 * (2 * math.pi * sigmas**2).log(), 0.5 * (rhos / sigmas) ** 2, 1 / math.log(2)
    nats, width = constant + spread, math.log2(255)
    right = nats * nat + width
    wrong = {
        "a density is no probability yet: a grey level is 1/255 wide, which adds log₂ 255.": right - width,
        "that is in nats, without the grey levels: divide by log 2, and add log₂ 255.": nats,
        "the logarithm of the density is in nats: divide it by log 2.": [
            nats + width,
            nats + math.log(255),
            constant * nat + spread + width,
        ],
        "the mean of ε²/(2σ²) is not 0: ε has the variance ρ².": [constant * nat + width, constant * nat],
        "that is right for ρ = σ only: the mean of ε²/(2σ²) is ρ²/(2σ²).": (constant + 0.5) * nat + width,
        "mind the ½ of ε²/(2σ²).": (constant + 2 * spread) * nat + width,
        "the sign: −log₂ of the density, so the farther ε is from 0, the more bits.": [
            width - nats * nat,
            -nats * nat,
            (constant - spread) * nat + width,
        ],
        "the sign of log₂ 255: a narrower grey level has a smaller probability, hence more bits.": right - 2 * width,
        "log₂ σ² is 2 log₂ σ: mind the ½ in front.": [right + sigmas.log2(), right + constant * nat],
        "256 levels have 255 steps between 0 and 1: the width is 1/255.": right + math.log2(256 / 255),
    }
    hint = f"for σ = 0.02 and ρ = 0.03 it is {right[0]:.2f} bits; take the mean of −log₂ N(ε; 0, σ²)."
    compare(value, right, wrong, hint, 1e-6)
