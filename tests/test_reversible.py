"""The reversible mode of Glow against the normal one, in float64; and that it keeps no activation for a step."""

import copy

import pytest
import torch
from torch.autograd.functional import hvp, jacobian

from course_lib.models.flow_layers import SCALES
from course_lib.models.glow import Glow


def images(count, size=8, seed=1):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def flow(scale="bounded", steps=3):
    """A small flow with no weight left at zero."""
    model, generator = Glow(8, 3, steps, (6, 5), scale).double(), torch.Generator().manual_seed(2)
    model.initialize(images(8, seed=3))
    for p in model.parameters():
        p.data += 0.1 * torch.randn(p.shape, generator=generator, dtype=p.dtype)
    return model


def derivatives(model, x, only_logdet=False):
    """A loss on E(x) and log|det J_E(x)|, and its gradients in x and in every weight."""
    x = x.clone().requires_grad_()
    z, logdet = model.encode_with_logdet(x)
    loss = (logdet * torch.arange(1.0, 1 + len(x))).sum()
    if not only_logdet:
        loss = loss + (z.sin() * torch.linspace(1, 2, z.shape[1])).sum()
    inputs = [x, *(p for p in model.parameters() if p.requires_grad)]
    return [loss.detach(), *torch.autograd.grad(loss, inputs, materialize_grads=True)]


def assert_same(found, expected):
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours - theirs).norm() <= 1e-10 * theirs.norm() + 1e-12


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("only_logdet", [False, True])
def test_gradients_are_those_of_the_normal_mode(scale, only_logdet):
    model, x = flow(scale), images(3)
    other = copy.deepcopy(model).reversible()
    assert_same(derivatives(other, x, only_logdet), derivatives(model, x, only_logdet))


@pytest.mark.parametrize("constant", ["actnorm", "conv.", "coupling", ""])
def test_weights_that_are_held_constant_change_nothing_for_the_others(constant):
    model, x = flow(), images(2)
    for name, p in model.named_parameters():
        p.requires_grad_(constant not in name)
    assert_same(derivatives(copy.deepcopy(model).reversible(), x), derivatives(model, x))


def test_a_frozen_flow_has_the_same_gradient_in_the_image():
    model, x = flow().freeze(), images(2)
    expected = derivatives(model, x)
    assert_same(derivatives(model.reversible(), x), expected)


def test_the_graph_may_be_walked_twice():
    model, x = flow().reversible(), images(2).requires_grad_()
    z, logdet = model.encode_with_logdet(x)
    loss = z.square().sum() - logdet.sum()
    first = torch.autograd.grad(loss, x, retain_graph=True)
    assert_same(torch.autograd.grad(loss, x), first)


def test_second_derivatives_are_refused():
    model, x = flow().reversible(), images(1)
    with pytest.raises(RuntimeError, match=r"reversible: expected first derivatives.*call model.reversible\(False\)"):
        hvp(lambda u: model.log_prob(u).sum(), x, torch.ones_like(x))
    assert hvp(lambda u: model.reversible(False).log_prob(u).sum(), x, torch.ones_like(x))[1].abs().max() > 0


@pytest.mark.parametrize(
    "derive",
    [
        lambda f, x: torch.func.grad(f)(x),
        lambda f, x: torch.func.jvp(f, (x,), (x,)),
        lambda f, x: torch.func.vmap(f)(x[None]),
    ],
)
def test_what_its_steps_cannot_do_is_an_error(derive):
    model = flow().reversible()
    with pytest.raises(RuntimeError, match=r"vmap|functorch|autograd\.Function"):
        derive(lambda x: model.log_prob(x).sum(), images(1))


def test_jacobians_are_those_of_the_normal_mode():
    model, x = flow(), images(1)
    right = jacobian(model.encode, x)
    for vectorize in (False, True):
        torch.testing.assert_close(jacobian(model.reversible().encode, x, vectorize=vectorize), right)


def test_weights_that_have_changed_since_are_noticed():
    model, x = flow().reversible(), images(2)
    loss = model.bits_per_dim(x).mean()
    with torch.no_grad():
        model.levels[0][0].conv.L.mul_(1.01)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_autocast_around_it_changes_nothing():
    model, x = flow().float().reversible(), images(2).float()
    expected = derivatives(model, x)
    with torch.autocast("cpu", torch.bfloat16):
        found = derivatives(model, x)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_both_ways_are_inverse():
    model, x = flow().reversible(), images(2)
    assert (model.decode(model.encode(x)) - x).abs().max() < 1e-10


def saved_numbers(model, x):
    """How many numbers the graph of a loss keeps for its backward pass, weights left out."""
    weights, kept = {p.untyped_storage().data_ptr() for p in model.parameters()}, {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = model.bits_per_dim(x).mean()
    assert loss.requires_grad
    return sum(kept.values())


def test_what_the_graph_keeps_does_not_grow_with_depth():
    x, shallow, deep = images(2), flow(steps=2), flow(steps=8)
    assert saved_numbers(deep, x) > 3 * saved_numbers(shallow, x)
    assert saved_numbers(deep.reversible(), x) == saved_numbers(shallow.reversible(), x)


def test_mixed_precision_is_recomputed_as_it_was():
    model, x = flow().float().mixed_precision(torch.bfloat16), images(2).float()
    ours, theirs = derivatives(copy.deepcopy(model).reversible(), x), derivatives(model, x)
    for a, b in zip(ours, theirs, strict=True):
        assert (a - b).norm() <= 0.02 * b.norm() + 1e-4
