"""What the figures show."""

import pytest
import torch

from course_lib import plots


def test_stretch_scales_each_picture_by_itself():
    u = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    s = plots.stretch(torch.stack([5 * u[0] - 3, 0.1 * u[1] + 7]))
    assert s.shape == u.shape and s.dtype == torch.float64
    assert s.amin((1, 2, 3)).tolist() == [0, 0] and s.amax((1, 2, 3)).tolist() == [1, 1]
    assert torch.allclose(s, plots.stretch(u))
    assert plots.stretch(torch.ones(1, 1, 2, 2)).tolist() == torch.zeros(1, 1, 2, 2).tolist()


@pytest.mark.parametrize("m, shape", [(1, (1, 1)), (9, (3, 3)), (10, (3, 4)), (17, (4, 5))])
def test_stretch_folds_a_row_of_numbers(m, shape):
    row = torch.arange(m + 0.0).reshape(1, 1, 1, m)
    s = plots.stretch(row)
    assert s.shape == (1, 1, *shape)
    assert torch.allclose(s.flatten()[:m], row.flatten() / max(m - 1, 1)) and not s.flatten()[m:].any()


def test_stretch_widens_a_tall_picture():
    u = torch.arange(20.0).reshape(1, 1, 10, 2)
    assert torch.equal(plots.stretch(u)[..., [0, 9]], u / 19) and plots.stretch(u).shape == (1, 1, 10, 10)


def test_stretch_names_what_is_wrong():
    with pytest.raises(ValueError, match=r"u: expected shape \[B, C, H, W\], got \[3, 4\]"):
        plots.stretch(torch.ones(3, 4))
