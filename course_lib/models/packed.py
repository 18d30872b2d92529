"""Convolutions of a frozen network on a CPU: oneDNN's layout of the weights made once, ReLU in the same pass.

PyTorch lays the weights out anew at every call, and leaves small batches to slower routines. Its compiler has operators
for weights that stay as they are; here they run, with the gradient in the input, without compiling anything.
"""

import functools

import torch


@functools.cache
def available():
    """Whether this is an x86 CPU, and a PyTorch whose operators do here what is expected of them."""
    if not (torch.backends.cpu.get_cpu_capability().startswith("AVX") and torch.backends.mkldnn.is_available()):
        return False
    x = torch.linspace(-1, 1, 60).reshape(1, 3, 4, 5)
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):  # a layer draws its first weights
            layer = torch.nn.Conv2d(3, 2, 3, padding=1)
            return torch.allclose(PackedNet([layer], x.shape)(x), layer(x), atol=1e-5)
    except (AttributeError, TypeError, RuntimeError):  # another version's operators
        return False


def transformed():
    """Whether torch.func (jvp, vjp, …) is at work, which wants plain operations."""
    return torch._C._are_functorch_transforms_active()


def fits(x):
    """Whether packed convolutions can run on x: float32 on the CPU, outside of torch.func."""
    return x.device.type == "cpu" and x.dtype == torch.float32 and not transformed() and available()


def convolve(x, weight, bias, size, activation="none"):
    """A convolution size×size, size odd, of the size of x [B, C, H, W], with a packed weight."""
    return torch.ops.mkldnn._convolution_pointwise(
        x, weight, bias, [size // 2] * 2, [1, 1], [1, 1], 1, activation, [], ""
    )


class PackedNet:
    """Convolutions with odd kernels, stride 1 and ReLU between them, for inputs [B, C, H, W] of one shape."""

    def __init__(self, convolutions, shape):
        # A tensor made in inference mode could not be used under autograd later.
        with torch.inference_mode(False), torch.no_grad():
            self.layers = [(*self.pack(c.weight, shape), c.bias.detach()) for c in convolutions]
            # The gradient in the input of a convolution is one with the kernel turned around and transposed.
            self.backward = [self.pack(c.weight.flip(2, 3).transpose(0, 1), shape) for c in reversed(convolutions)]

    @staticmethod
    def pack(weight, shape):
        """(weight in the layout that suits this shape of images, size of the kernel)."""
        size, (batch, _, *frame) = weight.shape[2], shape
        weight = weight.detach().contiguous(memory_format=torch.channels_last)
        options = [size // 2] * 2, [1, 1], [1, 1], 1, [batch, weight.shape[1], *frame]
        return torch.ops.mkldnn._reorder_convolution_weight(weight, *options), size

    def __call__(self, x):
        return PackedFunction.apply(x.contiguous(memory_format=torch.channels_last), self)


class PackedFunction(torch.autograd.Function):
    """x ↦ net(x), with its gradient in x."""

    @staticmethod
    def forward(ctx, x, net):
        hidden = []
        for weight, size, bias in net.layers[:-1]:
            x = convolve(x, weight, bias, size, "relu")
            hidden.append(x)
        weight, size, bias = net.layers[-1]
        ctx.net = net
        ctx.save_for_backward(*hidden)
        return convolve(x, weight, bias, size)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, g):
        g, hidden = g.contiguous(memory_format=torch.channels_last), reversed(ctx.saved_tensors)
        for (weight, size), h in zip(ctx.net.backward, [*hidden, None], strict=True):
            g = convolve(g, weight, None, size)
            if h is not None:  # 0 where ReLU cut off
                torch.ops.aten.threshold_backward.grad_input(g, h, 0, grad_input=g)
        return g, None
