"""Glow (Kingma & Dhariwal 2018, arXiv 1807.03039): a bijection E between images and latents, with D = E⁻¹.

A step of flow is actnorm, invertible 1×1 convolution, coupling; a level is an orthonormal Haar squeeze, K steps, and a
split that sends half of the channels to the latent. Change of variables gives the exact likelihood,

    log p(x) = log N(E(x); 0, I) + log|det J_E(x)|.

The layers are in `flow_layers`. Four couplings differ only in their scale s, and in what that does to log|det J_E(x)|:
`sigmoid` (Kingma & Dhariwal) and `bounded` (s in [1/2, 2]) let it depend on x; `additive` (s = 1; Dinh et al. 2015) and
`volume_preserving` (Π s = 1; Sorrenson, Rother & Köthe 2020) make it a constant.
"""

import math

import torch
from torch import nn

from course_lib.common import check, check_batch, check_count, check_input, check_number, without_autocast
from course_lib.models.conv_layers import Network
from course_lib.models.flow_layers import SCALES, Coupling, FlowLevel, FlowStep, HaarSqueeze
from course_lib.models.reversible import reversible


def permutations(channels, steps, generator):
    """Random permutations whose composition is the identity: the low-pass band of a level is first again at its end."""
    drawn = [torch.randperm(channels, generator=generator) for _ in range(steps - 1)]
    total = torch.arange(channels)
    for p in drawn:
        total = total[p]
    return [*drawn, torch.argsort(total)]


