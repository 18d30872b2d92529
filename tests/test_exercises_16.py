"""The checks of notebook 16: right, blank, and typical wrong answers."""

import numpy as np
import torch


def step(of=lambda W, seen: W[~seen] @ W[seen].T, start=1, sign=1):
    return lambda W, m, y, seen: sign * of(W, seen) @ (y - start * m[seen])


def pinned(W, seen):
    return W[~seen] @ W[seen].T @ torch.linalg.inv(W[seen] @ W[seen].T)


def excess(slope=None, offset=True, spread=lambda bits, around: around.std(), sign=1):
    def answer(png, bits, png_faces, bits_faces):
        a, b = np.polyfit(png_faces, bits_faces, 1)
        a, b = (a, b * offset) if slope is None else (slope, (bits_faces - slope * png_faces).mean())
        return sign * (bits - a * png - b) / spread(bits_faces, bits_faces - a * png_faces - b)

    return answer


def own_line(png, bits, png_faces, bits_faces):
    a, b = np.polyfit(png, bits, 1)
    return (bits - a * png - b) / (bits - a * png - b).std()


def bits(flow, x):
    return flow.bits_per_dim(x)


CASES = {
    "check_prior_abroad": (
        "most",
        [("none", "neighbouring"), ("few", "smooth"), ("half", "coin"), ("all", "choose one of")],
    ),
    "check_hidden_step": (
        step(),
        [
            (step(lambda W, seen: 0 * W[~seen] @ W[seen].T), "step in x"),
            (step(sign=-1), "the sign"),
            (step(start=0), "residual is y"),
            (step(lambda W, seen: W.T[~seen] @ W.T[seen].T), "the order"),
            (step(pinned), "whole descent"),
            (step(lambda W, seen: W @ W[seen].T), "hidden pixels alone"),
            (step(lambda W, seen: W[seen] @ W[seen].T), "observed pixels"),
            (step(lambda W, seen: 2 * W[~seen] @ W[seen].T), "W times the step"),
            (lambda W, m, y, seen: 1.0, "tensor"),
        ],
    ),
    "check_above_truth": (
        "none",
        [("few", "like any other"), ("half", "chance"), ("most", "passed the truth"), ("all", "choose one of")],
    ),
    "check_excess": (
        excess(),
        [
            (excess(spread=lambda bits, around: 1), "divide by it"),
            (excess(spread=lambda bits, around: bits.std()), "*around* the line"),
            (excess(spread=lambda bits, around: around.var()), "not by the variance"),
            (excess(slope=1), "Serrà"),
            (excess(slope=1, spread=lambda bits, around: 1), "Serrà"),
            (excess(slope=0), "whatever their PNG"),
            (excess(offset=False), "offset"),
            (excess(sign=-1), "the sign"),
            (own_line, "that of the faces"),
            (excess(slope=0.5), "their spread"),
            (lambda *a: excess()(*a)[:3], "shape [9]"),
            (lambda *a: 1.0, "one number for each"),
        ],
    ),
    "check_alarm": (
        lambda flow, x: bits(flow, x) - bits(flow, x.flip(2)),
        [
            (bits, "the first point is at 0.6"),
            (lambda flow, x: x.mean(), "shape [30]"),
            (lambda flow, x: x, "shape [30]"),
            (lambda flow, x: x.mean((1, 2, 3)) / 0, "NaN"),
        ],
    ),
}


def test_a_line_may_be_fitted_with_any_count_of_freedom():
    """The spread of the faces may be a mean over n, n − 1 or n − 2."""
    from course_lib.lab.exercises.out_of_distribution import check_excess

    assert all(check_excess(excess(spread=lambda b, around, k=k: around.std(correction=k))) for k in (0, 1, 2))
