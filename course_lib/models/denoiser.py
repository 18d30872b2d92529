"""DnCNN (Zhang et al. 2017, arXiv 1608.03981): a denoiser that predicts the noise, x̂ = x − R(x), and its variants.

- with a noise map, x̂ = x − R(x, σ), as FFDNet (Zhang et al. 2018, arXiv 1710.04026): one network for all σ of a range;
- blind, trained on a range of σ and told none; for one σ, trained on the range [σ, σ];
- bias-free (Mohan et al. 2020, arXiv 1906.05478): f(a x) = a f(x), so that it also serves at a σ it has never seen.
"""

import torch
import torch.nn.functional as F

from course_lib.common import check, check_count, one_per_image
from course_lib.models.conv_layers import ConvStack, Restorer


class DnCNN(Restorer):
    """x̂ = x − R(x, σ) for noisy images x [B, channels, H, W] (or grey ones, [B, 1, H, W]) of any size.

    R is a `ConvStack` on the image folded by `shuffle` (FFDNet's trick): s×s pixels become s² channels, which makes it
    s² times cheaper and its receptive field s (2 depth + 1) pixels wide. An image whose sides s does not divide is
    extended by its last row and column.

    Args:
        channels: C. width, depth: channels and number of the convolutions. shuffle: s; 1 for the original network.
        noise_map: whether R sees σ. bias: whether the convolutions have biases.
        sigmas: (low, high), the range of σ in training; the network itself does not use it.
    """

    def __init__(self, channels=3, width=64, depth=16, shuffle=2, noise_map=True, bias=True, sigmas=(0.0, 0.2)):
        super().__init__()
        for name, value in {"channels": channels, "width": width, "depth": depth, "shuffle": shuffle}.items():
            check_count(name, value, low=2 if name == "depth" else 1)
        fits = len(sigmas) == 2 and 0 <= sigmas[0] <= sigmas[1] < float("inf")
        check(fits, "sigmas", "two numbers, 0 <= low <= high", sigmas)
        self.config = {"channels": channels, "width": width, "depth": depth, "shuffle": shuffle}
        self.config |= {"noise_map": noise_map, "bias": bias, "sigmas": list(sigmas)}
        self.net = ConvStack(shuffle**2 * channels + noise_map, shuffle**2 * channels, width, depth, bias)

    def forward(self, x, sigma=None):
        """x̂, of the shape of x, for noise of standard deviation σ.

        sigma: a number, a tensor [B], or a map [B or 1, 1, H, W] of σ in each pixel. A blind network takes it too, and
        ignores it, so that every denoiser is called in the same way.
        """
        return super().forward(x, sigma)

    def restore(self, x, sigma):
        s, (height, width) = self.config["shuffle"], x.shape[2:]
        parts = [F.pixel_unshuffle(extend(x, s), s)]
        if self.config["noise_map"]:
            parts.append(F.avg_pool2d(extend(noise_map(sigma, x), s), s))
        noise = F.pixel_shuffle(self.run(self.net, torch.cat(parts, 1)), s)
        return x - noise[:, :, :height, :width]


def extend(x, s):
    """x with its last row and column repeated until s divides both sides."""
    rows, columns = -x.shape[2] % s, -x.shape[3] % s
    return F.pad(x, (0, columns, 0, rows), mode="replicate") if rows or columns else x


def noise_map(sigma, x):
    """σ as a map [B, 1, H, W] for images x [B, C, H, W]."""
    shape = (len(x), 1, *x.shape[2:])
    check(sigma is not None, "sigma", "the standard deviation of the noise, which this network needs", None)
    if not torch.is_tensor(sigma) or sigma.dim() < 2:
        return one_per_image("sigma", sigma, x)[:, None, None, None].expand(shape)
    fits = sigma.shape[0] in (1, len(x)) and sigma.shape[1:] == shape[1:]
    check(fits, "sigma", f"a number, [{len(x)}] or {list(shape)}", sigma.shape)
    check(bool((torch.isfinite(sigma) & (sigma >= 0)).all()), "sigma", "finite values >= 0", "others in the map")
    return sigma.to(x).expand(shape)
