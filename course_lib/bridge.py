"""A bridge to deepinv (Tachella et al. 2025, doi:10.21105/joss.08923), whose objects do the same under other names:

    here                            deepinv                                  to deepinv, and from deepinv
    A(x), A.T(y), A.prox(v, y, ρ)   A(x), A_adjoint(y), prox_l2(v, y, 1/ρ)   `CoursePhysics`, `DeepinvOperator`
    φ(x), φ.prox(v, τ)              fn(x), prox(v, gamma=τ), grad(x)         `RegularizerPrior`, `DeepinvRegularizer`
    −log p(x) of a flow             a prior                                  `FlowPrior`
    ‖E(x)‖² of a flow or a VAE      a prior                                  `EncoderPrior`
    a denoiser f(x, s)              denoiser(x, sigma)                       `CourseDenoiser`, and as it is

deepinv minimizes f(x) + λ g(x), with f(x) = ‖A x − y‖²/(2σ²) for `L2(sigma=σ)`, and `L2()` has σ = 1. So `L2(sigma=σ)`
and `FlowPrior(flow)` with λ = 1 are −log p(x | y) up to a constant, which `map_estimate` with λ = σ²/2 minimizes in
units of σ²; and `L2()` with `EncoderPrior(model)` is `analysis`, with the same λ.

deepinv is not among the requirements of the course: `python -m pip install -e ".[deepinv]"`.
"""

import torch

from course_lib.common import check, check_calls, check_images, column
from course_lib.operators import Mask, Operator
from course_lib.regularizers.base import Regularizer
from course_lib.solvers import lbfgs

try:
    import deepinv
except ModuleNotFoundError as error:
    advice = 'install it with: python -m pip install -e ".[deepinv]"'
    raise ModuleNotFoundError(f"course_lib.bridge needs deepinv ({error}); {advice}", name=error.name) from error


def per_image(value):
    """A parameter of deepinv (a number, or a tensor of any shape with one value, or one for each image) as the course
    takes it: a number, or a tensor [B]. One that is trained keeps its derivative.
    """
    if not torch.is_tensor(value):
        return value
    if value.numel() > 1:
        return value.reshape(-1)
    return value.reshape(()) if value.requires_grad else value.item()


class CoursePhysics(deepinv.physics.LinearPhysics):
    """An operator A as a `LinearPhysics`: A(x), A_adjoint(y) = Aᵀ y, prox_l2 by `A.prox`; physics(x) adds the noise.

    Args:
        A: an `Operator`. noise_model: of deepinv, as `GaussianNoise(sigma)`; by default none. Where a `Mask` is 0
            nothing is observed, and the noise is 0 too, as in `data.observe`.
    """

    def __init__(self, A, noise_model=None):
        check(isinstance(A, Operator), "A", "an Operator of the course", type(A).__name__)
        noise_model = deepinv.physics.ZeroNoise() if noise_model is None else noise_model
        check_calls("noise_model", noise_model, "__call__")
        super().__init__(noise_model=noise_model)
        self.operator = A

    def A(self, x, **parameters):
        """A x."""
        return self.operator(x)

    def A_adjoint(self, y, **parameters):
        """Aᵀ y."""
        return self.operator.T(y)

    def noise(self, x, **parameters):
        """A noisy version of the measurements x."""
        y = super().noise(x, **parameters)
        return y * (self.operator.mask != 0) if isinstance(self.operator, Mask) else y

    def prox_l2(self, z, y, gamma, **options):
        """argmin_x (γ/2)‖A x − y‖² + ½‖x − z‖², as accurate as `A.prox`; z may be a number, or None for 0. The
        `options` of deepinv's own iterations have no say in it."""
        if not torch.is_tensor(z):
            z = torch.full_like(self.operator.T(y), z or 0)
        return self.operator.prox(z, y, 1 / per_image(gamma))

    def compute_sqnorm(self, x0, **options):
        """‖A‖², a tensor without dimensions like x0, which is an image [C, H, W] or a batch of them."""
        return x0.new_tensor(self.operator.norm(x0.shape) ** 2)