class Glow(Network):
    """Multi-scale Glow for images [B, channels, size, size] in [0, 1], with a flat latent z [B, D], z ~ N(0, I).

    Args:
        size: side of the images, divisible by 2 to the number of levels.
        steps: steps of flow K in each level.
        widths: hidden channels of the coupling networks, one entry a level; their number is that of the levels.
        scale: `sigmoid`, `bounded`, `additive` or `volume_preserving` (`flow_layers.log_scale`).
        seed: seed of the permutations in the 1×1 convolutions.

    The latent is ordered from coarse to fine: the last level's variables come first.
    """

    def __init__(self, size=64, channels=3, steps=8, widths=(96, 128, 192, 256), scale="bounded", seed=0):
        super().__init__()
        check(scale in SCALES, "scale", f"one of {SCALES}", repr(scale))
        check(len(widths) > 0, "widths", "a width for each level, at least one", list(widths))
        for name, values in {"size": [size], "channels": [channels], "steps": [steps], "widths": widths}.items():
            for value in values:
                check_count(name, value, low=1)
        levels = len(widths)
        check(size % 2**levels == 0, "size", f"a multiple of {2**levels} for {levels} levels", size)
        self.config = {"size": size, "channels": channels, "steps": steps, "widths": list(widths)}
        self.config |= {"scale": scale, "seed": seed}
        generator = torch.Generator().manual_seed(seed)
        self.squeezes, self.levels, self.splits = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        self.shapes = []
        for level, width in enumerate(widths):
            self.squeezes.append(HaarSqueeze(channels))
            channels, size = 4 * channels, size // 2
            self.levels.append(FlowLevel(FlowStep(p, width, scale) for p in permutations(channels, steps, generator)))
            if level < len(widths) - 1:
                self.splits.append(Coupling(channels, width, scale))
                self.shapes.append((channels - channels // 2, size, size))
                channels = channels // 2
        self.shapes.append((channels, size, size))
        self.register_buffer("initialized", torch.tensor(False))
        self.recompute = False

    @property
    def dim(self):
        """D, the dimension of image and latent."""
        return self.config["channels"] * self.config["size"] ** 2

    @property
    def stages(self):
        """[(squeeze, steps, split)] from fine to coarse; the last level has no split, None."""
        return list(zip(self.squeezes, self.levels, [*self.splits, None], strict=True))

    def _check_images(self, x):
        c, s = self.config["channels"], self.config["size"]
        check_input("x", x, (c, s, s), next(self.parameters()))

    def encode(self, x):
        """z = E(x), [B, D], for images x [B, C, size, size]."""
        return self.encode_with_logdet(x)[0]

    def encode_with_logdet(self, x):
        """(E(x), log|det J_E(x)|), of shapes [B, D] and [B], for images x [B, C, size, size]."""
        self._check_images(x)
        with without_autocast(x):  # rounded to half precision, a bijection has no inverse
            h, logdet, latents = x - 0.5, x.new_zeros(len(x)), []
            for squeeze, steps, split in self.stages:
                h = squeeze(h)
                if self.recompute:
                    h, logdet = reversible(steps, h, logdet)
                else:
                    h, more = steps(h)
                    logdet = logdet + more
                if split is not None:
                    h, z = h.split(split.sizes, 1)
                    z, more = split(h, z)
                    logdet = logdet + more
                    latents.append(z)
            latents.append(h)
            return torch.cat([z.flatten(1) for z in reversed(latents)], 1), logdet

    def decode(self, z):
        """x = D(z), [B, C, size, size], for latents z [B, D]; not clipped to [0, 1].

        D(E(x)) = x to float32's precision for images. Far out it is another matter: of z with a norm three times that
        of a draw from N(0, I), D makes numbers so large that E(D(z)) is off by more than 1; in float64 it is not.
        """
        check_input("z", z, (self.dim,), next(self.parameters()))
        with without_autocast(z):
            shapes = self.shapes[::-1]  # the latent starts with the coarsest level
            parts = z.split([math.prod(shape) for shape in shapes], 1)
            h, *latents = [part.unflatten(1, shape) for part, shape in zip(parts, shapes, strict=True)]
            for squeeze, steps, split in reversed(self.stages):
                if split is not None:
                    h = torch.cat([h, split.inverse(h, latents.pop(0))], 1)
                h = squeeze.inverse(steps.inverse(h))
            return h + 0.5

    def log_prob(self, x):
        """log p(x) = log N(E(x); 0, I) + log|det J_E(x)| in nats, [B]; the density is with respect to x in [0, 1]."""
        z, logdet = self.encode_with_logdet(x)
        return logdet - 0.5 * (z.square().sum(1) + self.dim * math.log(2 * math.pi))

    def bits_per_dim(self, x):
        """-log₂ p(x) / D + log₂ 255, [B]: the density in grey levels of 1/255, as is usual for 8-bit images."""
        return -self.log_prob(x) / (self.dim * math.log(2)) + math.log2(255)

    def sample(self, count, temperature=1.0, generator=None):
        """x = D(T ε), ε ~ N(0, I): `count` images, [count, C, size, size]."""
        check_count("count", count, low=1)
        check_number("temperature", temperature)
        parameter = next(self.parameters())
        z = torch.randn(count, self.dim, generator=generator, dtype=parameter.dtype).to(parameter.device)
        return self.decode(temperature * z)

    def reversible(self, active=True):
        """Train E in a memory that does not depend on the number of steps K, a quarter slower (`models.reversible`)."""
        self.recompute = active
        return self

    @torch.no_grad()
    def initialize(self, x):
        """Data-dependent initialization of every actnorm from a batch of images (`ActNorm.initialize`)."""
        self._check_images(x)
        check_batch("x", x)
        check(len(x) > 1, "x", "at least 2 images to initialize from", len(x))
        with without_autocast(x):
            h = x - 0.5
            for squeeze, steps, split in self.stages:
                h = squeeze(h)
                for step in steps:
                    step.actnorm.initialize(h)
                    h, _ = step(h)
                if split is not None:
                    h = h.split(split.sizes, 1)[0]
        self.initialized.fill_(True)
        return self


def dequantize(images, sigma=0.0, generator=None):
    """Continuous images from 8-bit ones k/255: x + u/255 + σ ε, with u uniform on [-1/2, 1/2] and ε ~ N(0, I)."""
    got = getattr(images, "dtype", type(images).__name__)
    check(torch.is_tensor(images) and images.is_floating_point(), "images", "a float tensor", got)
    check_number("sigma", sigma)
    u = torch.rand(images.shape, generator=generator, device=images.device, dtype=images.dtype) - 0.5
    noise = torch.randn(images.shape, generator=generator, device=images.device, dtype=images.dtype) if sigma else 0
    return images + u / 255 + sigma * noise
