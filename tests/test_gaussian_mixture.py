"""The mixture of Gaussians against numerical integration, autograd and simulation, in float64."""

import copy
import math

import pytest
import torch
from torch.autograd.functional import jacobian

from course_lib.models.flow_in_time import FlowInTime
from course_lib.models.gaussian_mixture import GaussianMixture
from course_lib.operators import Identity, Mask, Operator, random_mask
from course_lib.reconstruction import map_estimate, sample_posterior, synthesis

SHAPES = {"gaussian": (1, (2, 2, 3)), "plane": (3, (1, 1, 2)), "images": (2, (1, 2, 3))}


def mixture(K, shape, seed=0, spread=1.0):
    generator = torch.Generator().manual_seed(seed)
    D = math.prod(shape)
    means = spread * torch.randn(K, *shape, generator=generator, dtype=torch.float64)
    roots = torch.randn(K, D, D, generator=generator, dtype=torch.float64)
    covariances = 0.2 * roots @ roots.mT / D + 0.05 * torch.eye(D, dtype=torch.float64)
    return GaussianMixture(means, covariances, 0.5 + torch.rand(K, generator=generator, dtype=torch.float64))


def points(model, count, seed=1):
    return model.sample(count, torch.Generator().manual_seed(seed))


@pytest.fixture(params=SHAPES.values(), ids=SHAPES)
def model(request):
    return mixture(*request.param)


def convolved(model, sigma):
    """The density of x + σ n: a mixture with the covariances C_k + σ² I."""
    covariances = model.covariances + sigma**2 * torch.eye(model.dim, dtype=torch.float64)
    return GaussianMixture(model.means, covariances, model.weights)


def gradient(f, x):
    x = x.clone().requires_grad_()
    return torch.autograd.grad(f(x).sum(), x)[0]


def grid(low, high, n):
    """Points [n², 1, 1, 2] of a square, and the area that each stands for."""
    axis = torch.linspace(low, high, n, dtype=torch.float64)
    return torch.cartesian_prod(axis, axis).view(-1, 1, 1, 2), (axis[1] - axis[0]) ** 2


class Line(Operator):
    """A x = a · x for points of the plane, [B, 1, 1, 1]."""

    def __init__(self, *a):
        super().__init__()
        self.register_buffer("a", torch.tensor(a, dtype=torch.float64).view(1, 1, 1, 2))

    def forward(self, x):
        return (self.a * x).sum(3, keepdim=True)

    def T(self, y):
        return self.a * y


# The density


def test_log_prob_is_torchs_mixture(model):
    x = points(model, 5)
    components = torch.distributions.MultivariateNormal(model.means.flatten(1), model.covariances)
    expected = torch.distributions.MixtureSameFamily(torch.distributions.Categorical(model.weights), components)
    assert torch.allclose(model.log_prob(x), expected.log_prob(x.flatten(1)), rtol=1e-10)


def test_covariances_come_back_and_weights_sum_to_one():
    covariances = mixture(2, (1, 2, 3)).covariances
    model = GaussianMixture(torch.zeros(2, 1, 2, 3, dtype=torch.float64), covariances, torch.tensor([1.0, 3.0]))
    assert torch.allclose(model.covariances, covariances, rtol=1e-12)
    assert model.weights.tolist() == [0.25, 0.75]


def test_samples_have_mean_and_covariance(model):
    x = points(model, 40_000).flatten(1)
    mean, covariance = model.mean_and_covariance()
    error = covariance.diagonal().div(len(x)).sqrt()
    assert ((x.mean(0) - mean.flatten()).abs() < 4.5 * error).all()
    assert (x.T.cov() - covariance).norm() < 0.03 * covariance.norm()


# Denoiser, score, velocity


@pytest.mark.parametrize("sigma", [0.1, 1.0])
def test_score_is_the_gradient_of_the_convolved_density(model, sigma):
    y = points(model, 4) + sigma
    assert torch.allclose(model.score(y, sigma), gradient(convolved(model, sigma).log_prob, y), rtol=1e-9)
    assert torch.allclose(model.score(y, 0), gradient(model.log_prob, y), rtol=1e-9)


@pytest.mark.parametrize("sigma", [0.2, 0.7])
def test_denoiser_is_the_mean_of_the_posterior_on_a_grid(sigma):
    model = mixture(*SHAPES["plane"])
    x, _ = grid(-6, 6, 601)
    for y in points(model, 3) + 0.3:
        p = (model.log_prob(x) - (y - x).flatten(1).square().sum(1) / (2 * sigma**2)).softmax(0)
        expected = (p[:, None, None, None] * x).sum(0)
        assert torch.allclose(model.denoise(y[None], sigma)[0], expected, atol=1e-9)


