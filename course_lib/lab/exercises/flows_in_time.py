"""Checks of the exercises in notebook 19."""

import math

import torch

from course_lib.lab.exercises import normal
from course_lib.lab.exercises.checking import (
    call,
    chosen,
    compare,
    exercise,
    expect,
    open_exercise,
    tensor_like,
)
from course_lib.models.flow2d import ring, two_moons
from course_lib.models.gaussian_mixture import GaussianMixture

CALLS = 8


@exercise
def check_schedule(answer):
    """Right: in y = x_t/α_t and σ_t = β_t/α_t both are one equation, dy/dσ = −σ∇log p_σ(y), walked at another pace."""
    hints = {
        "distribution": "divide x_t by α_t: what you get is an image with noise of σ_t = β_t/α_t. Which equation do"
        " these points obey, and where is α_t in it?",
        "straight": "the paths differ; do their ends? Write both equations for x_t/α_t, as a function of the noise"
        " level β_t/α_t.",
    }
    chosen(answer, "same", hints)


@exercise
def check_velocity(answer):
    """Right: x_t/t is an image with noise of σ = (1 − t)/t, and v is (its mean image − x_t)/(1 − t)."""
    x, t, s = normal(4, 2, seed=3), 0.4, 0.7

    def f(y, sigma):
        """E[x | y] for x ~ N(1, s²)."""
        return 1 + s**2 / (s**2 + sigma**2) * (y - 1)

    sigma = (1 - t) / t
    right, value = (f(x / t, sigma) - x) / (1 - t), call(answer, f, x, t)
    wrong = {
        "x_t is t times the image with noise: the denoiser wants x_t/t.": (f(x, sigma) - x) / (1 - t),
        "of x_t/t the noise is (1 − t)/t, not 1 − t.": (f(x / t, 1 - t) - x) / (1 - t),
        "that is E[x − x_t | x_t]. How much of x − ε is it?": f(x / t, sigma) - x,
        "subtract x_t, not x_t/t: x_t = x − (1 − t)(x − ε).": (f(x / t, sigma) - x / t) / (1 - t),
        "the sign: the path goes from the noise to the image.": -(f(x / t, sigma) - x) / (1 - t),
        "that is the mean image; the velocity is the mean of x − ε.": f(x / t, sigma),
    }
    compare(value, right, wrong, "solve x_t = x − (1 − t)(x − ε) for x − ε, and take the mean given x_t.")


@exercise
def check_encoder(answer):
    """Right: each of Euler's steps is undone by its own fixed point, the last step first."""
    z, steps = normal(3, 2, seed=4), 8
    h = 1 / steps

    def v(x, t):
        return torch.sin(2 * x) * (1 + t) + t**2

    def decode(z):
        for k in range(steps):
            z = z + h * v(z, k * h)
        return z

    def undone(order, late=0.0, rounds=60):
        u = x
        for k in order:
            after = u
            for _ in range(rounds):
                u = after - h * v(u, k * h + late)
        return u

    x, down = decode(z), range(steps - 1, -1, -1)
    middle = x
    for k in down:
        half = middle - h / 2 * v(middle, (k + 1) * h)
        middle = middle - h * v(half, (k + 0.5) * h)
    wrong = {
        "that goes from t = 0 to 1: it is D.": decode(x),
        "D took its slope at the beginning of the step, at the point that you look for, not at x'.": [
            undone(down, rounds=1),
            undone(down, late=h, rounds=1),
        ],
        "D took the slope of the step from t to t + h at the time t.": undone(down, late=h),
        "the last step is undone first.": undone(range(steps)),
        "that is the midpoint rule: it comes near E, and does not undo Euler's steps.": middle,
    }
    hint = "in each step, the last one first, iterate u ← x' − h v(u, t) until u stands still: a dozen times are few."
    compare(call(answer, v, x, steps), z, wrong, hint)


@exercise
def check_variance(answer):
    """Right: s²σ_t²/(s² + σ_t²) with σ_t = (1 − t)/t: the precisions 1/s² and 1/σ_t² add up."""
    s, t = 0.6, 0.7
    noise = (1 - t) / t
    wrong = {
        "of x_t/t the noise is (1 − t)/t, not 1 − t.": s**2 * (1 - t) ** 2 / (s**2 + (1 - t) ** 2),
        "that is the variance of the noise in x_t/t; the prior knows something, too.": noise**2,
        "that is the standard deviation.": (s**2 * noise**2 / (s**2 + noise**2)) ** 0.5,
        "that is the variance of x_t/t; asked is that of x, if x_t is known.": s**2 + noise**2,
        "that is the weight of x_t/t in the mean of x.": s**2 / (s**2 + noise**2),
    }
    right = s**2 * noise**2 / (s**2 + noise**2)
    compare(call(answer, s, t), right, wrong, "x_t/t is x with noise of (1 − t)/t, and precisions add up.")


class Counted:
    """A velocity of points [B, 2], (x, t) ↦ v, that can be called `CALLS` times."""

    def __init__(self, model):
        self.model, self.calls = model, 0

    def __deepcopy__(self, memo):
        """Itself: an answer that is handed a copy spends the calls of this one."""
        return self

    def __call__(self, x, t):
        self.calls += 1
        expect(self.calls <= CALLS, f"{CALLS} calls of the velocity are spent.")
        expect(0 <= float(t) <= 1, f"t should be from 0 to 1, got {float(t):.3g}.")
        return self.model.velocity(x.reshape(-1, 1, 1, 2), float(t)).flatten(1)


def density(name):
    """The `GaussianMixture` of one of the densities of the plane: `moons`, to develop on, and those of the check."""
    mixture = {
        "moons": lambda: two_moons(sigma=0.15, points=12),
        "five blobs": lambda: ring(radius=1.5, sigma=0.3, points=5),
        "ring": lambda: ring(radius=1.2, sigma=0.2, points=16),
    }[name]()
    covariances = mixture.sigma**2 * torch.eye(2, dtype=torch.float64)
    return GaussianMixture(mixture.means[:, None, None].double(), covariances.expand(len(mixture.means), 2, 2))


def exact(model, z, steps=60):
    """D(z) of points z [B, 2] to five digits: Runge and Kutta's rule of order 4, in many steps."""

    def v(x, t):
        return model.velocity(x.reshape(-1, 1, 1, 2), t).flatten(1)

    h = 1 / steps
    for k in range(steps):
        t = k * h
        a = v(z, t)
        b = v(z + h / 2 * a, t + h / 2)
        c = v(z + h / 2 * b, t + h / 2)
        z = z + h / 6 * (a + 2 * b + 2 * c + v(z + h * c, min(t + h, 1.0)))
    return z


def error_of(answer, name, seed):
    """The root mean square distance of an answer's points from D(z)."""
    model, z = density(name), normal(200, 2, seed=seed)
    x = call(answer, Counted(model), z)
    tensor_like(x, z, "the points")
    return math.sqrt((x - exact(model, z)).square().sum(1).mean().item())


@open_exercise(0.1, 0.03, 0.015)
def check_eight_calls(answer):
    """The root mean square distance from D(z), the mean over two densities that you have not seen."""
    return sum(error_of(answer, name, seed) for name, seed in (("five blobs", 5), ("ring", 6))) / 2
