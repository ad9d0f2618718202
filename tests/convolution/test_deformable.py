import math
import warnings
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close
from worked.convolution.deformable import DeformableConv, bilinear, deformable_conv, sampling_points

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torchvision.ops import deform_conv2d

F64 = torch.float64
ROUNDING = {"rtol": 1e-10, "atol": 1e-10}  # float64 sums of at most a few hundred terms of size 10
EXACT = {"rtol": 0, "atol": 0}  # whole numbers


def slow_bilinear(picture, y, x):
    """The sum over all pixels of the definition, for one channel and one point."""

    def hat(t):
        return max(0.0, 1 - abs(t))

    h, w = picture.shape
    return sum(hat(y - i) * hat(x - j) * picture[i, j].item() for i, j in product(range(h), range(w)))


def slow_deformable_conv(x, offsets, weight, bias, mask, stride, padding, dilation):
    """The definition, output by output and tap by tap; stride, padding, dilation are pairs."""
    (b, c), (o, share, kh, kw), (h, w) = x.shape[:2], weight.shape, offsets.shape[2:]
    k, g = kh * kw, offsets.shape[1] // (2 * kh * kw)
    out = torch.empty(b, o, h, w, dtype=x.dtype)
    for n, to, i, j in product(range(b), range(o), range(h), range(w)):
        total = bias[to].item()
        first = to // (o * share // c) * share  # the first input channel of this output's group
        for s, p, q in product(range(share), range(kh), range(kw)):
            tap = (first + s) // (c // g) * k + p * kw + q
            y = i * stride[0] - padding[0] + p * dilation[0] + offsets[n, 2 * tap, i, j].item()
            z = j * stride[1] - padding[1] + q * dilation[1] + offsets[n, 2 * tap + 1, i, j].item()
            m = 1 if mask is None else mask[n, tap, i, j].item()
            total += weight[to, s, p, q].item() * m * slow_bilinear(x[n, first + s], y, z)
        out[n, to, i, j] = total
    return out


def pairs(low, high):
    return st.tuples(st.integers(low, high), st.integers(low, high))


configurations = st.fixed_dictionaries(
    {
        "b": st.integers(1, 2),
        "groups": st.integers(1, 3),
        "offset_groups": st.integers(1, 3),
        "more": st.integers(1, 2),
        "out": st.integers(1, 2),
        "kernel": pairs(1, 3),
        "stride": pairs(1, 3),
        "padding": pairs(0, 2),
        "dilation": pairs(1, 2),
        "room": pairs(0, 5),
        "modulated": st.booleans(),
        "spread": st.sampled_from([0.3, 2.0, 8.0]),
        "seed": st.integers(0, 2**31),
    }
)


