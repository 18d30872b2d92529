"""Every check tells right from blank from typical wrong answers, and says something helpful about the latter."""

import pytest
import torch

from course_lib import exercises


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
            (lambda a, b: a - b, "stopped with|one number"),
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


@pytest.mark.parametrize("name", CASES)
def test_right_blank_and_wrong(name, capsys):
    check, (right, wrong) = getattr(exercises, name), CASES[name]
    assert check(right) and "✓" in capsys.readouterr().out
    for blank in (..., None) if isinstance(right, str) else (..., None, lambda *_: ..., lambda *_: None):
        assert not check(blank) and "not answered yet" in capsys.readouterr().out
    assert len(wrong) >= 3
    for answer, word in wrong:
        assert not check(answer)
        printed = capsys.readouterr().out
        assert printed.startswith("✗") and any(w in printed for w in word.split("|")), (word, printed)
