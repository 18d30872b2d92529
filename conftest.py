"""How all tests run together: one process a core with one thread each, the notebooks first, and every widget turned.

`tests/conftest.py` holds what the library's tests share.
"""

import csv
import os
from pathlib import Path

# Before anything imports torch or matplotlib; the workers and the notebooks' kernels inherit it.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ |= {"MPLBACKEND": "agg", "TQDM_DISABLE": "1"}
import pytest
from nbval.plugin import IPyNbCell

ROOT = Path(__file__).parent
AFTER_A_CELL = f"import sys; sys.path.append({str(ROOT / 'tests')!r}); import turning; turning.after_a_cell()"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config):
    """As many workers as cores; for a single file this process alone, which starts faster."""
    if len(config.args) == 1 and Path(config.args[0].partition("::")[0]).is_file():
        return 0
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def pytest_collection_modifyitems(items):
    """The notebooks first, the longest of them first: a worker takes the next file as soon as it is free."""
    table = ROOT / "figures" / "notebooks.csv"
    rows = csv.DictReader(table.read_text(encoding="utf-8").splitlines()) if table.exists() else []
    seconds = {row["notebook"]: float(row["seconds"]) for row in rows}
    items.sort(key=lambda item: -seconds.get(item.path.stem, 0))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """After a cell of a notebook its new widgets are turned, in its kernel: see `tests/turning.py`."""
    result = yield
    if isinstance(item, IPyNbCell):
        reply = item.parent.kernel.kc.execute_interactive(
            f"exec({AFTER_A_CELL!r}, {{}})", silent=True, allow_stdin=False, timeout=300, output_hook=lambda _: None
        )["content"]
        if reply["status"] != "ok":
            pytest.fail("\n".join(["a widget of this cell, turned:", *reply["traceback"]]), pytrace=False)
    return result
