import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import scaled_dot_product_attention
from torch.testing import assert_close
from worked.attention.attend import as_bias, attend

F64 = torch.float64
CLOSE = {"rtol": 1e-12, "atol": 1e-12}  # float64: some tens of roundings on numbers of order 1


def slow_attend(q, k, v, bias):
    """One query at a time, one key at a time."""
    (*g, n, d), m = q.shape, k.shape[-2]
    out, weights = v.new_zeros(*g, n, v.shape[-1]), v.new_zeros(*g, n, m)
    for i in range(n):
        scores = torch.stack([(q[..., i, :] * k[..., j, :]).sum(-1) / math.sqrt(d) for j in range(m)], -1)
        p = (scores + (bias.expand(*g, n, m)[..., i, :] if bias is not None else 0)).exp()
        weights[..., i, :] = p / p.sum(-1, keepdim=True)
        out[..., i, :] = (weights[..., i, :, None] * v).sum(-2)
    return out, weights


def drawn(rng, g, n, m, d, e, dtype=F64):
    shapes = ((*g, n, d), (*g, m, d), (*g, m, e))
    return [torch.randn(shape, generator=rng, dtype=dtype).requires_grad_() for shape in shapes]


@pytest.mark.parametrize("groups", [(), (1,), (2, 3), (2, 3, 2)])
@pytest.mark.parametrize("with_bias", [True, False])
def test_equals_the_formula_query_by_query(groups, with_bias, rng):
    q, k, v = drawn(rng, groups, 5, 6, 4, 3)
    bias = torch.randn(*groups[-1:], 5, 6, generator=rng, dtype=F64) if with_bias else None
    for got, want in zip(attend(q, k, v, bias), slow_attend(q, k, v, bias), strict=True):
        assert_close(got, want, **CLOSE)


def test_hand_values():
    ones, v = torch.ones(1, 3, 1), torch.tensor([[[0.0], [3.0], [6.0]]])
    out, weights = attend(ones, ones, v)
    assert_close(out, torch.full((1, 3, 1), 3.0))
    assert_close(weights, torch.full((1, 3, 3), 1 / 3))
    out, weights = attend(ones, ones, v, as_bias(torch.tensor([True, True, False])))
    assert_close(out, torch.full((1, 3, 1), 1.5))
    assert weights[..., 2].eq(0).all()
    third = torch.tensor([[0.0], [0.0], [math.log(3)]])  # scores 0 and log 3: weights 1/4, 1/4 ... 3/4
    assert_close(attend(torch.ones(1, 1), third[1:], v[0, 1:])[1], torch.tensor([[1 / 4, 3 / 4]]))


def test_a_query_without_keys_has_no_mean():
    out, weights = attend(*[torch.ones(2, 1)] * 3, as_bias(torch.tensor([[True, True], [False, False]])))
    for result in (out, weights):
        assert result[0].isfinite().all()
        assert result[1].isnan().all()


def test_as_bias_says_what_may_be_read():
    assert as_bias(torch.tensor([True, False])).tolist() == [0, -math.inf]
    assert as_bias(torch.tensor([True]), F64).dtype == F64


def test_order_of_keys_does_not_matter_and_queries_do_not_meet(rng):
    (q, k, v), pi = drawn(rng, (2,), 5, 6, 4, 3), torch.randperm(6, generator=rng)
    (out, weights), (moved, turned) = attend(q, k, v), attend(q, k[:, pi], v[:, pi])
    assert_close(moved, out, **CLOSE)
    assert_close(turned, weights[..., pi], **CLOSE)
    assert_close(attend(q[:, 2:3], k, v)[0], out[:, 2:3], **CLOSE)


@pytest.mark.parametrize("shape", [(4, 5), (2, 1, 4, 5), (3, 1, 5), (2, 3, 4, 5), (5,), None])
def test_gradient(shape, rng):
    """Of both results, and of either alone."""
    q, k, v = drawn(rng, (2, 3), 4, 5, 2, 3)
    bias = None if shape is None else torch.randn(shape, generator=rng, dtype=F64).requires_grad_()
    for results in (slice(None), slice(1), slice(1, 2)):
        assert torch.autograd.gradcheck(lambda *x, s=results: attend(*x)[s], (q, k, v, bias))
    masked = as_bias(torch.ones(4, 5, dtype=torch.bool).tril(), F64)
    assert torch.autograd.gradcheck(lambda *x: attend(*x, masked), (q, k, v))


def test_only_what_is_asked_for_gets_a_gradient(rng):
    q, k, v = drawn(rng, (2,), 3, 4, 2, 2)
    full = torch.autograd.grad(attend(q, k, v)[0].square().sum(), (q, k, v))
    for i in range(3):
        parts = [t if j == i else t.detach() for j, t in enumerate((q, k, v))]
        (alone,) = torch.autograd.grad(attend(*parts)[0].square().sum(), parts[i])
        assert_close(alone, full[i], **CLOSE)


@given(
    g=st.lists(st.integers(1, 3), max_size=3).map(tuple),
    sizes=st.tuples(*[st.integers(1, 9)] * 4),
    kind=st.sampled_from(["none", "bias", "mask"]),
    dtype=st.sampled_from([torch.float32, F64]),
)
@settings(max_examples=40)
def test_agrees_with_torch(g, sizes, kind, dtype):
    """Outputs and gradients of scaled_dot_product_attention, for any groups and widths."""
    n, m, d, e = sizes
    rng = torch.Generator().manual_seed(n + 10 * m)
    inputs = drawn(rng, g, n, m, d, e, dtype)
    bias = mask = None
    if kind == "bias":
        bias = mask = torch.randn(*g[1:], n, m, generator=rng, dtype=dtype)
    if kind == "mask":
        mask = torch.rand(n, m, generator=rng) < 0.6
        mask[:, 0] = True  # no query without a key
        bias = as_bias(mask, dtype)
    lift = (1,) * (4 - len(inputs[0].shape))  # the library wants (b, heads, n, d)
    ours = attend(*inputs, bias)[0]
    theirs = scaled_dot_product_attention(*(t.reshape(*lift, *t.shape) for t in inputs), mask).reshape(
        ours.shape
    )
    assert_close(ours, theirs)
    up = torch.randn(ours.shape, generator=rng, dtype=dtype)
    for got, want in zip(*(torch.autograd.grad(out, inputs, up) for out in (ours, theirs)), strict=True):
        assert_close(got, want)


@pytest.mark.parametrize("shape", [(4, 4), (2, 4, 5), (1, 2, 3, 4, 5)])
def test_rejects_a_bias_that_does_not_fit(shape, rng):
    q, k, v = drawn(rng, (2, 3), 4, 5, 2, 2)
    with pytest.raises(ValueError, match="does not fit scores of"):
        attend(q, k, v, torch.zeros(shape, dtype=F64))


@pytest.mark.usefixtures("unhooked")
def test_rejects_what_does_not_belong_together():
    q, k, v = torch.zeros(2, 3, 4), torch.zeros(2, 5, 4), torch.zeros(2, 5, 6)
    for wrong in ((q, v, v), (q, k, v[:, :4]), (q[:1], k, v), (q, k[0], v[0])):
        with pytest.raises(ValueError, match="want"):
            attend(*wrong)
