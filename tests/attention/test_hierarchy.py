import warnings

import pytest
import torch
from torch.testing import assert_close
from worked.attention.hierarchy import PatchMerging, Swin, initialise

F64 = torch.float64

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torchvision.models.swin_transformer import SwinTransformer


def slow_merging(module, x):
    """Token by token; outside the map there are zeros."""
    b, h, w, d = x.shape
    out = []
    for y in range(0, h, 2):
        for z in range(0, w, 2):
            four = [(y, z), (y + 1, z), (y, z + 1), (y + 1, z + 1)]
            parts = [x[:, i, j] if i < h and j < w else x.new_zeros(b, d) for i, j in four]
            out.append(module.reduce(module.norm(torch.cat(parts, -1))))
    return torch.stack(out, 1).reshape(b, (h + 1) // 2, (w + 1) // 2, 2 * d)


@pytest.mark.parametrize(("h", "w"), [(4, 6), (5, 4), (7, 7), (1, 1)])
def test_merging_token_by_token(h, w, rng):
    module, x = PatchMerging(3).double(), torch.randn(2, h, w, 3, generator=rng, dtype=F64)
    assert_close(module(x), slow_merging(module, x), rtol=1e-12, atol=1e-12)


def small(shift=True):
    rng = torch.Generator().manual_seed(3)
    return Swin(3, 8, patch=2, window=2, depths=(2, 2), heads=(2, 4), shift=shift, generator=rng)


def test_hand_value(rng):
    assert small()(torch.randn(1, 3, 16, 16, generator=rng)).shape == (1, 4, 4, 16)


def name_in_library(name):
    """Where torchvision keeps the parameter: its features list patches, stage 0, merging, stage 1, ..."""
    place, *rest = name.split(".")
    rest = ".".join(rest)
    if place == "embed":
        return f"features.0.0.{rest}"
    if place == "embed_norm":
        return f"features.0.2.{rest}"
    if place == "norm":
        return f"norm.{rest}"
    stage, block, *rest = rest.split(".")
    rest = ".".join(rest)
    if stage != "0" and block == "0":
        return f"features.{2 * int(stage)}.{rest.replace('reduce', 'reduction')}"
    block = int(block) - (stage != "0")
    for ours, theirs in (
        ("attention.table", "attn.relative_position_bias_table"),
        ("attention.project", "attn.proj"),
        ("attention", "attn"),
    ):
        rest = rest.replace(ours, theirs)
    return f"features.{2 * int(stage) + 1}.{block}.{rest.replace('mlp.2', 'mlp.3')}"


@pytest.mark.parametrize("size", [(16, 16), (18, 12)])
def test_agrees_with_torchvision(size, rng):
    library = SwinTransformer([2, 2], 8, [2, 2], [2, 4], [2, 2], num_classes=2, stochastic_depth_prob=0.0)
    library, ours = library.double().eval(), small().double()
    theirs = dict(library.named_parameters())
    with torch.no_grad():
        for name, p in ours.named_parameters():
            p.copy_(torch.randn(p.shape, generator=rng, dtype=F64) / max(p.shape[-1], 4) ** 0.5)
            theirs.pop(name_in_library(name)).copy_(p)
        assert set(theirs) == {"head.weight", "head.bias"}
        images = torch.randn(2, 3, *size, generator=rng, dtype=F64)
        want = library.norm(library.features(images))
        assert_close(ours(images), want, rtol=1e-10, atol=1e-10)


def test_shift_changes_the_answer_but_not_the_parameters(rng):
    with_shift, without = small(), small(shift=False)
    assert [p.shape for p in with_shift.parameters()] == [p.shape for p in without.parameters()]
    without.load_state_dict(with_shift.state_dict())
    images = torch.randn(1, 3, 16, 16, generator=rng)
    assert (with_shift(images) - without(images)).abs().max() > 1e-3
    assert torch.equal(with_shift(images), with_shift(images))


def test_the_generator_decides_the_weights():
    a, b = small().state_dict(), small().state_dict()
    assert all(torch.equal(a[k], b[k]) for k in a)
    other = small()
    initialise(other, torch.Generator().manual_seed(4))
    assert not torch.equal(other.embed.weight, a["embed.weight"])


@pytest.mark.usefixtures("unhooked")
def test_rejects():
    with pytest.raises(ValueError, match="number of heads for every stage"):
        Swin(3, 8, patch=2, window=2, depths=(2, 2), heads=(2,))
    with pytest.raises(ValueError, match=r"patches of 2 do not fill pictures of \(15, 16\)"):
        small()(torch.zeros(1, 3, 15, 16))
