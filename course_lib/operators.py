"""The operator A of y = A x + n, with its exact adjoint Aᵀ: mask, blur, downsampling, and what they compose to.

    A(x)     A x            A.T(y)     Aᵀ y           A.norm(shape)       ‖A‖, the largest singular value
    A @ B    x ↦ A(B(x))    A + B      A x + B x      c * A               c A x
    A.prox(v, y, rho)       argmin_x ½‖A x − y‖² + (ρ/2)‖x − v‖², the proximal step of the data term

Images are float tensors [B, C, H, W] of any height and width, and no image of a batch influences another. Buffers keep
the dtype that they were given and are cast to the dtype of the image at use; they move with `A.to(device)`.
"""

import itertools
import math

import torch
import torch.nn.functional as F
from torch import nn

BOUNDARIES = ("circular", "zero")


def check_images(x, name, device=None):
    """Raise ValueError unless x is a float tensor of shape [B, C, H, W] (on `device`); reads no value, so never waits."""
    if not torch.is_tensor(x) or x.dim() != 4 or not x.is_floating_point():
        got = f"{x.dtype} {list(x.shape)}" if torch.is_tensor(x) else type(x).__name__
        raise ValueError(f"{name}: expected a float tensor of shape [B, C, H, W], got {got}")
    if device is not None and x.device != device:
        raise ValueError(f"{name}: expected a tensor on {device}, where the operator is, got one on {x.device}")


def check_finite(values, name):
    """`values` as a detached float or bool tensor of its own; ValueError if it is of another kind or not finite."""
    values = torch.as_tensor(values)
    if not (values.is_floating_point() or values.dtype == torch.bool):
        raise ValueError(f"{name}: expected a bool or float tensor, got {values.dtype}")
    if not torch.isfinite(values).all():
        raise ValueError(f"{name}: expected finite values, got NaN or infinity")
    return values.detach().clone()


def check_rho(rho, v):
    """ρ as a number, or as a tensor [B, 1, 1, 1] like v. A tensor's values are checked on the CPU only: reading waits."""
    if not torch.is_tensor(rho):
        if not 0 < rho < math.inf:
            raise ValueError(f"rho: expected a positive number, got {rho}")
        return rho
    if rho.dim() > 1 or (rho.dim() == 1 and len(rho) != len(v)):
        raise ValueError(f"rho: expected a number or a tensor of shape [{len(v)}], got {list(rho.shape)}")
    if rho.device.type == "cpu" and not ((rho > 0) & (rho < math.inf)).all():
        raise ValueError(f"rho: expected positive numbers, got {rho.tolist()}")
    return rho.to(v).reshape(-1, 1, 1, 1)


def dot(a, b):
    """⟨a, b⟩ for each image, [B, 1, 1, 1]."""
    return (a * b).sum((1, 2, 3), keepdim=True)


