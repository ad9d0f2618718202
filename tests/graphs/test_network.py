import pytest
import torch
from graphs.reference import random_edges, slow_message_passing
from torch.testing import assert_close
from worked.graphs.adjacency import Adjacency
from worked.graphs.network import GraphNetwork
from worked.graphs.permutation import permute_graph, permute_rows
from worked.graphs.readout import max_readout, mean_readout, sum_readout


def test_equals_its_layers_written_out(rng):
    edges = random_edges(6, 12, rng)
    network = GraphNetwork((3, 4, 2), generator=rng, dtype=torch.float64)
    h = torch.randn(6, 3, generator=rng, dtype=torch.float64)
    first, last = network.layers
    hidden = slow_message_passing(h, edges, first.W, first.W_prime).relu()
    want = slow_message_passing(hidden, edges, last.W, last.W_prime)
    assert_close(network(h, Adjacency(edges, 6)), want, rtol=1e-12, atol=1e-12)
    assert sum(p.numel() for p in network.parameters()) == 2 * (3 * 4 + 4 * 2)


def test_predictions_move_with_the_nodes_and_readouts_stay(rng):
    network = GraphNetwork((3, 8, 8, 2), generator=rng, dtype=torch.float64)
    a = Adjacency(random_edges(20, 50, rng), 20)
    h, pi = torch.randn(20, 3, generator=rng, dtype=torch.float64), torch.randperm(20, generator=rng)
    before, after = network(h, a), network(permute_rows(h, pi), permute_graph(a, pi))
    scale = before.abs().max().item()
    assert_close(
        after, permute_rows(before, pi), rtol=0, atol=1e-12 * scale
    )  # ~100 roundings of 2^-53 a layer
    for readout in (sum_readout, mean_readout, max_readout):
        assert_close(readout(after), readout(before), rtol=0, atol=20e-12 * scale)


def test_the_same_weights_from_the_same_seed():
    a, b = (GraphNetwork((3, 4, 2), generator=torch.Generator().manual_seed(1)) for _ in range(2))
    for p, q in zip(a.parameters(), b.parameters(), strict=True):
        assert torch.equal(p, q)


def test_readouts_by_hand():
    h = torch.tensor([[1.0, 4.0], [3.0, 2.0]])
    assert sum_readout(h).tolist() == [4, 6]
    assert mean_readout(h).tolist() == [2, 3]
    assert max_readout(h).tolist() == [3, 4]


def test_rejects_a_network_without_layers():
    with pytest.raises(ValueError, match=r"got \(3,\)"):
        GraphNetwork((3,))
