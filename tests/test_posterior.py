"""The samplers against a Gaussian posterior that is known in closed form; their diagnostics against known processes."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from course_lib.models.gaussian_mixture import GaussianMixture
from course_lib.operators import Blur, Identity, Mask, Radon
from course_lib.reconstruction import InPixels, effective_size, laplace, sample_posterior, split_rhat
from course_lib.reconstruction.posterior import TARGETS, Chains, energy


class Linear(nn.Module):
    """x = D(z) = W z + b, an image [1, 4, 5]: p(z | y) is Gaussian."""

    dim = 3

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.W = nn.Parameter(torch.randn(20, 3, generator=generator, dtype=torch.float64), requires_grad=False)
        self.b = nn.Parameter(torch.randn(20, generator=generator, dtype=torch.float64), requires_grad=False)

    def decode(self, z):
        return (z @ self.W.mT + self.b).reshape(-1, 1, 4, 5)


MODEL, SIGMA = Linear(), 0.5
A = Mask(torch.arange(20).reshape(1, 4, 5) % 3 == 0)
ETA, BLUR = 0.3, Blur(torch.tensor([[0.2, 0.5, 0.0], [0.0, 0.3, 0.0], [0.1, 0.0, 0.0]], dtype=torch.float64))


@pytest.fixture(scope="module")
def y():
    generator = torch.Generator().manual_seed(1)
    z = torch.randn(2, 3, generator=generator, dtype=torch.float64)
    x = MODEL.decode(z)
    return A(x + SIGMA * torch.randn(x.shape, generator=generator, dtype=torch.float64))


def closed_form(y):
    """Mean [B, 3] and covariance of z given y; mean and standard deviation of x = D(z)."""
    M = A(MODEL.W.mT.reshape(3, 1, 4, 5)).flatten(1).mT
    C = torch.linalg.inv(torch.eye(3, dtype=y.dtype) + M.mT @ M / SIGMA**2)
    offset = A(MODEL.b.reshape(1, 1, 4, 5)).flatten()
    mean = (y.flatten(1) - offset) @ M @ C / SIGMA**2
    return mean, C, MODEL.decode(mean), (MODEL.W @ C @ MODEL.W.mT).diagonal().sqrt().reshape(1, 4, 5)


def test_laplace_is_exact_for_a_linear_decoder(y):
    _, C, _, _ = closed_form(y)
    L = laplace(torch.zeros(2, 3, dtype=y.dtype), y, A, MODEL, SIGMA)
    torch.testing.assert_close(L @ L.mT, C.expand(2, 3, 3))
    assert torch.equal(L, L.triu())


@pytest.mark.parametrize("method", ["mala", "pcn", "hmc"])
@pytest.mark.parametrize("informed", [True, False])
def test_samples_have_the_moments_of_the_posterior(y, method, informed):
    mean, C, x, std = closed_form(y)
    reference = (mean, laplace(mean, y, A, MODEL, SIGMA)) if informed else None
    options = dict(method=method, chains=60, steps=600, burn=300, thin=2, seeds=3)
    found = sample_posterior(y, A, MODEL, SIGMA, reference=reference, **options)
    torch.testing.assert_close(found.mean, x, rtol=0, atol=0.12 * std.max().item())
    torch.testing.assert_close(found.std, std.expand_as(found.std), rtol=0.08, atol=0)
    torch.testing.assert_close(torch.cov(found.samples[:, :, 0].flatten(0, 1).mT), C, rtol=0, atol=0.1 * C.max().item())
    assert (found.rhat < 1.05).all() and found.samples.shape == (300, 60, 2, 3)
    if informed and method == "pcn":
        assert (found.acceptance > 0.99).all() and (found.step == 1).all(), "the reference is the posterior"
    else:
        assert (found.acceptance - TARGETS[method]).abs().max() < 0.12


@pytest.mark.parametrize("tau", [0.05, 0.6])
@pytest.mark.parametrize("informed", [True, False])
def test_ula_has_the_bias_of_its_step(y, tau, informed):
    """Σ = (H (I − τH/2))⁻¹ in the units of the reference: in its own units every width is 1/√(1 − τ/2) times too large,
    in those of the prior τ counts in units of 2 over the largest eigenvalue of H."""
    mean, C, x, _ = closed_form(y)
    L, eye = laplace(mean, y, A, MODEL, SIGMA) if informed else torch.eye(3).to(y).expand(2, 3, 3), torch.eye(3).to(y)
    H = L[0].mT @ torch.linalg.solve(C, L[0])
    tau = tau if informed else tau * 2 / torch.linalg.eigvalsh(H).max().item()
    biased = L[0] @ torch.linalg.inv(H @ (eye - tau / 2 * H)) @ L[0].mT
    options = dict(method="ula", step=tau, chains=200, burn=300, steps=900, thin=3, seeds=3)
    found = sample_posterior(y, A, MODEL, SIGMA, reference=(mean, L if informed else None), **options)
    assert (found.acceptance == 1).all() and torch.allclose(found.step, torch.tensor(tau).to(y))
    covariance = torch.cov(found.samples[:, :, 0].flatten(0, 1).mT)
    torch.testing.assert_close(covariance, biased, rtol=0, atol=0.04 * biased.diagonal().max().item())
    torch.testing.assert_close(found.mean, x, rtol=0, atol=0.1 * found.std.max().item())
    if tau == 0.6:
        torch.testing.assert_close(biased, C / (1 - tau / 2))


def test_ula_beyond_its_largest_step_runs_away(y):
    mean, _, _, _ = closed_form(y)
    reference = mean, laplace(mean, y, A, MODEL, SIGMA)
    options = dict(method="ula", chains=4, burn=0, steps=300, thin=1, reference=reference)
    sizes = [sample_posterior(y, A, MODEL, SIGMA, step=tau, **options).samples.abs().max() for tau in (1.8, 2.2)]
    assert sizes[0] < 20 and sizes[1] > 1e6


def test_a_good_reference_is_worth_many_samples(y):
    mean, _, _, _ = closed_form(y)
    options = dict(method="pcn", steps=2000, burn=500, thin=1)
    blind = sample_posterior(y, A, MODEL, SIGMA, **options)
    informed = sample_posterior(y, A, MODEL, SIGMA, reference=(mean, laplace(mean, y, A, MODEL, SIGMA)), **options)
    assert (informed.ess > 5 * blind.ess).all()


def test_hmc_does_not_turn_in_circles(y):
    """On a Gaussian in its own units five leapfrog steps of ε = 2 sin(π/5) lead back to where they began."""
    mean, _, _, _ = closed_form(y)
    problem = y, A, MODEL, torch.full((2,), SIGMA, dtype=y.dtype), None
    run = Chains(problem, mean, (mean, laplace(mean, y, A, MODEL, SIGMA)), "hmc", chains=8, seeds=[0, 1], leaps=5)
    run.log_step.fill_(math.log(2 * math.sin(math.pi / 5)))
    moves = torch.stack([run.whiten(run.propose()[0] - run.z).norm(dim=-1) for _ in range(50)])
    assert moves.median() > 0.3


@pytest.mark.parametrize("u", [0.0, 0.5, 1.0])
def test_a_leapfrog_step_varies_by_three_tenths(y, u):
    """ε = (0.7 + 0.6 u) times the step, and z⁺ = z + ε(ξ − (ε/2)∇U), p⁺ = … − (ε/2)∇U(z⁺), in the prior's units."""
    problem, zero = (y, A, MODEL, torch.full((2,), SIGMA, dtype=y.dtype), None), torch.zeros(2, 3, dtype=y.dtype)
    run = Chains(problem, zero, (zero, None), "hmc", chains=2, seeds=[0, 1], leaps=1)
    run.log_step.fill_(math.log(0.1))
    xi, epsilon = torch.linspace(-1, 1, 12, dtype=y.dtype).reshape(2, 2, 3), 0.1 * (0.7 + 0.6 * u)
    run.noise, run.uniform = lambda *shape: xi, lambda: torch.full((2, 2), u, dtype=y.dtype)
    z, U, g, log_ratio = run.propose()
    p = xi - epsilon / 2 * run.g
    torch.testing.assert_close(z, run.z + epsilon * p)
    p = p - epsilon / 2 * g
    torch.testing.assert_close(log_ratio, run.U - U + (xi.square() - p.square()).sum(-1) / 2)


