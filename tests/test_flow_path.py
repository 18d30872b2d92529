"""The way from noise to an image."""

from itertools import pairwise

import pytest
import torch

from course_lib.lab import flow_path
from course_lib.models.flow_in_time import FlowInTime


@pytest.mark.parametrize("scheme", ["euler", "midpoint", "heun", "invertible"])
def test_it_leads_from_the_latent_to_the_decoded_image(scheme):
    flow = FlowInTime(size=8, widths=(4, 4)).double().discretize(3, scheme)
    for i, p in enumerate(flow.parameters()):
        torch.nn.init.normal_(p, std=0.2, generator=torch.Generator().manual_seed(i))
    flow.initialize(torch.rand(9, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    z = torch.randn(2, flow.dim, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = flow_path.states(flow, z)
    assert len(found) == 4 and found[0][0] == 0 and found[-1][0] == 1
    assert all(before < after for (before, _), (after, _) in pairwise(found))
    torch.testing.assert_close(found[0][1].flatten(1), z)
    torch.testing.assert_close(found[-1][1], flow.decode(z))


def test_a_gaussian_flow_has_its_formula_on_the_whole_way():
    flow = FlowInTime(size=8, widths=(4, 4)).double().discretize(4, "euler")  # untrained: F = 0
    z = torch.randn(1, flow.dim, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for t, x in flow_path.states(flow, z):
        a = (t**2 * flow.std**2 + (1 - t) ** 2).sqrt()
        right = t * flow.mean + flow.transform(a * flow.transform(z.unflatten(1, flow.mean.shape)), inverse=True)
        torch.testing.assert_close(x, right)


def test_what_is_shown_of_noise_and_of_an_image():
    x = torch.tensor([-2.0, 0.0, 2.0])
    torch.testing.assert_close(flow_path.visible(x, 0.0), torch.tensor([0.0, 0.5, 1.0]))
    torch.testing.assert_close(flow_path.visible(x, 1.0), x)
