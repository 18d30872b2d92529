"""RealNVP on points: the laws of a bijection and of a density, in float64 with random weights; mixtures."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd.functional import jacobian

from course_lib.models.flow2d import SCALES, Mixture, PointCoupling, RealNVP, blobs, ring, spiral, two_moons
from course_lib.models.flow_layers import PRESERVING

DENSITIES = {"two_moons": two_moons(), "ring": ring(), "spiral": spiral(), "blobs": blobs(), "eight": ring(2, 0.3, 8)}


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def points(count, dim=2, seed=1):
    return 1.5 * torch.randn(count, dim, generator=seeded(seed), dtype=torch.float64)


def flow(scale="bounded", dim=2, couplings=5, width=7, seed=2, spread=0.5):
    """A flow in float64 with weights that are all random."""
    model, generator = RealNVP(dim, couplings, width, scale).double(), seeded(seed)
    for p in model.parameters():
        p.data = spread * torch.randn(p.shape, generator=generator, dtype=p.dtype)
    return model


def grid(low, high, count):
    """Points [count², 2] of a grid in float64, and the area of a cell."""
    line = torch.linspace(low, high, count, dtype=torch.float64)
    return torch.cartesian_prod(line, line), ((high - low) / (count - 1)) ** 2


def moments(density, low=-14, high=14, count=351):
    """Mass, mean [2] and covariance [2, 2] of a density, by a sum over a grid."""
    x, area = grid(low, high, count)
    with torch.no_grad():
        p = (density.log_prob(x).exp() * area)[:, None]
    mean = (p * x).sum(0)
    return p.sum(), mean, (p * (x - mean)).T @ (x - mean)


PLANE = ("bounded", "additive")
"""The scales of a flow of the plane."""

KINDS = st.one_of(
    st.tuples(st.sampled_from(PLANE), st.integers(2, 5)), st.tuples(st.sampled_from(SCALES), st.integers(4, 6))
)
"""(scale, dimension)."""


@pytest.fixture(params=PLANE)
def model(request):
    return flow(request.param)


@settings(deadline=None, max_examples=40)
@given(
    kind=KINDS,
    couplings=st.integers(1, 6),
    seed=st.integers(0, 1000),
    size=st.floats(0.01, 10),
)
def test_decode_inverts_encode_and_encode_decode(kind, couplings, seed, size):
    model, x = flow(*kind, couplings, seed=seed), size * points(3, kind[1], seed)
    assert (model.decode(model.encode(x)) - x).norm() < 1e-10 * (1 + x.norm())
    assert (model.encode(model.decode(x)) - x).norm() < 1e-10 * (1 + x.norm())


@settings(deadline=None, max_examples=40)
@given(kind=KINDS, couplings=st.integers(1, 6), seed=st.integers(0, 1000))
def test_log_determinant_is_that_of_the_jacobian(kind, couplings, seed):
    model, x = flow(*kind, couplings, seed=seed), points(1, kind[1], seed)
    J = jacobian(lambda v: model.encode(v[None])[0], x[0])
    assert (model.encode_with_logdet(x)[1] - torch.linalg.slogdet(J)[1]).abs().max() < 1e-8


def test_a_coupling_copies_one_half_and_is_triangular():
    for swap, dim in ((False, 2), (True, 2), (False, 5), (True, 5)):
        coupling = PointCoupling(dim, 7, swap, "bounded").double()
        coupling.net[-1].weight.data.normal_()
        x = points(4, dim)
        a = slice(dim // 2, dim) if swap else slice(0, dim // 2)
        y, _ = coupling(x)
        torch.testing.assert_close(y[:, a], x[:, a], rtol=0, atol=0)
        assert (y - x).abs().sum(0).count_nonzero() == dim - len(range(dim)[a])
        J = jacobian(lambda v, f=coupling: f(v[None])[0][0], x[0])
        assert torch.equal(J, J.triu() if swap else J.tril())


def test_neighbouring_couplings_swap_their_halves():
    moved = [(coupling(points(2))[0] - points(2)).abs().sum(0) > 0 for coupling in flow().couplings]
    assert [m.tolist() for m in moved] == [[False, True], [True, False]] * 2 + [[False, True]]


def test_it_starts_as_the_identity():
    x = torch.randn(4, 5)
    for scale in SCALES:
        model = RealNVP(5, 4, 8, scale)
        assert torch.equal(model.encode(x), x) and not model.encode_with_logdet(x)[1].any()
        normal = torch.distributions.Normal(0.0, 1.0).log_prob(x).sum(1)
        torch.testing.assert_close(model.log_prob(x), normal)


@pytest.mark.parametrize("scale", SCALES)
def test_the_log_determinant_depends_on_the_point_unless_the_scale_preserves_volume(scale):
    logdet = flow(scale, dim=4).encode_with_logdet(points(8, 4))[1]
    assert (logdet == 0).all() if scale in PRESERVING else logdet.std() > 0.1


def test_a_volume_preserving_coupling_scales_its_coordinates_differently():
    coupling, x = PointCoupling(5, 7, False, "volume_preserving").double(), points(4, 5)
    coupling.net[-1].weight.data.normal_()
    log_s = coupling.parameters_of(x[:, :2])[1]
    assert log_s.sum(1).abs().max() < 1e-14 and log_s.abs().max() > 0.1
    y = coupling(x)[0]
    torch.testing.assert_close(y[:, 2:], log_s.exp() * (x[:, 2:] + coupling.parameters_of(x[:, :2])[0]))


@pytest.mark.parametrize("scale", SCALES)
def test_autocast_around_a_flow_changes_nothing(scale):
    model, x = flow(scale, dim=4).float(), points(3, 4).float()
    z, logdet = model.encode_with_logdet(x)
    with torch.autocast("cpu", torch.bfloat16):
        found = model.encode_with_logdet(x)
        assert torch.equal(found[0], z) and torch.equal(found[1], logdet)
        assert (model.decode(z) - x).norm() < 1e-4 * x.norm()


@pytest.mark.parametrize("scale", SCALES)
def test_second_derivatives_agree_in_every_mode(scale):
    model, x, v = flow(scale, dim=4), points(1, 4), points(1, 4, seed=3)
    f = lambda u: model.log_prob(u).sum()  # noqa: E731
    right = torch.func.jvp(torch.func.grad(f), (x,), (v,))[1].detach()
    assert right.norm() > 0.01
    torch.testing.assert_close(torch.autograd.functional.hvp(f, x, v)[1], right)


def test_the_scale_of_a_coupling_stays_between_a_half_and_two():
    coupling = PointCoupling(2, 7, False, "bounded").double()
    coupling.net[-1].weight.data.copy_(torch.tensor([[0.0], [60.0]]).expand(2, 7))
    coupling.net[-2].register_forward_hook(lambda net, inputs, h: h - h.mean())
    logdet = coupling(points(200))[1]
    assert logdet.abs().max() <= math.log(2) + 1e-12 and logdet.max() > 0.69 and logdet.min() < -0.69


def test_log_prob_is_the_change_of_variables(model):
    x = points(1)
    J = jacobian(lambda v: model.encode(v[None])[0], x[0])
    normal = torch.distributions.Normal(0.0, 1.0).log_prob(model.encode(x)).sum(1)
    torch.testing.assert_close(model.log_prob(x), normal + torch.linalg.slogdet(J)[1], rtol=1e-10, atol=1e-8)


def test_the_density_integrates_to_one(model):
    assert abs(moments(model)[0] - 1) < 1e-3


def test_samples_follow_the_density(model):
    _, mean, covariance = moments(model)
    with torch.no_grad():
        drawn = model.sample(40_000, generator=seeded(3))
    error = (drawn.var(0) / len(drawn)).sqrt()
    assert ((drawn.mean(0) - mean).abs() < 4 * error).all()
    torch.testing.assert_close(drawn.T.cov(), covariance, rtol=0.05, atol=0.05)


def test_samples_follow_their_generator_and_temperature(model):
    before = torch.get_rng_state()
    first, second, other = (model.sample(5, 0.8, seeded(s)) for s in (5, 5, 6))
    assert first.shape == (5, 2) and first.dtype == torch.float64
    assert torch.equal(first, second) and not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)
    torch.testing.assert_close(model.sample(2, 0.0), model.decode(torch.zeros(2, 2, dtype=torch.float64)))
    epsilon = torch.randn(5, 2, generator=seeded(5), dtype=torch.float64)
    torch.testing.assert_close(model.encode(first), 0.8 * epsilon)


def test_points_of_a_batch_do_not_influence_one_another(model):
    x = points(3)
    z, logdet = model.encode_with_logdet(x)
    torch.testing.assert_close(model.encode_with_logdet(x[1:2]), (z[1:2], logdet[1:2]), rtol=1e-12, atol=1e-12)
    x[0] = math.nan
    assert model.encode(x)[1:].isfinite().all()


def test_gradients_reach_all_parameters(model):
    for loss in (model.log_prob(points(16)).mean(), model.sample(16, generator=seeded(0)).square().mean()):
        model.zero_grad()
        loss.backward()
        for name, p in model.named_parameters():
            assert p.grad is not None and p.grad.isfinite().all(), name
            assert p.grad.abs().max() > 0, name


def test_a_new_flow_learns():
    torch.manual_seed(0)
    model, truth, generator = RealNVP(couplings=4, width=16), two_moons(0.2), seeded(0)
    optimizer, losses = torch.optim.Adam(model.parameters(), 1e-2), []
    for _ in range(40):
        loss = -model.log_prob(truth.sample(128, generator)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) / 5 < losses[0] - 0.3


def test_a_state_dict_carries_the_model(model):
    other = RealNVP(**model.config).double()
    other.load_state_dict(model.state_dict())
    torch.testing.assert_close(other.encode_with_logdet(points(3)), model.encode_with_logdet(points(3)), rtol=0, atol=0)


def test_float32_on_each_device_follows_float64(model, device):
    x = points(4)
    z, logdet = model.encode_with_logdet(x)
    model.float().to(device)
    ours = model.encode_with_logdet(x.float().to(device))
    assert ours[0].device.type == device
    torch.testing.assert_close(ours[0].cpu().double(), z, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(ours[1].cpu().double(), logdet, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", DENSITIES)
def test_a_mixture_integrates_to_one_and_its_samples_follow_it(name):
    mass, mean, covariance = moments(DENSITIES[name], -7, 7, 141)
    assert abs(mass - 1) < 1e-3
    drawn = DENSITIES[name].sample(40_000, seeded(4))
    assert drawn.dtype == torch.float32
    assert ((drawn.mean(0) - mean).abs() < 4 * (drawn.var(0) / len(drawn)).sqrt()).all()
    torch.testing.assert_close(drawn.T.double().cov(), covariance, rtol=0.03, atol=0.03)


@settings(deadline=None, max_examples=25)
@given(count=st.integers(1, 6), dim=st.integers(1, 4), seed=st.integers(0, 1000), sigma=st.floats(0.05, 3))
def test_a_mixture_is_that_of_torch_distributions(count, dim, seed, sigma):
    means, x = points(count, dim, seed), points(5, dim, seed + 1)
    each = torch.distributions.Independent(torch.distributions.Normal(means, sigma), 1)
    law = torch.distributions.MixtureSameFamily(torch.distributions.Categorical(torch.ones(count).double()), each)
    torch.testing.assert_close(Mixture(means, sigma).log_prob(x), law.log_prob(x), rtol=1e-9, atol=1e-9)


def test_a_mixture_of_one_has_the_entropy_of_a_gaussian():
    truth = Mixture(torch.zeros(1, 2, dtype=torch.float64), 0.4)
    drawn = truth.sample(40_000, seeded(0))
    assert abs(-truth.log_prob(drawn).mean() - math.log(2 * math.pi * math.e * 0.16)) < 0.02


def test_samples_of_a_mixture_follow_their_generator():
    before = torch.get_rng_state()
    first, second, other = (two_moons().sample(6, seeded(s)) for s in (5, 5, 6))
    assert torch.equal(first, second) and not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_means_lie_on_their_curves():
    upper, lower = two_moons().means.chunk(2)
    torch.testing.assert_close(upper.norm(dim=1), torch.ones(100))
    torch.testing.assert_close((lower - torch.tensor([1.0, 0.5])).norm(dim=1), torch.ones(100))
    assert (upper[:, 1] > 0).all() and (lower[:, 1] < 0.5).all()
    torch.testing.assert_close(ring(2.0, 0.3, 8).means.norm(dim=1), torch.full((8,), 2.0))
    assert ring(2.0, 0.3, 8).means.mean(0).abs().max() < 1e-6
    steps = (spiral().means[1:] - spiral().means[:-1]).norm(dim=1)[20:]
    assert steps.max() < 1.1 * steps.min() and 1.9 < spiral().means.norm(dim=1).max() < 2
    torch.testing.assert_close(blobs(6.0).means, torch.tensor([[-3.0, 0.0], [3.0, 0.0]]))


@pytest.mark.parametrize("dim", [2, 3])
def test_in_few_dimensions_a_volume_preserving_scale_would_be_one(dim):
    with pytest.raises(ValueError, match=f"dim: expected at least 4 with a volume-preserving .*additive.* got {dim}"):
        RealNVP(dim, scale="volume_preserving")
