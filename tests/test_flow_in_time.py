"""Flows in time against the laws of a bijection, autograd's Jacobian and the Gaussian that is known, in float64."""

import copy
import json
import math
import pickle
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.autograd.functional import jacobian

from course_lib.__main__ import main
from course_lib.data import face
from course_lib.metrics import psnr
from course_lib.models.flow_in_time import (
    SCHEMES,
    FlowInTime,
    UNet,
    clock,
    clock_inverse,
    cosine_matrix,
    derivatives,
    fixed_point,
)
from course_lib.models.weights import load_model, read_checkpoint, save_model
from course_lib.training import Recipe, draw_batch, train

SIZE = 4
ORDERS = {"euler": 1, "midpoint": 2, "heun": 2}


def images(count, channels=3, size=SIZE, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, channels, size, size, generator=generator, dtype=torch.float64) ** 2


def randomize(model, spread=0.15, seed=2):
    """Weights with nothing left at zero."""
    generator = torch.Generator().manual_seed(seed)
    for p in model.parameters():
        p.data += spread * torch.randn(p.shape, generator=generator, dtype=p.dtype)
    return model


def gaussian(channels=3, size=SIZE, widths=(4,), depth=1):
    """A new model, whose network is zero: the Gaussian flow of its images."""
    return FlowInTime(size, channels, widths, depth).double().initialize(images(300, channels, size, seed=3))


def flow(scheme="midpoint", steps=6, **options):
    return randomize(gaussian(**options)).discretize(steps, scheme)


@pytest.fixture(params=SCHEMES)
def model(request):
    return flow(request.param)


@torch.no_grad()
def encoder_jacobian(model, x):
    """J_E at one image x [1, C, H, W], [D, D], by central differences, all in one batch."""
    steps = 1e-5 * torch.eye(model.dim, dtype=x.dtype).unflatten(1, x.shape[1:])
    forth, back = model.encode(torch.cat([x + steps, x - steps])).chunk(2)
    return (forth - back).T / 2e-5


def law_of(model):
    """The Gaussian of the model's mean and deviations, over flat images."""
    basis = torch.eye(model.dim, dtype=torch.float64).unflatten(1, model.mean.shape)
    W = model.transform(basis).flatten(1).T
    return torch.distributions.MultivariateNormal(model.mean.flatten(), W.T @ (model.std.flatten()[:, None] ** 2 * W))


# A bijection


@settings(max_examples=3, deadline=None, derandomize=True)
@given(
    channels=st.sampled_from([1, 3]),
    widths=st.lists(st.integers(2, 5), min_size=1, max_size=2),
    depth=st.integers(1, 2),
    count=st.integers(1, 3),
    steps=st.integers(4, 6),
    frozen=st.booleans(),
)
def test_laws_of_the_invertible_scheme_for_all_architectures(channels, widths, depth, count, steps, frozen):
    """Inverse both ways, the log-determinant of the Jacobian, and an image alone as in a batch."""
    size = 2 ** (len(widths) + (channels == 1))
    model = flow("invertible", steps, channels=channels, size=size, widths=widths, depth=depth)
    model = model.freeze() if frozen else model
    x, z = images(count, channels, size), torch.randn(count, model.dim, dtype=torch.float64)
    found, logdet = model.encode_with_logdet(x, by="discrete")
    assert (model.decode(found) - x).abs().max() < 1e-12 and (model.encode(model.decode(z)) - z).abs().max() < 1e-11
    assert abs(logdet[-1] - torch.linalg.slogdet(encoder_jacobian(model, x[-1:]))[1]) < 1e-6
    alone = model.encode_with_logdet(x[-1:], by="discrete")
    assert (alone[0] - found[-1:]).abs().max() < 1e-11 and abs(alone[1] - logdet[-1]).max() < 1e-10


