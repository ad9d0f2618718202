import math

import pytest
import torch
from torch.testing import assert_close
from worked.attention.attend import attend

F64 = torch.float64


def slow_attend(qkv, bias):
    """One query at a time."""
    q, k, v = qkv
    n, d = q.shape[-2:]
    out = torch.zeros_like(v)
    for i in range(n):
        scores = torch.stack([(q[..., i, :] * k[..., j, :]).sum(-1) / math.sqrt(d) for j in range(n)], -1)
        p = (scores + (bias.expand(*scores.shape[:-1], n, n)[..., i, :] if bias is not None else 0)).exp()
        out[..., i, :] = ((p / p.sum(-1, keepdim=True))[..., None] * v).sum(-2)
    return out


@pytest.mark.parametrize("groups", [(1,), (2, 3), (2, 3, 2)])
@pytest.mark.parametrize("with_bias", [True, False])
def test_equals_the_formula_query_by_query(groups, with_bias, rng):
    qkv = torch.randn(3, *groups, 5, 4, generator=rng, dtype=F64)
    bias = torch.randn(groups[-1], 5, 5, generator=rng, dtype=F64) if with_bias else None
    assert_close(attend(qkv, bias), slow_attend(qkv, bias), rtol=1e-12, atol=1e-12)


def test_hand_values():
    qkv = torch.stack([torch.ones(1, 3, 1), torch.ones(1, 3, 1), torch.tensor([[[0.0], [3.0], [6.0]]])])
    assert_close(attend(qkv), torch.full((1, 3, 1), 3.0))
    forbid = torch.tensor([0.0, 0.0, -torch.inf])
    assert_close(attend(qkv, forbid), torch.full((1, 3, 1), 1.5))


def test_order_of_keys_does_not_matter(rng):
    qkv, pi = torch.randn(3, 2, 6, 4, generator=rng, dtype=F64), torch.randperm(6, generator=rng)
    moved = torch.stack([qkv[0], qkv[1][:, pi], qkv[2][:, pi]])
    assert_close(attend(moved), attend(qkv), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [(4, 4), (2, 1, 4, 4), (3, 4, 4), (2, 3, 4, 4), (4,), None])
def test_gradient(shape, rng):
    qkv = torch.randn(3, 2, 3, 4, 2, generator=rng, dtype=F64).requires_grad_()
    if shape is None:
        assert torch.autograd.gradcheck(attend, (qkv,))
        return
    bias = torch.randn(shape, generator=rng, dtype=F64).requires_grad_()
    assert torch.autograd.gradcheck(attend, (qkv, bias))
    masked = torch.zeros(4, 4, dtype=F64).masked_fill(torch.ones(4, 4, dtype=torch.bool).triu(1), -torch.inf)
    assert torch.autograd.gradcheck(lambda x: attend(x, masked), (qkv,))


@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_agrees_with_torch(dtype, rng):
    qkv = torch.randn(3, 2, 3, 7, 8, generator=rng, dtype=dtype).requires_grad_()
    bias = torch.randn(2, 3, 7, 7, generator=rng, dtype=dtype)
    ours, theirs = attend(qkv, bias), torch.nn.functional.scaled_dot_product_attention(*qkv, bias)
    assert_close(ours, theirs)
    up = torch.randn(ours.shape, generator=rng, dtype=dtype)
    (got,), (want,) = (torch.autograd.grad(out, qkv, up) for out in (ours, theirs))
    assert_close(got, want)


@pytest.mark.parametrize("shape", [(4, 5), (2, 4, 4), (1, 2, 3, 4, 4)])
def test_rejects_a_bias_that_does_not_fit(shape):
    with pytest.raises(ValueError, match="does not fit scores of"):
        attend(torch.zeros(3, 2, 3, 4, 2), torch.zeros(shape))