class Operator(nn.Module):
    """A linear map of images. A subclass defines `forward` (A x) and `T` (Aᵀ y); the rest has defaults that are exact
    up to iteration, and that a subclass overrides where a closed form is known.
    """

    def forward(self, x):
        """A x."""
        raise NotImplementedError(f"{type(self).__name__} must define forward(x)")

    def T(self, y):
        """Aᵀ y, the exact adjoint: ⟨A x, y⟩ = ⟨x, Aᵀ y⟩ for all x and y."""
        raise NotImplementedError(f"{type(self).__name__} must define T(y)")

    def shape_out(self, shape):
        """Shape of A x for x of shape `shape` = [..., C, H, W]; the same, unless a subclass says otherwise."""
        return torch.Size(shape)

    @torch.no_grad()
    def norm(self, shape, iterations=200, seed=0):
        """‖A‖ = max ‖A x‖ / ‖x‖ over images of shape `shape` ([C, H, W] or [B, C, H, W]), as a Python float.

        Power iteration on AᵀA from a seeded start, on the device and in the dtype of the buffers; it approaches ‖A‖ from
        below. Blur with a circular boundary, masks and downsampling know theirs exactly.
        """
        shape = self._image_shape(shape)
        tensors = list(itertools.chain(self.buffers(), self.parameters()))
        dtype = next((t.dtype for t in tensors if t.is_floating_point()), torch.get_default_dtype())
        x = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)
        x = x.to(tensors[0].device) if tensors else x
        tiny = torch.finfo(dtype).tiny
        for _ in range(iterations):
            x = self.T(self(x / x.norm().clamp_min(tiny)))
        return self(x / x.norm().clamp_min(tiny)).norm().item()

    def prox(self, v, y, rho, iterations=100, tol=1e-8):
        """argmin_x ½‖A x − y‖² + (ρ/2)‖x − v‖², that is, (AᵀA + ρI) x = Aᵀy + ρv.

        In closed form where there is one, otherwise by conjugate gradients from v, each image with its own steps.

        Args:
            v: images [B, C, H, W]. y: measurements, of the shape of A(v).
            rho: ρ > 0, a number or one for each image, a tensor [B].
            iterations, tol: of the conjugate gradients; an image stops at a residual of `tol` times its first.
        """
        check_images(v, "v")
        expected = self.shape_out(v.shape)
        if y.shape != expected:
            raise ValueError(f"y: expected the shape of A(v), {list(expected)}, got {list(y.shape)}")
        return self._prox(v, y, check_rho(rho, v), iterations, tol)

    def _prox(self, v, y, rho, iterations, tol):
        x, r = v, self.T(y - self(v))
        p, rr = r, dot(r, r)
        stop = tol**2 * rr
        for _ in range(iterations):
            active = rr > stop
            Ap = self.T(self(p)) + rho * p
            # A finished image takes steps of length 0: that costs no wait for the device, and no 0/0 in value or gradient.
            step = torch.where(active, rr / torch.where(active, dot(p, Ap), 1), 0)
            x, r = x + step * p, r - step * Ap
            rr, previous = dot(r, r), rr
            p = r + torch.where(active, rr / torch.where(active, previous, 1), 0) * p
        return x

    @staticmethod
    def _image_shape(shape):
        """[1, C, H, W] from [C, H, W] or [B, C, H, W]."""
        if len(shape) not in (3, 4):
            raise ValueError(f"shape: expected [C, H, W] or [B, C, H, W], got {list(shape)}")
        return (1, *shape[-3:])

    def __matmul__(self, other):
        return Compose(self, other) if isinstance(other, Operator) else NotImplemented

    def __add__(self, other):
        return Sum(self, other) if isinstance(other, Operator) else NotImplemented

    def __mul__(self, c):
        return NotImplemented if isinstance(c, Operator) else Scaled(c, self)

    __rmul__ = __mul__


class Identity(Operator):
    """A x = x: denoising."""

    def forward(self, x):
        check_images(x, "x")
        return x

    def T(self, y):
        check_images(y, "y")
        return y

    def norm(self, shape, iterations=None, seed=None):
        """1."""
        return 1.0

    def _prox(self, v, y, rho, iterations, tol):
        return v + (y - v) / (1 + rho)


class Mask(Operator):
    """A x = M ⊙ x, of the size of x and zero where nothing is observed; Aᵀ = A.

    Args:
        mask: M, bool or float, [1, H, W] (shared by all channels), [C, H, W], or either with a leading 1.

    Raises ValueError for another shape or dtype, or values that are not finite.
    """

    def __init__(self, mask):
        super().__init__()
        mask = check_finite(mask, "mask")
        shape = mask.shape[1:] if mask.dim() == 4 and mask.shape[0] == 1 else mask.shape
        if len(shape) != 3 or 0 in shape:
            raise ValueError(f"mask: expected shape [1, H, W], [C, H, W] or [1, 1, H, W], got {list(mask.shape)}")
        self.register_buffer("mask", mask.reshape(shape))

    def forward(self, x):
        return self._apply_mask(x, "x")

    def T(self, y):
        return self._apply_mask(y, "y")

    def norm(self, shape=None, iterations=None, seed=None):
        """max |M|."""
        return self.mask.abs().max().item() if self.mask.is_floating_point() else float(self.mask.any())

    def _apply_mask(self, x, name):
        check_images(x, name, self.mask.device)
        channels, height, width = self.mask.shape
        if x.shape[2:] != (height, width) or (channels > 1 and x.shape[1] != channels):
            expected = f"[B, {channels if channels > 1 else 'C'}, {height}, {width}]"
            raise ValueError(f"{name}: expected the size of the mask, {expected}, got {list(x.shape)}")
        return x * self.mask.to(x.dtype)

    def _prox(self, v, y, rho, iterations, tol):
        return v + self.T(y - self(v)) / (self.mask.to(v.dtype).square() + rho)


