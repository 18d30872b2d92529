"""Our Glow against that of `normflows`, and against the bare convolutions of its own coupling networks.

The other model has the levels, steps, hidden widths and 1×1 convolutions (LU) of ours; its latents are split off
without a coupling of their own, so that it has three networks less to evaluate. Both run without gradients of the
weights in E(x) and D(z), and with them in the training step.
"""

import torch
from timing import compared, interleaved, optional, row, threads

from course_lib.models.flow_layers import CouplingNet
from course_lib.models.glow import Glow
from course_lib.models.weights import describe, load_state

FASTER = 1 / 1.5
"""The time that we aim at, as a fraction of normflows'."""


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


def bare(calls):
    """The gradient in its input of each network alone: what E(x) would cost if all else in it cost nothing."""
    for net, a in calls:
        a = a.detach().requires_grad_()
        h = net(a)
        torch.autograd.grad(h, a, torch.ones_like(h))


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


def gradients(nf, against, config, state, batch, repeats):
    """E(x) and D(z) with their gradients, against the bare convolutions and against normflows."""
    x, setting = images(batch), f"batch {batch}"
    model = ours(config, state).freeze()
    with torch.no_grad():
        calls, z = recorded_inputs(model, x), model.encode(x)

    def E():
        return encode(model.encode_with_logdet, x)

    def D():
        return decode(lambda parts: model.decode(parts[0]), [z])

    for name, function in (("E(x) with its gradient", E), ("D(z) with its gradient", D)):
        rounds = interleaved([function, lambda: bare(calls)], repeats)
        yield compared(__name__, name, setting, rounds, "bare convolutions of PyTorch", 1.25)
    if nf is None:
        return
    other = theirs(nf, config, x).eval().requires_grad_(False)
    with torch.no_grad():
        parts = other.inverse_and_log_det(x)[0]
    rounds = interleaved([E, lambda: encode(other.inverse_and_log_det, x)], repeats)
    yield compared(__name__, "E(x) with its gradient", setting, rounds, against, FASTER)
    rounds = interleaved([D, lambda: decode(lambda p: other.forward_and_log_det(p)[0], parts)], repeats)
    yield compared(__name__, "D(z) with its gradient", setting, rounds, against, FASTER)


def training(nf, against, config, batch, repeats):
    """A training step."""
    x, model, other = images(batch), ours(config), theirs(nf, config, images(16))
    mine = x.to(memory_format=torch.channels_last)
    pair = [
        training_step(model, lambda x: model.bits_per_dim(x).mean(), mine),
        training_step(other, other.forward_kld, x),
    ]
    return compared(__name__, "training step", f"batch {batch}", interleaved(pair, repeats), against)


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
                if nf is not None:
                    yield training(nf, against, config, batch, options.repeats)
