"""The trial of flows on two small runs: its cells, what tunes them, and what its table says about one change."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from course_lib.studies import trial as study
from course_lib.studies.store import Store
from course_lib.studies.trial import FACTORS, TRIAL_COLUMNS, Trial, first_and_last, load_flow, paired, run_trial, scores
from course_lib.training import Recipe, train

STEPS = {"lbfgs": 3, "adam": 2}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder of images, and runs of two steps that differ in their scale."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("images")
    for i in range(60):
        ramp = np.linspace(0, 1, 64)[:, None, None] * rng.random(3) + np.linspace(0, 1, 64)[:, None] * rng.random(3)
        Image.fromarray((ramp * 127).astype(np.uint8)).save(folder / f"im_{i:02d}.png")
    for scale in ("volume_preserving", "bounded"):
        config = {"size": 16, "steps": 1, "widths": [4, 4], "scale": scale}
        train(Recipe(config=config, steps=2, batch=8), [folder], folder.with_name(scale))
    return folder, [folder.with_name("volume_preserving"), folder.with_name("bounded")]


@pytest.fixture(scope="module")
def table(runs, tmp_path_factory):
    """The trial of one task, and where it was written."""
    folder, flows = runs
    path = tmp_path_factory.mktemp("trial") / "trial.csv"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "STEPS", STEPS)
        options = {"cells": path.parent / "cells", "images": 3, "validation": 2, "tasks": [study.RATE_TASK]}
        rows = run_trial(flows, folder, path, **options)
        kept = path.read_bytes()
        patch.setattr(Trial, "measure", None)  # A second time, nothing is measured.
        run_trial(flows, folder, path, **options)
    assert path.read_bytes() == kept
    assert len(pd.read_csv(path)) == len(rows)
    return pd.read_csv(path)


def test_a_cell_for_each_way_of_using_each_flow(table):
    assert tuple(table.columns) == TRIAL_COLUMNS
    ways = table.groupby(["flow", "formulation"])["start"].count().to_dict()
    # Two optimizers; synthesis has two starts, the others three; one row of TV; no MAP where the Jacobian is constant.
    assert ways == {
        ("bounded", "analysis"): 6,
        ("bounded", "map"): 6,
        ("bounded", "synthesis"): 4,
        ("none", "tv"): 1,
        ("volume_preserving", "analysis"): 6,
        ("volume_preserving", "synthesis"): 4,
    }
    assert (table["scale"].isna() == (table["flow"] == "none")).all()


def test_rows_are_means_of_their_faces(table):
    for row in table.itertuples():
        for mean, faces in ((row.psnr, row.faces), (row.psnr_bayesian, row.faces_bayesian)):
            values = [float(value) for value in faces.split()]
            assert len(values) == 3 and np.mean(values) == pytest.approx(mean, abs=0.01)
        assert (row.faces == row.faces_bayesian) or row.factor != 1


def test_adam_has_the_lam_of_lbfgs_and_a_rate_of_the_grid(table):
    key = ["flow", "formulation", "start"]
    both = table[table["optimizer"] == "adam"].merge(table[table["optimizer"] == "lbfgs"], on=key)
    assert len(both) == 13 and (both["lam_x"] == both["lam_y"]).all() and both["lr_y"].isna().all()
    assert all(min(abs(rate / lr - 1) for rate in study.RATES) < 1e-3 for lr in both["lr_x"])


def test_starts_are_what_they_are_called(runs, tmp_path):
    """The start of synthesis from TV is the latent of the image from which analysis starts."""
    flow = load_flow(runs[1][1])
    images = torch.rand(2, 3, 16, 16)
    trial = Trial({"a": flow}, images, images, Store(tmp_path, "trial"))
    problems = {
        (formulation, start): trial.problem(("a", formulation, start, "lbfgs", "deblurring", 0.01), images, 0)
        for formulation, start in [("synthesis", "tv"), ("analysis", "tv"), ("map", "synthesis"), ("map", "origin")]
    }
    (y, A, z), (_, _, x) = problems["synthesis", "tv"], problems["analysis", "tv"]
    torch.testing.assert_close(flow[0].encode(x), z)
    torch.testing.assert_close(x, study.warm_start(y, A, 0.01))
    travelled = problems["map", "synthesis"][2]
    expected = study.synthesis(y, A, flow[0], study.bayesian(0.01), optimizer="lbfgs", steps=50).x
    torch.testing.assert_close(travelled, expected)
    assert problems["map", "origin"][2] is None


def test_lam_is_tuned_on_validation_images_and_measured_on_test_images(tmp_path, monkeypatch):
    """A method whose error grows with |log10(λ/λ*)| on validation images, and is another one on test images."""
    best, test, validation, seen = FACTORS[3], torch.full((2, 3, 8, 8), 0.5), torch.full((1, 3, 8, 8), 0.25), []

    def restore(self, key, problem, lam, lr=None):
        factor = lam / (0.1 * 0.01)
        seen.append((len(problem), round(np.log10(factor), 3)))
        return problem + (0.01 + abs(np.log10(factor / best)) / 10 if len(problem) == 1 else 0.1)

    monkeypatch.setattr(Trial, "problem", lambda self, key, images, first_seed: images)
    monkeypatch.setattr(Trial, "restore", restore)
    trial = Trial({}, test, validation, Store(tmp_path, "trial"))
    record, _ = trial.measure(*study.BASELINE, "sr2", 0.01)
    assert record["factor"] == best and record["psnr"] == pytest.approx(20)
    assert seen[-2:] == [(2, round(np.log10(best), 3)), (2, 0.0)]  # with the tuned λ, and with factor 1
    assert {count for count, _ in seen[:-2]} == {1} and len(set(seen)) == len(seen)


def made_up(**faces):
    """A table of one task: the PSNR of two faces for each flow, from either start, tuned and not."""
    rows = []
    for name, values in faces.items():
        flow, start = name.split("_")
        row = {"flow": flow, "scale": "additive" if flow == "b" else "bounded", "formulation": "analysis"}
        row |= {"start": start, "optimizer": "lbfgs", "task": "sr2", "sigma": 0.01}
        rows.append(row | {"faces": values, "faces_bayesian": "1.00 1.00"})
    return pd.DataFrame(rows)


WAY = {"flow": "a", "formulation": "analysis", "start": "origin", "optimizer": "lbfgs", "task": "sr2", "sigma": 0.01}
WAY |= {"lam": "tuned"}


def test_a_difference_is_paired():
    """Gains of 1 and 3 dB: 2 ± 1, whatever the faces."""
    table = made_up(a_origin="20.00 30.00", b_origin="21.00 33.00")
    assert paired(table, WAY, WAY | {"flow": "b"}) == pytest.approx((2.0, 1.0))
    assert paired(table, WAY | {"lam": "bayesian"}, WAY)[0] == pytest.approx(24.0)
    assert scores(table, **(WAY | {"flow": "b", "formulation": "map"})).tolist() == [21, 33]
    with pytest.raises(ValueError, match="way"):
        scores(table, **(WAY | {"formulation": "map"}))


def test_shares_depend_on_the_order():
    """From TV all is well, whatever the flow; from D(0), flow b repairs all: each is worth 10 dB first, 0 dB last."""
    table = made_up(a_origin="20.00 20.00", b_origin="30.00 30.00", a_tv="30.00 30.00", b_tv="30.00 30.00")
    shares = first_and_last(table, WAY, WAY | {"flow": "b", "start": "tv"})
    assert shares["factor"].tolist() == ["flow", "start"]
    assert shares[["first", "last"]].to_numpy().tolist() == [[10, 0], [10, 0]]
