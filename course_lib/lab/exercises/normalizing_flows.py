"""Checks of notebook 11, normalizing flows."""

import math

import torch

from course_lib.lab.exercises import normal
from course_lib.lab.exercises.checking import call, chosen, compare, exercise, expect, number, open_exercise, several
from course_lib.models.flow2d import Mixture


@exercise
def check_transformed_density(answer):
    """Right: log N(E(x); 0, 1) plus the logarithms of the two slopes, 1/s and 1/(x (1 − x))."""
    x, m, s = torch.linspace(0.05, 0.9, 9, dtype=torch.float64), 0.3, 0.7
    z = ((x / (1 - x)).log() - m) / s
    normal, slope = -0.5 * z.square() - 0.5 * math.log(2 * math.pi), -math.log(s) - (x * (1 - x)).log()
    value = call(answer, x, m, s)
    wrong = {
        "that is log N(E(x); 0, 1) alone: the slope of E is missing.": normal,
        "one slope is missing: E divides by s, so log(1/s) counts too.": normal - (x * (1 - x)).log(),
        "one slope is missing: that of log(x / (1 − x)), which is 1/(x (1 − x)).": normal - math.log(s),
        "the sign: add log E′(x), the slope of the encoder.": normal - slope,
        "the sign of log s: E divides by s, its slope is 1/s.": normal + math.log(s) - (x * (1 - x)).log(),
        "that is p(x); return its logarithm.": (normal + slope).exp(),
        "the constant −½ log 2π of the normal density is missing.": normal + slope + 0.5 * math.log(2 * math.pi),
        "−½z²: the exponent of the normal density has a ½.": normal + slope - 0.5 * z.square(),
    }
    hint = "z = (log(x/(1 − x)) − m)/s; then log N(z; 0, 1) + log(1/s) + log(1/(x(1 − x)))."
    compare(value, normal + slope, wrong, hint)


def two_nets():
    """Networks (t, log s) of one number for two couplings of the plane, and points z [5, 2], in float64."""
    z = normal(5, 2)
    return lambda a: (torch.sin(2 * a), 0.6 * torch.tanh(a)), lambda a: (a.square(), 0.5 * torch.cos(a)), z


def couple(x, net, swap=False):
    """One coupling of the plane, x ↦ y; the first coordinate drives the second, or the other way round if `swap`."""
    a, b = x.flip(1).split(1, 1) if swap else x.split(1, 1)
    t, log_s = net(a)
    y = torch.cat([a, log_s.exp() * (b + t)], 1)
    return y.flip(1) if swap else y


def uncouple(y, net, swap=False):
    """The inverse of `couple`."""
    a, b = y.flip(1).split(1, 1) if swap else y.split(1, 1)
    t, log_s = net(a)
    x = torch.cat([a, (-log_s).exp() * b - t], 1)
    return x.flip(1) if swap else x


def shift_first(net):
    """The network with which `uncouple` computes x = (z − t)/s, as for z = s x + t."""

    def other(a):
        t, log_s = net(a)
        return (-log_s).exp() * t, log_s

    return other


@exercise
def check_decode_two(answer):
    """Right: the last coupling is undone first; each network sees the coordinate that its coupling copied."""
    first, second, z = two_nets()
    value = call(answer, z, first, second)
    wrong = {
        "the order: undo the second coupling first, then the first.": uncouple(uncouple(z, first), second, True),
        "that is the encoder once more: an inverse subtracts t and divides by s.": couple(
            couple(z, first), second, True
        ),
        "the order is right, but each coupling is applied again instead of undone.": couple(
            couple(z, second, True), first
        ),
        "the second coupling works with swapped halves: x₂ drives, x₁ is changed.": uncouple(
            uncouple(z, second), first
        ),
        "both couplings are swapped; only the second one is.": uncouple(uncouple(z, second, True), first, True),
        "only the second coupling is undone.": uncouple(z, second, True),
        "only the first coupling is undone.": uncouple(z, first),
        "the halves are exchanged at the end: x₁ comes first.": uncouple(uncouple(z, second, True), first).flip(1),
        "here z = s (x + t): divide by s first, then subtract t.": uncouple(
            uncouple(z, shift_first(second), True), shift_first(first)
        ),
        "x₂: its network wants x₁, which is known by then, not z₁.": torch.cat(
            [uncouple(z, second, True)[:, :1], uncouple(z, first)[:, 1:]], 1
        ),
    }
    hint = "x₁ = z₁/s₂(z₂) − t₂(z₂) from the second network, then x₂ = z₂/s₁(x₁) − t₁(x₁) from the first."
    compare(value, uncouple(uncouple(z, second, True), first), wrong, hint)


