"""Operators on pixels: identity, mask, blur, downsampling; kernels and masks for them."""

import math
from numbers import Integral

import torch
import torch.nn.functional as F

from course_lib.common import as_generator, check, check_count, check_images
from course_lib.operators.base import Operator, corner, has_derivative


class Identity(Operator):
    """A x = x: denoising."""

    gram_diagonal = 1.0

    def forward(self, x):
        check_images("x", x)
        return x

    def T(self, y):
        check_images("y", y)
        return y


class Mask(Operator):
    """A x = M ⊙ x, of the size of x and zero where nothing is observed; Aᵀ = A. M is a finite bool or float tensor,
    [1, H, W] (for all channels), [C, H, W], or either with a leading 1.
    """

    def __init__(self, mask):
        super().__init__()
        mask = torch.as_tensor(mask).detach().clone()
        check(mask.is_floating_point() or mask.dtype == torch.bool, "mask", "a bool or float tensor", mask.dtype)
        shape = mask.shape[1:] if mask.dim() == 4 and len(mask) == 1 else mask.shape
        check(len(shape) == 3 and 0 not in shape, "mask", "shape [1, H, W], [C, H, W] or [1, 1, H, W]", mask.shape)
        check(mask.isfinite().all(), "mask", "finite values", "NaN or infinity")
        self.register_buffer("mask", mask.reshape(shape))

    @property
    def gram_diagonal(self):
        return self.mask.double().square()

    def forward(self, x):
        return self._hide("x", x)

    def T(self, y):
        return self._hide("y", y)

    def _hide(self, name, x):
        check_images(name, x, self.mask.device)
        fits = x.shape[2:] == self.mask.shape[1:] and len(self.mask) in (1, x.shape[1])
        check(fits, name, f"images that fit the mask {list(self.mask.shape)}", x.shape)
        return x * self.mask.to(x.dtype)


