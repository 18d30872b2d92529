"""Projections: the Radon transform of tomography, and the random measurements of compressed sensing."""

import math
import warnings
from numbers import Integral, Real

import numpy as np
import scipy.sparse
import torch

from course_lib.common import as_generator, check, check_count, check_images, without_autocast
from course_lib.operators.base import Operator, check_orthonormal, has_derivative
from course_lib.operators.transforms import DCT


class _Product(torch.autograd.Function):
    """M x for the sparse matrix M of a Radon transform A, or Mᵀ x, for x with an image in each column. The product is
    linear: it is its own derivative, and the gradient is the product with the transpose.
    """

    @staticmethod
    def forward(x, A, transposed):
        with without_autocast(x):
            return A.matrix(transposed, x.dtype) @ x

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.A, ctx.transposed = inputs[1:]

    @staticmethod
    def backward(ctx, gradient):
        return _Product.apply(gradient, ctx.A, not ctx.transposed), None, None

    @staticmethod
    def jvp(ctx, dx, *_):
        return _Product.apply(dx, ctx.A, ctx.transposed)

    @staticmethod
    def vmap(info, in_dims, x, A, transposed):
        x = x.movedim(in_dims[0], 2)  # [pixels, images, copies]
        return _Product.apply(x.flatten(1), A, transposed).unflatten(1, x.shape[1:]), 2


