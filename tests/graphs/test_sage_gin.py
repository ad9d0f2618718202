"""GraphSAGE, GIN and the aggregators that they are made of."""

import pytest
import torch
from graphs.reference import random_edges
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close
from worked.graphs.adjacency import Adjacency
from worked.graphs.aggregate import AGGREGATORS, max_neighbours, mean_neighbours, sum_neighbours
from worked.graphs.gin import GIN, gin_sum
from worked.graphs.permutation import permute_graph, permute_rows
from worked.graphs.sage import SAGE, sage

CLOSE = {"rtol": 0, "atol": 1e-12}
SIZES = {
    "n": st.integers(1, 9),
    "d": st.integers(1, 5),
    "k": st.integers(1, 5),
    "directed": st.booleans(),
    "seed": st.integers(0, 2**31),
}


def draw(shape, rng):
    return torch.randn(shape, generator=rng, dtype=torch.float64)


def slow(h, edges, how):
    rows = []
    for v in range(len(h)):
        said = [h[u] for u, to in edges.T.tolist() if to == v]
        if not said:
            rows.append(torch.zeros_like(h[v]))
        elif how == "max":
            rows.append(torch.stack([max(s[i] for s in said) for i in range(h.shape[1])]))
        else:
            rows.append(sum(said) / (len(said) if how == "mean" else 1))
    return torch.stack(rows)


@pytest.mark.parametrize("how", AGGREGATORS)
@pytest.mark.parametrize("directed", [True, False])
def test_aggregators_equal_the_loop(how, directed, rng):
    edges, h = random_edges(7, 16, rng, directed), draw((7, 3), rng)
    assert_close(AGGREGATORS[how](h, Adjacency(edges, 7)), slow(h, edges, how), **CLOSE)


def test_hand_values(path):
    adjacency, h = Adjacency(path, 3), torch.tensor([[1.0], [10.0], [100.0]])
    assert sum_neighbours(h, adjacency).flatten().tolist() == [10, 101, 10]
    assert mean_neighbours(h, adjacency).flatten().tolist() == [10, 50.5, 10]
    assert max_neighbours(-h, adjacency).flatten().tolist() == [-10, -1, -10]
    assert gin_sum(h, adjacency, 0.5).flatten().tolist() == [11.5, 116, 160]
    two, three = torch.tensor([[2.0]]), torch.tensor([[3.0]])
    assert sage(h, adjacency, two, three).flatten().tolist() == [32, 171.5, 230]


@pytest.mark.parametrize("how", AGGREGATORS)
def test_gradient(how, rng):
    adjacency = Adjacency(random_edges(6, 12, rng), 6)
    h, W, V = (draw(s, rng).requires_grad_() for s in ((6, 2), (2, 3), (2, 3)))
    assert torch.autograd.gradcheck(lambda h, W, V: sage(h, adjacency, W, V, how), (h, W, V))
    eps = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda h, eps: gin_sum(h, adjacency, eps), (h, eps))


@given(how=st.sampled_from(sorted(AGGREGATORS)), **SIZES)
def test_sage_agrees_with_the_library(pyg, how, n, d, k, directed, seed):
    rng = torch.Generator().manual_seed(seed)
    edges = random_edges(n, 2 * n, rng, directed)
    ours = SAGE(d, k, aggregator=how, generator=rng, dtype=torch.float64)
    library = pyg.SAGEConv(d, k, aggr=how).double()
    with torch.no_grad():
        ours.bias.copy_(draw(ours.bias.shape, rng))
        library.lin_l.weight.copy_(ours.W_prime.T)
        library.lin_l.bias.copy_(ours.bias)
        library.lin_r.weight.copy_(ours.W.T)
    h = draw((n, d), rng).requires_grad_()
    got, want = ours(h, Adjacency(edges, n)), library(h, edges)
    assert_close(got, want, **CLOSE)
    up = draw(got.shape, rng)
    assert_close(torch.autograd.grad(got, h, up), torch.autograd.grad(want, h, up), **CLOSE)


@given(learn=st.booleans(), **SIZES)
def test_gin_agrees_with_the_library(pyg, learn, n, d, k, directed, seed):
    rng = torch.Generator().manual_seed(seed)
    edges = random_edges(n, 2 * n, rng, directed)
    ours = GIN(d, k, hidden=4, eps=0.3, learn_eps=learn, generator=rng, dtype=torch.float64)
    first, last = torch.nn.Linear(d, 4), torch.nn.Linear(4, k)
    library = pyg.GINConv(
        torch.nn.Sequential(first, torch.nn.ReLU(), last), eps=0.3, train_eps=learn
    ).double()
    with torch.no_grad():
        library.eps.copy_(ours.eps)  # the library's is rounded to float32
        for layer, W, b in ((first, ours.W_1, ours.b_1), (last, ours.W_2, ours.b_2)):
            b.copy_(draw(b.shape, rng))
            layer.weight.copy_(W.T)
            layer.bias.copy_(b)
    h = draw((n, d), rng).requires_grad_()
    got, want = ours(h, Adjacency(edges, n)), library(h, edges)
    assert_close(got, want, rtol=1e-12, atol=1e-12)
    up = draw(got.shape, rng)
    mine = torch.autograd.grad(got, [h] + [ours.eps] * learn, up)
    theirs = torch.autograd.grad(want, [h] + [library.eps] * learn, up)
    for a, b in zip(mine, theirs, strict=True):
        assert_close(a.reshape(-1), b.reshape(-1), rtol=1e-11, atol=1e-11)


def test_eps_is_a_parameter_only_if_learnt():
    assert "eps" not in dict(GIN(2, 2).named_parameters())
    assert "eps" in dict(GIN(2, 2, learn_eps=True).named_parameters())


@pytest.mark.parametrize("make", [lambda **g: SAGE(3, 2, aggregator="max", **g), lambda **g: GIN(3, 2, **g)])
def test_new_numbers_for_the_nodes_permute_the_rows(make, rng):
    adjacency, layer = Adjacency(random_edges(9, 20, rng), 9), make(generator=rng, dtype=torch.float64)
    h, pi = draw((9, 3), rng), torch.randperm(9, generator=rng)
    after = layer(permute_rows(h, pi), permute_graph(adjacency, pi))
    assert_close(after, permute_rows(layer(h, adjacency), pi), **CLOSE)


@pytest.mark.usefixtures("unhooked")
def test_rejects(path):
    adjacency, h, W = Adjacency(path, 3), torch.zeros(3, 2), torch.zeros(2, 2)
    with pytest.raises(ValueError, match="want one of sum, mean, max, got 'median'"):
        sage(h, adjacency, W, W, "median")
    with pytest.raises(ValueError, match=r"W_prime: want shape \(2, k\), got \(3, 2\)"):
        sage(h, adjacency, W, torch.zeros(3, 2))
    with pytest.raises(ValueError, match=r"h: want shape \(3, d\)"):
        max_neighbours(torch.zeros(4, 2), adjacency)
    with pytest.raises(ValueError, match="d=2, k=0"):
        GIN(2, 0)
