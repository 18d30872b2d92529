"""The operator A of y = A x + n, with its exact adjoint Aᵀ: mask, blur, downsampling, and what they compose to.

    A(x)     A x            A.T(y)     Aᵀ y           A.norm(shape)       ‖A‖, the largest singular value
    A @ B    x ↦ A(B(x))    A + B      A x + B x      c * A               c A x
    A.prox(v, y, rho)       argmin_x ½‖A x − y‖² + (ρ/2)‖x − v‖², the proximal step of the data term

Images are float tensors [B, C, H, W] of any height and width, and no image of a batch influences another. Buffers keep
the dtype that they were given and are cast to that of the image at use; they move with `A.to(device)`.
"""

import math
from numbers import Integral, Real

import torch
import torch.nn.functional as F


def check(condition, name, expected, got):
    """Raise ValueError unless the condition holds. In hot calls it is one on shapes: a GPU is not waited for."""
    if not condition:
        raise ValueError(f"{name}: expected {expected}, got {list(got) if isinstance(got, torch.Size) else got}")


def check_images(name, x, device=None):
    """Raise ValueError unless x is a float tensor [B, C, H, W] (on `device`, that of the operator)."""
    got = x.dtype if torch.is_tensor(x) else type(x).__name__
    check(torch.is_tensor(x) and x.is_floating_point(), name, "a float tensor", got)
    check(x.dim() == 4, name, "shape [B, C, H, W]", x.shape)
    check(device is None or x.device == device, name, f"a tensor on {device}, where the operator is", x.device)


class Operator(torch.nn.Module):
    """A linear map of images. A subclass defines `forward(x)`, A x, and `T(y)`, Aᵀ y, its exact adjoint:
    ⟨A x, y⟩ = ⟨x, Aᵀ y⟩ for all x and y. It overrides `norm` and `_solve`, or `gram`, where it knows a closed form.
    """

    gram = None  # AAᵀ, where it is diagonal: a number or a tensor [C, H, W].

    @torch.no_grad()
    def norm(self, shape, iterations=200, seed=0):
        """‖A‖ = max ‖A x‖ / ‖x‖ over images of shape [C, H, W] or [B, C, H, W], a Python float. In closed form where
        one is known, otherwise by power iteration on AᵀA, from below, on the device and in the dtype of the buffers.
        """
        check(len(shape) in (3, 4), "shape", "[C, H, W] or [B, C, H, W]", list(shape))
        if self.gram is not None:
            return torch.as_tensor(self.gram, dtype=torch.float64).max().item() ** 0.5
        tensors = [*self.buffers(), *self.parameters(), torch.zeros(())]
        dtype, generator = next(t.dtype for t in tensors if t.is_floating_point()), torch.Generator().manual_seed(seed)
        x = torch.randn((1, *shape[-3:]), generator=generator, dtype=dtype).to(tensors[0].device)
        for _ in range(iterations):
            x = self.T(self(x / x.norm().clamp_min(torch.finfo(dtype).tiny)))
        return x.norm().item() ** 0.5  # x is AᵀA u with ‖u‖ = 1: its norm approaches ‖A‖².

    def prox(self, v, y, rho, iterations=100, tol=1e-8):
        """argmin_x ½‖A x − y‖² + (ρ/2)‖x − v‖² = v + (AᵀA + ρI)⁻¹ Aᵀ(y − A v), [B, C, H, W], for images v, measurements
        y of the shape of A v, and ρ > 0, a number or a tensor [B], one for each image (unchecked on a GPU).

        Where no closed form is known: conjugate gradients, at most `iterations`, each image with its own steps until
        its residual is `tol` times the first. ValueError for other shapes or ρ.
        """
        check_images("v", v)
        Av, values = self(v), torch.as_tensor(rho)
        check_images("y", y, Av.device)
        check(y.shape == Av.shape, "y", f"the shape of A(v), {list(Av.shape)}", y.shape)
        check(values.dim() == 0 or values.shape == v.shape[:1], "rho", f"a number or shape [{len(v)}]", values.shape)
        if values.device.type == "cpu":
            check(((values > 0) & values.isfinite()).all(), "rho", "positive finite values", values.tolist())
        rho = rho if isinstance(rho, Real) else values.to(v).reshape(-1, 1, 1, 1)
        return v + self._solve(y - Av, rho, iterations, tol)

    def _solve(self, r, rho, iterations, tol):
        """w = (AᵀA + ρI)⁻¹ Aᵀ r = Aᵀ (AAᵀ + ρI)⁻¹ r, with ρ a number or a tensor [B, 1, 1, 1]."""
        if self.gram is not None:
            return self.T((r / (self.gram + rho)).to(r.dtype))
        residual = self.T(r)
        w, p, rr = torch.zeros_like(residual), residual, residual.square().sum((1, 2, 3), keepdim=True)
        stop = tol**2 * rr
        for _ in range(iterations):
            active = rr > stop
            q = self.T(self(p)) + rho * p
            # A finished image takes steps of length 0: no wait for the device, and no 0/0 in a value or a gradient.
            step = torch.where(active, rr / torch.where(active, (p * q).sum((1, 2, 3), keepdim=True), 1), 0)
            w, residual = w + step * p, residual - step * q
            rr, previous = residual.square().sum((1, 2, 3), keepdim=True), rr
            p = residual + torch.where(active, rr / torch.where(active, previous, 1), 0) * p
        return w

    def __matmul__(self, other):
        return Compose(self, other) if isinstance(other, Operator) else NotImplemented

    def __add__(self, other):
        return Sum(self, other) if isinstance(other, Operator) else NotImplemented

    def __rmul__(self, c):
        return Scaled(c, self) if isinstance(c, Real) else NotImplemented


