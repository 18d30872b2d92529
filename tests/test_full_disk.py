"""A disk that is full while something is saved: what was there before stays, byte for byte, with no file beside it."""

import sys
from contextlib import contextmanager

import matplotlib.pyplot as plt
import nbformat
import pandas as pd
import pytest
import torch

from course_lib.__main__ import main
from course_lib.models.regression import SRCNN
from course_lib.models.weights import load_state, read_checkpoint, save_checkpoint, save_model
from course_lib.studies import coverage, domains, scores
from course_lib.studies import figures as studies_figures
from course_lib.studies import phase_transition as recovery
from course_lib.studies.store import Store, save_strip
from course_lib.tools.links import badges, stamp_all
from course_lib.tools.student import nbgrader_version, write_versions
from course_lib.tools.tidy import tidy_files

if sys.platform == "win32":
    pytest.skip("limits the size of files by getrlimit, which Windows lacks", allow_module_level=True)


@contextmanager
def full_disk(size):
    """No file can grow beyond so many bytes: the write that would do so fails half-way, as on a full disk."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


CHECKPOINT = "checkpoint.safetensors"

SAVERS = {}
"""What the library saves, each as function(folder, version, monkeypatch): other versions have other contents."""


def saver(function):
    SAVERS[function.__name__] = function
    return function


@saver
def checkpoint(folder, version, monkeypatch):
    save_checkpoint(folder / "c.safetensors", {"a": torch.full((2000,), float(version))}, {"step": "1"})


@saver
def weights(folder, version, monkeypatch, note=""):
    model = SRCNN()
    for parameter in model.parameters():
        torch.nn.init.constant_(parameter, version)
    save_model(model, "tiny", {"note": note + str(version)}, folder)


@saver
def weights_with_a_long_recipe(folder, version, monkeypatch):
    weights(folder, version, monkeypatch, "long " * 50_000)


def rows_of(version):
    row = {"task": "sr2", "method": "tv", "sigma": 0.01, "images": 50, "lam": 0.1, "psnr_mean": 20.0 + version}
    row |= {"psnr_std": 1.0, "ssim_mean": 0.5, "ssim_std": 0.1, "objective_mean": None}
    return pd.DataFrame([row | {"seconds_per_image": 1.0, "device": "cpu", "tuning": {"0.1": 20.0 + version}}])


@saver
def score_table(folder, version, monkeypatch):
    scores.write_scores(rows_of(version), folder / "scores.csv")


@saver
def tuning_table(folder, version, monkeypatch):
    scores.write_tuning(rows_of(version), folder / "tuning.csv")


@saver
def table_in_markdown(folder, version, monkeypatch):
    scores.write_beside_published(rows_of(version), folder / "scores.md")


def keep(folder, version, **record):
    """A cell of grey images, darker with each version."""
    images = torch.full((3, 3, 64, 64), 0.5 / version)
    Store(folder, "sweeps").cell(("sr2", "tv"), {"lam": version}, lambda *key: (record, images))


@saver
def cell(folder, version, monkeypatch):
    keep(folder, version)


@saver
def cell_whose_pictures_are_shorter(folder, version, monkeypatch):
    keep(folder, version, domains=["moon" * 9000] * 3)


@saver
def strip(folder, version, monkeypatch):
    save_strip(torch.full((3, 3, 64, 64), 0.5 / version), folder / "strip.jpg")


@saver
def likelihoods(folder, version, monkeypatch):
    monkeypatch.setattr(domains, "load_model", lambda name: None)
    monkeypatch.setattr(domains, "load_folder", lambda *args, **options: torch.zeros(2, 3, 8, 8, dtype=torch.uint8))
    monkeypatch.setattr(domains, "photographs", lambda most: (["moon"], torch.zeros(1, 3, 8, 8)))
    monkeypatch.setattr(domains, "familiarity", lambda model, x: (x[:, 0, 0, 0], torch.full((len(x),), version)))
    domains.measure_likelihood(folder / "likelihood.csv", "faces")


@saver
def coverages(folder, version, monkeypatch):
    found = {name: [1.0 * version] * 2 for name in ("claimed", "rms_error", "latent", "rhat")}
    found["coverage"] = [[0.5] * 3] * 2
    monkeypatch.setattr(coverage, "load_model", lambda name: None)
    monkeypatch.setattr(coverage, "load_folder", lambda *args, **options: torch.zeros(2, 3, 8, 8, dtype=torch.uint8))
    monkeypatch.setattr(coverage, "own_faces", lambda model, count: torch.zeros(2, 3, 8, 8))
    monkeypatch.setattr(coverage, "measure_faces", lambda *args, **options: found)
    coverage.measure_coverage(folder / "coverage.csv", "faces", folder.with_name(f"cells_{version}"))


@saver
def figures(folder, version, monkeypatch):
    def draw(*args):
        figure, axis = plt.subplots(figsize=(2, 2))
        axis.plot([0, version])
        plt.close(figure)
        return figure

    monkeypatch.setattr(studies_figures, "load_model", lambda name, device: None)
    for name in ("reconstruct", "draw_gallery", "draw_scores", "draw_map"):
        monkeypatch.setattr(studies_figures, name, draw)
    studies_figures.write_figures(folder, None, folder)


@saver
def phase_transition(folder, version, monkeypatch):
    grid = recovery.GRID
    monkeypatch.setattr(recovery, "phase_transition", lambda **options: 0 * grid[:, None] + version * grid / 10)
    recovery.save_phase_transition(folder / "phase.csv")


@saver
def student_version(folder, version, monkeypatch):
    write_versions(folder.with_name(f"notebooks_{version}"), folder)


@saver
def grading_version(folder, version, monkeypatch):
    write_versions(folder.with_name(f"notebooks_{version}"), folder, nbgrader_version)


def write_notebook(version, folder):
    """A notebook that `tidy` and `links` would change."""
    text = f"# 7. Small\n\n{badges('old', 'an/other')}\n\ntext"
    cells = [nbformat.v4.new_markdown_cell(text, id="a"), nbformat.v4.new_code_cell(f"x = {version}", id="b")]
    cells[1].metadata.execution = {"iopub.execute_input": "2026-01-01"}
    folder.mkdir()
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "07_small.ipynb")


@pytest.fixture
def folder(tmp_path):
    """An empty folder, and beside it two of notebooks."""
    for version in (1, 2):
        write_notebook(version, tmp_path / f"notebooks_{version}")
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", SAVERS)
def test_what_was_saved_stays(name, folder, monkeypatch):
    SAVERS[name](folder, 1, monkeypatch)
    before = contents(folder)
    with full_disk(max(map(len, before.values())) // 2), pytest.raises(OSError, match="File too large"):
        SAVERS[name](folder, 2, monkeypatch)
    assert contents(folder) == before
    SAVERS[name](folder, 2, monkeypatch)
    after = contents(folder)
    assert len(after) == len(before) and not set(after.values()) & set(before.values())


@pytest.mark.parametrize("change", [stamp_all, lambda folder: tidy_files([*folder.iterdir()])], ids=["links", "tidy"])
def test_a_notebook_that_is_changed_in_place_stays(change, folder):
    notebooks = folder.with_name("notebooks_1")
    before = contents(notebooks)
    with full_disk(100), pytest.raises(OSError, match="File too large"):
        change(notebooks)
    assert contents(notebooks) == before
    change(notebooks)
    assert contents(notebooks) != before


def test_training_stops_in_one_line_and_goes_on(tmp_path, capsys):
    line = ["train", "lista", "--batch", "4", "--layers", "2", "--every", "1", "--device", "cpu", "--out"]
    for out in ("one", "two"):
        assert main([*line, str(tmp_path / out), "--steps", "2"]) == 0
    kept = (tmp_path / "two" / CHECKPOINT).read_bytes()
    with full_disk(len(kept) // 2):
        assert main([*line, str(tmp_path / "two"), "--steps", "4"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and "File too large" in error and error.count("\n") == 1
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == [CHECKPOINT, "log.csv"]
    assert (tmp_path / "two" / CHECKPOINT).read_bytes() == kept
    for out in ("one", "two"):
        assert main([*line, str(tmp_path / out), "--steps", "4"]) == 0
    one, two = (read_checkpoint(tmp_path / out / CHECKPOINT)[1] for out in ("one", "two"))
    assert all(torch.equal(value, two[key]) for key, value in one.items())


def test_weights_and_their_recipe_stay_a_pair(tmp_path, monkeypatch):
    """The recipe holds the SHA-256 of the weights: a new one beside old weights would make them useless."""
    weights_with_a_long_recipe(tmp_path, 1, monkeypatch)
    with full_disk(200_000), pytest.raises(OSError, match="File too large"):
        weights_with_a_long_recipe(tmp_path, 2, monkeypatch)
    state = load_state("tiny", tmp_path)[1]
    assert all((value == 1).all() for value in state.values())
