"""What the checks of the exercises are made of.

A check prints one line and returns whether the answer is right. It never raises, whatever the answer does, and no later
cell computes with an answer: a notebook runs to its end with every exercise blank. A blank answer is `...` or None, or
a function that returns one of them.
"""

import copy
import functools
import math
import sys

import torch

BLANK = (None, ...)


class Wrong(Exception):
    """A wrong answer; its text is what the student reads."""


class Verdict(int):
    """1 for right, 0 for wrong, 1 to 3 points for an open exercise: a number that a notebook does not print again below
    the line of the check."""

    def _ipython_display_(self):
        """Show nothing."""


def say(line):
    """Print a line; words for ✓ and ✗, and ? for other letters, where the console's encoding lacks one."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        line.encode(encoding)
    except UnicodeEncodeError:
        line = line.replace("✓", "[right]").replace("✗", "[wrong]").encode(encoding, "replace").decode(encoding)
    print(line)


def expect(condition, hint):
    """Raise `Wrong(hint)` unless the condition holds."""
    if not condition:
        raise Wrong(hint)


def exercise(function):
    """Turn a function that raises `Wrong` into a check that prints a line and returns whether the answer is right."""

    def judge(answer):
        function(answer)
        return 1, function.__doc__.splitlines()[0]

    return checked(function, judge)


def open_exercise(*tiers, unit=""):
    """Turn a function that gives an answer's score, or raises `Wrong`, into a check that returns the points, 0 to 3.

    Args:
        tiers: the least score for one point, for two and for three: rising, or falling where a small score is good.
        unit: of the score, as it is printed: `" dB"`.
    """
    sign = 1 if tiers[-1] > tiers[0] else -1

    def decorate(function):
        def judge(answer):
            score = number(function(answer), "the score")
            points = sum(sign * score >= sign * tier for tier in tiers)
            expect(points > 0, f"{score:.3g}{unit}: the first point is at {tiers[0]:g}{unit}.")
            line = f"{score:.3g}{unit}: {points} of {len(tiers)} points."
            if points < len(tiers):
                line += f" The next point is at {tiers[points]:g}{unit}."
            return points, f"{line} {function.__doc__.splitlines()[0]}"

        return checked(function, judge)

    return decorate


def checked(function, judge):
    """The check that `judge(answer)` = (points, what to print for them) amounts to."""

    @functools.wraps(function)
    def check(answer):
        try:
            expect(not any(answer is blank for blank in BLANK), "not answered yet: replace the `...`.")
            points, line = judge(answer)
        except Wrong as wrong:
            say(f"✗ {wrong}")
            return Verdict(0)
        except Exception as error:
            say(f"✗ your code stopped with {type(error).__name__}: {error}")
            return Verdict(0)
        say(f"✓ {line}")
        return Verdict(points)

    return check


def handed_out(value):
    """A copy of an argument, so that an answer may work in place. Gradients still reach the tensors of the check."""
    if torch.is_tensor(value):
        return value.clone()
    if isinstance(value, list | tuple):
        return type(value)(handed_out(part) for part in value)
    return copy.deepcopy(value)


def call(function, *args):
    """function(*args), on copies of the arguments; `Wrong` where it is blank."""
    expect(callable(function), f"expected a function, got {type(function).__name__}.")
    value = function(*(handed_out(arg) for arg in args))
    answered = not any(value is blank for blank in BLANK)
    expect(answered, "not answered yet: your function returns nothing; replace the `...`.")
    return value


def several(value, count, hint):
    """`Wrong(hint)` unless the answer is a tuple or list of `count` parts; `Wrong` where one of them is blank."""
    expect(isinstance(value, tuple | list) and len(value) == count, hint)
    expect(not any(part is blank for part in value for blank in BLANK), "not answered yet: replace each `...`.")


def number(answer, name="the answer"):
    """The answer as a float; `Wrong` where it is no finite number."""
    try:
        value = float(answer)
    except (TypeError, ValueError):
        raise Wrong(f"{name} should be one number, got {type(answer).__name__}.") from None
    expect(math.isfinite(value), f"{name} should be finite, got {value}.")
    return value


def chosen(answer, right, hints):
    """`Wrong` unless the answer is `right`; `hints` maps each wrong option to what to think about."""
    answer = str(answer).strip().lower()
    expect(answer == right or answer in hints, f"choose one of {sorted([right, *hints])}, got {answer!r}.")
    expect(answer == right, hints.get(answer, ""))


def close(value, reference, tolerance=1e-5):
    """Whether two tensors, numbers, or tuples of them agree, relative to the size of the reference."""
    if isinstance(reference, tuple):
        return all(close(*parts, tolerance) for parts in zip(value, reference, strict=True))
    value, reference = (torch.as_tensor(part, dtype=torch.float64) for part in (value, reference))
    if value.shape != reference.shape:
        return False
    return bool((value - reference).norm() <= tolerance * reference.norm().clamp_min(1e-12))


def compare(value, right, mistakes, hint, tolerance=1e-5):
    """`Wrong` unless the value agrees with the right one: with the hint of the typical mistake that it agrees with, of
    `mistakes`, {hint: what the mistake gives, or a list of such}; else with `hint`.

    What has not the shape of the right tensor is told by its shape: with the hint of a mistake that has it, too.
    """
    typical = [(text, each) for text, m in mistakes.items() for each in (m if isinstance(m, list) else [m])]
    if torch.is_tensor(right) and right.dim():
        shape = getattr(value, "shape", torch.Size())
        for text, mistake in typical if shape != right.shape else ():
            expect(shape != mistake.shape, text)
        tensor_like(value, right)
    if not close(value, right, tolerance):
        for text, mistake in typical:
            expect(not close(value, mistake, tolerance), text)
        raise Wrong(hint)


def tensor_like(value, reference, name="the result"):
    """`Wrong` unless value is a tensor of the reference's shape without NaN."""
    expect(torch.is_tensor(value), f"{name} should be a tensor, got {type(value).__name__}.")
    expect(
        value.shape == reference.shape, f"{name} should have shape {list(reference.shape)}, got {list(value.shape)}."
    )
    expect(bool(value.isfinite().all()), f"{name} holds NaN or infinity.")
