from collections import OrderedDict
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from worked.convolution.arithmetic import table


def question(classes=None):
    def block(c):
        return nn.Conv2d(c, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)

    body = nn.Sequential(*block(3), *block(16), *block(16))
    return body if classes is None else nn.Sequential(body, nn.Flatten(), nn.Linear(4096, classes))


def test_the_question_by_hand():
    got = table(question(10), (3, 128, 128))
    assert got.rows[0].output == (16, 128, 128)
    assert got.rows[8].output == (16, 16, 16)
    assert [r.parameters for r in got.rows if r.parameters] == [1216, 6416, 6416, 40970]
    assert got.parameters == 55018
    assert [r.field[0] for r in got.rows] == [5, 5, 6, 14, 14, 16, 32, 32, 36, 36, 128]
    assert got.rows[8].jump == (8, 8)
    assert got.rows[-1].jump is None
    lines = str(got).splitlines()
    assert lines[0].split() == ["layer", "output", "parameters", "field", "jump"]
    assert lines[9].split() == ["MaxPool2d", "16×16×16", "0", "36", "8"]
    assert lines[-1].split() == ["total", "55,018"]
    assert len({len(line) for line in lines}) == 1


@st.composite
def layers(draw):
    """A layer by its kind, without its number of input channels, which the stack decides."""
    kind = draw(st.sampled_from(["conv", "same", "up", "max", "average", "nearest", "relu", "norm"]))
    pair = lambda lo, hi: (draw(st.integers(lo, hi)), draw(st.integers(lo, hi)))  # noqa: E731
    k, s, p, d = pair(1, 4), pair(1, 3), pair(0, 2), pair(1, 2)
    c, bias, ceil = draw(st.sampled_from([2, 4])), draw(st.booleans()), draw(st.booleans())
    match kind:
        case "conv":
            groups = draw(st.sampled_from([1, 2]))
            return lambda b: (nn.Conv2d(b, c, k, s, p, d, groups, bias), c)
        case "same":
            return lambda b: (nn.Conv2d(b, c, k, 1, "same", d, 1, bias), c)
        case "up":
            e = tuple(min(e, max(a, b) - 1) for e, a, b in zip(pair(0, 1), s, d, strict=True))
            return lambda b: (nn.ConvTranspose2d(b, c, k, s, p, e, 1, bias, d), c)
        case "max":
            return lambda b: (nn.MaxPool2d(k, s, p, d, ceil_mode=ceil), b)
        case "average":
            return lambda b: (nn.AvgPool2d(k, s, p, ceil_mode=ceil), b)
        case "nearest":
            return lambda b: (nn.Upsample(scale_factor=2), b)
        case "relu":
            return lambda b: (nn.ReLU(), b)
        case "norm":
            return lambda b: (nn.BatchNorm2d(b), b)


def build(makers):
    out, c = [], 2
    for make in makers:
        layer, c = make(c)
        out.append(layer)
    return nn.Sequential(*out).eval()


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@given(makers=st.lists(layers(), min_size=1, max_size=5), h=st.integers(1, 14), w=st.integers(1, 14))
def test_shapes_parameters_and_refusals_are_torchs(makers, h, w):
    """Random stacks: the same shape behind every layer, the same number of parameters, the same refusals."""
    network, x = build(makers), torch.zeros(1, 2, h, w)
    try:
        shapes = []
        for layer in network:
            x = layer(x)
            shapes.append(tuple(x.shape[1:]))
            if min(x.shape) < 1:
                raise RuntimeError("torch lets an empty map pass")
    except RuntimeError:
        with pytest.raises(ValueError, match="layer"):
            table(network, (2, h, w))
        return
    got = table(network, (2, h, w))
    assert [row.output for row in got.rows] == shapes
    assert [row.parameters for row in got.rows] == [sum(p.numel() for p in m.parameters()) for m in network]


