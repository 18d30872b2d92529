"""Coverage of intervals: against a Gaussian, on a small decoder whose posterior is right, and as a table."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from course_lib import __main__
from course_lib.models.vae import VAE
from course_lib.studies import coverage
from course_lib.studies.store import read_table


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9])
@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_intervals_of_a_gaussian_cover_what_their_width_says(level, scale):
    """The central interval of N(0, 1) has the half width √2 erf⁻¹(level); N(0, scale²) lies in it less often."""
    found = coverage.coverage(normal(2000, 3000), scale * normal(3000, seed=1), level)
    width = math.sqrt(2) * torch.erfinv(torch.tensor(level)).item()
    assert found == pytest.approx(math.erf(width / scale / math.sqrt(2)), abs=0.02)


QUICK = {"method": "hmc", "chains": 2, "burn": 60, "steps": 60, "thin": 1}


@pytest.fixture
def small(monkeypatch):
    torch.manual_seed(0)
    model = VAE(dim=4, widths=(4, 8, 8), blocks=(0, 0, 0)).eval()
    monkeypatch.setattr(coverage, "load_model", lambda name: model)
    return model


def test_where_the_model_is_right_the_intervals_cover(small):
    x = coverage.own_faces(small, 4, seed=3)
    found = coverage.measure_faces(x, small, seed=1, batch=2, options=QUICK | {"steps": 100})
    covered, claimed, error = (torch.tensor(found[name]) for name in ("coverage", "claimed", "rms_error"))
    assert covered.shape == (4, 3) and max(found["rhat"]) < 1.2
    torch.testing.assert_close(covered.mean(0), torch.tensor(coverage.LEVELS), rtol=0, atol=0.05)
    torch.testing.assert_close(claimed, error, rtol=0.1, atol=0)


def test_where_the_residual_is_larger_than_the_model_says_they_do_not(small):
    x = small.decode(torch.zeros(2, 4)).detach() + 4 * small.eta.sqrt().item() * normal(2, 3, 64, 64).float()
    x = x.clamp(-1, 2)
    found = coverage.measure_faces(x, small, options=QUICK)
    assert max(levels[2] for levels in found["coverage"]) < 0.6
    assert all(error > 2 * claimed for error, claimed in zip(found["rms_error"], found["claimed"], strict=True))


def test_faces_become_a_table(small, tmp_path, capsys, monkeypatch):
    for number in range(9751, 9754):
        shade = np.full((109, 89, 3), 2 * (number - 9700), np.uint8)
        Image.fromarray(shade).save(tmp_path / f"{number:06d}.png")
    monkeypatch.setitem(coverage.HMC, "steps", 6)
    monkeypatch.setitem(coverage.HMC, "burn", 2)
    monkeypatch.setitem(coverage.HMC, "thin", 1)
    path = tmp_path / "out" / "coverage.csv"
    line = ["coverage", "--data", str(tmp_path), "--out", str(path), "--cells", str(tmp_path / "cells"), "--images"]
    assert __main__.main([*line, "2"]) == 0
    rows = [line.split(",") for line in path.read_text().splitlines()]
    assert tuple(rows[0]) == coverage.COVERAGE_COLUMNS and len(rows) == 1 + 3 * 3
    assert [row[0] for row in rows[1::3]] == ["own", "real", "tempered"] and {row[1] for row in rows[1:]} == {"2"}
    assert "9 rows" in capsys.readouterr().out
    for name, those in read_table("coverage", path.parent).groupby("faces", sort=False):
        assert list(those["level"]) == list(coverage.LEVELS) and (those["rhat"] > 0.9).all(), name
    kept = path.read_bytes()
    monkeypatch.setattr(coverage, "measure_faces", None)  # A second time, nothing is measured.
    assert __main__.main([*line, "2"]) == 0 and path.read_bytes() == kept
    assert __main__.main([*line, "0"]) == 2
    assert "count" in capsys.readouterr().err
