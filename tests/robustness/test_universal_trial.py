import pytest
import torch
from worked.metrics import accuracy
from worked.robustness.classifier import train
from worked.robustness.universal_trial import KINDS, network


def test_parameters_by_hand(rng):
    sizes = {kind: sum(p.numel() for p in network(kind, 20, rng=rng).parameters()) for kind in KINDS}
    convolutions = (27 * 16 + 16) + (9 * 16 * 32 + 32) + (9 * 32 * 32 + 32)
    assert sizes["convolutional"] == convolutions + (32 * 25 * 10 + 10)
    assert sizes["perceptron"] == (1200 * 256 + 256) + (256 * 128 + 128) + (128 * 10 + 10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", [5, 6, 7, 8])
def test_any_side_fits(kind, side, rng):
    assert network(kind, side, rng=rng, width=1)(torch.rand(2, 3, side, side)).shape == (2, 10)


@pytest.mark.parametrize("kind", KINDS)
def test_learns_and_equal_seeds_give_equal_networks(kind):
    def trained():
        rng = torch.Generator().manual_seed(0)
        x, y = torch.rand(200, 3, 6, 6, generator=rng), torch.randint(3, (200,), generator=rng)
        x[torch.arange(200), y] += 1  # the label is a colour
        net = train(network(kind, 6, rng=rng, width=4), x, y, rng=rng, steps=60, rate=1e-2, warmup=0)
        assert not net.training
        return net(x).detach(), y

    (one, y), (two, _) = trained(), trained()
    assert (one == two).all()
    assert accuracy(one, y) > 0.9


@pytest.mark.usefixtures("unhooked")
def test_rejects(rng):
    for kind, side, width in (("vit", 20, 1), ("perceptron", 3, 1), ("perceptron", 20, 0)):
        with pytest.raises(ValueError, match="need a kind"):
            network(kind, side, rng=rng, width=width)
    with pytest.raises(ValueError, match="2 pictures and 1 labels"):
        train(network("perceptron", 4, rng=rng), torch.rand(2, 3, 4, 4), torch.tensor([0]), rng=rng, steps=1)