@pytest.mark.parametrize("eta", [None, ETA])
@pytest.mark.parametrize("method", ["mala", "hmc", "ula"])
def test_an_image_alone_has_the_samples_that_it_has_in_a_batch(y, eta, method):
    options = dict(steps=40, burn=10, thin=10, chains=3, eta=eta, method=method)
    options |= {"step": 0.01} if method == "ula" else {}
    together = sample_posterior(y, A, MODEL, SIGMA, seeds=[5, 9], **options)
    alone = sample_posterior(y[1:], A, MODEL, SIGMA, seeds=[9], **options)
    torch.testing.assert_close(together.samples[:, :, 1:], alone.samples)
    torch.testing.assert_close(together.mean[1:], alone.mean)
    assert not torch.equal(together.samples, sample_posterior(y, A, MODEL, SIGMA, seeds=[6, 9], **options).samples)
    state = torch.get_rng_state()
    sample_posterior(y, A, MODEL, SIGMA, **options)
    assert torch.equal(state, torch.get_rng_state())


def test_the_energy_is_the_negative_log_posterior(y):
    z = torch.randn(2, 2, 3, dtype=y.dtype, generator=torch.Generator().manual_seed(2))
    mean, C, _, _ = closed_form(y)
    posterior = torch.distributions.MultivariateNormal(mean, C)
    sigma = torch.full((2,), SIGMA, dtype=y.dtype)
    first, second = (energy(v, y, A, MODEL, sigma) for v in z)
    torch.testing.assert_close(second - first, posterior.log_prob(z[0]) - posterior.log_prob(z[1]))


