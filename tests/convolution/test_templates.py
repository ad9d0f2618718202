import pytest
import torch
from torch.testing import assert_close
from worked.convolution.placed import place
from worked.convolution.templates import Templates, global_max, global_mean

EXACT = {"rtol": 0, "atol": 0}


def whole_templates(c, k, size, padding, pool, rng):
    network = Templates(c, k, size, padding=padding, pool=pool).double()
    for p in network.parameters():
        p.data = torch.randint(-4, 5, p.shape, generator=rng).double()
    return network


def slow_scores(network, x, pool):
    """Every window of the padded picture, one after another."""
    p, (k, _, size, _) = network.padding, network.weight.shape
    b, c, h, w = x.shape
    wide = torch.zeros(b, c, h + 2 * p, w + 2 * p, dtype=x.dtype)
    wide[:, :, p : p + h, p : p + w] = x
    scores = torch.empty(b, k, dtype=x.dtype)
    for n in range(b):
        for o in range(k):
            values = [
                (network.weight[o] * wide[n, :, i : i + size, j : j + size]).sum().item()
                + network.bias[o].item()
                for i in range(h + 2 * p - size + 1)
                for j in range(w + 2 * p - size + 1)
            ]
            scores[n, o] = pool(values)
    return scores


@pytest.mark.parametrize("padding", [0, 1, 2])
def test_equals_the_definition(padding, rng):
    x = torch.randint(0, 4, (2, 2, 4, 5), generator=rng).double()
    for pool, slow in ((global_max, max), (global_mean, lambda v: sum(v) / len(v))):
        network = whole_templates(2, 3, 3, padding, pool, rng)
        assert_close(network(x), slow_scores(network, x, slow), rtol=1e-15, atol=0)


def test_hand_values():
    maps = torch.tensor([[[[1.0, 4], [2, 3]]]])
    assert global_max(maps).item() == 4
    assert global_mean(maps).item() == 2.5
    for padding in (0, 9):
        network = Templates(1, 5, 10, padding=padding, pool=global_max)
        assert sum(p.numel() for p in network.parameters()) == 505
        assert all(p.abs().max() <= 0.1 for p in network.parameters())
    assert Templates(1, 5, 10, padding=9, pool=global_max).maps(torch.ones(1, 1, 10, 10)).shape[2:] == (
        19,
        19,
    )


@pytest.mark.parametrize("pool", [global_max, global_mean])
def test_full_padding_does_not_see_the_place(pool, rng):
    network = whole_templates(1, 3, 3, 2, pool, rng)
    digit = torch.randint(-3, 4, (1, 1, 2, 3), generator=rng).double()
    every = torch.cartesian_prod(torch.arange(4), torch.arange(3))  # all places in 5 x 5
    scores = network(place(digit.expand(12, -1, -1, -1), every, 5))
    assert_close(scores, scores[:1].expand(12, -1), rtol=1e-15, atol=0)


def test_gradient(rng):
    network = Templates(1, 2, 2, padding=1, pool=global_max, generator=rng).double()
    x = torch.randn(1, 1, 3, 3, generator=rng, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(network, x)


def test_same_generator_same_weights():
    one, two = (
        Templates(1, 2, 3, padding=0, pool=global_max, generator=torch.Generator().manual_seed(5))
        for _ in range(2)
    )
    assert_close(one.weight, two.weight, **EXACT)


@pytest.mark.parametrize("padding", [-1, 3])
def test_rejects(padding):
    with pytest.raises(ValueError, match=f"want 0 <= padding < 3.*got {padding}"):
        Templates(1, 2, 3, padding=padding, pool=global_max)
