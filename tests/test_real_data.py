"""The problems of notebook 18."""

import torch

from course_lib.lab import real_data


def test_objects_are_grey_images():
    for image in (real_data.grey("cat", 32), real_data.cell(32)):
        assert image.shape == (1, 1, 32, 32) and 0 <= image.min() < image.max() <= 1


def test_missing_pixels_and_scans_are_data_of_their_operator():
    x = real_data.grey("cat", 32)
    y, A = real_data.inpainting(x)
    assert (y[..., ~A.mask[0]] == 0).all() and 0.005 < (y - A(x))[..., A.mask[0]].std() < 0.015
    R, A = real_data.scanner(32, views=10)
    x, y = real_data.scans(32, R, A, 0.001)
    assert x.shape == (3, 1, 32, 32) and (y - A(x))[:2].std() < 0.0012 < (y - A(x))[2:].std() < 0.02


def test_maps_and_images_are_the_same_numbers():
    x, A, y, c, H, mean = real_data.acquire(16, seed=1)
    assert x.shape == y.shape == (1, 100, 16, 16) and c.shape == (1, 4, 16, 16) and mean.shape == (100,)
    torch.testing.assert_close(H.T(H(c)), c)
    filled = real_data.nearest(c, A)
    assert torch.equal(A(filled), A(c)) and (filled != 0).all()
    to_images, to_maps, span = real_data.as_images(c, A)
    seen = to_images(c)[:, 0][:, A.mask[0]]
    assert torch.allclose(seen.amin(1), torch.zeros(4)) and torch.allclose(seen.amax(1), torch.ones(4))
    torch.testing.assert_close(to_maps(to_images(filled)), filled)
    assert (span > 0).all()


def test_a_motion_is_a_line_from_end_to_end():
    k = real_data.motion(36, -1.2)
    i, j = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) - n // 2 for n in k.shape), indexing="ij")
    k = k.double()
    assert (k.sum() - 1).abs() < 1e-6 and abs((k * i).sum()) < 1e-6 and abs((k * j).sum()) < 1e-6
    # The moments of an even motion, and what the four pixels around a point add: less than a quarter.
    assert 36**2 / 12 < (k * j * j).sum() < 36**2 / 12 + 0.25 and abs((k * i * j).sum() + 1.2 * 36 / 12) < 0.02


def test_rows_that_moved_lack_the_frequencies_of_the_motion():
    rows = torch.randn(200, 400, generator=torch.Generator().manual_seed(0))
    moved = torch.nn.functional.conv2d(rows[None, None], torch.full((1, 1, 1, 40), 1 / 40))[0, 0]
    power = real_data.row_spectrum(torch.nn.functional.pad(moved, (0, 39)))
    assert power.shape == (201,) and power[20] < 0.1 * power[15] and power[30] < 0.2 * power[25]
    assert real_data.clock().shape == (1, 1, 300, 400)


def test_a_trend_is_taken_out_and_nothing_else():
    i, j = torch.meshgrid(torch.arange(20.0), torch.arange(30.0), indexing="ij")
    u = torch.randn(1, 1, 20, 30, generator=torch.Generator().manual_seed(0))
    rest = real_data.without_trend(u)
    assert (real_data.without_trend(u + 3 + 0.1 * i - 0.01 * j**2 + 0.02 * i * j) - rest).abs().max() < 1e-4
    assert 0.97 < rest.norm() / u.norm() < 1


def test_seams_find_a_grid_wherever_it_lies():
    truth = torch.zeros(1, 1, 64, 64)
    u = 0.1 * torch.rand(truth.shape, generator=torch.Generator().manual_seed(0))
    squares = (torch.arange(64) + 5) // 16 % 2
    assert real_data.seams(u, truth) < 1.3
    assert real_data.seams(u + 0.2 * (squares[:, None] ^ squares), truth) > 3


def test_pictures():
    assert real_data.tiled(torch.zeros(16, 256)).shape == (1, 36, 144)
    truth = torch.rand(1, 1, 8, 8)
    figure = real_data.draw_result(truth, {"TV": truth}, {"TV": 30.0, "FBP": 20.0}, "TV")
    assert [axis.get_title() for axis in figure.axes[:3]] == ["truth", "TV", "5 × error"]
