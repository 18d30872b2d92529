"""A flow for patches as a prior for images of any size: the mean log-likelihood of an image's patches.

    φ(x) = (d/K) Σ_k (‖E(P_k x)‖² − 2 log|det J_E(P_k x)|)/w²,    x̂ = argmin_x ½‖A x − y‖² + λ φ(x),

with P_k x the K patches of w×w pixels of an image of d values (EPLL, Zoran & Weiss 2011, doi:10.1109/ICCV.2011.6126278,
whose mixture of Gaussians a flow replaces in patchNR, Altekrüger et al. 2023, arXiv 2205.12021). The factor makes φ
count every pixel once on average, as −2 log p of a whole image does, so that λ = σ²/2 keeps its meaning; in a shifted
grid, which reaches beyond the border, an inner pixel counts less, and one at the border more.
"""

from numbers import Integral

import torch
import torch.nn.functional as F

from course_lib.common import as_generator, check, check_count, check_images
from course_lib.data.patches import extract
from course_lib.reconstruction.base import check_flow, check_problem, data_term, quality, warm_start
from course_lib.solvers import lbfgs
from course_lib.solvers.base import iterate


def patch_penalty(x, flow, stride=None, shift=(0, 0)):
    """φ(x), [B], for images [B, C, H, W] and a flow of patches [N, C, p, p], or of grey ones: channel by channel.

    Args:
        stride: from one patch to the next, by default p: each pixel in one patch. shift: (rows, columns) by which the
            grid of patches is moved, each from 0 to p − 1; what it leaves free at the border is filled by reflection.
    """
    check_flow("flow", flow)
    check_images("x", x)
    p, channels = flow.config["size"], flow.config["channels"]
    stride = p if stride is None else stride
    check(channels in (1, x.shape[1]), "x", f"images of {channels} channels", x.shape)
    inside = len(shift) == 2 and all(isinstance(s, Integral) and 0 <= s < p for s in shift)
    check(inside, "shift", f"two integers from 0 to {p - 1}", shift)
    images = x.reshape(-1, channels, *x.shape[2:])
    if any(shift):
        images = F.pad(images, (shift[1], 0, shift[0], 0), mode="reflect")
    z, logdet = flow.encode_with_logdet(extract(images, p, stride).reshape(-1, channels, p, p))
    of_patches = (z.square().sum(1) - 2 * logdet).reshape(len(x), -1)
    return of_patches.mean(1) * x[0].numel() / (channels * p**2)


def patch_map(
    y, A, flow, lam, x0=None, *, stride=None, rounds=4, steps=25, sigma=0.01, seed=0, truth=None, disable=True
):
    """The MAP with a patch prior: x̂ = argmin_x ½‖A x − y‖² + λ φ(x) by L-BFGS, from the image of total variation.

    Each of the `rounds` moves the grid of patches by a random shift, so that none of its lines stays where it is.

    Args:
        y, A, lam, x0, truth: as for `map_estimate`. flow: of patches. stride: as for `patch_penalty`.
        rounds, steps: shifts, and evaluations of L-BFGS at each. sigma: of the noise, for the start. seed: of shifts.

    The history has a row for the start and one for each round: `data`, and `psnr` with `truth`.
    """
    check_count("rounds", rounds, low=1)
    check_count("steps", steps, low=1)
    check_flow("flow", flow)
    lam, p = check_problem(y, A, flow, lam, x0, truth), flow.config["size"]
    x = warm_start(y, A, sigma) if x0 is None else x0
    shifts = torch.randint(p, (rounds, 2), generator=as_generator(seed)).tolist()

    def round_of(k, x, evaluations):
        def objective(x):
            return data_term(x, y, A) + lam * patch_penalty(x, flow, stride, shifts[k])

        found = lbfgs(objective, x, steps=steps)
        return {"x": found.x, "evaluations": evaluations + found.evaluations}

    def curves(x, **_):
        return quality(x, y, A, truth)

    state = {"x": x, "evaluations": torch.zeros_like(lam, dtype=torch.long)}
    return iterate(round_of, state, curves, rounds, disable=disable)
