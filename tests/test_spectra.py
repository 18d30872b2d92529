"""The simulated scenes are what their docstrings say: edges, lines, grains, rank, counts."""

import math

import numpy as np
import torch

from course_lib.data import spectra
from course_lib.operators import SpectralResponse

F64 = {"dtype": torch.float64}


def slope(x, y):
    """d log y / d log x of neighbours."""
    return y.log().diff() / x.log().diff()


def test_an_edge_is_a_step_and_a_power_law():
    energy = torch.linspace(200, 2000, 1801, **F64)
    h = spectra.edge(energy, 532.0, width=2.0, decay=3.0)
    assert h[energy < 490].max() < 1e-8 and abs(h[energy == 532].item() - 0.5) < 1e-12
    assert 532 < energy[h.argmax()] < 550 and energy[h.diff().argmax()].sub(532).abs() <= 1
    tail = energy > 700
    assert (slope(energy[tail], h[tail]) + 3).abs().max() < 1e-9


def test_a_core_loss_spectrum_is_a_background_with_jumps():
    energy = torch.linspace(250, 650, 4001, **F64)
    s = spectra.core_loss(energy, 0.7, 3.1, {"N": 0.5, "O": 0.2})
    background = 0.7 * (energy / 250) ** -3.1
    before = energy < 350
    assert torch.allclose(s[before], background[before], rtol=1e-7)
    for element, height in (("N", 0.5), ("O", 0.2)):
        onset = spectra.EDGES[element]
        at = (energy - onset).abs().argmin()
        # Half of the step at its onset, on top of what came before.
        earlier = 0.5 * 0.7 * (401 / 250) ** -3.1 * (onset / 401) ** -3.0 if element == "O" else 0
        assert abs(s[at] - background[at] * (1 + height / 2) - earlier) < 1e-9
    assert s[energy < 532].min() > 0 and torch.equal(spectra.core_loss(energy, 0.7, 3.1, {}), background)


def test_smooth_fields_are_gaussian_filtered_noise():
    f = spectra.smooth_fields(400, 48, 3.0, **F64)
    assert f.shape == (1, 400, 48, 48)
    assert f.mean((2, 3)).abs().max() < 1e-12 and (f.square().mean((2, 3)) - 1).abs().max() < 1e-12
    for lag in (0, 2, 4, 6):
        for axis in (2, 3):
            correlation = (f * f.roll(lag, axis)).mean().item()
            # Without its mean, a field loses the frequency 0: correlations fall by about 4πs²/N².
            assert abs(correlation - math.exp(-(lag**2) / 36)) < 0.07
    assert torch.equal(f, spectra.smooth_fields(400, 48, 3.0, torch.Generator().manual_seed(0), **F64))
    assert not torch.equal(f[:, :4], spectra.smooth_fields(4, 48, 3.0, 1, **F64))


def test_abundances_sum_to_one_and_are_grains():
    a = spectra.abundance_maps(3, 40, sharpness=8.0, **F64)
    assert a.shape == (1, 3, 40, 40) and a.min() >= 0 and torch.allclose(a.sum(1), torch.ones(1, 40, 40, **F64))
    sharper = spectra.abundance_maps(3, 40, sharpness=80.0, **F64)
    pure = [(maps.amax(1) > 0.95).double().mean().item() for maps in (a, sharper)]
    assert 0.4 < pure[0] < pure[1] and pure[1] > 0.9
    assert torch.equal(a.argmax(1), sharper.argmax(1))


def test_the_spectrum_image():
    scene = spectra.spectrum_image(24, 80, generator=3, dtype=torch.float64)
    x = scene.cube
    assert x.shape == (1, 80, 24, 24) and x.max() == 1 and x.min() > 0 and scene.axis[[0, -1]].tolist() == [250, 650]
    assert scene.names == list(spectra.MATERIALS) and torch.allclose(scene.maps.sum(1), torch.ones(1, 24, 24, **F64))
    product = scene.spectra.numpy() @ scene.maps[0].flatten(1).numpy()
    assert np.allclose(x[0].flatten(1).numpy(), product, atol=1e-14)
    matrix = x[0].flatten(1)
    assert torch.linalg.matrix_rank(matrix) == 4
    assert torch.linalg.matrix_rank(matrix - matrix.mean(1, keepdim=True), atol=1e-9) == 3
    for k, (A, r, heights) in enumerate(spectra.MATERIALS.values()):
        s = spectra.core_loss(scene.axis, A, r, heights)
        assert torch.allclose(scene.spectra[:, k] / scene.spectra[0, k], s / s[0])
    assert spectra.spectrum_image(8, 10).cube.dtype == torch.get_default_dtype()


