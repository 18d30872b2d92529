"""The glossary: each word is met first in the notebook that it names."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINES = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8").splitlines()
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in LINES if line.startswith("|")]
ENTRIES = [row for row in ROWS if row[0] != "symbol" and set(row[0]) != {"-"}]


def running_text(path):
    """What a notebook says, without code, tables (the one at its top announces), references, and what comes next."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    text = re.sub(r"^#+ (References|Next)\b.*?(?=^#|\Z)", "", text, flags=re.S | re.M)
    text = re.sub(r"^\|.*$|`[^`]*`", "", text, flags=re.M)
    return " ".join(re.sub(r"[*_]|\]\([^)]*\)", "", text).split())


NOTEBOOKS = {path.name: path for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))}
TEXTS = {name: running_text(path) for name, path in NOTEBOOKS.items()}


def says(text, names):
    """Whether a text has one of the names, as a whole word or in the plural. What is in lower case is found in upper
    case, too."""
    for name in names.split(", "):
        pattern = rf"(?<![\w-]){re.escape(name)}(?:s|es)?(?![\w-])"
        if re.search(pattern, text, re.I if name == name.lower() else 0):
            return True
    return False


def test_the_table_is_whole():
    assert len(ENTRIES) >= 60 and all(len(row) == 4 for row in ENTRIES), "a bar in a formula ends a cell: use \\mid"
    names = [name for row in ENTRIES for name in row[1].split(", ")]
    assert len(names) == len(set(names)) and all(names) and all(row[2] for row in ENTRIES)


@pytest.mark.parametrize("row", ENTRIES, ids=[row[1] for row in ENTRIES])
def test_a_word_is_met_first_where_the_glossary_says(row):
    first = next((name for name, text in TEXTS.items() if says(text, row[1])), "no notebook")
    assert row[3] == f"[{first[:2]}](../notebooks/{first})"


def test_a_word_is_found_as_a_whole():
    assert says("Two Adjoints.", "adjoint") and says("a MAP", "MAP, maximum a posteriori")
    assert not says("a map", "MAP") and not says("primal-dual", "dual") and not says("proximal", "prox")
