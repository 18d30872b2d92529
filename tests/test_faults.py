"""Commands that are killed, or interrupted by Ctrl-C: what was saved stays, and the same command goes on from it."""

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

import numpy as np
import pytest
import torch
from PIL import Image
from tqdm import tqdm

from course_lib.__main__ import main
from course_lib.common import replacing
from course_lib.models.weights import read_checkpoint
from course_lib.training import load_average

if not sys.platform.startswith("linux"):
    pytest.skip("forks and kills processes: Linux only", allow_module_level=True)

# A process is forked from one that has imported torch, and has not yet computed anything: 10 ms instead of 3 s.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["__main__", "pytest", "course_lib.__main__", "torch._dynamo"])

CHECKPOINT = "checkpoint.safetensors"


def train_line(pictures, out):
    options = "--size 8 --depth 2 --widths 6 6 --batch 8 --steps 80 --every 2 --device cpu"
    return ["train", "glow", "--data", str(pictures), "--out", str(out), *options.split()]


def reproduce_line(pictures, out):
    where = ["--data", str(pictures), "--out", str(out / "scores.csv"), "--cells", str(out / "cells")]
    options = "--images 1 --validation 1 --sigmas 0.05 --device cpu --tasks sr2 sr4 --methods bicubic vdsr tv"
    return ["reproduce", *where, *options.split()]


def weights_of(out):
    """What a training run ends with: all tensors, and the log without its clock."""
    about, tensors = read_checkpoint(out / CHECKPOINT)
    rows = [{name: value for name, value in row.items() if name != "minutes"} for row in about["rows"]]
    return {name: value.tolist() for name, value in tensors.items()} | {"rows": rows, "data": about["data"]}


def numbers_of(out):
    """What `reproduce` ends with: cells and tables, without their clocks."""
    cells = [json.loads(path.read_text()) for path in sorted((out / "cells").iterdir())]
    with (out / "scores.csv").open(newline="") as file:
        rows = [*cells, *csv.DictReader(file)]
    for row in rows:
        del row["seconds_per_image"]
    return rows, (out / "tuning.csv").read_text(), (out / "scores.md").read_text()


JOBS = {"train": (train_line, weights_of), "reproduce": (reproduce_line, numbers_of)}


def run_command(arguments, output, dies_at=None):
    """`python -m course_lib …` in this process; it may die by SIGKILL within its n-th write, half of the file done."""
    torch.set_num_threads(1)
    tqdm.set_lock(threading.RLock())  # its own lock is one of the system, which a killed process leaves there
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.stdout = sys.stderr = Path(output).open("w")  # noqa: SIM115
    sys.argv, rename, writes = ["course_lib", *arguments], os.replace, []

    def deadly(temporary, path):
        writes.append(path)
        if len(writes) == dies_at:
            os.truncate(temporary, os.path.getsize(temporary) // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        rename(temporary, path)

    os.replace = deadly
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


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Smooth pictures, numbered as CelebA's: 20 to train, one to validate, one to test."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("pictures")
    for number in (*range(1, 21), 9501, 9751):
        ramp = np.linspace(0, 1, 64)[:, None, None] * rng.random(3) + np.linspace(0, 1, 64)[:, None] * rng.random(3)
        Image.fromarray((ramp * 127).astype(np.uint8)).save(folder / f"{number:06d}.png")
    return folder


@pytest.fixture(scope="module", params=JOBS)
def job(request, pictures, tmp_path_factory):
    """(line, results, the folder of an undisturbed run, its seconds), where line(out) is a command."""
    line, results = JOBS[request.param]
    out = tmp_path_factory.mktemp("undisturbed")
    finish(["--help"], out.with_suffix(".txt"))
    begin = time.perf_counter()
    finish(line(pictures, out), out.with_suffix(".txt"))
    return lambda out: line(pictures, out), results, out, time.perf_counter() - begin


def test_killed_twenty_times_a_command_ends_as_an_undisturbed_one(job, tmp_path):
    line, results, undisturbed, seconds = job
    rng, runs, kills, output = random.Random(0), [tmp_path / "0"], 0, tmp_path / "output.txt"
    while kills < 20:
        process = start(line(runs[-1]), output)
        process.join(seconds * rng.random() ** 6)  # many short lives, and some that get far
        process.kill()
        process.join()
        kills += process.exitcode == -signal.SIGKILL
        if process.exitcode != -signal.SIGKILL:
            assert process.exitcode == 0, output.read_text()
            runs.append(tmp_path / str(len(runs)))
    finish(line(runs[-1]), output)
    for out in runs:
        assert names(out) == names(undisturbed) and results(out) == results(undisturbed)


def test_killed_while_it_writes_a_command_leaves_nothing_half_written(job, tmp_path):
    line, results, undisturbed, _ = job
    rng, out, output = random.Random(0), tmp_path / "out", tmp_path / "output.txt"
    for _ in range(5):
        process = start(line(out), output, dies_at=rng.randrange(1, 13))
        process.join(120)
        assert process.exitcode == -signal.SIGKILL and any(out.rglob("*.tmp"))
    finish(line(out), output)
    assert names(out) == names(undisturbed) and results(out) == results(undisturbed)


def test_the_temporary_file_of_a_living_process_stays(tmp_path):
    process = CONTEXT.Process(target=hold, args=(tmp_path / "a.csv",), daemon=True)
    process.start()
    wait_for(lambda: any(tmp_path.iterdir()), process)
    (held,) = names(tmp_path)
    with replacing(tmp_path / "a.csv") as temporary:
        temporary.write_text("mine")
    assert names(tmp_path) == ["a.csv", held]
    process.kill()
    process.join()
    with replacing(tmp_path / "b.csv") as temporary:
        temporary.write_text("another file")
    assert held in names(tmp_path)
    with replacing(tmp_path / "a.csv") as temporary:
        temporary.write_text("mine")
    assert names(tmp_path) == ["a.csv", "b.csv"]


def hold(path):
    """A writer that takes its time."""
    with replacing(path) as temporary:
        temporary.write_text("theirs")
        time.sleep(600)


def wait_for(condition, process):
    until = time.monotonic() + 120
    while not condition():
        assert process.is_alive() and time.monotonic() < until
        time.sleep(0.005)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
@pytest.mark.parametrize("name", JOBS)
def test_an_interrupted_command_keeps_what_it_has(name, number, pictures, tmp_path):
    out, output = tmp_path / "out", tmp_path / "output.txt"
    line, first = JOBS[name][0](pictures, out), out / (CHECKPOINT if name == "train" else "cells/sr2-bicubic-0.05.json")
    process = start([*line, *(["--steps", "100000"] if name == "train" else ["--methods", "bicubic", "tv"])], output)
    wait_for(first.exists, process)
    os.kill(process.pid, number)
    process.join(120)
    message = "interrupted: the last checkpoint is kept; the same command goes on from it"
    assert process.exitcode == 130 and output.read_text().splitlines()[-1] == message
    assert not list(out.rglob("*.tmp"))
    if name == "train":
        step = load_average(out)[1]["step"]
        assert step >= 2 and main([*line, "--steps", str(step + 2)]) == 0 and load_average(out)[1]["step"] == step + 2
    else:
        before = first.stat().st_mtime_ns
        assert main([*line, "--tasks", "sr2", "--methods", "bicubic"]) == 0 and first.stat().st_mtime_ns == before
