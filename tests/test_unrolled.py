"""Unrolled networks: before training they are their solvers, step for step; shapes, batches, gradients, errors."""

import pytest
import torch

from course_lib.data import bernoulli_gaussian, photograph
from course_lib.metrics import psnr
from course_lib.models.unrolled import LISTA, ADMMNet, cosine_filters, gaussian_matrix
from course_lib.models.weights import load_model
from course_lib.operators import Blur, Operator, RandomProjections, Shift, SubsampledTransform, uniform_kernel
from course_lib.regularizers import L1, Regularizer
from course_lib.solvers import admm, ista

OPTIONS = [dict(coupled=c, shared=s) for c in (False, True) for s in (False, True)]


def randn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def relative(x, reference):
    return ((x - reference).norm() / reference.norm()).item()


def sparse_problem(dtype=torch.float64):
    """(A, y): an operator with a random 12×20 matrix, and three measurements [3, 1, 1, 12] of sparse codes."""
    A = RandomProjections((1, 1, 20), 12, seed=1, dtype=dtype)
    z = randn(3, 1, 1, 20, seed=2) * (randn(3, 1, 1, 20, seed=3) > 0.8)
    return A, A(z.to(dtype)) + 0.01 * randn(3, 1, 1, 12, seed=4).to(dtype)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_untrained_lista_is_ista_layer_by_layer(options):
    A, y = sparse_problem()
    seen = []
    tau = 1 / torch.linalg.matrix_norm(A.matrix, 2).item() ** 2
    ista(y, A, L1(), 0.05, step=tau, steps=9, tolerance=0.0, callback=lambda k, z: seen.append(z))
    codes = LISTA(A.matrix, layers=9, lam=0.05, **options).iterates(y)
    assert len(codes) == len(seen) == 10 and not codes[0].any() and codes[9].any()
    for ours, theirs in zip(codes[1:], seen[1:], strict=True):
        assert relative(ours, theirs) < 1e-12


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_lista_trains_all_its_parameters_and_shares_them_if_asked(options):
    A, y = sparse_problem()
    net = LISTA(A.matrix, layers=3, lam=0.05, **options)
    target = randn(3, 1, 1, 20, seed=5)
    before = (net(y) - target).square().sum()
    before.backward()
    count = 1 if options["shared"] else 3
    size = 12 * 20 + 1 + (0 if options["coupled"] else 20 * 20)
    assert sum(p.numel() for p in net.parameters()) == count * size
    assert "A" in dict(net.named_buffers())
    with torch.no_grad():
        for p in net.parameters():
            # The first layer starts at 0: its V has nothing to act on.
            used = p.grad[1:] if p is getattr(net, "V", None) and count > 1 else p.grad
            assert used.flatten(1).norm(dim=1).min() > 0 if used.dim() > 1 else used.abs().min() > 0
            p -= 1e-4 * p.grad
    assert (net(y) - target).square().sum() < before


def test_lista_layers_follow_their_own_parameters():
    A, y = sparse_problem()
    for coupled in (True, False):
        net = LISTA(A.matrix, layers=2, coupled=coupled).requires_grad_(False)
        for p in net.parameters():
            p += 0.1 * randn(*p.shape, seed=7)
        z = torch.zeros(3, 1, 1, 20, dtype=torch.float64)
        for k in range(2):
            V = torch.eye(20, dtype=torch.float64) - net.W[k] @ A.matrix if coupled else net.V[k]
            v = torch.einsum("nm,bcdm->bcdn", net.W[k], y) + torch.einsum("ij,bcdj->bcdi", V, z)
            z = v.sign() * (v.abs() - net.threshold[k].abs()).clamp_min(0)
        assert relative(net(y), z) < 1e-12


def test_lista_does_not_mix_codes_and_takes_any_batch():
    A, y = sparse_problem()
    net = LISTA(A.matrix, layers=4)
    assert torch.allclose(net(y)[1:2], net(y[1:2]), atol=1e-14)
    assert torch.allclose(net(y.flatten(1)), net(y).flatten(1), atol=1e-14)
    assert LISTA(A.matrix.float())(y.float()).dtype == torch.float32
    assert not any(p.requires_grad for p in net.freeze().parameters())


