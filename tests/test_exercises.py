"""Every check tells right from blank from typical wrong answers, and says something helpful about the latter.

The cases of notebooks 00 and 14 stand here, those of another notebook in its `test_exercises_NN.py`, as
CASES = {check: (right answer, [(wrong answer, what its hint says), …])}.
"""

import importlib
from pathlib import Path

import pytest
import torch

from course_lib.lab import exercises


def in_x(E, x, sign=-2.0):
    x = x.clone().requires_grad_()
    z = E(x)
    (slope,) = torch.autograd.grad(z.sum(), x)
    return (z**2 + sign * slope.abs().log()).detach()


def step(D, z, g, tau, kind="right"):
    J = torch.autograd.functional.jacobian(D, z)
    return {
        "right": -tau * J @ (J.T @ g),
        "sign": tau * J @ (J.T @ g),
        "in z": -tau * J.T @ g,
        "order": -tau * J.T @ (J @ g),
        "no tau": -(J @ (J.T @ g)),
    }[kind]


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
    "check_same_minimizers": ("same", [("analysis", "bijection"), ("synthesis", "range"), ("both", "choose one of")]),
    "check_step_in_z": (
        step,
        [(lambda *a, kind=kind: step(*a, kind=kind), word) for kind, word in
         [("sign", "sign"), ("in z", "J_D"), ("order", "order"), ("no tau", "τ")]],
    ),
    "check_map_penalty": (
        in_x,
        [
            (lambda E, x: in_x(E, x, 2.0), "sign"),
            (lambda E, x: in_x(E, x, -1.0), "twice"),
            (lambda E, x: E(x) ** 2, "log-determinant"),
            (lambda E, x: float("nan"), "tensor"),
        ],
    ),
}  # fmt: skip

OTHERS = [importlib.import_module(path.stem) for path in sorted(Path(__file__).parent.glob("test_exercises_*.py"))]
ALL = CASES | {name: case for module in OTHERS for name, case in module.CASES.items()}
WRONG = [(name, answer, hint) for name, (_, wrong) in ALL.items() for answer, hint in wrong]


def test_every_check_has_its_cases():
    assert sorted(ALL) == sorted(exercises.__all__) and len(ALL) == len(CASES) + sum(len(m.CASES) for m in OTHERS)
    assert [name for name, (_, wrong) in ALL.items() if len(wrong) < 3] == []


@pytest.mark.parametrize("name", ALL)
def test_the_right_answer(name, capsys):
    assert getattr(exercises, name)(ALL[name][0])
    assert capsys.readouterr().out.startswith("✓")


@pytest.mark.parametrize("name, answer, hint", WRONG, ids=[f"{n}-{h[:16]}" for n, _, h in WRONG])
def test_a_wrong_answer_gets_its_hint(name, answer, hint, capsys):
    assert not getattr(exercises, name)(answer)
    printed = capsys.readouterr().out
    assert printed.startswith("✗") and hint in printed


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("blank", [..., None], ids=["dots", "none"])
def test_a_blank_answer(name, blank, capsys):
    check, right = getattr(exercises, name), ALL[name][0]
    assert not check(blank)
    assert "not answered yet" in capsys.readouterr().out
    if callable(right):
        assert not check(lambda *_: blank)
        assert "not answered yet" in capsys.readouterr().out
        assert not check(torch.ones(3))
        assert "expected a function" in capsys.readouterr().out
