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
