import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close
from worked.convolution.draws import draw_weights
from worked.convolution.unet import Convolutions, UNet, cell_means, copied, own_again, unet_sizes

EXACT = {"rtol": 0, "atol": 0}


def build(rng, **options):
    network = UNet(2, 3, **{"widths": (4, 8, 16), **options})
    draw_weights(network, generator=rng)
    return network.double().eval()


def slow_unet(network, x, valid):
    """Two levels written out line by line, from the figure of the paper."""
    pad = 0 if valid else 1

    def two(block, x):
        first, second = (layer for layer in block if isinstance(layer, torch.nn.Conv2d))
        x = F.conv2d(x, first.weight, first.bias, padding=pad).clamp(min=0)
        return F.conv2d(x, second.weight, second.bias, padding=pad).clamp(min=0)

    def middle(big, small):
        cut = (big.shape[-1] - small.shape[-1]) // 2
        return big[..., cut : cut + small.shape[-1], cut : cut + small.shape[-1]]

    def halve(x):
        return torch.stack([x[..., i::2, j::2] for i in (0, 1) for j in (0, 1)]).amax(0)

    def double(rise, x):  # each pixel becomes a 2 x 2 square of its own
        out = torch.einsum("bchw,cdij->bdhiwj", x, rise.weight)
        return out.reshape(len(x), -1, 2 * x.shape[2], 2 * x.shape[3]) + rise.bias[:, None, None]

    a = two(network.encoder[0], x)
    b = two(network.encoder[1], halve(a))
    c = two(network.encoder[2], halve(b))
    up = double(network.rise[1], c)
    d = two(network.decoder[1], torch.cat([middle(b, up), up], 1))
    up = double(network.rise[0], d)
    e = two(network.decoder[0], torch.cat([middle(a, up), up], 1))
    return (
        torch.einsum("bchw,kc->bkhw", e, network.head.weight[:, :, 0, 0]) + network.head.bias[:, None, None]
    )


@pytest.mark.parametrize(("valid", "side"), [(False, 16), (False, 20), (True, 44), (True, 48)])
def test_equals_the_figure_line_by_line(valid, side, rng):
    network = build(rng, valid=valid)
    with torch.no_grad():
        for p in network.parameters():
            p.add_(torch.randn(p.shape, generator=rng, dtype=p.dtype) / 10)  # biases too
    x = torch.randn(2, 2, side, side, generator=rng, dtype=torch.float64)
    # fewer than 1,000 terms a sum, values below 100: rounding stays under 1e-10
    assert_close(network(x), slow_unet(network, x, valid), rtol=0, atol=1e-10)


def test_the_papers_sizes_by_hand():
    network = UNet(1, 2, widths=(1, 2, 4, 8, 16), valid=True)
    x = torch.zeros(1, 1, 572, 572)
    with torch.no_grad():
        assert [s.shape[-1] for s in network.down(x)] == [568, 280, 136, 64, 28]
        assert network(x).shape == (1, 2, 388, 388)
    assert unet_sizes(572, 4) == (28, 388)


def test_parameters_by_hand():
    def count(module):
        return sum(p.numel() for p in module.parameters())

    assert count(Convolutions(64, 64)) == 73_856
    assert count(Convolutions(64, 128, repeats=1, norm=True)) == 9 * 64 * 128 + 2 * 128
    wide = (1, 2, 4)  # widths; down 9ab + b + 9bb + b, rise 4 * 2b * b + b, up 9 * 2b * b + b + 9bb + b, head
    down = sum(9 * a * b + b + 9 * b * b + b for a, b in ((1, 1), (1, 2), (2, 4)))
    up = sum(8 * b * b + b + 18 * b * b + b + 9 * b * b + b for b in (1, 2))
    assert count(UNet(1, 3, widths=wide)) == down + up + 1 * 3 + 3


@given(
    n=st.integers(8, 140),
    levels=st.integers(0, 3),
    repeats=st.integers(1, 2),
)
def test_sizes_are_those_of_the_module(n, levels, repeats):
    network = UNet(1, 1, widths=[2**i for i in range(levels + 1)], repeats=repeats, valid=True)
    x = torch.zeros(1, 1, n, n)
    try:
        want = unet_sizes(n, levels, repeats)
    except ValueError:
        with pytest.raises(ValueError, match=r"level|nothing"):
            network(x)
        return
    with torch.no_grad():
        assert (network.down(x)[-1].shape[-1], network(x).shape[-1]) == want


