"""Projections: the Radon transform of tomography, and the random measurements of compressed sensing."""

import math
import warnings
from numbers import Integral, Real

import torch

from course_lib.common import check, check_count, check_images
from course_lib.operators.base import Operator
from course_lib.operators.transforms import DCT


class _Product(torch.autograd.Function):
    """M x for a matrix that comes with its transpose, both in CSR form: the gradient is Mᵀ g, by the same product."""

    @staticmethod
    def forward(x, M, Mt):
        return M @ x

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.matrices = inputs[1:]

    @staticmethod
    def backward(ctx, g):
        M, Mt = ctx.matrices
        return _Product.apply(g, Mt, M), None, None


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
        dtype: of the weights (default: PyTorch's). They are computed in float64.

    Raises:
        ValueError: size, angles or detectors are not as above; x or y is not of the size of A's.
    """

    def __init__(self, size, angles, detectors=None, dtype=None):
        super().__init__()
        self.size = tuple(size) if isinstance(size, tuple | list | torch.Size) else (size, size)
        fits = len(self.size) == 2 and all(isinstance(n, Integral) and n > 0 for n in self.size)
        check(fits, "size", "a positive integer or (height, width)", size)
        angles = torch.as_tensor(angles, dtype=torch.float64, device="cpu").detach().clone()
        check(angles.dim() == 1 and len(angles) > 0, "angles", "a sequence of degrees", list(angles.shape))
        check(angles.isfinite().all(), "angles", "finite values", angles.tolist())
        self.detectors = math.ceil(math.sqrt(2) * max(self.size)) if detectors is None else detectors
        check_count("detectors", self.detectors, 1)
        self.angles = angles  # Degrees, on the CPU: they describe A, and take no part in A x.
        count, column, value = zip(*(self._view(theta) for theta in angles.deg2rad()), strict=True)
        count, column, value = (
            torch.cat(count),
            torch.cat(column),
            torch.cat(value).to(dtype or torch.get_default_dtype()),
        )
        ray, order = torch.arange(len(count)).repeat_interleave(count), column.argsort(stable=True)
        pixels = torch.bincount(column, minlength=math.prod(self.size))
        matrices = {"": (count, column, value), "_t": (pixels, ray[order], value[order])}
        for name, (counts, columns, values) in matrices.items():
            starts = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
            parts = {"starts": starts.int(), "columns": columns.int(), "values": values}
            for part, tensor in parts.items():
                self.register_buffer(part + name, tensor, persistent=False)

    def _view(self, theta):
        """The rows of A for one angle: entries in each row [detectors], and their columns and values, row by row."""
        height, width = self.size
        reach = max(self.detectors, math.ceil(math.hypot(*self.size))) // 2 + 1
        t = (torch.arange(self.detectors, dtype=torch.float64) - self.detectors // 2)[:, None]
        s = torch.arange(-reach, reach + 1, dtype=torch.float64)
        column, row = width // 2 + theta.cos() * t + theta.sin() * s, height // 2 - theta.sin() * t + theta.cos() * s
        keys, weights = [], []
        for i in (row.floor(), row.floor() + 1):
            for j in (column.floor(), column.floor() + 1):
                weight = (1 - (row - i).abs()) * (1 - (column - j).abs())
                inside = (i >= 0) & (i < height) & (j >= 0) & (j < width) & (weight > 0)
                ray = torch.arange(self.detectors)[:, None]
                keys.append(((ray * height + i.long()) * width + j.long())[inside])
                weights.append(weight[inside])
        key, where = torch.unique(torch.cat(keys), return_inverse=True)
        value = torch.zeros(len(key), dtype=torch.float64).index_add_(0, where, torch.cat(weights))
        return torch.bincount(key // (height * width), minlength=self.detectors), key % (height * width), value

    def _matrix(self, name, shape, dtype):
        starts, columns, values = (getattr(self, part + name) for part in ("starts", "columns", "values"))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sparse CSR")  # PyTorch calls it beta at every first use.
            return torch.sparse_csr_tensor(starts, columns, values.to(dtype), shape, check_invariants=False)

    def _matrices(self, dtype):
        pixels, rays = math.prod(self.size), len(self.angles) * self.detectors
        return self._matrix("", (rays, pixels), dtype), self._matrix("_t", (pixels, rays), dtype)

    def forward(self, x):
        check_images("x", x, self.values.device)
        check(x.shape[2:] == self.size, "x", f"images of {self.size[0]}×{self.size[1]} pixels", x.shape)
        y = _Product.apply(x.reshape(-1, math.prod(self.size)).T, *self._matrices(x.dtype)).T
        return y.reshape(*x.shape[:2], len(self.angles), self.detectors).mT.contiguous()

    def check_sinogram(self, y):
        """Raise ValueError unless y is a batch [B, C, detectors, angles]."""
        check_images("y", y, self.values.device)
        shape = self.detectors, len(self.angles)
        check(y.shape[2:] == shape, "y", f"{shape[0]} detectors × {shape[1]} angles", y.shape)

    def T(self, y):
        self.check_sinogram(y)
        x = _Product.apply(y.mT.reshape(-1, len(self.angles) * self.detectors).T, *reversed(self._matrices(y.dtype))).T
        return x.reshape(*y.shape[:2], *self.size).contiguous()


def filtered_back_projection(y, A):
    """x̂ = π/(2n) Aᵀ(f ∗ y): each of the n views is filtered by the ramp, f̂(ω) = 2|ω|, along its detectors.

    The inverse of the Radon transform, discretized, for n angles equally spaced over half a turn; as
    `skimage.transform.iradon`, with Aᵀ for the back-projection. The ramp is built in the domain of pixels (Kak and
    Slaney, *Principles of Computerized Tomographic Imaging*, 1988, eq. 61), which keeps the mean of the image.

    Args:
        y: sinograms [B, C, detectors, angles]. A: the `Radon` transform that they come from.

    Raises:
        ValueError: A is no Radon transform, or y does not fit it.
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

    Raises:
        ValueError: shape is not three positive integers or m not one; x or y does not fit.
    """

    def __init__(self, shape, m, seed=0, dtype=None):
        super().__init__()
        self.shape, self.m = tuple(shape), m
        fits = len(self.shape) == 3 and all(isinstance(n, Integral) and n > 0 for n in self.shape)
        check(fits, "shape", "[C, H, W], positive integers", list(shape))
        check_count("m", m, 1)
        generator = torch.Generator().manual_seed(seed)
        M = torch.randn(m, math.prod(self.shape), generator=generator, dtype=torch.float64) / math.sqrt(m)
        self.register_buffer("matrix", M.to(dtype or torch.get_default_dtype()))

    def forward(self, x):
        check_images("x", x, self.matrix.device)
        check(x.shape[1:] == self.shape, "x", f"images of shape {list(self.shape)}", x.shape)
        return (x.flatten(1) @ self.matrix.to(x.dtype).T)[:, None, None]

    def T(self, y):
        check_images("y", y, self.matrix.device)
        check(y.shape[1:] == (1, 1, self.m), "y", f"shape [B, 1, 1, {self.m}]", y.shape)
        return (y.flatten(1) @ self.matrix.to(y.dtype)).reshape(-1, *self.shape)


class SubsampledTransform(Operator):
    """A x = S W (ε ⊙ x): m random coefficients of an orthonormal transform W, after random signs ε = ±1; A Aᵀ = I.

    The signs spread every image over all coefficients, so that random ones tell about it, smooth or not (Krahmer and
    Ward, 2011); without them, most of a photograph is in a few low frequencies. Each channel is measured alike: images
    [B, C, H, W] become [B, C, 1, m], m = round(fraction · H · W).

    Args:
        size: H = W, or (H, W). fraction: in (0, 1]. transform: W (None: `DCT`). signs: whether there are any.
        seed: of signs and choice.

    Raises:
        ValueError: size, fraction or transform are not as above; x or y does not fit.
    """

    gram = 1.0

    def __init__(self, size, fraction, transform=None, signs=True, seed=0):
        super().__init__()
        self.size = tuple(size) if isinstance(size, tuple | list | torch.Size) else (size, size)
        fits = len(self.size) == 2 and all(isinstance(n, Integral) and n > 0 for n in self.size)
        check(fits, "size", "a positive integer or (height, width)", size)
        check(isinstance(fraction, Real) and 0 < fraction <= 1, "fraction", "a number in (0, 1]", fraction)
        pixels, self.transform = math.prod(self.size), DCT() if transform is None else transform
        gram = getattr(self.transform, "gram", None)
        check(isinstance(gram, Real) and abs(gram - 1) < 1e-9, "transform", "an orthonormal one, with gram = 1", gram)
        self.m = round(fraction * pixels)
        check(self.m > 0, "fraction", f"at least one of {pixels} coefficients", fraction)
        generator = torch.Generator().manual_seed(seed)
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
