"""The sweeps of λ on a small flow: cells that survive a stop, pictures and table, and the figure of notebook 15."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from test_experiments import small_task
from test_reconstruction import small_flow

from course_lib import __main__, data
from course_lib.data import observe
from course_lib.studies import experiments, sweeps
from course_lib.studies.methods import METHODS
from course_lib.studies.scores import tuned_lams
from course_lib.studies.store import SWEEP_CELLS, Store, read_table


@pytest.fixture
def face(monkeypatch):
    """A small face, a small flow, and its tasks."""
    x = torch.nn.functional.avg_pool2d(data.face(), 8)
    monkeypatch.setattr(experiments, "make_task", small_task)
    monkeypatch.setattr(experiments, "load_model", lambda name, device: small_flow().float())
    monkeypatch.setattr(sweeps, "face", lambda: x)
    return x


def measure(folder, methods=("bicubic", "tv"), tasks=("deblurring", "sr2")):
    return sweeps.measure_sweeps(folder / "lambda_sweep.csv", folder / "cells", tasks, methods)


def test_a_sweep_has_a_row_for_each_factor_and_goes_on(face, tmp_path, monkeypatch):
    measure(tmp_path, ("tv",))
    path = tmp_path / "cells" / "sr2-tv.json"
    before, measured, original = path.read_bytes(), [], sweeps.measure_sweep
    monkeypatch.setattr(sweeps, "measure_sweep", lambda *args: measured.append(args[1:3]) or original(*args))
    rows = measure(tmp_path)
    assert measured == [("sr2", "bicubic")] and path.read_bytes() == before and len(rows) == 5 + 5 + 1
    stored = dict(list(read_table("lambda_sweep", tmp_path).groupby(["task", "method"], sort=False)))
    assert list(stored) == [("deblurring", "tv"), ("sr2", "bicubic"), ("sr2", "tv")]
    assert list(stored["sr2", "tv"]["factor"]) == list(sweeps.FACTORS)
    wanted = [factor * tuned_lams(sweeps.SIGMA)["sr2", "tv"] for factor in sweeps.FACTORS]
    assert list(stored["sr2", "tv"]["lam"]) == pytest.approx(wanted, rel=1e-3)
    (row,) = stored["sr2", "bicubic"].itertuples()
    assert np.isnan(row.lam) and row.factor == 1 and row.psnr > 15
    lams = tuned_lams(sweeps.SIGMA) | {("sr2", "tv"): 0.5}
    monkeypatch.setattr(sweeps, "tuned_lams", lambda sigma: lams)
    assert len(measure(tmp_path, ("tv",), ("sr2",))) == len(rows), "of all that was measured, not of this pair alone"
    assert measured[1:] == [("sr2", "tv")] and json.loads(path.read_text())["setup"]["lam"] == 0.5


def test_a_row_is_the_method_with_its_lam(face, tmp_path):
    measure(tmp_path, ("tv",), ("sr2",))
    A, kept = small_task("sr2"), read_table("lambda_sweep", tmp_path)
    images = Store(tmp_path / "cells", "sweeps").pictures("sr2", "tv")
    y = observe(face, A, sweeps.SIGMA, [0])
    for row, picture in zip(kept.itertuples(), images, strict=True):
        found = METHODS["tv"].run(y, A, None, row.lam, sweeps.SIGMA)[0].clamp(0, 1)
        assert sweeps.psnr(found, face).item() == pytest.approx(row.psnr, abs=0.02)
        assert sweeps.ssim(found, face).item() == pytest.approx(row.ssim, abs=1e-3)
        assert sweeps.psnr(picture[None], found).item() > 30
    assert kept["psnr"].round(2).nunique() == 5


def test_the_table_of_the_course_is_complete_and_has_its_pictures(stored):
    groups = dict(list(stored.groupby(["task", "method"])))
    assert set(groups) == {(task, method) for method in sweeps.SWEEP_METHODS for task in METHODS[method].tasks}
    assert set(stored["task"]) == set(data.TASKS)
    for (task, method), rows in groups.items():
        assert list(rows["factor"]) == list(sweeps.factors(method))
        assert SWEEP_CELLS.pictures(task, method).shape == (len(rows), 3, 64, 64)
    found = sweeps.psnr(SWEEP_CELLS.pictures("sr2", "map_bounded"), data.face().expand(5, -1, -1, -1))
    np.testing.assert_allclose(found, groups["sr2", "map_bounded"]["psnr"], atol=0.5)
    assert sum(path.stat().st_size for path in SWEEP_CELLS.folder.glob("*.jpg")) < 700_000


@pytest.fixture(scope="module")
def stored():
    return read_table("lambda_sweep")


def draw(stored, task="sr2", method="tv", factor=1.0):
    x = data.face()
    return sweeps.draw_sweep(x, x, task, method, factor, stored)


def test_the_figure_marks_the_chosen_point(stored):
    figure, rows = draw(stored, factor=10.0), stored.query("task == 'sr2' and method == 'tv'").reset_index()
    curve, chosen, tuned = figure.axes[4].lines
    assert list(curve.get_ydata()) == list(rows["psnr"])
    assert chosen.get_xdata()[0] == rows["lam"][3] and chosen.get_ydata()[0] == rows["psnr"][3]
    assert tuned.get_xdata()[0] == rows["lam"][2]
    assert figure.axes[2].get_title() == f"tv: {rows['psnr'][3]:.1f} dB"
    shown = figure.axes[2].images[0].get_array()
    assert torch.equal(torch.as_tensor(shown).permute(2, 0, 1), SWEEP_CELLS.pictures("sr2", "tv")[3])
    assert not plt.get_fignums()


def test_the_figures_of_a_task_share_the_axis_of_psnr(stored):
    limits = [draw(stored, method=method).axes[4].get_ylim() for method in ("tv", "bicubic", "map_bounded")]
    assert len(set(limits)) == 1
    low, high = limits[0]
    assert (stored[stored["task"] == "sr2"]["psnr"].between(low, high)).all()


def test_the_figure_without_lam_and_of_a_method_that_does_not_apply(stored):
    assert draw(stored, method="bicubic", factor=100.0).axes[4].get_title() == "no λ"
    (words,) = draw(stored, "deblurring", "bicubic").axes[2].texts
    assert "does not" in words.get_text()


def test_the_command_hands_its_options_on(tmp_path, monkeypatch, capsys):
    calls = []
    monkeypatch.setattr(sweeps, "measure_sweeps", lambda *args: calls.append(args) or [0, 1])
    options = ["--tasks", "sr2", "--methods", "tv", "--cells", "c", "--device", "cpu"]
    assert __main__.main(["sweeps", "--out", str(tmp_path / "a.csv"), *options]) == 0
    assert calls == [(str(tmp_path / "a.csv"), "c", ["sr2"], ["tv"], torch.device("cpu"))]
    assert "a.csv: 2 rows" in capsys.readouterr().out
