"""Seconds of one gradient of the analysis objective against the bare convolutions of the coupling networks, in one run.

    python tests/benchmarks/glow_gradient.py [--batch 8] [--threads 2] [--repeats 15]

`bare` is forward and backward through each coupling network alone, on the activations that it sees. A ratio of 1 would
mean that actnorm, 1×1 convolutions, couplings, squeezes and log-determinants cost nothing.
"""

import argparse

import torch
from timing import interleaved, versus

from course_lib import data
from course_lib.models import weights
from course_lib.models.flow_layers import CouplingNet


def recorded_inputs(model, x):
    """[(network, input)] of every coupling network in E(x)."""
    calls, handles = [], []
    for net in (m for m in model.modules() if isinstance(m, CouplingNet)):

        def keep(module, arguments):
            calls.append((module, arguments[0].detach().clone(memory_format=torch.channels_last)))

        handles.append(net.register_forward_pre_hook(keep))
    model.encode(x)
    for handle in handles:
        handle.remove()
    return calls


def bare(calls):
    """The gradient in its input of each network alone."""
    for net, a in calls:
        a = a.detach().requires_grad_()
        h = net(a)
        torch.autograd.grad(h, a, torch.ones_like(h))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = weights.load_model("glow")
    x = data.face() + 0.02 * torch.randn(options.batch, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        calls, z0 = recorded_inputs(model, x), model.encode(x)

    def encode():
        u = x.detach().requires_grad_()
        z, logdet = model.encode_with_logdet(u)
        torch.autograd.grad(z.square().sum() - 2 * logdet.sum(), u)

    def decode():
        z = z0.detach().requires_grad_()
        torch.autograd.grad(model.decode(z).square().sum(), z)

    rounds = interleaved([lambda: bare(calls), encode, decode], options.repeats, 3)
    for i, name in enumerate(("bare convolutions", "E(x) with gradient", "D(z) with gradient")):
        seconds, _, ratio = versus(rounds, i, 0)
        print(f"{name:18s} {1e3 * seconds / options.batch:6.1f} ms an image, ratio to bare {ratio:.2f}")


if __name__ == "__main__":
    main()