class Identity(Operator):
    """A x = x: denoising."""

    gram = 1.0

    def forward(self, x):
        check_images("x", x)
        return x

    T = forward


class Mask(Operator):
    """A x = M ⊙ x, of the size of x and zero where nothing is observed; Aᵀ = A. M is a finite bool or float tensor,
    [1, H, W] (for all channels), [C, H, W], or either with a leading 1 (ValueError otherwise).
    """

    def __init__(self, mask):
        super().__init__()
        mask = torch.as_tensor(mask).detach().clone()
        check(mask.is_floating_point() or mask.dtype == torch.bool, "mask", "a bool or float tensor", mask.dtype)
        shape = mask.shape[1:] if mask.dim() == 4 and len(mask) == 1 else mask.shape
        check(len(shape) == 3 and 0 not in shape, "mask", "shape [1, H, W], [C, H, W] or [1, 1, H, W]", mask.shape)
        check(mask.isfinite().all(), "mask", "finite values", "NaN or infinity")
        self.register_buffer("mask", mask.reshape(shape))

    gram = property(lambda self: self.mask.double().square())

    def forward(self, x):
        check_images("x", x, self.mask.device)
        fits = x.shape[2:] == self.mask.shape[1:] and len(self.mask) in (1, x.shape[1])
        check(fits, "x", f"images that fit the mask {list(self.mask.shape)}", x.shape)
        return x * self.mask.to(x.dtype)

    T = forward


