import warnings

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close
from worked.convolution.deep import (
    Classifier,
    Dense,
    Plain,
    Residual,
    gradient_by_depth,
    growth_of_equal_size,
)
from worked.convolution.densenet import DenseBlock, DenseLayer, Transition, dense_weights
from worked.convolution.draws import draw_weights
from worked.convolution.kept import bytes_alive

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torchvision.models import densenet as library

EXACT = {"rtol": 0, "atol": 0}


def randomised(module, rng):
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.randn(p.shape, generator=rng, dtype=p.dtype) / 2)
    return module


def slow_block(block, x):
    """The paper's eq. (2), layer by layer and map by map, without norm."""
    maps = [x[:, i] for i in range(x.shape[1])]
    for layer in block.layers:
        W = layer.conv2.weight
        new = []
        for out in range(len(W)):
            total = 0
            for c, one in enumerate(maps):
                total = (
                    total + F.conv2d(one[:, None].clamp(min=0), W[out : out + 1, c : c + 1], padding=1)[:, 0]
                )
            new.append(total)
        maps += new
    return torch.stack(maps, 1)


def test_equals_the_paper_map_by_map(rng):
    block = randomised(DenseBlock(3, (2, 4, 1), norm=False).double(), rng)
    x = torch.randn(2, 3, 5, 6, generator=rng, dtype=torch.float64)
    assert_close(block(x), slow_block(block, x), rtol=0, atol=1e-11)


def test_channels_by_hand():
    block = DenseBlock(32, (24, 24, 24))
    assert block.received == [32, 56, 80]
    assert block(torch.zeros(1, 32, 2, 2)).shape[1] == 104
    assert DenseBlock(3, (64, 128, 256)).received[2] == 195
    assert Transition(104, 52)(torch.zeros(2, 104, 8, 8)).shape == (2, 52, 4, 4)


@given(c=st.integers(1, 9), k=st.integers(1, 7), layers=st.integers(1, 6))
def test_weights_are_those_of_the_module(c, k, layers):
    block = DenseBlock(c, [k] * layers, norm=False)
    assert sum(p.numel() for p in block.parameters()) == dense_weights(c, k, layers)


@settings(max_examples=25)
@given(
    c=st.integers(1, 6),
    k=st.integers(1, 4),
    layers=st.integers(1, 4),
    side=st.integers(1, 5),
    training=st.booleans(),
    frugal=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_agrees_with_torchvision(c, k, layers, side, training, frugal, seed):
    """Output, gradients of input and weights, running statistics; frugal is the same function."""
    rng = torch.Generator().manual_seed(seed)
    theirs = library._DenseBlock(layers, c, bn_size=2, growth_rate=k, drop_rate=0.0).double()
    ours = DenseBlock(c, [k] * layers, bottleneck=2 * k, frugal=frugal).double()
    randomised(theirs, rng)
    ours.load_state_dict(_renamed(theirs))
    theirs.train(training)
    ours.train(training)
    x = torch.randn(3, c, side, side, generator=rng, dtype=torch.float64, requires_grad=True)
    y = x.detach().clone().requires_grad_()
    a, b = ours(x), theirs(y)
    # norm divides by the deviation of a few numbers, which magnifies rounding: 1e-7 of 1e-16 ... 1e3 times
    assert_close(a, b, rtol=1e-8, atol=1e-8)
    up = torch.randn(a.shape, generator=rng, dtype=a.dtype)
    got = torch.autograd.grad(a, [x, *ours.parameters()], up)
    want = torch.autograd.grad(b, [y, *theirs.parameters()], up)
    assert [g.shape for g in got] == [g.shape for g in want]
    for mine, other in zip(got, want, strict=True):
        assert_close(mine, other, rtol=1e-7, atol=1e-7)


def _renamed(block):
    """denselayer1.conv1.weight -> layers.0.conv1.weight"""
    out = {}
    for key, value in block.state_dict().items():
        name, rest = key.split(".", 1)
        out[f"layers.{int(name.removeprefix('denselayer')) - 1}.{rest}"] = value
    return out


def test_transition_agrees_with_torchvision(rng):
    theirs, ours = randomised(library._Transition(6, 3).double(), rng), Transition(6, 3).double()
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True)))
    x = torch.randn(2, 6, 4, 4, generator=rng, dtype=torch.float64)
    assert_close(ours(x), theirs(x), rtol=1e-12, atol=1e-12)


def test_order_of_the_maps_is_that_of_their_birth(rng):
    block = randomised(DenseBlock(3, (2, 2), norm=False), rng)
    x = torch.randn(1, 3, 4, 4, generator=rng)
    out = block(x)
    assert_close(out[:, :3], x, **EXACT)
    assert_close(out[:, 3:5], block.layers[0]([x]), **EXACT)


