"""Training memory that does not grow with depth: a flow's activations are computed again, from its outputs.

Autograd keeps what each of K steps needs for its gradient. A step is a bijection: backwards, its input is that of the
inverse, so that one activation is enough (Dinh et al. 2015, arXiv 1410.8516; Gomez et al. 2017, arXiv 1707.04585). The
price is one more run of each coupling network, and the rounding errors of the inverse.
"""

import torch
import torch.nn.functional as F


class ReversibleStep(torch.autograd.Function):
    """x ↦ (h, log|det|) of a step of flow. `tape` is a list with the one activation that the gradient has come to."""

    @staticmethod
    def forward(ctx, x, step, tape, last, *parameters):
        ctx.step, ctx.tape = step, tape
        h, logdet = step(x)
        if last:
            ctx.save_for_backward(h)
        return h, logdet

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, h_grad, logdet_grad):
        h = ctx.saved_tensors[0] if ctx.saved_tensors else ctx.tape[0]
        x, gradients = undo(ctx.step, h, h_grad, logdet_grad)
        ctx.tape[:] = [x]
        return gradients[0], None, None, None, *gradients[1:]


def undo(step, h, h_grad, logdet_grad):
    """From the output h [B, C, H, W] of a step, and the gradients of a loss in h and in log|det| [B]: the input x, and
    the gradients in x and in each parameter of the step."""
    linear, net = [*step.actnorm.parameters(), *step.conv.parameters()], list(step.coupling.parameters())
    a, y = (part.detach() for part in h.split(step.halves, 1))
    a_grad, y_grad = h_grad.split(step.halves, 1)
    with torch.no_grad():
        V_inverse, c = step.linear_inverse()
    with torch.enable_grad():
        # One run of the network for both the inverse and its gradient: a passes through the coupling as it is.
        a.requires_grad_()
        t, log_s = step.coupling.parameters_of(a)
        b = step.coupling.undo(y, t, log_s).detach().requires_grad_()
        after = step.coupling.affine(b, t, log_s)
    gradients = given(after, [a, b, *net], (y_grad, logdet_grad))
    with torch.no_grad():
        x = F.conv2d(torch.cat([a, b], 1) - c[:, None, None], V_inverse[:, :, None, None])
    with torch.enable_grad():
        x.requires_grad_()
        V, c, logdet = step.linear()
        before = F.conv2d(x, V[:, :, None, None], c), logdet * (x.shape[2] * x.shape[3])
    ab_grad = torch.cat([gradients[0] + a_grad, gradients[1]], 1)
    return x.detach(), given(before, [x, *linear], (ab_grad, logdet_grad.sum())) + gradients[2:]


def given(outputs, inputs, gradients):
    """Gradients in the inputs, for those in the outputs; None for an input that is held constant."""
    kept = [(f, g) for f, g in zip(outputs, gradients, strict=True) if f.requires_grad]
    wanted = [u for u in inputs if u.requires_grad]
    found = iter(torch.autograd.grad([f for f, _ in kept], wanted, [g for _, g in kept]))
    return [next(found) if u.requires_grad else None for u in inputs]


def reversible(steps, x, logdet):
    """The same as `in_sequence`, with one activation kept for all of the steps."""
    tape = []
    for k, step in enumerate(steps):
        x, step_logdet = ReversibleStep.apply(x, step, tape, k == len(steps) - 1, *step.parameters())
        logdet = logdet + step_logdet
    return x, logdet
