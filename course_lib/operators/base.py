"""The class `Operator`, and the operators that others compose to."""

import math
from numbers import Real

import torch

from course_lib.common import check, check_count, check_images, check_operator


class Operator(torch.nn.Module):
    """A linear map of images. A subclass defines `forward(x)`, A x, and `T(y)`, Aᵀ y, its exact adjoint:
    ⟨A x, y⟩ = ⟨x, Aᵀ y⟩ for all x and y. It overrides `norm` and `_solve`, or `gram`, where it knows a closed form.
    """

    gram = None  # AAᵀ, where it is diagonal: a number or a tensor [C, H, W].

    @torch.no_grad()
    def norm(self, shape, iterations=40, seed=0):
        """‖A‖ = max ‖A x‖ / ‖x‖ over images of shape [C, H, W] or [B, C, H, W], a Python float. In closed form where
        one is known, otherwise from below by Lanczos' iteration on AᵀA (Golub & Van Loan, *Matrix Computations*, 4th
        ed., section 10.1), on the device and in the dtype of the buffers.
        """
        check(len(shape) in (3, 4), "shape", "[C, H, W] or [B, C, H, W]", list(shape))
        check_count("iterations", iterations, low=1)
        if self.gram is not None:
            return torch.as_tensor(self.gram, dtype=torch.float64).max().item() ** 0.5
        tensors = [*self.buffers(), *self.parameters(), torch.zeros((), dtype=torch.float64)]
        dtype, generator = next(t.dtype for t in tensors if t.is_floating_point()), torch.Generator().manual_seed(seed)
        x = torch.randn((1, *shape[-3:]), generator=generator, dtype=dtype).to(tensors[0].device)
        v, previous, beta, diagonal, beside = x / x.norm(), 0.0, 0.0, [], []
        for _ in range(iterations):
            w = self.T(self(v)) - beta * previous
            diagonal.append((w * v).sum())
            w = w - diagonal[-1] * v
            beta = w.norm()
            beside.append(beta)
            previous, v = v, w / beta.clamp_min(torch.finfo(dtype).tiny)
        # AᵀA in the basis of the v is tridiagonal; its largest eigenvalue approaches ‖A‖².
        beside = torch.stack(beside[:-1]) if iterations > 1 else x.new_zeros(0)
        ritz = torch.linalg.eigvalsh(torch.diag(torch.stack(diagonal)) + torch.diag(beside, -1))
        return ritz[-1].clamp_min(0).sqrt().item()

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
        # Beyond the precision of the numbers the steps would follow the rounding errors, which ρ → 0 makes large.
        stop = max(tol, 4 * torch.finfo(r.dtype).eps) ** 2 * rr
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


class Compose(Operator):
    """(A @ B) x = A(B(x)), with adjoint Bᵀ Aᵀ."""

    def __init__(self, A, B):
        super().__init__()
        check_operator("A", A)
        check_operator("B", B)
        self.A, self.B = A, B

    @property
    def gram(self):
        """c AAᵀ where BBᵀ = c I, and AAᵀ is diagonal."""
        known = self.A.gram is not None and isinstance(self.B.gram, Real)
        return self.B.gram * self.A.gram if known else None

    def forward(self, x):
        return self.A(self.B(x))

    def T(self, y):
        return self.B.T(self.A.T(y))


class Sum(Operator):
    """(A + B) x = A x + B x; ValueError if the two differ in shape."""

    def __init__(self, A, B):
        super().__init__()
        check_operator("A", A)
        check_operator("B", B)
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
        check(isinstance(c, Real) and math.isfinite(c), "c", "a finite number", c)
        check_operator("A", A)
        self.c, self.A = float(c), A

    gram = property(lambda self: None if self.A.gram is None else self.c**2 * self.A.gram)

    def forward(self, x):
        return self.c * self.A(x)

    def T(self, y):
        return self.c * self.A.T(y)

    def norm(self, shape, iterations=40, seed=0):
        return abs(self.c) * self.A.norm(shape, iterations, seed)

    def _solve(self, r, rho, *options):
        # (c²AᵀA + ρI)⁻¹ cAᵀ r is (AᵀA + (ρ/c²)I)⁻¹ Aᵀ (r/c), which A may know in closed form.
        return self.A._solve(r / self.c, rho / self.c**2, *options) if self.c else self.T(r)


class Counted(Operator):
    """A with a meter: `count` grows by one with each A x and Aᵀ y, of a whole batch, so that algorithms can be compared
    at equal cost. `prox` counts what conjugate gradients apply; `norm` counts nothing: it is known of A beforehand.

    Args:
        A: the operator. closed_form: let `prox` use the formula of A, and count it as two applications.
    """

    def __init__(self, A, closed_form=False):
        super().__init__()
        check_operator("A", A)
        self.A, self.closed_form, self.count = A, closed_form, 0

    def forward(self, x):
        self.count += 1
        return self.A(x)

    def T(self, y):
        self.count += 1
        return self.A.T(y)

    def norm(self, shape, iterations=40, seed=0):
        return self.A.norm(shape, iterations, seed)

    def _solve(self, r, rho, *options):
        if not self.closed_form:
            return super()._solve(r, rho, *options)
        self.count += 1  # The other one is A v in `prox`.
        return self.A._solve(r, rho, *options)
