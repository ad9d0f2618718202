import warnings

import pytest
import torch
from attention.window_reference import slow_window_attention
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close
from worked.attention.hierarchy import initialise
from worked.attention.swin import GlobalAttention, SwinBlock, WindowAttention, _Reorder
from worked.attention.window import arrange

F64 = torch.float64
CLOSE = {"rtol": 1e-11, "atol": 1e-12}  # float64: a few hundred roundings on numbers of order 1

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torchvision.models.swin_transformer import ShiftedWindowAttention, SwinTransformerBlock

SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4), st.integers(0, 3)).map(
    lambda t: (*t[:3], t[3] % t[2])
)  # h, w, M, s: mostly with padding


def drawn(module, seed=0):
    """Weights, biases and table at random, in float64."""
    rng = torch.Generator().manual_seed(seed)
    module = module.double()
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(
                torch.randn(p.shape, generator=rng, dtype=F64) / (p.shape[-1] ** 0.5 if p.ndim > 1 else 2)
            )
    return module.eval()


@given(SIZES)
@settings(max_examples=25)
def test_equals_attention_cell_by_cell(size):
    h, w, M, s = size
    module = drawn(WindowAttention(4, 2, M, s), seed=h + 10 * w)
    x = torch.randn(2, h, w, 4, generator=torch.Generator().manual_seed(w), dtype=F64)
    with torch.no_grad():
        assert_close(module(x), slow_window_attention(module, x), **CLOSE)


def test_one_window_without_bias_is_global_attention(rng):
    module = drawn(WindowAttention(6, 3, 4, 2))
    module.table.data.zero_()
    whole = GlobalAttention(6, 3).double()
    whole.load_state_dict({k: v for k, v in module.state_dict().items() if k != "table"})
    x = torch.randn(2, 4, 4, 6, generator=rng, dtype=F64)
    assert_close(module(x), whole(x), **CLOSE)


@pytest.mark.parametrize("shift", [0, 1])
def test_moving_the_picture_by_a_window_moves_the_inside(shift, rng):
    """Away from the edges every window is treated alike."""
    module, x = drawn(WindowAttention(4, 2, 3, shift)), torch.randn(1, 12, 12, 4, generator=rng, dtype=F64)
    a, b = module(x), module(x.roll((3, 3), (1, 2)))
    assert_close(a[:, 4:7, 4:7], b[:, 7:10, 7:10], **CLOSE)


@pytest.mark.parametrize("shift", [0, 1])
def test_gradient(shift, rng):
    module = drawn(WindowAttention(2, 1, 2, shift))
    x = torch.randn(1, 4, 3, 2, generator=rng, dtype=F64).requires_grad_()
    assert torch.autograd.gradcheck(module, (x,))
    at = arrange(4, 4, 2, 1, x.device)
    y = torch.randn(2, 16, 2, generator=rng, dtype=F64).requires_grad_()
    assert torch.autograd.gradcheck(lambda t: _Reorder.apply(t, at.order, at.inverse), (y,))
    assert torch.autograd.gradgradcheck(lambda t: _Reorder.apply(t, at.order, at.inverse) ** 2, (y,))


ATTENTION = {"qkv.weight": "qkv.weight", "qkv.bias": "qkv.bias", "project.weight": "proj.weight"}
ATTENTION |= {"project.bias": "proj.bias", "table": "relative_position_bias_table"}
BLOCK = {f"attention.{k}": f"attn.{v}" for k, v in ATTENTION.items()}
BLOCK |= {f"{norm}.{p}": f"{norm}.{p}" for norm in ("norm1", "norm2") for p in ("weight", "bias")}
BLOCK |= {f"mlp.{i}.{p}": f"mlp.{j}.{p}" for i, j in ((0, 0), (2, 3)) for p in ("weight", "bias")}


def compare(ours, library, names, x):
    """Same output and same gradients of everything, with the library's weights copied from ours."""
    theirs = dict(library.named_parameters())
    assert {names[k] for k, _ in ours.named_parameters()} == set(theirs)
    with torch.no_grad():
        for k, p in ours.named_parameters():
            theirs[names[k]].copy_(p)
    a, b = ours(x), library(x)
    assert_close(a, b, **CLOSE)
    up = torch.randn(a.shape, generator=torch.Generator().manual_seed(1), dtype=F64)
    got = torch.autograd.grad(a, [x, *ours.parameters()], up)
    want = torch.autograd.grad(b, [x, *(theirs[names[k]] for k, _ in ours.named_parameters())], up)
    for mine, other in zip(got, want, strict=True):
        assert_close(mine, other, rtol=1e-9, atol=1e-9)


@given(SIZES, st.sampled_from([(4, 1), (4, 2), (6, 3)]))
@settings(max_examples=30)
def test_agrees_with_torchvision(size, widths):
    (h, w, M, s), (d, heads) = size, widths
    rng = torch.Generator().manual_seed(h * w)
    x = torch.randn(2, h, w, d, generator=rng, dtype=F64).requires_grad_()
    library = ShiftedWindowAttention(d, [M, M], [s, s], heads).double().eval()
    compare(drawn(WindowAttention(d, heads, M, s)), library, ATTENTION, x)
    library = SwinTransformerBlock(d, heads, [M, M], [s, s]).double().eval()
    compare(drawn(SwinBlock(d, heads, M, s)), library, BLOCK, x)


def test_eval_is_deterministic_and_the_shift_adds_no_parameter(rng):
    block, x = SwinBlock(8, 2, 4, 2), torch.randn(1, 8, 8, 8, generator=rng)
    initialise(block, rng)
    assert torch.equal(block(x), block(x))
    assert {k: v.shape for k, v in block.state_dict().items()} == {
        k: v.shape for k, v in SwinBlock(8, 2, 4, 0).state_dict().items()
    }


@pytest.mark.usefixtures("unhooked")
def test_rejects():
    with pytest.raises(ValueError, match="3 heads do not divide 4 features"):
        WindowAttention(4, 3, 2)
    with pytest.raises(ValueError, match="shift=2, window=2"):
        SwinBlock(4, 2, 2, 2)


@pytest.mark.parametrize("wrong", ["no mask", "mask turned round", "shift not undone"])
def test_planted_errors_are_seen(wrong, rng, monkeypatch):
    module = drawn(WindowAttention(4, 2, 4, 2))
    x = torch.randn(1, 8, 8, 4, generator=rng, dtype=F64)
    want = slow_window_attention(module, x)
    at = arrange(8, 8, 4, 2, x.device)
    changed = {
        "no mask": {"allowed": None},
        "mask turned round": {"allowed": ~at.allowed | torch.eye(16, dtype=torch.bool)},
        "shift not undone": {"inverse": arrange(8, 8, 4, 0, x.device).inverse},
    }[wrong]
    broken = type(at)(**(vars(at) | changed))
    monkeypatch.setattr("worked.attention.swin.arrange", lambda *_: broken)
    assert (module(x) - want).abs().max() > 1e-3