class Radon(Operator):
    """Parallel-beam Radon transform: (A x)(t, θ) = Σ_s x(r(t, s, θ)), sums of x along lines, in pixels.

    The line at distance t from the centre, pixel (H//2, W//2), is sampled at steps s of one pixel; between pixels x is
    bilinear, outside its frame 0. Line t = 0 is row `detectors // 2` of the sinogram. Images [B, C, H, W] become
    [B, C, detectors, angles]. Sizes, centre and angles are those of `skimage.transform.radon(x, angles, circle=False)`,
    and so are the values, to rounding, where x is 0 at its corners (scikit-image cuts a part of the corner pixels off).
    A is kept as a sparse matrix, with its transpose: Aᵀ is exact.

    Args:
        size: H = W, or (H, W).
        angles: θ in degrees, any sequence of numbers.
        detectors: rows of the sinogram; None: enough for the diagonal, ⌈√2 max(H, W)⌉.
        dtype: of the weights (default: PyTorch's). They are computed in float64. Their derivatives are not known:
            ValueError if a weight requires a gradient.
    """

    def __init__(self, size, angles, detectors=None, dtype=None):
        super().__init__()
        self.size = image_size(size)
        angles = torch.as_tensor(angles, dtype=torch.float64, device="cpu").detach().clone()
        check(angles.dim() == 1 and len(angles) > 0, "angles", "a sequence of degrees", list(angles.shape))
        check(angles.isfinite().all(), "angles", "finite values", angles)
        detectors = math.ceil(math.sqrt(2) * max(self.size)) if detectors is None else detectors
        check_count("detectors", detectors, 1)
        self.detectors = int(detectors)
        self.angles = angles  # Degrees, on the CPU: they describe A, and take no part in A x.
        dtype = dtype or torch.get_default_dtype()
        kept = np.float64 if dtype == torch.float64 else np.float32
        # Angle by angle: only A itself is ever kept.
        views = (self._view(theta.cos().item(), theta.sin().item()).astype(kept) for theta in angles.deg2rad())
        M = scipy.sparse.vstack(list(views), "csr")
        for name, matrix in (("", M), ("_t", M.T.tocsr())):
            self.register_buffer("starts" + name, torch.from_numpy(matrix.indptr), persistent=False)
            self.register_buffer("columns" + name, torch.from_numpy(matrix.indices), persistent=False)
            self.register_buffer("values" + name, torch.from_numpy(matrix.data).to(dtype), persistent=False)

    def _view(self, cos, sin):
        """The rows of A for one angle, [detectors, H·W], sparse."""
        height, width = self.size
        reach = max(self.detectors, math.ceil(math.hypot(*self.size))) // 2 + 1
        t = (np.arange(self.detectors) - self.detectors // 2)[:, None]
        s = np.arange(-reach, reach + 1)
        column, row = width // 2 + cos * t + sin * s, height // 2 - sin * t + cos * s
        near = (row > -1) & (row < height) & (column > -1) & (column < width)
        ray, row, column = near.nonzero()[0].astype(np.int32), row[near], column[near]
        rays, pixels, weights = [], [], []
        top, left = np.floor(row), np.floor(column)
        for i in (top, top + 1):
            for j in (left, left + 1):
                weight = (1 - abs(row - i)) * (1 - abs(column - j))
                inside = (i >= 0) & (i < height) & (j >= 0) & (j < width) & (weight > 0)
                rays.append(ray[inside])
                pixels.append((i * width + j)[inside].astype(np.int32))
                weights.append(weight[inside])
        entries = np.concatenate(weights), (np.concatenate(rays), np.concatenate(pixels))
        return scipy.sparse.csr_array(entries, shape=(self.detectors, height * width))  # It adds up equal entries.

    def matrix(self, transposed, dtype):
        """A as a sparse matrix, or its transpose."""
        names = [part + transposed * "_t" for part in ("starts", "columns", "values")]
        starts, columns, values = (getattr(self, name) for name in names)
        shape = len(self.angles) * self.detectors, math.prod(self.size)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sparse CSR")  # PyTorch calls it beta at every first use.
            shape = shape[::-1] if transposed else shape
            return torch.sparse_csr_tensor(starts, columns, values.to(dtype), shape, check_invariants=False)

    def _product(self, x, transposed):
        learned = has_derivative(self.values) or has_derivative(self.values_t)
        check(not learned, "A", "a Radon transform whose weights need no gradient", "one that requires it")
        return _Product.apply(x, self, transposed)

    def forward(self, x):
        check_images("x", x, self.values.device)
        check(x.shape[2:] == self.size, "x", f"images of {self.size[0]}×{self.size[1]} pixels", x.shape)
        y = self._product(x.reshape(-1, math.prod(self.size)).T, False).T
        return y.reshape(*x.shape[:2], len(self.angles), self.detectors).mT.contiguous()

    def check_sinogram(self, y):
        """Raise ValueError unless y is a batch [B, C, detectors, angles]."""
        check_images("y", y, self.values.device)
        shape = self.detectors, len(self.angles)
        check(y.shape[2:] == shape, "y", f"{shape[0]} detectors × {shape[1]} angles", y.shape)

    def T(self, y):
        self.check_sinogram(y)
        x = self._product(y.mT.reshape(-1, len(self.angles) * self.detectors).T, True).T
        return x.reshape(*y.shape[:2], *self.size).contiguous()


def image_size(size):
    """(H, W) of `size`: one number for a square, or both. ValueError unless they are positive integers."""
    both = tuple(size) if isinstance(size, tuple | list | torch.Size) else (size, size)
    fits = len(both) == 2 and all(isinstance(n, Integral) and n > 0 for n in both)
    check(fits, "size", "a positive integer or (height, width)", size)
    return tuple(map(int, both))


def filtered_back_projection(y, A):
    """x̂ = π/(2n) Aᵀ(f ∗ y): each of the n views is filtered by the ramp, f̂(ω) = 2|ω|, along its detectors.

    The inverse of the Radon transform, discretized, for n angles equally spaced over half a turn; as
    `skimage.transform.iradon`, with Aᵀ for the back-projection. The ramp is built in the domain of pixels (Kak and
    Slaney, *Principles of Computerized Tomographic Imaging*, 1988, eq. 61), which keeps the mean of the image.

    Args:
        y: sinograms [B, C, detectors, angles]. A: the `Radon` transform that they come from.
    """
    check(isinstance(A, Radon), "A", "a Radon transform", type(A).__name__)
    A.check_sinogram(y)
    n = max(64, 2 ** math.ceil(math.log2(2 * A.detectors)))  # Padded, so that the ends of a view do not meet.
    distance = torch.fft.fftfreq(n, 1 / n, dtype=torch.float64, device=y.device)
    odd = distance % 2 == 1
    f = torch.where(odd, -1 / (math.pi * torch.where(odd, distance, 1)).square(), 0)
    f[0] = 0.25
    ramp = 2 * torch.fft.rfft(f).real.to(y.dtype)[:, None]
    filtered = torch.fft.irfft(torch.fft.rfft(y, n, dim=2) * ramp, n, dim=2)[:, :, : A.detectors]
    return math.pi / (2 * len(A.angles)) * A.T(filtered)


class RandomProjections(Operator):
    """A x = M x, with M [m, C·H·W] of independent entries N(0, 1/m): E ‖A x‖² = ‖x‖². Images become [B, 1, 1, m].

    Such an M satisfies the restricted isometry property with high probability (Candès and Tao, 2006).

    Args:
        shape: [C, H, W] of the images. m: the number of measurements. seed: of the entries.
        dtype: of M (default: PyTorch's).
    """

    def __init__(self, shape, m, seed=0, dtype=None):
        super().__init__()
        fits = len(shape) == 3 and all(isinstance(n, Integral) and n > 0 for n in shape)
        check(fits, "shape", "[C, H, W], positive integers", list(shape))
        check_count("m", m, 1)
        self.shape, self.m = tuple(map(int, shape)), int(m)
        size = self.m, math.prod(self.shape)
        M = torch.randn(size, generator=as_generator(seed), dtype=torch.float64) / math.sqrt(m)
        self.register_buffer("matrix", M.to(dtype or torch.get_default_dtype()))

    def forward(self, x):
        check_images("x", x, self.matrix.device)
        check(x.shape[1:] == self.shape, "x", f"images of shape {list(self.shape)}", x.shape)
        with without_autocast(x):
            return (x.reshape(len(x), -1) @ self.matrix.to(x.dtype).T)[:, None, None]

    def T(self, y):
        check_images("y", y, self.matrix.device)
        check(y.shape[1:] == (1, 1, self.m), "y", f"shape [B, 1, 1, {self.m}]", y.shape)
        with without_autocast(y):
            return (y.reshape(len(y), -1) @ self.matrix.to(y.dtype)).reshape(-1, *self.shape)


class SubsampledTransform(Operator):
    """A x = S W (ε ⊙ x): m random coefficients of an orthonormal transform W, after random signs ε = ±1; A Aᵀ = I.

    The signs spread every image over all coefficients, so that random ones tell about it, smooth or not (Krahmer and
    Ward, 2011); without them, most of a photograph is in a few low frequencies. Each channel is measured alike: images
    [B, C, H, W] become [B, C, 1, m], m = round(fraction · H · W).

    Args:
        size: H = W, or (H, W). fraction: in (0, 1]. transform: W (None: `DCT`). signs: whether there are any.
        seed: of signs and choice.
    """

    gram_diagonal = 1.0

    def __init__(self, size, fraction, transform=None, signs=True, seed=0):
        super().__init__()
        self.size = image_size(size)
        check(isinstance(fraction, Real) and 0 < fraction <= 1, "fraction", "a number in (0, 1]", fraction)
        self.transform = DCT() if transform is None else transform
        check_orthonormal("transform", self.transform)
        pixels = math.prod(self.size)
        self.m = round(fraction * pixels)
        check(self.m > 0, "fraction", f"at least one of {pixels} coefficients", fraction)
        generator = as_generator(seed)
        values = torch.randint(2, self.size, generator=generator) * 2.0 - 1 if signs else torch.ones(self.size)
        kept = torch.randperm(pixels, generator=generator)[: self.m].sort().values
        self.register_buffer("signs", values, persistent=False)
        self.register_buffer("kept", kept, persistent=False)

    def forward(self, x):
        check_images("x", x, self.signs.device)
        check(x.shape[2:] == self.size, "x", f"images of {self.size[0]}×{self.size[1]} pixels", x.shape)
        return self.transform(self.signs.to(x.dtype) * x).flatten(2)[:, :, None, self.kept]

    def T(self, y):
        check_images("y", y, self.signs.device)
        check(y.shape[2:] == (1, self.m), "y", f"shape [B, C, 1, {self.m}]", y.shape)
        c = y.new_zeros(*y.shape[:2], math.prod(self.size)).index_copy(2, self.kept, y[:, :, 0])
        return self.signs.to(y.dtype) * self.transform.T(c.unflatten(2, self.size))
