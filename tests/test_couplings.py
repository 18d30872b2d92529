"""The comparison of couplings on two small runs: the table's columns, and what its numbers mean."""

import csv
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from test_reconstruction import small_flow

from course_lib.studies import couplings
from course_lib.studies.couplings import COUPLING_COLUMNS, PROBLEMS, compare_couplings, measure_problem
from course_lib.training import Recipe, train


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("images")
    for i in range(60):
        ramp = np.linspace(0, 1, 64)[:, None, None] * rng.random(3) + np.linspace(0, 1, 64)[:, None] * rng.random(3)
        Image.fromarray((ramp * 127).astype(np.uint8)).save(folder / f"im_{i:02d}.png")
    return folder


def test_two_runs_become_a_table(folder, tmp_path, monkeypatch):
    monkeypatch.delitem(PROBLEMS, "inpainting_random")  # two tasks show what three would
    runs = []
    for scale in ("additive", "bounded"):
        config = {"size": 16, "steps": 1, "widths": [4, 4], "scale": scale}
        train(Recipe(config=config, steps=2, batch=8), [folder], tmp_path / scale)
        runs.append(tmp_path / scale)
    compare_couplings(runs, folder, tmp_path / "couplings.csv", tmp_path / "cells", images=2)
    with (tmp_path / "couplings.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COUPLING_COLUMNS and len(rows) == 2 * len(PROBLEMS) * 4
    assert [row["scale"] for row in rows[:: len(PROBLEMS) * 4]] == ["additive", "bounded"]
    tv = {(row["scale"], row["task"]): row["psnr"] for row in rows if row["method"] == "tv"}
    assert all(tv["additive", task] == tv["bounded", task] for task in PROBLEMS)
    assert all(float(row["latent"]) >= 0 and row["images"] == "2" for row in rows)
    additive = {row["method"]: row["psnr"] for row in rows if row["scale"] == "additive" and row["task"] == "denoising"}
    # Two steps of training leave the split priors' scales near 1: (4) and the MAP nearly agree where s = 1.
    assert abs(float(additive["analysis"]) - float(additive["map"])) < 0.5
    kept = (tmp_path / "couplings.csv").read_bytes()
    monkeypatch.setattr(couplings, "measure_problem", None)  # A second time, nothing is measured.
    compare_couplings(runs, folder, tmp_path / "couplings.csv", tmp_path / "cells", images=2)
    assert (tmp_path / "couplings.csv").read_bytes() == kept


def test_gradients_are_on_while_results_are_looked_at():
    """One row after the other: whoever reads them may go on to differentiate."""
    flow = small_flow().float()
    methods = []
    for name, *_ in measure_problem("denoising", 0.1, flow, torch.rand(1, 3, 8, 8)):
        methods.append(name)
        assert torch.is_grad_enabled()
    assert methods == ["tv", "synthesis", "analysis", "map"]


def test_the_better_lam_is_taken(monkeypatch):
    truth, lam = torch.full((1, 3, 8, 8), 0.5), couplings.bayesian(0.1)
    off = {lam: 0.02, lam / 4: 0.01}
    shift = {"map": lambda y, A, model, lam, tv: SimpleNamespace(x=truth + off[lam])}
    monkeypatch.setattr(couplings, "COUPLING_METHODS", shift)
    _, (name, best, score, _) = measure_problem("denoising", 0.1, small_flow().float(), truth)
    assert (name, best) == ("map", lam / 4) and score == pytest.approx(40, abs=0.01)
