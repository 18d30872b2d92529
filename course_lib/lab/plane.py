"""Densities and maps of the plane, to look at: grids, Jacobians, and the drawings of the notebook on flows."""

import math

import matplotlib.pyplot as plt
import torch

from course_lib.plots import COLORS


def grid(left, right, bottom, top, n=200):
    """Points [n², 2] of a grid, and the area of one of its cells."""
    u, v = torch.linspace(left, right, n), torch.linspace(bottom, top, n)
    return torch.cartesian_prod(u, v), ((u[1] - u[0]) * (v[1] - v[0])).item()


def jacobians(f, x):
    """J [B, d', d] of f, which maps points [B, d] to [B, d'], each by itself, at each of the points x [B, d]."""
    x = x.detach().clone().requires_grad_()
    y = f(x)
    rows = [torch.autograd.grad(y[:, i].sum(), x, retain_graph=True)[0] for i in range(y.shape[1])]
    return torch.stack(rows, 1).detach()


def axes(*titles, size=3.0, name="x", **options):
    """Axes of a plane side by side, one for each title, `size` inches high. Returns (figure, axes)."""
    options = {"figsize": (1.35 * size * len(titles), size), "layout": "constrained"} | options
    figure, places = plt.subplots(1, len(titles), squeeze=False, **options)
    for axis, title in zip(places[0], titles, strict=True):
        axis.set(title=title, xlabel=f"${name}_1$", ylabel=f"${name}_2$", aspect="equal")
        axis.grid(False)
    plt.close(figure)
    return figure, places[0]


def show_points(axis, points, box, **options):
    """Draw points [B, 2] within a box (left, right, bottom, top)."""
    axis.plot(*points.detach().T, ".", **({"markersize": 2} | options))
    axis.set(xlim=box[:2], ylim=box[2:])


def show_density(axis, log_p, box, **options):
    """Shade a density, from its logarithm [n²] at the points of `grid`."""
    n = math.isqrt(len(log_p))
    axis.imshow(log_p.exp().reshape(n, n).T, origin="lower", extent=box, **({"cmap": "Blues"} | options))


def show_net(axis, f, box, side=2.5, lines=21):
    """Draw where f sends a square net of points with coordinates from −side to side."""
    fine = torch.linspace(-side, side, 400)
    for value in torch.linspace(-side, side, lines):
        for line in (torch.stack([value.expand(400), fine], 1), torch.stack([fine, value.expand(400)], 1)):
            axis.plot(*f(line).detach().T, color=COLORS["synthesis"], linewidth=0.6)
    axis.set(xlim=box[:2], ylim=box[2:])


def show_squares(f, side=2.5, lines=21):
    """A net of squares and its image under f, coloured by log|det J_f|. Returns (figure, the log-determinants)."""
    corners, _ = grid(-side, side, -side, side, lines)
    half = side / (lines - 1)
    centres, _ = grid(half - side, side - half, half - side, side - half, lines - 1)
    logdet = torch.linalg.slogdet(jacobians(f, centres)).logabsdet
    figure, places = axes("squares of x", "the same squares of z = E(x)", size=3.6)
    largest = logdet.abs().max().item()
    look = {"cmap": "RdBu_r", "vmin": -largest, "vmax": largest, "edgecolors": "w", "linewidth": 0.6}
    for axis, points, name in zip(places, (corners, f(corners)), "xz", strict=True):
        square = logdet.reshape(lines - 1, lines - 1)
        mesh = axis.pcolormesh(*points.detach().T.reshape(2, lines, lines), square, **look)
        axis.set(xlabel=f"${name}_1$", ylabel=f"${name}_2$")
    figure.colorbar(mesh, ax=places, label="log|det J_E|")
    return figure, logdet


def chain(flow, x):
    """The points [B, 2] after k couplings of a `RealNVP`, and the loss of a flow that stops there, for k = 0, 1, …"""
    states, losses, logdet = [], [], torch.zeros(len(x))
    with torch.no_grad():
        for layer in [lambda h: (h, 0), *flow.couplings]:
            x, more = layer(x)
            logdet = logdet + more
            states.append(x)
            losses.append((0.5 * x.square().sum(1) + math.log(2 * math.pi) - logdet).mean().item())
    return states, losses


def draw_chain(flow, truth, k, name="", parts=8):
    """2000 points of a mixture after k couplings, coloured by the part of the mixture that they come from, and the loss
    of a flow that stops there."""
    points = truth.sample(2000, torch.Generator().manual_seed(4))
    part = torch.cdist(points, truth.means).argmin(1) * parts // len(truth.means)
    states, losses = chain(flow, points)
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.5, 3.8), layout="constrained")
    left.scatter(*states[k].T, c=part, cmap="tab10", s=3)
    for radius in (1, 2):
        left.add_patch(plt.Circle((0, 0), radius, fill=False, color="#777777", linewidth=0.8))
    left.set(xlim=(-4, 4), ylim=(-4, 4), aspect="equal", title=f"{name} after {k} of {len(states) - 1} couplings")
    left.set(xlabel="first coordinate", ylabel="second coordinate")
    right.plot(losses, ".-", color="#999999")
    right.plot(k, losses[k], "o", color=COLORS["analysis"])
    right.set(xlabel="couplings k", ylabel="nats", title=f"loss, if the flow stopped here: {losses[k]:.2f}")
    plt.close(figure)
    return figure


def show_matrices(matrices):
    """Square matrices side by side, {title: matrix}; the colour is ± the root of an entry's size."""
    figure, places = axes(*matrices, size=2.5)
    for axis, matrix in zip(places, matrices.values(), strict=True):
        last = len(matrix)
        shown = axis.imshow(matrix.sign() * matrix.abs().sqrt(), cmap="RdBu_r", vmin=-1.2, vmax=1.2)
        ticks = {"ticks": [0, last // 2 - 1, last - 1], "labels": [1, last // 2, last]}
        axis.set_xticks(**ticks)
        axis.set_yticks(**ticks)
        axis.set(xlabel="input", ylabel="output")
    figure.colorbar(shown, ax=places, shrink=0.8, label="± √|derivative|")
    return figure
