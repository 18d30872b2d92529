"""Commands that are killed, interrupted, or meet a full disk: what was saved stays, the same command goes on from it.

How one file is written is the subject of `test_common`: every failure of `replacing`, through which all is written.
Here whole commands are put to the test, at places that a seed has chosen.
"""

import csv
import json
import multiprocessing
import os
import random
import runpy
import signal
import sys
import threading
import time
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from PIL import Image
from test_common import full_disk
from tqdm import tqdm

from course_lib.__main__ import main
from course_lib.common import replacing
from course_lib.models.regression import SRCNN
from course_lib.models.weights import load_state, read_checkpoint, save_model
from course_lib.tools.links import badges, stamp_all
from course_lib.training import load_average

CHECKPOINT = "checkpoint.safetensors"

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks and kills processes")

if sys.platform.startswith("linux"):
    # A process is forked from one that has imported what it needs, and has not yet computed anything: 10 ms, not 3 s.
    CONTEXT = multiprocessing.get_context("forkserver")
    modules = ("__main__", "studies.experiments", "tools.links", "training.commands")
    CONTEXT.set_forkserver_preload(["pytest", "torch._dynamo", *(f"course_lib.{name}" for name in modules)])


def train_line(pictures, out):
    options = "--size 8 --depth 2 --widths 6 6 --batch 8 --steps 8 --every 2 --device cpu --precision fp32"
    return ["train", "glow", "--data", str(pictures), "--out", str(out), *options.split()]


def reproduce_line(pictures, out):
    where = ["--data", str(pictures), "--out", str(out / "scores.csv"), "--cells", str(out / "cells")]
    options = "--images 1 --validation 1 --sigmas 0.05 --device cpu --tasks sr2 sr4 --methods bicubic vdsr"
    return ["reproduce", *where, *options.split()]


def weights_of(out):
    """What a training run ends with: all tensors, and the log without its clock."""
    about, tensors = read_checkpoint(out / CHECKPOINT)
    rows = [{name: value for name, value in row.items() if name != "minutes"} for row in about["rows"]]
    return {name: value.tolist() for name, value in tensors.items()} | {"rows": rows, "data": about["data"]}


def numbers_of(out):
    """What `reproduce` ends with: cells and tables, without their clocks."""
    cells = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((out / "cells").iterdir())]
    with (out / "scores.csv").open(newline="", encoding="utf-8") as file:
        rows = [*cells, *csv.DictReader(file)]
    for row in rows:
        del row["seconds_per_image"]
    return rows, (out / "tuning.csv").read_text(encoding="utf-8"), (out / "scores.md").read_text(encoding="utf-8")


JOBS = {"train": (train_line, weights_of), "reproduce": (reproduce_line, numbers_of)}


def run_command(arguments, output, hit_at=None, by=None):
    """`python -m course_lib …` in this process; a signal may hit it within its n-th write, half of the file done."""
    torch.set_num_threads(1)
    tqdm.set_lock(threading.RLock())  # its own lock is one of the system, which a killed process leaves there
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.stdout = sys.stderr = Path(output).open("w")  # noqa: SIM115
    sys.argv, rename, writes = ["course_lib", *arguments], os.replace, []

    def hit(temporary, path):
        writes.append(path)
        if len(writes) == hit_at:
            os.truncate(temporary, os.path.getsize(temporary) // 2)
            os.kill(os.getpid(), by)
        rename(temporary, path)

    os.replace = hit
    runpy.run_module("course_lib", run_name="__main__")


def start(line, output, **options):
    process = CONTEXT.Process(target=run_command, args=(line, output), kwargs=options, daemon=True)
    process.start()
    return process


def finish(line, output):
    """Run a command to its end."""
    process = start(line, output)
    process.join(120)
    assert process.exitcode == 0, output.read_text()


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Smooth pictures, by their numbers and their shape CelebA's: 20 to train, one to validate, one to test."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("pictures")
    down, across = np.linspace(0, 1, 109)[:, None, None], np.linspace(0, 1, 89)[:, None]
    for number in (*range(1, 21), 9501, 9751):
        ramp = down * rng.random(3) + across * rng.random(3)
        Image.fromarray((ramp * 127).astype(np.uint8)).save(folder / f"{number:06d}.png")
    return folder


@linux
@pytest.mark.parametrize("name", JOBS)
def test_killed_again_and_again_a_command_ends_as_an_undisturbed_one(name, pictures, tmp_path):
    """Kills at any time, and kills within a write, half of the file done."""
    make_line, results = JOBS[name]
    undisturbed, out, output = tmp_path / "undisturbed", tmp_path / "out", tmp_path / "output.txt"
    started = time.perf_counter()
    finish(make_line(pictures, undisturbed), output)
    seconds, rng, line = time.perf_counter() - started, random.Random(0), make_line(pictures, out)
    for _ in range(2):
        process = start(line, output)
        process.join(seconds * rng.random())
        process.kill()
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL), output.read_text()
        process = start(line, output, hit_at=rng.randrange(1, 4), by=signal.SIGKILL)
        process.join(120)
        if process.exitcode != 0:  # it may have been at its end before
            assert process.exitcode == -signal.SIGKILL and any(out.rglob("*.tmp")), output.read_text()
    finish(line, output)
    assert names(out) == names(undisturbed) and results(out) == results(undisturbed)


