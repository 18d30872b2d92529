"""Variational autoencoder (Kingma & Welling 2013, arXiv 1312.6114; Rezende et al. 2014, arXiv 1401.4082).

A latent z ~ N(0, I) is decoded to an image, p(x|z) = N(D(z), η I). The likelihood p(x) = ∫ p(x|z) p(z) dz has no closed
form; an encoder q(z|x) = N(μ(x), diag σ²(x)) gives a lower bound,

    log p(x) ≥ ELBO(x) = E_q[log p(x|z)] − KL(q(z|x) ‖ p(z)),      log p(x) − ELBO(x) = KL(q(z|x) ‖ p(z|x)).

The first term is −½‖x − D(z)‖²/η − (d/2) log(2πη) for an image of d values: η says how much the data term weighs. It is
learned as one more parameter (σ-VAE, Rybkin et al. 2021, arXiv 2006.13202), or fixed.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

from course_lib.common import check, check_count, check_input, check_number
from course_lib.models.conv_layers import Network

SPEED = 10
"""log η is this times its parameter: Adam moves a parameter by about one learning rate a step, and η has far to go."""


def kl_divergence(mean, logvar):
    """KL(N(μ, diag σ²) ‖ N(0, I)) of each latent, ½(μ² + σ² − 1 − log σ²), of the shape of `mean`, in nats."""
    return 0.5 * (mean.square() + logvar.exp() - 1 - logvar)


def reparametrize(mean, logvar, generator=None):
    """z = μ + σ ⊙ ε with ε ~ N(0, I): a sample of q(z|x) that is differentiable in μ and log σ²."""
    noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype).to(mean.device)
    return mean + (0.5 * logvar).exp() * noise


def aligned_axes(mean, logvar):
    """(V, m), of shapes [D, D] and [D]: in the coordinates Vᵀ(z − m) the aggregate posterior has mean 0, covariance I.

    Over the images, q(z|x) has the mean m, and the covariance C = cov μ + S with S = mean of diag σ²(x). Of all V with
    VᵀCV = I it is the one for which VᵀSV is diagonal, too, with the most informative coordinate (the smallest share of
    S) first: the eigenvectors of C v = κ S v.

    Args:
        mean, logvar: μ and log σ² for N images, [N, D], in float64.
    """
    m, S = mean.mean(0), logvar.exp().mean(0)
    C = torch.cov(mean.T) + torch.diag(S)
    R = S.rsqrt()[:, None]
    kappa, Q = torch.linalg.eigh(R * C * R.T)  # of S^(-1/2) C S^(-1/2): S becomes I
    kappa, Q = kappa.flip(0), Q.flip(1)
    return R * Q / kappa.sqrt(), m


class LatentModel(Network):
    """p(x) = ∫ N(x; D(z), η I) N(z; 0, I) dz with an approximate posterior q(z|x), and the bound on log p(x).

    Subclasses give `encode_distribution(x)` → (μ, log σ²), each [B, D], `decode(z)` → x [B, ...], `dim` = D, and
    `log_eta`, a tensor without dimensions. Whatever they do, images of a batch must not influence one another.
    """

    @property
    def eta(self):
        """η, the variance of p(x|z)."""
        return self.log_eta.exp()

    def encode(self, x):
        """μ(x), the mean of q(z|x), [B, D]."""
        return self.encode_distribution(x)[0]

    def distortion(self, x, z):
        """−log p(x|z) = ½‖x − D(z)‖²/η + (d/2) log(2πη) in nats, [B], for images x of d values and latents z [B, D]."""
        log_eta = self.log_eta.to(x.dtype)
        squared = (x - self.decode(z)).square().flatten(1).sum(1)
        return 0.5 * (squared * (-log_eta).exp() + x[0].numel() * (math.log(2 * math.pi) + log_eta))

    def terms(self, x, generator=None, input_noise=0.0):
        """(distortion, KL): E_q[−log p(x|z)] by one sample of z, and KL(q(z|x) ‖ N(0, I)), [B] each, in nats.

        With `input_noise` s the encoder sees x + s ε and the distortion still x (a denoising VAE; González, Almansa &
        Tan 2021, arXiv 2103.01648). Since any q bounds log p(x), its expectation is a bound too.
        """
        seen = x
        if input_noise:
            seen = x + input_noise * torch.randn(x.shape, generator=generator, dtype=x.dtype).to(x.device)
        mean, logvar = self.encode_distribution(seen)
        return self.distortion(x, reparametrize(mean, logvar, generator)), kl_divergence(mean, logvar).sum(1)

    def elbo(self, x, generator=None, samples=1):
        """An unbiased estimate of ELBO(x) ≤ log p(x) in nats, [B], by the mean over samples of z."""
        check_count("samples", samples, low=1)
        mean, logvar = self.encode_distribution(x)
        draws = [self.distortion(x, reparametrize(mean, logvar, generator)) for _ in range(samples)]
        return -torch.stack(draws).mean(0) - kl_divergence(mean, logvar).sum(1)

    def bits_per_dim(self, x, generator=None, samples=1):
        """−ELBO(x)/(d log 2) + log₂ 255, [B]: an upper bound on what `Glow.bits_per_dim` measures exactly."""
        return -self.elbo(x, generator, samples) / (x[0].numel() * math.log(2)) + math.log2(255)

    @torch.no_grad()
    def statistics(self, x, generator=None):
        """What a set of images says about the model, a dict of numbers, means over the images unless stated.

        `kl` in nats; `active` latents, with a mean KL above 0.1 nats; `psnr` of D(μ(x)) in dB; `norm` and `norm_std`,
        mean and standard deviation over the images of ‖z‖²/D for z ~ q(z|x): 1 and √(2/D) for the prior.
        """
        parts = [self.encode_distribution(part) for part in x.split(50)]
        mean, logvar = (torch.cat(values) for values in zip(*parts, strict=True))
        decoded = torch.cat([self.decode(part) for part in mean.split(50)]).clamp(0, 1)
        mse = (decoded - x).square().flatten(1).mean(1)
        kl, norm = kl_divergence(mean, logvar), reparametrize(mean, logvar, generator).square().mean(1)
        values = {
            "kl": kl.sum(1).mean(),
            "psnr": (-10 * mse.log10()).mean(),
            "norm": norm.mean(),
            "norm_std": norm.std(),
        }
        return {"active": int((kl.mean(0) > 0.1).sum())} | {k: round(v.item(), 3) for k, v in values.items()}

    def sample(self, count, temperature=1.0, generator=None):
        """x = D(T ε), ε ~ N(0, I): `count` images without the noise of p(x|z)."""
        check_count("count", count, low=1)
        check_number("temperature", temperature)
        z = torch.randn(count, self.dim, generator=generator, dtype=self.log_eta.dtype).to(self.log_eta.device)
        return self.decode(temperature * z)


class ResidualBlock(nn.Module):
    """h + f(h) with f = SiLU, 3×3 convolution, SiLU, 3×3 convolution; f starts at zero, so that depth does no harm."""

    def __init__(self, channels):
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, h):
        return h + self.second(F.silu(self.first(F.silu(h))))


class Upsample(nn.Module):
    """A convolution to 4C channels, each four of which become 2×2 pixels; cropped to size×size."""

    def __init__(self, inputs, outputs, kernel, size):
        super().__init__()
        self.conv, self.size = nn.Conv2d(inputs, 4 * outputs, kernel, padding=kernel // 2), size

    def forward(self, h):
        return F.pixel_shuffle(self.conv(h), 2)[:, :, : self.size, : self.size]


class VAE(LatentModel):
    """Convolutional VAE for images [B, channels, size, size], with a flat latent z [B, dim].

    Each level of the encoder halves the side (rounded up: 25 → 13 → 7 → 4); the decoder doubles it and crops. No batch
    normalization; D is smooth (SiLU), and its output is not clipped to [0, 1].

    Args:
        size: side of the images, at least 2 to the number of levels. dim: D, the number of latents.
        widths: channels of each level, from fine to coarse. blocks: its residual blocks, as many numbers.
        eta: η > 0, kept fixed; None to learn it.
        beta: β > 0, the weight of the KL in `loss` (Higgins et al. 2017); 1 for the bound on log p(x).
        input_noise: standard deviation of the noise that the encoder sees in training (`terms`).
        aligned: whether the latents are those of `align`, which sets it.
    """

    def __init__(
        self,
        size=64,
        channels=3,
        dim=192,
        widths=(32, 64, 128, 192),
        blocks=(0, 1, 1, 0),
        eta=None,
        beta=1.0,
        input_noise=0.0,
        aligned=False,
    ):
        super().__init__()
        check(len(widths) > 0, "widths", "at least one level", list(widths))
        check(len(blocks) == len(widths), "blocks", f"{len(widths)} numbers, as widths", list(blocks))
        for name, values in {"channels": [channels], "dim": [dim], "widths": widths, "blocks": blocks}.items():
            for value in values:
                check_count(name, value, low=0 if name == "blocks" else 1)
        check_count("size", size, low=2 ** len(widths))
        check_number("beta", beta, positive=True)
        check_number("input_noise", input_noise)
        if eta is not None:
            check_number("eta", eta, positive=True)
        self.config = {"size": size, "channels": channels, "dim": dim, "widths": list(widths)}
        self.config |= {"blocks": list(blocks), "eta": eta, "beta": beta, "input_noise": input_noise}
        self.config |= {"aligned": aligned}
        sizes = [size]
        for _ in widths:
            sizes.append((sizes[-1] + 1) // 2)
        self.coarsest = (widths[-1], sizes[-1], sizes[-1])
        self.features, self.picture = self.build_encoder(), self.build_decoder(sizes)
        self.posterior = nn.Linear(math.prod(self.coarsest), 2 * dim)
        self.start = nn.Linear(dim, math.prod(self.coarsest))
        # Posteriors start near the prior: the KL grows from zero as far as it pays.
        nn.init.normal_(self.posterior.weight, std=0.1 / math.sqrt(math.prod(self.coarsest)))
        value = torch.tensor(math.log(eta or 0.05) / SPEED)
        self.scaled_log_eta = nn.Parameter(value, requires_grad=eta is None)
        if aligned:
            self.register_buffer("axes", torch.eye(dim))
            self.register_buffer("centre", torch.zeros(dim))

    def build_encoder(self):
        """[B, C, size, size] → [B, widths[-1], …]: convolutions of stride 2 and residual blocks."""
        layers, inputs = [], self.config["channels"]
        for width, blocks in zip(self.config["widths"], self.config["blocks"], strict=True):
            layers.append(nn.Conv2d(inputs, width, 3, stride=2, padding=1))
            layers += [*(ResidualBlock(width) for _ in range(blocks)), nn.SiLU()]
            inputs = width
        return nn.Sequential(*layers)

    def build_decoder(self, sizes):
        """[B, widths[-1], …] → [B, C, size, size]: the mirror image of the encoder."""
        widths, layers = self.config["widths"], []
        for i in range(len(widths) - 1, -1, -1):
            layers += [*(ResidualBlock(widths[i]) for _ in range(self.config["blocks"][i])), nn.SiLU()]
            if i > 0:
                layers.append(Upsample(widths[i], widths[i - 1], 1, sizes[i]))
        return nn.Sequential(*layers, Upsample(widths[0], self.config["channels"], 3, sizes[0]))

    @property
    def dim(self):
        """D, the dimension of the latent."""
        return self.config["dim"]

    @property
    def log_eta(self):
        """log η."""
        return SPEED * self.scaled_log_eta

    def encode_distribution(self, x):
        """(μ(x), log σ²(x)) of q(z|x) = N(μ, diag σ²), [B, D] each, for images x [B, C, size, size]."""
        c, s = self.config["channels"], self.config["size"]
        check_input("x", x, (c, s, s), self.scaled_log_eta)
        mean, logvar = self.posterior(self.run(self.features, x - 0.5).flatten(1)).chunk(2, 1)
        return mean, (logvar.exp() @ self.axes.square()).log() if self.config["aligned"] else logvar

    def decode(self, z):
        """D(z), the mean of p(x|z), [B, C, size, size], for latents z [B, D]; not clipped to [0, 1]."""
        check_input("z", z, (self.dim,), self.scaled_log_eta)
        return self.run(self.picture, self.start(z).unflatten(1, self.coarsest)) + 0.5

    def loss(self, x, generator=None):
        """distortion + β KL, [B], in the units of `bits_per_dim`; the encoder sees the noise of the config."""
        distortion, kl = self.terms(x, generator, self.config["input_noise"])
        return (distortion + self.config["beta"] * kl) / (x[0].numel() * math.log(2)) + math.log2(255)

    @torch.no_grad()
    def align(self, batches):
        """Give z the coordinates Vᵀ(z − m) in which the aggregate posterior of training images fits the prior best.

        V and m are those of `aligned_axes`. The linear layers beside z take them up: D(μ(x)) stays what it was. Of the
        covariances Vᵀ diag σ²(x) V the encoder gives the diagonal. `axes` keeps V, and `centre` m.

        Args:
            batches: an iterable of images [B, C, size, size], more than D of them together.
        """
        check(not self.config["aligned"], "model", "one whose latents are not aligned yet", "an aligned one")
        parts = [self.encode_distribution(x) for x in batches]
        check(sum(len(mean) for mean, _ in parts) > self.dim, "batches", f"more than {self.dim} images", "fewer")
        mean, logvar = (torch.cat(values).double() for values in zip(*parts, strict=True))
        V, m = aligned_axes(mean, logvar)
        # The encoder's last layer gives Vᵀ(μ − m) in place of μ …
        weight, bias = self.posterior.weight[: self.dim], self.posterior.bias[: self.dim]
        weight.copy_(V.T @ weight.double())
        bias.copy_(V.T @ (bias.double() - m))
        # … and the decoder's first one, z ↦ K z + k, is K V⁻ᵀ z + K m + k for the new z.
        K, k = self.start.weight.double(), self.start.bias.double()
        self.start.bias.copy_(K @ m + k)
        self.start.weight.copy_(K @ torch.linalg.inv(V).T)
        self.register_buffer("axes", V.to(self.start.weight))
        self.register_buffer("centre", m.to(self.start.weight))
        self.config["aligned"] = True
        return self
