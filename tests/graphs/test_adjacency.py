import warnings

import pytest
import torch
from graphs.reference import random_edges
from torch.testing import assert_close
from worked.graphs.adjacency import Adjacency


@pytest.mark.parametrize("directed", [True, False])
@pytest.mark.parametrize(("n", "e"), [(1, 0), (4, 0), (2, 3), (9, 30), (40, 90)])
def test_product_equals_the_sum_over_neighbours(n, e, directed, rng):
    edges = random_edges(n, e, rng, directed)
    adjacency, h = Adjacency(edges, n), torch.randn(n, 3, generator=rng, dtype=torch.float64)
    want = torch.zeros(n, 3, dtype=torch.float64)
    for u, v in edges.T.tolist():
        want[v] += h[u]
    assert_close(adjacency @ h, want, rtol=0, atol=1e-13)  # 90 terms of size 1: 90 * 2^-53
    assert_close(adjacency.dense() @ h, want, rtol=0, atol=1e-13)
    assert_close(adjacency.in_degrees(), adjacency.dense().sum(1).long())


def test_hand_value(path):
    h = torch.tensor([[1.0], [10.0], [100.0]])
    assert (Adjacency(path, 3) @ h).flatten().tolist() == [10, 101, 10]


def test_an_edge_goes_from_sender_to_receiver():
    a = Adjacency(torch.tensor([[0], [2]]), 3)
    assert a.dense()[2, 0] == 1
    assert a.dense().sum() == 1
    assert not a.symmetric
    assert_close(a.matrix(torch.float64, transposed=True).to_dense(), a.dense().T)


def test_undirected_graphs_keep_one_matrix(path):
    a = Adjacency(path, 3)
    assert a.symmetric
    assert a.matrix(torch.float32) is a.matrix(torch.float32, transposed=True)
    assert not Adjacency(path[:, :3], 3).symmetric


def test_the_order_of_the_edges_does_not_matter(rng):
    edges = random_edges(9, 30, rng)
    shuffled = edges[:, torch.randperm(edges.shape[1], generator=rng)]
    assert torch.equal(Adjacency(edges, 9).edge_index, Adjacency(shuffled, 9).edge_index)
    assert torch.equal(Adjacency(edges.int(), 9).edge_index, Adjacency(edges, 9).edge_index)


def test_gradients_of_first_and_second_order(rng):
    a = Adjacency(random_edges(5, 9, rng), 5)
    assert not a.symmetric
    h = torch.randn(5, 2, generator=rng, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda h: a @ h, h)
    assert torch.autograd.gradgradcheck(lambda h: (a @ h) ** 2, h)


def test_no_warning_reaches_the_reader(path):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Adjacency(path, 3).matrix(torch.float32)
    assert not caught


@pytest.mark.parametrize("edge", [(0, 3), (3, 0), (-1, 0), (7, 7)])
def test_rejects_an_edge_to_a_node_that_does_not_exist(edge, path):
    edges = torch.cat([path, torch.tensor([edge]).T], 1)
    with pytest.raises(ValueError, match=rf"edge \({edge[0]}, {edge[1]}\).*n=3.*0\.\.2"):
        Adjacency(edges, 3)


def test_rejects_an_edge_that_stands_twice(path):
    with pytest.raises(ValueError, match=r"edge \(1, 2\) stands twice"):
        Adjacency(torch.cat([path, path[:, 2:3]], 1), 3)


@pytest.mark.parametrize(
    "edges", [torch.zeros(3, 4, dtype=torch.long), torch.zeros(4, dtype=torch.long), torch.zeros(2, 4)]
)
@pytest.mark.usefixtures("unhooked")
def test_rejects_what_is_no_list_of_edges(edges):
    with pytest.raises(ValueError, match=r"want shape \(2, e\) of int64"):
        Adjacency(edges, 3)


@pytest.mark.usefixtures("unhooked")
def test_rejects_features_that_do_not_fit(path):
    a = Adjacency(path, 3)
    with pytest.raises(ValueError, match=r"want shape \(3, d\).*got \(4, 2\)"):
        a @ torch.ones(4, 2)
    with pytest.raises(ValueError, match=r"want float32 or float64, got torch.float16"):
        a @ torch.ones(3, 2, dtype=torch.float16)
    with pytest.raises(ValueError, match="at least one node, got n=0"):
        Adjacency(path[:, :0], 0)