def write_and_die(path, moment):
    """Replace a file; SIGKILL comes before the write, within it, after it, or after the rename."""

    def reached(now):
        if now == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    with replacing(path) as temporary:
        reached(0)
        temporary.write_text("ne")
        reached(1)
        temporary.write_text("new")
        reached(2)
    reached(3)


@linux
@pytest.mark.parametrize("moment", range(4))
def test_killed_at_any_moment_a_file_is_whole(tmp_path, moment):
    """What a killed process leaves, the next one overwrites."""
    path = tmp_path / "a.csv"
    path.write_text("old")
    process = CONTEXT.Process(target=write_and_die, args=(path, moment))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL and path.read_text() == ("new" if moment == 3 else "old")
    assert names(tmp_path) == ["a.csv", *["a.csv.tmp"] * (moment in (1, 2))]
    with replacing(path) as temporary:
        temporary.write_text("newer")
    assert path.read_text() == "newer" and names(tmp_path) == ["a.csv"]


@linux
@pytest.mark.parametrize(("name", "number"), [("train", signal.SIGINT), ("reproduce", signal.SIGTERM)])
def test_an_interrupted_command_keeps_what_it_has(name, number, pictures, tmp_path):
    """Ctrl-C, and what ends the jobs of a cluster; `train` writes three files each time, `reproduce` one a cell."""
    out, output = tmp_path / "out", tmp_path / "output.txt"
    line = JOBS[name][0](pictures, out)
    process = start(line, output, hit_at=5 if name == "train" else 2, by=number)
    process.join(120)
    assert process.exitcode == 130 and output.read_text().splitlines()[-1].startswith("interrupted: ")
    assert not list(out.rglob("*.tmp"))
    if name == "train":
        assert load_average(out)[1]["step"] == 2 and main([*line, "--steps", "4"]) == 0
        assert load_average(out)[1]["step"] == 4
    else:
        (first,) = (out / "cells").iterdir()
        before = first.stat().st_mtime_ns
        assert main([*line, "--tasks", "sr2", "--methods", "bicubic"]) == 0 and first.stat().st_mtime_ns == before


def test_training_on_a_full_disk_stops_in_one_line_and_goes_on(tmp_path, capsys):
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


@pytest.mark.parametrize(("note", "size"), [("", 20_000), ("long " * 50_000, 200_000)], ids=["weights", "recipe"])
def test_weights_and_their_recipe_stay_a_pair_on_a_full_disk(tmp_path, note, size):
    """The recipe holds the SHA-256 of the weights: a new one beside old weights would make them useless."""
    model = SRCNN()
    save_model(model, "tiny", {"note": note}, tmp_path)
    before, state = contents(tmp_path), load_state("tiny", tmp_path)[1]
    torch.nn.init.constant_(model.net[0].weight, 2.0)
    with full_disk(size), pytest.raises(OSError, match="File too large"):
        save_model(model, "tiny", {"note": note}, tmp_path)
    assert before.items() <= contents(tmp_path).items() and not list(tmp_path.glob("*.tmp"))
    assert all(torch.equal(value, state[key]) for key, value in load_state("tiny", tmp_path)[1].items())
    save_model(model, "tiny", {"note": note}, tmp_path)
    assert (load_state("tiny", tmp_path)[1]["net.0.weight"] == 2).all()


def test_a_notebook_that_is_changed_in_place_stays_on_a_full_disk(tmp_path):
    text = f"# 7. Small\n\n{badges('old', 'an/other')}\n\ntext"
    cells = [nbformat.v4.new_markdown_cell(text, id="a"), nbformat.v4.new_code_cell("x = 1", id="b")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "07_small.ipynb")
    before = contents(tmp_path)
    with full_disk(100), pytest.raises(OSError, match="File too large"):
        stamp_all(tmp_path)
    assert contents(tmp_path) == before
    stamp_all(tmp_path)
    assert contents(tmp_path) != before
