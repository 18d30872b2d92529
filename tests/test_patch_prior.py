"""The patch prior against single patches, against a whole-image flow, and on images of odd sizes."""

import pytest
import torch
from test_reconstruction import small_flow

from course_lib.models.glow import Glow
from course_lib.operators import Blur, Identity, Mask, random_mask, uniform_kernel
from course_lib.reconstruction import map_estimate, map_objective, patch_map, patch_penalty
from course_lib.reconstruction.base import data_term


@pytest.fixture(scope="module")
def flow():
    return small_flow()


def images(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_an_image_that_is_one_patch_has_the_penalty_of_the_whole(flow):
    x = images(3, 3, 8, 8)
    zero = torch.zeros_like(x)
    whole = map_objective(x, zero, Identity(), flow, 1.0) - data_term(x, zero, Identity())
    torch.testing.assert_close(patch_penalty(x, flow), whole)


def test_every_pixel_counts_once(flow):
    """For patches side by side φ is the sum of their penalties; for overlapping ones their mean, times as many."""
    x = images(2, 3, 16, 24)
    parts = [x[:, :, i : i + 8, j : j + 8] for i in (0, 8) for j in (0, 8, 16)]
    torch.testing.assert_close(patch_penalty(x, flow), sum(patch_penalty(part, flow) for part in parts))
    parts = [x[:, :, i : i + 8, j : j + 8] for i in (0, 4, 8) for j in (0, 4, 8, 12, 16)]
    mean = sum(patch_penalty(part, flow) for part in parts) / len(parts)
    torch.testing.assert_close(patch_penalty(x, flow, stride=4), mean * 6)


def test_a_shift_moves_the_grid(flow):
    x = images(1, 3, 19, 13)
    padded = torch.nn.functional.pad(x, (2, 0, 5, 0), mode="reflect")
    expected = patch_penalty(padded, flow, 8) * x.numel() / padded.numel()
    torch.testing.assert_close(patch_penalty(x, flow, 8, (5, 2)), expected)
    assert not torch.allclose(patch_penalty(x, flow), patch_penalty(x, flow, shift=(1, 0)))


def test_a_grey_flow_takes_colour_channel_by_channel():
    generator = torch.Generator().manual_seed(1)
    grey = Glow(size=8, channels=1, steps=2, widths=(8, 8)).double()
    grey.initialize(0.5 + 0.2 * torch.randn(32, 1, 8, 8, generator=generator, dtype=torch.float64))
    x = images(2, 3, 11, 9)
    total = sum(patch_penalty(x[:, c : c + 1], grey.freeze()) for c in range(3))
    torch.testing.assert_close(patch_penalty(x, grey), total)


def test_one_round_on_one_patch_is_the_map(flow):
    x = images(2, 3, 8, 8)
    A = Blur(uniform_kernel(3, torch.float64))
    y = A(x) + 0.02 * torch.randn(x.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    still = torch.Generator().manual_seed(0)
    seed = next(s for s in range(2000) if not torch.randint(8, (2,), generator=still.manual_seed(s)).any())
    found = patch_map(y, A, flow, 1e-3, x, rounds=1, steps=15, seed=seed, truth=x)
    torch.testing.assert_close(found.x, map_estimate(y, A, flow, 1e-3, x, steps=15).x, rtol=0, atol=1e-9)
    assert found.history["psnr"].shape == (2, 2) == found.history["data"].shape


def test_rounds_lower_the_objective_and_images_stay_apart(flow):
    x, A = images(2, 3, 20, 15), Mask(random_mask(20, 15, 0.5))
    y, lam = A(x), torch.tensor([1e-2, 1e-3], dtype=torch.float64)
    options = dict(stride=4, rounds=3, steps=10)
    found = patch_map(y, A, flow, lam, **options)
    alone = patch_map(y[1:], A, flow, 1e-3, **options)
    torch.testing.assert_close(found.x[1:], alone.x, rtol=0, atol=1e-7)

    def objective(x):
        return data_term(x, y, A) + lam * patch_penalty(x, flow, 4)

    start = patch_map(y, A, flow, lam, A.T(y), stride=4, rounds=1, steps=1).x
    assert (objective(found.x) < objective(start)).all() and (found.evaluations <= 33).all()


def test_a_flow_of_other_channels_is_named(flow):
    with pytest.raises(ValueError, match="x: expected images of 3 channels"):
        patch_penalty(images(1, 2, 16, 16), flow)
