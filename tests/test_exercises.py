"""Every check tells right from blank from typical wrong answers, and says something helpful about the latter.

The cases of notebook 00 stand here, those of another notebook in its `test_exercises_NN.py`, as
CASES = {check: (right answer, [(wrong answer, what its hint says), …])}.
"""

import importlib
import io
import math
import pkgutil
from pathlib import Path

import pytest
import torch

from course_lib.lab import exercises
from course_lib.lab.exercises import checking
from course_lib.lab.exercises.checking import open_exercise


def mse(a, b):
    return (a - b).square().mean()


CASES = {
    "check_inversion": ("noise", [("sharp", "A⁻¹"), ("blurred", "A⁻¹n"), ("fog", "choose one of")]),
    "check_psnr": (
        lambda a, b: -10 * mse(a, b).log10(),
        [
            (lambda a, b: 10 * mse(a, b).log10(), "sign"),
            (lambda a, b: -10 * (a - b).square().sum().log10(), "mean"),
            (lambda a, b: -10 * mse(a, b).log(), "base 10"),
            (lambda a, b: -10 * mse(a, b).sqrt().log10(), "squared"),
            (lambda a, b: a - b, "one number"),
        ],
    ),
    "check_first_step": (
        lambda x, y, A: A.T(A(x) - y),
        [
            (lambda x, y, A: A.T(y - A(x)), "sign"),
            (lambda x, y, A: A(x) - y, "residual"),
            (lambda x, y, A: A(A(x) - y), "A.T"),
            (lambda x, y, A: 2 * A.T(A(x) - y), "½"),
        ],
    ),
}  # fmt: skip

OTHERS = [importlib.import_module(path.stem) for path in sorted(Path(__file__).parent.glob("test_exercises_*.py"))]
ALL = CASES | {name: case for module in OTHERS for name, case in module.CASES.items()}
WRONG = [(name, answer, hint) for name, (_, wrong) in ALL.items() for answer, hint in wrong]
CALLABLE = [name for name, (right, _) in ALL.items() if callable(right)]
PARTS = {"check_ista_layer": 3, "check_admm_layer": 2, "check_chain_logdet": 2}
PARTS |= {"check_paired_gain": 2, "check_two_means": 2, "check_posterior_weights": 2}
PARTS |= {name: len(right) for name, (right, _) in ALL.items() if isinstance(right, tuple)}

FILES = [
    importlib.import_module(f"{exercises.__name__}.{found.name}") for found in pkgutil.iter_modules(exercises.__path__)
]
CHECKS = {
    k: v for file in FILES for k, v in vars(file).items() if k.startswith("check_") and v.__module__ == file.__name__
}


def test_every_check_has_its_cases():
    assert sorted(ALL) == sorted(CHECKS) and len(ALL) == len(CASES) + sum(len(m.CASES) for m in OTHERS)
    assert [name for name, (_, wrong) in ALL.items() if len(wrong) < 3] == []


@pytest.mark.parametrize(
    ("tiers", "score", "points", "words"),
    [
        ((1, 2, 4), 0.5, 0, "the first point is at 1 dB"),
        ((1, 2, 4), 1, 1, "1 of 3 points. The next point is at 2 dB"),
        ((1, 2, 4), 3.99, 2, "2 of 3 points. The next point is at 4 dB"),
        ((1, 2, 4), 5, 3, "5 dB: 3 of 3 points. Well done"),
        ((9, 5, 1), 10, 0, "the first point is at 9 dB"),
        ((9, 5, 1), 5, 2, "The next point is at 1 dB"),
        ((9, 5, 1), 0.3, 3, "3 of 3 points"),
        ((1, 2, 4), math.nan, 0, "finite"),
    ],
)
def test_an_open_exercise_gives_points_for_what_is_reached(tiers, score, points, words, capsys):
    def described(answer):
        """Well done."""
        return answer

    assert open_exercise(*tiers, unit=" dB")(described)(score) == points
    shown = capsys.readouterr().out
    assert words in shown and shown.startswith("✓" if points else "✗")