class Blur(Operator):
    """A x = k * x on each channel, a convolution with the kernel k centred on its middle pixel.

    Args:
        kernel: k, a float tensor [h, w] with h and w odd; `uniform_kernel` and `gaussian_kernel` make two.
        boundary: `circular` (A is circulant: A = F⁻¹ diag(k̂) F, through rfft2) or `zero` (x is zero outside its frame:
            A is Toeplitz, through conv2d). With `zero`, float32 on a GPU follows `torch.backends.cudnn.allow_tf32`.

    Raises ValueError for another shape, values that are not finite, or an unknown boundary.
    """

    def __init__(self, kernel, boundary="circular"):
        super().__init__()
        kernel = check_finite(kernel, "kernel")
        if kernel.dim() != 2 or kernel.shape[0] % 2 == 0 or kernel.shape[1] % 2 == 0:
            raise ValueError(f"kernel: expected shape [h, w] with h and w odd, got {list(kernel.shape)}")
        if not kernel.is_floating_point():
            raise ValueError(f"kernel: expected a float tensor, got {kernel.dtype}")
        if boundary not in BOUNDARIES:
            raise ValueError(f"boundary: expected one of {BOUNDARIES}, got {boundary!r}")
        self.boundary = boundary
        self.register_buffer("kernel", kernel)
        self._cache, self._cached_kernel = {}, None

    def transfer(self, height, width, dtype):
        """k̂, the rfft2 of the kernel wrapped around a [height, width] frame: complex, [height, width // 2 + 1]."""
        # A kernel that was replaced, moved or overwritten (load_state_dict) is another object or another version.
        version = self.kernel, 0 if self.kernel.is_inference() else self.kernel._version
        if self._cached_kernel is None or self._cached_kernel[0] is not version[0] or self._cached_kernel[1] != version[1]:
            self._cache, self._cached_kernel = {}, version
        key = height, width, dtype, self.kernel.device
        if key not in self._cache:
            # A tensor made in inference mode could not be used under autograd later.
            with torch.inference_mode(False), torch.no_grad():
                kernel = self.kernel.to(dtype)
                rows, columns = (torch.arange(n, device=kernel.device) - n // 2 for n in kernel.shape)
                # A kernel larger than the frame wraps several times: accumulate.
                index = (rows % height)[:, None], (columns % width)[None, :]
                frame = kernel.new_zeros(height, width).index_put(index, kernel, accumulate=True)
                self._cache[key] = torch.fft.rfft2(frame)
        return self._cache[key]

    def forward(self, x):
        check_images(x, "x", self.kernel.device)
        if self.boundary == "circular":
            k = self.transfer(*x.shape[2:], x.dtype)
            return torch.fft.irfft2(k * torch.fft.rfft2(x), s=x.shape[2:])
        return self._convolve(F.conv2d, x)

    def T(self, y):
        check_images(y, "y", self.kernel.device)
        if self.boundary == "circular":
            k = self.transfer(*y.shape[2:], y.dtype)
            return torch.fft.irfft2(k.conj() * torch.fft.rfft2(y), s=y.shape[2:])
        return self._convolve(F.conv_transpose2d, y)

    def _convolve(self, conv, x):
        b, c, h, w = x.shape
        # conv2d computes a correlation: the flip makes it a convolution, and conv_transpose2d its adjoint.
        weight = self.kernel.to(x.dtype).flip(0, 1)[None, None]
        padding = self.kernel.shape[0] // 2, self.kernel.shape[1] // 2
        return conv(x.reshape(b * c, 1, h, w), weight, padding=padding).reshape(b, c, h, w)

    def norm(self, shape, iterations=200, seed=0):
        """max |k̂| for a circular boundary, exactly; by power iteration for a zero one."""
        if self.boundary == "zero":
            return super().norm(shape, iterations, seed)
        _, _, height, width = self._image_shape(shape)
        return self.transfer(height, width, self.kernel.dtype).abs().max().item()

    def _prox(self, v, y, rho, iterations, tol):
        if self.boundary == "zero":
            return super()._prox(v, y, rho, iterations, tol)
        k = self.transfer(*v.shape[2:], v.dtype)
        right = k.conj() * torch.fft.rfft2(y) + rho * torch.fft.rfft2(v)
        return torch.fft.irfft2(right / (k.abs().square() + rho), s=v.shape[2:])


class Downsample(Operator):
    """A x = means of the k×k blocks of x, [B, C, H, W] → [B, C, H/k, W/k]; Aᵀ y repeats y over the blocks, over k².

    The blocks are disjoint, so that A Aᵀ = I/k² and ‖A‖ = 1/k.

    Args:
        factor: k, a positive integer. H and W must be multiples of it (ValueError).
    """

    def __init__(self, factor):
        super().__init__()
        if not isinstance(factor, int) or factor < 1:
            raise ValueError(f"factor: expected a positive integer, got {factor!r}")
        self.factor = factor

    def shape_out(self, shape):
        k = self.factor
        if shape[-2] % k or shape[-1] % k:
            raise ValueError(f"x: expected a height and a width divisible by {k}, got {list(shape)}")
        return torch.Size((*shape[:-2], shape[-2] // k, shape[-1] // k))

    def forward(self, x):
        check_images(x, "x")
        self.shape_out(x.shape)
        return F.avg_pool2d(x, self.factor)

    def T(self, y):
        check_images(y, "y")
        return y.repeat_interleave(self.factor, 2).repeat_interleave(self.factor, 3) / self.factor**2

    def norm(self, shape=None, iterations=None, seed=None):
        """1/k."""
        return 1 / self.factor

    def _prox(self, v, y, rho, iterations, tol):
        # Woodbury: (AᵀA + ρI)⁻¹Aᵀ = Aᵀ(AAᵀ + ρI)⁻¹, and AAᵀ = I/k².
        return v + self.T((y - self(v)) / (1 / self.factor**2 + rho))


class Compose(Operator):
    """(A₁ @ A₂ @ …) x = A₁(A₂(… x)); the adjoint is … A₂ᵀ A₁ᵀ."""

    def __init__(self, *operators):
        super().__init__()
        self.operators = nn.ModuleList(operators)

    def shape_out(self, shape):
        for A in reversed(self.operators):
            shape = A.shape_out(shape)
        return shape

    def forward(self, x):
        for A in reversed(self.operators):
            x = A(x)
        return x

    def T(self, y):
        for A in self.operators:
            y = A.T(y)
        return y


class Sum(Operator):
    """(A₁ + A₂ + …) x = A₁ x + A₂ x + …; ValueError if the terms differ in shape."""

    def __init__(self, *operators):
        super().__init__()
        self.operators = nn.ModuleList(operators)

    def shape_out(self, shape):
        shapes = {A.shape_out(shape) for A in self.operators}
        if len(shapes) > 1:
            raise ValueError(f"A + B: expected terms of one shape, got {sorted(list(s) for s in shapes)}")
        return shapes.pop()

    def forward(self, x):
        check_images(x, "x")
        self.shape_out(x.shape)
        return sum(A(x) for A in self.operators)

    def T(self, y):
        return sum(A.T(y) for A in self.operators)


class Scaled(Operator):
    """(c A) x = c (A x), for a finite number c (ValueError otherwise)."""

    def __init__(self, c, A):
        super().__init__()
        self.c, self.A = float(c), A
        if not math.isfinite(self.c):
            raise ValueError(f"c: expected a finite number, got {c}")

    def shape_out(self, shape):
        return self.A.shape_out(shape)

    def forward(self, x):
        return self.c * self.A(x)

    def T(self, y):
        return self.c * self.A.T(y)

    def norm(self, shape, iterations=200, seed=0):
        """|c| ‖A‖."""
        return abs(self.c) * self.A.norm(shape, iterations, seed)

    def _prox(self, v, y, rho, iterations, tol):
        # ½‖cAx − y‖² + (ρ/2)‖x − v‖² is c² times the same with y/c and ρ/c², which A may know in closed form.
        if self.c == 0:
            return v
        return self.A._prox(v, y / self.c, rho / self.c**2, iterations, tol)


def uniform_kernel(size=7, dtype=None):
    """The size×size mean, k = 1/size², for an odd size (ValueError otherwise)."""
    if not isinstance(size, int) or size < 1 or size % 2 == 0:
        raise ValueError(f"size: expected a positive odd integer, got {size!r}")
    return torch.full((size, size), 1 / size**2, dtype=dtype)


def gaussian_kernel(sigma, radius=None, dtype=None):
    """k(i, j) ∝ exp(−(i² + j²) / 2σ²) for |i|, |j| ≤ radius, of sum 1: [2 radius + 1, 2 radius + 1].

    Args:
        sigma: σ > 0, in pixels. radius: an integer ≥ 0; 4σ, rounded, by default (as in scipy.ndimage).
    """
    if not 0 < sigma < math.inf:
        raise ValueError(f"sigma: expected a positive number, got {sigma}")
    radius = int(4 * sigma + 0.5) if radius is None else radius
    if not isinstance(radius, int) or radius < 0:
        raise ValueError(f"radius: expected an integer, 0 or more, got {radius!r}")
    k = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, dtype=torch.float64) / sigma).square())
    return (k[:, None] * k / k.sum() ** 2).to(dtype or torch.get_default_dtype())


