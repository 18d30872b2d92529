"""Patches: the order of extraction, the exact adjoint, the inverse, on odd and non-square sizes and any stride."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.image import extract_patches_2d, reconstruct_from_patches_2d

from course_lib.data import patches

F64 = torch.float64


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


@st.composite
def problems(draw):
    """A shape [B, C, H, W], a size that fits in it, and a stride."""
    shape = [draw(st.integers(1, high)) for high in (2, 3, 11, 13)]
    return shape, draw(st.integers(1, min(shape[2:]))), draw(st.integers(1, 9))


@given(problems())
@settings(max_examples=60, deadline=None)
def test_adjoint_and_counts(problem):
    shape, size, stride = problem
    x = noise(*shape)
    p = patches.extract(x, size, stride)
    q = noise(*p.shape, seed=1)
    left, right = (p * q).sum(), (x * patches.extract_adjoint(q, shape, stride)).sum()
    assert abs(left - right) <= 1e-12 * p.norm() * q.norm()
    normal = patches.extract_adjoint(p, shape, stride)
    expected = x * patches.counts(shape, size, stride, F64)
    assert (normal - expected).norm() <= 1e-12 * x.norm() * expected.abs().max().clamp_min(1)


@given(problems())
@settings(max_examples=60, deadline=None)
def test_average_inverts_extraction(problem):
    shape, size, stride = problem
    x, stride = noise(*shape), min(stride, size)
    back = patches.average(patches.extract(x, size, stride), shape, stride)
    assert (back - x).norm() <= 1e-12 * x.norm()


def test_average_solves_the_least_squares_problem():
    shape, size, stride = (1, 2, 6, 7), 3, 2
    basis = torch.eye(2 * 6 * 7, dtype=F64).reshape(-1, 2, 6, 7)
    R = torch.stack([patches.extract(e[None], size, stride).flatten() for e in basis], 1)
    p = noise(*patches.extract(noise(*shape), size, stride).shape, seed=3)
    solution = torch.linalg.lstsq(R, p.reshape(-1, 1)).solution.reshape(shape)
    assert (patches.average(p, shape, stride) - solution).norm() <= 1e-10 * solution.norm()


def test_against_unfold_where_the_stride_divides():
    x = noise(2, 3, 9, 13)
    expected = F.unfold(x, 5, stride=4).transpose(1, 2).reshape(-1, 75)
    assert torch.equal(patches.extract(x, 5, 4), expected)
    p = noise(*expected.shape, seed=2)
    folded = F.fold(p.reshape(2, -1, 75).transpose(1, 2), (9, 13), 5, stride=4)
    assert torch.allclose(patches.extract_adjoint(p, x.shape, 4), folded, rtol=0, atol=1e-12)


def test_against_scikit_learn():
    x = noise(1, 1, 9, 12)
    theirs = extract_patches_2d(x[0, 0].numpy(), (4, 4))
    assert np.array_equal(patches.extract(x, 4).reshape(-1, 4, 4).numpy(), theirs)
    p = noise(*theirs.shape, seed=4)
    mean = patches.average(p.flatten(1), x.shape)[0, 0].numpy()
    np.testing.assert_allclose(mean, reconstruct_from_patches_2d(p.numpy(), (9, 12)), atol=1e-12)


def test_the_last_patch_moves_back_to_the_border():
    assert patches.positions(10, 4, 4).tolist() == [0, 4, 6]
    assert patches.positions(10, 4, 3).tolist() == [0, 3, 6]
    assert patches.positions(4, 4, 7).tolist() == [0]
    x = torch.arange(30.0, dtype=F64).reshape(1, 1, 5, 6)
    corner = patches.extract(x, 2, 2)[-1]
    assert torch.equal(corner, x[0, 0, 3:, 4:].flatten())


def test_an_image_is_the_same_alone_and_in_a_batch():
    x = noise(3, 2, 7, 8)
    p = patches.extract(x, 3, 2)
    assert torch.equal(p.reshape(3, -1, 18)[1], patches.extract(x[1:2], 3, 2))
    alone = patches.average(p.reshape(3, -1, 18)[1], (1, 2, 7, 8), 2)
    assert torch.equal(patches.average(p, x.shape, 2)[1:2], alone)


def test_dtype_device_and_gradient(device):
    x = torch.rand(2, 1, 6, 6, device=device, requires_grad=True)
    p = patches.extract(x, 3)
    back = patches.average(p, x.shape)
    assert p.dtype == back.dtype == torch.float32 and p.device == back.device == x.device
    (gradient,) = torch.autograd.grad(p.sum(), x)
    assert torch.equal(gradient, patches.counts(x.shape, 3, device=device).expand_as(x))


def test_patches_that_leave_gaps_have_no_average():
    x = noise(1, 2, 6, 7)
    with pytest.raises(ValueError, match="stride: expected at most the size of a patch, 2, to cover the images, got 3"):
        patches.average(patches.extract(x, 2, 3), x.shape, 3)
