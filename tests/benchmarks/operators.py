"""Operators and the prox of TV against `deepinv`, on a colour photograph of 512×512 pixels: A x, Aᵀy, values and times.

Where the definitions differ: their blur also knows `valid`, `reflect` and `replicate`, ours `circular` and `zero`
(their `constant`); their downsampling is block means with a box filter and `valid` padding; their Radon transform
rotates the image by `grid_sample`, angle by angle, ours is a sparse matrix; their TV is that of each channel alone, as
ours with `coupled=False`, and the algorithms differ: over-relaxed Chambolle-Pock against accelerated gradients.
"""

import torch
from skimage.data import astronaut
from timing import compared, interleaved, optional, row, threads

from course_lib.operators import Blur, Downsample, Mask, Radon, gaussian_kernel, random_mask, uniform_kernel
from course_lib.regularizers import TV

SAME, ANGLES, ITERATIONS, LAM = 1e-5, 24, 100, 0.1


def photograph(size=512):
    """The astronaut, [1, 3, size, size], by block means of the original of 512×512."""
    x = torch.from_numpy(astronaut()).permute(2, 0, 1)[None].float() / 255
    return Downsample(512 // size)(x) if size < 512 else x


def pairs(physics, x):
    """(name, ours, theirs) of each operator."""
    side, angles = x.shape[-1], torch.linspace(0, 180, ANGLES + 1)[:-1]
    wide, box = gaussian_kernel(2.0), uniform_kernel(7)
    blurs = {"deblurring 7×7": box, "Gaussian 17×17": wide}
    for name, k in blurs.items():
        theirs = physics.BlurFFT(tuple(x.shape[1:]), filter=k[None, None])
        yield f"blur; {name}; circular", Blur(k, "circular"), theirs
        yield f"blur; {name}; zero", Blur(k, "zero"), physics.Blur(filter=k[None, None], padding="constant")
    block = torch.full((1, 1, 4, 4), 1 / 16)
    theirs = physics.Downsampling(img_size=tuple(x.shape[1:]), filter=block, factor=4, padding="valid")
    yield "downsampling by 4", Downsample(4), theirs
    mask = random_mask(side, side)
    yield "mask", Mask(mask), physics.Inpainting(img_size=tuple(x.shape[1:]), mask=mask.float().expand(3, -1, -1))
    theirs = physics.Tomography(angles=angles, img_width=side, circle=False, normalize=False)
    yield f"Radon; {ANGLES} angles", Radon(side, angles), theirs


def difference(ours, theirs):
    """Norm-relative difference, in float64."""
    ours, theirs = ours.double(), theirs.double()
    return ((ours - theirs).norm() / theirs.norm()).item() if ours.shape == theirs.shape else float("inf")


@torch.no_grad()
def operator_rows(name, A, B, x, against, repeats):
    """Times of A x and Aᵀy beside theirs, and how much the results differ."""
    y = A(x)
    B.A(x), B.A_adjoint(y)
    for what, ours, theirs in (("A x", A, B.A), ("Aᵀ y", A.T, B.A_adjoint)):
        u = x if what == "A x" else y
        setting = f"{what}; 512×512×3"
        yield row(__name__, f"{name}; difference", setting, difference(ours(u), theirs(u)), "", "", against, "", SAME)
        rounds = interleaved([lambda f=ours, u=u: f(u), lambda f=theirs, u=u: f(u)], repeats)
        yield compared(__name__, name, setting, rounds, against, 1.0)


@torch.no_grad()
def tv_rows(models, x, against, repeats):
    """The prox of TV: the same number of iterations, and how far from the limit each is then."""
    x = x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    setting = f"{ITERATIONS} iterations; 512×512×3"

    def ours(v=x, n=ITERATIONS):
        return TV(coupled=False, iterations=n, tolerance=0).prox(v, LAM)

    def theirs(v=x, n=ITERATIONS):
        return models.TVDenoiser(n_it_max=n, crit=0)(v, ths=LAM)

    small = x[..., 192:256, 192:256].double()
    limits = ours(small, 5000), theirs(small, 20000)
    yield row(__name__, "prox of TV; limits", "64×64×3", difference(*limits), "", "", against, "", SAME)
    errors = [difference(f(small, ITERATIONS), limits[0]) for f in (ours, theirs)]
    near = f"{ITERATIONS} iterations; 64×64×3"
    yield row(__name__, "prox of TV; error", near, *errors, "relative", against, errors[0] / errors[1], 1.0)
    yield compared(__name__, "prox of TV", setting, interleaved([ours, theirs], max(3, repeats // 3), 1), against, 1.0)


def run(options):
    """The rows of this part."""
    package, against = optional("deepinv")
    if package is None:
        yield row(__name__, "operators", "", "", against=against)
        return
    x = photograph()
    with threads(1):
        for name, A, B in pairs(package.physics, x):
            yield from operator_rows(name, A, B, x, against, options.repeats)
        yield from tv_rows(package.models, x, against, options.repeats)
