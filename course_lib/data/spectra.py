"""Simulated spectral data, cube = spectra × maps: an EELS spectrum-image and a nebula as JWST may see one.

Nothing here is measured. The positions of edges and lines are those of real elements and gases; the shapes of the
spectra are simple formulas, and the maps are random. A cube is a batch [1, bands, H, W] with values in [0, 1].
"""

from dataclasses import dataclass

import torch

from course_lib.common import as_generator, check, check_batch, check_count, check_number

EDGES = {"C": 284.0, "Ca": 346.0, "N": 401.0, "Ti": 456.0, "O": 532.0}
"""Onset energies in eV of core-loss edges: K of carbon, nitrogen and oxygen, L₂₃ of calcium and titanium."""

MATERIALS = {
    "carbon film": (0.6, 3.2, {"C": 0.6}),
    "boron nitride": (0.8, 2.9, {"C": 0.04, "N": 0.5}),
    "calcium carbonate": (1.0, 3.0, {"C": 0.12, "Ca": 0.7, "O": 0.25}),
    "titanium oxide": (0.9, 2.8, {"Ti": 0.6, "O": 0.35}),
}
"""Name: (A, r, {element: height of its edge}): background A (E / E_min)^(−r), and heights relative to it, at the onset.
Plausible, but not tabulated cross-sections."""

LINES = {
    "ionized gas": {1.083: 0.8, 1.282: 0.6, 1.875: 1.0, 2.166: 0.25},
    "molecular gas": {1.958: 0.6, 2.034: 0.35, 2.122: 1.0, 2.223: 0.3},
    "shocked iron": {1.257: 1.0, 1.644: 0.9},
}
"""Wavelengths in µm and heights of lines: He I, Paschen β and α, Brackett γ; H₂ 1-0 S(3), S(2), S(1), S(0); [Fe II]."""


@dataclass
class Scene:
    """A cube that is known exactly: cube(b, i, j) = Σ_k spectra(b, k) maps(k, i, j).

    `cube` [1, bands, H, W]; `spectra` [bands, K]; `maps` [1, K, H, W]; `axis` [bands], eV or µm; `names`, K of them.
    """

    cube: torch.Tensor
    spectra: torch.Tensor
    maps: torch.Tensor
    axis: torch.Tensor
    names: list


def mix(spectra, maps, axis, names):
    """The `Scene` of spectra [bands, K] >= 0 and maps [1, K, H, W] >= 0; the spectra are scaled so that the brightest
    value of the cube is 1."""
    cube = torch.einsum("bk,nkhw->nbhw", spectra, maps)
    return Scene(cube / cube.max(), spectra / cube.max(), maps, axis, list(names))


def edge(energy, onset, width=2.0, decay=3.0):
    """A core-loss edge, h(E) = (E / E₀)^(−s) / (1 + exp(−(E − E₀) / w)): nothing below the onset E₀, then a tail.

    Args:
        energy: E, a tensor. onset: E₀ > 0. width: w > 0, of the step, in the unit of E. decay: s >= 0, of the tail.

    The power law is the usual model of tails and backgrounds (Egerton 2011, doi:10.1007/978-1-4419-9583-4).
    """
    return (energy / onset).pow(-decay) * torch.sigmoid((energy - onset) / width)


def core_loss(energy, amplitude, exponent, heights):
    """The spectrum of a material, s(E) = A b(E) + Σ_e g_e A b(E_e) h_e(E): a power law b(E) = (E / E_min)^(−r), and on
    it the edges h_e of its elements, with their onsets at E_e.

    Args:
        energy: E, increasing, [bands]. amplitude, exponent: A > 0 and r >= 0. heights: {element of `EDGES`: g_e}.
    """
    spectrum = (energy / energy[0]).pow(-exponent)
    for element, height in heights.items():
        spectrum = spectrum + height * (EDGES[element] / energy[0]) ** -exponent * edge(energy, EDGES[element])
    return amplitude * spectrum


def smooth_fields(count, size, scale, generator=0, dtype=None):
    """Random images [1, count, size, size], periodic, of mean 0 and variance 1: white noise under a Gaussian filter of
    standard deviation `scale` pixels, less than `size`: beyond, it leaves nothing but the mean, and rounding errors.
    `generator` is a seed or a `torch.Generator`."""
    noise = torch.randn(1, count, size, size, generator=as_generator(generator), dtype=dtype)
    frequency = torch.fft.fftfreq(size, dtype=noise.dtype)
    gaussian = torch.exp(-2 * (torch.pi * scale * frequency).square())  # the transform of one along a side
    field = torch.fft.ifft2(torch.fft.fft2(noise) * gaussian[:, None] * gaussian).real
    field = field - field.mean((2, 3), keepdim=True)
    return field / field.square().mean((2, 3), keepdim=True).sqrt()


def abundance_maps(count, size, scale=7.0, sharpness=8.0, generator=0, dtype=None):
    """Piecewise-smooth maps [1, count, size, size], a_k = exp(γ f_k) / Σ_j exp(γ f_j) with `smooth_fields` f: grains
    where one material has nearly all, and narrow borders where two mix. They are >= 0 and sum to 1 in each pixel.

    Args:
        scale: size of the grains in pixels. sharpness: γ > 0; the larger, the narrower the borders.
    """
    return (sharpness * smooth_fields(count, size, scale, generator, dtype)).softmax(1)