@pytest.mark.parametrize("skip", [copied, cell_means, own_again])
def test_shift_by_a_cell_shifts_the_answer(skip, rng):
    """Away from the border, where padding is not felt."""
    network = build(rng, widths=(4, 8), repeats=1, skip=skip)
    x = torch.zeros(1, 2, 24, 24, dtype=torch.float64)
    x[:, :, 8:14, 8:14] = torch.randn(1, 2, 6, 6, generator=rng, dtype=torch.float64)
    moved = network(x.roll((2, 2), (2, 3)))
    assert_close(moved, network(x).roll((2, 2), (2, 3)), rtol=0, atol=1e-12)
    assert (network(x.roll((1, 1), (2, 3))) - network(x).roll((1, 1), (2, 3))).abs().max() > 1e-3


def test_the_three_skips_have_equal_parameters_and_differ(rng):
    x = torch.randn(1, 2, 16, 16, generator=rng, dtype=torch.float64)
    state, answers = build(rng).state_dict(), []
    for skip in (copied, cell_means, own_again):
        network = build(rng, skip=skip)
        network.load_state_dict(state)
        answers.append(network(x))
    gaps = [(a - b).abs().max().item() for i, a in enumerate(answers) for b in answers[:i]]
    assert min(gaps) > 1e-2


def test_skips_by_hand():
    seen = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert copied(seen, torch.zeros(1, 1, 2, 2), 2).flatten().tolist() == [5, 6, 9, 10]
    assert cell_means(seen, seen, 2)[0, 0, 0].tolist() == [2.5, 2.5, 4.5, 4.5]
    assert_close(cell_means(seen, seen, 1), seen, **EXACT)
    assert_close(own_again(seen, -seen, 2), -seen, **EXACT)


@pytest.mark.parametrize("skip", [copied, cell_means, own_again])
def test_gradient(skip, rng):
    network = build(rng, widths=(2, 4), repeats=1, skip=skip)
    x = torch.randn(1, 2, 4, 4, generator=rng, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(network, (x,))
    network(x).sum().backward()
    alive = [n for n, p in network.named_parameters() if p.grad is not None and p.grad.abs().max() > 0]
    assert len(alive) == len(list(network.parameters()))


def test_draws(rng):
    layers = torch.nn.Sequential(torch.nn.Conv2d(8, 400, 3), torch.nn.ConvTranspose2d(32, 400, 2, 2))
    draw_weights(layers, generator=rng)
    for layer, variance in zip(layers, (2 / 72, 2 / 32), strict=True):
        # relative standard error of a variance of N numbers is sqrt(2/N); five of them
        error = 5 * math.sqrt(2 / layer.weight.numel())
        assert layer.weight.var().item() == pytest.approx(variance, rel=error)
        assert not layer.bias.any()


@pytest.mark.usefixtures("unhooked")
def test_rejects(rng):
    with pytest.raises(ValueError, match="doubles"):
        UNet(1, 1, widths=(4, 12))
    with pytest.raises(ValueError, match="cannot halve"):
        build(rng)(torch.zeros(1, 2, 18, 18).double())
    with pytest.raises(ValueError, match="nothing is left"):
        build(rng, valid=True)(torch.zeros(1, 2, 12, 12).double())
    with pytest.raises(ValueError, match="divisible"):
        unet_sizes(256, 4)
    with pytest.raises(ValueError, match="nothing is left"):
        unet_sizes(28, 3)
    with pytest.raises(ValueError, match="cut"):
        copied(torch.zeros(1, 1, 5, 5), torch.zeros(1, 1, 4, 4), 1)
    with pytest.raises(ValueError, match="cells of 3"):
        cell_means(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4), 3)
    with pytest.raises(ValueError, match="gain"):
        draw_weights(torch.nn.Linear(1, 1), generator=rng, gain=0)


def test_planted_errors_are_seen(rng):
    """The corner of the map for its middle, and what came up put before what was seen."""
    corner = lambda seen, up, cell: seen[:, :, : up.shape[2], : up.shape[3]]  # noqa: E731
    network, x = build(rng, valid=True), torch.randn(1, 2, 44, 44, generator=rng, dtype=torch.float64)
    want = slow_unet(network, x, True)
    network.skip = corner
    assert (network(x) - want).abs().max() > 1e-2
    network.skip = copied
    for rise, block in zip(network.rise, network.decoder, strict=True):
        half = rise.out_channels
        with torch.no_grad():
            block[0].weight.copy_(block[0].weight.roll(half, 1))
    assert (network(x) - want).abs().max() > 1e-2
