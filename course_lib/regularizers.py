"""Regularizers φ of x̂ = argmin ½‖A x − y‖² + λ φ(x): the value φ(x), one number an image, and the proximity operator

    prox_{τφ}(v) = argmin_x τ φ(x) + ½‖x − v‖²,

which is the denoiser that φ stands for (A = I, λ = τ). Image batches are [B, C, H, W]; τ is one number, or a tensor [B]
with one for each image. The images of a batch never influence one another.
"""

import numbers

import torch


def per_image(name, value, x):
    """A non-negative parameter (a number or a tensor [B]) as a tensor [B] of the dtype and device of the batch x.

    Raises:
        ValueError: the parameter is negative or not finite, or it is neither one number nor one for each image.
    """
    value = torch.as_tensor(value, dtype=x.dtype, device=x.device)
    if value.dim() > 1 or (value.dim() == 1 and len(value) != len(x)):
        raise ValueError(f"{name}: expected a number or a tensor of shape [{len(x)}], got shape {list(value.shape)}")
    if not bool((torch.isfinite(value) & (value >= 0)).all()):
        raise ValueError(f"{name}: expected finite values >= 0, got {value.tolist()}")
    return value.expand(len(x))


def check_batch(name, x, rank=None):
    """Raises ValueError unless x is a finite float tensor [B, ...], of `rank` dimensions if that is given."""
    if not torch.is_tensor(x) or not x.is_floating_point() or x.dim() < 2 or rank not in (None, x.dim()):
        shape = "[B, C, H, W]" if rank == 4 else "[B, ...]"
        given = f"{x.dtype} of shape {list(x.shape)}" if torch.is_tensor(x) else type(x).__name__
        raise ValueError(f"{name}: expected a float tensor of shape {shape}, got {given}")
    if not bool(torch.isfinite(x).all()):
        raise ValueError(f"{name}: expected finite values, got NaN or infinity")


