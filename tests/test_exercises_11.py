"""The checks of notebook 11 tell right from blank from typical wrong answers, and name the mistake."""

import math

import torch

from course_lib.lab.exercises.normalizing_flows import couple, uncouple
from course_lib.models.flow2d import RealNVP

LOG_ROOT = 0.5 * math.log(2 * math.pi)


def density(slope=lambda x, s: -math.log(s) - (x * (1 - x)).log(), half=0.5, constant=LOG_ROOT):
    def answer(x, m, s):
        z = ((x / (1 - x)).log() - m) / s
        return -half * z**2 - constant + slope(x, s)

    return answer


def chain(total=lambda each: sum(each), at=None, z=None):
    def answer(layers, x):
        start, each = x, []
        for layer in layers:
            each.append(layer(start if at == "x" else x)[1])
            x = layer(x)[0]
        return (x if z is None else start), total(each)

    return answer


def undo(z, first, second):
    return uncouple(uncouple(z, second, True), first)


def undo_shift_first(z, first, second):
    t, log_s = second(z[:, 1:])
    x_1 = (z[:, :1] - t) / log_s.exp()
    t, log_s = first(x_1)
    return torch.cat([x_1, (z[:, 1:] - t) / log_s.exp()], 1)


class Doubled(RealNVP):
    """A flow that says of its log-determinant more than is true."""

    def encode_with_logdet(self, x):
        z, logdet = super().encode_with_logdet(x)
        return z, logdet + 1


class Halved(RealNVP):
    """A flow whose decoder is not the inverse of its encoder."""

    def decode(self, z):
        return super().decode(z) / 2


def fitted(x, steps=150):
    flow = RealNVP(couplings=6, width=32)
    optimizer = torch.optim.Adam(flow.parameters(), 1e-2)
    for _ in range(steps):
        batch = x[torch.randint(len(x), (128,))]
        loss = -flow.log_prob(batch + 0.1 * torch.randn_like(batch)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return flow


CASES = {
    "check_transformed_density": (
        density(),
        [
            (density(lambda x, s: 0 * x), "alone"),
            (density(lambda x, s: -(x * (1 - x)).log()), "divides by s, so"),
            (density(lambda x, s: -math.log(s)), "that of log"),
            (density(lambda x, s: math.log(s) + (x * (1 - x)).log()), "the sign: add"),
            (density(lambda x, s: math.log(s) - (x * (1 - x)).log()), "sign of log s"),
            (lambda x, m, s: density()(x, m, s).exp(), "its logarithm"),
            (density(constant=0), "constant"),
            (density(half=1), "has a ½"),
            (density(lambda x, s: x), "z = (log"),
            (lambda x, m, s: density()(x, m, s).sum(), "shape [9]"),
            (lambda x, m, s: math.nan * x, "NaN"),
        ],
    ),
    "check_decode_two": (
        undo,
        [
            (lambda z, f, g: uncouple(uncouple(z, f), g, True), "the order: undo"),
            (lambda z, f, g: couple(couple(z, f), g, True), "encoder once more"),
            (lambda z, f, g: couple(couple(z, g, True), f), "instead of undone"),
            (lambda z, f, g: uncouple(uncouple(z, g), f), "swapped halves"),
            (lambda z, f, g: uncouple(uncouple(z, g, True), f, True), "only the second one is"),
            (lambda z, f, g: uncouple(z, g, True), "only the second coupling"),
            (lambda z, f, g: uncouple(z, f), "only the first coupling"),
            (lambda z, f, g: undo(z, f, g).flip(1), "exchanged"),
            (undo_shift_first, "divide by s first"),
            (lambda z, f, g: torch.cat([undo(z, f, g)[:, :1], uncouple(z, f)[:, 1:]], 1), "wants x₁"),
            (lambda z, f, g: undo(z, f, f), "from the second network"),
            (lambda z, f, g: undo(z, f, g)[:, 0], "shape [5, 2]"),
        ],
    ),
    "check_chain_logdet": (
        chain(),
        [
            (chain(at="x"), "that the layer receives"),
            (chain(lambda each: math.prod(each)), "logarithms add"),
            (chain(lambda each: each[-1]), "last layer's alone"),
            (chain(lambda each: each[0]), "first layer's alone"),
            (chain(lambda each: sum(each) / 3), "not the mean"),
            (chain(lambda each: -sum(each)), "with a plus"),
            (chain(lambda each: sum(each).exp()), "itself"),
            (chain(lambda each: sum(each).sum()), "each point"),
            (chain(lambda each: sum(each).sum().item()), "each point"),
            (chain(lambda each: sum(each) + 1), "start at 0"),
            (chain(z="start"), "z: each layer"),
            (lambda layers, x: chain()(layers, x)[1], "a pair"),
        ],
    ),
    "check_bridge": (
        "lighter",
        [("gone", "border"), ("wider", "more sharply"), ("training", "discontinuous"), ("none", "choose one")],
    ),
    "check_bridge_constant": (
        1 / math.sqrt(2 * math.pi),
        [
            (math.sqrt(2 * math.pi), "g over that width"),
            (0.8, "twice or half"),
            (0.1995, "twice or half"),
            (1 / (2 * math.pi), "in the plane"),
            (1 / math.pi, "under a root"),
            (0.5, "one over N(0; 0, 1)"),
            ("0,4", "one number"),
        ],
    ),
    "check_few_points": (
        fitted,
        [
            (lambda x: RealNVP(), "1.1 nats: the first point is at 0.8"),
            (lambda x: x, "got Tensor"),
            (lambda x: Doubled(), "adds up to 2.7"),
            (lambda x: Halved(), "no bijection"),
            (lambda x: fitted(math.nan * x, 1), "no bijection"),
        ],
    ),
}


def test_uncouple_inverts_couple():
    x = torch.randn(6, 2, dtype=torch.float64)
    for swap in (False, True):
        y = couple(x, lambda a: (a**2, a.tanh()), swap)
        assert not torch.allclose(y, x)
        torch.testing.assert_close(uncouple(y, lambda a: (a**2, a.tanh()), swap), x)
