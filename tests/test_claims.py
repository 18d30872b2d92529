"""The table of claims: its numbers are those of the tables, and it says them where they belong."""

import numpy as np
import pytest

from course_lib.data import TASKS
from course_lib.studies import claims, scores
from course_lib.studies.store import FACE_CELLS, read_table


@pytest.fixture(scope="module")
def found():
    return claims.evidence()


def test_a_gain_is_that_of_the_faces_that_both_have_seen():
    a, b = (FACE_CELLS.read("sr2", method, 0.01)["psnr"] for method in ("map_bounded", "tv"))
    assert len(a) < len(b), "the case that the function is there for"
    gains = np.array([one - other for one, other in zip(a, b)])  # noqa: B905 - the shorter list ends it
    mean, error = scores.gain("sr2", "map_bounded", "tv", 0.01)
    assert mean == pytest.approx(gains.mean())
    assert error == pytest.approx(np.sqrt(((gains - gains.mean()) ** 2).sum() / (len(a) - 1) / len(a)))


def test_the_numbers_are_those_of_the_tables(found):
    table = read_table("scores").query("sigma == 0.01").set_index(["method", "task"])
    means, images = table["psnr_mean"], table["images"]
    for task in TASKS:
        assert images["analysis_lbfgs", task] == images["synthesis_lbfgs", task]
        apart = means["analysis_lbfgs", task] - means["synthesis_lbfgs", task]
        assert found["order"][task] == pytest.approx(apart, abs=0.02)  # the table has four digits
        published = scores.PUBLISHED[task]["analysis"][0]
        assert found["level"][task] + published == pytest.approx(means["analysis_from_tv", task])
    assert found["square"]["D(0)"] == found["order"]["inpainting_square"] < found["square"]["TV"]
    trial = read_table("trial").set_index(["flow", "formulation", "start", "optimizer", "task", "sigma"])["psnr"]
    mask = "inpainting_random", 0.01
    of_map, plain = (trial["bounded-0", way, "tv", "lbfgs", *mask] for way in ("map", "analysis"))
    assert found["missing"] == pytest.approx(of_map - plain, abs=0.02)
    by_adam = [trial["volume_preserving-0", way, "origin", "adam", *mask] for way in ("analysis", "synthesis")]
    assert found["adam"] == pytest.approx(by_adam[0] - by_adam[1], abs=0.02)


def test_ten_starts_are_summed_up_in_order(found):
    starts = read_table("starts").query("flow == 'glow' and task == 'deblurring' and face == 'astronaut'")
    of_synthesis = sorted(starts[starts["formulation"] == "synthesis"]["psnr"])
    assert len(of_synthesis) == 10
    median = (of_synthesis[4] + of_synthesis[5]) / 2
    assert found["spans"]["deblurring"]["synthesis"] == pytest.approx((median, of_synthesis[0], of_synthesis[-1]))
    for low, high in found["kept"].values():
        assert 0 < low < high < 1


def test_a_claim_a_line_with_its_numbers(found):
    lines = claims.claim_table(found).splitlines()
    assert all(line.count("|") == 5 for line in lines) and len(lines) == 2 + 8
    said = {line.split(" | ")[0].removeprefix("| "): line for line in lines}
    order = said["analysis is above synthesis in four tasks"]
    assert f"deblurring {found['order']['deblurring']:+.1f}" in order and "inpainting_square" not in order
    assert f"{100 * found['kept']['analysis'][0]:.0f} to" in said["synthesis is sensitive to the prior's bias"]
    assert f"{found['missing']:.1f} dB ahead" in said["(4) is no MAP: the Jacobian is missing"]
