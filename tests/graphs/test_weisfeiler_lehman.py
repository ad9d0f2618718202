import networkx
import pytest
import torch
from graphs.reference import random_edges
from hypothesis import given
from hypothesis import strategies as st
from worked.graphs.adjacency import Adjacency
from worked.graphs.permutation import permute_graph
from worked.graphs.weisfeiler_lehman import disjoint_union, graph_classes, refine


def ring(n):
    v = torch.arange(n)
    return Adjacency(torch.cat([torch.stack([v, v.roll(1)]), torch.stack([v.roll(1), v])], 1), n)


def partition(colours):
    return {frozenset((colours == c).nonzero().flatten().tolist()) for c in colours.unique()}


def slow(adjacency, rounds):
    """Colours as nested tuples: nothing is numbered."""
    colours = [()] * adjacency.n
    edges = adjacency.edge_index.T.tolist()
    for _ in range(rounds):
        colours = [
            (colours[v], tuple(sorted(colours[u] for u, to in edges if to == v))) for v in range(adjacency.n)
        ]
    return torch.tensor([sorted(set(colours)).index(c) for c in colours])


def test_hand_value(path):
    start, first, second = refine(Adjacency(path, 3), 2)
    assert start.tolist() == [0, 0, 0]
    assert first.tolist() == second.tolist() == [0, 1, 0]


@given(n=st.integers(1, 8), directed=st.booleans(), rounds=st.integers(0, 3), seed=st.integers(0, 2**31))
def test_same_partition_as_nested_tuples(n, directed, rounds, seed):
    adjacency = Adjacency(random_edges(n, 2 * n, torch.Generator().manual_seed(seed), directed), n)
    assert partition(refine(adjacency, rounds)[-1]) == partition(slow(adjacency, rounds))


def test_new_numbers_for_the_nodes_move_the_colours(rng):
    adjacency, pi = Adjacency(random_edges(12, 20, rng), 12), torch.randperm(12, generator=rng)
    for before, after in zip(refine(adjacency, 3), refine(permute_graph(adjacency, pi), 3), strict=True):
        assert torch.equal(after[pi], before)


def test_colours_to_begin_with_are_kept_apart():
    first, last = refine(ring(4), 1, torch.tensor([7, 0, 0, 0]))
    assert first.tolist() == [1, 0, 0, 0]
    assert len(last.unique()) == 3  # the marked node, its neighbours, the one opposite


def test_two_triangles_look_like_a_hexagon():
    union, graph = disjoint_union([disjoint_union([ring(3), ring(3)])[0], ring(6), ring(5)])
    assert graph_classes(refine(union, 5)[-1], graph).tolist() == [1, 1, 0]


def test_agrees_with_the_library_on_small_graphs():
    """networkx hashes the multiset of colours; all graphs of 6 nodes fall into the same classes."""
    atlas = [g for g in networkx.graph_atlas_g() if g.number_of_nodes() == 6]
    edges = [torch.tensor(list(g.edges), dtype=torch.long).reshape(-1, 2).T for g in atlas]
    union, graph = disjoint_union([Adjacency(torch.cat([e, e.flip(0)], 1), 6) for e in edges])
    ours = graph_classes(refine(union, 3)[-1], graph).tolist()
    for g in atlas:
        networkx.set_node_attributes(g, "same", "colour")
    theirs = [networkx.weisfeiler_lehman_graph_hash(g, node_attr="colour") for g in atlas]
    assert len(set(ours)) == len(set(theirs)) == len(set(zip(ours, theirs, strict=True)))


@pytest.mark.usefixtures("unhooked")
def test_rejects(path):
    with pytest.raises(ValueError, match="rounds: want 0 or more, got -1"):
        refine(Adjacency(path, 3), -1)
    with pytest.raises(ValueError, match=r"one for each of 3 nodes, got \(2,\)"):
        refine(Adjacency(path, 3), 1, torch.zeros(2, dtype=torch.long))
    with pytest.raises(ValueError, match="no graphs"):
        disjoint_union([])
    with pytest.raises(ValueError, match=r"got \(2,\) and \(3,\)"):
        graph_classes(torch.zeros(2, dtype=torch.long), torch.zeros(3, dtype=torch.long))
