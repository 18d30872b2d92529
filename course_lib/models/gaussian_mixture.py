"""A mixture of Gaussians as a prior for images: what a network learns approximately, it knows in closed form.

    p(x) = Σ_k w_k N(x; m_k, C_k),    C_k = U_k diag(s_k²) U_kᵀ.

Everything that the course asks of a prior stays a mixture of Gaussians. A point y = a x + b ε with ε ~ N(0, I) has the
components N(a m_k, a² C_k + b² I), and which one it came from is known in probability,

    r_k(y) ∝ w_k N(y; a m_k, a² C_k + b² I),    Σ_k r_k = 1.

Given the component, x is Gaussian with a mean that is linear in y. Hence denoiser, score and velocity are means of
linear maps with the weights r_k, and the posterior of x given A x + σ n is a mixture again: a problem whose answer is
known, for samplers to be measured against.
"""

import math

import torch
from scipy.integrate import solve_ivp
from torch import nn
from torch.autograd.function import once_differentiable

from course_lib.common import (
    check,
    check_batch,
    check_count,
    check_input,
    check_number,
    check_operator,
    column,
    one_per_image,
)


class GaussianMixture(nn.Module):
    """p(x) = Σ_k w_k N(x; m_k, C_k) for images [B, C, H, W] of any small shape; a point of the plane is [B, 1, 1, 2].

    Args:
        means: the m_k, a float tensor [K, C, H, W]. covariances: the C_k, positive definite, [K, D, D] with D = CHW.
        weights: the w_k > 0, [K], which are divided by their sum; by default all are equal.

    `denoise`, `score` and `velocity` mean what they mean for `FlowInTime`, the latent z is flat, [B, D], and nothing is
    trainable.
    """

    tolerance = 1e-10
    """Relative and absolute error per step with which E and D of a mixture solve their equation, in float64."""

    def __init__(self, means, covariances, weights=None):
        super().__init__()
        check_batch("means", means, 4)
        K, D = len(means), means[0].numel()
        check_batch("covariances", covariances, 3)
        check(covariances.shape == (K, D, D), "covariances", f"shape {[K, D, D]}", covariances.shape)
        weights = torch.ones(K) if weights is None else weights
        check(torch.is_tensor(weights) and weights.shape == (K,), "weights", f"a tensor of shape [{K}]", weights)
        check(bool((weights > 0).all() and weights.isfinite().all()), "weights", "finite values > 0", weights)
        C = covariances.double()
        check(torch.allclose(C, C.mT), "covariances", "symmetric matrices", "others")
        variances, basis = torch.linalg.eigh(C)
        check(bool((variances > 0).all()), "covariances", "positive definite matrices", "an eigenvalue <= 0")
        # A parameter, since the dtype and the device of a model are those of its parameters.
        self.means = nn.Parameter(means.detach().clone(), requires_grad=False)
        self.register_buffer("variances", variances.to(means))  # s_k², [K, D]
        self.register_buffer("basis", basis.to(means))  # U_k, [K, D, D]
        self.register_buffer("weights", (weights / weights.sum()).to(means))

    @property
    def dim(self):
        """D, the dimension of image and latent."""
        return self.means[0].numel()

    @property
    def covariances(self):
        """The C_k = U_k diag(s_k²) U_kᵀ, [K, D, D]."""
        return self.basis * self.variances[:, None] @ self.basis.mT

    def _check_images(self, name, x):
        check_input(name, x, tuple(self.means.shape[1:]), self.means)

    # What a noisy point knows

    def components(self, y, a, b):
        """(q, v, log-densities) of points y = a x + b ε under each component N(a m_k, a² C_k + b² I), for a and b [B].

        q = U_kᵀ(y − a m_k) and v = a² s_k² + b² are the point and the variances in the axes of the component,
        [B, K, D]; log w_k N(y; a m_k, a² C_k + b² I) is [B, K].
        """
        a, b = a[:, None, None], b[:, None, None]
        q = torch.einsum("bkd,kde->bke", y.flatten(1)[:, None] - a * self.means.flatten(1), self.basis)
        v = a**2 * self.variances + b**2
        log_n = -0.5 * (q**2 / v + v.log() + math.log(2 * math.pi)).sum(2)
        return q, v, self.weights.log() + log_n

    def average(self, logs, means, q):
        """Σ_k r_k (μ_k + U_k q_k), [B, C, H, W], with r = softmax of `logs` [B, K], for μ_k [K, D] and q [B, K, D]."""
        values = means + torch.einsum("bke,kde->bkd", q, self.basis)
        return torch.einsum("bk,bkd->bd", logs.softmax(1), values).unflatten(1, self.means.shape[1:])

    def log_prob(self, x):
        """log p(x) = log Σ_k w_k N(x; m_k, C_k) in nats, [B], for images x [B, C, H, W]."""
        self._check_images("x", x)
        one = torch.ones_like(x[:, 0, 0, 0])
        return torch.logsumexp(self.components(x, one, 0 * one)[2], 1)

    def denoise(self, y, sigma):
        """E[x | y] for y = x + σ n, n ~ N(0, I), [B, C, H, W]; σ >= 0 is a number or [B]:

        Σ_k r_k(y) (m_k + C_k (C_k + σ² I)⁻¹ (y − m_k)).
        """
        self._check_images("y", y)
        sigma = one_per_image("sigma", sigma, y)
        q, v, logs = self.components(y, torch.ones_like(sigma), sigma)
        return self.average(logs, self.means.flatten(1), self.variances / v * q)

    def score(self, y, sigma):
        """∇ log p_σ(y) = −Σ_k r_k(y) (C_k + σ² I)⁻¹ (y − m_k), [B, C, H, W], for the density p_σ of y = x + σ n. σ is a
        number or [B]; with σ = 0 it is the score of the prior itself."""
        self._check_images("y", y)
        sigma = one_per_image("sigma", sigma, y)
        q, v, logs = self.components(y, torch.ones_like(sigma), sigma)
        return self.average(logs, 0, -q / v)

    def velocity(self, x, t):
        """v(x, t) = E[x_1 − ε | x_t = x], [B, C, H, W], for x_t = (1 − t) ε + t x_1 and t in [0, 1], a number or [B]:

        Σ_k r_k(x) (m_k + (t C_k − (1 − t) I) (t² C_k + (1 − t)² I)⁻¹ (x − t m_k)).
        """
        self._check_images("x", x)
        t = one_per_image("t", t, x)
        check(bool((t <= 1).all()), "t", "times from 0 to 1", t)
        q, v, logs = self.components(x, t, 1 - t)
        later = t[:, None, None]
        return self.average(logs, self.means.flatten(1), (later * self.variances - (1 - later)) / v * q)

    def responsibilities(self, x):
        """r_k(x) ∝ w_k N(x; m_k, C_k), [B, K]: from which component a point x [B, C, H, W] came, in probability."""
        self._check_images("x", x)
        one = torch.ones_like(x[:, 0, 0, 0])
        return self.components(x, one, 0 * one)[2].softmax(1)

    # The prior, and the posterior

    def sample(self, count, generator=None):
        """`count` images x = m_k + U_k diag(s_k) ε with k drawn by its weight, [count, C, H, W]."""
        check_count("count", count, low=1)
        k = torch.multinomial(self.weights.cpu(), count, replacement=True, generator=generator).to(self.means.device)
        noise = torch.randn(count, self.dim, generator=generator, dtype=self.means.dtype).to(self.means.device)
        offsets, scaled = torch.zeros_like(noise), self.variances[k].sqrt() * noise
        for j in range(len(self.means)):  # one basis at a time: `count` of them would be large
            offsets[k == j] = scaled[k == j] @ self.basis[j].T
        return self.means[k] + offsets.view(-1, *self.means.shape[1:])

    def mean_and_covariance(self):
        """(m, C) of the whole mixture, [C, H, W] and [D, D]: m = Σ w_k m_k, C = Σ w_k (C_k + (m_k − m)(m_k − m)ᵀ)."""
        mean = (column(self.weights, self.means) * self.means).sum(0)
        apart = (self.means - mean).flatten(1)
        return mean, torch.einsum("k,kde->de", self.weights, self.covariances + apart[:, :, None] * apart[:, None])

    @torch.no_grad()
    def posterior(self, y, A, sigma):
        """p(x | y) for one observation y = A x + σ n, [1, ...], with σ > 0: the mixture, as a `GaussianMixture`, of

            w_k N(y; A m_k, S_k) / p(y),    m_k + G_k (y − A m_k),    C_k − G_k S_k G_kᵀ,

        where S_k = A C_k Aᵀ + σ² I and G_k = C_k Aᵀ S_k⁻¹. A is an operator; its matrix is made column by column, and
        the algebra is done in float64.
        """
        check_operator("A", A)
        check_batch("y", y)
        check(len(y) == 1, "y", "one observation, [1, ...]", y.shape)
        check_number("sigma", sigma, positive=True)
        columns = A(torch.eye(self.dim).to(self.means).unflatten(1, self.means.shape[1:]))
        check(
            columns.shape[1:] == y.shape[1:], "y", f"the shape of A(x), [1, {str(list(columns.shape[1:]))[1:]}", y.shape
        )
        M, C, m = columns.flatten(1).double().T, self.covariances.double(), self.means.flatten(1).double()
        noise, eye = sigma**2 * torch.eye(len(M)).to(M), torch.eye(self.dim).to(M)
        S = M @ C @ M.T + noise
        G = torch.cholesky_solve(M @ C, torch.linalg.cholesky(S)).mT
        left = eye - G @ M
        # (I − G A) C (I − G A)ᵀ + σ² G Gᵀ is the same covariance, and positive definite also after rounding.
        C = left @ C @ left.mT + G @ noise @ G.mT
        r = y.flatten().double() - m @ M.T
        log_n = torch.distributions.MultivariateNormal(torch.zeros_like(r), S).log_prob(r)
        weights = (self.weights.double().log() + log_n).softmax(0)
        keep = weights > torch.finfo(self.means.dtype).tiny  # a weight of 0 is no component
        means = (m + (G @ r[:, :, None])[:, :, 0]).unflatten(1, self.means.shape[1:])
        return GaussianMixture(*(v[keep].to(self.means) for v in (means, (C + C.mT) / 2, weights)))

    @torch.no_grad()
    def modes(self, steps=1000):
        """The maxima of p that are found from the m_k, [M, C, H, W], the highest first, by the fixed point of

            x ← (Σ_k r_k(x) C_k⁻¹)⁻¹ Σ_k r_k(x) C_k⁻¹ m_k,

        which climbs in each step, as an EM algorithm (Carreira-Perpiñán 2000, doi:10.1109/34.888716). For a Gaussian it
        is the mean. A mixture may have a maximum that none of the m_k leads to.
        """
        check_count("steps", steps, low=1)
        precisions = (self.basis / self.variances[:, None] @ self.basis.mT).double()
        pulls = torch.einsum("kde,ke->kd", precisions, self.means.flatten(1).double())
        x = self.means.flatten(1).double()
        for _ in range(steps):
            r = self.responsibilities(x.to(self.means).unflatten(1, self.means.shape[1:])).double()
            R = torch.linalg.cholesky(torch.einsum("bk,kde->bde", r, precisions))
            previous, x = x, torch.cholesky_solve((r @ pulls)[..., None], R)[..., 0]
            if (x - previous).norm() <= 1e-14 * x.norm():
                break
        x = x.to(self.means).unflatten(1, self.means.shape[1:])
        found = []
        for k in self.log_prob(x).argsort(descending=True):
            near = 1e-4 * self.variances.min().sqrt()
            if all((x[k] - other).norm() > near for other in found):
                found.append(x[k])
        return torch.stack(found)

    # The flow in time

    def decode(self, z):
        """x = D(z), [B, C, H, W], for z [B, D]: where dx/dt = v(x, t) arrives at t = 1 from z at t = 0.

        For a Gaussian it is m + U diag(s) Uᵀ z = m + C^½ z. For a mixture the equation is solved numerically, to
        `tolerance`, by a Runge-Kutta method of order 8 (scipy's DOP853) that chooses steps for the batch as a whole. It
        has first derivatives, by autograd.
        """
        check_input("z", z, (self.dim,), self.means)
        if len(self.means) == 1:
            return self.means + self._scaled(z, self.variances[0].sqrt()).unflatten(1, self.means.shape[1:])
        return Transport.apply(z, self, 0.0, 1.0).unflatten(1, self.means.shape[1:])

    def encode(self, x):
        """z = E(x), [B, D], for images x [B, C, H, W]: the inverse of `decode`, by the same equation backwards."""
        self._check_images("x", x)
        if len(self.means) == 1:
            return self._scaled((x - self.means).flatten(1), self.variances[0].rsqrt())
        return Transport.apply(x.flatten(1), self, 1.0, 0.0)

    def encode_with_logdet(self, x):
        """(E(x), log|det J_E(x)|), [B, D] and [B]. E takes p to N(0, I), so that the change of variables gives it:
        log|det J_E(x)| = log p(x) − log N(E(x); 0, I)."""
        z = self.encode(x)
        return z, self.log_prob(x) + 0.5 * (z.square().sum(1) + self.dim * math.log(2 * math.pi))

    def _scaled(self, points, scales):
        """U diag(scales) Uᵀ of flat points [B, D], in the axes of the one Gaussian."""
        return (points @ self.basis[0] * scales) @ self.basis[0].T

    def transport(self, points, t0, t1, gradient=None):
        """What the flow makes at t1 of flat points x at t0, [B, D]; or, of a gradient g at these points, [B, D], what
        it is at t1:

            dx/dt = v(x, t),    dg/dt = −Jᵀ g    with J = ∂v/∂x at x.
        """
        state = torch.stack([points] if gradient is None else [points, gradient])

        def rate(t, values):
            x, *g = torch.from_numpy(values).to(self.means).view(len(state), -1, *self.means.shape[1:])
            with torch.set_grad_enabled(bool(g)):
                v = self.velocity(x.requires_grad_(bool(g)), t)
                rates = [v.detach(), *(-torch.autograd.grad(v, x, u)[0] for u in g)]
            return torch.stack(rates).flatten().double().cpu().numpy()

        # Below the rounding of the velocity no step is short enough.
        tolerance = max(self.tolerance, 10 * torch.finfo(points.dtype).eps)
        start = state.flatten().double().cpu().numpy()
        end = solve_ivp(rate, (t0, t1), start, method="DOP853", rtol=tolerance, atol=tolerance).y[:, -1]
        return torch.from_numpy(end).to(points).view_as(state)[-1]


class Transport(torch.autograd.Function):
    """The map of `GaussianMixture.transport` from t0 to t1. Its gradient solves the adjoint equation, backwards in time
    (Chen et al. 2018, arXiv 1806.07366)."""

    @staticmethod
    def forward(ctx, points, model, t0, t1):
        end = model.transport(points, t0, t1)
        ctx.problem = model, t0, t1
        ctx.save_for_backward(end)
        return end

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        model, t0, t1 = ctx.problem
        return model.transport(*ctx.saved_tensors, t1, t0, gradient), None, None, None
