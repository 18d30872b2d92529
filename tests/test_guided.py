"""Guided flows in time on Gaussian priors, whose posterior is known: limits, biases, and the steps by hand."""

from itertools import pairwise

import pytest
import torch

from course_lib.metrics import psnr
from course_lib.models.flow_in_time import clock, clock_inverse
from course_lib.models.gaussian_mixture import GaussianMixture
from course_lib.operators import DCT, Blur, Downsample, Identity, Mask, random_mask, uniform_kernel
from course_lib.reconstruction import data_term, diffpir, dps, pigdm, pnp_flow

SIZE, DIM, SIGMA = (4, 4), 16, 0.1
OPERATORS = {
    "blur": Blur(uniform_kernel(3, torch.float64)),
    "mask": Mask(random_mask(*SIZE, 0.5, generator=0)),
    "down": Downsample(2),
}
BLIND = Mask(torch.zeros(1, *SIZE, dtype=torch.bool))
METHODS = {"dps": dps, "pigdm": pigdm, "diffpir": diffpir, "pnp_flow": pnp_flow}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def randn(*shape, seed=0):
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64)


def prior(std):
    """N(m, C) for images [1, 4, 4] whose cosine coefficients have the standard deviations `std`, [4, 4] or a number."""
    eye, W = torch.eye(DIM, dtype=torch.float64).view(-1, 1, *SIZE), DCT()
    C = W.T(torch.as_tensor(std, dtype=torch.float64) ** 2 * W(eye)).flatten(1)
    return GaussianMixture(torch.rand((1, 1, *SIZE), generator=generator(), dtype=torch.float64), C[None])


WHITE = prior(0.3)
FALLING = prior(0.6 / (1 + torch.arange(4.0)[:, None] + torch.arange(4.0)))
"""Of standard deviations that fall with the frequency, from 0.6 to 0.09, as those of photographs do."""


def problem(model, A, count=1):
    """y = A x + n of one image of the prior, `count` times."""
    y = A(model.sample(1, generator=generator(1)))
    return (y + SIGMA * randn(*y.shape, seed=2)).repeat(count, 1, 1, 1)


def compared(x, posterior):
    """(error of the mean in units of the posterior's standard deviation, variance in units of its own) of images x."""
    m, C = posterior.mean_and_covariance()
    x = x.flatten(1)
    return ((x.mean(0) - m.flatten()).norm() / C.trace().sqrt()).item(), (x.var(0).sum() / C.trace()).item()


def affine(x, noise):
    """(b, M) of images x = b + M ε, from as many of them as it takes."""
    ones = torch.ones(len(x), 1, dtype=x.dtype)
    solution = torch.linalg.lstsq(torch.cat([ones, noise.flatten(1)], 1), x.flatten(1)).solution
    return solution[0], solution[1:].T


def relative(found, right):
    return ((found - right).norm() / right.norm()).item()


# Exact where it must be


@pytest.mark.parametrize("name", OPERATORS)
def test_pigdm_samples_the_posterior_of_a_white_prior(name):
    """Its image is b + M ε, and b and MMᵀ go to the posterior's mean and covariance as the steps get shorter."""
    A, y = OPERATORS[name], problem(WHITE, OPERATORS[name], 20)
    m, C = WHITE.posterior(y[:1], A, SIGMA).mean_and_covariance()
    noise, errors = randn(20, 1, *SIZE, seed=3), []
    for steps in (50, 100, 200):
        x = pigdm(y, A, WHITE, SIGMA, spread=0.3, steps=steps, seed=generator(3)).x
        b, M = affine(x, noise)
        errors.append((relative(b, m.flatten()), relative(M @ M.T, C)))
    for (_, before), (_, after) in pairwise(errors):
        assert before / after == pytest.approx(2, rel=0.2), "of the first order"
    assert errors[-1][0] < 2e-3 and errors[-1][1] < 0.05


