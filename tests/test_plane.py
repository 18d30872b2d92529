"""What notebook 11 looks at densities and maps of the plane with."""

import math

import pytest
import torch

from course_lib.lab import plane
from course_lib.models.flow2d import RealNVP, ring


@pytest.fixture
def flow():
    model = RealNVP(couplings=3, width=8)
    for i, p in enumerate(model.parameters()):
        torch.nn.init.normal_(p, std=0.5, generator=torch.Generator().manual_seed(i))
    return model


def test_a_grid_has_cells_that_fill_its_box():
    points, cell = plane.grid(-1, 1, 0, 4, 5)
    assert points.shape == (25, 2) and cell == pytest.approx(0.5)
    assert points.amin(0).tolist() == [-1, 0] and points.amax(0).tolist() == [1, 4]


def test_jacobians_are_those_of_autograd(flow):
    x = torch.randn(4, 2)
    expected = torch.stack([torch.autograd.functional.jacobian(lambda p: flow.encode(p[None])[0], p) for p in x])
    torch.testing.assert_close(plane.jacobians(flow.encode, x), expected)
    torch.testing.assert_close(plane.jacobians(lambda x: 3 * x[:, :1], x), torch.tensor([[[3.0, 0.0]]]).expand(4, 1, 2))


def test_a_chain_ends_with_the_latents_and_the_loss(flow):
    x = torch.randn(50, 2)
    states, losses = plane.chain(flow, x)
    assert len(states) == len(losses) == 4 and torch.equal(states[0], x)
    torch.testing.assert_close(states[-1], flow.encode(x))
    assert losses[-1] == pytest.approx(-flow.log_prob(x).mean().item(), abs=1e-5)
    assert losses[0] == pytest.approx(0.5 * x.square().sum(1).mean().item() + math.log(2 * math.pi), abs=1e-5)


def test_squares_are_coloured_by_their_area():
    figure, logdet = plane.show_squares(lambda x: x * torch.tensor([2.0, 3.0]), lines=5)
    torch.testing.assert_close(logdet, torch.full((16,), math.log(6)))
    assert figure.axes[-1].get_ylabel() == "log|det J_E|"


def test_drawings_show_what_they_are_given(flow):
    figure, (left, right) = plane.axes("one", "two", name="z")
    assert [left.get_title(), right.get_title()] == ["one", "two"] and left.get_xlabel() == "$z_1$"
    points, _ = plane.grid(-1, 1, -2, 2, 10)
    plane.show_density(left, flow.log_prob(points).detach(), (-1, 1, -2, 2))
    assert left.images[0].get_extent() == (-1, 1, -2, 2) or list(left.images[0].get_extent()) == [-1, 1, -2, 2]
    plane.show_points(right, points, (-1, 1, -2, 2), color="k")
    plane.show_net(right, flow.decode, (-1, 1, -2, 2), lines=3)
    assert right.get_xlim() == (-1, 1) and len(right.lines) == 7
    figure = plane.draw_chain(flow, ring(points=8), 2, "eight blobs")
    assert figure.axes[0].get_title() == "eight blobs after 2 of 3 couplings"
    assert figure.axes[1].lines[1].get_xdata() == [2]
    figure = plane.show_matrices({"a": torch.eye(4), "b": -torch.eye(4)})
    assert figure.axes[1].get_title() == "b" and figure.axes[0].get_xticks().tolist() == [0, 1, 3]