class DeepinvOperator(Operator):
    """A `LinearPhysics` as an operator: A(x), A.T(y), A.norm(shape) and A.prox(v, y, rho), without its noise.

    The prox is a formula where deepinv knows the singular values (a `DecomposablePhysics`: masks, `BlurFFT`, MRI …),
    and otherwise the course's conjugate gradients, which go further than those of deepinv.

    Args:
        physics: the `LinearPhysics`. vectors: whether it measures vectors [B, m], as `CompressedSensing`; here they are
            [B, 1, 1, m].
    """

    def __init__(self, physics, vectors=False):
        super().__init__()
        fits = isinstance(physics, deepinv.physics.LinearPhysics)
        check(fits, "physics", "a LinearPhysics of deepinv", type(physics).__name__)
        self.physics, self.vectors = physics, vectors

    def forward(self, x):
        check_images("x", x)
        y = self.physics.A(x)
        rank = 2 if self.vectors else 4
        advice = "; vectors=True is for [B, m]" if rank == 4 else ""
        fits = torch.is_tensor(y) and y.dim() == rank
        check(fits, "physics", f"measurements of {rank} dimensions{advice}", getattr(y, "shape", type(y).__name__))
        return y[:, None, None] if self.vectors else y

    def T(self, y):
        check_images("y", y)
        return self.physics.A_adjoint(y[:, 0, 0] if self.vectors else y)

    def _solve(self, r, rho, *options):
        if not isinstance(self.physics, deepinv.physics.DecomposablePhysics):
            return super()._solve(r, rho, *options)
        # argmin_x (1/2ρ)‖A x − r‖² + ½‖x‖² = (AᵀA + ρI)⁻¹ Aᵀ r.
        return self.physics.prox_l2(0, r[:, 0, 0] if self.vectors else r, 1 / rho)


class CoursePrior(deepinv.optim.Prior):
    """What the priors below share: they are explicit, so that deepinv can follow the objective, and their gradient is
    that of the value. A subclass defines `fn(x)`, [B].
    """

    def __init__(self):
        super().__init__()
        self.explicit_prior = True

    def grad(self, x, *parameters, **options):
        """∇φ(x), of the shape of x; differentiable itself where derivatives are recorded. x is left as it is."""
        recorded = torch.is_grad_enabled()
        with torch.enable_grad():
            u = x if x.requires_grad else x.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(self.fn(u).sum(), u, create_graph=recorded)
        return gradient

    def prox(self, x, *parameters, gamma=1.0, steps=50, **options):
        """argmin_u γ φ(u) + ½‖u − x‖², by `steps` evaluations of L-BFGS from x, each image with a run of its own. Where
        φ is not convex, as for a network, it is a local minimum. No derivatives are recorded.
        """
        gamma = per_image(gamma)
        return lbfgs(lambda u: gamma * self.fn(u) + 0.5 * (u - x).flatten(1).square().sum(1), x, steps).x


class RegularizerPrior(CoursePrior):
    """φ of `course_lib.regularizers` as a prior: its value, its prox, and a (sub)gradient by autograd."""

    def __init__(self, phi):
        super().__init__()
        check_calls("phi", phi, "__call__", "prox")
        self.phi = phi

    def fn(self, x, *parameters, **options):
        """φ(x), [B]."""
        return self.phi(x)

    def prox(self, x, *parameters, gamma=1.0, **options):
        """argmin_u γ φ(u) + ½‖u − x‖²."""
        return self.phi.prox(x, per_image(gamma))


class FlowPrior(CoursePrior):
    """−log p(x) of a flow with `log_prob`, in nats: ½‖E(x)‖² − log|det J_E(x)| and a constant.

    With it `deepinv.optim` finds the MAP, and `deepinv.sampling` samples the posterior, both for `L2(sigma=σ)`. The
    flow moves and casts with the prior.
    """

    def __init__(self, flow):
        super().__init__()
        check_calls("flow", flow, "log_prob")
        self.flow = flow

    def fn(self, x, *parameters, **options):
        """−log p(x), [B]."""
        return -self.flow.log_prob(x)


class EncoderPrior(CoursePrior):
    """‖E(x)‖² of a model with `encode`, a flow or a VAE: with `L2()` the objective of analysis (4), with the same λ."""

    def __init__(self, model):
        super().__init__()
        check_calls("model", model, "encode")
        self.model = model

    def fn(self, x, *parameters, **options):
        """‖E(x)‖², [B]."""
        return self.model.encode(x).square().sum(1)


class DeepinvRegularizer(Regularizer):
    """A prior of deepinv as φ: `phi(x)` is its value, for an explicit one, and `phi.prox(v, tau)` its prox."""

    def __init__(self, prior):
        check(isinstance(prior, deepinv.optim.Prior), "prior", "a Prior of deepinv", type(prior).__name__)
        self.prior = prior

    def value(self, x):
        check(self.prior.explicit_prior, "prior", "one with a value (explicit_prior)", type(self.prior).__name__)
        return self.prior.fn(x)

    def prox_step(self, v, tau):
        return self.prior.prox(v, gamma=column(tau, v))


class CourseDenoiser(deepinv.models.Denoiser):
    """A denoiser f(x, s) as a `Denoiser`: a network of `models.denoiser`, `flow_in_time.denoise`, or any of
    `reconstruction.plug_and_play`. A denoiser of deepinv needs no bridge: those methods call it as they call f.
    """

    def __init__(self, denoiser):
        super().__init__()
        check_calls("denoiser", denoiser, "__call__")
        self.denoiser = denoiser

    def forward(self, x, sigma, **options):
        """f(x, σ), for σ a number or a tensor with one value, or one for each image."""
        return self.denoiser(x, per_image(sigma))
