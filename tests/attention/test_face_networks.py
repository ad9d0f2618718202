import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close
from worked.attention.face_networks import PatchNet, UsualNet, WindowNet


def drawn(make, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make().double().requires_grad_(False)


@pytest.fixture
def x(rng):
    return torch.randn(3, 3, 36, 36, generator=rng, dtype=torch.float64)


def field(network, size=36):
    """Side of the square of pixels on which one place of the second map depends."""
    x = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x.requires_grad_()
    z = network.second(network.first(x))
    (grad,) = torch.autograd.grad(z[0, :, 9, 9].sum(), x)
    rows = grad[0].abs().sum((0, 2)).nonzero().flatten()
    return (rows.max() - rows.min() + 1).item()


@pytest.mark.parametrize("dilation", [1, 2, 3])
def test_window_is_the_field_measured_by_gradient(dilation):
    network = drawn(lambda: WindowNet(dilation=dilation))
    assert network.window == field(network) == 3 + 4 * dilation
    assert sum(p.numel() for p in network.parameters()) == 2097


@pytest.mark.parametrize("pooled", [True, False])
def test_window_net_by_hand(pooled, x):
    network = drawn(lambda: WindowNet(pooled=pooled))

    def pad(t):
        return F.pad(t, (1, 1, 1, 1), mode="circular")

    z = F.conv2d(pad(x), network.first.weight, network.first.bias, stride=2).relu()
    z = F.conv2d(pad(z), network.second.weight, network.second.bias).relu()  # (3, 16, 18, 18)
    if pooled:
        want = 36 * z.mean((2, 3)) @ network.head[:, 0, 0] + network.bias
    else:
        blocks = z.unflatten(3, (6, 3)).unflatten(2, (6, 3)).mean((3, 5))  # (3, 16, 6, 6)
        want = 4 * (blocks * network.head).sum((1, 2, 3)) + network.bias
    score, seen = network(x)
    assert_close(score, want)
    assert_close(seen["evidence"].sum((1, 2)) + network.bias, score)


def test_usual_net_by_hand(x):
    network = drawn(UsualNet)
    assert sum(p.numel() for p in network.parameters()) == 2097
    z = x
    for layer in (network.first, network.second):
        z = F.conv2d(F.pad(z, (1, 1, 1, 1)), layer.weight, layer.bias)
        z = z.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).amax((3, 5)).relu()  # largest of 2 x 2
    score, seen = network(x)
    assert_close(score, 36 * z.mean((2, 3)) @ network.head[:, 0, 0] + network.bias)
    assert_close(seen["evidence"].sum((1, 2)) + network.bias, score)


def test_usual_net_sees_ten_pixels_every_four():
    network = drawn(UsualNet)
    hit = set()
    for column in range(36):  # which thirds of the picture a bright column of pixels reaches
        x = torch.zeros(1, 3, 36, 36, dtype=torch.float64)
        x[..., column] = 1e3
        moved = (network(x)[1]["evidence"] - network(torch.zeros_like(x))[1]["evidence"]).abs() > 1e-9
        hit.add((column, *moved[0].any(0).tolist()))
    # the last map's places 0..8 read columns 4 i - 3 to 4 i + 6; thirds are places 0-2, 3-5, 6-8
    assert hit == {(c, c <= 14, 9 <= c <= 26, c >= 21) for c in range(36)}


def test_a_bias_forbids_patches(x):
    network = drawn(PatchNet)
    bias = torch.zeros(36, dtype=torch.float64)
    bias[7] = -torch.inf
    weights = network.judge(network.tokens(x), bias)[1]["attention"]
    assert (weights[..., 7] == 0).all()
    left = network(x)[1]["attention"].clone()
    left[..., 7] = 0
    assert_close(weights, left / left.sum(-1, keepdim=True))


def test_evidence_is_that_of_its_cell(x):
    for network in (drawn(WindowNet), drawn(lambda: WindowNet(pooled=False))):
        changed = x.clone()
        changed[:, :, 16:20, 16:20] += 1  # the middle of the middle cell
        moved = (network(changed)[1]["evidence"] - network(x)[1]["evidence"]).abs() > 1e-9
        assert moved[:, 1, 1].all()
        assert moved.sum() == 3


def test_even_shifts_change_nothing_and_odd_ones_do(x):
    network = drawn(WindowNet)
    assert_close(network(x.roll((2, -4), (2, 3)))[0], network(x)[0])
    assert (network(x.roll(1, 3))[0] - network(x)[0]).abs().min() > 1e-4
    zeros = drawn(lambda: WindowNet(padding="zeros"))
    assert (zeros(x.roll(2, 3))[0] - zeros(x)[0]).abs().min() > 1e-4


def test_patch_net_by_hand(x):
    network = drawn(PatchNet)
    patches = x.unfold(2, 6, 6).unfold(3, 6, 6).permute(0, 2, 3, 1, 4, 5).reshape(3, 36, 108)
    t = patches @ network.embed.weight.flatten(1).T + network.embed.bias + network.positions
    assert_close(network.tokens(x), t)
    t = t + network.attention(network.norm1(t))[0]
    t = network.norm(t + network.mlp(network.norm2(t)))
    score, seen = network(x)
    assert_close(score, 4 * t.mean(1) @ network.head + network.bias)
    assert_close(seen["evidence"].sum((1, 2)) + network.bias, score)
    assert_close(seen["attention"].sum(-1), torch.ones(3, 2, 36, dtype=torch.float64))


def test_only_positions_see_the_order_of_patches(x, rng):
    pi = torch.randperm(36, generator=rng)
    for positions in (None, 0.02, 1.0):
        network = drawn(lambda: PatchNet(positions=positions))  # noqa: B023 -- called at once
        t = network.embed(x).flatten(2).mT
        where = 0 if positions is None else network.positions
        gap = (network.judge(t[:, pi] + where)[0] - network.judge(t + where)[0]).abs().max()
        assert (gap < 1e-12) == (positions is None)


def test_gradients_reach_every_parameter(x):
    for network in (
        drawn(WindowNet),
        drawn(lambda: WindowNet(pooled=False)),
        drawn(UsualNet),
        drawn(PatchNet),
    ):
        network.requires_grad_(True)
        (network(x)[0] ** 2).sum().backward()
        for name, p in network.named_parameters():
            assert p.grad is not None, name
            assert p.grad.abs().max() > 0, name


def test_rejects():
    with pytest.raises(ValueError, match="size=30"):
        WindowNet(size=30)
    with pytest.raises(ValueError, match="dilation=0"):
        WindowNet(dilation=0)
    with pytest.raises(ValueError, match="12 divides"):
        UsualNet()(torch.zeros(1, 3, 32, 36))
    with pytest.raises(ValueError, match="patches of 8"):
        PatchNet(patch=8)
