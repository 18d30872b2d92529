"""The class `Operator`, and the operators that others compose to."""

import math
from numbers import Real

import torch
from torch.autograd import forward_ad

from course_lib.common import as_generator, check, check_count, check_images, check_operator


class Operator(torch.nn.Module):
    """A linear map of images. A subclass defines `forward(x)`, A x, and `T(y)`, Aᵀ y, its exact adjoint:
    ⟨A x, y⟩ = ⟨x, Aᵀ y⟩ for all x and y. Where it knows a closed form it overrides `norm`, `_solve` or `gram_diagonal`.
    """

    gram_diagonal = None
    """The diagonal of AAᵀ, for an operator whose AAᵀ is diagonal: a number c (AAᵀ = c I) or a tensor [C, H, W]."""

    @torch.no_grad()
    def norm(self, shape, iterations=40, seed=0):
        """‖A‖ = max ‖A x‖ / ‖x‖, a Python float.

        Where no closed form is known: Lanczos' iteration (Golub & Van Loan, *Matrix Computations*, 4th ed., section
        10.1). From a random image v₁ it builds orthonormal images v₁, v₂, … with

            AᵀA vₖ = βₖ₋₁ vₖ₋₁ + αₖ vₖ + βₖ vₖ₊₁.

        In this basis AᵀA is a small tridiagonal matrix, α on the diagonal and β beside it. Its largest eigenvalue
        approaches ‖A‖² from below.

        Args:
            shape: [C, H, W] of the images x; [B, C, H, W] means the same. iterations: how many images v.
            seed: of v₁. It has the dtype and the device of the buffers.
        """
        check(len(shape) in (3, 4), "shape", "[C, H, W] or [B, C, H, W]", list(shape))
        check_count("iterations", iterations, low=1)
        if self.gram_diagonal is not None:
            return torch.as_tensor(self.gram_diagonal, dtype=torch.float64).max().item() ** 0.5
        tensors = [*self.buffers(), *self.parameters(), torch.zeros((), dtype=torch.float64)]
        dtype = next(tensor.dtype for tensor in tensors if tensor.is_floating_point())
        v = torch.randn((1, *shape[-3:]), generator=as_generator(seed), dtype=dtype).to(tensors[0].device)
        v, previous = v / v.norm(), torch.zeros_like(v)
        alphas, betas = [], [v.new_zeros(())]
        for _ in range(iterations):
            w = self.T(self(v)) - betas[-1] * previous
            alphas.append((w * v).sum())
            w = w - alphas[-1] * v
            betas.append(w.norm())
            previous, v = v, w / betas[-1].clamp_min(torch.finfo(dtype).tiny)
        tridiagonal = torch.diag(torch.stack(alphas)) + torch.diag(torch.stack(betas)[1:-1], -1)
        return torch.linalg.eigvalsh(tridiagonal)[-1].clamp_min(0).sqrt().item()  # it reads the lower half only

    def prox(self, v, y, rho, iterations=100, tol=1e-8):
        """argmin_x ½‖A x − y‖² + (ρ/2)‖x − v‖² = v + (AᵀA + ρI)⁻¹ Aᵀ(y − A v), [B, C, H, W].

        Where no closed form is known: conjugate gradients, each image with steps of its own. Derivatives with respect
        to v, y and ρ are those of the formula, however early the iterations end. Those with respect to the operator's
        own buffers and parameters are not known: ValueError if one of them requires a gradient.

        Args:
            v: images [B, C, H, W]. y: measurements, of the shape of A v.
            rho: ρ > 0, a number or a tensor [B], one for each image (unchecked on a GPU and under `torch.func.vmap`).
            iterations: at most. tol: an image is done when its residual is `tol` times the first.
        """
        check_images("v", v)
        tensors = *self.named_buffers(), *self.named_parameters()
        learned = [name for name, tensor in tensors if has_derivative(tensor)]
        check(not learned, "prox", "an operator whose buffers and parameters need no gradient", f"one in {learned}")
        Av = self(v)
        fits = torch.is_tensor(y) and y.shape == Av.shape
        check(fits, "y", f"the shape of A(v), {list(Av.shape)}", getattr(y, "shape", type(y).__name__))
        return v + self._solve(y - Av, check_rho(rho, v), iterations, tol)

    def _solve(self, r, rho, iterations, tol):
        """(AᵀA + ρI)⁻¹ Aᵀ r = Aᵀ (AAᵀ + ρI)⁻¹ r, with ρ a number or a tensor [B, 1, 1, 1]."""
        if self.gram_diagonal is not None:
            return self.T((r / (self.gram_diagonal + rho)).to(r.dtype))
        b = self.T(r)
        rho = torch.as_tensor(rho, dtype=b.dtype, device=b.device).reshape(-1, 1, 1, 1)
        return _Solve.apply(b, rho, self, iterations, tol)

    def __matmul__(self, other):
        return Compose(self, other) if isinstance(other, Operator) else NotImplemented

    def __add__(self, other):
        return Sum(self, other) if isinstance(other, Operator) else NotImplemented

    def __rmul__(self, c):
        return Scaled(c, self) if isinstance(c, Real) else NotImplemented