@pytest.mark.parametrize("scheme", ORDERS)
def test_a_scheme_inverts_and_solves_to_its_order(scheme):
    x, model = images(2), flow()
    with torch.no_grad():
        exact = model.discretize(300, "midpoint").encode(x)
    errors = []
    for steps in (20, 40):
        with torch.no_grad():
            z = model.discretize(steps, scheme).encode(x)
            errors.append([(model.decode(z) - x).norm().item(), (z - exact).norm().item()])
    for coarse, fine in zip(*errors, strict=True):
        assert fine < 0.5 and 0.75 < math.log2(coarse / fine) / ORDERS[scheme] < 1.6


def test_the_invertible_scheme_is_decoded_by_eulers_steps():
    model, z = flow("invertible"), torch.randn(2, 48, dtype=torch.float64)
    assert torch.equal(model.decode(z), copy.deepcopy(model).discretize(6, "euler").decode(z))


def test_the_latent_is_where_the_path_of_the_velocity_starts():
    """Plain Euler steps of dx/dt = v(x, t), without the model's coordinates, arrive where `decode` does."""
    model, z = flow(steps=60), torch.randn(1, 48, dtype=torch.float64)
    with torch.no_grad():
        x, n = z.view(1, 3, SIZE, SIZE), 800
        for k in range(n):
            x = x + model.velocity(x, (k + 0.5) / n) / n
        assert (x - model.decode(z)).abs().max() < 5e-3


