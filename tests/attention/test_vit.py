import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close
from worked.attention.torchvision_weights import from_torchvision
from worked.attention.vit import ViT, interpolate_positions

F64 = torch.float64


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
    ours.load_state_dict(from_torchvision(theirs.state_dict()))
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1), dtype=F64)
    features, inside = ours(images)
    assert_close(features, theirs(images), rtol=1e-9, atol=1e-9)  # a few thousand float64 operations in depth
    assert len(inside["attention"]) == depth
    for weights in inside["attention"]:
        assert weights.shape == (2, heads, 1 + across**2, 1 + across**2)
        assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))
    assert_close(inside["tokens"][:, 0], features, rtol=0, atol=0)
    up = torch.randn(features.shape, generator=torch.Generator().manual_seed(2), dtype=F64)
    mine = dict(
        zip(ours.state_dict(), torch.autograd.grad(features, list(ours.parameters()), up), strict=True)
    )
    names = [name for name, _ in theirs.named_parameters()]
    wanted = torch.autograd.grad(theirs(images), list(theirs.parameters()), up)
    for name, grad in from_torchvision(dict(zip(names, wanted, strict=True))).items():
        assert_close(mine[name], grad, rtol=1e-8, atol=1e-8, msg=lambda m, name=name: f"{name}: {m}")


def test_tokens_follow_equation_1(rng):
    """Hand-made: class token and linear maps of flattened patches, one position added to each of them."""
    torch.manual_seed(0)
    vit = ViT(size=4, patch=2, width=4, depth=1, heads=1).double()
    vit.class_token.data.normal_(generator=rng)
    x = torch.randn(1, 3, 4, 4, generator=rng, dtype=F64)
    E = vit.embed.weight.reshape(4, -1)
    want = [vit.class_token[0, 0]]
    for top, left in ((0, 0), (0, 2), (2, 0), (2, 2)):
        want.append(E @ x[0, :, top : top + 2, left : left + 2].flatten() + vit.embed.bias)
    assert_close(vit.embedded(x)[0], torch.stack(want) + vit.positions[0], rtol=1e-12, atol=1e-12)


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
