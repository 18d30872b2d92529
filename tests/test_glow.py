"""Glow against the laws of a bijection, the autograd Jacobian and closed forms, in float64, no weight left at zero."""

import copy
import inspect
import math
import pickle
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import forward_ad
from torch.autograd.functional import hvp, jacobian

from course_lib.data import face, photograph
from course_lib.models.flow_layers import (
    PRESERVING,
    SCALES,
    ActNorm,
    Coupling,
    CouplingNet,
    FlowLevel,
    FlowStep,
    HaarSqueeze,
    InvertibleConv,
    linear_maps,
    log_scale,
    lu_inverse,
)
from course_lib.models.glow import Glow, dequantize, permutations
from course_lib.models.weights import load_model

SIZE = 8


def images(count, channels=3, size=SIZE, seed=1):
    return torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def randomize(model, seed=2):
    """Weights with nothing left at zero or one."""
    generator = torch.Generator().manual_seed(seed)
    for name, p in model.named_parameters():
        spread = 0.3 if ".net.4." in name else 0.15
        if name.endswith((".L", ".U", "log_s", "bias")) or ".net.4." in name:
            p.data += spread * torch.randn(p.shape, generator=generator, dtype=p.dtype)
    return model


def flow(scale="bounded", channels=3, size=SIZE, widths=(6, 5), steps=2):
    model = Glow(size, channels, steps, widths, scale).double()
    return randomize(model.initialize(images(8, channels, size, seed=3)))


@pytest.fixture(params=SCALES)
def model(request):
    return flow(request.param)


@pytest.fixture(params=["trained", "frozen"])
def either(request, model):
    return model.freeze() if request.param == "frozen" else model


def flat_encoder(model, shape):
    return lambda v: model.encode(v.reshape(1, *shape))[0]


@pytest.mark.parametrize("scale", SCALES)
@settings(max_examples=5, deadline=None, derandomize=True)
@given(
    channels=st.integers(1, 3),
    widths=st.lists(st.integers(1, 5), min_size=1, max_size=2),
    multiple=st.integers(1, 2),
    steps=st.integers(1, 3),
    count=st.integers(1, 3),
    frozen=st.booleans(),
)
def test_laws_for_all_architectures(scale, channels, widths, multiple, steps, count, frozen):
    """Inverse both ways, the log-determinant of the Jacobian, and an image alone as in a batch."""
    size = multiple * 2 ** len(widths) if len(widths) == 1 or channels == 1 else 2 ** len(widths)
    model = flow(scale, channels, size, widths, steps)
    model = model.freeze() if frozen else model
    x, z = images(count, channels, size), torch.randn(count, model.dim, dtype=torch.float64)
    found, logdet = model.encode_with_logdet(x)
    assert (model.decode(found) - x).abs().max() < 1e-9 and (model.encode(model.decode(z)) - z).abs().max() < 1e-8
    J = jacobian(flat_encoder(model, x.shape[1:]), x[-1].flatten())
    assert abs(logdet[-1] - torch.linalg.slogdet(J)[1]) < 1e-8
    alone = model.encode_with_logdet(x[-1:])
    assert (alone[0] - found[-1:]).abs().max() < 1e-10 and abs(alone[1] - logdet[-1]).max() < 1e-10


def test_log_determinant_of_images_in_a_batch_differs_unless_the_scale_preserves_volume(model):
    logdet = model.encode_with_logdet(images(4))[1]
    spread = (logdet - logdet[0]).abs().max()
    assert logdet.abs().min() > 0.1
    assert spread == 0 if model.config["scale"] in PRESERVING else spread > 1e-2


def test_freezing_changes_no_value_and_no_gradient(model):
    x, z = images(2).requires_grad_(), torch.randn(2, model.dim, dtype=torch.float64, requires_grad=True)
    a, b = torch.randn(2, model.dim, dtype=torch.float64), torch.randn(2, dtype=torch.float64)

    def values():
        latent, logdet = model.encode_with_logdet(x)
        picture = model.decode(z)
        total = (a * latent).sum() + (b * logdet).sum() + (a * picture.flatten(1)).sum()
        return [latent, logdet, picture, *torch.autograd.grad(total, (x, z))]

    before = values()
    model.freeze()
    for old, new in zip(before, values(), strict=True):
        torch.testing.assert_close(new, old, rtol=1e-10, atol=1e-10)
    assert not any(p.requires_grad for p in model.parameters())


