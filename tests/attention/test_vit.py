import math
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close
from worked.attention.vit import SelfAttention, ViT, attention, interpolate_positions

F64 = torch.float64


def slow_attention(q, k, v):
    """Eq. (1) of the paper for one head, number by number."""
    n, d = q.shape
    out, rows = torch.zeros_like(v), []
    for i in range(n):
        scores = [math.exp((q[i] @ k[j]).item() / math.sqrt(d)) for j in range(n)]
        rows.append([s / sum(scores) for s in scores])
        for j in range(n):
            out[i] += rows[-1][j] * v[j]
    return out, torch.tensor(rows, dtype=F64)


def test_attention_equals_the_formula(rng):
    q, k, v = torch.randn(3, 2, 3, 5, 4, generator=rng, dtype=F64)
    out, weights = attention(q, k, v)
    for b in range(2):
        for h in range(3):
            want, rows = slow_attention(q[b, h], k[b, h], v[b, h])
            assert_close(out[b, h], want, rtol=1e-12, atol=1e-13)  # sums of five terms of size one
            assert_close(weights[b, h], rows, rtol=1e-12, atol=1e-13)


def test_equal_keys_give_the_mean(rng):
    v = torch.randn(1, 1, 4, 3, generator=rng, dtype=F64)
    out, weights = attention(torch.randn(1, 1, 4, 3, generator=rng, dtype=F64), torch.ones_like(v), v)
    assert_close(weights, torch.full_like(weights, 1 / 4))
    assert_close(out, v.mean(2, keepdim=True).expand_as(out))


@settings(max_examples=12)
@given(
    patch=st.sampled_from([2, 4]),
    across=st.integers(1, 4),
    depth=st.integers(1, 3),
    heads=st.sampled_from([1, 2, 4]),
)
def test_equals_torchvision(patch, across, depth, heads):
    """With its weights copied, in float64, the features are those of torchvision's VisionTransformer."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torchvision.models.vision_transformer import VisionTransformer
    torch.manual_seed(0)
    width, hidden, size = 8, 12, patch * across
    theirs = VisionTransformer(size, patch, depth, heads, width, hidden, num_classes=3).double().eval()
    theirs.heads = torch.nn.Identity()
    ours = ViT(size=size, patch=patch, width=width, depth=depth, heads=heads, hidden=hidden).double()
    for p in theirs.parameters():
        torch.nn.init.normal_(p, std=0.5)
    state = {
        "class_token": theirs.class_token,
        "positions": theirs.encoder.pos_embedding,
        **{f"embed.{k}": v for k, v in theirs.conv_proj.state_dict().items()},
        **{f"norm.{k}": v for k, v in theirs.encoder.ln.state_dict().items()},
    }
    for i, block in enumerate(theirs.encoder.layers):
        names = {
            "norm1": block.ln_1,
            "norm2": block.ln_2,
            "attention.project": block.self_attention.out_proj,
            "mlp.0": block.mlp[0],
            "mlp.2": block.mlp[3],
        }
        for name, module in names.items():
            state |= {f"blocks.{i}.{name}.{k}": v for k, v in module.state_dict().items()}
        state[f"blocks.{i}.attention.qkv.weight"] = block.self_attention.in_proj_weight
        state[f"blocks.{i}.attention.qkv.bias"] = block.self_attention.in_proj_bias
    ours.load_state_dict(state)
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1), dtype=F64)
    features, inside = ours(images)
    assert_close(features, theirs(images), rtol=1e-9, atol=1e-9)  # a few thousand float64 operations in depth
    assert inside["attention"].shape == (depth, 2, heads, 1 + across**2, 1 + across**2)
    assert_close(inside["attention"].sum(-1), torch.ones_like(inside["attention"][..., 0]))
    assert_close(inside["tokens"][:, 0], features, rtol=0, atol=0)


def test_attention_module_equals_torch(rng):
    torch.manual_seed(0)
    ours, theirs = SelfAttention(8, 2).double(), torch.nn.MultiheadAttention(8, 2, batch_first=True).double()
    theirs.in_proj_weight.data, theirs.in_proj_bias.data = ours.qkv.weight.data, ours.qkv.bias.data
    theirs.out_proj.load_state_dict(ours.project.state_dict())
    x = torch.randn(3, 5, 8, generator=rng, dtype=F64)
    out, weights = ours(x)
    want, rows = theirs(x, x, x, average_attn_weights=False)
    assert_close(out, want, rtol=1e-12, atol=1e-12)
    assert_close(weights, rows, rtol=1e-12, atol=1e-12)


def test_without_positions_patches_are_a_set(rng):
    """Invariance: with the positions zero, moving patches about does not change the class token."""
    torch.manual_seed(0)
    vit = ViT(size=8, patch=4, width=8, depth=2, heads=2).double()
    vit.positions.data.zero_()
    x = torch.randn(1, 3, 8, 8, generator=rng, dtype=F64)
    moved = torch.cat([x[:, :, 4:], x[:, :, :4]], dim=2)
    assert_close(vit(x)[0], vit(moved)[0], rtol=1e-12, atol=1e-12)
    vit.positions.data.normal_(generator=rng)
    assert not torch.allclose(vit(x)[0], vit(moved)[0])


def test_positions_are_interpolated(rng):
    p = torch.randn(1, 1 + 16, 3, generator=rng)
    assert interpolate_positions(p, (4, 4), (4, 4)) is p
    small = interpolate_positions(p, (4, 4), (2, 3))
    assert small.shape == (1, 7, 3)
    assert_close(small[:, 0], p[:, 0])
    flat = torch.full((1, 10, 2), 0.7)
    assert_close(interpolate_positions(flat, (3, 3), (5, 2)), torch.full((1, 11, 2), 0.7))
    features, inside = ViT(size=16, patch=4, width=8, depth=1, heads=2)(
        torch.rand(2, 3, 8, 12, generator=rng)
    )
    assert features.shape == (2, 8)
    assert inside["tokens"].shape == (2, 7, 8)


def test_gradients_reach_every_parameter(rng):
    torch.manual_seed(0)
    vit = ViT(size=8, patch=4, width=8, depth=2, heads=2).double()
    vit(torch.randn(2, 3, 8, 8, generator=rng, dtype=F64))[0].square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in vit.parameters())


def test_rejection():
    with pytest.raises(ValueError, match="patch must divide"):
        ViT(size=30, patch=4)
    with pytest.raises(ValueError, match="heads=3"):
        ViT(width=64, heads=3)
    with pytest.raises(ValueError, match="multiple of 4"):
        ViT(size=8, patch=4, width=8, heads=2)(torch.zeros(1, 3, 10, 8))
    with pytest.raises(ValueError, match="want 1 \\+"):
        interpolate_positions(torch.zeros(1, 5, 2), (3, 3), (2, 2))
