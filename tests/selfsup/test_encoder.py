"""The small networks: sizes by hand, what each norm shares between images, and bad input."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close
from worked.selfsup.encoder import encoder, head


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_parameters_by_hand():
    convolutions = 27 * 32 + 9 * 32 * 64 + 9 * 64 * 64
    assert count(encoder()) == convolutions + 2 * (32 + 64 + 64)
    assert count(encoder(norm="none")) == convolutions + 32 + 64 + 64
    assert count(head(3, 5, 2)) == 15 + 10 + 10 + 2
    assert count(head(1, 1, 1, norm="none")) == 4


@pytest.mark.parametrize("side", [16, 24, 32])
def test_shapes_and_sign(side, rng):
    z = encoder(8, 24)(torch.rand(4, 3, side, side, generator=rng))
    assert z.shape == (4, 24)
    assert (z >= 0).all()


@pytest.mark.parametrize(("norm", "shares"), [("batch", True), ("group", False), ("none", False)])
def test_only_batch_norm_lets_one_image_see_another(norm, shares, rng):
    """The features of image 0 change with image 1, in training, for batch norm alone."""
    torch.manual_seed(0)
    network = nn.Sequential(encoder(8, 16, norm), head(16, 16, 8, norm))
    x = torch.rand(4, 3, 16, 16, generator=rng)
    other = x.clone()
    other[1] = 0
    moved = (network(x)[0] - network(other)[0]).abs().max()
    assert (moved > 1e-3) == shares
    network.eval()
    assert_close(network(x)[0], network(other)[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("make", [encoder, lambda norm: head(2, 2, 2, norm)])
def test_rejects_an_unknown_norm(make):
    with pytest.raises(ValueError, match="norm is one of batch, group, none; got 'layer'"):
        make(norm="layer")
