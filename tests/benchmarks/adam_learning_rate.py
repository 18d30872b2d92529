"""The learning rates of the score table's protocol (Adam, z0 = 0, x0 = D(0), 200 steps), chosen on validation faces.

    python tests/benchmarks/adam_learning_rate.py FOLDER    # CelebA's aligned images

The source does not state them. Prints the mean PSNR of three faces for each method, task and rate, with λ = σ²/2.
"""

import sys

from course_lib.data import load_folder, make_task, observe, to_float
from course_lib.metrics import psnr
from course_lib.models.weights import load_model
from course_lib.reconstruction import analysis, bayesian, synthesis

RATES = {synthesis: (0.03, 0.1, 0.3), analysis: (0.003, 0.01, 0.03)}


def main(folder, sigma=0.01):
    model, x = load_model("glow_bounded"), to_float(load_folder(folder, "validation", limit=3))
    for task in ("deblurring", "inpainting_random"):
        A = make_task(task)
        y = observe(x, A, sigma, range(1_000_000, 1_000_000 + len(x)))
        for method, rates in RATES.items():
            for lr in rates:
                image = method(y, A, model, bayesian(sigma), lr=lr).x
                print(
                    f"{task:18s} {method.__name__:9s} lr {lr:<6g} {psnr(image.clamp(0, 1), x).mean():.2f} dB",
                    flush=True,
                )


if __name__ == "__main__":
    main(*sys.argv[1:])
