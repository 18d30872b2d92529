"""A flow in time: noise and images joined by an ordinary differential equation whose velocity is learned.

The straight path from noise to an image, x_t = (1 − t) ε + t x with ε ~ N(0, I), passes a point with the mean velocity

    v(x_t, t) = E[x − ε | x_t],

and dx_t/dt = v(x_t, t) takes N(0, I) at t = 0 to the distribution of the images at t = 1 (Lipman et al. 2023, arXiv
2210.02747; Liu, Gong & Liu 2023, arXiv 2209.03003). Run forward, it is a decoder, x = D(z) with z = x_0; run backwards,
an encoder. v is learned by least squares, since a mean is what the square error asks for.

Were the images Gaussian, v would be a formula. Let m be the mean face, W the orthonormal cosine transform, and s_k² the
variance of coefficient k of W (x − m). Of u_t = x_t − t m the coefficients have the standard deviations a_k, and

    a_k(t)² = t² s_k² + (1 − t)²,      v_k = (a_k'/a_k) u_k,      a_k' a_k = t s_k² − (1 − t).

The model adds to this formula what a network F_θ knows beyond it, and F_θ starts at zero:

    v_θ(x_t, t) = m + Wᵀ (a'/a ⊙ W u_t) + c(t) F_θ(u_t, t),      c(t)² = mean over k of s_k² / a_k².

c² is the mean square error of the formula, so that the targets of F_θ have size one at all t. In the coordinates
w_k = (W u_t)_k / a_k(t) the formula stands still, and what is left to solve, from w = W z to w = W (x − m) / s, is

    dw/dt = g(w, t) = c(t) W F_θ(Wᵀ (a(t) ⊙ w), t) / a(t).
"""

import functools
import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd import forward_ad
from torch.utils.checkpoint import checkpoint

from course_lib.common import (
    as_generator,
    check,
    check_batch,
    check_count,
    check_input,
    check_number,
    column,
    one_per_image,
    without_autocast,
)
from course_lib.models.conv_layers import Network

FREQUENCIES = 32
"""How many cosines of the time a network sees."""

FLOOR = 1e-3
"""The least s_k, a quarter of a grey level: that of images without noise may be 0."""

TABLEAUS = {
    "euler": (((),), (1.0,)),
    "midpoint": (((), (0.5,)), (0.0, 1.0)),
    "heun": (((), (1.0,)), (0.5, 0.5)),
}
"""(A, b) of an explicit scheme: k_i = g(w + h Σ_j A_ij k_j, t + h Σ_j A_ij), w ← w + h Σ_i b_i k_i."""

SCHEMES = (*TABLEAUS, "invertible")


def clock(u):
    """t of the uniform u in [0, 1]: t/(1 − t) = 3 (u/(1 − u))², slow at both ends, where the equation is stiff."""
    return 3 * u**2 / (3 * u**2 + (1 - u) ** 2)


def clock_inverse(t):
    """u with `clock(u)` = t."""
    return t.sqrt() / (t.sqrt() + (3 * (1 - t)).sqrt())


# The matrices of the last few sizes are kept. One made in inference mode could not be used under autograd later.
@functools.lru_cache(maxsize=8)
@torch.inference_mode(False)
def cosine_matrix(n, dtype, device):
    """The orthonormal cosine transform of n values, [n, n]: C(k, i) = c_k cos(π (2i + 1) k / 2n)."""
    i = torch.arange(n, dtype=torch.float64)
    C = math.sqrt(2 / n) * torch.cos(math.pi * (2 * i + 1) * i[:, None] / (2 * n))
    C[0] /= math.sqrt(2)
    return C.to(device, dtype)


class Normalization(nn.GroupNorm):
    """Group normalization (Wu & He 2018, arXiv 1803.08494), each image by itself; 8 groups of at least 4, or 1."""

    def __init__(self, channels):
        super().__init__(8 if channels % 8 == 0 and channels >= 32 else 1, channels)

    def forward(self, h):
        # torch's forward derivative of it knows no channels-last.
        return super().forward(h if forward_ad.unpack_dual(h).tangent is None else h.contiguous())