def three_layers():
    """Three layers x ↦ (y, log|det J|) of the plane and points x [4, 2], in float64."""

    def layer(net, swap):
        def forward(x):
            a = x[:, 1:] if swap else x[:, :1]
            return couple(x, net, swap), net(a)[1].sum(1)

        return forward

    first, second, x = two_nets()
    return [layer(first, False), layer(second, True), layer(second, False)], x[:4]


@exercise
def check_chain_logdet(answer):
    """Right: the log-determinants add up, each one taken where the layers before have carried x."""
    layers, x = three_layers()
    z, right, each, at_x = x, 0, [], 0
    for layer in layers:
        at_x = at_x + layer(x)[1]
        z, more = layer(z)
        each.append(more)
        right = right + more
    value = call(answer, layers, x)
    several(value, 2, "return a pair: (z, log|det J|).")
    compare(value[0], z, {}, "z: each layer gets what the layer before it returned.")
    wrong = {
        "one log-determinant for each point: do not sum over points.": right.sum(),
        "each layer's log-determinant belongs to the point that the layer receives, not to x.": at_x,
        "determinants multiply, so their logarithms add.": each[0] * each[1] * each[2],
        "that is the last layer's alone: add up all of them.": each[-1],
        "that is the first layer's alone: add up all of them.": each[0],
        "the sum, not the mean: no division by the number of layers.": right / 3,
        "the sign: the log-determinants of the encoder's layers count with a plus.": -right,
        "that is |det J| itself: keep its logarithm.": right.exp(),
    }
    compare(value[1], right, wrong, "start at 0; in a loop: x, more = layer(x); add more.")


@exercise
def check_bridge(answer):
    """Right: D is continuous, so the image of the plane stays in one piece: the bridge gets lighter, never empty."""
    hints = {
        "gone": "the z that go left and the z that go right fill the plane; where does D send the border between them?",
        "wider": "more couplings can bend more sharply. What would D need to cross the gap within a thin strip of z?",
        "training": "longer training changes the weights; is any choice of weights a discontinuous D?",
    }
    chosen(answer, "lighter", hints)


@exercise
def check_bridge_constant(answer):
    """Right: c = 1/√(2π) ≈ 0.40, the normal density at 0: there a strip of width w has the mass w/√(2π)."""
    value, density = number(answer), 1 / math.sqrt(2 * math.pi)
    wrong = {
        "√(2π) is the width of the strip for each unit of mass; L is at least g over that width.": 1 / density,
        "twice or half: the mass in the gap is ε, and a and b are each ½ − ε/2.": [2 * density, density / 2],
        "1/(2π) is the density at 0 in the plane; along the one axis that counts it is that of N(0, 1).": density**2,
        "the slope of Φ at 0 is a density with 2π under a root.": 1 / math.pi,
    }
    hint = "Φ⁻¹(½ + ε/2) − Φ⁻¹(½ − ε/2) ≈ ε times the slope of Φ⁻¹ at ½, and that slope is one over N(0; 0, 1)."
    compare(value, density, wrong, hint, tolerance=0.01)


def winding():
    """A winding line of Gaussians in the plane: the density of the open exercise."""
    t = torch.linspace(-1.4 * math.pi, 1.4 * math.pi, 150)
    line = torch.stack([0.9 * t.sin(), 0.8 * t.sign() * (1 - t.cos())], 1)
    return Mixture(line @ torch.tensor([[0.8, 0.6], [-0.6, 0.8]]), 0.15)


@open_exercise(0.8, 0.4, 0.2, unit=" nats")
def check_few_points(answer):
    """That is the KL divergence of your flow from the truth, on 20,000 new points."""
    truth, (drawn, fresh) = winding(), (torch.Generator().manual_seed(seed) for seed in (0, 1))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        flow = call(answer, truth.sample(300, drawn))
    methods = hasattr(flow, "encode_with_logdet") and hasattr(flow, "decode")
    expect(methods, f"return a flow, with encode_with_logdet and decode, as RealNVP is one; got {type(flow).__name__}.")

    def log_prob(x):
        z, logdet = flow.encode_with_logdet(x)
        return z, logdet - 0.5 * z.square().sum(1) - math.log(2 * math.pi)

    with torch.no_grad():
        x, side = truth.sample(20_000, fresh), torch.linspace(-5, 5, 301)
        z, log_p = log_prob(x)
        expect((flow.decode(z) - x).abs().max() < 0.05, "D(E(x)) is not x: that is no bijection.")
        mass = log_prob(torch.cartesian_prod(side, side))[1].exp().sum().item() * (side[1] - side[0]).item() ** 2
        expect(mass < 1.3, f"the density adds up to {mass:.2g}, not to 1: the log-determinant is not that of E.")
        return (truth.log_prob(x) - log_p).mean()
