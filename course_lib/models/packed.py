"""Convolutions of a frozen network on a CPU: oneDNN's layout of the weights made once, ReLU in the same pass.

PyTorch lays the weights out anew at every call, and leaves small batches to slower routines. Its compiler has operators
for weights that stay as they are; here they run, with the gradient in the input, without compiling anything.
"""

import functools
import math

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
        self.inputs = shape[1]
        # A tensor made in inference mode could not be used under autograd later.
        with torch.inference_mode(False), torch.no_grad():
            self.layers = [(*self.pack(c.weight, shape), c.bias.detach()) for c in convolutions]
            # The gradient in the input of a convolution is one with the kernel turned around and transposed.
            self.turned = [self.pack(c.weight.flip(2, 3).transpose(0, 1), shape) for c in reversed(convolutions)]

    @staticmethod
    def pack(weight, shape):
        """(weight in the layout that suits this shape of images, size of the kernel)."""
        size, (batch, _, *frame) = weight.shape[2], shape
        weight = weight.detach().contiguous(memory_format=torch.channels_last)
        options = [size // 2] * 2, [1, 1], [1, 1], 1, [batch, weight.shape[1], *frame]
        return torch.ops.mkldnn._reorder_convolution_weight(weight, *options), size

    def __call__(self, x):
        return PackedFunction.apply(x.contiguous(memory_format=torch.channels_last), self)

    def forward(self, x):
        """(net(x), what `backward` needs), for x in the channels-last layout."""
        hidden = []
        for weight, size, bias in self.layers[:-1]:
            x = convolve(x, weight, bias, size, "relu")
            hidden.append(x)
        weight, size, bias = self.layers[-1]
        return convolve(x, weight, bias, size), hidden

    def backward(self, g, hidden):
        """The gradient in the input from g, that in the output, in the channels-last layout."""
        for (weight, size), h in zip(self.turned, [*reversed(hidden), None], strict=True):
            g = convolve(g, weight, None, size)
            if h is not None:  # 0 where ReLU cut off
                torch.ops.aten.threshold_backward.grad_input(g, h, 0, grad_input=g)
        return g


class PackedFunction(torch.autograd.Function):
    """x ↦ net(x), with its gradient in x."""

    @staticmethod
    def forward(ctx, x, net):
        y, hidden = net.forward(x)
        ctx.net = net
        ctx.save_for_backward(*hidden)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, g):
        return ctx.net.backward(g.contiguous(memory_format=torch.channels_last), ctx.saved_tensors), None


# Steps of flow with the `bounded` scale s = 2^v, v = tanh(u / log 2), on matrices [B·H·W, C], a pixel a row. What a
# gradient costs beside the convolutions is the number of passes over small arrays: here a third of autograd's.


def pixels(x):
    """[B, C, H, W] as a matrix [B·H·W, C]: a view where x is in the channels-last layout."""
    return x.permute(0, 2, 3, 1).contiguous().view(-1, x.shape[1])


def images(h, frame):
    """The images [B, C, H, W], channels-last, of a matrix h [B·H·W, C]; `frame` is (B, ..., H, W)."""
    return h.contiguous().view(frame[0], frame[2], frame[3], -1).permute(0, 3, 1, 2)


