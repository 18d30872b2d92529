"""Total variation."""

import torch

from course_lib.common import check, check_count, check_images, check_number, column, dot, root
from course_lib.regularizers.base import Regularizer


def gradient(x):
    """∇x, forward differences down (0) and across (1), 0 over the border (Neumann): [B, C, H, W] → [B, 2, C, H, W]."""
    check_images("x", x)
    p = x.new_empty(x.shape[0], 2, *x.shape[1:])
    p[:, 0, :, :-1] = x[:, :, 1:] - x[:, :, :-1]
    p[:, 1, ..., :-1] = x[..., 1:] - x[..., :-1]
    p[:, 0, :, -1] = p[:, 1, ..., -1] = 0
    return p


def gradient_adjoint(p):
    """∇ᵀp = −div p, the exact adjoint of `gradient`: [B, 2, C, H, W] → [B, C, H, W]."""
    fits = torch.is_tensor(p) and p.dim() == 5 and p.shape[1] == 2
    check(fits, "p", "a field of shape [B, 2, C, H, W]", getattr(p, "shape", type(p).__name__))
    x = p.new_zeros(p.shape[0], *p.shape[2:])
    x[:, :, 1:] += p[:, 0, :, :-1]
    x[:, :, :-1] -= p[:, 0, :, :-1]
    x[..., 1:] += p[:, 1, ..., :-1]
    x[..., :-1] -= p[:, 1, ..., :-1]
    return x


class TV(Regularizer):
    """Total variation, TV(x) = Σ_pixels ‖(∇x)_pixel‖, with ∇ the forward differences of `gradient` (‖∇‖² <= 8).

    Args:
        isotropic: the norm couples the two directions, √(d₁² + d₂²) (Rudin, Osher & Fatemi 1992); else |d₁| + |d₂|.
        coupled: the norm also couples the colour channels (vectorial TV, Bresson & Chan 2008), so that edges fall at
            the same place in all of them; else TV is the sum over the channels. Grey images don't feel it.
        iterations: most iterations of the prox.
        tolerance: the prox of v stops once its error is surely below tolerance · ‖v‖ (by the duality gap). 0: it does
            all iterations. Derivatives of the prox are those of the iterations done, and arrive later than the image:
            who needs them accurately wants tolerance=0.

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

    def squares(self, p):
        """The squares of `norms(p)`."""
        return p.square().sum(self.dims, keepdim=True) if self.dims else p.square()

    def norms(self, p):
        """The norms that TV adds up, those of p [B, 2, C, H, W] over the coupled dimensions, kept with length 1."""
        return root(self.squares(p)) if self.dims else p.abs()

    def value(self, x):
        return self.norms(gradient(x)).flatten(1).sum(1)

    def project(self, p, radius):
        """Projection of p [B, 2, C, H, W] on the dual ball, all norms at most `radius` [B]."""
        radius = column(radius, p)
        # The larger of norm and radius, under the root: it is not 0, and so has derivatives also at p = 0.
        larger = torch.maximum(self.squares(p), radius.square().clamp_min(torch.finfo(p.dtype).tiny))
        return p * (radius / larger.sqrt())

    def prox_step(self, v, tau):
        """Fast gradient projection (Beck & Teboulle 2009) on the dual: x = v − ∇ᵀp, p = argmin ½‖v − ∇ᵀp‖², |p| <= τ.

        x is optimal up to ½‖x − x̂‖² <= τ TV(x) − ⟨∇x, p⟩, the duality gap. The momentum of an image restarts when it
        points uphill (O'Donoghue & Candès 2015), and an image whose gap is small enough is frozen.
        """
        p = extrapolated = torch.zeros_like(gradient(v))
        t = torch.ones_like(tau)
        active, all_active = torch.ones_like(tau, dtype=torch.bool), True
        target = 0.5 * self.tolerance**2 * dot(v, v)
        for k in range(self.iterations):
            ascent = gradient(v - gradient_adjoint(extrapolated))
            new = self.project(torch.add(extrapolated, ascent, alpha=1 / self.norm_squared), tau)
            move = new - p
            uphill = dot(extrapolated - new, move) > 0
            t_new = (1 + (1 + 4 * t.square()).sqrt()) / 2
            momentum = torch.where(uphill, 0, (t - 1) / t_new)
            t = torch.where(uphill, 1, t_new)
            extrapolated = torch.addcmul(new, column(momentum, p), move)
            p = new if all_active else torch.where(column(active, p), new, p)
            if k % 10 == 9 and self.tolerance:
                x = v - gradient_adjoint(p)
                active = active & (tau * self.value(x) - dot(gradient(x), p) > target)
                if not bool(active.any()):
                    break
                all_active = bool(active.all())
        return v - gradient_adjoint(p)
