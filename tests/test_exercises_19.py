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


def encode(v, x, steps, kind="right"):
    h = (1 if kind == "forward" else -1) / steps
    for k in range(steps):
        t = k * h if kind == "forward" else 1 + k * h
        half = x + h / 2 * v(x, t)
        x = {
            "right": lambda x=x, t=t, half=half: x + h * v(half, t + h / 2),
            "forward": lambda x=x, t=t, half=half: x + h * v(half, t + h / 2),
            "euler": lambda x=x, t=t: x + h * v(x, t),
            "same time": lambda x=x, t=t, half=half: x + h * v(half, t),
            "wrong way": lambda x=x, t=t: x + h * v(x - h / 2 * v(x, t), t + h / 2),
            "heun": lambda x=x, t=t: x + h / 2 * (v(x, t) + v(x + h * v(x, t), t + h)),
            "half": lambda x=x, t=t, half=half: x + h / 2 * v(half, t + h / 2),
        }[kind]()
    return x


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
            (lambda *a, kind=kind: encode(*a, kind=kind), word)
            for kind, word in [
                ("forward", "it is D"),
                ("euler", "Euler's rule"),
                ("same time", "in time, too"),
                ("wrong way", "negative"),
                ("heun", "Heun's rule"),
                ("half", "t starts at 1"),
            ]
        ],
    ),
    "check_eight_calls": (
        adams,
        [
            (lambda v, z: adams(v, z, order=1), "the next point is at 0.1"),
            (lambda v, z: z[:, :1], "should have shape"),
            (lambda v, z: torch.full_like(z, torch.nan), "NaN"),
            (many_calls, "8 calls of the velocity are spent"),
            (lambda v, z: z + v(z, 2.0), "from 0 to 1"),
        ],
    ),
}