def noisy_decoder(y, A):
    """Mean and covariance of z, then of x, given y = A x + n, for x ~ N(W z + b, ηI): all is Gaussian."""
    matrix = A(torch.eye(20, dtype=y.dtype).reshape(20, 1, 4, 5)).flatten(1).mT
    M, r = matrix @ MODEL.W, y.flatten(1) - MODEL.b @ matrix.mT
    precision = torch.linalg.inv(SIGMA**2 * torch.eye(20, dtype=y.dtype) + ETA * matrix @ matrix.mT)
    C = torch.linalg.inv(torch.eye(3, dtype=y.dtype) + M.mT @ precision @ M)
    prior = torch.linalg.inv(MODEL.W @ MODEL.W.mT + ETA * torch.eye(20, dtype=y.dtype))
    of_x = torch.linalg.inv(prior + matrix.mT @ matrix / SIGMA**2)
    return r @ precision @ M @ C, C, (r @ matrix @ of_x / SIGMA**2 + MODEL.b).reshape(-1, 1, 4, 5), of_x


@pytest.mark.parametrize("A", [A, BLUR, Identity()], ids=["mask", "blur", "identity"])
@pytest.mark.parametrize("method", ["mala", "pcn", "hmc"])
def test_a_decoder_with_noise_has_its_posterior_too(y, A, method):
    y = A(MODEL.decode(torch.ones(2, 3, dtype=y.dtype)) + y)
    mean, C, x, of_x = noisy_decoder(y, A)
    L = laplace(mean, y, A, MODEL, SIGMA, ETA)
    torch.testing.assert_close(L @ L.mT, C.expand(2, 3, 3))
    options = dict(eta=ETA, method=method, chains=60, steps=500, burn=100, thin=2)
    found, std = sample_posterior(y, A, MODEL, SIGMA, reference=(mean, L), **options), of_x.diagonal().sqrt()
    torch.testing.assert_close(found.mean, x, rtol=0, atol=0.06 * std.max().item())
    torch.testing.assert_close(found.std.flatten(1), std.expand(2, 20), rtol=0.06, atol=0)
    posterior, sigma = torch.distributions.MultivariateNormal(mean, C), torch.full((2,), SIGMA, dtype=y.dtype)
    first, second = found.samples[0, 0], found.samples[-1, 0]
    change = energy(second, y, A, MODEL, sigma, ETA) - energy(first, y, A, MODEL, sigma, ETA)
    torch.testing.assert_close(change, posterior.log_prob(first) - posterior.log_prob(second))


