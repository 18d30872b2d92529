"""Checks of the exercises in notebook 08, unrolling."""

import torch

from course_lib.lab.exercises import normal, uniform
from course_lib.lab.exercises.checking import call, chosen, compare, exercise, expect, several, tensor_like
from course_lib.models.unrolled import ADMMNet
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
def check_other_matrix(answer):
    """Right: W is an inverse of its A in disguise; for another A it mixes the values of the code."""
    hints = {
        "same": "W has learned no statistics of Gaussian matrices. Its row i looks for column i of one A.",
        "slower": "W A must be near I on sparse codes. What is W A′, when A′ and A have nothing in common?",
    }
    chosen(answer, "useless", hints)


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
    compare(value[0], right[0], wrong, "x = v + Aᵀ(y − A v)/(1 + ρ) with v = z − u, then z = denoise(x + u).")
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
    """Right: A enters through its own prox, so the network is told of the new A; its prior was learned from images."""
    hints = {
        "collapses": "that was LISTA, whose W stood for A. Where does A stand in a layer of ADMM-Net?",
        "better": "the network was trained with another draw of the same kind: nothing favours this one.",
    }
    chosen(answer, "same", hints)
