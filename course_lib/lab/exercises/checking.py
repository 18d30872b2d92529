"""What the checks are made of.

A check prints one line and returns whether the answer is right; it never raises, so that a notebook with an unsolved
task still runs to its end. A blank answer is `...` or None, or a function that returns one of them.
"""

import functools
import math

import torch

BLANK = (None, ...)


class Wrong(Exception):
    """A wrong answer; its text is what the student reads."""


class Verdict(int):
    """1 for right, 0 for wrong: a truth value that a notebook does not print again below the line of the check."""

    def _ipython_display_(self):
        """Show nothing."""


def expect(condition, hint):
    """Raise `Wrong(hint)` unless the condition holds."""
    if not condition:
        raise Wrong(hint)


def check(function):
    """Turn a function that raises `Wrong` into a check that prints a line and returns whether the answer is right."""

    @functools.wraps(function)
    def checked(answer, *args, **kwargs):
        try:
            expect(not any(answer is blank for blank in BLANK), "not answered yet: replace the `...`.")
            function(answer, *args, **kwargs)
        except Wrong as wrong:
            print(f"✗ {wrong}")
            return Verdict(False)
        except Exception as error:
            print(f"✗ your code stopped with {type(error).__name__}: {error}")
            return Verdict(False)
        print(f"✓ {function.__doc__.splitlines()[0]}")
        return Verdict(True)

    return checked


def call(function, *args):
    """function(*args); `Wrong` where it is blank."""
    expect(callable(function), f"expected a function, got {type(function).__name__}.")
    value = function(*args)
    expect(not any(value is blank for blank in BLANK), "not answered yet: your function returns nothing.")
    return value


def several(value, count, hint, kind=tuple):
    """`Wrong(hint)` unless the answer is of the kind and has `count` parts; `Wrong` where one of them is blank."""
    expect(isinstance(value, kind) and len(value) == count, hint)
    expect(not any(part is blank for part in value for blank in BLANK), "not answered yet: replace each `...`.")


def number(answer, name="the answer"):
    """The answer as a float; `Wrong` where it is no finite number."""
    try:
        value = float(answer)
    except (TypeError, ValueError):
        raise Wrong(f"{name} should be one number, got {type(answer).__name__}.") from None
    expect(math.isfinite(value), f"{name} should be finite, got {value}.")
    return value


def choice(answer, right, hints):
    """`Wrong` unless the answer is `right`; `hints` maps each wrong option to what to think about."""
    answer = str(answer).strip().lower()
    expect(answer == right or answer in hints, f"choose one of {sorted([right, *hints])}, got {answer!r}.")
    expect(answer == right, hints.get(answer, ""))


def close(value, reference, tolerance=1e-5):
    """Whether two tensors agree, relative to the size of the reference."""
    return bool((value - reference).norm() <= tolerance * reference.norm().clamp_min(1e-12))


def tensor_like(value, reference, name="the result"):
    """`Wrong` unless value is a tensor of the reference's shape without NaN."""
    expect(torch.is_tensor(value), f"{name} should be a tensor, got {type(value).__name__}.")
    expect(
        value.shape == reference.shape, f"{name} should have shape {list(reference.shape)}, got {list(value.shape)}."
    )
    expect(bool(value.isfinite().all()), f"{name} holds NaN or infinity.")
