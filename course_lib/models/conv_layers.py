"""What networks share: a precision, a stack of convolutions, and the frame of a network from images to images."""

import torch
from torch import nn

from course_lib.common import check, check_images, check_like, in_precision


class Network(nn.Module):
    """A model of images whose convolutions may have a precision of their own."""

    precision = None

    def run(self, layers, h):
        """`layers(h)`, in the precision that is set, as a tensor of the dtype of h."""
        return in_precision(self.precision, layers, h)

    def mixed_precision(self, dtype):
        """Run the convolutions, and nothing else, in `dtype` (torch.bfloat16, torch.float16; None: as input)."""
        fits = dtype is None or (isinstance(dtype, torch.dtype) and dtype.is_floating_point)
        check(fits, "dtype", "torch.bfloat16, torch.float16 or None", dtype)
        for module in self.modules():
            if hasattr(module, "precision"):
                module.precision = dtype
        return self

    def freeze(self):
        """For inference: no weight gradients, channels-last."""
        return self.eval().requires_grad_(False).to(memory_format=torch.channels_last)


class ConvStack(nn.Sequential):
    """`depth` 3×3 convolutions, zero-padded, with ReLU between them: [B, inputs, H, W] → [B, outputs, H, W].

    No batch normalization, so that the images of a batch never influence one another, in training too. Layers start as
    a Dirac plus 0.3 times what He et al. (2015, arXiv 1502.01852) draw: random weights alone blur in each layer,
    and a deep stack of them learns slowly. The last layer starts at zero: a residual network starts as the identity.
    Without `bias` the stack is homogeneous, f(a h) = a f(h) for a ≥ 0.
    """

    def __init__(self, inputs, outputs, width, depth, bias=True):
        sizes, layers = [inputs, *[width] * (depth - 1), outputs], []
        for i in range(depth):
            conv = nn.Conv2d(sizes[i], sizes[i + 1], 3, padding=1, bias=bias)
            if i < depth - 1:
                dirac = nn.init.dirac_(torch.empty_like(conv.weight))
                nn.init.kaiming_normal_(conv.weight, nonlinearity="relu").data.mul_(0.3).add_(dirac)
            else:
                nn.init.zeros_(conv.weight)
            if bias:
                nn.init.zeros_(conv.bias)
            layers += [conv, nn.ReLU(inplace=True)]
        super().__init__(*layers[:-1])


class Restorer(Network):
    """A network from images to images; subclasses set `config` and `net`, and define `restore`.

    A network for `channels` channels also takes grey images [B, 1, H, W]: all its channels see the same image, and the
    answer is the mean of theirs.
    """

    def forward(self, x, *conditions):
        check_images("x", x)
        channels = self.config["channels"]
        check(x.shape[1] in (1, channels), "x", f"shape [B, {channels} or 1, H, W]", x.shape)
        check_like("x", x, next(self.parameters()))
        if x.shape[1] == channels:
            return self.restore(x, *conditions)
        return self.restore(x.expand(-1, channels, -1, -1), *conditions).mean(1, keepdim=True)
