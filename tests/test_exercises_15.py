"""The checks of notebook 15: right, blank, and typical wrong answers."""

import math

import pytest
import torch

from course_lib.lab.exercises.experiments import GRID, results_table


def psnr(mse):
    return -10 * mse.log10()


def faces_needed(total=lambda a, b: a**2 + b**2, both=2, power=1, invert=False):
    def answer(n, s_a, s_b, rho):
        ratio = total(s_a, s_b) / (total(s_a, s_b) - both * rho * s_a * s_b)
        return n * (1 / ratio if invert else ratio) ** power

    return answer


def unsound(row):
    """What the table itself says against a row."""
    psnr = torch.tensor(row.psnr, dtype=torch.float64)
    tuned, tested = (set(range(first, last + 1)) for first, last in (row.tuned_on, row.tested_on))
    return {
        "edge": row.lam in (GRID[0], GRID[-1]),
        "leak": bool(tuned & tested),
        "faces": row.tested_on != (101, 120),
        "noise": row.sigma != 0.01,
        "std": abs(psnr.std() - row.psnr_std) > 1e-6,
        "mean": abs(psnr.mean() - row.psnr_mean) > 1e-6,
        "failed": not psnr.isfinite().all(),
    }


def referee(table, *, kinds=("edge", "leak", "faces", "noise", "std", "mean", "failed")):
    return [k for k, row in enumerate(table.itertuples()) if any(unsound(row)[kind] for kind in kinds)]


@pytest.mark.parametrize("seed", range(5))
def test_a_table_has_two_rows_of_each_fault_and_no_other(seed):
    table, faulty = results_table(seed)
    assert referee(table) == faulty and len(faulty) == 14
    found = [unsound(row) for row in table.itertuples()]
    assert {kind: sum(each[kind] for each in found) for kind in found[0]} == dict.fromkeys(found[0], 2)


CASES = {
    "check_faces_needed": (
        faces_needed(),
        [
            (faces_needed(invert=True), "upside down"),
            (faces_needed(power=0.5), "variances"),
            (faces_needed(both=-2), "minus"),
            (faces_needed(both=1), "twice"),
            (lambda n, s_a, s_b, rho: n / (1 - rho), "s_b = 1.0"),
            (lambda n, s_a, s_b, rho: math.inf, "finite"),
        ],
    ),
    "check_referee": (
        referee,
        [
            (lambda table: [], "0 %: the first point is at 40 %"),
            (lambda table: range(len(table)), "the first point is at 40 %"),
            (lambda table: referee(table, kinds=("edge", "noise")), "28.6 %"),
            (lambda table: 3, "in a list"),
            (lambda table: "all", "in a list"),
        ],
    ),
    "check_noiseless_deblurring": (
        "invertible",
        [("prior", "other tasks"), ("edges", "15 dB"), ("average", "data alone"), ("luck", "choose one of")],
    ),
    "check_paired_gain": (
        lambda a, b: ((a - b).mean(), (a - b).std() / len(a) ** 0.5),
        [
            (lambda a, b: ((b - a).mean(), (a - b).std() / len(a) ** 0.5), "sign"),
            (lambda a, b: ((a - b).mean(), (a - b).std()), "single images"),
            (lambda a, b: ((a - b).mean(), (a - b).var() / len(a)), "square root"),
            (lambda a, b: ((a - b).mean(), ((a.var() + b.var()) / len(a)) ** 0.5), "same images"),
            (lambda a, b: ((a - b).mean(), (a - b).std(correction=0) / len(a) ** 0.5), "n − 1"),
            (lambda a, b: (a - b).mean(), "two numbers"),
            (lambda a, b: (a.mean(), b.mean()), "differences have the mean"),
        ],
    ),
    "check_two_means": (
        lambda mse: (psnr(mse).mean(), psnr(mse.mean())),
        [
            (lambda mse: (psnr(mse.mean()), psnr(mse).mean()), "order"),
            (lambda mse: (-psnr(mse).mean(), -psnr(mse.mean())), "sign"),
            (lambda mse: (-10 * mse.log().mean(), -10 * mse.mean().log()), "base 10"),
            (lambda mse: (psnr(mse).mean(), psnr(mse).mean()), "the same"),
            (lambda mse: (psnr(mse).median(), psnr(mse.mean())), "mean of the three"),
            (lambda mse: 3.0, "two numbers"),
        ],
    ),
}
