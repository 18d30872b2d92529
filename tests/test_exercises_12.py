"""The checks of notebook 12 tell right from blank from typical wrong answers, and name the mistake."""

import math

import torch

from course_lib.lab.exercises import glow as exercises

BITS = math.log2(255)


def undo(b_of, copied=lambda a: a):
    """An answer to the coupling exercise: x_b = b_of(y_b, t, s, net, a), beside x_a = copied(a)."""

    def answer(y, net):
        a, y_b = y.chunk(2, 1)
        t, log_s = net(a)
        return torch.cat([copied(a), b_of(y_b, t, log_s.exp(), net, a)], 1)

    return answer


def asks_y(y_b, t, s, net, a):
    t, log_s = net(y_b)
    return y_b / log_s.exp() - t


CASES = {
    "check_actnorm_logdet": (
        lambda log_s, h, w: h * w * log_s.sum(),
        [
            (lambda log_s, h, w: log_s.sum(), "every pixel"),
            (lambda log_s, h, w: h * w * log_s.exp().sum(), "log s_c"),
            (lambda log_s, h, w: h * w * log_s.exp().sum().log(), "logarithm first"),
            (lambda log_s, h, w: h * w * log_s.mean(), "do not average"),
            (lambda log_s, h, w: log_s.exp().prod() ** (h * w), "Keep its logarithm"),
            (lambda log_s, h, w: -h * w * log_s.sum(), "sign"),
            (lambda log_s, h, w: h * w * log_s, "one number"),
            (lambda log_s, h, w: (h + w) * log_s.sum(), "for this test"),
        ],
    ),
    "check_coupling_inverse": (
        undo(lambda y, t, s, net, a: y / s - t),
        [
            (undo(asks_y), "ask the network about a"),
            (undo(lambda y, t, s, net, a: (y - t) / s), "order"),
            (undo(lambda y, t, s, net, a: y * s - t), "divide by s"),
            (undo(lambda y, t, s, net, a: y / s + t), "sign of t"),
            (undo(lambda y, t, s, net, a: y / s.log() - t), "exponential"),
            (undo(lambda y, t, s, net, a: y - t), "only t"),
            (undo(lambda y, t, s, net, a: y / s), "only s"),
            (undo(lambda y, t, s, net, a: y / s - t, copied=lambda a: 2 * a), "copied"),
            (lambda y, net: y.chunk(2, 1)[1], "both halves"),
            (lambda y, net: y.flatten(), "shape"),
            (lambda y, net: net.inverse(y), "stopped with AttributeError"),
        ],
    ),
    "check_bits_per_dim": (
        lambda log_p, dim: -log_p / (dim * math.log(2)) + BITS,
        [
            (lambda log_p, dim: log_p / (dim * math.log(2)) + BITS, "sign"),
            (lambda log_p, dim: -log_p / dim + BITS, "nats"),
            (lambda log_p, dim: (-log_p / dim) + math.log(255), "nats"),
            (lambda log_p, dim: -log_p / (dim * math.log(2)), "adds log₂ 255"),
            (lambda log_p, dim: -log_p / (dim * math.log(2)) - BITS, "sign of log₂ 255"),
            (lambda log_p, dim: -log_p / math.log(2) + BITS, "divide by d"),
            (lambda log_p, dim: (-log_p / math.log(2) + BITS) / dim, "divide only log p"),
            (lambda log_p, dim: -log_p / (dim * math.log(2)) + 8, "255 steps"),
            (lambda log_p, dim: (-log_p / dim).mean(), "shape"),
        ],
    ),
    "check_most_likely": (
        "constant",
        [
            ("face", "neighbours"),
            ("sample", "typical"),
            ("moon", "smoother"),
            ("noise", "most bits"),
            ("cat", "choose"),
        ],
    ),
}


def test_answers_in_float32_and_plain_numbers_count(capsys):
    assert exercises.check_actnorm_logdet(lambda log_s, h, w: float(h * w * log_s.float().sum()))
    assert exercises.check_bits_per_dim(lambda log_p, dim: (-log_p / (dim * math.log(2)) + BITS).float())
    assert exercises.check_coupling_inverse(lambda y, net: undo(lambda y, t, s, net, a: y / s - t)(y, net).float())
    assert exercises.check_most_likely(" Constant ")