class Wave(Linear):
    """D(z) = z + 0.8 sin(2z) in one dimension."""

    dim = 1

    def decode(self, z):
        return (z + 0.8 * (2 * z).sin()).reshape(-1, 1, 1, 1)


@pytest.mark.parametrize("method", ["mala", "pcn", "hmc"])
def test_a_posterior_that_is_not_gaussian_has_its_moments(method):
    """The moments by quadrature."""
    y, grid = torch.full((1, 1, 1, 1), 1.0, dtype=torch.float64), torch.linspace(-8, 8, 20001, dtype=torch.float64)
    x = Wave().decode(grid[:, None]).flatten()
    weights = torch.softmax(-(x - 1).square() / (2 * 0.8**2) - grid.square() / 2, 0)
    mean = (weights * x).sum()
    std = (weights * (x - mean).square()).sum().sqrt()
    found = sample_posterior(y, Identity(), Wave(), 0.8, method=method, chains=100, steps=800, burn=300, thin=1)
    assert found.mean.item() == pytest.approx(mean.item(), abs=0.03)
    assert found.std.item() == pytest.approx(std.item(), rel=0.04)


def autoregressive(rho, n=20000, chains=4):
    generator = torch.Generator().manual_seed(0)
    noise, x = torch.randn(n, chains, generator=generator, dtype=torch.float64), []
    for e in noise:
        x.append(e if not x else rho * x[-1] + (1 - rho**2) ** 0.5 * e)
    return torch.stack(x)


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9, -0.5])
def test_effective_size_of_an_autoregressive_process(rho):
    x = autoregressive(rho)
    assert effective_size(x).item() == pytest.approx(x.numel() * (1 - rho) / (1 + rho), rel=0.1)
    assert split_rhat(x).item() < 1.01


@pytest.mark.parametrize("n", [12, 13])
def test_effective_size_of_few_samples_is_its_formula(n):
    """Sums in place of Fourier transforms, with sample variances: what is left out for large n shows here."""
    x = autoregressive(0.6, n)
    d, chains = x - x.mean(0), x.shape[1]
    covariances = [(d[: n - t] * d[t:]).sum(0).mean() / (n - 1) for t in range(n)]
    total = (n - 1) / n * covariances[0] + x.mean(0).var()
    rho = [1 - (covariances[0] - c) / total for c in covariances]
    time = -1.0
    for first, second in zip(rho[::2], rho[1::2], strict=False):
        if first + second <= 0:
            break
        time += 2 * (first + second)
    assert time > 1
    torch.testing.assert_close(effective_size(x), n * chains / time)


def test_rhat_sees_chains_that_disagree_and_chains_that_drift():
    x = autoregressive(0.0, 1000)
    apart, drift = x.clone(), x + torch.linspace(0, 3, 1000, dtype=x.dtype)[:, None]
    apart[:, 0] += 2
    assert split_rhat(apart) > 1.2 and split_rhat(drift) > 1.2
    assert effective_size(apart) < 0.05 * effective_size(x)
    several = torch.stack([x, apart], 2)
    torch.testing.assert_close(split_rhat(several), torch.stack([split_rhat(x), split_rhat(apart)]))
    assert torch.equal(split_rhat(x[:999]), split_rhat(x[:998]))  # halves of one length