def test_images_of_a_batch_do_not_influence_one_another(model):
    x = images(3)
    z, logdet = model.encode_with_logdet(x)
    alone, alone_logdet = model.encode_with_logdet(x[1:2])
    torch.testing.assert_close(alone, z[1:2], rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(alone_logdet, logdet[1:2], rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(model.decode(z[1:2]), model.decode(z)[1:2], rtol=1e-11, atol=1e-11)
    if model.scheme != "invertible":
        x[0] = math.nan
        assert model.encode(x)[1:].isfinite().all()


def test_a_step_that_is_too_long_has_no_inverse_and_says_so():
    """A network, and the same a hundred thousand times as steep."""
    model, x = flow("invertible", 20), images(2)
    assert (model.decode(model.encode(x)) - x).abs().max() < 1e-12
    for p in model.net.head[-1].parameters():
        p.data *= 1e5
    with pytest.raises(RuntimeError, match=r"steps: expected a step from t = .* of 20 steps; take more steps"):
        model.encode(x)


def test_contractions_are_measured():
    model, x = flow("invertible", 8), images(2)
    rows = model.contractions(x)
    assert len(rows) == 8 and rows[-1]["t"] == 0 and all(a["t"] > b["t"] for a, b in pairwise(rows))
    assert all(0 < row["slope"] < 1 and row["iterations"] > 2 for row in rows)
    halved = model.discretize(16, "invertible").contractions(x)
    assert max(row["slope"] for row in halved) < 0.8 * max(row["slope"] for row in rows)
    with pytest.raises(ValueError, match=r"scheme: expected model\.discretize\(steps, 'invertible'\), got 'euler'"):
        model.discretize(8, "euler").contractions(x)


def test_a_fixed_point_is_found_with_the_slope_of_its_function():
    """Of a linear function image by image, and of one that does not contract; none where there is none."""
    x = torch.randn(2, 5, dtype=torch.float64)
    found, slope, iterations = fixed_point(lambda v: 1 - 0.3 * v, x)
    assert (found - 1 / 1.3).abs().max() < 1e-14 and slope == pytest.approx(0.3) and iterations < 6
    d = torch.linspace(0.9, -3, 5, dtype=torch.float64)
    found, slope, iterations = fixed_point(lambda v: 1 + d * v, x)
    assert (found - 1 / (1 - d)).abs().max() < 1e-12 and 1 < slope <= 3 + 1e-9 and iterations < 30
    alone = fixed_point(lambda v: 1 + d * v, x[1:])[0]
    assert (alone - found[1:]).abs().max() < 1e-12
    tiny = fixed_point(lambda v: 1e-9 * x - 0.5 * v, 1e-9 * x)[0]
    torch.testing.assert_close(tiny, 1e-9 * x / 1.5, rtol=1e-12, atol=0)
    for f in (lambda v: v + 1, lambda v: v * math.nan, lambda v: v.exp() + 1):
        assert fixed_point(f, x) is None


# The Gaussian that is known: a network that is zero


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_gaussian_part_is_exact_in_a_single_step(scheme):
    model, x = gaussian().discretize(1, scheme), images(4)
    z = torch.randn(3, model.dim, dtype=torch.float64)
    coloured = model.std * model.transform(z.unflatten(1, model.mean.shape))
    torch.testing.assert_close(model.decode(z), model.mean + model.transform(coloured, inverse=True))
    torch.testing.assert_close(model.encode(model.decode(z)), z)
    law = law_of(model)
    for by in ("hutchinson", "exact", "discrete"):
        torch.testing.assert_close(model.log_prob(x, by=by), law.log_prob(x.flatten(1)))
        torch.testing.assert_close(model.encode_with_logdet(x, by=by)[1], -model.std.log().sum().expand(4))


@pytest.mark.parametrize("t", [0.0, 0.3, 0.9, 1.0])
def test_the_velocity_of_a_gaussian_is_its_regression(t):
    """E[x − ε | x_t] by the covariances of x − ε and x_t."""
    model, x = gaussian(), images(2)
    law, identity = law_of(model), torch.eye(model.dim, dtype=torch.float64)
    C = law.covariance_matrix
    gain = (t * C - (1 - t) * identity) @ torch.linalg.inv(t**2 * C + (1 - t) ** 2 * identity)
    expected = law.mean + (x.flatten(1) - t * law.mean) @ gain.T
    torch.testing.assert_close(model.velocity(x, t).flatten(1), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("sigma", [0.05, torch.tensor([0.02, 3.0], dtype=torch.float64)])
def test_denoiser_and_score_of_a_gaussian(sigma):
    """Tweedie: E[x | y] = y + σ² ∇ log p_σ(y), and p_σ is the Gaussian with the covariance C + σ² I."""
    model, y = gaussian(), images(2)
    law, s = law_of(model), torch.as_tensor(sigma, dtype=torch.float64).expand(2)
    for k in range(2):
        noisy = law.covariance_matrix + s[k] ** 2 * torch.eye(model.dim, dtype=torch.float64)
        score = -torch.linalg.solve(noisy, y[k].flatten() - law.mean)
        torch.testing.assert_close(model.score(y, sigma)[k].flatten(), score, rtol=1e-8, atol=1e-8)
        posterior = y[k].flatten() + s[k] ** 2 * score
        torch.testing.assert_close(model.denoise(y, sigma)[k].flatten(), posterior, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(model.denoise(y, 0.0), y)


def test_samples_have_the_mean_and_the_covariance_of_the_gaussian():
    model, before = gaussian().discretize(1, "euler"), torch.get_rng_state()
    x = model.sample(4000, generator=torch.Generator().manual_seed(0)).detach()
    assert torch.equal(torch.get_rng_state(), before)
    coefficients = model.transform(x - model.mean) / model.std
    assert coefficients.mean(0).abs().max() < 5 / math.sqrt(4000)
    C = torch.cov(coefficients.flatten(1).T)
    assert (C - torch.eye(model.dim, dtype=torch.float64)).abs().max() < 0.12
    calm = model.sample(5, 0.0)
    torch.testing.assert_close(calm, model.mean.expand_as(calm))


def test_the_loss_is_the_share_of_the_gaussian_error_that_is_left():
    """1 for a network that is zero, on images that are no Gaussian at all; by hand for another one."""
    model, x = gaussian(), images(300, seed=3)
    losses = torch.cat([model.loss(x, torch.Generator().manual_seed(100 + k)) for k in range(8)])
    assert abs(losses.mean() - 1) < 4 * losses.std() / math.sqrt(len(losses))
    model = flow()
    found = model.loss(x[:8], torch.Generator().manual_seed(5))
    generator = torch.Generator().manual_seed(5)
    noise = torch.randn(8, 3, SIZE, SIZE, generator=generator, dtype=torch.float64)
    u = (torch.rand(1, generator=generator, dtype=torch.float64) + torch.arange(8) / 8) % 1
    t = 3 * u / (1 - u) / (1 + 3 * u / (1 - u))
    point = (1 - t[:, None, None, None]) * noise + t[:, None, None, None] * x[:8]
    error = (x[:8] - noise - model.velocity(point, t)).square().flatten(1).mean(1)
    C = torch.stack([(model.std**2 / (s**2 * model.std**2 + (1 - s) ** 2)).mean() for s in t])
    torch.testing.assert_close(found, error / C)


def test_initialize_takes_mean_and_deviations_of_the_coefficients():
    model, x = FlowInTime(SIZE, 3, (4,), 1).double(), images(50)
    assert not model.initialized
    model.initialize(x)
    assert model.initialized
    torch.testing.assert_close(model.mean, x.mean(0))
    centred = model.transform(x - x.mean(0))
    torch.testing.assert_close(model.std, centred.std(0))
    grey = model.initialize(torch.full((4, 3, SIZE, SIZE), 0.5, dtype=torch.float64))
    assert grey.std.min() == 1e-3 and (grey.decode(grey.encode(x)) - x).abs().max() < 1e-10


def test_the_transform_is_orthonormal_and_starts_with_the_mean():
    model, x = gaussian(channels=2, size=6, widths=(4,)), images(3, 2, 6)
    found = model.transform(x)
    torch.testing.assert_close(model.transform(found, inverse=True), x)
    torch.testing.assert_close(found.norm(), x.norm())
    torch.testing.assert_close(found[:, 0, 0, 0], x.sum((1, 2, 3)) / math.sqrt(72))
    C = cosine_matrix(5, torch.float64, torch.device("cpu"))
    torch.testing.assert_close(C @ C.T, torch.eye(5, dtype=torch.float64))


def test_the_clock_is_slow_at_both_ends_and_runs_from_0_to_1():
    u = torch.linspace(0, 1, 101, dtype=torch.float64)
    t = clock(u)
    assert t[0] == 0 and t[-1] == 1 and (t.diff() > 0).all() and t.diff()[[0, -1]].max() < 1e-3
    torch.testing.assert_close(clock_inverse(t), u)
    times = torch.cat([pair[0] for pair in gaussian().discretize(4).intervals()])
    torch.testing.assert_close(times, clock(u[:76:25]))


# The log-determinant


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_discrete_log_determinant_is_that_of_the_map(scheme):
    model, x = flow(scheme), images(2)
    z, logdet = model.encode_with_logdet(x, by="discrete")
    assert (
        abs(logdet[0] - torch.linalg.slogdet(encoder_jacobian(model, x[:1]))[1]) < 1e-6
        and (logdet[0] - logdet[1]).abs() > 1e-3
    )
    torch.testing.assert_close(z, model.encode(x))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_integral_of_the_trace_tends_to_the_log_determinant(scheme):
    x, gaps = images(3), []
    for steps in (6, 24):
        model = flow(scheme, steps)
        with torch.no_grad():
            exact, discrete = (model.encode_with_logdet(x, by=by)[1] for by in ("exact", "discrete"))
        gaps.append((exact - discrete).norm().item())
    assert gaps[1] < 0.2 and gaps[1] < 2.5 ** -ORDERS.get(scheme, 1) * gaps[0]


@pytest.mark.parametrize("scheme", ["midpoint", "invertible"])
@torch.no_grad()
def test_hutchinsons_estimate_is_unbiased_and_follows_its_seed(scheme):
    model, x = flow(scheme, 3 if scheme == "midpoint" else 6), images(1)
    exact = model.encode_with_logdet(x, by="exact")[1]
    before = torch.get_rng_state()
    estimates = torch.cat([model.encode_with_logdet(x, seed=s)[1] for s in range(16)])
    error = estimates.std() / 4
    assert error > 1e-3 and abs(estimates.mean() - exact) < 4 * error
    many = torch.cat([model.encode_with_logdet(x, probes=9, seed=s)[1] for s in range(12)])
    assert 0.12 < many.std() / estimates.std() < 0.6
    assert torch.equal(model.encode_with_logdet(x)[1], model.encode_with_logdet(x, seed=0)[1])
    assert torch.equal(torch.get_rng_state(), before)


def test_bits_per_dim_is_the_code_length_of_a_grey_level(model):
    x = images(2)
    probability = model.log_prob(x, by="exact") / math.log(2) - model.dim * math.log2(255)
    torch.testing.assert_close(model.bits_per_dim(x, by="exact"), -probability / model.dim)


# Gradients


def smooth(model, x, z):
    """A smooth function of x through E and its log-determinant, and of z through D."""
    latent, logdet = model.encode_with_logdet(x)
    return latent.sin().sum() + logdet.sum() + model.decode(z).sin().sum()


def test_gradients_agree_with_differences_and_with_kept_activations(model):
    generator = torch.Generator().manual_seed(0)
    x, z = images(2), torch.randn(2, model.dim, generator=generator, dtype=torch.float64)
    at = [x.requires_grad_(), z.requires_grad_(), *model.parameters()]
    found = torch.autograd.grad(smooth(model, x, z), at)
    model.recompute = False
    for ours, theirs in zip(found, torch.autograd.grad(smooth(model, x, z), at), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
        assert ours.abs().max() > 0
    directions = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in at]
    values = []
    for sign in (1, -2):  # forth, and back to the other side
        for p, d in zip(at, directions, strict=True):
            p.data += sign * 1e-6 * d
        values.append(smooth(model, x, z).item())
    slope = sum((g * d).sum().item() for g, d in zip(found, directions, strict=True))
    assert (values[0] - values[1]) / 2e-6 == pytest.approx(slope, rel=1e-5)


def kept_for_the_gradient(model, call):
    """How many numbers, those of the weights aside, autograd keeps of a call."""
    weights, sizes = {p.data_ptr() for p in [*model.parameters(), *model.buffers()]}, []

    def pack(tensor):
        sizes.append(0 if tensor.data_ptr() in weights else tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        call()
    return sum(sizes)


@pytest.mark.parametrize("direction", ["encode", "decode"])
def test_the_memory_of_a_gradient_hardly_grows_with_the_steps(model, direction):
    x = images(1) if direction == "encode" else torch.randn(1, model.dim, dtype=torch.float64)
    x.requires_grad_()

    def growth():
        few, many = (
            kept_for_the_gradient(model, lambda n=n: getattr(model.discretize(n, model.scheme), direction)(x))
            for n in (5, 25)
        )
        return (many - few) / 20

    assert growth() <= 4 * model.dim
    model.recompute = False
    if not (model.scheme == "invertible" and direction == "encode"):
        assert growth() > 8 * model.dim


def test_derivatives_of_copies_are_the_columns_of_the_jacobian():
    A = torch.randn(4, 4, dtype=torch.float64)
    x, basis = torch.randn(2, 4, dtype=torch.float64), torch.eye(4, dtype=torch.float64)
    value, columns = derivatives(lambda u: (u @ A.T).sin(), x, basis)
    torch.testing.assert_close(value, (x @ A.T).sin())
    torch.testing.assert_close(columns[:, 1].T, jacobian(lambda u: (u @ A.T).sin(), x[1]))
    assert derivatives(lambda u: torch.ones_like(u), x, basis)[1].abs().max() == 0


def test_without_recomputing_all_transforms_of_torch_func_serve():
    model, x = flow("heun", 3), images(1)
    model.recompute = False
    right = jacobian(model.encode, x)
    for found in (torch.func.jacrev(model.encode)(x), torch.func.jacfwd(model.encode)(x)):
        torch.testing.assert_close(found, right, rtol=1e-9, atol=1e-9)


def test_second_derivatives_of_an_undone_step_are_refused():
    model, x = flow("invertible"), images(1).requires_grad_()
    with pytest.raises(RuntimeError, match="expected first derivatives"):
        torch.autograd.grad(model.encode(x).sin().sum(), x, create_graph=True)


# Weights, precision, copies


def assert_same_flow(model, other, x):
    assert torch.equal(model.encode_with_logdet(x)[1], other.encode_with_logdet(x)[1])
    z = model.encode(x)
    assert torch.equal(other.encode(x), z) and torch.equal(other.decode(z), model.decode(z))


def test_a_state_dict_carries_mean_and_deviations(model):
    other = FlowInTime(**model.config).double().discretize(model.steps, model.scheme)
    other.load_state_dict(model.state_dict())
    assert other.initialized
    assert_same_flow(model, other, images(2))
    assert set(model.freeze().state_dict()) == set(other.state_dict())


def test_a_saved_model_comes_back_in_half_the_size(tmp_path):
    model = randomize(FlowInTime(8, 3, (6, 5), 1).initialize(images(60, 3, 8).float()))
    save_model(model, "tiny", {}, tmp_path)
    loaded = load_model("tiny", folder=tmp_path)
    assert loaded.config == model.config and not any(p.requires_grad for p in loaded.parameters())
    torch.testing.assert_close(loaded.std, model.std, rtol=1e-3, atol=0)
    x = images(2, 3, 8).float()
    assert (loaded.encode(x) - model.encode(x)).abs().max() < 0.1
    loaded.discretize(20, "invertible")
    assert (loaded.decode(loaded.encode(x)) - x).abs().max() < 1e-5


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_keep_their_scheme_and_go_their_own_way(copied):
    model, x = flow("heun", 5).freeze(), images(2)
    before, other = model.encode(x), copied(model)
    assert_same_flow(model, other, x)
    randomize(other.discretize(3, "euler"), seed=8)
    assert torch.equal(model.encode(x), before) and not torch.allclose(other.encode(x), before)


def test_float32_on_each_device_follows_float64(model, device):
    x = images(2)
    z, logdet = model.encode_with_logdet(x)
    model.float().to(device)
    ours = model.encode_with_logdet(x.float().to(device))
    assert ours[0].device.type == device
    torch.testing.assert_close(ours[0].cpu().double(), z, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(ours[1].cpu().double(), logdet, rtol=1e-3, atol=1e-2)
    model.double()
    torch.testing.assert_close(model.encode(x.to(device)).cpu(), z, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("precision", [None, torch.bfloat16])
def test_autocast_around_a_flow_changes_nothing(precision):
    model, x = flow().float().mixed_precision(precision), images(2).float()
    z = model.encode(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(model.encode(x), z) and torch.equal(model.denoise(x, 0.1), model.denoise(x, 0.1))
        assert model.loss(x).dtype == torch.float32


def test_mixed_precision_touches_the_network_only():
    model, x = flow("midpoint").float(), images(2).float()
    z = model.encode(x)
    rough = model.mixed_precision(torch.bfloat16).encode(x)
    assert rough.dtype == torch.float32 and 1e-5 < (rough - z).norm() / z.norm() < 0.05
    assert torch.equal(model.mixed_precision(None).encode(x), z)


def test_the_network_starts_at_zero_and_sees_the_time():
    net, x, u = UNet(3, (8, 6), 2), torch.randn(2, 3, 8, 8), torch.tensor([0.2, 0.7])
    assert net(x, u).abs().max() == 0
    randomize(net)
    assert net(x, u).shape == x.shape and (net(x, u) - net(x, u.flip(0))).abs().amax((1, 2, 3)).min() > 1e-3
    net(x, u).square().sum().backward()
    assert all(p.grad.abs().max() > 0 for p in net.parameters())


def test_bad_calls_are_named():
    model, x = flow(), images(2)
    wrong = {
        "scheme: expected one of": lambda: model.discretize(5, "rk4"),
        "steps: expected an integer": lambda: model.discretize(0),
        "by: expected": lambda: model.log_prob(x, by="guess"),
        "probes: expected": lambda: model.log_prob(x, probes=0),
        "t: expected times from 0 to 1": lambda: model.velocity(x, 1.5),
        "t: expected finite": lambda: model.velocity(x, -0.5),
        "sigma: expected values > 0": lambda: model.score(x, 0.0),
        "sigma: expected finite": lambda: model.denoise(x, -1.0),
        "y: expected": lambda: model.denoise(x[0], 0.1),
        "x: expected": lambda: model.loss(x[:, :2]),
        "size: expected a multiple of 4": lambda: FlowInTime(6, 3, (4, 4)),
        "widths: expected": lambda: FlowInTime(6, 3, ()),
    }
    for message, call in wrong.items():
        with pytest.raises(ValueError, match=message):
            call()


# The stored weights


def test_the_stored_flow_inverts_and_denoises_in_float32():
    """To rounding by the scheme `invertible`, up to its error by another one; noise of 0.1 becomes weaker by 6 dB."""
    model, x = load_model("flow_in_time"), face()
    with torch.no_grad():
        errors = []
        for steps, scheme in ((8, "invertible"), (20, "midpoint")):
            model.discretize(steps, scheme)
            errors.append((model.decode(model.encode(x)) - x).abs().max())
        noisy = x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
        assert psnr(model.denoise(noisy, 0.1), x) > psnr(noisy, x) + 6
    assert errors[0] < 1e-4 < errors[1] < 0.1


# Training


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """60 pictures with an edge at a random place: their cosine transforms are far from Gaussian."""
    rng, made = np.random.default_rng(0), tmp_path_factory.mktemp("edges")
    for i in range(60):
        picture = np.where(np.arange(8)[:, None, None] < rng.integers(1, 8), 40, 200) * np.ones((8, 8, 3))
        Image.fromarray(picture.astype(np.uint8)).save(made / f"{i:02d}.png")
    return made


RECIPE = Recipe("flow_in_time", {"size": 8, "widths": [8, 8], "depth": 1}, steps=120, batch=16, lr=5e-3, warmup=10)


def test_the_loss_goes_below_that_of_the_gaussian_and_a_run_resumes(folder, tmp_path):
    run = train(RECIPE, [folder], tmp_path / "one", every=60)
    assert run.rows[-1]["validation"] < 0.8 and run.rows[-1]["validation"] < run.rows[0]["validation"]
    assert torch.equal(run.average.std, run.model.std) and run.average.initialized
    for k in range(2):
        train(Recipe(**vars(RECIPE) | {"steps": 4 + 2 * k, "lr": 1e-3}), [folder], tmp_path / "two", every=2)
    train(Recipe(**vars(RECIPE) | {"steps": 6, "lr": 1e-3}), [folder], tmp_path / "three", every=3)
    ours, theirs = (read_checkpoint(tmp_path / name / "checkpoint.safetensors") for name in ("two", "three"))
    assert ours[0]["step"] == theirs[0]["step"] == 6
    torch.testing.assert_close(ours[1]["average.std"], theirs[1]["average.std"], rtol=0, atol=0)
    sets = [torch.zeros(1, 3, 8, 8, dtype=torch.uint8)]
    assert draw_batch(sets, 0, RECIPE).shape == (16, 3, 8, 8)
    line = ["export", str(tmp_path / "one"), "edges", "--folder", str(tmp_path)]
    assert main(line) == 0
    about = json.loads((tmp_path / "edges.json").read_text(encoding="utf-8"))
    assert about["validation"]["velocity_error"] == pytest.approx(run.rows[-1]["validation"], abs=2e-4)
    assert load_model("edges", folder=tmp_path).initialized