def test_counts_have_the_mean_and_the_variance_of_poisson():
    x = torch.tensor([0.0, 0.05, 0.3, 1.0], **F64).reshape(1, 4, 1, 1).expand(1, 4, 200, 200)
    y = spectra.poisson_counts(x, 40.0, 5)
    assert y.dtype == torch.float64 and torch.allclose((40 * y).round(), 40 * y) and y[:, 0].abs().max() == 0
    for b in (1, 2, 3):
        mean, variance = x[0, b, 0, 0].item(), x[0, b, 0, 0].item() / 40
        assert abs(y[:, b].mean().item() - mean) < 5 * (variance / 40000) ** 0.5
        assert abs(y[:, b].var().item() / variance - 1) < 0.05
    assert torch.equal(y, spectra.poisson_counts(x, 40.0, torch.Generator().manual_seed(5)))
    assert not torch.equal(y, spectra.poisson_counts(x, 40.0, 6))


def test_lines_and_filters():
    wavelength = torch.linspace(1.0, 2.4, 1401, **F64)
    s = spectra.line(wavelength, 1.875, width=0.01)
    assert abs(wavelength[s.argmax()] - 1.875) < 1e-9
    assert abs(torch.trapezoid(s, wavelength) - 0.01 * (2 * math.pi) ** 0.5) < 1e-6
    R = spectra.broad_bands(wavelength)
    assert R.shape == (3, 1401) and torch.allclose(R.sum(1), torch.ones(3, **F64)) and R.min() >= 0
    for row, (centre, width) in zip(R, spectra.FILTERS.values(), strict=True):
        assert abs((row * wavelength).sum() - centre) < 2e-3
        assert row[(wavelength - centre).abs() < width / 2 - 0.05].sum() > 0.5
        assert row[(wavelength - centre).abs() > width / 2 + 0.1].sum() < 1e-3
    flat = SpectralResponse(R)(torch.full((1, 1401, 2, 3), 0.7, **F64))
    assert torch.allclose(flat, torch.full((1, 3, 2, 3), 0.7, **F64))


def test_the_nebula():
    plain, with_iron = (spectra.nebula(32, 141, iron=i, generator=2, dtype=torch.float64) for i in (0.0, 0.5))
    assert plain.cube.shape == (1, 141, 32, 32) and plain.cube.max() == 1 and plain.cube.min() >= 0
    assert [torch.linalg.matrix_rank(s.cube[0].flatten(1)).item() for s in (plain, with_iron)] == [4, 5]
    assert with_iron.names[:4] == plain.names and torch.equal(with_iron.maps[:, :4], plain.maps)
    source = with_iron.maps[0, 4]
    assert abs(source.max() - 0.5) < 0.1 and (source > 0.05).double().mean() < 0.02
    wavelength = plain.axis
    for k, name in ((0, "ionized gas"), (1, "molecular gas"), (4, "shocked iron")):
        centre = max(spectra.LINES[name], key=spectra.LINES[name].get)
        assert abs(wavelength[with_iron.spectra[:, k].argmax()] - centre) < 0.011
    assert (with_iron.spectra[:, 2].diff() > 0).all() and (with_iron.spectra[:, 3].diff() < 0).all()
    # The gas of the bubble is inside, the molecules in a shell around it, the dust outside.
    at = torch.arange(32) / 32 - 0.5
    distance = (at[:, None] ** 2 + at**2).sqrt()
    radius = [((a * distance).sum() / a.sum()).item() for a in plain.maps[0, :3]]
    assert radius[0] < radius[1] < radius[2]
