"""The checks of notebook 19: right, blank, and typical wrong answers."""

import torch


def velocity(f, x, t, kind="right"):
    s = (1 - t) / t
    return {
        "right": lambda: (f(x / t, s) - x) / (1 - t),
        "unscaled": lambda: (f(x, s) - x) / (1 - t),
        "noise": lambda: (f(x / t, 1 - t) - x) / (1 - t),
        "difference": lambda: f(x / t, s) - x,
        "minus y": lambda: (f(x / t, s) - x / t) / (1 - t),
        "sign": lambda: (x - f(x / t, s)) / (1 - t),
        "mean": lambda: f(x / t, s),
        "other": lambda: f(x / t, s) / (1 - t),
    }[kind]()


def encode(v, x, steps, kind="right", rounds=60):
    h = 1 / steps
    for k in range(steps) if kind in ("order", "forward") else range(steps - 1, -1, -1):
        after, t = x, k * h
        if kind == "forward":
            x = x + h * v(x, t)
        elif kind == "midpoint":
            x = x - h * v(x - h / 2 * v(x, t + h), t + h / 2)
        else:
            for _ in range(rounds):
                x = after - h * v(x, t + h if kind == "late" else t)
    return x


def variance(s, t, kind="right"):
    noise = (1 - t) / t
    return {
        "right": 1 / (1 / s**2 + 1 / noise**2),
        "unscaled": 1 / (1 / s**2 + 1 / (1 - t) ** 2),
        "noise": noise**2,
        "root": (1 / (1 / s**2 + 1 / noise**2)) ** 0.5,
        "sum": s**2 + noise**2,
        "weight": s**2 / (s**2 + noise**2),
        "other": s * noise,
    }[kind]


def adams(v, z, order=3):
    x, slopes, h = z, [], 1 / 8
    weights = {1: [1], 2: [-1 / 2, 3 / 2], 3: [5 / 12, -16 / 12, 23 / 12]}
    for k in range(8):
        slopes = [*slopes, v(x, k * h)][-order:]
        x = x + h * sum(w * slope for w, slope in zip(weights[len(slopes)], slopes, strict=True))
    return x


def many_calls(v, z):
    for k in range(9):
        z = z + v(z, k / 9) / 9
    return z


CASES = {
    "check_schedule": (
        "same",
        [("distribution", "α_t"), ("straight", "ends"), ("none", "choose one of")],
    ),
    "check_velocity": (
        velocity,
        [
            (lambda *a, kind=kind: velocity(*a, kind=kind), word)
            for kind, word in [
                ("unscaled", "wants x_t/t"),
                ("noise", "not 1 − t"),
                ("difference", "How much"),
                ("minus y", "subtract x_t"),
                ("sign", "sign"),
                ("mean", "mean image"),
                ("other", "solve x_t"),
            ]
        ],
    ),
    "check_encoder": (
        encode,
        [
            (lambda *a, kind=kind, rounds=rounds: encode(*a, kind=kind, rounds=rounds), word)
            for kind, rounds, word in [
                ("forward", 0, "it is D"),
                ("right", 1, "not at x'"),
                ("late", 1, "not at x'"),
                ("late", 60, "at the time t"),
                ("order", 60, "undone first"),
                ("midpoint", 0, "midpoint rule"),
                ("right", 3, "stands still"),
            ]
        ],
    ),
    "check_variance": (
        variance,
        [
            (lambda *a, kind=kind: variance(*a, kind=kind), word)
            for kind, word in [
                ("unscaled", "not 1 − t"),
                ("noise", "the prior knows"),
                ("root", "standard deviation"),
                ("sum", "if x_t is known"),
                ("weight", "weight of x_t/t"),
                ("other", "precisions add"),
            ]
        ],
    ),
    "check_eight_calls": (
        adams,
        [
            (lambda v, z: adams(v, z, order=1), "the first point is at 0.1"),
            (lambda v, z: z[:, :1], "should have shape"),
            (lambda v, z: torch.full_like(z, torch.nan), "NaN"),
            (many_calls, "8 calls of the velocity are spent"),
            (lambda v, z: z + v(z, 2.0), "from 0 to 1"),
        ],
    ),
}