def problem(
    b, groups, offset_groups, more, out, kernel, stride, padding, dilation, room, modulated, spread, seed
):
    """Random tensors that fit together, float64: x, offsets, weight, bias, mask or None, and the geometry."""
    rng = torch.Generator().manual_seed(seed)
    c = math.lcm(groups, offset_groups) * more
    reach = [e * (k - 1) + 1 for e, k in zip(dilation, kernel, strict=True)]
    h, w = (max(1, r - 2 * a) + extra for r, a, extra in zip(reach, padding, room, strict=True))
    size = [(n + 2 * a - r) // s + 1 for n, a, r, s in zip((h, w), padding, reach, stride, strict=True)]
    taps = offset_groups * kernel[0] * kernel[1]

    def draw(*shape):
        return torch.randn(*shape, generator=rng, dtype=F64)

    mask = torch.rand(b, taps, *size, generator=rng, dtype=F64) if modulated else None
    tensors = draw(b, c, h, w), spread * draw(b, 2 * taps, *size), draw(out * groups, c // groups, *kernel)
    return (*tensors, draw(out * groups), mask), {"stride": stride, "padding": padding, "dilation": dilation}


@settings(max_examples=250)
@given(configurations)
def test_agrees_with_torchvision_forward_and_in_every_gradient(configuration):
    (x, offsets, weight, bias, mask), place = problem(**configuration)
    tensors = [t.requires_grad_() for t in (x, offsets, weight, bias, mask) if t is not None]
    ours = deformable_conv(x, offsets, weight, bias, mask=mask, **place)
    theirs = deform_conv2d(x, offsets, weight, bias, mask=mask, **place)
    assert_close(ours, theirs, **ROUNDING)
    up = torch.randn(ours.shape, generator=torch.Generator().manual_seed(1), dtype=F64)
    for mine, other in zip(
        torch.autograd.grad(ours, tensors, up), torch.autograd.grad(theirs, tensors, up), strict=True
    ):
        assert_close(mine, other, **ROUNDING)


@settings(max_examples=15)
@given(configurations.filter(lambda c: c["b"] * c["more"] * c["groups"] * c["offset_groups"] <= 4))
def test_equals_the_definition(configuration):
    tensors, place = problem(**configuration)
    x, offsets, weight, bias, mask = tensors
    want = slow_deformable_conv(*tensors, **place)
    assert_close(deformable_conv(x, offsets, weight, bias, mask=mask, **place), want, **ROUNDING)


@settings(max_examples=60)
@given(configurations)
def test_without_offsets_it_is_convolution(configuration):
    """Whole numbers, to the last bit; and half the mask is half the result."""
    (x, offsets, weight, _bias, _mask), place = problem(**configuration)
    x, weight, zero = x.mul(3).round(), weight.mul(3).round(), torch.zeros_like(offsets)
    want = F.conv2d(x, weight, groups=x.shape[1] // weight.shape[1], **place)
    assert_close(deformable_conv(x, zero, weight, **place), want, **EXACT)
    half = torch.full((len(x), offsets.shape[1] // 2, *offsets.shape[2:]), 0.5, dtype=F64)
    assert_close(deformable_conv(x, zero, weight, mask=half, **place), want / 2, **EXACT)


def test_hand_values():
    picture = torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]])
    points = torch.tensor([[[0.5, 0.5], [1.0, 1.5], [-0.5, 0.0], [9.0, 0.0]]])
    assert bilinear(picture, points).flatten().tolist() == [1.5, 1.5, 0.0, 0.0]
    assert sampling_points(torch.zeros(1, 2, 2, 4), 1, stride=2)[0, 0, 0, 1, 3].tolist() == [2, 6]
    down = torch.tensor([1.0, 0.0]).reshape(1, 2, 1, 1).expand(1, 2, 2, 2)  # every row reads the one below
    assert deformable_conv(picture, down, torch.ones(1, 1, 1, 1)).flatten().tolist() == [2, 3, 0, 0]


@pytest.mark.parametrize("size", [(3, 5), (7, 6), (16, 9)])
def test_at_whole_coordinates_the_gradient_is_the_step_to_the_next_pixel(size, rng):
    """For any size: the side of the kink is not left to rounding. Whole numbers, in both types."""
    for dtype in (torch.float32, F64):
        picture = torch.randint(-4, 5, (1, 1, *size), generator=rng).to(dtype)
        points = torch.cartesian_prod(*(torch.arange(n, dtype=dtype) for n in size))[None].requires_grad_()
        got = torch.autograd.grad(bilinear(picture, points).sum(), points)[0].reshape(*size, 2)
        beyond = F.pad(picture[0, 0], (0, 1, 0, 1))
        assert_close(got[..., 0], beyond.diff(dim=0)[:, :-1], **EXACT)
        assert_close(got[..., 1], beyond.diff(dim=1)[:-1], **EXACT)


@pytest.mark.parametrize("modulated", [False, True])
def test_gradient(modulated):
    tensors, place = problem(1, 2, 2, 1, 1, (2, 3), (1, 2), (1, 0), (2, 1), (2, 2), modulated, 2.0, 5)
    inputs = [t.requires_grad_() for t in tensors if t is not None]

    def layer(x, p, w, b, m=None):
        return deformable_conv(x, p, w, b, mask=m, **place)

    assert torch.autograd.gradcheck(layer, inputs, eps=1e-7, atol=1e-5)


@pytest.mark.parametrize(
    "options", [{}, {"stride": 2}, {"dilation": 2}, {"groups": 2, "offset_groups": 4}, {"kernel": 5}]
)
def test_module_starts_as_convolution(options, rng):
    x = torch.randn(2, 4, 9, 8, generator=rng)
    for modulated, share in ((False, 1.0), (True, 0.5)):
        layer = DeformableConv(4, 6, modulated=modulated, generator=rng, **options)
        want = F.conv2d(x, layer.weight, groups=options.get("groups", 1), **layer.place)
        assert_close(layer(x), share * want, rtol=0, atol=2e-5)
        layer(x).square().sum().backward()
        assert all(p.grad.abs().max() > 0 for p in layer.parameters())


def test_branch_reaches_the_offsets_and_the_mask(rng):
    x, layer = torch.randn(1, 2, 5, 5, generator=rng), DeformableConv(2, 2, modulated=True, generator=rng)
    with torch.no_grad():
        layer.branch_bias[:18] = torch.tensor([1.0, 0.0]).repeat(9)  # all points one row down
        layer.branch_bias[18:] = 30.0  # masks of 1
    below = F.pad(x, (0, 0, 0, 1))[:, :, 1:]
    got, want = layer(x)[:, :, 1:], F.conv2d(F.pad(below, (1, 1, 1, 1)), layer.weight)[:, :, 1:]
    assert_close(got, want, rtol=0, atol=1e-5)


@pytest.mark.usefixtures("unhooked")
def test_rejects():
    x, p, w = torch.ones(1, 4, 5, 5), torch.zeros(1, 18, 3, 3), torch.ones(2, 4, 3, 3)
    for args, options, message in [
        ((x, p[:, :17], w), {}, "multiple of 2 x 3 x 3 channels, got 17"),
        ((x, p.repeat(1, 3, 1, 1), w), {}, "3 offset groups do not divide 4 channels"),
        ((x, p, w), {"padding": 1}, r"offsets: want \(1, 18, 5, 5\), got \(1, 18, 3, 3\)"),
        ((x, p, torch.ones(2, 3, 3, 3)), {}, "makes no groups of 4 channels in and 2 out"),
        ((x, p, w), {"mask": torch.ones(1, 18, 3, 3)}, r"mask: want \(1, 9, 3, 3\)"),
        ((x, p, w, torch.ones(3)), {}, r"bias: want \(2,\), got \(3,\)"),
        ((x, p, w), {"dilation": 3}, "the kernel is larger than its padded input"),
    ]:
        with pytest.raises(ValueError, match=message):
            deformable_conv(*args, **options)
    with pytest.raises(ValueError, match="multiple of 2 x 1 x 1 channels, got 3"):
        sampling_points(p[:, :3], 1)
    with pytest.raises(ValueError, match="an odd kernel has a centre; got 2"):
        DeformableConv(2, 2, 2)
    with pytest.raises(ValueError, match="3 to 2 channels in 2 groups"):
        DeformableConv(3, 2, groups=2)


def swapped(p):
    return p.unflatten(1, (-1, 2)).flip(2).flatten(1, 2)


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(lambda x, p, w: deformable_conv(x, swapped(p), w), id="x and y swapped"),
        pytest.param(lambda x, p, w: deformable_conv(x, -p, w), id="sign"),
        pytest.param(
            lambda x, p, w: deformable_conv(x, p.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2), w),
            id="all rows first",
        ),
        pytest.param(lambda x, p, w: deformable_conv(x, p.round(), w), id="nearest pixel"),
    ],
)
def test_planted_errors_are_seen(wrong, rng):
    x, p, w = (torch.randn(*s, generator=rng, dtype=F64) for s in ((1, 2, 7, 7), (1, 18, 5, 5), (2, 2, 3, 3)))
    assert (wrong(x, p, w) - deform_conv2d(x, p, w)).abs().max() > 0.1