class Blur(Operator):
    """A x = k * x on each channel: convolution with k, a finite float kernel [h, w], h and w odd, centred on its middle
    pixel. Boundary `circular`: A is circulant, A = F⁻¹ diag(k̂) F through rfft2, and ‖A‖ = max |k̂|. Boundary `zero`:
    x is 0 outside its frame and A is Toeplitz, through conv2d (in float32 on a GPU: as exact as
    `torch.backends.cudnn.allow_tf32` lets it be). ValueError for another kernel or boundary.
    """

    def __init__(self, kernel, boundary="circular"):
        super().__init__()
        kernel = torch.as_tensor(kernel).detach().clone()
        check(kernel.is_floating_point(), "kernel", "a float tensor", kernel.dtype)
        check([n % 2 for n in kernel.shape] == [1, 1], "kernel", "shape [h, w], h and w odd", kernel.shape)
        check(kernel.isfinite().all(), "kernel", "finite values", "NaN or infinity")
        check(boundary in ("circular", "zero"), "boundary", "'circular' or 'zero'", repr(boundary))
        self.boundary, self._transfers = boundary, {}
        self.register_buffer("kernel", kernel)

    def transfer(self, height, width, dtype):
        """k̂, the rfft2 of the kernel wrapped (if larger, repeatedly) around a [height, width] frame."""
        # Tensors hash by identity: with the version, a kernel that was replaced or overwritten makes another key.
        key = height, width, dtype, self.kernel, self.kernel.is_inference() or self.kernel._version
        if key not in self._transfers:
            # A tensor made in inference mode could not be used under autograd later.
            with torch.inference_mode(False), torch.no_grad():
                frame = torch.zeros(height, width, dtype=dtype, device=self.kernel.device)
                i, j = (torch.arange(n, device=frame.device) - n // 2 for n in self.kernel.shape)
                frame.index_put_((i[:, None] % height, j % width), self.kernel.to(dtype), accumulate=True)
                self._transfers[key] = torch.fft.rfft2(frame)
        return self._transfers[key]

    def forward(self, x):
        return self._blur("x", x, lambda k: k, F.conv2d)

    def T(self, y):
        return self._blur("y", y, torch.conj, F.conv_transpose2d)

    def _blur(self, name, x, response, conv=None):
        check_images(name, x, self.kernel.device)
        if self.boundary == "circular":
            spectrum = response(self.transfer(*x.shape[2:], x.dtype)) * torch.fft.rfft2(x)
            return torch.fft.irfft2(spectrum, s=x.shape[2:])
        # conv2d correlates: the flip makes it a convolution, and conv_transpose2d its adjoint.
        weight = self.kernel.to(x.dtype).flip(0, 1)[None, None]
        return conv(x.flatten(0, 1)[:, None], weight, padding=[n // 2 for n in self.kernel.shape]).reshape(x.shape)

    def norm(self, shape, iterations=200, seed=0):
        if self.boundary == "zero":
            return super().norm(shape, iterations, seed)
        return self.transfer(*shape[-2:], self.kernel.dtype).abs().max().item()

    def _solve(self, r, rho, *options):
        if self.boundary == "zero":
            return super()._solve(r, rho, *options)
        return self._blur("r", r, lambda k: k.conj() / (k.abs().square() + rho))


class Downsample(Operator):
    """A x = means of disjoint k×k blocks, [B, C, H, W] → [B, C, H/k, W/k]: A Aᵀ = I/k². ValueError unless k fits."""

    def __init__(self, factor):
        """`factor` is k, a positive integer, which must divide the H and W of images."""
        super().__init__()
        check(isinstance(factor, Integral) and factor > 0, "factor", "a positive integer", factor)
        self.factor, self.gram = factor, 1 / factor**2

    def forward(self, x):
        check_images("x", x)
        fits = x.shape[2] % self.factor == x.shape[3] % self.factor == 0
        check(fits, "x", f"height and width divisible by {self.factor}", x.shape)
        return F.avg_pool2d(x, self.factor)

    def T(self, y):
        check_images("y", y)
        return y.repeat_interleave(self.factor, 2).repeat_interleave(self.factor, 3) / self.factor**2


class Compose(Operator):
    """(A @ B) x = A(B(x)), with adjoint Bᵀ Aᵀ."""

    def __init__(self, A, B):
        super().__init__()
        self.A, self.B = A, B

    def forward(self, x):
        return self.A(self.B(x))

    def T(self, y):
        return self.B.T(self.A.T(y))


class Sum(Operator):
    """(A + B) x = A x + B x; ValueError if the two differ in shape."""

    def __init__(self, A, B):
        super().__init__()
        self.A, self.B = A, B

    def forward(self, x):
        Ax, Bx = self.A(x), self.B(x)
        check(Ax.shape == Bx.shape, "A + B", f"B x of the shape of A x, {list(Ax.shape)}", Bx.shape)
        return Ax + Bx

    def T(self, y):
        return self.A.T(y) + self.B.T(y)


class Scaled(Operator):
    """(c A) x = c (A x), for a finite number c (ValueError otherwise); ‖c A‖ = |c| ‖A‖."""

    def __init__(self, c, A):
        super().__init__()
        check(math.isfinite(c), "c", "a finite number", c)
        self.c, self.A = float(c), A

    def forward(self, x):
        return self.c * self.A(x)

    def T(self, y):
        return self.c * self.A.T(y)

    def norm(self, shape, iterations=200, seed=0):
        return abs(self.c) * self.A.norm(shape, iterations, seed)

    def _solve(self, r, rho, *options):
        # (c²AᵀA + ρI)⁻¹ cAᵀ r is (AᵀA + (ρ/c²)I)⁻¹ Aᵀ (r/c), which A may know in closed form.
        return self.A._solve(r / self.c, rho / self.c**2, *options) if self.c else self.T(r)


def uniform_kernel(size=7, dtype=None):
    """k = 1/size² on size×size pixels, size odd (ValueError otherwise): [size, size]."""
    check(isinstance(size, Integral) and size > 0 and size % 2, "size", "a positive odd integer", repr(size))
    return torch.full((size, size), 1 / size**2, dtype=dtype)


def gaussian_kernel(sigma, radius=None, dtype=None):
    """k(i, j) ∝ exp(−(i² + j²) / 2σ²), |i|, |j| ≤ radius (None: 4σ, rounded, as SciPy), of sum 1; σ > 0, in pixels."""
    check(0 < sigma < math.inf, "sigma", "a positive number", sigma)
    radius = int(4 * sigma + 0.5) if radius is None else radius
    check(isinstance(radius, Integral) and radius >= 0, "radius", "a non-negative integer", radius)
    k = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, dtype=torch.float64) / sigma).square())
    return (k[:, None] * k / k.sum() ** 2).to(dtype or torch.get_default_dtype())


