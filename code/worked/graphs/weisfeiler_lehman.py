"""Colour refinement (the one-dimensional Weisfeiler-Leman test): what message functions can see at most."""

from collections import defaultdict
from collections.abc import Sequence

import torch
from jaxtyping import Int64
from torch import Tensor

from worked.graphs.adjacency import Adjacency


def refine(
    adjacency: Adjacency, rounds: int, colours: Int64[Tensor, " n"] | None = None
) -> list[Int64[Tensor, " n"]]:
    r"""The colours of all nodes after 0, 1, ..., rounds; colours are numbers 0, 1, ... without gaps.

    .. math:: c^{(t)}(v) = \text{number of } \big(c^{(t-1)}(v), \{\{c^{(t-1)}(u) : u \in N(v)\}\}\big)

    Double braces: a multiset, so how often a colour occurs counts and the order does not. ``colours`` are the
    nodes' own to begin with; without them all start equal. Pairs are numbered in sorted order, so that the
    numbering of the nodes does not matter.

    Known value: the path 0 - 1 - 2 gets the colours (0, 1, 0) in round 1 and keeps them.
    Raises ValueError for negative rounds or colours of another length.
    Source: Weisfeiler & Leman 1968; Morris et al. 2019, arXiv:1810.02244.
    Taught in: graphs/message-functions, def-mf-refinement.
    """
    if rounds < 0:
        raise ValueError(f"rounds: want 0 or more, got {rounds}")
    if colours is not None and colours.shape != (adjacency.n,):
        raise ValueError(f"colours: want one for each of {adjacency.n} nodes, got {tuple(colours.shape)}")
    start = [0] * adjacency.n if colours is None else colours.tolist()
    hears: dict[int, list[int]] = defaultdict(list)
    for u, v in adjacency.edge_index.T.tolist():
        hears[v].append(u)
    history = [_numbered([(c,) for c in start])]
    for _ in range(rounds):
        now = history[-1].tolist()
        seen = [(now[v], *sorted(now[u] for u in hears[v])) for v in range(adjacency.n)]
        history.append(_numbered(seen))
    return history


def _numbered(seen: list[tuple[int, ...]]) -> Int64[Tensor, " n"]:
    number = {s: i for i, s in enumerate(sorted(set(seen)))}
    return torch.tensor([number[s] for s in seen])


def disjoint_union(graphs: Sequence[Adjacency]) -> tuple[Adjacency, Int64[Tensor, " n"]]:
    """All graphs side by side as one, and for each of its nodes the number of the graph that it is from.

    No message crosses from one to another, and colours of the union can be compared between graphs.
    Known value: two single nodes give a graph of two nodes without edges, and the numbers (0, 1).
    Raises ValueError without graphs.
    """
    if not graphs:
        raise ValueError("the union of no graphs: want at least one")
    sizes = torch.tensor([g.n for g in graphs])
    starts = sizes.cumsum(0) - sizes
    edges = torch.cat([g.edge_index + start for g, start in zip(graphs, starts.tolist(), strict=True)], 1)
    return Adjacency(edges, int(sizes.sum())), torch.arange(len(graphs)).repeat_interleave(sizes)


def graph_classes(colours: Int64[Tensor, " n"], graph: Int64[Tensor, " n"]) -> Int64[Tensor, " g"]:
    """For each graph of a union the number of its class: graphs are in one class if their nodes have the same
    multiset of colours.

    Known value: colours (0, 1, 1, 0, 2) of graphs (0, 0, 1, 1, 2) give the classes (0, 0, 1).
    Raises ValueError if the two have different lengths.
    """
    if colours.shape != graph.shape:
        raise ValueError(f"want a graph for each colour, got {tuple(colours.shape)} and {tuple(graph.shape)}")
    found: dict[int, list[int]] = defaultdict(list)
    for c, g in zip(colours.tolist(), graph.tolist(), strict=True):
        found[g].append(c)
    return _numbered([tuple(sorted(found[g])) for g in sorted(found)])