def test_selected_values_pass_unshrunk():
    net = LISTA(torch.eye(10, dtype=torch.float64), layers=4, lam=0.5, coupled=True, select=0.4)
    y = torch.tensor([[0.3, -3.0, 2.0, 0.6, -1.0, 4.0, 0.1, 0.0, -0.2, 5.0]], dtype=torch.float64)
    shrunk = y.sign() * (y.abs() - 0.5).clamp_min(0)
    for k, passing in enumerate(([9], [9, 5], [9, 5, 1], [9, 5, 1, 2])):
        expected = shrunk.clone()
        expected[0, passing] = y[0, passing]
        torch.testing.assert_close(net.shrink(y, k), expected)
    # With A = I each layer starts at v = z + (y − z) = y.
    torch.testing.assert_close(net.step(shrunk, y, 1), net.shrink(y, 1))
    torch.testing.assert_close(net(y), expected)
    assert LISTA(torch.eye(10), select=0.0)(y.float()).count_nonzero() < 10


@pytest.mark.parametrize("options", [*OPTIONS, dict(coupled=True, select=0.2, density=0.3, sigma=0.1)], ids=str)
def test_lista_comes_back_from_its_config_and_weights(options):
    net = LISTA((12, 20), layers=3, lam=0.05, seed=4, **options)
    assert torch.equal(net.A, gaussian_matrix(12, 20, seed=4)) and net.config["A"] == [12, 20]
    y = torch.randn(5, 12, generator=torch.Generator().manual_seed(1))
    assert torch.equal(LISTA(**net.config)(y), net(y))
    # The matrix is a part of the weights: a network for any A can be stored.
    own = LISTA(torch.rand(12, 20), layers=3, **options)
    other = LISTA(**own.config)
    assert not torch.equal(other(y), own(y))
    other.load_state_dict(own.state_dict())
    assert torch.equal(other(y), own(y))


def test_the_gaussian_matrix_has_unit_columns_and_its_seed():
    A = gaussian_matrix(30, 50, seed=1)
    torch.testing.assert_close(A.norm(dim=0), torch.ones(50))
    assert torch.equal(A, gaussian_matrix(30, 50, seed=1)) and not torch.equal(A, gaussian_matrix(30, 50))
    assert (A.mT @ A - torch.eye(50)).abs().mean() < 1 / 30**0.5


class BlockDCT(Operator):
    """The orthonormal DCT of disjoint side×side blocks, of one channel."""

    def __init__(self, side):
        super().__init__()
        constant = torch.full((1, 1, side, side), 1 / side, dtype=torch.float64)
        self.atoms = torch.cat([constant, side * cosine_filters(side)])

    def forward(self, x):
        return torch.nn.functional.conv2d(x, self.atoms, stride=self.atoms.shape[-1])

    def T(self, c):
        return torch.nn.functional.conv_transpose2d(c, self.atoms, stride=self.atoms.shape[-1])


class CycleSpinning(Regularizer):
    """The φ of the untrained network: its prox is the mean over the grids of the shrinkage of blocks, mean kept."""

    def __init__(self, side):
        self.side, self.W = side, BlockDCT(side)

    def value(self, x):
        return torch.zeros(len(x), dtype=x.dtype)

    def prox_step(self, v, tau):
        total = torch.zeros_like(v)
        for i in range(self.side):
            for j in range(self.side):
                W = self.W @ Shift(i, j)
                for channel in range(v.shape[1]):
                    c = W(v[:, channel : channel + 1])
                    shrunk = torch.cat([c[:, :1], L1().prox(c[:, 1:], tau)], 1)
                    total[:, channel : channel + 1] += W.T(shrunk)
        return total / self.side**2


OPERATORS = {
    "blur": Blur(uniform_kernel(3, torch.float64)),
    "sensing": SubsampledTransform((9, 12), 0.5),
}


@pytest.fixture
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("name", OPERATORS)
def test_the_untrained_network_is_admm_with_cycle_spinning(double, name):
    A, x = OPERATORS[name], randn(2, 2, 9, 12)
    y = A(x)
    net = ADMMNet(layers=5, side=3, knots=3, rho=0.3, lam=0.1)
    images = net.iterates(y, A)
    for steps in range(6):
        run = admm(y, A, CycleSpinning(3), 0.1, 0.3, steps=steps, tolerance=0.0, balance=0)
        assert (images[steps] - run.x).norm() <= 1e-10 * run.x.norm()
    assert torch.equal(net(y, A), images[-1])