class TimedBlock(nn.Module):
    """h + f(h, e) with f = normalization, SiLU, 3×3 convolution, twice. The time's embedding e [B, E] scales and shifts
    the second normalized activation, channel by channel (FiLM, Perez et al. 2018, arXiv 1709.07871). f starts at zero.
    """

    def __init__(self, channels, embedding):
        super().__init__()
        self.first = nn.Sequential(Normalization(channels), nn.SiLU(), nn.Conv2d(channels, channels, 3, padding=1))
        self.film, self.norm = nn.Linear(embedding, 2 * channels), Normalization(channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        for layer in (self.film, self.second):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, h, e):
        scale, shift = self.film(e)[:, :, None, None].chunk(2, 1)
        return h + self.second(F.silu(self.norm(self.first(h)) * (1 + scale) + shift))


class UNet(nn.Module):
    """F_θ: images [B, C, H, W] and times u in [0, 1], [B], to images of the same shape; it starts at zero.

    2×2 pixels become channels, then each level halves the side; on the way back it is doubled, and what the same level
    had on the way down is added (U-Net, Ronneberger et al. 2015, arXiv 1505.04597).

    Args:
        channels: C. widths: channels of the levels, from fine to coarse. depth: blocks of a level, in each direction.
    """

    def __init__(self, channels, widths, depth):
        super().__init__()
        embedding = 2 * widths[0]
        self.time = nn.Sequential(
            nn.Linear(FREQUENCIES, embedding), nn.SiLU(), nn.Linear(embedding, embedding), nn.SiLU()
        )
        self.stem = nn.Conv2d(4 * channels, widths[0], 3, padding=1)
        self.down = nn.ModuleList(nn.ModuleList(TimedBlock(w, embedding) for _ in range(depth)) for w in widths)
        self.up = nn.ModuleList(nn.ModuleList(TimedBlock(w, embedding) for _ in range(depth)) for w in widths[:-1])
        self.shrink = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(widths))
        self.grow = nn.ModuleList(nn.Conv2d(b, 4 * a, 1) for a, b in pairwise(widths))
        last = nn.Conv2d(widths[0], 4 * channels, 3, padding=1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.head = nn.Sequential(Normalization(widths[0]), nn.SiLU(), last)

    def forward(self, x, u):
        e = self.time(torch.cos(math.pi * torch.arange(FREQUENCIES, device=u.device, dtype=u.dtype) * u[:, None]))
        h, kept = self.stem(F.pixel_unshuffle(x, 2)), []
        for level, blocks in enumerate(self.down):
            for block in blocks:
                h = block(h, e)
            if level < len(self.shrink):
                kept.append(h)
                h = self.shrink[level](h)
        for grow, blocks in zip(reversed(self.grow), reversed(self.up), strict=True):
            h = F.pixel_shuffle(grow(h), 2) + kept.pop()
            for block in blocks:
                h = block(h, e)
        return F.pixel_shuffle(self.head(h), 2)


class FlowInTime(Network):
    """A flow in time for images [B, channels, size, size] in [0, 1], with a flat latent z [B, D], z ~ N(0, I).

    D and E solve the equation in `steps` steps of a scheme, set by `discretize`. By default each step's activations are
    computed again for the gradient (`torch.utils.checkpoint`), so that its memory does not grow with the number of
    steps; with `model.recompute = False` they are kept, as the transforms of torch.func need it.

    Args:
        size: side of the images, a multiple of 2 to the number of levels. channels: C.
        widths: channels of the `UNet`, one entry a level. depth: residual blocks of a level, in each direction.

    `mean` is m, and `std` has the s_k: buffers, set by `initialize`, that lie beside the weights.
    """

    first_images = 4096
    """How many images training gives to `initialize`."""

    def __init__(self, size=64, channels=3, widths=(48, 96, 128, 192), depth=2):
        super().__init__()
        check(len(widths) > 0, "widths", "a width for each level, at least one", list(widths))
        for name, values in {"size": [size], "channels": [channels], "widths": widths, "depth": [depth]}.items():
            for value in values:
                check_count(name, value, low=2 if name == "widths" else 1)
        factor = 2 ** len(widths)
        check(size % factor == 0, "size", f"a multiple of {factor} for {len(widths)} levels", size)
        self.config = {"size": size, "channels": channels, "widths": list(widths), "depth": depth}
        self.net = UNet(channels, widths, depth)
        self.register_buffer("mean", torch.full((channels, size, size), 0.5))
        self.register_buffer("std", torch.full((channels, size, size), 0.25))
        self.register_buffer("initialized", torch.tensor(False))
        self.steps, self.scheme, self.recompute = 20, "midpoint", True

    @property
    def dim(self):
        """D, the dimension of image and latent."""
        return self.mean.numel()

    def discretize(self, steps=20, scheme="midpoint"):
        """Solve the equation in so many steps of a scheme; it belongs to the model, and not to its weights.

        - `euler`, `midpoint`, `heun`: one, two and two velocities a step. E solves the same equation backwards by the
          same scheme, and D(E(x)) = x up to the error of the scheme, which is of the order 1, 2 and 2 in 1/steps.
        - `invertible`: D takes Euler's steps w' = w + h g(w, t), and E undoes each of them, as the fixed point of
          w ↦ w' − h g(w, t): D(E(x)) = x to rounding, for one velocity an iteration. Where h times the Lipschitz
          constant of g is below 1, it exists and is found (`contractions` measures that); beyond, it may be found, or E
          says that the steps are too long.
        """
        check_count("steps", steps, low=1)
        check(scheme in SCHEMES, "scheme", f"one of {SCHEMES}", repr(scheme))
        self.steps, self.scheme = steps, scheme
        return self

    # The Gaussian part

    def transform(self, x, inverse=False):
        """W x, or Wᵀ x: the orthonormal cosine transform over rows, columns and colours, [B, C, H, W] both."""
        colours, rows = (cosine_matrix(n, x.dtype, x.device) for n in x.shape[1:3])
        if inverse:
            colours, rows = colours.T, rows.T
        return (colours @ (rows @ x @ rows.T).flatten(2)).view_as(x)

    def scales(self, t):
        """(a, c): the standard deviations a_k(t), [B, C, H, W], and c(t), [B, 1, 1, 1], for times t [B]."""
        t = t[:, None, None, None]
        a = (t**2 * self.std**2 + (1 - t) ** 2).sqrt()
        return a, (self.std / a).square().mean((1, 2, 3), keepdim=True).sqrt()

    def gaussian_velocity(self, u, t):
        """Wᵀ(a'/a ⊙ W u), the velocity at u = x_t − t m of a Gaussian with the variances s_k², [B, C, H, W]."""
        a, later = self.scales(t)[0], t[:, None, None, None]
        return self.transform((later * self.std**2 - (1 - later)) / a**2 * self.transform(u), inverse=True)

    # What the network adds, the velocity, and what a velocity knows

    def correction(self, u, t):
        """c(t) F_θ(u, t), [B, C, H, W], for u [B, C, H, W] and t [B] or [1]. F_θ sees u in units of its size, and t on
        the clock."""
        a, c = self.scales(t)
        size = a.square().mean((1, 2, 3), keepdim=True).sqrt()
        return c * self.run(lambda h: self.net(h, clock_inverse(t)), u / size)

    def _check_images(self, name, x):
        check_input(name, x, tuple(self.mean.shape), next(self.parameters()))

    def velocity(self, x, t):
        """v_θ(x, t) = E[x_1 − ε | x_t = x], [B, C, H, W], for x [B, C, H, W] and t in [0, 1], a number or [B]."""
        self._check_images("x", x)
        t = one_per_image("t", t, x)
        check(bool((t <= 1).all()), "t", "times from 0 to 1", t)
        with without_autocast(x):
            u = x - column(t, x) * self.mean
            return self.mean + self.gaussian_velocity(u, t) + self.correction(u, t)

    def denoise(self, y, sigma):
        """E[x | y] for y = x + σ n, n ~ N(0, I), [B, C, H, W]; σ >= 0 is a number or [B].

        At t = 1/(1 + σ), the time with σ = σ_t = (1 − t)/t, the image t y is a point x_t of the path, and since
        x_t = x − (1 − t)(x − ε), its mean image is E[x | x_t] = x_t + (1 − t) v(x_t, t). x is an image of the
        training's distribution, with the noise that it has.
        """
        self._check_images("y", y)
        t = 1 / (1 + one_per_image("sigma", sigma, y))
        x = column(t, y) * y
        return x + (1 - column(t, y)) * self.velocity(x, t)

    def score(self, y, sigma):
        """∇ log p_σ(y) = (E[x | y] − y)/σ², [B, C, H, W], for the density p_σ of y = x + σ n: the formula of Tweedie
        (Efron 2011). σ > 0 is a number or [B]. It is t times the score of x_t = t y, for t = 1/(1 + σ).
        """
        self._check_images("y", y)
        sigma = one_per_image("sigma", sigma, y)
        check(bool((sigma > 0).all()), "sigma", "values > 0", sigma)
        return (self.denoise(y, sigma) - y) / column(sigma, y) ** 2

    # Training

    @torch.no_grad()
    def initialize(self, x):
        """Take the mean image m and the standard deviations s_k from images [B, C, size, size], noise included: many of
        them, thousands for faces, since they stay as they are."""
        self._check_images("x", x)
        check_batch("x", x)
        check(len(x) > 1, "x", "at least 2 images to initialize from", len(x))
        with without_autocast(x):
            self.mean.copy_(x.mean(0))
            self.std.copy_(self.transform(x - self.mean).std(0).clamp_min(FLOOR))
        self.initialized.fill_(True)
        return self

    def loss(self, x, generator=None):
        """The flow-matching loss of each image, [B]: the mean over the pixels of (x − ε − v_θ(x_t, t))² / c(t)².

        Its mean is 1 for F_θ = 0, whatever the images are: it is the share of the Gaussian part's error that is left.
        ε is drawn, and t/(1 − t) = 3 u/(1 − u) with u uniform (the shift of Esser et al. 2024, arXiv 2403.03206); the u
        of a batch are spread evenly, from a random start (Kingma et al. 2021, arXiv 2107.00630).
        """
        self._check_images("x", x)
        noise = torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)
        start = torch.rand(1, generator=generator, dtype=x.dtype, device=x.device)
        u = (start + torch.arange(len(x), dtype=x.dtype, device=x.device) / len(x)) % 1
        t = 3 * u / (1 + 2 * u)
        with without_autocast(x):
            later, face = column(t, x), x - self.mean
            point = (1 - later) * noise + later * face
            error = face - noise - self.gaussian_velocity(point, t) - self.correction(point, t)
            return (error / self.scales(t)[1]).square().flatten(1).mean(1)

    # The equation in the coordinates w

    def field(self, w, t, probes=None):
        """(g(w, t), Σ_k ⟨p_k, J p_k⟩), [B, C, H, W] and [B], at a time t [1], for probes p_k [K, C, H, W]; without any,
        (g, None). J is that of c F_θ in the image's coordinates, which has the trace of ∂g/∂w.
        """
        a = self.scales(t)[0]
        u = self.transform(a * w, inverse=True)
        if probes is None:
            return self.transform(self.correction(u, t)) / a, None
        v, Jp = derivatives(lambda u: self.correction(u, t), u, probes)
        return self.transform(v) / a, (probes[:, None] * Jp).flatten(2).sum((0, 2))

    def step(self, w, t0, t1, probes=None):
        """(w at t1, ∫ tr J dt) for w at t0: one step of an explicit scheme, forward or backwards in time."""
        rows, weights = TABLEAUS["euler" if self.scheme == "invertible" else self.scheme]
        slopes, trace, h = [], w.new_zeros(len(w)), t1 - t0
        for row, weight in zip(rows, weights, strict=True):
            at = w + h * sum(a * k for a, k in zip(row, slopes, strict=True))
            slope, more = self.field(at, t0 + h * sum(row), probes if weight else None)
            slopes.append(slope)
            trace = trace if more is None else trace + h * weight * more
        return w + h * sum(b * k for b, k in zip(weights, slopes, strict=True)), trace

    def kept(self, function, *inputs):
        """function(*inputs); under autograd its activations are computed again for the gradient (`recompute`)."""
        if not (self.recompute and torch.is_grad_enabled()):
            return function(*inputs)
        return checkpoint(function, *inputs, use_reentrant=False, preserve_rng_state=False)

    def intervals(self):
        """[(t0, t1)] of the steps, in time's direction, each of shape [1]."""
        t = clock(torch.linspace(0, 1, self.steps + 1, dtype=torch.float64)).to(self.mean)
        return list(pairwise(t.split(1)))

    def decode(self, z):
        """x = D(z), [B, C, size, size], for latents z [B, D]; not clipped to [0, 1]. One or two velocities a step."""
        check_input("z", z, (self.dim,), next(self.parameters()))
        with without_autocast(z):
            w = self.transform(z.unflatten(1, self.mean.shape))
            for t0, t1 in self.intervals():
                w, _ = self.kept(self.step, w, t0, t1)
            return self.mean + self.transform(self.std * w, inverse=True)

    def encode(self, x):
        """z = E(x), [B, D], for images x [B, C, size, size]: the equation backwards, as `discretize` says.

        Raises RuntimeError where a step of the scheme `invertible` has no inverse that its fixed point finds.
        """
        return self._encode(x)[0]

    def encode_with_logdet(self, x, by="hutchinson", probes=1, seed=0):
        """(E(x), log|det J_E(x)|), of shapes [B, D] and [B], for images x [B, C, size, size].

        The equation contracts or expands volume by the divergence of its velocity: with J = ∂g/∂w,

            log|det J_E(x)| = − Σ_k log s_k − ∫₀¹ tr J(w_t, t) dt.

        Args:
            by: how it is found. The last two need D derivatives a step, and are for small images:
                `hutchinson`: the integral by the scheme, with an unbiased estimate of the trace, the mean of pᵀJp over
                probes p of random signs, the same ones in all steps (Hutchinson 1990; FFJORD, arXiv 1810.01367);
                `exact`: the same with the trace itself;
                `discrete`: Σ log|det| of the steps' Jacobians, I + hJ for Euler's: that of the map that E is with so
                many steps. The integral differs from it by an error of the scheme's order.
            probes, seed: how many p, and the seed (or generator) that draws them; all images share them.
        """
        check(by in ("hutchinson", "exact", "discrete"), "by", "hutchinson, exact or discrete", repr(by))
        check_count("probes", probes, low=1)
        shape = (probes, *self.mean.shape)
        if by == "hutchinson":
            directions = torch.randint(2, shape, generator=as_generator(seed)).to(self.mean) * 2 - 1
            directions = directions / math.sqrt(probes)
        else:
            directions = torch.eye(self.dim).to(self.mean).unflatten(1, self.mean.shape)
        return self._encode(x, directions, by == "discrete")

    def _encode(self, x, directions=None, discrete=False):
        """(z, log|det J_E(x)|); without directions the Gaussian part of the latter alone."""
        self._check_images("x", x)
        undo = self.scheme == "invertible"
        with without_autocast(x):
            w, logdet = self.transform(x - self.mean) / self.std, -self.std.log().sum().expand(len(x))
            for t0, t1 in reversed(self.intervals()):
                if undo:
                    w = Undo.apply(w, self, t0, t1, *self.parameters())
                if directions is None:
                    w = w if undo else self.kept(self.step, w, t1, t0)[0]
                    continue
                start, end = (t0, t1) if undo else (t1, t0)
                stepped, more = self.kept(self.step_logdet if discrete else self.step, w, start, end, directions)
                w, logdet = (w, logdet - more) if undo else (stepped, logdet + more)
            return self.transform(w, inverse=True).flatten(1), logdet

    def step_logdet(self, w, t0, t1, basis):
        """(w at t1, log|det| of the step's Jacobian) for w at t0, where `basis` has the D unit vectors [D, C, H, W]."""
        after, columns = derivatives(lambda w: self.step(w, t0, t1)[0], w, basis)
        return after, torch.linalg.slogdet(columns.flatten(2).transpose(0, 1))[1]

    def undo(self, w, t0, t1):
        """(w0, slope, iterations) with w0 + h g(w0, t0) = w, as `fixed_point` finds it."""
        wanted = f"a step from t = {t0.item():.3f} to {t1.item():.3f} that a fixed point undoes (h · Lipschitz < 1)"
        found = fixed_point(lambda v: w - (t1 - t0) * self.field(v, t0)[0], w)
        if found is None:
            advice = "take more steps: model.discretize(steps, 'invertible')"
            raise RuntimeError(f"steps: expected {wanted}, got one that is too long, of {self.steps} steps; {advice}")
        return found

    @torch.no_grad()
    def contractions(self, x):
        """[{t, slope, iterations}] of the steps that `encode` undoes for images x, from t = 1 on: the slope is h times
        the largest ‖g(a) − g(b)‖ / ‖a − b‖ met on the way. Where it is below 1 for all a and b, the inverse is unique.
        """
        self._check_images("x", x)
        check(self.scheme == "invertible", "scheme", "model.discretize(steps, 'invertible')", repr(self.scheme))
        rows = []
        with without_autocast(x):
            w = self.transform(x - self.mean) / self.std
            for t0, t1 in reversed(self.intervals()):
                w, slope, iterations = self.undo(w, t0, t1)
                rows.append({"t": t0.item(), "slope": slope, "iterations": iterations})
        return rows

    # As a flow

    def log_prob(self, x, **options):
        """log p(x) = log N(E(x); 0, I) + log|det J_E(x)| in nats, [B], with the options of `encode_with_logdet`; the
        density is with respect to x in [0, 1]."""
        z, logdet = self.encode_with_logdet(x, **options)
        return logdet - 0.5 * (z.square().sum(1) + self.dim * math.log(2 * math.pi))

    def bits_per_dim(self, x, **options):
        """-log₂ p(x) / D + log₂ 255, [B]: as `Glow.bits_per_dim`, with the options of `encode_with_logdet`."""
        return -self.log_prob(x, **options) / (self.dim * math.log(2)) + math.log2(255)

    def sample(self, count, temperature=1.0, generator=None):
        """x = D(T ε), ε ~ N(0, I): `count` images, [count, C, size, size]."""
        check_count("count", count, low=1)
        check_number("temperature", temperature)
        z = torch.randn(count, self.dim, generator=generator, dtype=self.mean.dtype).to(self.mean.device)
        return self.decode(temperature * z)


