"""How the cost grows: of reconstructions with batch and steps, of operators and TV with the image. Seconds ~ n^p.

`ours` of a row in "exponent" is p, fitted to the medians of interleaved rounds; n is images, steps or pixels, so that 1
is proportional. Below 1, the machine is used better at the larger sizes.
"""

import functools
import math
import statistics

import torch
from operators import photograph
from timing import interleaved, row, threads

from course_lib.data import face, make_task, observe
from course_lib.models.weights import load_model
from course_lib.operators import Blur, Downsample, Mask, Radon, random_mask, uniform_kernel
from course_lib.reconstruction import analysis, bayesian, synthesis
from course_lib.regularizers import TV

BATCHES, STEPS, SIZES = (1, 2, 4, 8, 16), (25, 50, 100, 200), (64, 128, 256, 512)


def exponent(sizes, times):
    """The slope of log t against log n, by least squares."""
    u, v = ([math.log(value) for value in values] for values in (sizes, times))
    return statistics.linear_regression(u, v).slope


def fitted(measure, setting, sizes, functions, repeats, scale):
    """Two rows: the exponent, and the time a unit (`scale` names it and divides) at the ends of the range."""
    rounds = interleaved(functions, repeats, 1)
    times = [statistics.median(column) for column in zip(*rounds, strict=True)]
    p = exponent(sizes, times)
    yield row(__name__, measure, setting, p, 1, "exponent", "proportional", p, 1.1)
    name, unit = scale
    ends = [1e3 * t / n * unit for t, n in ((times[-1], sizes[-1]), (times[0], sizes[0]))]
    yield row(__name__, measure, setting, *ends, f"ms {name}", f"n = {sizes[0]} (ours: n = {sizes[-1]})")


def reconstructions(options):
    """Synthesis and analysis by batch and by steps."""
    model, A, repeats = load_model("glow"), make_task("deblurring"), max(3, options.repeats // 3)
    y = observe(face().expand(max(BATCHES), -1, -1, -1), A, 0.01, range(max(BATCHES)))
    for method in (synthesis, analysis):

        def descend(batch, steps, method=method):
            return lambda: method(y[:batch], A, model, bayesian(0.01), optimizer="lbfgs", steps=steps)

        name, listed = method.__name__, ", ".join(map(str, BATCHES)).replace(",", "")
        functions = [descend(batch, 5) for batch in BATCHES]
        yield from fitted(name, f"batch {listed}; 5 steps", BATCHES, functions, repeats, ("an image", 1))
        listed = ", ".join(map(str, STEPS)).replace(",", "")
        functions = [descend(1, steps) for steps in STEPS]
        yield from fitted(name, f"steps {listed}; batch 1", STEPS, functions, 3, ("a step", 1))


@torch.no_grad()
def images(options):
    """Operators and the prox of TV by pixels."""
    build = {
        "blur 7×7; circular": lambda n: Blur(uniform_kernel(7)),
        "blur 7×7; zero": lambda n: Blur(uniform_kernel(7), "zero"),
        "downsampling by 4": lambda n: Downsample(4),
        "mask": lambda n: Mask(random_mask(n, n)),
        "Radon; 12 angles": lambda n: Radon(n, range(0, 180, 15)),
        "prox of TV; 20 iterations": lambda n: lambda x: TV(iterations=20, tolerance=0).prox(x, 0.1),
    }
    listed, pixels = " ".join(map(str, SIZES)), [n * n for n in SIZES]
    for name, make in build.items():
        functions = [functools.partial(make(n), photograph(n)) for n in SIZES]
        yield from fitted(name, f"side {listed}", pixels, functions, options.repeats, ("a megapixel", 1e6))


def run(options):
    """The rows of this part."""
    with threads(1):
        yield from reconstructions(options)
        yield from images(options)
