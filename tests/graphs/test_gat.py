import math

import pytest
import torch
from graphs.reference import random_edges
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close
from worked.graphs.adjacency import Adjacency
from worked.graphs.gat import GAT, attend_neighbours, attention_weights
from worked.graphs.loops import with_loops
from worked.graphs.permutation import permute_graph, permute_rows

CLOSE = {"rtol": 0, "atol": 1e-12}  # float64, numbers of about 1, fewer than 100 roundings of 2^-53 each


def draw(shape, rng):
    return torch.randn(shape, generator=rng, dtype=torch.float64)


def slow(x, sender, receiver, edges, slope):
    """The formula, one node, one head, one neighbour at a time."""
    out = torch.zeros_like(x)
    for v in range(len(x)):
        hears = [u for u, to in edges.T.tolist() if to == v]
        for k in range(x.shape[1]):
            raw = [float(receiver[v, k] + sender[u, k]) for u in hears]
            s = [math.exp(r if r > 0 else slope * r) for r in raw]
            for u, e in zip(hears, s, strict=True):
                out[v, k] += e / sum(s) * x[u, k]
    return out


@pytest.mark.parametrize(("heads", "c"), [(1, 1), (1, 3), (3, 2)])
@pytest.mark.parametrize("directed", [True, False])
def test_equals_the_formula_node_by_node(heads, c, directed, rng):
    edges = random_edges(7, 16, rng, directed)
    adjacency = Adjacency(edges, 7)
    x, sender, receiver = draw((7, heads, c), rng), draw((7, heads), rng), draw((7, heads), rng)
    want = slow(x, sender, receiver, edges, 0.2)
    assert adjacency.in_degrees()[-1] == 0
    assert_close(attend_neighbours(x, sender, receiver, adjacency), want, **CLOSE)
    weight = attention_weights(sender, receiver, adjacency)
    u, v = adjacency.edge_index
    assert_close(torch.zeros_like(x).index_add(0, v, weight[..., None] * x[u]), want, **CLOSE)


def test_equal_scores_give_the_mean(path):
    x = torch.tensor([1.0, 10.0, 100.0]).reshape(3, 1, 1)
    zero = torch.zeros(3, 1)
    assert attend_neighbours(x, zero, zero, Adjacency(path, 3)).flatten().tolist() == [10, 50.5, 10]


def test_hand_value(path):
    """Node 1 hears scores 0 and ln 3: weights 1/4 and 3/4. Below 0 the score counts a fifth."""
    x, adjacency = torch.tensor([4.0, 0.0, 8.0]).reshape(3, 1, 1), Adjacency(path, 3)
    for scores, slope in ((math.log(3), 0.2), (-5 * math.log(3), 0.2)):
        sender = torch.tensor([[0.0], [0.0], [scores]])
        got = attend_neighbours(x, sender, torch.zeros(3, 1), adjacency, slope)[1].item()
        assert got == pytest.approx(7 if scores > 0 else 5, abs=1e-5)


def test_large_scores_do_not_overflow(path):
    sender = torch.tensor([[-3000.0], [0.0], [1000.0]])
    x = torch.tensor([1.0, 2.0, 3.0]).reshape(3, 1, 1)
    for receiver in (torch.zeros(3, 1), torch.full((3, 1), -4000.0)):
        assert attend_neighbours(x, sender, receiver, Adjacency(path, 3)).flatten().tolist() == [2, 3, 2]


@pytest.mark.parametrize("directed", [True, False])
def test_gradient(directed, rng):
    adjacency = Adjacency(random_edges(6, 12, rng, directed), 6)
    tensors = [draw(s, rng).requires_grad_() for s in ((6, 2, 3), (6, 2), (6, 2))]
    assert torch.autograd.gradcheck(lambda x, a, b: attend_neighbours(x, a, b, adjacency), tensors)


@given(
    n=st.integers(1, 9),
    d=st.integers(1, 5),
    c=st.integers(1, 4),
    heads=st.integers(1, 3),
    concat=st.booleans(),
    directed=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_agrees_with_the_library(pyg, n, d, c, heads, concat, directed, seed):
    rng = torch.Generator().manual_seed(seed)
    edges = random_edges(n, 2 * n, rng, directed)
    ours = GAT(d, c, heads=heads, concat=concat, generator=rng, dtype=torch.float64)
    library = pyg.GATConv(d, c, heads=heads, concat=concat).double()
    with torch.no_grad():
        ours.bias.copy_(draw(ours.bias.shape, rng))
        library.lin.weight.copy_(ours.W.T)
        library.att_src.copy_(ours.a_from)
        library.att_dst.copy_(ours.a_to)
        library.bias.copy_(ours.bias)
    h, adjacency = draw((n, d), rng).requires_grad_(), Adjacency(edges, n)
    got, (want, (looped, weight)) = ours(h, adjacency), library(h, edges, return_attention_weights=True)
    assert_close(got, want, **CLOSE)
    mine = {
        tuple(e): w
        for e, w in zip(with_loops(adjacency).edge_index.T.tolist(), ours.weights(h, adjacency), strict=True)
    }
    for edge, w in zip(looped.T.tolist(), weight, strict=True):
        assert_close(mine[tuple(edge)], w, **CLOSE)
    up = draw(got.shape, rng)
    parameters = [library.lin.weight, library.att_src, library.att_dst, library.bias]
    theirs = torch.autograd.grad(want, [h, *parameters], up)
    gh, W, a_from, a_to, bias = torch.autograd.grad(got, [h, ours.W, ours.a_from, ours.a_to, ours.bias], up)
    for a, b in zip((gh, W.T, a_from[None], a_to[None], bias), theirs, strict=True):
        assert_close(a, b, rtol=1e-11, atol=1e-11)


def test_new_numbers_for_the_nodes_permute_the_rows(rng):
    adjacency, layer = (
        Adjacency(random_edges(9, 20, rng), 9),
        GAT(3, 2, heads=2, generator=rng, dtype=torch.float64),
    )
    h, pi = draw((9, 3), rng), torch.randperm(9, generator=rng)
    after = layer(permute_rows(h, pi), permute_graph(adjacency, pi))
    assert_close(after, permute_rows(layer(h, adjacency), pi), **CLOSE)


@pytest.mark.usefixtures("unhooked")
def test_rejects(path):
    adjacency, x, s = Adjacency(path, 3), torch.zeros(3, 2, 4), torch.zeros(3, 2)
    with pytest.raises(ValueError, match=r"want x of shape \(n, heads, c\).*\(3, 4\)"):
        attend_neighbours(x[:, 0], s, s, adjacency)
    with pytest.raises(ValueError, match=r"h: want shape \(3, d\)"):
        attention_weights(torch.zeros(4, 2), s, adjacency)
    with pytest.raises(ValueError, match=r"W: want shape \(4, k\), got \(2, 3\)"):
        GAT(2, 3)(torch.zeros(3, 4), adjacency)
    with pytest.raises(ValueError, match="heads: want 1 or more, got 0"):
        GAT(2, 3, heads=0)