def derivatives(f, u, directions):
    """(f(u), J p_k for each direction p_k), [B, ...] and [K, B, ...], for u [B, ...] and directions [K, ...]: forward
    derivatives of K copies of the batch, which autograd differentiates once more."""
    copies, tangents = torch.cat([u] * len(directions)), directions.repeat_interleave(len(u), 0)
    with forward_ad.dual_level():
        value, tangent = forward_ad.unpack_dual(f(forward_ad.make_dual(copies, tangents)))
    tangent = torch.zeros_like(value) if tangent is None else tangent
    return value[: len(u)], tangent.unflatten(0, (len(directions), len(u)))


def fixed_point(f, x, limit=100, memory=6):
    """(x, slope, iterations) with f(x) = x to rounding, [B, ...]; None where no such x is found.

    It iterates x ← f(x), accelerated: of the residuals r = f(x) − x it takes the combination of the last ones that is
    the smallest, image by image (Anderson 1965; Walker & Ni 2011, doi:10.1137/10078356X). It ends where all residuals
    are below 4 ε times the image, with ε that of the dtype, or below 100 ε and no longer falling. `slope` is the
    largest ‖f(a) − f(b)‖ / ‖a − b‖ between iterates of an image: below 1 f contracts, and plain iteration would do.
    """
    eps, tiny = torch.finfo(x.dtype).eps, torch.finfo(x.dtype).tiny
    size, points, residuals, changes, slope = x.flatten(1).norm(dim=1), [], [], [], 0.0
    for _ in range(limit):
        r = f(x) - x
        size = torch.maximum(size, (x + r).flatten(1).norm(dim=1))
        changes.append((r.flatten(1).norm(dim=1) / size.clamp_min(tiny)).max().item())
        falls = len(changes) < 2 or changes[-1] < 0.7 * changes[-2]
        if changes[-1] <= 4 * eps or (changes[-1] <= 100 * eps and not falls):
            return x + r, slope, len(changes)
        if not changes[-1] < 1e3 * changes[0]:  # it grows, or is no number
            return None
        points, residuals = [*points[-memory:], x], [*residuals[-memory:], r]
        x = x + r
        if len(points) > 1:
            dx, dr = (torch.stack([(b - a).flatten(1) for a, b in pairwise(v)], 1) for v in (points, residuals))
            length = dr.norm(dim=2, keepdim=True).clamp_min(tiny)
            moved = (dx + dr)[:, -1].norm(dim=1) / dx[:, -1].norm(dim=1).clamp_min(
                tiny
            )  # of f, by that of its argument
            slope = max(slope, moved.max().item()) if changes[-1] > 1e3 * eps else slope
            dx, dr = dx / length, dr / length  # [B, m, D]
            normal = dr @ dr.mT + 10 * eps * torch.eye(dr.shape[1]).to(dr)
            x = x - ((dx + dr).mT @ torch.linalg.solve(normal, dr @ r.flatten(1)[:, :, None])).view_as(x)
    return None


