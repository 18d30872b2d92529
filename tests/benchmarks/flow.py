"""Our Glow against that of `normflows`, and against the bare convolutions of its own coupling networks.

The other model has the levels, steps, hidden widths and 1×1 convolutions (LU) of ours; its latents are split off
without a coupling of their own, so that it has three networks less to evaluate. Both run without gradients of the
weights in E(x) and D(z), and with them in the training step. The table has ratios, the medians of rounds in which all
sides run by turns, and no times: on a machine that others use as well, a ratio is what can be trusted.
"""

import torch
from timing import interleaved, optional, row, threads, versus

from course_lib.models.flow_layers import CouplingNet
from course_lib.models.glow import Glow
from course_lib.models.weights import describe, load_state

BARE, AIMS = "bare convolutions of PyTorch", {"bare": 1.15, "theirs": 1.0}
"""What the ratios should not exceed: of the coupling networks' own convolutions, and of normflows."""


def images(batch, size=64):
    return torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(0))


def ours(config, state=None):
    """A Glow of `config`, in the memory layout of training."""
    model = Glow(**config)
    if state is None:
        model.initialize(images(16, config["size"]))
    else:
        model.load_state_dict(state)
    return model.to(memory_format=torch.channels_last)


def theirs(nf, config, x):
    """normflows' multiscale Glow with the levels, steps and widths of `config`, its actnorms initialized on x."""
    channels, size, levels, bases, merges = config["channels"], config["size"], [], [], []
    for i, width in enumerate(config["widths"]):
        channels, size, last = 4 * channels, size // 2, i == len(config["widths"]) - 1
        blocks = [nf.flows.GlowBlock(channels, width, scale_map="sigmoid") for _ in range(config["steps"])]
        levels.append([*blocks, nf.flows.Squeeze()])
        channels = channels if last else channels // 2
        bases.append(nf.distributions.DiagGaussian((channels, size, size), trainable=False))
        merges += [] if last else [nf.flows.Merge()]
    model = nf.MultiscaleFlow(bases[::-1], levels[::-1], merges, class_cond=False)
    with torch.no_grad():
        model.inverse_and_log_det(x)
    return model


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


def bare(calls, weights=False):
    """The gradient in its input (and its weights) of each network alone: what a flow would cost if all else in it cost
    nothing."""
    for net, a in calls:
        a = a.detach().requires_grad_()
        h = net(a)
        torch.autograd.grad(h, [a, *net.parameters()] if weights else a, torch.ones_like(h))


def encode(encoder, x):
    """E(x), log|det J_E(x)| and the gradient of the objective of analysis in x; latents in any number of parts."""
    u = x.detach().requires_grad_()
    z, logdet = encoder(u)
    parts = [z] if torch.is_tensor(z) else z
    return torch.autograd.grad(sum(p.square().sum() for p in parts) - 2 * logdet.sum(), u)


def decode(decoder, z):
    """D(z) and the gradient in z of ½‖D(z)‖²."""
    parts = [p.detach().requires_grad_() for p in z]
    return torch.autograd.grad(0.5 * decoder(parts).square().sum(), parts)


def training_step(model, loss, x):
    """A function that makes one step of Adam."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-5)

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss(x).backward()
        optimizer.step()

    return step


def compared(measure, batch, rounds, ours, other, against):
    """The row of two columns of the rounds, with their ratio alone."""
    aim = AIMS["bare" if against == BARE else "theirs"]
    return row(
        __name__, measure, f"batch {batch}", "", against=against, ratio=versus(rounds, ours, other)[-1], at_most=aim
    )


def gradients(nf, against, config, state, batch, repeats):
    """E(x) and D(z) with their gradients, against the bare convolutions and against normflows."""
    x, model = images(batch), ours(config, state).freeze()
    with torch.no_grad():
        calls, z = recorded_inputs(model, x), model.encode(x)
    sides = [
        lambda: encode(model.encode_with_logdet, x),
        lambda: decode(lambda parts: model.decode(parts[0]), [z]),
        lambda: bare(calls),
    ]
    if nf is not None:
        other = theirs(nf, config, images(16)).eval().requires_grad_(False)
        with torch.no_grad():
            parts = other.inverse_and_log_det(x)[0]
        sides.append(lambda: encode(other.inverse_and_log_det, x))
        sides.append(lambda: decode(lambda p: other.forward_and_log_det(p)[0], parts))
    rounds = interleaved(sides, repeats)
    for i, name in enumerate(("E(x) with its gradient", "D(z) with its gradient")):
        yield compared(name, batch, rounds, i, 2, BARE)
        if nf is not None:
            yield compared(name, batch, rounds, i, 3 + i, against)


def training(nf, against, config, batch, repeats):
    """A training step with Adam against that of normflows; the gradient of its loss against the bare convolutions."""
    x, model = images(batch).to(memory_format=torch.channels_last), ours(config)
    with torch.no_grad():
        calls = recorded_inputs(model, x)

    def loss(x):
        return model.bits_per_dim(x).mean()

    sides = [
        lambda: torch.autograd.grad(loss(x), list(model.parameters())),
        lambda: bare(calls, weights=True),
        training_step(model, loss, x),
    ]
    if nf is not None:
        other = theirs(nf, config, images(16))
        sides.append(training_step(other, other.forward_kld, images(batch)))
    rounds = interleaved(sides, repeats)
    yield compared("training: loss and gradients", batch, rounds, 0, 1, BARE)
    if nf is not None:
        yield compared("training step", batch, rounds, 2, 3, against)


def run(options):
    """The rows of this part."""
    nf, against = optional("normflows")
    config, (_, state) = describe("glow")["config"], load_state("glow")
    if nf is None:
        yield row(__name__, "Glow", "", "", against=against)
    for count in options.threads:
        with threads(count):
            for batch in (1, 8):
                yield from gradients(nf, against, config, state, batch, options.repeats)
                yield from training(nf, against, config, batch, options.repeats)
