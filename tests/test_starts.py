"""The study of starts: which latents they are, what is kept of the mark, and the table."""

import numpy as np
import pytest
import torch
from PIL import Image

from course_lib import __main__
from course_lib.data import face, make_task, observe
from course_lib.models.glow import Glow
from course_lib.studies import starts
from course_lib.studies.store import FIGURES, read_table


@pytest.fixture
def small(monkeypatch):
    torch.manual_seed(0)
    model = Glow(size=64, steps=1, widths=(4, 4), scale="volume_preserving").freeze()
    monkeypatch.setattr(starts, "load_model", lambda name: model)
    monkeypatch.setattr(starts, "STEPS", 3)
    return model


def test_the_starts_are_zero_draws_of_rising_length_and_codes(small):
    A = make_task("inpainting_random")
    y = observe(face(), A, 0.01, [0])
    z0 = starts.starting_latents(small, y, A)
    assert z0.shape == (len(starts.STARTS), small.dim) and not z0[0].any()
    lengths = z0[:7].square().mean(1)
    torch.testing.assert_close(lengths, torch.tensor(starts.TEMPERATURES) ** 2, rtol=0.05, atol=0)
    torch.testing.assert_close(z0[8], z0[7] / 2)
    torch.testing.assert_close(small.decode(z0[9:]), A.T(y), rtol=0, atol=1e-4)


def test_the_share_that_is_kept_is_one_for_the_mark_and_zero_without():
    x = face()
    marked = starts.paint_mark(x)
    assert (marked != x).any(1).sum() == 8 * 6 and torch.equal(x, face())
    shades = torch.cat([x, marked, (x + marked) / 2])
    torch.testing.assert_close(starts.share_kept(shades, x), torch.tensor([0.0, 1.0, 0.5]))


@pytest.mark.parametrize("formulation", ["synthesis", "analysis", "map"])
def test_each_formulation_begins_at_the_same_images(small, formulation):
    columns, found = starts.from_ten_starts(face(), "inpainting_random", "glow", formulation, steps=3)
    assert found.shape == (10, 3, 64, 64) and {len(values) for values in columns.values()} == {10}
    other, _ = starts.from_ten_starts(face(), "inpainting_random", "glow", "synthesis", steps=1)
    assert columns["psnr_start"] == pytest.approx(other["psnr_start"])


def test_faces_become_a_table(small, tmp_path, capsys, monkeypatch):
    shade = np.full((109, 89, 3), 90, np.uint8)
    Image.fromarray(shade).save(tmp_path / "009751.png")
    path = tmp_path / "out" / "starts.csv"
    line = ["starts", "--data", str(tmp_path), "--out", str(path), "--cells", str(tmp_path / "cells"), "--images"]
    assert __main__.main([*line, "1"]) == 0
    rows = [line.split(",") for line in path.read_text().replace('"astronaut, marked"', "marked").splitlines()]
    assert tuple(rows[0]) == starts.STARTS_COLUMNS and len(rows) == 1 + 10 * (4 * 2 + 2 * 3 + 2 * 2)
    table = read_table("starts", path.parent)
    assert list(table["face"].unique()) == ["astronaut", "admiral", starts.MARKED, "test 1"]
    assert set(table[table["kept"].notna()]["face"]) == {starts.MARKED}
    kept = path.read_bytes()
    monkeypatch.setattr(starts, "from_ten_starts", None)  # A second time, nothing is measured.
    assert __main__.main([*line, "1"]) == 0 and path.read_bytes() == kept
    assert __main__.main([*line, "0"]) == 2
    assert "count" in capsys.readouterr().err


def test_the_table_of_the_course_has_ten_starts_for_each_way():
    ways = read_table("starts", FIGURES).groupby(["face", "task", "flow", "formulation"])
    assert {len(rows) for _, rows in ways} == {len(starts.STARTS)}
