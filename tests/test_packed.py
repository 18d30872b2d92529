"""Packed convolutions of a frozen flow against PyTorch's own, values and gradients, in float32."""

import copy

import pytest
import torch
from torch import nn

from course_lib.models import packed
from course_lib.models.flow_layers import CouplingNet, in_sequence, inverse_in_sequence
from course_lib.models.glow import SCALES, Glow
from course_lib.models.packed import PackedNet, available

pytestmark = pytest.mark.skipif(not available(), reason="no oneDNN on an x86 CPU")


def net(inputs=6, outputs=12, width=32, seed=0):
    """A coupling network with no weight left at zero."""
    generator, made = torch.Generator().manual_seed(seed), CouplingNet(inputs, outputs, width)
    for p in made.parameters():
        p.data = 0.2 * torch.randn(p.shape, generator=generator)
    return made.requires_grad_(False)


def frozen(made):
    made.freeze()
    return made


def images(shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def value_and_gradient(network, x):
    x = x.clone().requires_grad_()
    y = network(x)
    weights = torch.linspace(-1, 1, y.numel()).reshape(y.shape)
    return y.detach(), torch.autograd.grad((weights * y).sum(), x)[0]


def assert_close(found, expected):
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.shape == theirs.shape
        assert (ours - theirs).norm() <= 1e-5 * theirs.norm()


@pytest.mark.parametrize("shape", [(1, 6, 8, 8), (3, 6, 5, 7), (2, 6, 1, 1)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_values_and_gradients_are_those_of_the_layers(shape, layout):
    made, x = net(), images(shape).to(memory_format=layout)
    assert_close(value_and_gradient(frozen(copy.deepcopy(made)), x), value_and_gradient(made, x))


def test_any_number_of_layers_with_odd_kernels():
    layers = [nn.Conv2d(3, 8, 5, padding=2), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 2, 1)]
    plain = nn.Sequential(*(m for layer in layers for m in (layer, nn.ReLU())))[:-1].requires_grad_(False)
    x = images((2, 3, 9, 6))
    assert_close(value_and_gradient(PackedNet(layers, x.shape), x), value_and_gradient(plain, x))


def test_images_of_several_shapes_by_turns():
    made = net()
    other = frozen(copy.deepcopy(made))
    for size in (8, 4, 8, 2, 4):
        x = images((2, 6, size, size))
        assert_close(value_and_gradient(other, x), value_and_gradient(made, x))
        assert 1 <= len(other.packed) <= 2


def test_packed_where_weights_are_constant_only():
    made, x = frozen(net()), images((2, 6, 4, 4))
    made.requires_grad_()
    made(x).sum().backward()
    assert not made.packed and made[0].weight.grad is not None
    made.requires_grad_(False)(x)
    assert made.packed


def test_another_precision_and_back():
    made, x = frozen(net()), images((2, 6, 4, 4))
    expected = made(x)
    assert made.double()(x.double()).dtype == torch.float64 and not made.packed
    with torch.no_grad():
        made.float()[0].weight.mul_(2)
    assert (made(x) - expected).norm() > 0.1 * expected.norm()


def test_a_copy_packs_for_itself():
    made, x = frozen(net()), images((2, 6, 4, 4))
    expected = made(x)
    other = copy.deepcopy(made)
    assert other.packed == {} and torch.equal(other(x), expected)


def test_packed_in_inference_mode_serves_autograd():
    made, x = net(), images((2, 6, 4, 4))
    other = frozen(copy.deepcopy(made))
    with torch.inference_mode():
        other(x)
    assert_close(value_and_gradient(other, x), value_and_gradient(made, x))


def flow(scale="bounded", seed=2):
    """A small flow with no weight left at zero, in two versions: as it is trained, and frozen."""
    generator = torch.Generator().manual_seed(seed)
    model = Glow(16, 3, 3, (16, 16), scale).initialize(torch.rand(8, 3, 16, 16, generator=generator))
    for p in model.parameters():
        p.data += 0.05 * torch.randn(p.shape, generator=generator)
    return model.requires_grad_(False), copy.deepcopy(model).freeze()


def latent(model, x):
    return model.encode(x)


def logdet(model, x):
    return model.encode_with_logdet(x)[1]


def both(model, x):
    """z and log|det| together, for a gradient of both at once."""
    z, logdet = model.encode_with_logdet(x)
    return torch.cat([z, 10 * logdet[:, None]], 1)


def decoded(model, x):
    return model.decode(x.flatten(1))


@pytest.mark.parametrize(
    "function, scale",
    # log|det| of an additive flow is constant: it has no gradient.
    [(f, s) for f in (latent, logdet, both, decoded) for s in SCALES if (f, s) != (logdet, "additive")],
)
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_frozen_flow_is_the_flow(function, scale, count, layout):
    (model, other), x = flow(scale), images((count, 3, 16, 16)).to(memory_format=layout)
    before = x.clone()
    assert_close(
        value_and_gradient(lambda v: function(other, v), x), value_and_gradient(lambda v: function(model, v), x)
    )
    assert torch.equal(x, before)
    assert all(module.packed for module in other.modules() if isinstance(module, CouplingNet))


@pytest.mark.parametrize("function", [both, decoded])
def test_a_frozen_flow_without_gradient(function):
    (model, other), x = flow(), images((2, 3, 16, 16))
    with torch.no_grad():
        assert_close([function(other, x)], [function(model, x)])
        assert_close([function(other, x.requires_grad_())], [function(model, x)])
    assert not function(other, x.detach()).requires_grad


@pytest.mark.parametrize("run", [lambda steps, h: in_sequence(steps, h, 0)[0], inverse_in_sequence])
@pytest.mark.parametrize("grad", [True, False])
def test_activations_are_kept_for_a_gradient_only(run, grad, monkeypatch):
    (_, other), kept, context = flow(), [], torch.autograd.function.FunctionCtx
    save = context.save_for_backward
    monkeypatch.setattr(
        context, "save_for_backward", lambda self, *tensors: kept.extend(tensors) or save(self, *tensors)
    )
    with torch.set_grad_enabled(grad):
        run(other.levels[0], images((2, 12, 8, 8)).requires_grad_())
    assert len(kept) == (3 * 5 if grad else 0)  # v, s, y (or 1 / s, y / s), and two hidden layers, of three steps


def test_two_gradients_through_one_graph():
    """The activations that are kept survive the first gradient, unchanged."""
    (_, other), x = flow(), images((2, 3, 16, 16)).requires_grad_()
    z, logdet = other.encode_with_logdet(x)
    loss = z.square().sum() - logdet.sum()
    (first,) = torch.autograd.grad(loss, x, retain_graph=True)
    (second,) = torch.autograd.grad(loss, x)
    assert torch.equal(first, second)


@pytest.mark.parametrize("direction", ["encode", "decode"])
def test_torch_func_sees_the_jacobian_of_a_frozen_flow(direction):
    """⟨u, J v⟩ = ⟨Jᵀ u, v⟩, by jvp and vjp."""
    generator = torch.Generator().manual_seed(0)
    model = Glow(size=8, steps=2, widths=(8, 8)).initialize(torch.rand(8, 3, 8, 8, generator=generator))
    for p in model.parameters():
        p.data += 0.05 * torch.randn(p.shape, generator=generator)
    model.freeze()
    x = torch.rand(1, 3, 8, 8, generator=generator)
    function, at = (lambda x: model.encode(x), x) if direction == "encode" else (model.decode, model.encode(x))
    v = torch.randn(at.shape, generator=generator)
    value, Jv = torch.func.jvp(function, (at,), (v,))
    u = torch.randn(value.shape, generator=generator)
    (JTu,) = torch.func.vjp(function, at)[1](u)
    torch.testing.assert_close((u * Jv).sum(), (JTu * v).sum(), rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(value, function(at))


def test_the_question_draws_no_random_numbers():
    available.cache_clear()
    state = torch.get_rng_state()
    assert available() and torch.equal(torch.get_rng_state(), state)


def test_operators_of_another_version_are_left_alone(monkeypatch):
    monkeypatch.setattr(packed, "convolve", lambda x, *_: x)
    available.cache_clear()
    assert not available()
    monkeypatch.undo()
    available.cache_clear()
    assert available()
