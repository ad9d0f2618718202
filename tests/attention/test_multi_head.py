import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close
from worked.attention.attend import as_bias
from worked.attention.multi_head import MultiHeadAttention, SelfAttention, join_heads, split_heads

F64 = torch.float64
CLOSE = {"rtol": 1e-11, "atol": 1e-12}  # float64: some hundreds of roundings on numbers of order 1


def drawn(module, seed=0):
    """All parameters at random, in float64."""
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in module.double().parameters():
            p.copy_(torch.randn(p.shape, generator=rng, dtype=F64) / p.shape[-1] ** 0.5)
    return module.eval()


def slow_heads(module, x, y, bias):
    """One head at a time, with its own rows of each matrix; without bias vectors."""
    outs = []
    for head in range(module.heads):
        q, k, v = (
            z @ part.weight.unflatten(0, (module.heads, -1))[head].T
            for part, z in ((module.q, x), (module.k, y), (module.v, y))
        )
        outs.append((q @ k.mT / q.shape[-1] ** 0.5 + bias[..., head, :, :]).softmax(-1) @ v)
    return torch.cat(outs, -1) @ module.project.weight.T


def test_equals_head_by_head(rng):
    module = drawn(MultiHeadAttention(5, 3, d_k=2, d_v=4, d_out=6, d_context=7))
    x, y = torch.randn(2, 4, 5, generator=rng, dtype=F64), torch.randn(2, 3, 7, generator=rng, dtype=F64)
    bias = torch.randn(3, 4, 3, generator=rng, dtype=F64)
    out, weights = module(x, y, bias)
    assert_close(out, slow_heads(module, x, y, bias), **CLOSE)
    assert weights.shape == (2, 3, 4, 3)
    assert_close(weights.sum(-1), torch.ones(2, 3, 4, dtype=F64))


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_hand_values():
    assert count(MultiHeadAttention(100, 3, d_k=10, d_v=20, d_out=50)) == 15_000
    assert count(MultiHeadAttention(100, 3, d_k=10, d_v=20, d_out=50, bias=True)) == 15_000 + 120 + 50
    assert count(SelfAttention(8, 2)) == 4 * 8 * 8 + 4 * 8
    x = torch.tensor([[1.0, 2, 3, 4]])
    assert split_heads(x, 2).tolist() == [[[1, 2]], [[3, 4]]]
    assert_close(join_heads(split_heads(x, 2)), x, rtol=0, atol=0)


def test_order_of_heads_is_the_order_of_columns(rng):
    """Two heads exchanged, with their columns of the output's matrix: nothing changes."""
    module, x = drawn(MultiHeadAttention(6, 2, d_k=2, d_v=3)), torch.randn(2, 5, 6, generator=rng, dtype=F64)
    want, weights = module(x)
    with torch.no_grad():
        for layer in (module.q, module.k, module.v):
            layer.weight.copy_(layer.weight.unflatten(0, (2, -1)).flip(0).flatten(0, 1))
        module.project.weight.copy_(module.project.weight.unflatten(1, (2, -1)).flip(1).flatten(1))
    out, turned = module(x)
    assert_close(out, want, **CLOSE)
    assert_close(turned, weights.flip(-3), **CLOSE)


def test_tokens_in_another_order_come_out_in_that_order(rng):
    x, pi = torch.randn(2, 5, 6, generator=rng, dtype=F64), torch.randperm(5, generator=rng)
    module = drawn(SelfAttention(6, 3))
    (out, weights), (moved, turned) = module(x), module(x[:, pi])
    assert_close(moved, out[:, pi], **CLOSE)
    assert_close(turned, weights[:, :, pi][..., pi], **CLOSE)


def test_self_attention_is_the_general_one(rng):
    module, general = drawn(SelfAttention(6, 3)), MultiHeadAttention(6, 3, d_k=2, d_v=2, bias=True).double()
    with torch.no_grad():
        for layer, rows in zip((general.q, general.k, general.v), range(0, 18, 6), strict=True):
            layer.weight.copy_(module.qkv.weight[rows : rows + 6])
            layer.bias.copy_(module.qkv.bias[rows : rows + 6])
    general.project.load_state_dict(module.project.state_dict())
    x = torch.randn(2, 4, 5, 6, generator=rng, dtype=F64)
    for a, b in zip(module(x), general(x), strict=True):
        assert_close(a, b, **CLOSE)


@pytest.mark.parametrize("module", [SelfAttention(4, 2), MultiHeadAttention(4, 2, d_k=3, d_v=1)])
def test_gradient(module, rng):
    x = torch.randn(2, 3, 4, generator=rng, dtype=F64).requires_grad_()
    bias = torch.randn(2, 3, 3, generator=rng, dtype=F64).requires_grad_()
    module = drawn(module)
    assert torch.autograd.gradcheck(lambda x, b: module(x, bias=b), (x, bias))
    module(x)[0].square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in module.parameters() if p.ndim == 2)