def random_mask(height, width, missing=0.6, generator=0):
    """A mask without exactly round(missing · H · W) random pixels, missing in [0, 1]: bool, [1, H, W], True = observed.
    `generator` is a seed, a `torch.Generator` (the mask is on its device), or None: PyTorch's global one.
    """
    size = height * width
    check(isinstance(size, Integral) and min(height, width) > 0, "height, width", "positive integers", (height, width))
    check(0 <= missing <= 1, "missing", "a fraction in [0, 1]", missing)
    generator = torch.Generator().manual_seed(int(generator)) if isinstance(generator, Integral) else generator
    order = torch.randperm(size, generator=generator, device=generator.device if generator else None)
    return (order >= round(missing * size)).reshape(1, height, width)


def square_mask(height, width, side=10, corner=None):
    """A mask without one side×side square: bool, [1, H, W], True = observed. The square is centred, or has its top left
    pixel at `corner` = (row, column). ValueError unless it lies in the image.
    """
    check(isinstance(side, Integral) and 0 < side <= min(height, width), "side", f"1 to {min(height, width)}", side)
    row, column = ((height - side) // 2, (width - side) // 2) if corner is None else corner
    fits = 0 <= row <= height - side and 0 <= column <= width - side
    check(fits, "corner", f"(0, 0) to ({height - side}, {width - side})", (row, column))
    mask = torch.ones(1, height, width, dtype=torch.bool)
    mask[:, row : row + side, column : column + side] = False
    return mask
