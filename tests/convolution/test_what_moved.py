import pytest
import torch
from torch.testing import assert_close
from worked.convolution import what_moved
from worked.convolution.moved import warp
from worked.convolution.what_moved import batches, held_out, medians, symmetric, train_network


@pytest.mark.parametrize("quarters", range(4))
@pytest.mark.parametrize("mirror", [False, True])
def test_symmetric_pairs_tell_the_truth(quarters, mirror, rng):
    first = torch.rand(2, 16, 16, generator=rng, dtype=torch.float64)
    motion = torch.tensor([[2.0, 1.0, 0.3, 0.1], [-1.0, 3.0, -0.2, -0.1]], dtype=torch.float64)
    a, b, now = symmetric(first, warp(first, motion), motion, quarters, mirror)
    assert_close(warp(a, now), b, rtol=0, atol=1e-9)


def test_batches_visit_every_pair_and_stay_within_the_noise():
    stock = held_out(8, 1)
    rng = torch.Generator().manual_seed(0)
    source = batches(stock, 4, rng)
    seen = torch.cat([next(source)[2] for _ in range(2)])
    assert_close(seen[:, 3].sort().values, stock.motion[:, 3].sort().values)


def test_a_few_steps_train_and_go_on_from_a_checkpoint(tmp_path):
    network, seconds = train_network(steps=2, batch=4, pool=8)
    assert seconds > 0
    assert not network.training
    again, _ = train_network(steps=2, batch=4, pool=8)
    for a, b in zip(network.parameters(), again.parameters(), strict=True):
        assert_close(a, b, rtol=0, atol=0)


def test_the_shipped_network_is_as_good_as_its_card_says():
    found, card = medians(what_moved.load(), held_out(128, 9)), what_moved.weights.card("what-moved")
    for key, value in found.items():
        assert value < 1.5 * card["metrics"][key]  # medians of 128 pairs beside those of 1,000
