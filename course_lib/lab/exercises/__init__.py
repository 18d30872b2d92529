"""Checks of the exercises, one file a notebook: each tells whether an answer is right, and if not, what to try.

A notebook imports its own: `from course_lib.lab.exercises import analysis as exercises`. `checking` says what
`exercises.check_…(answer)` does.
"""

import torch


def normal(*shape, seed=0):
    """Standard normal numbers of a shape, float64, from a generator of their own."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def uniform(*shape, seed=0):
    """Numbers in [0, 1] of a shape, float64, from a generator of their own."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
