import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close
from worked.attention.as_convolution import convolution_by_attention, neighbour_bias, offsets


def slow(x, weight, bias):
    """Pixel by pixel, around the edges."""
    b, _, h, w = x.shape
    o, _, k, _ = weight.shape
    out = torch.zeros(b, o, h, w, dtype=x.dtype)
    for i in range(h):
        for j in range(w):
            for u in range(k):
                for v in range(k):
                    pixel = x[:, :, (i + u - k // 2) % h, (j + v - k // 2) % w]  # (b, c)
                    out[:, :, i, j] += pixel @ weight[:, :, u, v].T
    return out + bias[:, None, None]


def random(rng, *shape):
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


def test_agrees_with_a_loop(rng):
    x, weight, bias = random(rng, 2, 3, 4, 5), random(rng, 2, 3, 3, 3), random(rng, 2)
    assert_close(convolution_by_attention(x, weight, bias), slow(x, weight, bias), rtol=0, atol=1e-13)


def test_hand_value():
    x = torch.arange(8.0).reshape(1, 2, 2, 2)
    out = convolution_by_attention(x, torch.ones(1, 2, 1, 1), torch.tensor([10.0]))
    assert out[0, 0].tolist() == [[14, 16], [18, 20]]
    assert offsets(3)[0] == (-1, -1)
    assert len(offsets(5)) == 25


def test_every_head_reads_one_token():
    bias = neighbour_bias(4, 5, 3)
    assert ((bias == 0).sum(-1) == 1).all()
    assert ((bias == 0) | (bias == -torch.inf)).all()
    assert torch.equal(bias[4] == 0, torch.eye(20, dtype=torch.bool))  # the middle of the filter


def test_commutes_with_shifts(rng):
    x, weight, bias = random(rng, 1, 2, 5, 4), random(rng, 3, 2, 3, 3), random(rng, 3)
    shifted = convolution_by_attention(x.roll((1, 2), (2, 3)), weight, bias)
    assert_close(shifted, convolution_by_attention(x, weight, bias).roll((1, 2), (2, 3)), rtol=0, atol=1e-13)


def test_gradient(rng):
    x, weight, bias = (random(rng, *s).requires_grad_() for s in ((1, 2, 3, 3), (2, 2, 3, 3), (2,)))
    assert torch.autograd.gradcheck(convolution_by_attention, (x, weight, bias))


@given(st.integers(1, 2), st.integers(1, 3), st.integers(3, 6), st.integers(3, 6), st.sampled_from([1, 3]))
def test_agrees_with_torch(b, c, h, w, k):
    rng = torch.Generator().manual_seed(b + 10 * c + 100 * h + 1000 * w)
    x, weight, bias = random(rng, b, c, h, w), random(rng, 4, c, k, k), random(rng, 4)
    theirs = torch.nn.Conv2d(c, 4, k, padding=k // 2, padding_mode="circular", dtype=torch.float64)
    theirs.load_state_dict({"weight": weight, "bias": bias})
    assert_close(convolution_by_attention(x, weight, bias), theirs(x), rtol=0, atol=1e-13)


@pytest.mark.parametrize("k", [0, 2, -1])
def test_rejects_filters_without_a_middle(k):
    with pytest.raises(ValueError, match=f"got {k}"):
        offsets(k)
