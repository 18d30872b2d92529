"""Checks of the exercises in notebook 14."""

import torch
from skimage.restoration import inpaint_biharmonic

from course_lib import data, models
from course_lib.lab.exercises import normal
from course_lib.lab.exercises.checking import (
    call,
    chosen,
    compare,
    exercise,
    expect,
    open_exercise,
    several,
    tensor_like,
)
from course_lib.metrics import psnr
from course_lib.operators import Mask, random_mask


@exercise
def check_same_minimizers(answer):
    """Right: F(D(z)) is the function in (3), and every image is D of exactly one z; they share their minimizers."""
    hints = {
        "analysis": "analysis may choose any image, but so may synthesis: which images are D(z) for some z, if D is a"
        " bijection?",
        "synthesis": "the range of a bijection is the whole space. Compare both functions at x and z = E(x).",
    }
    chosen(answer, "same", hints)


@exercise
def check_step_in_z(answer):
    """Right: a gradient step in z moves the image by −τ J_D J_Dᵀ ∇F, to first order."""
    M = normal(4, 4)
    z, g = normal(2, 4, seed=1)

    def D(z):
        return torch.tanh(M @ z)

    J, tau = torch.autograd.functional.jacobian(D, z), 0.1
    right, value = -tau * J @ J.T @ g, call(answer, D, z, g, tau)
    wrong = {
        "the sign: descent goes against the gradient.": -right,
        "that is the step in z; push it to the image with J_D.": -tau * J.T @ g,
        "the order: first J_Dᵀ (vjp), then J_D (jvp).": -tau * J.T @ J @ g,
        "that is the step in x that analysis makes.": -tau * g,
        "the step length τ is missing.": right / tau,
    }
    compare(value, right, wrong, "v = J_Dᵀ g by vjp, then J_D v by jvp, times −τ.")


@exercise
def check_map_penalty(answer):
    """Right: −2 log p(x) = ‖E(x)‖² − 2 log|det J_E(x)|, up to a constant."""
    M, x = normal(3, 3), normal(4, 3, seed=1)

    def E(x):
        return (2 * x + torch.sin(3 * x)) @ M.T

    J = M * (2 + 3 * torch.cos(3 * x))[:, None]
    square, logdet = E(x).square().sum(1), torch.linalg.det(J).abs().log()
    right, value = square - 2 * logdet, call(answer, E, x)
    wrong = {
        "the sign: log|det J_E| is subtracted; stretching is likely.": square + 2 * logdet,
        "twice the logarithm: the penalty is −2 log p, not −log p.": square - logdet,
        "that is (4)'s penalty: the log-determinant is missing.": square,
        "the determinant, not the product of the diagonal: E mixes the values.": square
        - 2 * J.diagonal(dim1=1, dim2=2).abs().log().sum(1),
        "the gradient of E(x).sum() adds up the rows of J_E; that is enough in one dimension only.": square
        - 2 * J.sum(1).abs().log().sum(1),
        "a number for each point of the batch.": right.sum(),
    }
    compare(value, right, wrong, "the Jacobian matrix of each point, then ‖E(x)‖² less twice its log|det|.")


@exercise
def check_posterior_weights(answer):
    """Right: −σ² log p(x | y) weighs ‖E(x)‖² with σ²/(2T²), for T = 1 λ = σ²/2, and log|det J_E(x)| with −σ²."""
    sigma, T = 0.3, 0.8
    got = call(answer, sigma, T)
    several(got, 2, "return two numbers: the weight of ‖E(x)‖², then that of log|det J_E(x)|.")
    square, right = sigma**2, sigma**2 / (2 * T**2)
    wrong = {
        "the sign: p(x) has the factor |det J_E(x)|, and a logarithm with a minus before it.": (right, square),
        "N(0, T²I) has the density exp(−‖z‖²/(2T²)): do not forget its ½.": (2 * right, -square),
        "the ½ belongs to ‖z‖² alone: log|det J_E| enters log p(x) with the factor 1.": (right, -square / 2),
        "the temperature is missing: the variance of each latent is T².": (square / 2, -square),
        "N(0, T²I) has the variance T²: the square, and in the denominator.": [
            (square / (2 * T), -square),
            (square * T**2 / 2, -square),
        ],
        "the temperature belongs to the latent alone: E, and so its Jacobian, does not depend on it.": [
            (right, -2 * right),
            (right, -right),
        ],
        "the noise term is ‖Ax − y‖²/(2σ²): all was multiplied by σ², not by σ.": (sigma / (2 * T**2), -sigma),
        "all was multiplied by σ²: the data term is ½‖Ax − y‖², and the rest carries σ².": (0.5 / T**2, -1.0),
    }
    compare(tuple(map(float, got)), (right, -square), wrong, "take −log of p(y | x) p(x), times σ², term by term.")


SIGMA = 0.01
CALLS = 40


class Counted:
    """A flow that can be called `CALLS` times: `encode`, `encode_with_logdet` and `decode` together."""

    def __init__(self, flow):
        self.flow, self.calls = flow, 0

    def __getattr__(self, name):
        value = getattr(self.flow, name)
        return self.counted(value) if name in ("encode", "encode_with_logdet", "decode") else value

    def __deepcopy__(self, memo):
        """Itself: an answer that is handed a copy spends the calls of this one."""
        return self

    def counted(self, function):
        """The function, which counts its calls and refuses the one too many."""

        def call(batch):
            self.calls += 1
            expect(self.calls <= CALLS, f"{CALLS} calls of the flow are spent; each step of a descent takes one.")
            return function(batch)

        return call


def biharmonic(y, A):
    """Biharmonic inpainting of y [1, 3, H, W]: the best start of the course that calls no flow."""
    image = inpaint_biharmonic(y[0].permute(1, 2, 0).numpy(), A.mask[0].numpy() == 0, channel_axis=2)
    return torch.from_numpy(image).permute(2, 0, 1)[None].to(y)


@open_exercise(0.3, 0.7, 0.95, unit=" dB")
def check_forty_calls(answer):
    """The gain over biharmonic inpainting, the mean over two faces and masks that you have not seen."""
    flow, gains = models.load_model("glow"), []
    for name, seed in (("admiral", 5), ("astronaut", 7)):
        truth = data.face(name).flip(-1)
        A = Mask(random_mask(64, 64, missing=0.6, generator=seed))
        y = data.observe(truth, A, SIGMA, [seed])
        image = call(answer, y, A, Counted(flow), SIGMA)
        tensor_like(image, truth, "the image")
        gains.append(psnr(image.clamp(0, 1), truth) - psnr(biharmonic(y, A).clamp(0, 1), truth))
    return sum(gains).item() / len(gains)
