"""What the studies have measured, on disk: cells, each in a file of its own, and the tables that are made of them.

A study can be stopped, and goes on with the next cell: a cell that was measured with the same `setup` is read.
"""

import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from course_lib.common import progress, replacing, write_text
from course_lib.data import to_float
from course_lib.studies import FIGURES

WRITTEN_BY = {
    "benchmarks": "python tests/benchmarks/run.py",
    "classroom": "python tests/benchmarks/classroom.py",
    "conformal": "python -m course_lib conformal",
    "coverage": "python -m course_lib coverage",
    "deepinv": "python tests/benchmarks/bridge.py",
    "lambda_sweep": "python -m course_lib sweeps",
    "memorization": "python -m course_lib memorization",
    "mutation": "python tests/benchmarks/mutants.py",
    "notebooks": "python tests/benchmarks/notebooks.py",
    "ood_likelihood": "python -m course_lib domains --data",
    "ood_scores": "python -m course_lib domains",
    "phase_transition": "phase_transition.save_phase_transition()",
    "scores": "python -m course_lib reproduce",
    "solver_costs": "python tests/benchmarks/run.py --parts solvers --data",
    "starts": "python -m course_lib starts",
    "time_jacobian": "python -m course_lib encoder",
    "time_round_trip": "python -m course_lib encoder",
    "trial": "python -m course_lib trial",
    "tuning": "python -m course_lib reproduce",
}
"""The tables of `figures/`, and what writes them."""


def read_table(name, folder=FIGURES):
    """The table `name`.csv of a folder, by default of `figures/`: a DataFrame, with NaN where a cell is empty.

    Raises FileNotFoundError where there is none, with the command that writes it.
    """
    path = Path(folder) / f"{name}.csv"
    if not path.exists():
        writer = f"`{WRITTEN_BY[name]}` writes it" if name in WRITTEN_BY else f"known are {', '.join(WRITTEN_BY)}"
        raise FileNotFoundError(f"name: expected a table, but {path} does not exist; {writer}")
    return pd.read_csv(path)


def write_table(path, rows, columns):
    """Rows (dictionaries, tuples or a DataFrame) as a CSV file: floats with four digits, nothing for None or NaN.

    Returns the rows, a DataFrame of these columns.
    """
    table = pd.DataFrame(rows, columns=list(columns), dtype=object)
    text = table.map(lambda value: f"{value:.4g}" if isinstance(value, float) else str(value), na_action="ignore")
    write_text(path, text.to_csv(index=False, lineterminator="\n"))
    return table


def in_order(table, **orders):
    """A DataFrame with its rows sorted by some columns, each in the order of the values given: `task=TASKS, …`."""
    places = {column: {value: i for i, value in enumerate(order)} for column, order in orders.items()}
    return table.sort_values(list(orders), key=lambda column: column.map(places[column.name]), ignore_index=True)


@dataclass
class Store:
    """A folder of cells, and the command of `python -m course_lib` that fills it.

    A cell has a key, such as (task, method, σ). Its file, `sr2-tv-0.01.json`, is a record and the `setup` that it was
    measured with: weights, λ, counts of images. Some have pictures beside it, `sr2-tv-0.01.jpg`.
    """

    folder: Path
    command: str

    def path(self, key, kind="json"):
        """The file of a cell."""
        name = "-".join(part if isinstance(part, str) else f"{part:g}" for part in key)
        return Path(self.folder) / f"{name}.{kind}"

    def measured_path(self, key, kind):
        """The file of a cell, which must be there."""
        path = self.path(key, kind)
        if not path.exists():
            raise FileNotFoundError(f"key: {path.name} was not measured; `python -m course_lib {self.command}` does")
        return path

    def read(self, *key):
        """The record of a cell, a dictionary. FileNotFoundError where it was not measured."""
        return json.loads(self.measured_path(key, "json").read_text(encoding="utf-8"))

    def pictures(self, *key):
        """The pictures of a cell, [N, 3, H, W] in [0, 1], as JPEG has kept them: to look at, not to measure.

        FileNotFoundError where there are none.
        """
        with Image.open(self.measured_path(key, "jpg")) as strip:
            pixels = torch.from_numpy(np.array(strip)).permute(2, 0, 1)
        return to_float(torch.stack(pixels.split(pixels.shape[1], 2)))

    def records(self):
        """The records of all cells of the folder, by name."""
        return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(Path(self.folder).glob("*.json"))]

    def kept(self, key, setup):
        """The record of a cell if it was measured with this `setup`, else None."""
        record = self.read(*key) if self.path(key).exists() else {"setup": None}
        return record if record["setup"] == setup else None

    def keep(self, key, record, pictures):
        """Write the record of a cell, and its pictures [N, 3, H, W] unless they are None."""
        Path(self.folder).mkdir(parents=True, exist_ok=True)
        # Pictures and record belong together: neither is renamed before both are written.
        with replacing(self.path(key)) as temporary:
            temporary.write_text(json.dumps(record, indent=1), encoding="utf-8", newline="\n")
            if pictures is not None:
                save_strip(pictures, self.path(key, "jpg"))

    def fill(self, keys, setup, measure, write, known=()):
        """Measure the cell of each key that was not kept with its setup, in turn, with a progress bar. After each one,
        and at the end, `write(records)` writes the table of all cells there are: of the keys, and of what else the
        table is `known` to hold. Returns what it has written last.

        `setup(*key)` is what a cell depends on, `measure(*key)` gives (record, pictures [N, 3, H, W] or None).
        """

        def write_all():
            records = [self.kept(key, setup(*key)) for key in dict.fromkeys([*known, *keys])]
            return write([record for record in records if record is not None])

        bar = progress(keys)
        for key in bar:
            bar.set_description(" ".join(map(str, key)))
            if self.kept(key, setup(*key)) is None:
                record, pictures = measure(*key)
                self.keep(key, record | {"setup": setup(*key)}, pictures)
                write_all()
        return write_all()


FACE_CELLS = Store(FIGURES / "cells", "reproduce")
PHOTOGRAPH_CELLS = Store(FIGURES / "ood_cells", "domains")
SWEEP_CELLS = Store(FIGURES / "lambda_cells", "sweeps")


def save_strip(images, path, quality=93):
    """Write images [N, 3, H, W] side by side as one JPEG; its blocks of 8×8 pixels don't cross images of 64×64.

    The error of this quality, about 40 dB, hardly shows where an error map is multiplied by 5.
    """
    strip = (torch.cat(list(images.cpu()), 2).permute(1, 2, 0) * 255).round().byte().numpy()
    buffer = io.BytesIO()
    Image.fromarray(strip).save(buffer, format="JPEG", quality=quality, subsampling=0)
    # Through memory, as Pillow itself cuts a JPEG file short without an error where the disk is full.
    with replacing(path) as temporary:
        temporary.write_bytes(buffer.getvalue())
