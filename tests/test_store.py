"""The store of the studies: cells that survive a stop, their pictures, and tables as they are on disk."""

import json

import pandas as pd
import pytest
import torch

from course_lib.data import PHOTOGRAPHS, photograph
from course_lib.metrics import psnr
from course_lib.studies import FIGURES
from course_lib.studies.store import (
    FACE_CELLS,
    PHOTOGRAPH_CELLS,
    SWEEP_CELLS,
    WRITTEN_BY,
    Store,
    in_order,
    read_table,
    write_table,
)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "cells", "reproduce")


def fill(store, keys, setups, stop=None, known=()):
    """What `fill` has measured, in this order, and what it has written."""
    measured, written = [], []

    def measure(*key):
        if key == stop:
            raise KeyboardInterrupt
        measured.append(key)
        return {"key": list(key)}, None

    def write(records):
        written.append([tuple(record["key"]) for record in records])

    try:
        store.fill(keys, lambda *key: setups[key], measure, write, known)
    except KeyboardInterrupt:
        assert stop is not None
    return measured, written


def test_a_study_that_was_stopped_goes_on(store):
    keys = [("sr2", "tv", 0.01), ("sr2", "map", 0.0), ("sr4", "tv", 0.05)]
    setups = {key: {"weights": "a", "lam": 0.1} for key in keys}
    assert fill(store, keys, setups, stop=keys[2]) == (keys[:2], [keys[:1], keys[:2]])
    names = sorted(path.name for path in store.folder.iterdir())
    assert names == ["sr2-map-0.json", "sr2-tv-0.01.json"]
    assert fill(store, keys, setups) == (keys[2:], [keys, keys])
    assert fill(store, keys, setups) == ([], [keys])


def test_a_part_that_is_measured_leaves_the_rest_of_the_table(store):
    """Only what was measured with another setup falls out of it."""
    keys = [("sr2", "tv"), ("sr2", "map"), ("sr4", "tv")]
    setups = {key: {"lam": 0.1} for key in keys}
    assert fill(store, keys[:2], setups, known=keys) == (keys[:2], [keys[:1], keys[:2], keys[:2]])
    assert fill(store, keys[2:], setups, known=keys) == (keys[2:], [keys, keys])
    assert fill(store, keys[2:], setups | {keys[0]: {"lam": 0.2}}, known=keys) == ([], [keys[1:]])


def test_a_cell_of_another_setup_is_measured_again(store):
    key = ("sr2", "tv")
    for setup in ({"lam": 0.1}, {"lam": 0.2}, {"lam": None}, {"lam": None, "images": 3}):
        measured = [fill(store, [key], {key: setup})[0] for _ in range(2)]
        assert measured == [[key], []] and store.read(*key)["setup"] == setup


def test_a_record_is_read_as_it_was_measured(store):
    record = {"psnr": [1 / 3, 1e-300, 27.415384292602539], "lam": None, "domains": ["ciel bleu", "É"]}
    store.keep(("a",), record | {"setup": {}}, None)
    assert store.read("a") == record | {"setup": {}} == store.kept(("a",), {}) and store.records() == [store.read("a")]


def test_pictures_are_those_that_were_kept(store):
    images = torch.cat([photograph(name) for name in PHOTOGRAPHS])
    store.keep(("sr2", "tv"), {}, images)
    found = store.pictures("sr2", "tv")
    assert found.shape == images.shape and psnr(found, images).min() > 30


def test_what_was_not_measured_is_named(store):
    for read in (store.read, store.pictures):
        with pytest.raises(FileNotFoundError, match=r"key: sr4-tv-0.05.* was not measured; `.* reproduce`"):
            read("sr4", "tv", 0.05)


@pytest.mark.parametrize("cells", [FACE_CELLS, PHOTOGRAPH_CELLS, SWEEP_CELLS], ids=lambda cells: cells.folder.name)
def test_every_cell_of_the_course_has_its_setup(cells):
    paths = list(cells.folder.glob("*.json"))
    assert paths and all("weights" in json.loads(path.read_text(encoding="utf-8"))["setup"] for path in paths)


@pytest.mark.parametrize("path", sorted(FIGURES.glob("*.csv")), ids=lambda path: path.stem)
def test_a_table_that_is_read_and_written_keeps_its_numbers(path, tmp_path):
    table = read_table(path.stem)
    write_table(tmp_path / path.name, table, table.columns)
    pd.testing.assert_frame_equal(read_table(path.stem, tmp_path), table)


def test_numbers_of_a_table_have_four_digits_and_nothing_stands_for_none(tmp_path):
    rows = [{"n": 12288, "x": 1 / 3, "text": "a"}, {"n": None, "x": float("nan"), "text": "b, c"}]
    write_table(tmp_path / "scores.csv", rows, ("text", "x", "n"))
    assert (tmp_path / "scores.csv").read_bytes() == b'text,x,n\na,0.3333,12288\n"b, c",,\n'


def test_a_table_that_is_missing_says_what_writes_it(tmp_path):
    assert {path.stem for path in FIGURES.glob("*.csv")} == set(WRITTEN_BY)
    with pytest.raises(FileNotFoundError, match=r"coverage.csv does not exist; `python -m course_lib coverage` writes"):
        read_table("coverage", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"scorse.csv does not exist; known are .*scores"):
        read_table("scorse")


def test_rows_are_sorted_by_the_orders_given():
    table = pd.DataFrame({"task": ["b", "a", "b", "c"], "sigma": [1.0, 0.0, 0.0, 0.5], "n": range(4)})
    found = in_order(table, task=("c", "b", "a"), sigma=(0.0, 0.5, 1.0))
    assert list(found["n"]) == [3, 2, 0, 1] and list(found.index) == [0, 1, 2, 3]