def test_without_data_they_sample_the_prior():
    """All but PnP-Flow; of the paths without fresh noise the covariance is known without Monte Carlo."""
    y, count = torch.zeros(1000, 1, *SIZE, dtype=torch.float64), 20
    m, C = FALLING.mean_and_covariance()
    for method, options in ((pigdm, {}), (diffpir, {"zeta": 0.0})):
        x = method(y[:count], BLIND, FALLING, SIGMA, steps=200, seed=generator(3), **options).x
        b, M = affine(x, randn(count, 1, *SIZE, seed=3))
        assert relative(b, m.flatten()) < 2e-3 and relative(M @ M.T, C) < 0.05
    for method, options in ((dps, {"zeta": 0.0}), (diffpir, {"zeta": 0.1})):
        x = method(y, BLIND, FALLING, SIGMA, steps=150, seed=generator(4), **options).x
        error, variance = compared(x, FALLING)
        assert error < 3 * len(y) ** -0.5 and variance == pytest.approx(1, abs=0.1)


def test_of_data_without_noise_they_keep_what_these_show():
    """A = I and σ = 0, which counts as half a grey level: the image is y."""
    y = FALLING.sample(2, generator=generator(1))
    for method in (pigdm, diffpir):
        assert (method(y, Identity(), FALLING, 0.0, steps=100).x - y).abs().max() < 0.01
    # The last step of PnP-Flow removes noise of σ_t = 1/99 from y, with a prior of at least 0.09.
    assert (pnp_flow(y, Identity(), FALLING, 0.0, decay=0.0, steps=100).x - y).abs().max() < 0.03


# Biased otherwise: by how much

BIASES = {
    "pigdm, s = 1": (pigdm, {"spread": 1.0}, 0.48, 1.22),
    "diffpir, ζ = 0": (diffpir, {"zeta": 0.0}, 0.49, 1.16),
    "diffpir, ζ = 1": (diffpir, {"zeta": 1.0}, 0.06, 0.50),
    "dps, ζ' = 0.03": (dps, {"zeta": 0.03}, 0.17, 0.74),
    "dps, ζ' = 0.1": (dps, {"zeta": 0.1}, 0.34, 0.67),
    "pnp_flow, α = 0": (pnp_flow, {"decay": 0.0}, 0.16, 0.40),
    "pnp_flow, α = 1": (pnp_flow, {"decay": 1.0}, 0.51, 0.72),
}
"""The error of the mean, in units of the posterior's standard deviation, and the variance in units of its own, for half
of the pixels of an image of `FALLING`: measured once, with 2,000 images and 200 steps. Samples would have 0 and 1."""


@pytest.mark.parametrize("name", BIASES)
def test_on_a_prior_that_is_not_white_each_is_biased_as_the_docstring_says(name):
    method, options, error, variance = BIASES[name]
    A, y = OPERATORS["mask"], problem(FALLING, OPERATORS["mask"], 500)
    x = method(y, A, FALLING, SIGMA, steps=200, seed=generator(5), **options).x
    found = compared(x, FALLING.posterior(y[:1], A, SIGMA))
    assert found[0] == pytest.approx(error, abs=0.1) and found[1] == pytest.approx(variance, abs=0.1)


# Step by step


def matrix(f):
    """The matrix of a linear map of images."""
    return f(torch.eye(DIM, dtype=torch.float64).view(-1, 1, *SIZE)).flatten(1).T