@pytest.mark.parametrize("name", ALL)
def test_the_right_answer(name, capsys):
    assert CHECKS[name](ALL[name][0])
    assert capsys.readouterr().out.startswith("✓")


def overwrite(value):
    """Fill every tensor within an argument with NaN: also those of an operator or a network."""
    if isinstance(value, list | tuple):
        for part in value:
            overwrite(part)
    elif isinstance(value, torch.nn.Module):
        overwrite([*value.parameters(), *value.buffers()])
    elif torch.is_tensor(value):
        value.data.fill_(float("nan") if value.is_floating_point() or value.is_complex() else 0)


@pytest.mark.parametrize("name", CALLABLE)
def test_a_right_answer_may_work_in_place(name, capsys):
    def in_place(*args):
        value = ALL[name][0](*args)
        value = tuple(
            part.clone() if torch.is_tensor(part) else part for part in (value if isinstance(value, tuple) else [value])
        )
        overwrite(args)
        return value if len(value) > 1 else value[0]

    assert CHECKS[name](in_place), capsys.readouterr().out


def test_an_answer_that_works_in_place_as_students_write_it():
    from course_lib.lab.exercises.sparsity import check_group_threshold

    def threshold(v, tau):
        v *= (1 - tau / v.norm(dim=1, keepdim=True).clamp_min(1e-9)).clamp_min(0)
        return v

    assert check_group_threshold(threshold)


@pytest.mark.parametrize("name, answer, hint", WRONG, ids=[f"{n}-{h[:16]}" for n, _, h in WRONG])
def test_a_wrong_answer_gets_its_hint(name, answer, hint, capsys):
    assert not CHECKS[name](answer)
    printed = capsys.readouterr().out
    assert printed.startswith("✗") and hint in printed


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("blank", [..., None], ids=["dots", "none"])
def test_a_blank_answer(name, blank, capsys):
    check, right = CHECKS[name], ALL[name][0]
    assert not check(blank)
    assert "not answered yet" in capsys.readouterr().out
    if callable(right):
        assert not check(lambda *_: blank)
        assert "not answered yet" in capsys.readouterr().out
        assert not check(torch.ones(3))
        assert "expected a function" in capsys.readouterr().out


@pytest.mark.parametrize("blank", [..., None], ids=["dots", "none"])
@pytest.mark.parametrize(("name", "parts"), PARTS.items())
def test_an_answer_of_several_parts_may_be_blank_in_one(name, parts, blank, capsys):
    right = ALL[name][0]
    for k in range(parts):

        def but_one(value, k=k):
            return (*value[:k], blank, *value[k + 1 :])

        answer = (lambda *args, but_one=but_one: but_one(right(*args))) if callable(right) else but_one(right)
        assert not CHECKS[name](answer)
        assert "not answered yet" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("encoding", "right", "wrong"),
    [("utf-8", "✓", "✗"), ("cp1252", "[right]", "[wrong]"), ("ascii", "[right]", "[wrong]")],
)
def test_a_verdict_is_legible_on_any_console(encoding, right, wrong, monkeypatch):
    console = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr("sys.stdout", console)
    for answer in ("same", "synthesis", ...):
        CHECKS["check_same_minimizers"](answer)
    console.flush()
    lines = console.buffer.getvalue().decode(encoding).splitlines()
    assert [line.split()[0] for line in lines] == [right, wrong, wrong] and "Right: F(D(z))" in lines[0]


def test_a_comparison_knows_numbers_tensors_and_pairs():
    checking.compare(2.0, 2, {"never": 2.0}, "no")  # a mistake that gives the right value is none
    checking.compare(torch.ones(2), torch.ones(2), {}, "no")
    checking.compare((1.0, torch.zeros(2)), (1.0, torch.zeros(2)), {}, "no")
    for value, hint in ((3.0, "three"), (5.0, "more"), (6.0, "more"), (7.0, "no")):
        with pytest.raises(checking.Wrong, match=hint):
            checking.compare(value, 2.0, {"three": 3.0, "more": [5.0, 6.0]}, "no")