def spectrum_image(size=64, bands=120, generator=0, dtype=None):
    """An EELS spectrum-image from 250 to 650 eV, a `Scene`: the four `MATERIALS`, mixed by `abundance_maps`.

    Simulated: edges at the energies of real elements on a power law, grains, no change of thickness, no multiple
    scattering, no fine structure, no drift; the noise is left to `poisson_counts`.
    """
    check_count("size", size, low=8)  # more than the scale of the grains
    check_count("bands", bands, low=2)
    energy = torch.linspace(250, 650, bands, dtype=dtype)
    spectra = torch.stack([core_loss(energy, *material) for material in MATERIALS.values()], 1)
    return mix(spectra, abundance_maps(len(MATERIALS), size, generator=generator, dtype=dtype), energy, MATERIALS)


def poisson_counts(x, dose, generator=0):
    """y = n / N, n ~ Poisson(N x): counted electrons or photons, of mean x and variance x / N.

    Args:
        x: images [B, C, H, W], >= 0. dose: N > 0, the counts that a value 1 gives. generator: a seed or a generator.
    """
    check_batch("x", x, 4)
    check_number("dose", dose, positive=True)
    check(bool((x >= 0).all()), "x", "values >= 0", x.min().item())
    return torch.poisson(dose * x, generator=as_generator(generator, x.device)) / dose


FILTERS = {"F115W": (1.154, 0.225), "F150W": (1.501, 0.318), "F200W": (1.990, 0.461)}
"""Centre and width in µm of three wide filters, rounded from those of JWST's camera NIRCam."""


def line(wavelength, centre, width=0.01):
    """An emission line, exp(−(λ − λ₀)² / 2w²), of height 1, with w > 0 in the unit of λ."""
    return torch.exp(-0.5 * ((wavelength - centre) / width).square())


def broad_bands(wavelength, filters=FILTERS, softness=0.01):
    """R [m, bands], each row of sum 1: what m filters {name: (centre c, width d)} let through, the smooth box
    1 / (1 + exp((|λ − c| − d/2) / softness)). The matrix of a `SpectralResponse`.

    Raises ValueError for a filter that lets nothing through.
    """
    centre, width = wavelength.new_tensor(list(filters.values())).T[..., None]
    R = torch.sigmoid((width / 2 - (wavelength - centre).abs()) / softness)
    seen = ((wavelength - centre).abs() <= width / 2).any(1)
    blind = [name for name, sees in zip(filters, seen.tolist(), strict=True) if not sees]
    check(not blind, "filters", f"filters that pass a band of {wavelength[0]:g} to {wavelength[-1]:g} µm", blind)
    return R / R.sum(1, keepdim=True)


def nebula(size=96, bands=100, iron=0.0, generator=0, dtype=None):
    """A nebula from 1.0 to 2.4 µm, a `Scene`: a bubble of ionized gas, a shell of molecular gas, dust around, stars.

    Args:
        iron: brightness of a fifth component, one compact source of shocked iron, the last map; by default none.

    Simulated: `LINES` of real gases as Gaussians, continua as power laws, a wobbly bubble with random texture, stars as
    small discs, all periodic. No velocities, no extinction.
    """
    check_count("size", size, low=2)
    check_count("bands", bands, low=2)
    check_number("iron", iron)
    wavelength = torch.linspace(1.0, 2.4, bands, dtype=dtype)
    lines = {name: sum(h * line(wavelength, c) for c, h in heights.items()) for name, heights in LINES.items()}
    spectra = {
        "ionized gas": lines["ionized gas"] + 0.08 * wavelength.pow(-0.5),
        "molecular gas": lines["molecular gas"] + 0.02,
        "dust": 0.5 * (wavelength / 2.4).pow(1.5),
        "stars": 1.5 * wavelength.pow(-2.5),
        "shocked iron": lines["shocked iron"],
    }
    maps = nebula_maps(size, generator, dtype)
    maps[:, 4] *= iron
    K = 5 if iron else 4
    return mix(torch.stack(list(spectra.values())[:K], 1), maps[:, :K], wavelength, list(spectra)[:K])


def nebula_maps(size=96, generator=0, dtype=None):
    """The maps [1, 5, size, size] of `nebula`: ionized gas, molecular gas, dust, stars, and the source of iron."""
    generator = as_generator(generator)
    wobble, rough, fine = (smooth_fields(1, size, s * size / 96, generator, dtype)[0, 0] for s in (12, 3, 1.5))
    at = torch.arange(size, dtype=dtype) / size - 0.5
    outside = (at[:, None].square() + at.square()).sqrt() - 0.26 - 0.025 * wobble  # distance from the bubble
    ionized = (0.55 + 2 * outside.clamp(-0.25, 0) + 0.1 * rough).clamp_min(0.05) * torch.sigmoid(-outside / 0.012)
    bright, faint = (torch.exp(-0.5 * ((outside - d) / w).square()) for d, w in ((0.04, 0.018), (0.13, 0.012)))
    shell = (bright + 0.4 * faint) * (0.5 * fine).exp()
    dust = torch.sigmoid(outside / 0.02) * torch.exp(-3 * outside.clamp_min(0)) * (0.3 * rough).exp() + 0.1
    places = torch.rand(13, 2, generator=generator, dtype=dtype) - 0.5
    heights = 0.1 + 0.5 * torch.rand(13, generator=generator, dtype=dtype).square()
    places = torch.cat([places, places.new_tensor([[0.0, 0.1]])])  # the last one is the source of iron, in the bubble
    squares = (at[:, None] - places[:, :1, None]).square() + (at - places[:, 1:, None]).square()
    spots = torch.exp(-0.5 * squares * (size / 0.9) ** 2)  # discs of standard deviation 0.9 pixels
    stars = (heights[:, None, None] * spots[:-1]).sum(0)
    return torch.stack([ionized, shell, dust, stars, spots[-1]])[None]