def by_hand(step, steps, t0, seed, x0):
    """The path of one image as a vector: `step(x_t, t, t')` → (x̂', shift, ζ), and what (*) makes of them."""
    g = generator(seed)

    def draw():
        return torch.randn(1, 1, *SIZE, generator=g, dtype=torch.float64).flatten()

    start = clock_inverse(torch.tensor(t0, dtype=torch.float64)).item()
    times = clock(torch.linspace(start, 1, steps + 1, dtype=torch.float64)).tolist()
    x = (1 - t0) * draw() + t0 * x0.flatten()
    for t, after in pairwise(times):
        image, shift, zeta = step(x, t, after)
        noise = (x - t * image) / (1 - t)
        x = after * image - shift + (1 - after) * ((1 - zeta) ** 0.5 * noise + (zeta**0.5 * draw() if zeta else 0))
    return x


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("method", ["dps", "pigdm", "diffpir"])
def test_the_steps_are_those_of_the_formulas(method, name):
    """With matrices: J_t = t C (t² C + (1 − t)² I)⁻¹ is the Jacobian of x̂ = m + J_t (x_t − t m)."""
    A, y, x0 = OPERATORS[name], problem(FALLING, OPERATORS[name]), randn(1, 1, *SIZE, seed=7)
    m, C = FALLING.means.flatten(), FALLING.covariances[0]
    H, eye, data = matrix(A), torch.eye(DIM, dtype=torch.float64), y.flatten()

    def mean(x, t):
        J = t * C @ torch.linalg.inv(t**2 * C + (1 - t) ** 2 * eye)
        return m + J @ (x - t * m), J

    def dps_step(x, t, after):
        image, J = mean(x, t)
        r = H @ image - data
        return image, 0.05 * 2 * J.T @ H.T @ r / r.norm(), 1 - ((1 - after) * t / (after * (1 - t))) ** 2

    def pigdm_step(x, t, after):
        image, J = mean(x, t)
        variance = 0.5**2 * (1 - t) ** 2 / (0.5**2 * t**2 + (1 - t) ** 2)
        S = variance * H @ H.T + SIGMA**2 * torch.eye(len(H), dtype=torch.float64)
        velocity = (image - x) / (1 - t) + (1 - t) / t * J.T @ H.T @ torch.linalg.solve(S, data - H @ image)
        return x + (1 - t) * velocity, 0, 0

    def diffpir_step(x, t, after):
        rho = 0.7 * (SIGMA * t / (1 - t)) ** 2
        return torch.linalg.solve(H.T @ H + rho * eye, H.T @ data + rho * mean(x, t)[0]), 0, 0.2

    step, options = {
        "dps": (dps_step, {"zeta": 0.05}),
        "pigdm": (pigdm_step, {"spread": 0.5}),
        "diffpir": (diffpir_step, {"lam": 0.7, "zeta": 0.2}),
    }[method]
    run = METHODS[method](y, A, FALLING, SIGMA, x0, t0=0.2, steps=7, seed=11, **options)
    assert relative(run.x.flatten(), by_hand(step, 7, 0.2, 11, x0)) < 1e-7


def test_pnp_flow_steps_as_its_formula():
    A, y, x = OPERATORS["blur"], problem(FALLING, OPERATORS["blur"]), randn(1, 1, *SIZE, seed=7)
    found = pnp_flow(y, 3 * A, FALLING, SIGMA, x, decay=0.5, draws=2, t0=0.2, steps=4, seed=11)
    g = generator(11)
    torch.randn(1, 1, *SIZE, generator=g, dtype=torch.float64)
    for t in (0.2, 0.4, 0.6, 0.8):
        z = x - (1 - t) ** 0.5 / 9 * 3 * A.T(3 * A(x) - y)
        drawn = [torch.randn(1, 1, *SIZE, generator=g, dtype=torch.float64) for _ in range(2)]
        x = sum(FALLING.denoise(z + (1 - t) / t * noise, (1 - t) / t) for noise in drawn) / 2
    assert relative(found.x, x) < 1e-7 and found.evaluations.tolist() == [8]


# As all methods are


@pytest.mark.parametrize("name", METHODS)
def test_an_image_alone_is_as_in_a_batch_and_the_history_has_a_row_a_step(name):
    x = FALLING.sample(2, generator=generator(1))
    A = OPERATORS["blur"]
    y = A(x)
    run = METHODS[name](y, A, FALLING, SIGMA, steps=5, seed=3, truth=x)
    for b in range(2):
        alone = METHODS[name](y[b : b + 1], A, FALLING, SIGMA, steps=5, seed=3 + b)
        assert torch.allclose(alone.x[0], run.x[b], rtol=0, atol=1e-10)
    assert all(run.history[key].shape == (6, 2) for key in ("data", "change", "psnr"))
    assert torch.equal(run.history["psnr"][-1], psnr(run.x.clamp(0, 1), x))
    assert torch.allclose(run.history["data"][0], data_term(A.T(y) / A.norm((1, *SIZE)) ** 2, y, A))
    assert run.evaluations.tolist() == [5, 5] and run.z is None and not run.x.requires_grad


@pytest.mark.parametrize("name", METHODS)
def test_dtype_and_device_follow_the_data_and_the_seed_decides(name, device):
    y, model = torch.rand(2, 1, *SIZE, device=device), prior(0.3).float().to(device)
    run = [METHODS[name](y, Identity(), model, SIGMA, steps=3, seed=seed).x for seed in (1, 1, 2)]
    assert run[0].dtype == torch.float32 and run[0].device.type == device
    assert torch.equal(run[0], run[1]) and not torch.allclose(run[0], run[2])
