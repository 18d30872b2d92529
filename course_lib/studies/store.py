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
    "couplings": "python -m course_lib couplings",
    "coverage": "python -m course_lib coverage",
    "lambda_sweep": "python -m course_lib sweeps",
    "notebooks": "python tests/benchmarks/notebooks.py",
    "ood_likelihood": "python -m course_lib domains --data",
    "ood_scores": "python -m course_lib domains",
    "phase_transition": "phase_transition.save_phase_transition()",
    "scores": "python -m course_lib reproduce",
    "solver_costs": "python tests/benchmarks/run.py solvers",
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

    def cell(self, key, setup, measure):
        """The record of a cell: as it was kept if with the same `setup`, else measured, and kept.

        `measure(*key)` gives (record, pictures [N, 3, H, W] or None).
        """
        if self.path(key).exists() and (kept := self.read(*key))["setup"] == setup:
            return kept
        record, pictures = measure(*key)
        record = record | {"setup": setup}
        Path(self.folder).mkdir(parents=True, exist_ok=True)
        # Pictures and record belong together: neither is renamed before both are written.
        with replacing(self.path(key)) as temporary:
            temporary.write_text(json.dumps(record, indent=1), encoding="utf-8", newline="\n")
            if pictures is not None:
                save_strip(pictures, self.path(key, "jpg"))
        return record

    def fill(self, keys, setup, measure, write):
        """Read or measure the cell of each key, in turn, with a progress bar; after each, `write(records)` writes the
        tables of the records so far. Returns what it has written last.

        `setup(*key)` is what a cell depends on; `measure` as in `cell`.
        """
        records, bar, table = [], progress(keys), None
        for key in bar:
            bar.set_description(" ".join(map(str, key)))
            records.append(self.cell(key, setup(*key), measure))
            table = write(records)
        return table


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