class _Solve(torch.autograd.Function):
    """x = (AᵀA + ρI)⁻¹ b, with ρ [1, 1, 1, 1] or [B, 1, 1, 1], by conjugate gradients.

    It is differentiated implicitly: (AᵀA + ρI) x = b gives (AᵀA + ρI) dx = db − x dρ, a solve with the same matrix,
    which is symmetric. The derivatives of the iterations would be others: these end when x is near, not when dx is.
    """

    @staticmethod
    def forward(b, rho, A, iterations, tol):
        return conjugate_gradients(A, b, rho, iterations, tol)

    @staticmethod
    def setup_context(ctx, inputs, x):
        ctx.problem = inputs[2:]
        ctx.save_for_backward(inputs[1], x)
        ctx.save_for_forward(inputs[1], x)

    @staticmethod
    def backward(ctx, gradient):
        rho, x = ctx.saved_tensors
        db = _Solve.apply(gradient, rho, *ctx.problem)
        return db, -(db * x).sum((1, 2, 3), keepdim=True).sum_to_size(rho.shape), None, None, None

    @staticmethod
    def jvp(ctx, db, drho, *_):
        rho, x = ctx.saved_tensors
        return _Solve.apply(db - drho * x, rho, *ctx.problem)

    @staticmethod
    def vmap(info, in_dims, b, rho, *problem):
        # [N, B, …]: the images of all copies are solved as one batch.
        b, rho = (
            t.expand(info.batch_size, *t.shape) if dim is None else t.movedim(dim, 0)
            for t, dim in zip((b, rho), in_dims[:2], strict=True)
        )
        rho = rho.expand(-1, b.shape[1], -1, -1, -1)
        x = _Solve.apply(b.flatten(0, 1), rho.flatten(0, 1), *problem)
        return x.unflatten(0, b.shape[:2]), 0


def conjugate_gradients(A, b, rho, iterations, tol):
    """(AᵀA + ρI)⁻¹ b, each image with its own steps until its residual is `tol` times the first."""
    x, residual, p = torch.zeros_like(b), b, b
    rr = residual.square().sum((1, 2, 3), keepdim=True)
    # Beyond the precision of the numbers the steps would follow the rounding errors, which ρ → 0 makes large.
    stop = max(tol, 4 * torch.finfo(b.dtype).eps) ** 2 * rr
    for _ in range(iterations):
        # A finished image takes steps of length 0: nobody waits for the device, and 0/0 does not occur.
        active = rr > stop
        q = A.T(A(p)) + rho * p
        step = torch.where(active, rr / torch.where(active, (p * q).sum((1, 2, 3), keepdim=True), 1), 0)
        x, residual = x + step * p, residual - step * q
        rr, previous = residual.square().sum((1, 2, 3), keepdim=True), rr
        p = residual + torch.where(active, rr / torch.where(active, previous, 1), 0) * p
    return x


def check_rho(rho, v):
    """ρ as `_solve` wants it: a number, or a tensor [B, 1, 1, 1] (or of one value) like v. ValueError unless ρ > 0."""
    if isinstance(rho, Real):
        check(0 < rho < math.inf, "rho", "positive finite values", rho)
        return float(rho)
    values = torch.as_tensor(rho)
    check(values.dim() == 0 or values.shape == v.shape[:1], "rho", f"a number or shape [{len(v)}]", values.shape)
    if values.device.type == "cpu":
        try:
            positive = bool(((values > 0) & values.isfinite()).all())
        except RuntimeError:  # Under `torch.func.vmap` no value can be looked at.
            positive = True
        check(positive, "rho", "positive finite values", rho)
    return values.to(v).reshape(-1, 1, 1, 1)


def check_orthonormal(name, W):
    """Raise ValueError unless WWᵀ = I is known of W."""
    diagonal = getattr(W, "gram_diagonal", None)
    fits = isinstance(diagonal, Real) and abs(diagonal - 1) < 1e-9
    check(fits, name, "an orthonormal transform, with gram_diagonal = 1", diagonal)


def has_derivative(tensor):
    """Whether a derivative with respect to the tensor, or along a tangent that it carries, has been asked for."""
    return tensor.requires_grad or forward_ad.unpack_dual(tensor).tangent is not None


def corner(x, height, width):
    """The top left part of images. (`x[..., :height, :width]` would be an alias where it is the whole, and
    `autograd.functional.jacobian(…, vectorize=True)` knows none.)
    """
    return x.narrow(2, 0, height).narrow(3, 0, width)


class Compose(Operator):
    """(A @ B) x = A(B(x)), with adjoint Bᵀ Aᵀ."""

    def __init__(self, A, B):
        super().__init__()
        check_operator("A", A)
        check_operator("B", B)
        self.A, self.B = A, B

    @property
    def gram_diagonal(self):
        """That of c AAᵀ where BBᵀ = c I, and AAᵀ is diagonal."""
        known = self.A.gram_diagonal is not None and isinstance(self.B.gram_diagonal, Real)
        return self.B.gram_diagonal * self.A.gram_diagonal if known else None

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

    @property
    def gram_diagonal(self):
        return None if self.A.gram_diagonal is None else self.c**2 * self.A.gram_diagonal

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