class PackedStep:
    """x ↦ h = [a, s ⊙ (b + t)] with [a, b] = V x + c and [t, u] = net(a); its inverse, and the gradients of both."""

    def __init__(self, V, c, V_inverse, V_logdet, net):
        self.V, self.c, self.V_inverse, self.V_logdet, self.net = V, c, V_inverse, V_logdet, net

    def parameters_of(self, a, frame):
        """(t, v, what the gradient needs of the network)."""
        tu, hidden = self.net.forward(images(a, frame))
        t, u = pixels(tu).chunk(2, 1)
        return t, u.mul(1 / math.log(2)).tanh_(), hidden

    def gradient_in_a(self, t_grad, log_s_grad, v, hidden, frame):
        """The gradient in a through t and log s alone: ∂ log s / ∂u = 1 − v²."""
        tu_grad = torch.cat([t_grad, torch.ops.aten.tanh_backward(log_s_grad, v)], 1)
        return pixels(self.net.backward(images(tu_grad, frame), hidden))

    def forward(self, x, frame):
        """(h, log|det| [B], what `backward` needs)."""
        h = torch.addmm(self.c, x, self.V.t())
        a, b = h.tensor_split([self.net.inputs], 1)
        t, v, hidden = self.parameters_of(a, frame)
        s = v.exp2()
        y = b.add_(t).mul_(s)
        log_s = v.view(frame[0], -1).sum(1)
        logdet = torch.add(self.V_logdet * (frame[2] * frame[3]), log_s, alpha=math.log(2))
        return h, logdet, (v, s, y, *hidden)

    def backward(self, g, logdet_grad, saved, frame):
        """The gradient in x, for those in h and, [B, 1], in log|det|."""
        v, s, y, *hidden = saved
        a_grad, y_grad = g.tensor_split([self.net.inputs], 1)
        log_s_grad = (y_grad * y).view(frame[0], -1).add_(logdet_grad).view_as(v)
        b_grad = y_grad * s
        a_grad = a_grad + self.gradient_in_a(b_grad, log_s_grad, v, hidden, frame)
        return torch.cat([a_grad, b_grad], 1) @ self.V

    def inverse(self, h, frame):
        """(x, what `inverse_backward` needs): b = y / s − t."""
        a, y = h.tensor_split([self.net.inputs], 1)
        t, v, hidden = self.parameters_of(a, frame)
        r = v.neg().exp2_()
        q = y * r
        return torch.cat([a, q - t], 1).sub_(self.c) @ self.V_inverse.t(), (v, r, q, *hidden)

    def inverse_backward(self, g, saved, frame):
        """The gradient in h, for that in x."""
        v, r, q, *hidden = saved
        a_grad, b_grad = (g @ self.V_inverse).tensor_split([self.net.inputs], 1)
        t_grad = -b_grad
        a_grad = a_grad + self.gradient_in_a(t_grad, t_grad * q, v, hidden, frame)
        return torch.cat([a_grad, b_grad * r], 1)


class StepsFunction(torch.autograd.Function):
    """x [B, C, H, W] ↦ (h, log|det| [B]) of steps one after the other; with its gradient in x, if `keep`."""

    @staticmethod
    def forward(ctx, x, steps, keep):
        h, logdet, kept = pixels(x), x.new_zeros(len(x)), []
        for step in steps:
            h, step_logdet, saved = step.forward(h, x.shape)
            logdet += step_logdet
            kept += saved if keep else ()
        ctx.steps, ctx.frame = steps, x.shape
        ctx.save_for_backward(*kept)
        return images(h, x.shape), logdet

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, h_grad, logdet_grad):
        g, saved = pixels(h_grad), in_turn(ctx.saved_tensors, len(ctx.steps))
        for step, tensors in zip(reversed(ctx.steps), reversed(saved), strict=True):
            g = step.backward(g, logdet_grad[:, None], tensors, ctx.frame)
        return images(g, ctx.frame), None, None


class InverseStepsFunction(torch.autograd.Function):
    """h ↦ x, the inverse of `StepsFunction`; with its gradient in h, if `keep`."""

    @staticmethod
    def forward(ctx, h, steps, keep):
        x, kept = pixels(h), []
        for step in reversed(steps):
            x, saved = step.inverse(x, h.shape)
            kept += saved if keep else ()
        ctx.steps, ctx.frame = steps, h.shape
        ctx.save_for_backward(*kept)
        return images(x, h.shape)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, x_grad):
        g, saved = pixels(x_grad), in_turn(ctx.saved_tensors, len(ctx.steps))
        for step, tensors in zip(ctx.steps, reversed(saved), strict=True):
            g = step.inverse_backward(g, tensors, ctx.frame)
        return images(g, ctx.frame), None, None


def in_turn(tensors, count):
    """`tensors` in `count` parts of one length."""
    size = len(tensors) // count
    return [tensors[i * size : (i + 1) * size] for i in range(count)]