def check_count(name, value, low=0):
    """Raises ValueError unless value is an integer >= low."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < low:
        raise ValueError(f"{name}: expected an integer >= {low}, got {value!r}")


def check_number(name, value, positive=False):
    """Raises ValueError unless value is a finite number >= 0, or > 0."""
    if not isinstance(value, numbers.Real) or not 0 <= value < float("inf") or (positive and value == 0):
        raise ValueError(f"{name}: expected a finite number {'>' if positive else '>='} 0, got {value!r}")


def check_run(steps, tolerance, **batches):
    """Raises ValueError unless steps, tolerance and the named batches can be those of an iterative algorithm."""
    for name, x in batches.items():
        check_batch(name, x)
    check_count("steps", steps)
    check_number("tolerance", tolerance)


def column(value, x):
    """A tensor [B] in the shape [B, 1, …, 1] that multiplies a batch x."""
    return value.reshape(-1, *[1] * (x.dim() - 1))


def dot(a, b):
    """⟨a, b⟩ of each image, [B]."""
    return (a * b).flatten(1).sum(1)


def gradient(x):
    """∇x, forward differences down (0) and across (1), 0 over the border (Neumann): [B, C, H, W] → [B, 2, C, H, W]."""
    p = x.new_zeros(x.shape[0], 2, *x.shape[1:])
    p[:, 0, :, :-1] = x[:, :, 1:] - x[:, :, :-1]
    p[:, 1, ..., :-1] = x[..., 1:] - x[..., :-1]
    return p


def gradient_adjoint(p):
    """∇ᵀp = −div p, the exact adjoint of `gradient`: [B, 2, C, H, W] → [B, C, H, W]."""
    x = p.new_zeros(p.shape[0], *p.shape[2:])
    x[:, :, 1:] += p[:, 0, :, :-1]
    x[:, :, :-1] -= p[:, 0, :, :-1]
    x[..., 1:] += p[:, 1, ..., :-1]
    x[..., :-1] -= p[:, 1, ..., :-1]
    return x


class Regularizer:
    """φ: `phi(x)` is its value, [B], and `phi.prox(v, tau)` is argmin_x τ φ(x) + ½‖x − v‖², of the shape of v."""

    def __call__(self, x):
        check_batch("x", x, 4)
        return self.value(x)

    def prox(self, v, tau):
        """argmin_x τ φ(x) + ½‖x − v‖² for images v [B, C, H, W] and τ >= 0, a number or a tensor [B]."""
        check_batch("v", v, 4)
        return self.prox_step(v, per_image("tau", tau, v))

    def value(self, x):
        """φ(x), [B], of checked images; a subclass gives the formula."""
        raise NotImplementedError

    def prox_step(self, v, tau):
        """The prox of checked images v and τ of shape [B]; a subclass gives the formula."""
        raise NotImplementedError


class Box(Regularizer):
    """Indicator of the box [low, high]: φ(x) = 0 if every low <= x_i <= high, else ∞. Its prox clips, whatever τ is."""

    def __init__(self, low=0.0, high=1.0):
        if not low <= high:
            raise ValueError(f"low, high: expected low <= high, got {low}, {high}")
        self.low, self.high = low, high

    def value(self, x):
        outside = ((x < self.low) | (x > self.high)).flatten(1).any(1)
        return torch.zeros(len(x), dtype=x.dtype, device=x.device).masked_fill(outside, float("inf"))

    def prox_step(self, v, tau):
        return v.clamp(self.low, self.high)


class TV(Regularizer):
    """Total variation, TV(x) = Σ_pixels ‖(∇x)_pixel‖, with ∇ the forward differences of `gradient` (‖∇‖² <= 8).

    Args:
        isotropic: the norm couples the two directions, √(d₁² + d₂²) (Rudin, Osher & Fatemi 1992); else |d₁| + |d₂|.
        coupled: the norm also couples the colour channels (vectorial TV, Bresson & Chan 2008), so that edges fall at
            the same place in all of them; else TV is the sum over the channels. Grey images don't feel it.
        iterations: most iterations of the prox.
        tolerance: the prox of v stops once its error is surely below tolerance · ‖v‖ (by the duality gap).

    TV is also a support function, TV(x) = max ⟨∇x, p⟩ over dual fields p in a unit ball. `gradient`, `gradient_adjoint`
    and `project` are all that a primal-dual solver needs of it.
    """

    gradient = staticmethod(gradient)
    gradient_adjoint = staticmethod(gradient_adjoint)
    norm_squared = 8.0

    def __init__(self, isotropic=True, coupled=True, iterations=500, tolerance=1e-3):
        check_count("iterations", iterations, low=1)
        check_number("tolerance", tolerance)
        self.iterations, self.tolerance = iterations, tolerance
        self.dims = [1] * isotropic + [2] * coupled

    def norms(self, p):
        """The norms that TV adds up: those of p [B, 2, C, H, W] over the coupled dimensions, kept with length 1."""
        return torch.linalg.vector_norm(p, dim=self.dims, keepdim=True) if self.dims else p.abs()

    def value(self, x):
        return self.norms(gradient(x)).flatten(1).sum(1)

    def project(self, p, radius):
        """Projection of p [B, 2, C, H, W] on the dual ball, all norms at most `radius` [B]."""
        radius = column(radius, p)
        norms = self.norms(p)
        return p * torch.where(norms > radius, radius / norms, 1)

    def prox_step(self, v, tau):
        """Fast gradient projection (Beck & Teboulle 2009) on the dual: x = v − ∇ᵀp, p = argmin ½‖v − ∇ᵀp‖², |p| <= τ.

        x is optimal up to ½‖x − x̂‖² <= τ TV(x) − ⟨∇x, p⟩, the duality gap. The momentum of an image restarts when it
        points uphill (O'Donoghue & Candès 2015), and an image whose gap is small enough is frozen.
        """
        p = extrapolated = torch.zeros_like(gradient(v))
        t = torch.ones_like(tau)
        active = torch.ones_like(tau, dtype=torch.bool)
        target = 0.5 * self.tolerance**2 * dot(v, v)
        for k in range(self.iterations):
            ascent = gradient(v - gradient_adjoint(extrapolated))
            new = self.project(extrapolated + ascent / self.norm_squared, tau)
            uphill = dot(extrapolated - new, new - p) > 0
            t_new = (1 + (1 + 4 * t.square()).sqrt()) / 2
            momentum = torch.where(uphill, 0, (t - 1) / t_new)
            t = torch.where(uphill, 1, t_new)
            extrapolated = new + column(momentum, p) * (new - p)
            p = torch.where(column(active, p), new, p)
            if k % 10 == 9:
                x = v - gradient_adjoint(p)
                active = active & (tau * self.value(x) - dot(gradient(x), p) > target)
                if not bool(active.any()):
                    break
        return v - gradient_adjoint(p)
