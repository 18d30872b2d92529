"""Checks of notebook 04, total variation."""

import torch

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
from course_lib.metrics import psnr
from course_lib.regularizers import TV, gradient, gradient_adjoint


@exercise
def check_edge_price(answer):
    """Right: a jump over w steps of 1/w costs 1/(2w) in the squared norm, and 1 in the ℓ1 norm, however wide it is."""
    several(answer, 2, "give a pair: (½‖∇x‖², ‖∇x‖₁).")
    hints = {
        "same": "½‖∇x‖²: w differences of 1/w, each squared. Is w · (1/w)² independent of w?",
        "grows": "½‖∇x‖²: there are more differences, but each is smaller, and squaring makes small ones tiny.",
    }
    chosen(answer[0], "falls", hints)
    hints = {
        "falls": "‖∇x‖₁: w differences of 1/w, not squared. Add them up.",
        "grows": "‖∇x‖₁: there are more differences, and each is smaller in the same measure. Add them up.",
    }
    chosen(answer[1], "same", hints)


@exercise
def check_height(answer):
    """Right: N(h − t)²/2 + λPt is least at t = h − λP/N, and never below the background."""
    right = [max(h - lam * P / N, 0) for h, P, N, lam in SHAPES]
    value = [number(call(answer, *case), "the height") for case in SHAPES]
    wrong = {
        "a height below the background? TV would rise again; what is left stops at 0.": [
            h - lam * P / N for h, P, N, lam in SHAPES
        ],
        "that is what is lost; the question is what is left.": [min(lam * P / N, h) for h, P, N, lam in SHAPES],
        "TV counts the jump at each of P places, not once.": [max(h - lam / N, 0) for h, _, N, lam in SHAPES],
        "the data term is a sum over N pixels: they share the pull.": [max(h - lam * P, 0) for h, P, _, lam in SHAPES],
        "perimeter over area, not area over perimeter.": [max(h - lam * N / P, 0) for h, P, N, lam in SHAPES],
        "the data term is ½‖x − v‖²; its derivative has no 2.": [
            max(h - lam * P / (2 * N), 0) for h, P, N, lam in SHAPES
        ],
    }
    compare(
        torch.tensor(value),
        torch.tensor(right),
        {hint: torch.tensor(mistake) for hint, mistake in wrong.items()},
        "write N(h − t)²/2 + λPt for the height t that is left, and set its derivative to 0.",
    )


SHAPES = [(1.0, 40.0, 100.0, 0.5), (0.6, 12.0, 9.0, 0.1), (0.8, 24.0, 20.0, 3.0), (2.0, 400.0, 10000.0, 5.0)]
"""h, P, N, λ of shapes; the third one vanishes."""


@exercise
def check_denoiser(answer):
    """Right: with momentum, and with a certificate for every image of the batch."""
    arrows = []

    class Watched(TV):
        def project(self, p, radius):
            arrows.append(super().project(p, radius))
            return arrows[-1]

    v, tau, accuracy = uniform(2, 1, 16, 16), torch.tensor([0.02, 0.4], dtype=torch.float64), 1e-3
    v[:, :, :, 8:] += 1
    x = call(answer, v, tau, Watched(), accuracy)
    expect(getattr(x, "shape", None) != (2, 2, 1, 16, 16), "that is a field of arrows; the image is v − ∇ᵀp.")
    tensor_like(x, v)
    steps = len(arrows)
    expect(steps > 0, "no call of tv.project: after each step, the arrows go back into the ball.")
    expect(steps < 700, f"{steps} steps: with momentum under 300 will do, and then the gap says stop.")
    exact = TV(iterations=4000, tolerance=1e-8).prox(v, tau)
    off = 0.5 * (x - exact).square().flatten(1).sum(1)
    expect(off[0] <= accuracy or off[1] <= accuracy, "neither image is accurate: do you climb along ∇x, from p = 0?")
    expect(off.max() <= accuracy, "one image of the batch is not accurate yet: all gaps have to be small.")
    p = arrows[-1]
    at_p = v - gradient_adjoint(p)
    gap = tau * TV()(at_p) - (gradient(at_p) * p).flatten(1).sum(1)
    expect(gap.max() <= accuracy, "near enough, but not proved: the gap at p has to be small for *each* image.")
    expect(steps < 300, f"{steps} steps, where under 300 will do: step from a point ahead, as FISTA does.")


def surfaces(count, seed):
    """Images [count, 1, 64, 64] of surfaces that bend smoothly between sharp edges, to practise on."""
    generator, u = torch.Generator().manual_seed(seed), torch.linspace(-1, 1, 64)
    down, across = torch.meshgrid(u, u, indexing="ij")

    def draw(*shape):
        return torch.rand(shape, generator=generator)

    images = []
    for _ in range(count):
        slope, wave = 6.28 * draw(1), 6 * draw(2)
        x = 0.5 + 0.25 * (across * slope.cos() + down * slope.sin())
        x = x + 0.1 * torch.sin(3 * across + wave[0]) * torch.cos(2 * down + wave[1])
        for _ in range(3):
            centre, radius, turn = 1.4 * draw(2) - 0.7, 0.15 + 0.35 * draw(1), 6.28 * draw(1)
            right, low = across - centre[0], down - centre[1]
            height = (0.25 + 0.2 * draw(1)) * (1 if draw(1) > 0.5 else -1)
            inside = right**2 + low**2 < radius**2
            x = x + inside * (height + 0.3 * (right * turn.cos() + low * turn.sin()))
        images.append(x.clamp(0, 1))
    return torch.stack(images)[:, None]


@open_exercise(0.3, 1, 2.5, unit=" dB")
def check_surfaces(answer):
    """Gained on TV at its best λ, over six surfaces."""
    truth, sigma = surfaces(6, seed=77), 0.1
    v = truth + sigma * normal(*truth.shape, seed=78).float()
    with torch.no_grad():
        x = call(answer, v, sigma)
    tensor_like(x, truth)
    by_tv = max(psnr(TV().prox(v, lam).clamp(0, 1), truth).mean() for lam in (0.08, 0.1, 0.12))
    return psnr(x.clamp(0, 1), truth).mean() - by_tv


@exercise
def check_rho(answer):
    """Right: ρ appears in the way, not in the problem. A bad ρ gives a bad image only because you stop too early."""
    hints = {
        "smoother": "more weight on ∇x ≈ z, not on φ: λ is what makes an image smoother. Does ρ occur in the problem?",
        "sharper": "ρ does not weigh the data against φ; λ does. At the end ∇x = z, and what is ρ/2 ‖∇x − z‖² then?",
        "depends": "the problem is convex, so there is no start or path to depend on. Does ρ occur in it?",
    }
    chosen(answer, "same", hints)
