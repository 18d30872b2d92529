"""Peak memory of the activations of a training step, and its time, by the number of steps a level: normal and
reversible.

The gradient of each weight is dropped as soon as it is there, so that what is left is activations: the peak of what
torch's allocator holds beyond its start, from the profiler's record of every allocation.
"""

import torch
from flow import images, ours
from timing import compared, interleaved, row, threads
from torch.profiler import ProfilerActivity, profile

from course_lib.models.weights import describe

DEPTHS = (4, 8, 16, 32)
BATCH = 8


def drop(parameter):
    parameter.grad = None


def peak(function):
    """Largest number of bytes that a call of the function holds at one time."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as trace:
        function()
    events = (e for e in trace.profiler.kineto_results.events() if e.name() == "[memory]")
    held = largest = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        largest = max(largest, held)
    return largest


def run(options):
    """The rows of this part: MB at each depth, and the times of both modes."""
    x, config, found = images(BATCH).to(memory_format=torch.channels_last), describe("glow")["config"], {}
    with threads(1):
        for depth in DEPTHS:
            model = ours(config | {"steps": depth})
            for p in model.parameters():
                p.register_post_accumulate_grad_hook(drop)

            def step(active, model=model):
                model.reversible(active).bits_per_dim(x).mean().backward()

            step(True)
            both = [peak(lambda: step(active)) / 1e6 for active in (True, False)]  # noqa: B023
            found[depth] = both[0]
            setting, aim = f"{depth} steps a level; batch {BATCH}", 0.25 if depth == 32 else ""
            measure, against = "peak memory of activations; reversible", "normal mode"
            yield row(__name__, measure, setting, *both, "MB", against, both[0] / both[1], aim)
            rounds = interleaved([lambda: step(True), lambda: step(False)], max(3, options.repeats // 2), 1)
            yield compared(__name__, "loss and gradients; reversible", setting, rounds, against, 1.6)
        ends = found[DEPTHS[-1]], found[DEPTHS[0]]
        setting = f"{DEPTHS[-1]} steps a level; batch {BATCH}"
        against = f"{DEPTHS[0]} steps a level"
        yield row(__name__, "peak memory; reversible", setting, *ends, "MB", against, ends[0] / ends[1], 1.05)