class Blur(Operator):
    """A x = k * x on each channel: convolution with k, a finite float kernel [h, w], h and w odd, centred on its middle
    pixel. Boundary `circular`: A is circulant, A = F⁻¹ diag(k̂) F through rfft2, and ‖A‖ = max |k̂|. Boundary `zero`:
    x is 0 outside its frame and A is Toeplitz, a block of the circulant matrix of a larger frame.
    """

    def __init__(self, kernel, boundary="circular"):
        super().__init__()
        kernel = torch.as_tensor(kernel).detach().clone()
        check(kernel.is_floating_point(), "kernel", "a float tensor", kernel.dtype)
        check([n % 2 for n in kernel.shape] == [1, 1], "kernel", "shape [h, w], h and w odd", kernel.shape)
        check(kernel.isfinite().all(), "kernel", "finite values", "NaN or infinity")
        check(boundary in ("circular", "zero"), "boundary", "'circular' or 'zero'", repr(boundary))
        self.boundary, self._kept = boundary, (None, None, None)
        self.register_buffer("kernel", kernel)

    def transfer(self, height, width, dtype):
        """k̂, the rfft2 of the kernel wrapped (if larger, repeatedly) around a [height, width] frame.

        The last one is kept. It serves while the kernel is the same tensor, unchanged, as PyTorch counts changes
        (writing through `.data` or NumPy escapes it). Nothing is kept of a kernel that carries a derivative, or was
        made in inference mode, where nobody counts.
        """
        kernel = self.kernel
        if has_derivative(kernel) or kernel.is_inference():
            return _transfer(kernel, height, width, dtype)
        state = kernel._version, height, width, dtype
        source, known, result = self._kept
        if source is kernel and known == state:
            return result
        # A result made in inference mode could not be used under autograd later.
        with torch.inference_mode(False), torch.no_grad():
            result = _transfer(kernel, height, width, dtype)
        try:
            result.untyped_storage()
        except NotImplementedError:  # A tensor of `torch.func` belongs to one computation.
            return result
        self._kept = kernel, state, result
        return result

    def __getstate__(self):
        return {**self.__dict__, "_kept": (None, None, None)}  # The changes of a copy are counted anew.

    def forward(self, x):
        return self._blur("x", x, lambda k: k)

    def T(self, y):
        return self._blur("y", y, torch.conj)

    def _blur(self, name, x, response):
        check_images(name, x, self.kernel.device)
        height, width = x.shape[2:]
        frame = height, width
        if self.boundary == "zero":
            # Zeros for half a kernel: what wraps around meets nothing else. Transforms of 16 m values are fast.
            frame = [-(-(n + k // 2) // 16) * 16 for n, k in zip(frame, self.kernel.shape, strict=True)]
        spectrum = response(self.transfer(*frame, x.dtype)) * torch.fft.rfft2(x, s=frame)
        return corner(torch.fft.irfft2(spectrum, s=frame), height, width)

    def norm(self, shape, iterations=40, seed=0):
        if self.boundary == "zero":
            return super().norm(shape, iterations, seed)
        return self.transfer(*shape[-2:], self.kernel.dtype).abs().max().item()

    def _solve(self, r, rho, *options):
        if self.boundary == "zero":
            return super()._solve(r, rho, *options)
        return self._blur("r", r, lambda k: k.conj() / (k.abs().square() + rho))


def _transfer(kernel, height, width, dtype):
    frame = torch.zeros(height, width, dtype=dtype, device=kernel.device)
    i, j = (torch.arange(n, device=kernel.device) - n // 2 for n in kernel.shape)
    return torch.fft.rfft2(frame.index_put((i[:, None] % height, j % width), kernel.to(dtype), accumulate=True))


class Downsample(Operator):
    """A x = means of disjoint k×k blocks, [B, C, H, W] → [B, C, H/k, W/k]: A Aᵀ = I/k². H and W are multiples of k."""

    def __init__(self, factor):
        super().__init__()
        check_count("factor", factor, low=1)
        self.factor = int(factor)
        self.gram_diagonal = 1 / self.factor**2

    def forward(self, x):
        check_divisible("x", x, self.factor)
        return F.avg_pool2d(x, self.factor)

    def T(self, y):
        check_images("y", y)
        return y.repeat_interleave(self.factor, 2).repeat_interleave(self.factor, 3) / self.factor**2


def check_divisible(name, x, factor):
    """Raise ValueError unless x is a batch of images whose height and width are multiples of `factor`."""
    check_images(name, x)
    fits = x.shape[2] % factor == x.shape[3] % factor == 0
    check(fits, name, f"height and width divisible by {factor}", x.shape)


def uniform_kernel(size=7, dtype=None):
    """k = 1/size² on size×size pixels, size odd: [size, size]."""
    check(isinstance(size, Integral) and size > 0 and size % 2, "size", "a positive odd integer", repr(size))
    return torch.full((size, size), 1 / size**2, dtype=dtype)


def gaussian_kernel(sigma, radius=None, dtype=None):
    """k(i, j) ∝ exp(−(i² + j²) / 2σ²), |i|, |j| ≤ radius (None: 4σ, rounded, as SciPy), of sum 1; σ > 0, in pixels."""
    check(0 < sigma < math.inf, "sigma", "a positive number", sigma)
    radius = int(4 * sigma + 0.5) if radius is None else radius
    check_count("radius", radius)
    i = torch.arange(-int(radius), int(radius) + 1, dtype=torch.float64)
    k = torch.exp(-0.5 * (i / sigma).square())
    return (k[:, None] * k / k.sum() ** 2).to(dtype or torch.get_default_dtype())


def random_mask(height, width, missing=0.6, generator=0):
    """A mask without exactly round(missing · H · W) random pixels, missing in [0, 1]: bool, [1, H, W], True = observed.
    `generator` is a seed, a `torch.Generator` (the mask is on its device), or None: PyTorch's global one.
    """
    check_count("height", height, low=1)
    check_count("width", width, low=1)
    check(0 <= missing <= 1, "missing", "a fraction in [0, 1]", missing)
    generator = as_generator(generator)
    size = height * width
    order = torch.randperm(size, generator=generator, device=generator.device if generator else None)
    return (order >= round(missing * size)).reshape(1, height, width)


def square_mask(height, width, side=10, corner=None):
    """A mask without one side×side square: bool, [1, H, W], True = observed. The square is centred, or has its top left
    pixel at `corner` = (row, column).
    """
    check(isinstance(side, Integral) and 0 < side <= min(height, width), "side", f"1 to {min(height, width)}", side)
    row, column = ((height - side) // 2, (width - side) // 2) if corner is None else corner
    fits = 0 <= row <= height - side and 0 <= column <= width - side
    check(fits, "corner", f"(0, 0) to ({height - side}, {width - side})", (row, column))
    mask = torch.ones(1, height, width, dtype=torch.bool)
    mask[:, row : row + side, column : column + side] = False
    return mask
