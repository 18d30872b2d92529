"""The tasks of the source (slide 22): their operators A, and observations y = A x + n."""

import torch

from course_lib.common import as_generator, check, check_count, check_images, check_number, check_range
from course_lib.operators import Blur, Downsample, Mask, random_mask, square_mask, uniform_kernel

TASKS = ("deblurring", "sr2", "sr4", "inpainting_random", "inpainting_square")
"""Names of the tasks, in the order of slide 25."""


def make_task(name, size=64):
    """The operator A of one of the source's tasks (slide 22), for images size×size; the masks are always the same."""
    build = {
        "deblurring": lambda: Blur(uniform_kernel(7), "circular"),
        "sr2": lambda: Downsample(2),
        "sr4": lambda: Downsample(4),
        "inpainting_random": lambda: Mask(random_mask(size, size, missing=0.6, generator=0)),
        "inpainting_square": lambda: Mask(square_mask(size, size, side=10)),
    }
    check_count("size", size, low=1)
    check(name in build, "name", f"one of {sorted(build)}", repr(name))
    return build[name]()


def observe(x, A, sigma, seeds):
    """y = A x + n, n ~ N(0, σ² I), with a seed for each image. Where a mask is 0 nothing is observed, and n is 0 too.

    Args:
        x: images [B, C, H, W] in [0, 1]. A: an operator. sigma: σ >= 0. seeds: B integers.
    """
    check_images("x", x)
    check_range("x", x)
    check_number("sigma", sigma)
    check(len(seeds) == len(x), "seeds", f"{len(x)} seeds, one for each image", seeds)
    y = A(x)
    if sigma:
        n = torch.stack([torch.randn(y.shape[1:], generator=as_generator(int(seed))) for seed in seeds]).to(y)
        y = y + sigma * (n * (A.mask != 0) if isinstance(A, Mask) else n)
    return y
