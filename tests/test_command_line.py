"""The command line as a whole: what it loads, and consoles that do not know every letter."""

import os
import subprocess
import sys

import pytest

from course_lib.__main__ import COMMANDS, main

HEAVY = ("matplotlib", "nbformat", "scipy", "pandas", "skimage", "IPython", "ipywidgets")


def python(source, **environment):
    """What a fresh interpreter prints, without TQDM_DISABLE's progress bars."""
    environment = os.environ | {"PYTHONUTF8": "0"} | environment
    done = subprocess.run([sys.executable, "-c", source], env=environment, capture_output=True, timeout=600)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout


HELP = """
import sys
from course_lib.__main__ import COMMANDS, main
for line in {lines}:
    try:
        main(line)
    except SystemExit as end:
        assert not end.code, line
"""


def test_the_help_loads_nothing_that_it_does_not_need():
    loaded = python(HELP.format(lines=[["--help"]]) + "print('modules:', *sys.modules)").decode(errors="replace")
    help_text, modules = loaded.split("modules:")
    assert {name for name in COMMANDS if f"\n    {name}" in help_text} == set(COMMANDS)
    assert not set(modules.split()) & {*HEAVY, "torch"}


@pytest.mark.parametrize("module", ["course_lib", "course_lib.studies", "course_lib.operators", "course_lib.data"])
def test_a_room_does_not_load_what_draws(module):
    modules = python(f"import {module}, sys; print(*sys.modules)").decode().split()
    assert not set(modules) & {"matplotlib", "nbformat", "pandas", "IPython", "ipywidgets"}


def test_a_console_without_greek_letters_shows_every_help_and_every_line():
    lines = "[[name, '--help'] for name in COMMANDS] + [['--help']]"
    shown = python(HELP.format(lines=lines) + "print('λ = 0.1 ✓')", PYTHONIOENCODING="cp1252").decode("cp1252")
    assert all(f"usage: python -m course_lib {name}" in shown for name in COMMANDS)
    assert "? not tuned" in shown and shown.rstrip().endswith("? = 0.1 ?")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_help(name, capsys):
    with pytest.raises(SystemExit) as end:
        main([name, "--help"])
    assert end.value.code == 0 and f"python -m course_lib {name}" in capsys.readouterr().out


def test_an_option_may_stand_before_the_command(capsys):
    with pytest.raises(FileNotFoundError, match="missing"):
        main(["--traceback", "trial", "missing", "--data", "faces"])
    assert main(["trial", "missing", "--data", "faces"]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    with pytest.raises(SystemExit):
        main(["reproduce", "--tasks", "denoising"])
    assert "inpainting_square" in capsys.readouterr().err
