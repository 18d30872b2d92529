"""Regression networks for super-resolution: SRCNN and VDSR.

Both sharpen an image that is already of the full size. Here that is `upscale(y, k)` of the block means y = A x + n,
with A = `operators.Downsample(k)`: x̂ = f(upscale(y, k)). They were trained on that degradation, and know no other.
"""

import torch
import torch.nn.functional as F
from torch import nn

from course_lib.common import check, check_count, check_images
from course_lib.models.conv_layers import ConvStack, Restorer


def upscale(y, factor):
    """Bicubic interpolation (Keys 1981, doi:10.1109/TASSP.1981.1163711, a = −1/2), [B, C, H, W] → [B, C, kH, kW].

    Pixel (i, j) of y is taken as the value in the middle of its k×k block. `factor` is k, an integer >= 1.
    """
    check_images("y", y)
    check_count("factor", factor, low=1)
    if factor == 1:
        return y
    size = [factor * n for n in y.shape[2:]]
    return F.interpolate(y, size, mode="bicubic", align_corners=False, antialias=True)


def check_factors(factors):
    """Raises ValueError unless factors is a sequence of at least one integer >= 1."""
    check(len(factors) > 0, "factors", "at least one factor", factors)
    for factor in factors:
        check_count("factors", factor, low=1)


class SRCNN(Restorer):
    """SRCNN (Dong et al. 2016, arXiv 1501.00092): x̂ = W₃ * max(0, W₂ * max(0, W₁ * x)), with biases.

    W₁ is 9×9 (it takes patches apart), W₂ 1×1 (a nonlinear map of each patch), W₃ 5×5 (it puts patches together). One
    filter of W₁ a channel starts as a Dirac and is handed through, the rest of W₃ at zero: the network starts as the
    identity on images without negative values.

    Args:
        channels: C. widths: numbers of filters of W₁ and W₂, at least C. factors: the k of its training.
    """

    def __init__(self, channels=3, widths=(64, 32), factors=(2,)):
        super().__init__()
        check_count("channels", channels, low=1)
        check(len(widths) == 2 and min(widths) >= channels, "widths", f"two numbers >= {channels}", widths)
        check_factors(factors)
        self.config = {"channels": channels, "widths": list(widths), "factors": list(factors)}
        first, second = widths
        convs = nn.Conv2d(channels, first, 9, padding=4), nn.Conv2d(first, second, 1)
        convs += (nn.Conv2d(second, channels, 5, padding=2),)
        self.net = nn.Sequential(convs[0], nn.ReLU(inplace=True), convs[1], nn.ReLU(inplace=True), convs[2])
        with torch.no_grad():
            for conv in convs:
                nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
                nn.init.zeros_(conv.bias)
                conv.weight[:channels] = 0
                middle = conv.kernel_size[0] // 2
                for c in range(channels):
                    conv.weight[c, c, middle, middle] = 1

    def restore(self, x):
        return self.run(self.net, x)


class VDSR(Restorer):
    """VDSR (Kim et al. 2016, arXiv 1511.04587): x̂ = x + R(x), where R is `depth` 3×3 convolutions of `width` channels.

    Its receptive field is 2 depth + 1 pixels wide. One network serves all factors k of its training.

    Args:
        channels: C. width, depth: 64 and 20 in the paper. factors: the k of its training.
    """

    def __init__(self, channels=3, width=64, depth=20, factors=(2, 3, 4)):
        super().__init__()
        for name, value, low in (("channels", channels, 1), ("width", width, 1), ("depth", depth, 2)):
            check_count(name, value, low)
        check_factors(factors)
        self.config = {"channels": channels, "width": width, "depth": depth, "factors": list(factors)}
        self.net = ConvStack(channels, channels, width, depth)

    def restore(self, x):
        return x + self.run(self.net, x)