def test_a_linear_layer_sees_what_anything_sees():
    """Windows of 3, 3 apart, on 11 rows: the last two are read by nobody."""
    net = nn.Sequential(nn.Conv2d(1, 2, 3, stride=3), nn.Flatten(), nn.Linear(2 * 3 * 4, 5))
    assert table(net, (1, 11, 12)).rows[-1].field == (9, 12)
    pooled = nn.Sequential(nn.Conv2d(1, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 5))
    assert [r.field for r in table(pooled, (1, 11, 12)).rows] == [(3, 3), (11, 12), (11, 12), (11, 12)]


def test_rows_and_columns_apart_and_half_jumps():
    net = nn.Sequential(nn.Conv2d(1, 1, (3, 1), stride=(2, 1)), nn.ConvTranspose2d(1, 1, 4, (1, 2)))
    got = table(net, (1, 9, 9)).rows
    assert [(r.field, r.jump) for r in got] == [((3, 1), (2, 1)), ((9, 2), (2, Fraction(1, 2)))]
    assert str(table(net, (1, 9, 9))).splitlines()[2].split()[-2:] == ["9×2", "2×1/2"]


def test_shared_layers_count_once():
    conv = nn.Conv2d(2, 2, 3, padding=1)
    got = table(nn.Sequential(OrderedDict(a=conv, b=nn.ReLU(), c=conv)), (2, 8, 8))
    assert [r.parameters for r in got.rows] == [38, 0, 0]
    assert [r.field[0] for r in got.rows] == [3, 3, 5]


@pytest.mark.parametrize(
    ("network", "shape", "message"),
    [
        (nn.Conv2d(3, 4, 5), (3, 4, 9), r"layer \(whole\).*kernel is larger.*want at least 5.*got 4"),
        (nn.Sequential(nn.ReLU(), nn.MaxPool2d(2)), (3, 1, 9), "layer 1, MaxPool2d.*want at least 2.*got 1"),
        (nn.Conv2d(3, 4, 1), (3, -4, 9), r"each at least 1, got \(3, -4, 9\)"),
        (nn.Conv2d(3, 4, 1), (0, 4, 9), r"each at least 1, got \(0, 4, 9\)"),
        (nn.ConvTranspose2d(1, 1, 1, padding=2), (1, 3, 3), "padding 2 at both ends.*got 3 outputs"),
        (nn.Conv2d(3, 4, 1), (2, 4, 9), "want 3 channels, got 2"),
        (nn.BatchNorm2d(3), (2, 4, 9), "want 3 channels, got 2"),
        (nn.Linear(8, 2), (2, 2, 2), "put nn.Flatten before it"),
        (nn.Sequential(nn.Flatten(), nn.Linear(7, 2)), (2, 2, 2), "layer 1.*want 7 features, got 8"),
        (nn.Sequential(nn.Flatten(), nn.Conv2d(8, 1, 1)), (2, 2, 2), r"want a map \(c, h, w\), got \(8,\)"),
        (nn.Flatten(2), (2, 2, 2), r"want Flatten\(1, -1\)"),
        (nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular"), (1, 5, 5), "want zeros, got circular"),
        (nn.Upsample(scale_factor=1.5), (1, 5, 5), "whole numbers"),
        (nn.Upsample(scale_factor=2, mode="bilinear"), (1, 5, 5), "not known here"),
        (nn.GroupNorm(1, 4), (4, 5, 5), "not known here"),
        (nn.Sequential(nn.Sequential(nn.MaxPool2d(2, padding=1), nn.MaxPool2d(2))), (1, 1, 5), "layer 0.1"),
    ],
)
def test_rejects(network, shape, message):
    with pytest.raises(ValueError, match=message):
        table(network, shape)


@pytest.mark.parametrize("shape", [(3, 8), (3, 8, 8, 8)])
@pytest.mark.usefixtures("unhooked")
def test_rejects_shapes_of_other_length(shape):
    with pytest.raises(ValueError, match="want \\(channels, rows, columns\\)"):
        table(nn.ReLU(), shape)


def test_pooling_that_pads_too_much_is_refused_as_by_torch():
    layer = nn.MaxPool2d(2, padding=2)
    with pytest.raises(RuntimeError):
        layer(torch.zeros(1, 1, 5, 5))
    with pytest.raises(ValueError, match="want at most half of 2, got 2"):
        table(layer, (1, 5, 5))