class Undo(torch.autograd.Function):
    """w ↦ w0 with w0 + h g(w0, t0) = w, a step of Euler undone (`FlowInTime.undo`).

    Backwards, the implicit function theorem: the gradient in w is (I + hJ)⁻ᵀ times that in w0, again by a fixed point.
    What is kept is w0 alone, however many iterations there were. The parameters are arguments so that autograd asks for
    their gradients.
    """

    @staticmethod
    def forward(ctx, w, model, t0, t1, *parameters):
        w0 = model.undo(w, t0, t1)[0]
        ctx.model, ctx.times = model, (t0, t1)
        ctx.save_for_backward(w0, *parameters)
        return w0

    @staticmethod
    def backward(ctx, grad):
        if torch.is_grad_enabled():
            raise RuntimeError("encode: expected first derivatives of the scheme invertible, got second ones")
        (w0, *parameters), (t0, t1) = ctx.saved_tensors, ctx.times
        with torch.enable_grad(), without_autocast(w0):
            w0 = w0.detach().requires_grad_()
            moved = (t1 - t0) * ctx.model.field(w0, t0)[0]

        def pulled(direction, inputs):
            return torch.autograd.grad(moved, inputs, direction, retain_graph=True)

        found = fixed_point(lambda v: grad - pulled(v, [w0])[0], grad)
        if found is None:
            raise RuntimeError("steps: expected a step whose gradient has a fixed point; take more steps")
        wanted = [p for p in parameters if p.requires_grad]
        gradients = iter(pulled(-found[0], wanted) if wanted else [])
        return found[0], None, None, None, *(next(gradients) if p.requires_grad else None for p in parameters)