def test_each_image_has_its_own_noise(model):
    y, sigma = points(model, 3), torch.tensor([0.0, 0.1, 2.0], dtype=torch.float64)
    for name in ("denoise", "score"):
        together = getattr(model, name)(y, sigma)
        for k in range(3):
            assert torch.allclose(together[k], getattr(model, name)(y[k : k + 1], sigma[k].item())[0], rtol=1e-12)
    assert torch.allclose(model.denoise(y, 0), y)


@pytest.mark.parametrize("t", [0.0, 0.3, 0.8, 1.0])
def test_velocity_is_the_mean_of_image_minus_noise(t):
    """By integration over x for 0 < t < 1, where ε = (x_t − t x)/(1 − t); by its limits at both ends."""
    model = mixture(*SHAPES["plane"])
    at = points(model, 3)
    found = model.velocity(at, t)
    if t == 0:
        assert torch.allclose(found, model.mean_and_covariance()[0] - at)
    elif t == 1:
        assert torch.allclose(found, at)  # the noise is independent of the image, and has mean zero
    else:
        x, _ = grid(-6, 6, 601)
        for point, v in zip(at, found, strict=True):
            noise = (point - t * x) / (1 - t)
            p = (model.log_prob(x) - 0.5 * noise.flatten(1).square().sum(1)).softmax(0)
            assert torch.allclose(v, (p[:, None, None, None] * (x - noise)).sum(0), atol=1e-8)


def test_denoiser_score_and_velocity_keep_the_relations_of_a_flow_in_time(model):
    y, sigma = points(model, 4), torch.tensor([0.05, 0.3, 1.0, 4.0], dtype=torch.float64)
    t = 1 / (1 + sigma)
    s, tt = (v[:, None, None, None] for v in (sigma, t))
    assert torch.allclose(model.denoise(y, sigma), tt * y + (1 - tt) * model.velocity(tt * y, t), rtol=1e-9)
    assert torch.allclose(model.score(y, sigma), (model.denoise(y, sigma) - y) / s**2, rtol=1e-9)


