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


def test_the_stretch_takes_an_interval_to_the_truth():
    samples, truth = normal(2001, 50).exp(), 3 * normal(50, seed=1).exp()
    found, width = coverage.stretch(samples, truth, 0.8)
    low, middle, high = samples.quantile(torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64), 0)
    torch.testing.assert_close(width, high - low)
    ends = torch.where(truth > middle, middle + found * (high - middle), middle - found * (middle - low))
    torch.testing.assert_close(ends, truth)
    assert (found <= 1).double().mean().item() == coverage.coverage(samples, truth, 0.8)


def test_one_value_an_image_is_the_conformal_quantile():
    """The k-th smallest of n scores with k = ⌈(n + 1) level⌉."""
    scores = normal(19, 1)
    assert coverage.conformal_factor(scores, 0.9) == scores.flatten().sort().values[17].item()
    assert coverage.conformal_factor(scores, 0.95) == scores.max().item()


@pytest.mark.parametrize("values", [1, 7])
def test_a_conformal_factor_keeps_its_promise_on_average_over_calibrations(values):
    """Scores that differ from image to image and within one: covered in 80 % of the cases, and hardly more."""
    spread = normal(4000, 21, 1).exp()
    scores = spread * normal(4000, 21, values, seed=1).abs()
    share = [(s[20] <= coverage.conformal_factor(s[:20], 0.8)).double().mean() for s in scores]
    # 17 of 21 ranks for one value; for several, one unit in 21 more at most.
    assert 0.8 - 0.015 < torch.stack(share).mean() < 0.8 + 1 / 21 + 0.015


def face_files(folder, *numbers):
    for number in numbers:
        shade = np.full((109, 89, 3), number % 100 + 60, np.uint8)
        Image.fromarray(shade).save(folder / f"{number:06d}.png")


def test_validation_faces_calibrate_and_test_faces_report(small, tmp_path, capsys, monkeypatch):
    face_files(tmp_path, *range(9501, 9501 + coverage.TUNED + 9), 9751, 9752)
    for name, value in {"steps": 6, "burn": 2}.items():
        monkeypatch.setitem(coverage.SHORT, name, value)
    monkeypatch.setattr(coverage, "CELL", 5)
    path, cells = tmp_path / "out" / "conformal.csv", tmp_path / "cells"
    line = ["conformal", "--data", str(tmp_path), "--out", str(path), "--cells", str(cells)]
    line += ["--calibration", "9", "--images", "2"]
    assert __main__.main(line) == 0 and "6 rows" in capsys.readouterr().out
    assert {p.stem for p in cells.glob("*.json")} == {"validation-0", "validation-5", "test-0", "astronaut-0"}
    table = read_table("conformal", path.parent)
    assert tuple(table.columns) == coverage.CONFORMAL_COLUMNS and set(table["calibration"]) == {9}
    assert list(table["faces"]) == ["test"] * 3 + ["astronaut"] * 3 and list(table["images"]) == [2] * 3 + [1] * 3
    assert list(table["factor"][:3]) == list(table["factor"][3:]), "one calibration for all who come"
    torch.testing.assert_close(
        *(torch.tensor(v.to_numpy()) for v in (table["width"], table["factor"] * table["width_before"])),
        rtol=1e-2,
        atol=0,
    )
    kept = path.read_bytes()
    monkeypatch.setattr(coverage, "measure_stretches", None)  # A second time, nothing is measured.
    assert __main__.main(line) == 0 and path.read_bytes() == kept


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
