import pytest
import torch
from graphs.reference import random_edges
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close
from worked.graphs.adjacency import Adjacency
from worked.graphs.gcn import GCN, degree_scale, gcn
from worked.graphs.loops import with_loops
from worked.graphs.permutation import permute_graph, permute_rows

CLOSE = {"rtol": 0, "atol": 1e-12}


def draw(shape, rng):
    return torch.randn(shape, generator=rng, dtype=torch.float64)


def slow(h, edges, W):
    """The formula, one node and one neighbour at a time."""
    n = len(h)
    hears = [{v} | {u for u, to in edges.T.tolist() if to == v} for v in range(n)]
    rows = []
    for v in range(n):
        s = torch.zeros(W.shape[1], dtype=h.dtype)
        for u in hears[v]:
            s = s + (h[u] @ W) / (len(hears[u]) * len(hears[v])) ** 0.5
        rows.append(s)
    return torch.stack(rows)


@pytest.mark.parametrize(("d", "k"), [(1, 1), (2, 4), (4, 2)])
@pytest.mark.parametrize("directed", [True, False])
def test_equals_the_formula_node_by_node(d, k, directed, rng):
    edges = random_edges(7, 16, rng, directed)
    h, W = draw((7, d), rng), draw((d, k), rng)
    assert_close(gcn(h, Adjacency(edges, 7), W), slow(h, edges, W), **CLOSE)


def test_hand_value():
    h = torch.tensor([[1.0], [3.0]])
    edge = Adjacency(torch.tensor([[0, 1], [1, 0]]), 2)
    assert_close(gcn(h, edge, torch.tensor([[2.0]])), torch.tensor([[4.0], [4.0]]))
    assert_close(degree_scale(edge, torch.float32), torch.full((2, 1), 0.5**0.5))


def test_loops_are_added_once(path):
    adjacency = Adjacency(path, 3)
    looped = with_loops(adjacency)
    assert looped.in_degrees().tolist() == [2, 3, 2]
    assert with_loops(adjacency) is looped
    assert torch.equal(with_loops(looped).edge_index, looped.edge_index)
    assert adjacency.edge_index.shape[1] == 4  # the graph itself stays as it was


def test_gradient(rng):
    adjacency = Adjacency(random_edges(6, 12, rng), 6)
    for d, k in ((2, 3), (3, 2)):
        h, W = draw((6, d), rng).requires_grad_(), draw((d, k), rng).requires_grad_()
        assert torch.autograd.gradcheck(lambda h, W: gcn(h, adjacency, W), (h, W))


@given(
    n=st.integers(1, 9),
    d=st.integers(1, 5),
    k=st.integers(1, 5),
    directed=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_agrees_with_the_library(pyg, n, d, k, directed, seed):
    rng = torch.Generator().manual_seed(seed)
    edges = random_edges(n, 2 * n, rng, directed)
    ours, library = GCN(d, k, generator=rng, dtype=torch.float64), pyg.GCNConv(d, k).double()
    with torch.no_grad():
        ours.bias.copy_(draw(ours.bias.shape, rng))
        library.lin.weight.copy_(ours.W.T)
        library.bias.copy_(ours.bias)
    h = draw((n, d), rng).requires_grad_()
    got, want = ours(h, Adjacency(edges, n)), library(h, edges)
    assert_close(got, want, **CLOSE)
    up = draw(got.shape, rng)
    gh, W, bias = torch.autograd.grad(got, [h, ours.W, ours.bias], up)
    theirs = torch.autograd.grad(want, [h, library.lin.weight, library.bias], up)
    for a, b in zip((gh, W.T, bias), theirs, strict=True):
        assert_close(a, b, **CLOSE)


def test_new_numbers_for_the_nodes_permute_the_rows(rng):
    adjacency, layer = Adjacency(random_edges(9, 20, rng), 9), GCN(3, 2, generator=rng, dtype=torch.float64)
    h, pi = draw((9, 3), rng), torch.randperm(9, generator=rng)
    after = layer(permute_rows(h, pi), permute_graph(adjacency, pi))
    assert_close(after, permute_rows(layer(h, adjacency), pi), **CLOSE)


@pytest.mark.usefixtures("unhooked")
def test_rejects(path):
    adjacency, h = Adjacency(path, 3), torch.zeros(3, 2)
    with pytest.raises(ValueError, match=r"h: want shape \(3, d\)"):
        gcn(torch.zeros(4, 2), adjacency, torch.zeros(2, 2))
    with pytest.raises(ValueError, match=r"W: want shape \(2, k\), got \(3, 2\)"):
        gcn(h, adjacency, torch.zeros(3, 2))
    with pytest.raises(ValueError, match=r"W: want torch.float32, the type of h, got torch.float64"):
        gcn(h, adjacency, torch.zeros(2, 2, dtype=torch.float64))
    with pytest.raises(ValueError, match="d=0, k=2"):
        GCN(0, 2)
