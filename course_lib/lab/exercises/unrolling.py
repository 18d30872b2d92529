"""Checks of the exercises in notebook 08, unrolling."""

import torch

from course_lib.data import bernoulli_gaussian
from course_lib.lab.exercises import normal, uniform
from course_lib.lab.exercises.checking import (
    call,
    chosen,
    compare,
    exercise,
    expect,
    number,
    open_exercise,
    several,
    tensor_like,
)
from course_lib.models.unrolled import ADMMNet, gaussian_matrix, soft_threshold
from course_lib.operators import SubsampledTransform


def layer_problem():
    """A matrix A [5, 8] and λ, in float64."""
    return normal(5, 8), 0.3


@exercise
def check_ista_layer(answer):
    """Right: with W = τAᵀ, V = I − τAᵀA and θ = τλ the layer is one step of ISTA."""
    A, lam = layer_problem()
    value = call(answer, A, lam)
    several(value, 3, "return three things: (W, V, θ).")
    (W, V, threshold), eye = value, torch.eye(8, dtype=A.dtype)
    tau = 1 / torch.linalg.matrix_norm(A, 2) ** 2
    tensor_like(W, tau * A.T, "W")
    wrong = {
        "W: the step length τ is missing.": A.T,
        "τ is 1/‖A‖², with the square.": A.T / torch.linalg.matrix_norm(A, 2),
        "‖A‖ is the largest singular value, matrix_norm(A, 2), not the root of Σ a².": A.T / A.norm() ** 2,
    }
    compare(W, tau * A.T, wrong, "y appears in the step as +τAᵀy: W = τAᵀ.")
    tensor_like(V, eye, "V")
    wrong = {
        "V: z appears twice in the step, in z and in −τAᵀA z.": eye,
        "V: the z itself, which the step starts from, is missing.": tau * A.T @ A,
        "V: the sign. The step goes downhill.": eye + tau * A.T @ A,
    }
    compare(V, eye - tau * A.T @ A, wrong, "V: collect all that multiplies z in z − τAᵀ(A z − y).")
    threshold = torch.as_tensor(threshold, dtype=A.dtype)
    expect(threshold.numel() == 1, f"θ should be one number, got a tensor of shape {list(threshold.shape)}.")
    expect(abs(threshold - lam) > 1e-9, "θ: the prox of a step of length τ is that of τλ‖·‖₁.")
    expect(abs(threshold - tau * lam) < 1e-6 * lam, "θ = τλ.")


@exercise
def check_drifted_matrix(answer):
    """Right: A stands in the residual y − A z; W has to turn that into a correction that is roughly right, no more."""
    hints = {
        "untold": "with the old A the true code leaves a residual, (A′ − A)z. Where does the network come to rest?",
        "useless": "the error after a layer is (I − W A′)(z − z*), before the threshold. How far is W A′ from W A?",
    }
    chosen(answer, "told", hints)


def run_layers(layers, A, y):
    """The codes [B, n] after layers (W, θ, share) as those of `LISTA`: the largest values, a share, pass unshrunk."""
    z = y.new_zeros(len(y), A.shape[1])
    for W, theta, share in layers:
        v = z + (y - z @ A.T) @ W.T
        least = v.abs().sort(descending=True).values[:, round(share * v.shape[1])][:, None]
        z = torch.where(v.abs() > least, v, soft_threshold(v, v.new_tensor(theta)))
    return z


@open_exercise(-9, -20, -42, unit=" dB")
def check_untrained_layers(answer):
    """That is the error of 16 layers, over 300 codes for each of three matrices that you have not seen."""
    errors = []
    for seed in (101, 102, 103):
        A = gaussian_matrix(100, 200, seed)
        z = bernoulli_gaussian(300, 200, 0.1, torch.Generator().manual_seed(seed))[:, 0, 0]
        layers = call(answer, A)
        several(layers, 16, "return a list of 16 layers, each (W, θ, share).")
        for layer in layers:
            several(layer, 3, "each layer is three things: (W, θ, share).")
            tensor_like(layer[0], A.T, "W")
            expect(number(layer[1], "θ") >= 0, "θ should be >= 0: a threshold.")
            expect(0 <= number(layer[2], "the share") < 1, "the share should be in [0, 1).")
        layers = [(W.to(A), float(theta), float(share)) for W, theta, share in layers]
        errors.append(10 * ((run_layers(layers, A, z @ A.T) - z).square().sum() / z.square().sum()).log10())
    return sum(errors) / 3


def admm_problem():
    """(z, u, y, A, denoise, ρ, η) of a layer of an `ADMMNet`, in float64."""
    z, u = uniform(2, 2, 1, 8, 8)
    A = SubsampledTransform(8, 0.5)
    y = uniform(2, 1, 1, A.m, seed=1)
    net = ADMMNet(layers=1, side=3).double().requires_grad_(False)
    return z, u, y, A, lambda v: net.denoise(v, 0), 0.3, 0.7


@exercise
def check_admm_layer(answer):
    """Right: fit the data from z − u by the closed form, denoise x + u, and add up the difference, times η."""
    z, u, y, A, denoise, rho, eta = admm_problem()

    def layer(v, weight=1 / (1 + rho), denoised=lambda x: x + u, update=lambda x, z: u + eta * (x - z)):
        x = v + weight * A.T(y - A(v))
        new = denoise(denoised(x))
        return new, update(x, new)

    value, right = call(answer, z, u, y, A, denoise, rho, eta), layer(z - u)
    several(value, 2, "return two things: the new (z, u).")
    tensor_like(value[0], z, "z")
    tensor_like(value[1], u, "u")
    wrong = {
        "x stays near v = z − u, not near z + u.": layer(z + u),
        "x stays near v = z − u, not near z.": layer(z),
        "the weight is 1/(1 + ρ): with 1, the data are taken as free of noise.": layer(z - u, 1),
        "the weight is 1/(1 + ρ): set the gradient of ½‖A x − y‖² + ρ/2‖x − v‖² to 0 where A v ≠ y.": layer(
            z - u, 1 / rho
        ),
        "what is denoised is x + u, not x.": layer(z - u, denoised=lambda x: x),
        "what is denoised is x + u, not x − u.": layer(z - u, denoised=lambda x: x - u),
    }
    wrong = {hint: z for hint, (z, _) in wrong.items()}
    as_if_identity = (A.T(y) + rho * (z - u)) / (1 + rho)
    wrong["AᵀA is not I: where A measures nothing, x stays v = z − u."] = denoise(as_if_identity + u)
    compare(value[0], right[0], wrong, "put x = v + Aᵀw, v = z − u, into the gradient; then z = denoise(x + u).")
    updates = {
        "u: the step η is missing.": lambda x, z: u + x - z,
        "u collects x − z, not z − x.": lambda x, z: u + eta * (z - x),
        "u is a running sum: the old u is missing.": lambda x, z: eta * (x - z),
        "u: take the new z, not the old one.": lambda x, new: u + eta * (x - z),
    }
    wrong = {hint: layer(z - u, update=update)[1] for hint, update in updates.items()}
    compare(value[1], right[1], wrong, "u⁺ = u + η(x⁺ − z⁺).")


@exercise
def check_other_measurements(answer):
    """Right: behind. It is told of A, but its layers expect the errors that 30 % of the data leave."""
    hints = {
        "ahead": "its prior was learned from images, and A enters through its own prox. But what else has each layer"
        " learned, from data of 30 % alone?",
        "little": "more data help both. Which of the two was trained for errors that 70 % do not make?",
    }
    chosen(answer, "behind", hints)