def compare(ours, theirs, ours_run, theirs_run, inputs, pairs):
    """Same results, and same gradients of inputs and of pairs of parameters."""
    (a, p), (b, q) = ours_run(), theirs_run()
    assert_close(a, b, **CLOSE)
    assert_close(p, q, **CLOSE)
    up = torch.randn(a.shape, generator=torch.Generator().manual_seed(1), dtype=F64)
    got = torch.autograd.grad(a, [*inputs, *(mine for mine, _ in pairs)], up)
    want = torch.autograd.grad(b, [*inputs, *(other for _, other in pairs)], up)
    for mine, other in zip(got, want, strict=True):
        assert_close(mine, other, rtol=1e-9, atol=1e-9)


@given(
    sizes=st.tuples(st.integers(1, 3), st.integers(1, 7), st.integers(1, 4), st.integers(1, 3)),
    masked=st.booleans(),
    bias=st.booleans(),
)
@settings(max_examples=25)
def test_self_attention_agrees_with_torch(sizes, masked, bias):
    """Weights, output and gradients of MultiheadAttention, with its mask the other way round."""
    (b, n, heads, each), rng = sizes, torch.Generator().manual_seed(sum(sizes))
    d = heads * each
    ours = drawn(SelfAttention(d, heads))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = torch.nn.MultiheadAttention(d, heads, batch_first=True).double()
    theirs.in_proj_weight.data, theirs.in_proj_bias.data = ours.qkv.weight.data, ours.qkv.bias.data
    theirs.out_proj.load_state_dict(ours.project.state_dict())
    x = torch.randn(b, n, d, generator=rng, dtype=F64).requires_grad_()
    allowed = (torch.rand(n, n, generator=rng) < 0.5) | torch.eye(n, dtype=torch.bool)
    added = torch.randn(n, n, generator=rng, dtype=F64) if bias else torch.zeros(n, n, dtype=F64)
    mine = added + as_bias(allowed, F64) if masked else added
    other = added.masked_fill(~allowed, -torch.inf) if masked else added
    if masked and not bias:
        other = ~allowed  # there True forbids
    compare(
        ours,
        theirs,
        lambda: ours(x, mine),
        lambda: theirs(x, x, x, attn_mask=other, average_attn_weights=False),
        [x],
        [(ours.qkv.weight, theirs.in_proj_weight), (ours.project.bias, theirs.out_proj.bias)],
    )


@given(st.tuples(*[st.integers(1, 5)] * 4), st.integers(1, 3), st.integers(1, 3))
@settings(max_examples=25)
def test_cross_attention_agrees_with_torch(sizes, heads, each):
    """Queries of one sequence, keys and values of another of another width."""
    (b, n, m, c), d = sizes, heads * each
    ours = drawn(MultiHeadAttention(d, heads, d_k=each, d_v=each, d_context=c, bias=True))
    theirs = torch.nn.MultiheadAttention(d, heads, kdim=c, vdim=c, batch_first=True).double()
    layers = (ours.q, ours.k, ours.v)
    theirs.in_proj_bias.data = torch.cat([layer.bias.data for layer in layers])
    if c == d:
        theirs.in_proj_weight.data = torch.cat([layer.weight.data for layer in layers])
    else:
        for name, layer in zip("qkv", layers, strict=True):
            getattr(theirs, f"{name}_proj_weight").data = layer.weight.data
    theirs.out_proj.load_state_dict(ours.project.state_dict())
    rng = torch.Generator().manual_seed(sum(sizes))
    x = torch.randn(b, n, d, generator=rng, dtype=F64).requires_grad_()
    y = torch.randn(b, m, c, generator=rng, dtype=F64).requires_grad_()
    compare(
        ours,
        theirs,
        lambda: ours(x, y),
        lambda: theirs(x, y, y, average_attn_weights=False),
        [x, y],
        [(ours.project.weight, theirs.out_proj.weight)],
    )


@pytest.mark.usefixtures("unhooked")
def test_rejects():
    with pytest.raises(ValueError, match="3 heads do not divide 4 features"):
        SelfAttention(4, 3)
    with pytest.raises(ValueError, match="0 heads do not divide 4"):
        split_heads(torch.zeros(2, 4), 0)
    with pytest.raises(ValueError, match="d_v=0"):
        MultiHeadAttention(4, 2, d_k=1, d_v=0)
    with pytest.raises(ValueError, match="does not fit scores"):
        SelfAttention(4, 2)(torch.zeros(1, 3, 4), torch.zeros(3, 4))
