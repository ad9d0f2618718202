import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close
from worked.convolution.effective import energy, gradient, monotone, radius, raised
from worked.convolution.fields import field, sizes
from worked.convolution.window import TransposedWindow, Window

KINDS = ("conv", "up", "max", "average")


def layer(kind, k, s, p, d):
    """A layer of torch with one or two channels, and its window."""
    if kind == "up":
        return nn.Sequential(nn.ConvTranspose2d(1, 1, k, s, p, dilation=d)), TransposedWindow(k, s, p, d)
    if kind == "conv":
        return nn.Sequential(nn.Conv2d(1, 1, k, s, p, d), nn.ReLU()), Window(k, s, p, d)
    p = min(p, k // 2)
    pool = nn.MaxPool2d(k, s, p) if kind == "max" else nn.AvgPool2d(k, s, p)
    return pool, Window(k, s, p)


def product(rows, columns, n):
    out = torch.zeros(n, n, dtype=torch.bool)
    out[torch.tensor(rows)[:, None], torch.tensor(columns)] = True
    return out


@given(
    numbers=st.lists(
        st.tuples(
            *(st.sampled_from(KINDS), st.integers(1, 3), st.integers(1, 2), st.integers(0, 1)),
            st.integers(1, 2),
        ),
        min_size=1,
        max_size=3,
    ),
    data=st.data(),
)
def test_three_ways_agree_on_random_networks(numbers, data):
    """Paths, raised pixels, and (without max pooling) the gradient: one set of pixels, borders included."""
    layers, stack = zip(*(layer(*some) for some in numbers), strict=True)
    n = 9
    try:
        last = sizes(stack, n)[-1]
    except ValueError:
        return
    at = tuple(data.draw(st.integers(0, last - 1)) for _ in range(2))
    torch.manual_seed(0)
    network = monotone(nn.Sequential(*layers).double())
    x = 0.5 + torch.rand(1, 1, n, n, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    rows, columns = (field(stack, n, i) for i in at)
    want = product(rows, columns, n) if rows and columns else torch.zeros(n, n, dtype=torch.bool)
    assert torch.equal(raised(network, x, at), want)
    seen = gradient(network, x, at)[0, 0] > 0
    if "max" in [kind for kind, *_ in numbers]:
        assert not (seen & ~want).any()
    else:
        assert torch.equal(seen, want)


def test_raised_equals_one_pixel_at_a_time():
    torch.manual_seed(0)
    network = monotone(nn.Sequential(nn.Conv2d(2, 3, 3, 2, 1), nn.ReLU(), nn.MaxPool2d(2, 1)))
    x = torch.rand(1, 2, 7, 6, generator=torch.Generator().manual_seed(2))
    before, slow = network(x)[0, 1, 0, 1], torch.zeros(7, 6, dtype=torch.bool)
    for i in range(7):
        for j in range(6):
            up = x.clone()
            up[:, :, i, j] += 1e6
            slow[i, j] = network(up)[0, 1, 0, 1] > 1.001 * before
    for batch in (1, 5):
        assert torch.equal(raised(network, x, (0, 1), channel=1, batch=batch), slow)


def test_hand_values():
    conv = nn.Conv2d(1, 1, 3, padding=1)
    nn.init.ones_(conv.weight)
    x = torch.rand(1, 1, 5, 5, generator=torch.Generator().manual_seed(0))
    assert gradient(conv, x, (2, 2)).sum() == 9
    corner = raised(monotone(conv), x, (0, 0))
    assert corner.sum() == 4
    assert corner[:2, :2].all()
    w = torch.zeros(5, 5)
    w[0, 0] = w[4, 4] = 1
    assert_close(radius(w), 2.0)
    assert_close(radius(torch.ones(36, 36)), math.sqrt((36**2 - 1) / 12))
    assert energy(torch.tensor([[[[1.0, -3.0]]]])).tolist() == [[0.1, 0.9]]


def test_monotone_leaves_the_network_as_found():
    conv = nn.Conv2d(1, 1, (1, 2))
    with torch.no_grad():
        conv.weight.copy_(torch.tensor([[[[1.0, -2.0]]]]))
    copied = monotone(conv)
    assert copied.weight.flatten().tolist() == [1, 2]
    assert copied.bias.item() == 0
    assert not copied.training
    assert conv.weight.flatten().tolist() == [1, -2]
    assert conv.training


def test_gradient_leaves_no_trace():
    conv, x = nn.Conv2d(1, 1, 3), torch.rand(1, 1, 5, 5, generator=torch.Generator().manual_seed(0))
    gradient(conv, x, (1, 1))
    assert conv.weight.grad is None
    assert not x.requires_grad


def test_energy_of_signs_does_not_cancel(rng):
    g = torch.randn(6, 2, 4, 4, generator=rng)
    assert_close(energy(g), energy(-g))
    assert_close(energy(torch.cat([g, -g])), energy(g))
    assert_close(energy(g).sum().item(), 1.0)


def test_rejects():
    x = torch.rand(1, 1, 5, 5, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match=r"row: want 0\.\.2, got 3"):
        gradient(nn.Conv2d(1, 1, 3), x, (3, 0))
    with pytest.raises(ValueError, match=r"channel: want 0\.\.0, got 1"):
        raised(nn.Conv2d(1, 1, 3), x, (0, 0), channel=1)
    with pytest.raises(ValueError, match="no batch norm"):
        monotone(nn.Sequential(nn.Conv2d(1, 1, 3), nn.BatchNorm2d(1)))
    conv = nn.Conv2d(1, 1, 3)
    nn.init.zeros_(conv.weight)
    with pytest.raises(ValueError, match="no weight that is zero, got 9"):
        monotone(conv)
    with pytest.raises(ValueError, match="somewhere not zero"):
        energy(torch.zeros(1, 1, 2, 2))
    with pytest.raises(ValueError, match="nowhere negative"):
        radius(torch.tensor([[1.0, -1.0]]))
