"""Plug and play against solvers, dense solves and closed forms; the denoisers of scikit-image against our own."""

import numpy as np
import pytest
import torch
from skimage.restoration import denoise_nl_means, denoise_wavelet

from course_lib import reconstruction
from course_lib.data import photograph
from course_lib.metrics import psnr
from course_lib.operators import Blur, Downsample, Identity, Mask, Radon, random_mask, uniform_kernel
from course_lib.reconstruction import plug_and_play as pnp
from course_lib.regularizers import L1, TV, SquaredL2
from course_lib.solvers import admm, ista, primal_dual

OPERATORS = {
    "blur": Blur(uniform_kernel(3, torch.float64)),
    "mask": Mask(random_mask(6, 8, 0.4)),
    "down": Downsample(2),
    "radon": Radon((6, 8), [0, 40, 90], dtype=torch.float64),
}


def randn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def problem(name, batch=2, channels=2):
    """(x, y, A) of small random images in float64."""
    x = torch.rand((batch, channels, 6, 8), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    A = OPERATORS[name]
    return x, A(x) + 0.05 * randn(*A(x).shape, seed=2), A


def norm(x):
    return x.flatten(1).norm(dim=1)


def identity(x, sigma):
    return x


def smoothing(x, sigma):
    """A linear symmetric denoiser, half the image and half the mean of its four neighbours, whatever σ."""
    return x / 2 + (x.roll(1, 2) + x.roll(-1, 2) + x.roll(1, 3) + x.roll(-1, 3)) / 8


def matrix(f, shape):
    """The matrix of a linear map of images [C, H, W], column by column."""
    eye = torch.eye(int(np.prod(shape)), dtype=torch.float64)
    return f(eye.reshape(-1, *shape)).flatten(1).mT


METHODS = {
    "admm": lambda y, A, f, **o: pnp.admm(y, A, f, 0.1, 0.5, **o),
    "hqs": lambda y, A, f, **o: pnp.hqs(y, A, f, 0.05, **o),
    "proximal gradient": lambda y, A, f, **o: pnp.proximal_gradient(y, A, f, 0.1, **o),
    "red, fixed point": lambda y, A, f, **o: pnp.red(y, A, f, 0.1, 0.3, **o),
    "red, gradient": lambda y, A, f, **o: pnp.red(y, A, f, 0.1, 0.3, method="gradient", **o),
}


@pytest.mark.parametrize("name", ["blur", "mask", "down"])
def test_admm_with_the_prox_of_tv_is_admm(name):
    _, y, A = problem(name)
    phi, rho = TV(tolerance=1e-6, iterations=200), torch.tensor([0.05, 0.2], dtype=torch.float64)
    strength = torch.tensor([0.3, 0.2], dtype=torch.float64)
    lam = rho * strength**2
    for steps in (1, 7):
        ours = pnp.admm(y, A, pnp.proximal(phi), strength, rho, torch.zeros(2, 2, 6, 8).double(), steps=steps)
        theirs = admm(y, A, phi, lam, rho, steps=steps, tolerance=0.0, balance=0)
        assert (norm(ours.x - theirs.x) <= 1e-6 * norm(theirs.x)).all()
    best = primal_dual(y, A, phi, lam, steps=5000, tolerance=1e-7).x
    run = pnp.admm(y, A, pnp.proximal(TV(tolerance=1e-4)), strength, rho, steps=100)
    assert (norm(run.x - best) <= 1e-2 * norm(best)).all()


def test_proximal_gradient_with_a_prox_is_ista():
    _, y, A = problem("radon")
    tau = 1.5 / A.norm((2, 6, 8)) ** 2
    ours = pnp.proximal_gradient(y, A, pnp.proximal(L1()), 0.1, torch.zeros(2, 2, 6, 8).double(), step=tau, steps=20)
    theirs = ista(y, A, L1(), 0.1**2 / tau, step=tau, steps=20, tolerance=0.0)
    assert (norm(ours.x - theirs.x) <= 1e-10 * norm(theirs.x)).all()
    assert torch.allclose(ours.history["data"][-1], (A(theirs.x) - y).flatten(1).square().sum(1) / 2)


CASES = [("admm", "blur"), ("admm", "radon"), ("proximal gradient", "blur"), ("proximal gradient", "down")]


@pytest.mark.parametrize("method, name", CASES)
def test_the_identity_denoiser_gives_least_squares(method, name):
    _, y, A = problem(name)
    x0 = randn(2, 2, 6, 8, seed=5)
    M = matrix(A, (2, 6, 8))
    # From x0 the gradient never leaves x0 + the range of Aᵀ: the least-squares solution nearest to x0.
    right = x0.flatten(1) + (y.flatten(1) - x0.flatten(1) @ M.mT) @ torch.linalg.pinv(M).mT
    if method == "admm":
        run = pnp.admm(y, A, identity, 0.1, 1e-3, x0, steps=30)
    else:
        run = pnp.proximal_gradient(y, A, identity, 0.1, x0, step=1.9 / A.norm((2, 6, 8)) ** 2, steps=3000)
    assert (norm(run.x - right.reshape(x0.shape)) <= 1e-3 * norm(x0)).all()


@pytest.mark.parametrize("name", ["blur", "mask", "down"])
@pytest.mark.parametrize("method", ["fixed point", "gradient"])
def test_red_with_a_linear_symmetric_denoiser_is_its_closed_form(name, method):
    _, y, A = problem(name)
    lam = torch.tensor([0.3, 2.0], dtype=torch.float64)
    M, W = (matrix(f, (2, 6, 8)) for f in (A, lambda x: smoothing(x, None)))
    assert torch.equal(W, W.mT)
    run = pnp.red(y, A, smoothing, 0.1, lam, method=method, steps=1500)
    for b in range(2):
        H = M.mT @ M + lam[b] * (torch.eye(len(W), dtype=torch.float64) - W)
        right = torch.linalg.solve(H, M.mT @ y[b].flatten())
        assert (run.x[b].flatten() - right).norm() <= 1e-4 * right.norm()


def test_hqs_alternates_its_two_closed_forms_with_the_schedule():
    _, y, A = problem("mask")
    seen, x0 = [], randn(2, 2, 6, 8, seed=3)

    def shrink(x, s):
        seen.append(s)
        return x / (1 + s)

    run = pnp.hqs(y, A, shrink, 0.05, x0, start=0.4, lam=0.5, steps=4)
    assert np.allclose(seen, 0.4 * (0.05 / 0.4) ** (np.arange(4) / 3))
    z, M = x0, matrix(A, (2, 6, 8))
    for s in seen:
        rho = 0.5 * 0.05**2 / s**2
        H = M.mT @ M + rho * torch.eye(len(M), dtype=torch.float64)
        z = torch.linalg.solve(H, (y.flatten(1) @ M + rho * z.flatten(1)).mT).mT.reshape(x0.shape) / (1 + s)
    assert (norm(run.x - z) <= 1e-10 * norm(z)).all()


@pytest.mark.parametrize(
    ("options", "right"),
    [
        (dict(sigma=0.05, start=0.2, steps=1), [0.05]),
        (dict(sigma=0.05, start=0.2, end=0.1, steps=1), [0.1]),
        (dict(sigma=0.05, start=0.2, steps=3), [0.2, 0.1, 0.05]),
        (dict(sigma=0.0, start=0.2, steps=1), [0.5 / 255]),
        (dict(sigma=0.05, steps=0), []),
    ],
)
def test_the_strength_falls_to_its_end_in_any_number_of_steps(options, right):
    seen, (_, y, A) = [], problem("mask")
    pnp.hqs(y, A, lambda x, s: seen.append(s) or x, **options)
    assert seen == pytest.approx(right, rel=1e-12)
    assert seen[-1:] == right[-1:], "exactly the end"


@pytest.mark.parametrize("name", METHODS)
def test_an_image_alone_is_as_in_a_batch_and_the_history_has_a_row_a_step(name):
    x, y, A = problem("blur")
    run = METHODS[name](y, A, pnp.proximal(TV()), steps=5, truth=x)
    for b in range(2):
        alone = METHODS[name](y[b : b + 1], A, pnp.proximal(TV()), steps=5)
        assert torch.allclose(alone.x[0], run.x[b], rtol=0, atol=1e-12)
    assert all(run.history[key].shape == (6, 2) for key in ("data", "change", "psnr"))
    assert torch.equal(run.history["psnr"][-1], psnr(run.x.clamp(0, 1), x))
    assert torch.allclose(run.history["data"][0], reconstruction.data_term(A.T(y) / A.norm((2, 6, 8)) ** 2, y, A))
    assert (run.history["change"] > 0).all() and run.evaluations.tolist() == [5, 5] and run.z is None


@pytest.mark.parametrize("name", METHODS)
def test_dtype_and_device_follow_the_data(name, device):
    y = torch.rand(1, 1, 8, 8, device=device)
    run = METHODS[name](y, Identity(), pnp.tv, steps=2)
    assert run.x.dtype == torch.float32 and run.x.device.type == device and not run.x.requires_grad


def test_denoisers_that_are_made_of_others():
    x = torch.rand(2, 3, 6, 8, dtype=torch.float64)
    sigma = torch.tensor([0.1, 0.5], dtype=torch.float64)
    ridge = pnp.proximal(SquaredL2())
    assert torch.allclose(ridge(x, sigma), x / (1 + sigma.square().reshape(2, 1, 1, 1)))
    assert torch.allclose(pnp.averaged(ridge, 0.25)(x, 0.5), 0.75 * x + 0.25 * x / 1.25)


def test_scikit_images_denoisers_keep_their_meaning():
    x = photograph("cat", 48).double()
    noisy = x + 0.1 * randn(*x.shape)
    batch, sigma = torch.cat([noisy, x]), torch.tensor([0.1, 0.02], dtype=torch.float64)
    ours = TV(coupled=False, tolerance=1e-6, iterations=3000).prox(noisy, 0.08)
    assert (norm(pnp.tv(noisy, 0.1, weight=0.8) - ours) <= 3e-3 * norm(ours)).all()
    image = noisy[0].permute(1, 2, 0).numpy()
    options = dict(patch_size=5, patch_distance=6, h=0.08, sigma=0.1, channel_axis=-1)
    assert np.allclose(pnp.nlm(noisy, 0.1)[0].permute(1, 2, 0), denoise_nl_means(image, **options))
    direct = denoise_wavelet(image, sigma=0.1, wavelet="db2", channel_axis=-1)
    assert np.allclose(pnp.wavelet(noisy, 0.1)[0].permute(1, 2, 0), direct)
    for f in (pnp.tv, pnp.nlm, pnp.wavelet):
        assert psnr(f(noisy, 0.1).clamp(0, 1), x) > psnr(noisy.clamp(0, 1), x) + 2
        together = f(batch, sigma)
        assert torch.allclose(together[1:], f(batch[1:], 0.02)) and torch.equal(f(x, 0.0), x)
        grey = f(noisy[:, :1], 0.1)
        assert grey.shape == (1, 1, 48, 48) and psnr(grey.clamp(0, 1), x[:, :1]) > psnr(noisy[:, :1], x[:, :1]) + 2
    double = pnp.from_numpy(lambda image, s, factor=2: factor * image + s)
    assert torch.allclose(double(x, 0.5, factor=3), 3 * x + 0.5)


class Mixture:
    """Two images x₀ with probability 0.3 and 0.7, seen in noise σ: log p, and E[x₀ | x] by Bayes."""

    sigma, weights = 0.3, torch.tensor([0.3, 0.7], dtype=torch.float64)
    centres = torch.rand((2, 1, 6, 8), generator=torch.Generator().manual_seed(3), dtype=torch.float64)

    def joint(self, x):
        squared = (x[:, None] - self.centres).flatten(2).square().sum(2)
        return self.weights.log() - squared / (2 * self.sigma**2)

    def log_prob(self, x):
        return self.joint(x).logsumexp(1)

    def posterior_mean(self, x):
        return torch.einsum("bk,kchw->bchw", self.joint(x).softmax(1), self.centres)


def test_tweedie_is_the_posterior_mean():
    flow = Mixture()
    x = flow.centres.mean(0, keepdim=True) + 0.2 * randn(3, 1, 6, 8)
    f = pnp.tweedie(flow)
    found = f(x, flow.sigma)
    assert (norm(found - flow.posterior_mean(x)) < 1e-10 * norm(found)).all() and not found.requires_grad
    assert torch.allclose(
        f(x, torch.tensor([0.0, 0.3, 0.1])), x + torch.tensor([0, 1, 1 / 9])[:, None, None, None] * (found - x)
    )


def test_of_several_flows_the_nearest_in_noise_is_taken():
    low, high = Mixture(), Mixture()
    high.sigma = 1.2
    f, x = pnp.tweedie_of({0.3: low, 1.2: high}), randn(2, 1, 6, 8)
    for s, flow in ((0.01, low), (0.59, low), (0.61, high), (5.0, high)):  # √(0.3 · 1.2) = 0.6
        assert torch.equal(f(x, s), pnp.tweedie(flow)(x, flow.sigma))


def test_red_with_tweedie_descends_on_the_posterior():
    """Its fixed point has no gradient left of ½‖A x − y‖² − λ s² log p(x)."""
    flow, (_, y, A) = Mixture(), problem("blur", channels=1)
    x = pnp.red(y, A, pnp.tweedie(flow), 0.3, 0.5, method="gradient", steps=400).x.requires_grad_()
    objective = reconstruction.data_term(x, y, A) - 0.5 * 0.3**2 * flow.log_prob(x)
    (gradient,) = torch.autograd.grad(objective.sum(), x)
    assert (norm(gradient) < 1e-8).all()