def test_a_gaussian_is_the_flow_in_time_without_its_network():
    flow = FlowInTime(4, 1, (4,), 1).double()
    flow.mean.normal_(generator=torch.Generator().manual_seed(0))
    flow.std.copy_(torch.rand(flow.std.shape, generator=torch.Generator().manual_seed(1)) + 0.05)
    transform = flow.transform(torch.eye(16, dtype=torch.float64).view(16, 1, 4, 4)).flatten(1).T  # W
    covariance = transform.T @ torch.diag(flow.std.flatten() ** 2) @ transform
    model = GaussianMixture(flow.mean[None], covariance[None])
    z = torch.randn(3, 16, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    x = flow.decode(z)
    assert torch.allclose(model.decode(z), x, atol=1e-10) and torch.allclose(model.encode(x), z, atol=1e-10)
    for name, second in (("velocity", 0.3), ("denoise", 0.2), ("score", 0.2)):
        assert torch.allclose(getattr(model, name)(x, second), getattr(flow, name)(x, second), atol=1e-8), name
    found, expected = model.encode_with_logdet(x)[1], flow.encode_with_logdet(x)[1]
    assert torch.allclose(found, expected, atol=1e-8)


# The posterior


@pytest.mark.parametrize("sigma", [0.1, 0.8])
def test_posterior_is_bayes_rule_on_a_grid(sigma):
    model, A = mixture(*SHAPES["plane"]), Line(0.6, 0.8)
    y = A(points(model, 1)) + 0.1
    found = model.posterior(y, A, sigma)
    x, area = grid(-5, 5, 801)
    log_p = model.log_prob(x) - (A(x) - y).square().flatten(1).sum(1) / (2 * sigma**2)
    p = log_p.softmax(0)
    assert torch.allclose(found.log_prob(x).exp() * area, p, atol=1e-9)
    mean = (p[:, None] * x.flatten(1)).sum(0)
    apart = x.flatten(1) - mean
    assert torch.allclose(found.mean_and_covariance()[0].flatten(), mean, atol=1e-7)
    assert torch.allclose(found.mean_and_covariance()[1], (p[:, None] * apart).T @ apart, atol=1e-6)


def test_posterior_of_images_differs_from_bayes_by_a_constant():
    model = mixture(2, (1, 4, 3))
    A = Mask(random_mask(4, 3, missing=0.5, generator=0).double())
    y = A(points(model, 1)) + 0.05
    found = model.posterior(y, A, 0.2)
    x = points(model, 6, seed=5)
    bayes = model.log_prob(x) - (A(x) - y).square().flatten(1).sum(1) / (2 * 0.2**2)
    difference = found.log_prob(x) - bayes
    assert torch.allclose(difference, difference[:1].expand(6), rtol=1e-8)


def test_a_posterior_that_excludes_a_component_drops_it():
    model = GaussianMixture(torch.tensor([[[[0.0, 0.0]]], [[[90.0, 0.0]]]]).double(), torch.eye(2).expand(2, 2, 2))
    found = model.posterior(torch.zeros(1, 1, 1, 2).double(), Identity(), 0.1)
    assert len(found.means) == 1 and found.weights.tolist() == [1.0]


def test_a_weight_that_is_zero_in_the_dtype_of_the_model_is_no_component():
    """A mean at a distance a from y has the weight exp(−a²/4): 4e-25 for 15, 3e-53 for 22, which is 0 in float32."""
    for dtype, apart, components in ((torch.float32, 15.0, 2), (torch.float32, 22.0, 1), (torch.float64, 22.0, 2)):
        means = torch.tensor([[[[0.0, 0.0]]], [[[apart, 0.0]]]], dtype=dtype)
        model = GaussianMixture(means, torch.eye(2).expand(2, 2, 2))
        found = model.posterior(torch.zeros(1, 1, 1, 2, dtype=dtype), Identity(), 1.0)
        assert len(found.means) == components


def test_posterior_in_float32_is_that_of_float64():
    model = mixture(2, (1, 4, 3))
    A = Mask(random_mask(4, 3, missing=0.5, generator=0))
    y = A(points(model, 1).float())
    found, expected = copy.deepcopy(model).float().posterior(y, A, 0.01), model.posterior(y.double(), A.double(), 0.01)
    assert found.means.dtype == torch.float32
    for pair in zip(found.mean_and_covariance(), expected.mean_and_covariance(), strict=True):
        assert (pair[0] - pair[1]).norm() < 1e-4 * pair[1].norm()


def test_responsibilities_are_bayes_rule_for_the_component():
    model = mixture(*SHAPES["plane"])
    x = points(model, 5)
    normals = torch.distributions.MultivariateNormal(model.means.flatten(1), model.covariances)
    joint = model.weights * normals.log_prob(x.flatten(1)[:, None]).exp()
    assert torch.allclose(model.responsibilities(x), joint / joint.sum(1, keepdim=True), rtol=1e-9)
    # y says nothing more of the component than x does: the posterior's components are as responsible as the prior's.
    exact = model.posterior(x[:1], Identity(), 0.7)
    assert torch.allclose(exact.responsibilities(x), model.responsibilities(x), atol=1e-9)


# Modes


def test_modes_are_maxima_and_those_of_a_fine_grid():
    means = torch.tensor([[-1.5, 0.0], [1.5, 0.2], [1.6, 0.0]], dtype=torch.float64).view(3, 1, 1, 2)
    model = GaussianMixture(means, torch.diag(torch.tensor([0.3, 0.1])).double().expand(3, 2, 2))
    modes = model.modes()
    assert len(modes) == 2 and model.log_prob(modes).diff() < 0, "two of the three components share a maximum"
    assert gradient(model.log_prob, modes).abs().max() < 1e-8
    x, _ = grid(-3, 3, 1201)
    assert (
        model.log_prob(x).max() <= model.log_prob(modes)[0] and (x[model.log_prob(x).argmax()] - modes[0]).norm() < 0.02
    )


def test_the_mode_of_a_gaussian_is_its_mean():
    model = mixture(*SHAPES["gaussian"])
    assert torch.allclose(model.modes(), model.means, atol=1e-12)


# The flow


def test_encoder_and_decoder_invert_each_other(model):
    x = points(model, 3)
    assert torch.allclose(model.decode(model.encode(x)), x, atol=1e-7)
    z = torch.randn(3, model.dim, dtype=torch.float64)
    assert torch.allclose(model.encode(model.decode(z)), z, atol=1e-7)


def test_the_log_determinant_is_that_of_the_jacobian(model):
    x = points(model, 1)
    z, logdet = model.encode_with_logdet(x)
    assert torch.equal(z, model.encode(x))
    J = jacobian(lambda v: model.encode(v)[0], x).flatten(1)
    assert torch.allclose(torch.linalg.slogdet(J)[1], logdet[0], atol=1e-6)


def test_the_decoder_takes_the_normal_distribution_to_the_mixture():
    model = mixture(*SHAPES["plane"])
    z = torch.randn(4000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x, mean_and_covariance = model.decode(z).flatten(1), model.mean_and_covariance()
    error = mean_and_covariance[1].diagonal().div(len(x)).sqrt()
    assert ((x.mean(0) - mean_and_covariance[0].flatten()).abs() < 4.5 * error).all()
    assert (x.T.cov() - mean_and_covariance[1]).norm() < 0.08 * mean_and_covariance[1].norm()


@pytest.mark.parametrize("name", ["encode", "decode"])
def test_gradients_of_the_flow_agree_with_differences(name):
    model = mixture(*SHAPES["plane"])
    start = points(model, 2) if name == "encode" else torch.randn(2, 2, dtype=torch.float64)
    u, weight, h = torch.randn(start.shape, dtype=torch.float64), torch.tensor([1.0, -2.0]).double(), 1e-4

    def f(v):
        return getattr(model, name)(v).flatten(1) @ weight

    slope = (f(start + h * u) - f(start - h * u)) / (2 * h)
    assert torch.allclose((gradient(f, start) * u).flatten(1).sum(1), slope, atol=1e-6)


# As a model of the course


def test_the_methods_of_the_course_take_it():
    """Gaussian prior: synthesis, MAP and posterior mean are one image; HMC samples around it."""
    model = mixture(1, (1, 2, 3), seed=3)
    A = Mask(random_mask(2, 3, missing=0.4, generator=0).double())
    y, sigma = A(points(model, 1)) + 0.02, 0.1
    exact = model.posterior(y, A, sigma)
    lam = sigma**2 / 2
    for method in (synthesis, map_estimate):
        assert torch.allclose(method(y, A, model, lam, optimizer="lbfgs", steps=100).x, exact.means, atol=1e-5)
    found = sample_posterior(y, A, model, sigma, method="hmc", chains=64, steps=100, burn=100)
    std = exact.mean_and_covariance()[1].diagonal().sqrt().view_as(exact.means)
    assert ((found.mean - exact.means).abs() < 0.25 * std).all() and (found.std / std - 1).abs().max() < 0.2


def test_a_state_dict_and_a_dtype_carry_the_prior():
    model, other = mixture(2, (1, 2, 3)), mixture(2, (1, 2, 3), seed=9)
    other.load_state_dict(model.state_dict())
    x = points(model, 2)
    assert torch.equal(other.log_prob(x), model.log_prob(x))
    assert not any(p.requires_grad for p in model.parameters())
    small = copy.deepcopy(model).float()
    assert torch.allclose(small.encode(x.float()).double(), model.encode(x), atol=1e-3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: GaussianMixture(torch.zeros(2, 3), torch.eye(3)[None]), "means: expected"),
        (
            lambda m: GaussianMixture(torch.zeros(1, 1, 1, 2), torch.eye(3)[None]),
            r"covariances: expected shape \[1, 2, 2",
        ),
        (lambda m: GaussianMixture(torch.zeros(1, 1, 1, 2), -torch.eye(2)[None]), "covariances: expected positive"),
        (lambda m: GaussianMixture(torch.zeros(1, 1, 1, 2), torch.tensor([[[1, 0.5], [0, 1]]])), "covariances: .*symm"),
        (lambda m: GaussianMixture(m.means, m.covariances, torch.tensor([1.0, 0, 1])), "weights: expected"),
        (lambda m: m.log_prob(torch.zeros(2, 2).double()), "x: expected"),
        (lambda m: m.denoise(torch.zeros(2, 1, 1, 2), 0.1), "y: expected torch.float64"),
        (lambda m: m.velocity(m.means, 1.5), "t: expected times"),
        (lambda m: m.posterior(m.means, Identity(), 0.1), "y: expected one observation"),
        (lambda m: m.posterior(m.means[:1], Identity(), 0.0), "sigma: expected"),
        (lambda m: m.posterior(m.means[:1], Line(1.0, 0.0), 0.1), r"y: expected the shape of A\(x\), \[1, 1, 1, 1\]"),
        (lambda m: m.decode(torch.zeros(2, 3).double()), "z: expected"),
    ],
)
def test_bad_calls_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(mixture(*SHAPES["plane"]))
