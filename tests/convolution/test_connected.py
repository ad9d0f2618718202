import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import conv2d, cross_entropy
from torch.testing import assert_close
from worked.convolution.connected import as_convolution, dense_matrix

EXACT = {"rtol": 0, "atol": 0}  # whole numbers: float64 adds and multiplies them without rounding


def whole(*shape, rng):
    return torch.randint(-4, 5, shape, generator=rng).double()


def slow_convolution(x, weight, bias, padding=0, stride=1):
    """The definition, one output after another; what lies outside the picture counts as zero."""
    (k, c, kh, kw), (b, _, h, w) = weight.shape, x.shape
    rows, columns = ((n + 2 * padding - m) // stride + 1 for n, m in ((h, kh), (w, kw)))
    out = torch.zeros(b, k, rows, columns, dtype=x.dtype)
    for n in range(b):
        for o in range(k):
            for i in range(rows):
                for j in range(columns):
                    out[n, o, i, j] = bias[o]
                    for d in range(c):
                        for u in range(kh):
                            for v in range(kw):
                                y, z = i * stride + u - padding, j * stride + v - padding
                                if 0 <= y < h and 0 <= z < w:
                                    out[n, o, i, j] += weight[o, d, u, v] * x[n, d, y, z]
    return out


def dense_layer(c, h, w, k, rng, bias=True):
    layer = nn.Linear(c * h * w, k, bias=bias, dtype=torch.float64)
    for p in layer.parameters():
        p.data = whole(*p.shape, rng=rng)
    return layer


@pytest.mark.parametrize(("c", "h", "w", "k"), [(1, 3, 3, 2), (2, 2, 4, 3), (3, 5, 1, 1)])
def test_equals_the_definition(c, h, w, k, rng):
    layer, x = dense_layer(c, h, w, k, rng), whole(2, c, h, w, rng=rng)
    conv = as_convolution(layer, c, h, w)
    want = slow_convolution(x, conv.weight, conv.bias)
    assert_close(conv(x), want, **EXACT)
    assert_close(layer(x.flatten(1)), want.flatten(1), **EXACT)


def test_hand_values():
    layer = nn.Linear(4, 1, bias=False)
    layer.weight.data = torch.tensor([[1.0, 2, 3, 4]])
    assert as_convolution(layer, 1, 2, 2).weight.flatten().tolist() == [1, 2, 3, 4]
    assert dense_matrix(torch.tensor([[[[1.0, 2]]]]), 1, 3).tolist() == [[1, 2, 0], [0, 1, 2]]
    assert sum(p.numel() for p in as_convolution(nn.Linear(100, 5), 1, 10, 10).parameters()) == 505


def test_without_bias_and_copied(rng):
    layer = dense_layer(1, 3, 3, 2, rng, bias=False)
    conv = as_convolution(layer, 1, 3, 3)
    assert conv.bias is None
    before = conv.weight.clone()
    layer.weight.data += 1
    assert_close(conv.weight, before, **EXACT)


@given(
    k=st.integers(1, 3),
    c=st.integers(1, 3),
    size=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    padding=st.integers(0, 3),
    stride=st.integers(1, 3),
    seed=st.integers(0, 2**31),
)
def test_matrix_agrees_with_torch(k, c, size, kernel, padding, stride, seed):
    rng = torch.Generator().manual_seed(seed)
    weight, x = whole(k, c, *kernel, rng=rng), whole(2, c, *size, rng=rng)
    if min(n + 2 * padding - m for n, m in zip(size, kernel, strict=True)) < 0:
        with pytest.raises(ValueError, match="does not fit"):
            dense_matrix(weight, *size, padding=padding)
        return
    got = x.flatten(1) @ dense_matrix(weight, *size, padding=padding, stride=stride).T
    assert_close(got, conv2d(x, weight, padding=padding, stride=stride).flatten(1), **EXACT)


def test_gradient_of_the_matrix(rng):
    weight = torch.randn(2, 2, 2, 3, generator=rng, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda w: dense_matrix(w, 4, 4, padding=1, stride=2), weight)


@pytest.mark.parametrize("optimiser", [torch.optim.SGD, torch.optim.Adam])
def test_both_layers_train_alike(optimiser, rng):
    """Equal gradients, so equal parameters after any number of steps, but for rounding (1e-16 a step)."""
    layer = nn.Linear(16, 3, dtype=torch.float64)
    for p in layer.parameters():
        p.data = torch.randn(p.shape, generator=rng, dtype=torch.float64)
    conv = as_convolution(layer, 1, 4, 4)
    x, y = torch.randn(20, 1, 4, 4, generator=rng, dtype=torch.float64), torch.arange(20) % 3
    for network, see in ((layer, x.flatten(1)), (conv, x)):
        optimizer = optimiser(network.parameters(), lr=0.01)
        for _ in range(10):
            optimizer.zero_grad()
            cross_entropy(network(see).flatten(1), y).backward()
            optimizer.step()
    assert_close(conv.weight.flatten(1), layer.weight, rtol=0, atol=1e-11)
    assert_close(conv.bias, layer.bias, rtol=0, atol=1e-11)


@pytest.mark.usefixtures("unhooked")
def test_rejects():
    with pytest.raises(ValueError, match=r"1 \* 3 \* 3 = 9 inputs, got 10"):
        as_convolution(nn.Linear(10, 2), 1, 3, 3)
    with pytest.raises(ValueError, match="4 x 4 does not fit a picture of 3 x 3"):
        dense_matrix(torch.ones(1, 1, 4, 4), 3, 3)


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(lambda W: W.flip(2, 3), id="flipped"),
        pytest.param(lambda W: W.transpose(2, 3), id="column by column"),
        pytest.param(lambda W: W.flip(1), id="channels from last to first"),
    ],
)
def test_planted_errors_are_seen(wrong, rng):
    layer, x = dense_layer(2, 3, 3, 2, rng), whole(2, 2, 3, 3, rng=rng)
    conv = as_convolution(layer, 2, 3, 3)
    assert (conv2d(x, wrong(conv.weight), conv.bias).flatten(1) - layer(x.flatten(1))).abs().max() >= 1
