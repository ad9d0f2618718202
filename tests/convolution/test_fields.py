from fractions import Fraction
from itertools import product

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn
from worked.convolution.fields import field, jump, paths, recursion, sizes, span, widest
from worked.convolution.window import TransposedWindow, Window

windows = st.builds(
    Window,
    kernel=st.integers(1, 4),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 3),
)
transposed = st.builds(
    TransposedWindow,
    kernel=st.integers(1, 4),
    stride=st.integers(1, 3),
    padding=st.integers(0, 1),
    dilation=st.integers(1, 2),
)
stacks = st.lists(windows, max_size=4)
mixed = st.lists(windows | transposed, max_size=4)
QUESTION = [Window(5, padding=2), Window(2, 2)] * 3


def fits(stack, n):
    try:
        return bool(sizes(stack, n))
    except ValueError:
        return False


def slow_paths(stack, at):
    """Every choice of one tap in each layer, written out; no borders."""
    places = []
    for taps in product(*(range(w.kernel) for w in stack)):
        place = at
        for window, m in zip(reversed(stack), reversed(taps), strict=True):
            place = place * window.stride - window.padding + window.dilation * m
        places.append(place)
    return places


@given(stack=stacks, at=st.integers(-5, 5))
def test_recursion_equals_all_paths_written_out(stack, at):
    places = slow_paths(stack, at)
    assert recursion(stack)[-1].interval(at) == (min(places), max(places))
    assert widest(stack) == span(places) == recursion(stack)[-1].size


def test_hand_values():
    sizes_, jumps, starts = zip(*recursion(QUESTION), strict=True)
    assert sizes_ == (1, 5, 6, 14, 16, 32, 36)
    assert jumps == (1, 1, 2, 2, 4, 4, 8)
    assert starts == (0, -2, -2, -6, -6, -14, -14)
    assert field([Window(3, dilation=2)] * 2, 9, 0) == [0, 2, 4, 6, 8]
    assert paths([Window(3, padding=1)] * 2, 5, 0).tolist() == [2, 2, 1, 0, 0]
    assert paths([Window(3)] * 2, 5, 0).tolist() == [1, 2, 3, 2, 1]
    assert widest([TransposedWindow(3, 2)]) == 2
    assert widest([TransposedWindow(2, 2)]) == 1
    assert jump([Window(3, 4), TransposedWindow(4, 2)]) == 2
    assert jump([TransposedWindow(4, 2)]) == Fraction(1, 2)
    assert field([], 4, 2) == [2]


def test_padding_inside_ends_paths():
    """Cutting the interval at the picture's edge is not enough: the last two inputs reach no neuron."""
    stack = [Window(3, 3), Window(3, padding=1)]
    assert recursion(stack)[-1].interval(1) == (0, 8)
    assert field(stack, 8, 1) == [0, 1, 2, 3, 4, 5]


@given(stack=mixed, n=st.integers(1, 12), data=st.data())
def test_paths_are_the_derivative_of_torchs_layers(stack, n, data):
    """Weights of one: the derivative of an output by an input counts paths, exactly."""
    assume(fits(stack, n))
    at = data.draw(st.integers(0, sizes(stack, n)[-1] - 1))
    x = torch.zeros(1, 1, n, dtype=torch.float64, requires_grad=True)
    out = x
    for w in stack:
        ones = torch.ones(1, 1, w.kernel, dtype=torch.float64)
        call = nn.functional.conv1d if isinstance(w, Window) else nn.functional.conv_transpose1d
        out = call(out, ones, stride=w.stride, padding=w.padding, dilation=w.dilation)
    assert out.shape[-1] == sizes(stack, n)[-1]
    if out.requires_grad:
        want = torch.autograd.grad(out[0, 0, at], x)[0][0, 0] if stack else torch.eye(n)[at]
        assert torch.equal(paths(stack, n, at), want.double())


@given(stack=mixed)
def test_widest_is_the_widest_far_from_the_borders(stack):
    """On a long axis no field is wider, and one is as wide."""
    n = 120
    assume(fits(stack, n))
    last = sizes(stack, n)[-1]
    middle = range(last // 2 - min(9, last // 4), last // 2 + min(9, last // 4) + 1)
    spans = [span(field(stack, n, at)) for at in middle if 0 <= at < last]
    assert max(spans) <= widest(stack)
    assume(last > 60 and widest(stack) < 40)
    assert max(spans) == widest(stack)


def test_rejects():
    with pytest.raises(ValueError, match="want convolutions and pooling only"):
        recursion([TransposedWindow(2, 2)])
    with pytest.raises(ValueError, match=r"want an output in 0\.\.2, got 3"):
        paths([Window(3)], 5, 3)
    with pytest.raises(ValueError, match="the kernel is larger than its input"):
        field([Window(2, 2)] * 3, 7, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(lambda size, j, w: size + w.extent - 1, id="without the jump"),
        pytest.param(lambda size, j, w: size + (w.extent - 1) * j * w.stride, id="jump after the layer"),
        pytest.param(lambda size, j, w: size + (w.kernel - 1) * j, id="without dilation"),
        pytest.param(lambda size, j, w: size + w.extent * j, id="k for k - 1"),
    ],
)
def test_planted_errors_are_seen(wrong):
    stack, size, j = [Window(3, 2, dilation=2), Window(3, 2)], 1, 1
    for window in stack:
        size, j = wrong(size, j, window), j * window.stride
    assert size != span(field(stack, 40, 3)) == recursion(stack)[-1].size