def test_gradients_reach_all_parameters(model):
    for loss in (model.bits_per_dim(images(4)).mean(), model.sample(2).square().mean()):
        model.zero_grad()
        loss.backward()
        for name, p in model.named_parameters():
            assert p.grad is not None and p.grad.isfinite().all(), name
            assert p.grad.abs().max() > 0, name


def test_float32_on_each_device_follows_float64(model, device):
    x = images(2)
    z, logdet = model.encode_with_logdet(x)
    model.float().to(device)
    ours = model.encode_with_logdet(x.float().to(device))
    assert ours[0].device.type == device
    torch.testing.assert_close(ours[0].cpu().double(), z, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(ours[1].cpu().double(), logdet, rtol=1e-3, atol=1e-2)
    assert (model.decode(ours[0]).cpu() - x).abs().max() < 1e-3


def test_images_of_a_batch_do_not_influence_one_another(either):
    x = images(3)
    z, logdet = either.encode_with_logdet(x)
    torch.testing.assert_close(either.encode(x[1:2]), z[1:2], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(either.encode_with_logdet(x[1:2])[1], logdet[1:2], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(either.decode(z[1:2]), either.decode(z)[1:2], rtol=1e-12, atol=1e-12)
    x[0] = math.nan
    assert either.encode(x)[1:].isfinite().all()


def test_initialize_gives_each_actnorm_zero_mean_and_unit_variance():
    model = randomize(Glow(SIZE, 3, 3, (6, 5), "bounded").double())
    x = images(16) ** 2
    assert not model.initialized
    model.initialize(x)
    assert model.initialized
    h = x - 0.5
    for level, steps in enumerate(model.levels):
        h = model.squeezes[level](h)
        for step in steps:
            y = step.actnorm.log_s.exp()[:, None, None] * (h + step.actnorm.bias[:, None, None])
            assert y.mean((0, 2, 3)).abs().max() < 1e-10
            assert (y.var((0, 2, 3)) - 1).abs().max() < 1e-8
            h = step(h)[0]
        if level < len(model.splits):
            h = h[:, : model.splits[level].sizes[0]]


def blue_is_black(count=16):
    x = images(count)
    x[:, 2] = 0
    return x


SINGLE_VALUED = {
    "a grey level": torch.full((4, 3, SIZE, SIZE), 0.3, dtype=torch.float64),
    "a channel without signal": blue_is_black(),
    "one image, repeated": images(1).expand(4, -1, -1, -1),
    "one channel, repeated": images(4, 1).expand(-1, 3, -1, -1),
    "a black and a white image": torch.eye(2, dtype=torch.float64)[:, :1, None, None].expand(2, 3, SIZE, SIZE),
}


@pytest.mark.parametrize("name", SINGLE_VALUED)
@pytest.mark.parametrize("widths", [(6,), (6, 5, 4)])
def test_initialize_from_channels_that_do_not_vary_gives_a_sane_flow(name, widths):
    """Whatever differs from such images a little is coded a little differently; the last level has a single pixel."""
    x = SINGLE_VALUED[name]
    model = Glow(SIZE, 3, 4, widths).double().initialize(x)
    assert all(p.isfinite().all() for p in model.parameters())
    other = x + 0.01 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=x.dtype)
    z, logdet = model.encode_with_logdet(other)
    assert z.isfinite().all() and logdet.isfinite().all()
    assert (z - model.encode(x)).norm() < 1e3 * (other - x).norm()
    assert (model.decode(z) - other).abs().max() < 1e-9


def test_actnorm_centres_a_constant_channel_and_keeps_its_scale():
    x = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    x[:, 1] = 0.3
    actnorm = ActNorm(3)
    actnorm.initialize(x)
    y = actnorm.log_s.exp()[:, None, None] * (x + actnorm.bias[:, None, None])
    assert actnorm.log_s[1] == 0 and y[:, 1].abs().max() < 1e-6
    torch.testing.assert_close(y[:, ::2].std((0, 2, 3)), torch.ones(2))


def test_the_latent_goes_from_coarse_to_fine():
    model = Glow(SIZE, 3, 3, (4, 4, 4), "bounded").double()
    assert model.shapes == [(6, 4, 4), (12, 2, 2), (48, 1, 1)]
    constant = torch.full((1, 3, SIZE, SIZE), 0.75, dtype=torch.float64)
    z = model.encode(constant)[0]
    torch.testing.assert_close(z[:3], torch.full((3,), 0.25 * SIZE, dtype=torch.float64))
    assert z[3:].abs().max() < 1e-12
    sign = torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(SIZE // 2)
    checkerboard = (0.5 + 0.25 * sign[:, None] * sign).expand(1, 3, SIZE, SIZE)
    z = model.encode(checkerboard)[0]
    assert z[:-96].abs().max() < 1e-12 and z[-96:].abs().max() > 0.4


def test_log_prob_of_a_linear_flow_is_the_gaussian_of_its_covariance():
    model = Glow(2, 1, 2, (4,), "bounded").double()
    for step in model.levels[0]:
        randomize(step.actnorm)
        for p in (step.conv.L, step.conv.U, step.conv.log_s):
            p.data += 0.3 * torch.randn(p.shape, dtype=p.dtype)
    zero = torch.full((4,), 0.5, dtype=torch.float64)
    M, c = jacobian(flat_encoder(model, (1, 2, 2)), zero), model.encode(zero.view(1, 1, 2, 2))[0].detach()
    inverse = torch.linalg.inv(M)
    law = torch.distributions.MultivariateNormal(zero - inverse @ c, inverse @ inverse.T)
    x = images(5, 1, 2)
    torch.testing.assert_close(model.log_prob(x), law.log_prob(x.flatten(1)), rtol=1e-10, atol=1e-10)


def test_log_prob_is_the_change_of_variables(model):
    x = images(1)
    J = jacobian(flat_encoder(model, x.shape[1:]), x.flatten())
    normal = torch.distributions.Normal(0.0, 1.0).log_prob(model.encode(x)).sum(1)
    torch.testing.assert_close(model.log_prob(x), normal + torch.linalg.slogdet(J)[1], rtol=1e-10, atol=1e-8)


def test_the_density_integrates_to_one():
    model = flow("bounded", channels=1, size=2, widths=(4,))
    q = torch.distributions.Normal(torch.tensor(0.5, dtype=torch.float64), 0.6)
    x = q.sample((40_000, 1, 2, 2))
    weight = (model.log_prob(x) - q.log_prob(x).sum((1, 2, 3))).exp()
    error = (weight.var() / len(weight)).sqrt()
    assert error < 0.03 and (weight.mean() - 1).abs() < 4 * error


def test_bits_per_dim_is_the_code_length_of_a_grey_level(model):
    x = images(2)
    density = model.log_prob(x) / math.log(2)
    probability = density - model.dim * math.log2(255)
    torch.testing.assert_close(model.bits_per_dim(x), -probability / model.dim)


def test_dequantize_stays_within_half_a_grey_level_and_is_uniform():
    x = torch.full((4, 3, 64, 64), 100 / 255, dtype=torch.float64)
    u = (dequantize(x, generator=torch.Generator().manual_seed(0)) - x) * 255
    assert u.abs().max() <= 0.5 and u.min() < -0.499 and u.max() > 0.499
    assert abs(u.mean()) < 5 / math.sqrt(12 * u.numel())
    assert abs(u.var() * 12 - 1) < 0.02


def test_dequantize_adds_noise_of_the_given_sigma():
    x = torch.zeros(4, 3, 64, 64)
    difference = dequantize(x, 0.05, torch.Generator().manual_seed(0))
    assert difference.dtype == torch.float32
    expected = 0.05**2 + 1 / 255**2 / 12
    assert abs(difference.var() / expected - 1) < 0.03 and abs(difference.mean()) < 5e-4


def test_dequantize_follows_its_generator_alone():
    x, before = torch.zeros(1, 3, 8, 8), torch.get_rng_state()
    first, second, other = (dequantize(x, 0.1, torch.Generator().manual_seed(s)) for s in (5, 5, 6))
    assert torch.equal(first, second) and not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_samples_follow_their_generator_and_temperature(model):
    before = torch.get_rng_state()
    first, second, other = (model.sample(2, 0.8, torch.Generator().manual_seed(s)) for s in (5, 5, 6))
    assert first.shape == (2, 3, SIZE, SIZE) and first.dtype == torch.float64
    assert torch.equal(first, second) and not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)
    assert len(model.sample(1)) == 1
    origin = model.decode(torch.zeros(1, model.dim, dtype=torch.float64))
    torch.testing.assert_close(model.sample(2, 0.0), origin.expand(2, -1, -1, -1))
    norms = [model.encode(model.sample(8, t, torch.Generator().manual_seed(0))).norm(dim=1) for t in (0.4, 0.8)]
    torch.testing.assert_close(2 * norms[0], norms[1], rtol=1e-8, atol=1e-8)


def test_a_state_dict_carries_the_model(model):
    other = Glow(**model.config | {"seed": 7}).double()
    other.load_state_dict(model.state_dict())
    x = images(2)
    torch.testing.assert_close(other.encode_with_logdet(x), model.encode_with_logdet(x), rtol=0, atol=0)
    assert other.initialized
    keys = set(model.state_dict())
    assert set(model.freeze().state_dict()) == keys


def test_mixed_precision_touches_the_networks_only_and_keeps_the_inverse():
    model = flow().float()
    x = images(2).float()
    z, _ = model.encode_with_logdet(x)
    rough, rough_logdet = model.mixed_precision(torch.bfloat16).encode_with_logdet(x)
    assert rough.dtype == rough_logdet.dtype == torch.float32
    assert 1e-4 < (rough - z).norm() / z.norm() < 0.05
    assert (model.decode(rough) - x).abs().max() < 1e-4
    assert torch.equal(model.mixed_precision(None).encode(x), z)


def test_the_defaults_are_the_trained_architecture():
    defaults = {name: p.default for name, p in inspect.signature(Glow).parameters.items()}
    widths = (96, 128, 192, 256)
    assert defaults == dict(size=64, channels=3, steps=8, widths=widths, scale="bounded", seed=0)
    assert inspect.signature(Glow.sample).parameters["temperature"].default == 1
    assert inspect.signature(dequantize).parameters["sigma"].default == 0


@pytest.mark.parametrize(("channels", "steps"), [(4, 1), (12, 2), (24, 5)])
def test_permutations_compose_to_the_identity(channels, steps):
    drawn = permutations(channels, steps, torch.Generator().manual_seed(0))
    assert len(drawn) == steps
    total = torch.eye(channels)
    for p in drawn:
        assert sorted(p.tolist()) == list(range(channels))
        total = InvertibleConv(p).weight() @ total
    assert torch.equal(total.detach(), torch.eye(channels))
    assert steps == 1 or not torch.equal(drawn[0], torch.arange(channels))


def test_the_haar_squeeze_is_orthonormal_and_low_pass_first():
    squeeze = HaarSqueeze(2).double()
    basis = torch.eye(32, dtype=torch.float64).reshape(32, 2, 4, 4)
    M = squeeze(basis).flatten(1)
    torch.testing.assert_close(M @ M.T, torch.eye(32, dtype=torch.float64))
    torch.testing.assert_close(squeeze.inverse(squeeze(basis)), basis)
    x = torch.randn(1, 2, 4, 4, dtype=torch.float64)
    low = 2 * torch.nn.functional.avg_pool2d(x, 2)
    torch.testing.assert_close(squeeze(x)[:, :2], low)
    assert squeeze(torch.ones(1, 2, 4, 4, dtype=torch.float64))[:, 2:].abs().max() == 0


def test_the_invertible_convolution_knows_its_determinant():
    conv = InvertibleConv(torch.randperm(6)).double()
    for p in conv.parameters():
        p.data.normal_(std=0.4)
    conv.sign[::2] = -1
    assert abs(torch.linalg.slogdet(conv.weight())[1] - conv.log_s.sum()) < 1e-10
    torch.testing.assert_close(lu_inverse(*conv.factors()), torch.linalg.inv(conv.weight()))


def test_the_affine_map_of_a_step_is_actnorm_then_convolution():
    step = randomize(FlowStep(torch.randperm(6), 5, "bounded").double())
    x = torch.randn(2, 6, 3, 5, dtype=torch.float64)
    normalized = step.actnorm.log_s.exp()[:, None, None] * (x + step.actnorm.bias[:, None, None])
    (V, _, logdet), (found, total) = linear_maps([step]), step.mix(x)
    torch.testing.assert_close(found, torch.einsum("ij,bjhw->bihw", step.conv.weight(), normalized))
    torch.testing.assert_close(logdet, torch.linalg.slogdet(V[0])[1])
    torch.testing.assert_close(total, 15 * logdet)
    torch.testing.assert_close(step.unmix(found), x)


def test_a_level_is_its_steps_one_after_the_other():
    level = randomize(FlowLevel(FlowStep(torch.randperm(6), 5, "bounded") for _ in range(3)).double())
    x = torch.randn(2, 6, 3, 5, dtype=torch.float64)
    h, total = x, 0
    for step in level:
        h, logdet = step(h)
        total = total + logdet
    torch.testing.assert_close(level(x), (h, total))
    torch.testing.assert_close(level.inverse(h), x)


@pytest.mark.parametrize(
    ("scale", "low", "high"),
    [("bounded", 0.5, 2.0), ("sigmoid", 0.0, 1.0), ("additive", 1.0, 1.0), ("volume_preserving", 0.25, 4.0)],
)
def test_the_scale_of_a_coupling_stays_in_its_range(scale, low, high):
    coupling = Coupling(4, 3, scale).double()
    coupling.net[-1].weight.data.normal_(std=30)
    a, b = torch.randn(2, 2, 4, 4, dtype=torch.float64), torch.randn(2, 2, 4, 4, dtype=torch.float64)
    s = coupling(a, b + 1)[0] - coupling(a, b)[0]
    assert s.min() >= low - 1e-9 and s.max() <= high + 1e-9
    assert scale == "additive" or s.max() - s.min() > 0.4


def test_a_volume_preserving_scale_multiplies_to_one_in_every_pixel():
    h = 5 * torch.randn(3, 6, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    log_s, bounded = log_scale(h, "volume_preserving"), log_scale(h, "bounded")
    assert log_s.sum(1).abs().max() < 1e-14 and log_s.abs().max() > 0.5
    difference = bounded - log_s  # one number a pixel
    torch.testing.assert_close(difference, difference[:, :1].expand_as(difference))
    torch.testing.assert_close(bounded.exp(), 2 ** torch.tanh(h / math.log(2)))


def test_a_volume_preserving_flow_has_the_weights_of_a_bounded_one():
    ours, theirs = (Glow(SIZE, 3, 2, (6, 5), scale).state_dict() for scale in ("volume_preserving", "bounded"))
    assert [(k, v.shape) for k, v in ours.items()] == [(k, v.shape) for k, v in theirs.items()]


def test_a_new_coupling_is_the_identity_and_a_step_passes_its_first_half():
    a, b = torch.randn(1, 3, 4, 4), torch.randn(1, 3, 4, 4)
    assert torch.equal(Coupling(6, 5, "bounded")(a, b)[0], b)
    assert CouplingNet(3, 6, 5)(a).abs().max() == 0
    step = FlowStep(torch.randperm(6), 5, "bounded")
    step.coupling.net[-1].bias.data.fill_(0.5)
    x = torch.randn(1, 6, 4, 4)
    expected, _ = step.mix(x)
    y, logdet = step(x)
    torch.testing.assert_close(y[:, :3], expected[:, :3])
    assert not torch.allclose(y[:, 3:], expected[:, 3:]) and logdet.abs() > 1


# What follows from the weights is never kept: values and derivatives are right whatever happens to a flow.


def assert_same_flow(model, fresh, x):
    """Same z, log|det|, D(z), and the same gradients in x and z, to rounding."""

    def values(m):
        u = x.to(next(m.parameters())).requires_grad_()
        z, logdet = m.encode_with_logdet(u)
        v = z.detach().requires_grad_()
        back = m.decode(v)
        total = (z.sin().sum() + logdet.sum()) + back.square().sum()
        return [t.detach() for t in (z, logdet, back, *torch.autograd.grad(total, (u, v)))]

    for ours, theirs in zip(values(model), values(fresh), strict=True):
        assert ours.dtype == theirs.dtype
        assert (ours - theirs).norm() <= (1e-10 if ours.dtype == torch.float64 else 1e-4) * (1 + theirs.norm())


def fresh_copy(model):
    """A flow that has never been used, with the weights of another one."""
    parameter = next(model.parameters())
    fresh = Glow(**model.config).to(parameter)
    fresh.load_state_dict(model.state_dict())
    return fresh


def load_other_weights(model):
    model.load_state_dict(randomize(flow(model.config["scale"]), seed=9).state_dict())


def step_of_adam(model):
    optimizer = torch.optim.Adam(model.requires_grad_(True).train().parameters(), 1e-2)
    model.bits_per_dim(images(2).to(next(model.parameters()))).mean().backward()
    optimizer.step()


def new_values_by_data(model):
    for p in model.parameters():
        p.data.mul_(1.01)


def load_into_float32(model):
    model.float()
    load_other_weights(model)


CHANGES = {
    "load_state_dict": load_other_weights,
    "load_state_dict, and another dtype": load_into_float32,
    "float": lambda model: model.float(),
    "float, double": lambda model: model.float().double(),
    "an optimizer": step_of_adam,
    "an optimizer, frozen again": lambda model: (step_of_adam(model), model.freeze()),
    "values written to .data": new_values_by_data,
    "unfrozen": lambda model: model.requires_grad_(True).train(),
    "initialized again": lambda model: model.initialize(images(4) ** 2),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_frozen_flow_follows_its_weights(change):
    model, x = flow().freeze(), images(2)
    model.decode(model.encode(x))
    CHANGES[change](model)
    assert_same_flow(model, fresh_copy(model), x)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_of_a_frozen_flow_go_their_own_way(copied):
    model, x = flow().freeze(), images(2)
    model.decode(model.encode(x))
    other, before = copied(model), model.encode(x)
    assert_same_flow(other, model, x)
    new_values_by_data(other)
    assert_same_flow(other, fresh_copy(other), x)
    assert torch.equal(model.encode(x), before)


def test_an_unfrozen_flow_trains_all_its_weights():
    model = flow().freeze()
    model.decode(model.encode(images(2)))
    model.requires_grad_(True).train().bits_per_dim(images(2)).mean().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())


def test_what_was_run_in_inference_mode_serves_autograd(model):
    x = images(2)
    model.freeze()
    with torch.inference_mode():
        model.decode(model.encode(x))
    assert_same_flow(model, fresh_copy(model), x)


def test_another_number_of_threads_changes_no_value():
    model, x, count = flow().freeze(), images(2), torch.get_num_threads()
    z = model.encode(x)
    torch.set_num_threads(1 if count > 1 else 2)
    try:
        torch.testing.assert_close(model.encode(x), z, rtol=1e-12, atol=1e-12)
    finally:
        torch.set_num_threads(count)


@pytest.mark.parametrize("precision", [None, torch.bfloat16])
@pytest.mark.parametrize("frozen", [False, True])
def test_autocast_around_a_flow_changes_nothing(frozen, precision):
    model = flow().float().mixed_precision(precision)
    model, x = model.freeze() if frozen else model, images(2).float().requires_grad_()
    z, logdet = model.encode_with_logdet(x)
    (gradient,) = torch.autograd.grad(z.sin().sum() + logdet.sum(), x)
    with torch.autocast("cpu", torch.bfloat16):
        found, found_logdet = model.encode_with_logdet(x)
        assert torch.equal(found, z) and torch.equal(found_logdet, logdet)
        assert torch.equal(torch.autograd.grad(found.sin().sum() + found_logdet.sum(), x)[0], gradient)
        assert (model.decode(found) - x).abs().max() < 1e-4
        assert torch.equal(model.log_prob(x), logdet - 0.5 * (z.square().sum(1) + model.dim * math.log(2 * math.pi)))
        assert Glow(SIZE, 3, 1, (4,)).initialize(x.detach()).encode(x).dtype == torch.float32


# A smooth function of x through E and log|det J_E|, and one of z through D: derivatives by every way that torch offers.


def in_x(model, x):
    z, logdet = model.encode_with_logdet(x)
    return z.sin().sum() + logdet.sum()


def in_z(model, z):
    return model.decode(z).sin().sum()


@pytest.fixture(params=[in_x, in_z])
def smooth(request, model):
    """(function of one point [1, …], point, direction) of a frozen flow."""
    model, x = model.freeze(), images(1)
    at = x if request.param is in_x else model.encode(x)
    v = torch.randn(at.shape, generator=torch.Generator().manual_seed(4), dtype=at.dtype)
    return lambda u: request.param(model, u), at, v


def test_first_derivatives_agree_in_every_mode(smooth):
    f, x, v = smooth
    step = 1e-6
    slope = (f(x + step * v) - f(x - step * v)).detach() / (2 * step)
    u = x.clone().requires_grad_()
    gradient = torch.autograd.grad(f(u), u)[0]
    with forward_ad.dual_level():
        dual = forward_ad.unpack_dual(f(forward_ad.make_dual(x, v))).tangent
    found = {
        "reverse": (gradient * v).sum(),
        "dual": dual,
        "func.grad": (torch.func.grad(f)(x) * v).sum(),
        "func.jvp": torch.func.jvp(f, (x,), (v,))[1],
        "vmap": (torch.func.vmap(torch.func.grad(f))(x[None].expand(2, *x.shape))[1] * v).sum(),
    }
    for name, value in found.items():
        assert abs(value - slope) <= 1e-6 * (1 + abs(slope)), name


def test_second_derivatives_agree_in_every_mode(smooth):
    f, x, v = smooth
    right = torch.func.jvp(torch.func.grad(f), (x,), (v,))[1].detach()
    u = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(f(u), u, create_graph=True)
    found = {"reverse twice": torch.autograd.grad((gradient * v).sum(), u)[0], "hvp": hvp(f, x, v)[1]}
    assert right.norm() > 0.01
    for name, value in found.items():
        assert (value - right).norm() <= 1e-8 * right.norm(), name


@pytest.mark.parametrize("direction", ["encode", "decode"])
def test_jacobians_agree_in_every_mode(model, direction):
    model, x = model.freeze(), images(1)
    f, at = (model.encode, x) if direction == "encode" else (model.decode, model.encode(x))
    right = jacobian(f, at)
    for found in (jacobian(f, at, vectorize=True), torch.func.jacrev(f)(at), torch.func.jacfwd(f)(at)):
        torch.testing.assert_close(found, right, rtol=1e-8, atol=1e-8)


def test_the_weights_have_second_derivatives_too():
    model, x = flow(), images(1)
    model.forward = model.log_prob
    weights = {name: p.detach() for name, p in model.named_parameters()}
    generator = torch.Generator().manual_seed(0)
    directions = {k: torch.randn(p.shape, generator=generator, dtype=p.dtype) for k, p in weights.items()}

    def loss(named):
        return torch.func.functional_call(model, named, (x,)).sum()

    right = torch.func.jvp(torch.func.grad(loss), (weights,), (directions,))[1]
    leaves = {k: p.requires_grad_() for k, p in weights.items()}
    gradients = torch.autograd.grad(loss(leaves), leaves.values(), create_graph=True)
    slope = sum((g * d).sum() for g, d in zip(gradients, directions.values(), strict=True))
    for found, expected in zip(torch.autograd.grad(slope, leaves.values()), right.values(), strict=True):
        assert expected.norm() > 0 and (found - expected).norm() <= 1e-8 * expected.norm()


class Encoder(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        z, logdet = self.model.encode_with_logdet(x)
        return z, logdet, self.model.decode(z)


def traced(model, x):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of sizes that become constants
        return torch.jit.trace(Encoder(model), x, check_trace=False)


def exported(model, x):
    """`Encoder(model)` as torch.export records it; strict=False became the default after 2.4."""
    return torch.export.export(Encoder(model), (x,), strict=False).module()


@pytest.mark.parametrize("record", [traced, exported])
def test_a_recorded_flow_is_the_flow(record, model):
    model, x, other = model.freeze(), images(2), images(2, seed=5)
    recorded = record(model, x)
    for ours, theirs in zip(recorded(other), Encoder(model)(other), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_the_stored_flow_inverts_images_in_float32_and_far_latents_in_float64():
    """What `decode` says of its precision: images, latents like those of N(0, I), and latents far out."""
    model, x = load_model("glow"), torch.cat([face(), *(photograph(name) for name in ("astronaut", "coffee"))])
    draws = torch.randn(4, model.dim, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert (model.decode(model.encode(x)) - x).abs().max() < 1e-4
        assert (model.encode(model.decode(draws)) - draws).abs().max() < 1e-2
        model.double()
        for times in (1, 2, 3):
            z = times * draws.double()
            assert (model.encode(model.decode(z)) - z).abs().max() < 1e-6


def test_a_size_that_cannot_be_halved_is_named():
    with pytest.raises(ValueError, match="size: expected a multiple of 16 for 4 levels, got 20"):
        Glow(size=20)
