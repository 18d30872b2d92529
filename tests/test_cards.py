"""The cards of the trained networks: the committed page is what its command writes, and nothing in it drifts."""

import json
import re

import pytest

from course_lib.__main__ import NOTEBOOKS, main
from course_lib.data.images import FRAME, SPLITS
from course_lib.models.weights import FOLDER
from course_lib.studies.cards import CARDS, stamp


def notebook(folder, name, source):
    cells = [{"cell_type": "code", "source": [source]}]
    (folder / f"{name}.ipynb").write_text(json.dumps({"cells": cells}), encoding="utf-8")


@pytest.fixture
def one(tmp_path):
    """A folder with the recipe of `glow_bounded` alone, called `tiny`; a notebook; a page with words and no table."""
    recipe = json.loads((FOLDER / "glow_bounded.json").read_text(encoding="utf-8")) | {"file": "tiny.safetensors"}
    written(recipe, tmp_path)
    (tmp_path / "tiny.safetensors").write_bytes(bytes(1_230_000))
    notebook(tmp_path, "00_start", 'load_model("another")')
    return tmp_path, recipe, "# Cards\n\n### tiny\n\n**What.** Words | more words.\n\n## End\n"


def written(recipe, folder):
    (folder / "tiny.json").write_text(json.dumps(recipe), encoding="utf-8")


def test_the_committed_page_is_what_the_command_writes(tmp_path, monkeypatch, capsys):
    text = CARDS.read_text(encoding="utf-8")
    assert stamp(text, NOTEBOOKS) == text, "python -m course_lib cards"
    monkeypatch.setattr("course_lib.studies.cards.CARDS", tmp_path / "README.md")
    (tmp_path / "README.md").write_text(re.sub(r"^\|.*\n", "", text, flags=re.MULTILINE), encoding="utf-8")
    assert main(["cards"]) == 0 and capsys.readouterr().out.strip() == str(tmp_path / "README.md")
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == text


def test_every_weight_file_has_a_card_with_its_three_texts():
    cards = dict(re.findall(r"^### (\S+)$(.*?)(?=^##|\Z)", CARDS.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL))
    assert cards.keys() == {path.stem for path in FOLDER.glob("*.safetensors")}
    for name, card in cards.items():
        assert re.findall(r"^\*\*(.*?)\.\*\*", card, re.MULTILINE) == ["What", "For", "Not for"], name


def test_the_page_states_the_frame_and_the_splits_of_the_code():
    text = " ".join(CARDS.read_text(encoding="utf-8").split())
    left, top, right, bottom = FRAME
    assert f"the square of {right - left}×{bottom - top} pixels at ({left}, {top})" in text
    first, last = SPLITS["validation"][0], SPLITS["validation"][-1]
    assert f"000001-{first - 1:06} train, {first:06}-{last:06} are for validation" in text
    assert f"{SPLITS['test'][0]:06}-{SPLITS['test'][-1]:06} for tests" in text


def test_a_table_follows_its_recipe_and_the_words_stay(one):
    folder, recipe, page = one
    text = stamp(page, folder, folder)
    assert "| 6,000 steps of 32 images with noise of σ = 0.01, from random weights; 96 minutes; 2026-11-23." in text
    assert "5,586,900 parameters, 1.23 MB" in text and "9,500 faces of CelebA (non-commercial research only)" in text
    assert "4.2017 bits/dim" in text and "on 250 faces of CelebA for validation" in text and "| no notebook |" in text
    assert re.sub(r"^\|.*\n", "", text, flags=re.MULTILINE).replace("\n\n\n", "\n\n") == page
    recipe |= {"steps": 7000, "note": "log|det J| is constant.", "parameters": 12}
    recipe["training"] |= {"start": "glow", "batch": 64}
    written(recipe, folder)
    changed = stamp(text, folder, folder)
    assert "7,000 steps of 64 images with noise of σ = 0.01, from the weights of glow;" in changed
    assert r"log\|det J\| is constant. |" in changed and "6,000" not in changed and changed.count("12 parameters") == 1
    assert stamp(changed, folder, folder) == changed


def test_faces_and_crops_share_the_validation(one):
    folder, recipe, page = one
    photographs = {"train": ["coffee", "grass"], "validation": ["camera"]}
    written(
        recipe | {"data": [], "photographs": photographs, "training": recipe["training"] | {"photographs": 80}}, folder
    )
    alone = stamp(page, folder, folder)
    assert (
        "| 80 crops of 2 photographs of scikit-image (coffee, grass) |" in alone and "on 250 crops of camera" in alone
    )
    recipe["training"] |= {"photographs": 80}
    recipe["validation"] |= {"images": 500}
    written(recipe | {"photographs": photographs}, folder)
    assert "on 250 faces of CelebA and 250 crops of camera for validation" in stamp(page, folder, folder)


def test_a_card_names_who_uses_the_weights(one):
    folder, _, page = one
    load = 'nets = [models.load_model(name.lower()) for name in ("TINY", "other")]'
    for name, source in {"01_a": load, "02_b": 'print("tiny")', "03_c": "describe('tiny')", "notes": load}.items():
        notebook(folder, name, source)
    links = [f"[{name[:2]}](../../../notebooks/{name}.ipynb)" for name in ("01_a", "03_c")]
    assert f"| used in | notebooks {', '.join(links)} |" in stamp(page, folder, folder)
    assert "; in the score table `srcnn` |" in CARDS.read_text(encoding="utf-8")


def test_weights_without_a_card_or_terms_are_refused(one):
    folder, recipe, page = one
    with pytest.raises(ValueError, match=r"cards: expected a section ### NAME for each of \['tiny'\], got \[\]"):
        stamp(page.replace("### tiny", "tiny"), folder, folder)
    written(recipe | {"data": [{"folder": "holidays", "images": 3}]}, folder)
    with pytest.raises(ValueError, match=r"SOURCES: expected a line for each folder .* none for \['holidays'\]"):
        stamp(page, folder, folder)
    with pytest.raises(FileNotFoundError, match=r"notebooks: .* holds no notebook"):
        stamp(page, folder / "nowhere", folder)