def test_frugal_keeps_less_and_says_the_same(rng):
    x = torch.randn(2, 8, 6, 6, generator=rng)
    layer = DenseLayer(8, 4)
    frugal = DenseLayer(8, 4, frugal=True)
    frugal.load_state_dict(layer.state_dict())
    assert_close(frugal([x]), layer([x]), **EXACT)
    full, less = DenseBlock(8, [4] * 4), DenseBlock(8, [4] * 4, frugal=True)
    assert bytes_alive(less, x) < bytes_alive(full, x) / 2
    assert bytes_alive(less, x, grad=False) == bytes_alive(full, x, grad=False) == 4 * 2 * 24 * 36


def test_bytes_kept_by_hand():
    class Exp(torch.nn.Module):
        def forward(self, x):
            return x.exp()

    class Twice(torch.nn.Module):
        def forward(self, x):
            return (2 * x).exp() + 1  # 2x is freed; the exponential is kept for the way back, the sum is out

    x = torch.zeros(10, requires_grad=True)
    assert bytes_alive(Exp(), x) == bytes_alive(Exp(), x, grad=False) == 40
    assert (bytes_alive(Twice(), x), bytes_alive(Twice(), x, grad=False)) == (80, 40)


@pytest.mark.parametrize("body", [Plain, Residual])
def test_plain_and_residual_by_hand(body, rng):
    network = randomised(body(2, 3, norm=False).double(), rng)
    x = torch.randn(1, 2, 4, 4, generator=rng, dtype=torch.float64)
    want = x
    for layer in network.layers:
        new = F.conv2d(want.clamp(min=0), layer.conv2.weight, padding=1)
        want = want + new if body is Residual else new
    assert_close(network(x), want, **EXACT)
    assert len(network.maps(x)) == 4


@pytest.mark.parametrize("kind", ["plain", "residual", "dense"])
def test_gradient_by_depth_is_that_of_a_small_change(kind, rng):
    network = {
        "plain": Plain(2, 3, norm=False),
        "residual": Residual(2, 3, norm=False),
        "dense": Dense(2, 2, 3, norm=False),
    }
    network = randomised(network[kind].double(), rng)
    x = torch.randn(1, 2, 3, 3, generator=rng, dtype=torch.float64)
    up = torch.randn(network(x).shape, generator=rng, dtype=torch.float64)
    got = gradient_by_depth(network, x, up)
    assert got.shape == (3,)
    if kind != "dense":
        assert got[-1].item() == pytest.approx(up.square().mean().sqrt().item())
    else:
        assert got[-1].item() == pytest.approx(up[:, -2:].square().mean().sqrt().item())
    assert torch.autograd.gradcheck(network, (x.requires_grad_(),))


def test_equal_size_and_classifier(rng):
    assert growth_of_equal_size(12, 24, 12) == 3
    assert dense_weights(12, 3, 24) == 30_132
    for body in (Plain(4, 2), Residual(4, 2), Dense(4, 3, 2)):
        network = Classifier(3, 4, body, 5)
        draw_weights(network, generator=rng)
        x = torch.randn(2, 3, 24, 24, generator=rng)
        assert network.stem(x).shape[-1] == 12
        assert network(x).shape == (2, 5)
        network.eval()
        assert_close(network(x), network(x), **EXACT)


@pytest.mark.usefixtures("unhooked")
def test_rejects():
    with pytest.raises(ValueError, match="at least one layer"):
        DenseBlock(3, [])
    with pytest.raises(ValueError, match="c_in=0"):
        DenseLayer(0, 3)
    with pytest.raises(ValueError, match="depth=0"):
        growth_of_equal_size(1, 0, 1)
    with pytest.raises(ValueError, match=r"up: want shape \(1, 2, 3, 3\)"):
        gradient_by_depth(Plain(2, 1), torch.zeros(1, 2, 3, 3), torch.zeros(1, 2, 3, 4))


def test_planted_errors_are_seen(rng):
    """Only the newest maps handed on; the sum for the collection; ReLU after instead of before."""
    block = randomised(DenseBlock(3, (3, 3), norm=False).double(), rng)
    x = torch.randn(1, 3, 4, 4, generator=rng, dtype=torch.float64)
    W = [layer.conv2.weight for layer in block.layers]
    want = slow_block(block, x)[:, 6:]
    first = F.conv2d(x.relu(), W[0], padding=1)
    conv = lambda maps: F.conv2d(maps, W[1], padding=1)  # noqa: E731
    for wrong in (
        conv(torch.cat([first, first], 1).relu()),
        conv(torch.cat([first, x], 1).relu()),
        conv(torch.cat([x + first, first], 1).relu()),
        conv(torch.cat([x, first], 1)).relu(),
    ):
        assert (wrong - want).abs().max() > 1e-2
