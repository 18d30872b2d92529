"""The way of a flow in time from noise to an image, to look at."""

import torch


@torch.no_grad()
def states(flow, z):
    """[(t, x_t)] on the way from latents z [B, D] at t = 0 to D(z) at t = 1, x_t [B, C, H, W], after each of the steps
    of a `FlowInTime`, as it is discretized."""
    w = flow.transform(z.unflatten(1, flow.mean.shape))
    found = [(0.0, z.unflatten(1, flow.mean.shape))]
    for t0, t1 in flow.intervals():
        w, _ = flow.step(w, t0, t1)
        found.append((t1.item(), t1 * flow.mean + flow.transform(flow.scales(t1)[0] * w, inverse=True)))
    return found


def visible(x, t):
    """x_t as an image to show: at t = 0 the range from −2 to 2 becomes [0, 1], at t = 1 that from 0 to 1."""
    return (x + 2 * (1 - t)) / (t + 4 * (1 - t))
