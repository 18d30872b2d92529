"""Checks of the exercises in notebook 16."""

import functools

import torch

from course_lib.data import face, photograph_crops, to_float
from course_lib.lab.exercises import normal
from course_lib.lab.exercises.checking import call, chosen, close, compare, exercise, expect, open_exercise, tensor_like
from course_lib.models import load_model
from course_lib.operators import Blur, gaussian_kernel


@exercise
def check_prior_abroad(answer):
    """Right: in most of them. A prior of faces is a prior of images, too."""
    hints = {
        "none": "what did the flow learn first, long before eyes: that neighbouring pixels are alike, or that mouths"
        " are below noses? Which of the two holds abroad?",
        "few": "it is not only for smooth photographs. How much of a likelihood is about faces, and how much about"
        " neighbouring pixels (notebook 12)?",
        "half": "close to a coin would be a strange coincidence. How much of a likelihood is about faces at all"
        " (notebook 12)?",
    }
    chosen(answer, "most", hints)


@exercise
def check_hidden_step(answer):
    """Right: W_h W_oᵀ (y − m_o): the prior covariance of hidden and observed pixels hands the residual on."""
    W, m, y = normal(7, 7), normal(7, seed=1), normal(4, seed=2)
    seen = torch.tensor([True, False, True, True, False, False, True])
    W_o, W_h, rest = W[seen], W[~seen], y - m[seen]
    right, value = W_h @ W_o.T @ rest, call(answer, W, m, y, seen)
    wrong = {
        "that is the step in x, which leaves the hidden pixels where they are. A step in z moves them, by W.": 0
        * right,
        "the sign: a step goes against the gradient, so it brings A x nearer to y.": -right,
        "at z = 0 the image is m: the residual is y − m_o, not y.": W_h @ W_o.T @ y,
        "the order: Wᵀ pulls the residual back to z, then W pushes the step forward to x.": (
            W.T[~seen] @ W.T[seen].T @ rest
        ),
        "that is where the whole descent ends, for λ = 0. One step has no inverse in it.": (
            W_h @ W_o.T @ torch.linalg.solve(W_o @ W_o.T, rest)
        ),
        "the hidden pixels alone: the rows ~seen of W.": W @ W_o.T @ rest,
        "those are the observed pixels; the hidden ones are the rows ~seen of W.": W_o @ W_o.T @ rest,
    }
    hint = "with r = y − m_o the gradient in z is −W_oᵀ r, and x = m + W z moves by W times the step of z."
    compare(value, right, wrong, hint)


@exercise
def check_above_truth(answer):
    """Right: in none. Whatever comes near the minimum lies below most other images, the truth among them."""
    hints = {
        "few": "the truth is an image like any other. Where does a minimizer lie, compared with any image?",
        "half": "it is no matter of chance: what does *minimizer* mean, when the truth is one of the candidates?",
        "most": "then the descent would have passed the truth by. What does *minimizer* mean?",
    }
    chosen(answer, "none", hints)


@exercise
def check_excess(answer):
    """Right: how far above the line through the faces, in standard deviations of the faces around that line."""
    png_faces, png = 5 + 0.4 * normal(40), 4 + normal(9, seed=1)
    bits_faces, bits = 2.5 + 0.32 * png_faces + 0.05 * normal(40, seed=2), 4.5 + 0.3 * normal(9, seed=3)
    value = call(answer, png, bits, png_faces, bits_faces)

    def fitted(a, b):
        slope = ((a - a.mean()) * (b - b.mean())).sum() / (a - a.mean()).square().sum()
        return slope, b.mean() - slope * a.mean()

    def excess(slope, offset):
        return bits - slope * png - offset, bits_faces - slope * png_faces - offset

    beyond, around = excess(*fitted(png_faces, bits_faces))
    right = beyond / around.std()
    one, two = excess(1.0, (bits_faces - png_faces).mean())
    own = excess(*fitted(png, bits))
    expect(torch.is_tensor(value), "a tensor, with one number for each image.")
    if any(close(value, right * ((40 - k) / 39) ** 0.5) for k in (0, 2)):  # a spread with 40, or with 38
        value = right
    wrong = {
        "the line is that of the faces; yours goes through the images to be judged.": [
            own[0] / own[0].std(),
            own[0] / own[1].std(),
            own[0] / around.std(),
        ],
        "divide by the spread of the faces *around* the line, not of their bits.": beyond / bits_faces.std(),
        "in units of the faces' standard deviation around the line: divide by it.": beyond,
        "divide by the standard deviation, not by the variance.": beyond / around.var(),
        "a slope of 1 is Serrà's: let the faces choose it (`torch.linalg.lstsq`, or covariance over variance).": [
            one / two.std(),
            one,
        ],
        "the line has an offset, too.": (bits - fitted(png_faces, bits_faces)[0] * png) / around.std(),
        "the sign: large where the flow needs more bits than for a face that is as simple.": -right,
        "that is the distance from the faces' mean, whatever their PNG: fit a line.": (
            (bits - bits_faces.mean()) / bits_faces.std()
        ),
    }
    compare(value, right, wrong, "fit bits = slope · png + offset to the faces; then (bits − line) / their spread.")


def cameras(x, seed):
    """Images as seven cameras might take them, [7, B, 3, H, W]: darker, brighter, grey, soft, in warm light, grainy."""
    tint = torch.tensor([1.0, 0.93, 0.8]).reshape(3, 1, 1)
    soft = Blur(gaussian_kernel(0.6, radius=3))(x)
    taken = torch.stack([x, x**1.5, x**0.7, x.mean(1, keepdim=True).expand_as(x), soft, tint * x, x])
    grain = torch.tensor([0.01] * 6 + [0.02]).reshape(7, 1, 1, 1, 1)
    return taken + grain * torch.randn(taken.shape, generator=torch.Generator().manual_seed(seed))


@functools.cache
def strangers():
    """What the open exercise is judged on: (two faces by seven cameras [14, …], squares of photographs [16, …])."""
    squares = cameras(to_float(photograph_crops("train", 16, seed=7)), seed=1)
    faces = cameras(torch.cat([face("admiral"), face("astronaut").flip(3)]), seed=0)
    return faces.flatten(0, 1), torch.stack([squares[i % 7, i] for i in range(16)])


@open_exercise(0.6, 0.85, 0.97)
def check_alarm(answer):
    """That is the share of the pairs of a face and a photograph in which the face has the smaller number."""
    faces, squares = strangers()
    with torch.no_grad():
        value = call(answer, load_model("glow"), torch.cat([faces, squares]))
    tensor_like(value, torch.zeros(len(faces) + len(squares)), "the number")
    low, high = value[: len(faces), None].double(), value[None, len(faces) :].double()
    return ((low < high).double() + 0.5 * (low == high).double()).mean()