def test_cosine_filters_and_the_constant_are_a_tight_frame():
    W = cosine_filters(5)
    assert W.shape == (24, 1, 5, 5) and W.sum((2, 3)).abs().max() < 1e-14
    v = torch.rand(1, 1, 11, 13, dtype=torch.float64)
    c = torch.nn.functional.conv2d(torch.nn.functional.pad(v, [2] * 4, "circular"), W)
    block = torch.nn.functional.conv2d(torch.nn.functional.pad(v, [2] * 4, "circular"), torch.ones_like(W[:1]) / 25)
    assert c.square().sum() + block.square().sum() == pytest.approx(v.square().sum().item())


def test_the_learned_prox_is_what_it_says(double):
    net = ADMMNet(layers=2, side=3, knots=2).requires_grad_(False)
    for p in net.parameters():
        p += 0.2 * randn(*p.shape, seed=3)
    v = randn(1, 2, 5, 7, seed=4)
    K = torch.stack([F_l(v, W_l) for W_l in net.W[1]], 1)  # [1, L, C, H, W]
    a, t = (p[:, None, :, None, None, None] for p in (net.a[1], net.log_t[1].exp()))  # [J, 1, L, 1, 1, 1]
    r = (a * K.clamp(-t, t)).sum(0)
    # ⟨W_lᵀ r, e⟩ = ⟨r, W_l e⟩: the adjoint from autograd of the direct convolutions.
    u = v.clone().requires_grad_()
    (right,) = torch.autograd.grad((torch.stack([F_l(u, W_l) for W_l in net.W[1]], 1) * r).sum(), u)
    assert relative(v - net.denoise(v, 1), right) < 1e-12


def F_l(v, w):
    """The correlation of each channel with w, borders periodic, by shifts: (W v)(i) = Σ_j w(j) v(i + j − centre)."""
    side = len(w)
    shifts = ((i, j) for i in range(side) for j in range(side))
    return sum(w[i, j] * v.roll((side // 2 - i, side // 2 - j), (2, 3)) for i, j in shifts)


def test_admm_net_keeps_images_apart_and_reaches_all_parameters(double):
    A, x = OPERATORS["blur"], torch.rand(2, 3, 9, 12)
    net = ADMMNet(layers=3, side=5, knots=2)
    both = net(A(x), A)
    assert torch.allclose(both[1:], net(A(x[1:]), A), atol=1e-12)
    assert torch.allclose(both[:, :1], net(A(x[:, :1]), A), atol=1e-12)
    (both - x).square().mean().backward()
    for name, p in net.named_parameters():
        used = p.grad[:-1] if name == "eta" else p.grad  # the last u is not used
        first = used[:, :1] if name == "log_t" else used  # the other knots have weight 0
        assert first.abs().max() > 0 and torch.isfinite(p.grad).all(), name
    assert net.eta.grad[-1] == 0
    assert ADMMNet(**net.config).config == net.config


def test_admm_net_runs_in_float32_on_a_device(device):
    A = SubsampledTransform(16, 0.5).to(device)
    net = ADMMNet(layers=2).to(device).freeze()
    x = net(A(torch.rand(1, 3, 16, 16, device=device)), A)
    assert x.dtype == torch.float32 and x.device.type == device and not x.requires_grad


def test_the_stored_lista_needs_a_tenth_of_the_steps_of_ista():
    net = load_model("lista")
    z = bernoulli_gaussian(300, net.A.shape[1], net.config["density"], torch.Generator().manual_seed(5))
    y = z @ net.A.mT
    untrained = LISTA(net.A, layers=10 * net.layers, lam=0.05).freeze()
    errors = [10 * ((code - z).square().sum() / z.square().sum()).log10().item() for code in net.iterates(y)[1:]]
    assert errors == sorted(errors, reverse=True) and errors[-1] < -25
    steps = [10 * ((code - z).square().sum() / z.square().sum()).log10().item() for code in untrained.iterates(y)[1:]]
    assert all(errors[k] < steps[10 * k + 9] for k in range(net.layers))


def test_the_stored_admm_net_beats_its_start_on_photographs_it_never_saw():
    net = load_model("admm_net")
    x = torch.cat([photograph(name)[:, :1] for name in ("camera", "astronaut", "cat", "moon", "text")])
    A = SubsampledTransform(64, net.config["fraction"])
    y = A(x)
    y = y + net.config["sigma"] * torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    start = ADMMNet(**net.config).freeze()
    gains = psnr(net(y, A).clamp(0, 1), x) - psnr(start(y, A).clamp(0, 1), x)
    assert gains.min() > 2 and gains.mean() > 5