def test_numpy_integers_are_seeds_and_counts(y):
    few = dict(chains=2, steps=4, burn=0, thin=1)
    right = sample_posterior(y, A, MODEL, SIGMA, seeds=3, **few)
    counts = {name: np.int64(value) for name, value in few.items()}
    for seeds in (np.int64(3), np.array([3, 4]), [np.int32(3), 4]):
        found = sample_posterior(y, A, MODEL, SIGMA, seeds=seeds, **counts)
        assert torch.equal(found.mean, right.mean) and torch.equal(found.samples, right.samples)


@pytest.mark.parametrize("method", ["mala", "hmc", "pcn"])
def test_chains_in_the_image_have_the_posterior_of_the_image(method):
    """A Gaussian of three pixels, in the units of its posterior: U is −log p(x | y) up to a constant."""
    covariance = torch.tensor([[1.0, 0.6, 0.2], [0.6, 1.0, 0.6], [0.2, 0.6, 1.0]], dtype=torch.float64)
    prior = GaussianMixture(torch.tensor([0.3, -0.2, 0.5]).double().view(1, 1, 1, 3), covariance[None])
    A, y = Mask(torch.tensor([[[1.0, 0.0, 1.0]]]).double()), torch.tensor([1.0, 0.0, -0.4]).double().view(1, 1, 1, 3)
    exact, model = prior.posterior(y, A, SIGMA), InPixels(prior, (1, 1, 3))
    z = torch.linspace(-1, 1, 6, dtype=y.dtype).view(2, 3)
    U = energy(z, y.expand(2, -1, -1, -1), A, model, torch.full((2,), SIGMA, dtype=y.dtype))
    torch.testing.assert_close(U.diff(), -exact.log_prob(model.decode(z)).diff())
    R = torch.linalg.cholesky(exact.covariances.inverse())  # of the precision, as `laplace` has it: C = R⁻ᵀ R⁻¹
    reference = exact.means.flatten(1), torch.linalg.inv(R).mT
    options = dict(chains=60, steps=500, burn=200, thin=2, reference=reference, method=method)
    found = sample_posterior(y, A, model, SIGMA, **options)
    x = found.samples.flatten(0, 2)
    assert torch.equal(model.encode(model.decode(x)), x) and model.dim == 3
    torch.testing.assert_close(x.mean(0), exact.means.flatten(), rtol=0, atol=0.05)
    torch.testing.assert_close(x.T.cov(), exact.covariances[0], rtol=0, atol=0.05)


def test_laplace_takes_tangents_through_a_radon_transform():
    A = Radon((4, 5), [0, 45, 90], dtype=torch.float64)
    J = A(MODEL.W.mT.reshape(3, 1, 4, 5)).flatten(1).mT
    y = A(MODEL.decode(torch.zeros(2, 3, dtype=torch.float64)))
    L = laplace(torch.zeros(2, 3, dtype=torch.float64), y, A, MODEL, SIGMA)
    right = torch.linalg.inv(torch.eye(3, dtype=torch.float64) + J.mT @ J / SIGMA**2)
    torch.testing.assert_close(L @ L.mT, right.expand(2, 3, 3))


def test_the_shortest_run(y):
    found = sample_posterior(y, A, MODEL, SIGMA, chains=2, steps=4, burn=0, thin=1, leaps=1, method="hmc")
    assert found.samples.shape == (4, 2, 2, 3) and found.std.isfinite().all() and not found.rhat.isnan().any()
    assert split_rhat(autoregressive(0.0, 4)).isfinite() and effective_size(autoregressive(0.0, 4)).isfinite()
