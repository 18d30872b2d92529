"""Training memory that does not grow with depth: a flow's activations are computed again, from its outputs.

Autograd keeps what each of K steps needs for its gradient. A step is a bijection: backwards, its input is that of the
inverse, so that one activation is enough (Dinh et al. 2015, arXiv 1410.8516; Gomez et al. 2017, arXiv 1707.04585). The
price is one more run of each coupling network, and the rounding errors of the inverse.
"""

import torch

from course_lib.common import without_autocast


def reversible(steps, x, logdet):
    """(h, logdet + log|det|) of `FlowStep`s one after the other, with one activation kept for all of them."""
    tape = []
    for k, step in enumerate(steps):
        x, step_logdet = ReversibleStep.apply(x, step, tape, k == len(steps) - 1, *step.parameters())
        logdet = logdet + step_logdet
    return x, logdet


class ReversibleStep(torch.autograd.Function):
    """x ↦ (h, log|det|) of a step of flow.

    The last step keeps its output h. Backwards, each step hands its input, which is the output of the step before, on
    by the list `tape`. The parameters are arguments so that autograd asks for their gradients; they are saved so that
    it complains where they have changed since.
    """

    @staticmethod
    def forward(ctx, x, step, tape, last, *parameters):
        h, logdet = step(x)
        ctx.step, ctx.tape, ctx.last = step, tape, last
        ctx.save_for_backward(*parameters, *([h] if last else []))
        return h, logdet

    @staticmethod
    def backward(ctx, h_grad, logdet_grad):
        if torch.is_grad_enabled():
            raise RuntimeError("reversible: expected first derivatives, got second ones; call model.reversible(False)")
        saved = ctx.saved_tensors
        h = saved[-1] if ctx.last else ctx.tape[0]
        with without_autocast(h):
            x, x_grad, gradients = undo(ctx.step, h, h_grad, logdet_grad)
        ctx.tape[:] = [x]
        return x_grad, None, None, None, *gradients


def undo(step, h, h_grad, logdet_grad):
    """Backwards through a step: its input, and the gradients of a loss there.

    Args:
        h: output of the step, [B, C, H, W]. h_grad, logdet_grad: gradients of the loss in h and in log|det|, [B].

    Returns (x, gradient in x, gradients in `step.parameters()`, None for one that is held constant).
    """
    mixed, mixed_grad, net_grads = undo_coupling(step.coupling, h, h_grad, logdet_grad)
    with torch.no_grad():
        x = step.unmix(mixed)
    with torch.enable_grad():
        x.requires_grad_()
        outputs = step.mix(x)
    linear = [*step.actnorm.parameters(), *step.conv.parameters()]
    x_grad, *linear_grads = pull_back(outputs, (mixed_grad, logdet_grad.sum()), [x, *linear])
    return x.detach(), x_grad, [*linear_grads, *net_grads]


def undo_coupling(coupling, h, h_grad, logdet_grad):
    """As `undo`, for the coupling alone: ([a, b], gradient in it, gradients in `coupling.parameters()`)."""
    a, y = h.detach().split(coupling.sizes, 1)
    a_grad, y_grad = h_grad.split(coupling.sizes, 1)
    with torch.enable_grad():
        # (t, log s) serve twice, for b from y and for the gradients: one run of the network is enough.
        a = a.requires_grad_()
        t, log_s = coupling.parameters_of(a)
        b = coupling.affine_inverse(y, t, log_s).detach().requires_grad_()
        outputs = coupling.affine(b, t, log_s)
    through_net, b_grad, *net_grads = pull_back(outputs, (y_grad, logdet_grad), [a, b, *coupling.parameters()])
    # a reaches h in two ways: through the network, and as it is.
    return torch.cat([a, b], 1).detach(), torch.cat([a_grad + through_net, b_grad], 1), net_grads


def pull_back(outputs, output_grads, inputs):
    """The gradient of a loss in each of the inputs, from those in the outputs; None for an input held constant."""
    varying = [(f, g) for f, g in zip(outputs, output_grads, strict=True) if f.requires_grad]
    wanted = [u for u in inputs if u.requires_grad]
    found = iter(torch.autograd.grad([f for f, _ in varying], wanted, [g for _, g in varying]))
    return [next(found) if u.requires_grad else None for u in inputs]
