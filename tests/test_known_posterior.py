"""Problems with a known posterior: their priors, and the numbers that say what samples are worth."""

import math

import pytest
import torch

from course_lib.lab import known_posterior as lab
from course_lib.models.gaussian_mixture import GaussianMixture


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def gaussian(mean=0.0, std=1.0, shape=(1, 2, 3)):
    D = math.prod(shape)
    covariance = std**2 * torch.eye(D, dtype=torch.float64)[None]
    return GaussianMixture(torch.full((1, *shape), mean, dtype=torch.float64), covariance)


@pytest.mark.parametrize("level", [0.5, 0.9])
@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_intervals_of_gaussian_samples_hold_what_their_width_says(level, scale):
    """The central interval of N(0, scale²) under N(0, 1)."""
    inside = lab.probability_inside(gaussian(std=scale).sample(20_000, seeded()), gaussian(), level)
    half = scale * math.sqrt(2) * torch.erfinv(torch.tensor(level)).item()
    assert inside.shape == (1, 2, 3)
    assert torch.allclose(inside, torch.full_like(inside, math.erf(half / math.sqrt(2))), atol=0.02)


def test_the_marginals_of_a_mixture_count_by_their_weights():
    means = torch.tensor([[-5.0, 0.0], [5.0, 0.0]], dtype=torch.float64).view(2, 1, 1, 2)
    model = GaussianMixture(means, torch.eye(2).double().expand(2, 2, 2), torch.tensor([0.25, 0.75]))
    around_the_first = gaussian(shape=(1, 1, 2)).sample(4000, seeded()) + means[0]
    inside = lab.probability_inside(around_the_first, model, 0.9).flatten()
    assert inside[0] == pytest.approx(0.25 * 0.9, abs=0.01) and inside[1] == pytest.approx(0.9, abs=0.01)


def test_exact_samples_pass_and_others_are_told_by_the_number_that_sees_them():
    exact, count = gaussian(0.3, 0.2), 2000
    right = lab.against(exact.sample(count, seeded(1)), exact)
    assert right["mean"] < 3 / math.sqrt(count) and abs(right["spread"] - 1) < 0.03 and right["distance"] < 0.08
    assert abs(right["50 %"] - 0.5) < 0.03 and abs(right["90 %"] - 0.9) < 0.03
    narrow = lab.against(gaussian(0.3, 0.1).sample(count, seeded(1)), exact)
    assert narrow["spread"] == pytest.approx(0.5, abs=0.03) and narrow["90 %"] < 0.65 and narrow["distance"] > 0.3
    moved = lab.against(exact.sample(count, seeded(1)) + 0.2, exact)
    assert moved["mean"] == pytest.approx(1, abs=0.1) and abs(moved["spread"] - 1) < 0.03
    # Along a line of cosines c the cloud moves by 0.2 Σ c; the mean of |Σ c| for 6 dimensions is that of |N(0, 1)|.
    assert moved["distance"] == pytest.approx(0.8, abs=0.2)


def test_numbers_repeat_and_leave_the_global_generator_alone():
    exact = gaussian()
    x, state = exact.sample(100, seeded()), torch.get_rng_state()
    assert lab.against(x, exact) == lab.against(x, exact) and torch.equal(torch.get_rng_state(), state)


def test_the_prior_of_patches_has_their_mean_and_covariance():
    x = lab.patches(side=4)
    prior = lab.patch_prior(side=4)
    mean, covariance = prior.mean_and_covariance()
    assert x.shape[1:] == (1, 4, 4) and x.min() >= 0 and x.max() <= 1 and len(x) > 1000
    assert torch.allclose(mean, x.mean(0))
    assert torch.allclose(covariance, x.flatten(1).T.cov() + lab.FLOOR**2 * torch.eye(16).double(), atol=1e-10)


def test_each_photograph_has_its_own_gaussian_weighted_by_its_patches():
    """Together the components have the mean and the covariance of all patches (over N, not N − 1)."""
    x, names = lab.patches(side=4), lab.SOURCES
    prior = lab.patch_prior(side=4, groups=[[name] for name in names])
    assert (prior.weights[2] * len(x)).item() == pytest.approx(len(lab.patches(("coffee",), side=4)))
    mean, covariance = prior.mean_and_covariance()
    assert torch.allclose(mean, x.mean(0))
    floor = lab.FLOOR**2 * torch.eye(16).double()
    assert torch.allclose(covariance, x.flatten(1).T.cov() + floor, rtol=1e-2, atol=1e-4)
    moon = lab.patches(("moon",), side=4)[::7]
    assert prior.responsibilities(moon)[:, names.index("moon")].mean() > 0.7


def test_the_plane_has_three_blobs_two_above_each_other():
    means = lab.plane_prior().means.flatten(1)
    assert len(means) == 3 and (means[0] - means[1])[0].abs() < 0.3 < (means[0] - means[1])[1]


def test_clouds_are_drawn_over_their_densities():
    prior = lab.plane_prior()
    clouds = {name: prior.sample(50, seeded()) for name in "abcde"}
    figure = lab.show_clouds(clouds, prior)
    assert [axis.get_title() for axis in figure.axes[:5]] == list("abcde")
    assert all(len(axis.lines[0].get_xdata()) == 50 for axis in figure.axes[:5]) and len(figure.axes) == 8
    lab.show_clouds({"a": clouds["a"]}, {"a": prior})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lab.probability_inside(torch.zeros(3, 6), gaussian(), 0.5), "samples: expected"),
        (lambda: lab.probability_inside(torch.zeros(3, 1, 2, 3), gaussian(), 1.0), "level: expected"),
        (lambda: lab.patch_prior(side=1), "side: expected"),
    ],
)
def test_bad_calls_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