def check_size(height, width):
    """Raise ValueError unless both are positive integers."""
    for name, n in (("height", height), ("width", width)):
        if not isinstance(n, int) or n < 1:
            raise ValueError(f"{name}: expected a positive integer, got {n!r}")


def random_mask(height, width, missing=0.6, generator=0):
    """A mask that misses exactly round(missing · H · W) pixels, drawn at random: bool, [1, H, W], True = observed.

    Args:
        missing: the missing fraction, in [0, 1].
        generator: a seed or a `torch.Generator` (the mask is on its device); None draws from PyTorch's global one.
    """
    check_size(height, width)
    if not 0 <= missing <= 1:
        raise ValueError(f"missing: expected a fraction in [0, 1], got {missing}")
    if isinstance(generator, int):
        generator = torch.Generator().manual_seed(generator)
    device = "cpu" if generator is None else generator.device
    order = torch.randperm(height * width, generator=generator, device=device)
    return (order >= round(missing * height * width)).reshape(1, height, width)


def square_mask(height, width, side=10, corner=None):
    """A mask that misses one side×side square: bool, [1, H, W], True = observed.

    Args:
        side: a positive integer. corner: (row, column) of the square's top left pixel; by default it is centred.

    Raises ValueError if the square does not lie inside the image.
    """
    check_size(height, width)
    if not isinstance(side, int) or not 1 <= side <= min(height, width):
        raise ValueError(f"side: expected an integer in [1, {min(height, width)}], got {side!r}")
    row, column = ((height - side) // 2, (width - side) // 2) if corner is None else corner
    if not (0 <= row <= height - side and 0 <= column <= width - side):
        raise ValueError(f"corner: expected (0, 0) to ({height - side}, {width - side}), got ({row}, {column})")
    mask = torch.ones(1, height, width, dtype=torch.bool)
    mask[:, row : row + side, column : column + side] = False
    return mask
